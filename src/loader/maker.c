#include "loader/maker.h"

#include <stdlib.h>
#include <string.h>

#include "codec/ros_image.h"
#include "core/error.h"

static void *grow(void *items, int64_t count, int64_t *room, size_t item_bytes) {
    if (count < *room) {
        return items;
    }
    const int64_t wanted = *room > 0 ? 2 * *room : 64;
    void *grown = realloc(items, (size_t)wanted * item_bytes);
    if (grown != NULL) {
        *room = wanted;
    }
    return grown;
}

rbc__decode_job *rbc__jobs_add_decode(rbc__list_of_jobs *jobs) {
    rbc__decode_job *grown =
        grow(jobs->decode, jobs->num_decode, &jobs->decode_room, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    jobs->decode = grown;
    grown[jobs->num_decode] = (rbc__decode_job){0};
    return &grown[jobs->num_decode++];
}

rbc__copy_job *rbc__jobs_add_copy(rbc__list_of_jobs *jobs) {
    rbc__copy_job *grown = grow(jobs->copy, jobs->num_copy, &jobs->copy_room, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    jobs->copy = grown;
    return &grown[jobs->num_copy++];
}

rbc__align_job *rbc__jobs_add_align(rbc__list_of_jobs *jobs) {
    rbc__align_job *grown = grow(jobs->align, jobs->num_align, &jobs->align_room, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    jobs->align = grown;
    memset(&grown[jobs->num_align], 0, sizeof *grown);
    return &grown[jobs->num_align++];
}

void rbc__jobs_clear(rbc__list_of_jobs *jobs) {
    for (int64_t i = 0; i < jobs->num_decode; ++i) {
        free(jobs->decode[i].problem);
    }
    for (int64_t i = 0; i < jobs->num_align; ++i) {
        free(jobs->align[i].problem);
    }
    jobs->num_decode = jobs->num_copy = jobs->num_align = 0;
}

void rbc__jobs_free(rbc__list_of_jobs *jobs) {
    rbc__jobs_clear(jobs);
    free(jobs->decode);
    free(jobs->copy);
    free(jobs->align);
    *jobs = (rbc__list_of_jobs){0};
}

/* ---- the CPU ------------------------------------------------------------------------------------
 */

static rbc_error *copy_of(const rbc_error *problem) {
    rbc_error *copy = malloc(sizeof *copy);
    if (copy != NULL) {
        *copy = *problem;
    }
    return copy;
}

static void decode(rbc__maker *maker, rbc__decode_job *jobs, int64_t count) {
    rbc_error problem;
    for (int64_t i = 0; i < count; ++i) {
        rbc__decode_job *job = &jobs[i];
        job->status =
            job->is_ros
                ? rbc__ros_image_decode(job->pixels, job->encoded, job->num_bytes, job->stream,
                                        &job->shape, job->dst, job->row_bytes, &problem)
                : rbc__image_decode(maker->decoder, job->encoded, job->num_bytes, job->stream,
                                    &job->shape, job->dst, job->row_bytes, &problem);
        if (job->status != RBC_OK) {
            job->problem = copy_of(&problem);
        }
    }
}

static void align(rbc__maker *maker, rbc__align_job *jobs, int64_t count) {
    rbc_error problem;
    for (int64_t i = 0; i < count; ++i) {
        rbc__align_job *job = &jobs[i];
        job->job.sources = &job->source;
        job->job.num_sources = 1;
        job->status = maker->backend->resample(maker->context, &job->job, 0, NULL, &problem);
        if (job->status != RBC_OK) {
            job->problem = copy_of(&problem);
        }
    }
}

static void destroy(rbc__maker *maker) {
    rbc__decoder_destroy(&maker->decoder);
    rbc_context_destroy(&maker->context);
    free(maker);
}

rbc_status rbc__maker_create(rbc_jpeg_dct jpeg_dct, bool has_images, rbc__maker **out,
                             rbc_error *err) {
    static const rbc__maker_ops ops = {decode, align, destroy};
    rbc_context_params alone = RBC_CONTEXT_PARAMS_INIT;
    alone.num_threads = 1;
    rbc__maker *maker = calloc(1, sizeof *maker);
    *out = NULL;
    if (maker == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    maker->ops = &ops;
    rbc_status status = rbc__backend_for((DLDevice){kDLCPU, 0}, &maker->backend, err);
    if (status == RBC_OK) {
        status = rbc_context_create(&alone, &maker->context, err);
    }
    if (status == RBC_OK && has_images) {
        status = rbc__decoder_create(jpeg_dct, &maker->decoder, err);
    }
    if (status != RBC_OK) {
        destroy(maker);
        return status;
    }
    *out = maker;
    return RBC_OK;
}
