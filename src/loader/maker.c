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

rbc__voxel_job *rbc__jobs_add_voxel(rbc__list_of_jobs *jobs) {
    rbc__voxel_job *grown = grow(jobs->voxel, jobs->num_voxel, &jobs->voxel_room, sizeof *grown);
    if (grown == NULL) {
        return NULL;
    }
    jobs->voxel = grown;
    grown[jobs->num_voxel] = (rbc__voxel_job){0};
    return &grown[jobs->num_voxel++];
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
    for (int64_t i = 0; i < jobs->num_voxel; ++i) {
        free(jobs->voxel[i].problem);
    }
    for (int64_t i = 0; i < jobs->num_align; ++i) {
        free(jobs->align[i].problem);
    }
    jobs->num_decode = jobs->num_copy = jobs->num_voxel = jobs->num_align = 0;
}

void rbc__jobs_free(rbc__list_of_jobs *jobs) {
    rbc__jobs_clear(jobs);
    free(jobs->decode);
    free(jobs->copy);
    free(jobs->voxel);
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

static rbc_status decode_to(rbc__maker *maker, const rbc__decode_job *job, void *dst,
                            int64_t row_bytes, rbc_error *err) {
    return job->is_ros ? rbc__ros_image_decode(job->pixels, job->encoded, job->num_bytes,
                                               job->stream, &job->shape, dst, row_bytes, err)
                       : rbc__image_decode(maker->decoder, job->encoded, job->num_bytes,
                                           job->stream, &job->shape, dst, row_bytes, err);
}

static int64_t row_bytes_of(const rbc__decode_job *job) {
    return job->shape.width * job->shape.channels * rbc__dtype_bytes(job->made->stored);
}

/* Decodes an image of any size, but where the result's is that of the image. */
static rbc_status decode_aside(rbc__maker *maker, rbc__decode_job *job, rbc_error *err) {
    if (!job->is_ros && !rbc__image_spec_keeps_size(job->made)) {
        rbc__image_shape found;
        RBC__TRY(rbc__image_probe(maker->decoder, job->encoded, job->num_bytes, job->stream, &found,
                                  err));
        job->shape.height = found.height;
        job->shape.width = found.width;
    }
    int64_t bytes;
    if (!rbc__mul_size(job->shape.height, row_bytes_of(job), &bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: image of %lld x %lld pixels", job->stream,
                         (long long)job->shape.height, (long long)job->shape.width);
    }
    RBC__TRY(rbc__scratch_reserve(&maker->pixels, (size_t)bytes, err));
    return decode_to(maker, job, maker->pixels.data, row_bytes_of(job), err);
}

/* What job->made says, of pixels of job->shape. */
static rbc_status make_image(rbc__maker *maker, const rbc__decode_job *job, const void *pixels,
                             void *dst, rbc_error *err) {
    rbc__image_item item = {.pixels = pixels, .row_stride_bytes = row_bytes_of(job)};
    rbc__image_job image = {.spec = job->made, .items = &item, .count = 1};
    rbc_status status = rbc__image_draw_for(job->made, job->key, job->shape.height,
                                            job->shape.width, "image: ", &item.draw, err);
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "stream '%s'", job->stream);
    }
    item.height = (int32_t)job->shape.height;
    item.width = (int32_t)job->shape.width;
    item.out = dst;
    image.workspace_bytes = maker->backend->image_workspace_bytes(&image);
    RBC__TRY(rbc__scratch_reserve(&maker->workspace, (size_t)image.workspace_bytes + 1, err));
    image.workspace = (char *)maker->workspace.data;
    return maker->backend->image(maker->context, &image, 0, NULL, err);
}

/* Neighbours often want the image before once more. */
static bool is_there(const rbc__decode_job *before, const rbc__decode_job *job) {
    return before != NULL && before->encoded == job->encoded &&
           before->num_bytes == job->num_bytes && before->is_ros == job->is_ros &&
           before->pixels == job->pixels && before->shape.channels == job->shape.channels &&
           before->shape.bits == job->shape.bits;
}

void rbc__put_nothing(rbc__dtype dtype, bool is_nan, int64_t bytes, uint8_t *dst) {
    if (!is_nan) {
        memset(dst, 0, (size_t)bytes);
        return;
    }
    const uint64_t nan = rbc__dtype_nan(dtype); /* in the low bytes: little endian */
    const int64_t step = rbc__dtype_bytes(dtype);
    for (int64_t at = 0; at < bytes; at += step) {
        memcpy(dst + at, &nan, (size_t)step);
    }
}

rbc_status rbc__maker_run(rbc__maker *maker, rbc__decode_job *job, const rbc__decode_job **before,
                          void *dst, rbc_error *err) {
    if (job->is_nothing) {
        rbc__put_nothing(job->dtype, job->is_nan, job->bytes, dst);
        return RBC_OK;
    }
    if (job->made == NULL && job->is_pixels) {
        memcpy(dst, job->encoded, (size_t)job->bytes);
        return RBC_OK;
    }
    if (job->made == NULL) {
        return decode_to(maker, job, dst, job->row_bytes, err);
    }
    if (job->is_pixels) {
        return make_image(maker, job, job->encoded, dst, err);
    }
    job->is_reused = is_there(*before, job);
    if (job->is_reused) {
        job->shape = (*before)->shape;
    } else {
        *before = NULL;
        RBC__TRY(decode_aside(maker, job, err));
    }
    *before = job;
    return make_image(maker, job, maker->pixels.data, dst, err);
}

void rbc__decode_job_fail(rbc__decode_job *job, const rbc_error *problem) {
    job->status = problem->status;
    job->problem = copy_of(problem);
}

static void decode(rbc__maker *maker, rbc_batch *batch, rbc__list_of_jobs *jobs) {
    rbc_error problem;
    const rbc__decode_job *before = NULL;
    (void)batch;
    for (int64_t i = 0; i < jobs->num_decode; ++i) {
        rbc__decode_job *job = &jobs->decode[i];
        if (rbc__maker_run(maker, job, &before, job->dst, &problem) != RBC_OK) {
            rbc__decode_job_fail(job, &problem);
        }
    }
    for (int64_t i = 0; i < jobs->num_copy; ++i) {
        const rbc__copy_job *copy = &jobs->copy[i];
        if (jobs->decode[copy->from].status == RBC_OK) {
            memcpy(copy->dst, jobs->decode[copy->from].dst, (size_t)copy->bytes);
        }
    }
}

static rbc_status make_grid(rbc__maker *maker, const rbc__voxel_job *job, rbc_error *err) {
    rbc__voxelize_job grid = job->spec->job;
    rbc__depth_source depth = job->spec->depth;
    const char *points = (const char *)job->points;
    grid.cloud.num_points = job->num_points;
    if (job->spec->is_depth) {
        depth.depth = points;
        grid.cloud.depth = &depth;
    } else {
        grid.cloud.points = points;
        grid.cloud.features = points + 3 * grid.cloud.axis_stride_bytes;
    }
    grid.out = (char *)job->out;
    grid.dropped = job->dropped;
    grid.workspace_bytes = maker->backend->voxelize_workspace_bytes(maker->context, &grid);
    RBC__TRY(rbc__scratch_reserve(&maker->workspace, (size_t)grid.workspace_bytes + 1, err));
    grid.workspace = (char *)maker->workspace.data;
    return maker->backend->voxelize(maker->context, &grid, 0, NULL, err);
}

void rbc__voxel_job_fail(rbc__voxel_job *job, const rbc_error *problem) {
    job->status = problem->status;
    job->problem = copy_of(problem);
}

static void voxelize(rbc__maker *maker, rbc_batch *batch, rbc__voxel_job *jobs, int64_t count) {
    rbc_error problem;
    (void)batch;
    for (int64_t i = 0; i < count; ++i) {
        rbc__voxel_job *job = &jobs[i];
        if (job->status == RBC_OK && job->same >= 0) {
            const rbc__voxel_job *same = &jobs[job->same];
            job->status = same->status;
            job->problem = same->problem != NULL ? copy_of(same->problem) : NULL;
            memcpy(job->out, same->out, (size_t)job->spec->grid_bytes);
            *job->dropped = *same->dropped;
        } else if (job->status == RBC_OK) {
            if (make_grid(maker, job, &problem) != RBC_OK) {
                rbc__voxel_job_fail(job, &problem);
            }
        }
    }
}

void rbc__maker_align(rbc__maker *maker, rbc__align_job *jobs, int64_t count) {
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

void rbc__maker_clear(rbc__maker *maker) {
    rbc__decoder_destroy(&maker->decoder);
    rbc_context_destroy(&maker->context);
    rbc__scratch_free(&maker->pixels);
    rbc__scratch_free(&maker->workspace);
}

rbc_status rbc__maker_init(rbc__maker *maker, rbc_jpeg_dct jpeg_dct, bool has_images,
                           rbc_error *err) {
    rbc_context_params alone = RBC_CONTEXT_PARAMS_INIT;
    alone.num_threads = 1;
    RBC__TRY(rbc__backend_for((DLDevice){kDLCPU, 0}, &maker->backend, err));
    RBC__TRY(rbc_context_create(&alone, &maker->context, err));
    return has_images ? rbc__decoder_create(jpeg_dct, &maker->decoder, err) : RBC_OK;
}

static void destroy(rbc__maker *maker) {
    rbc__maker_clear(maker);
    free(maker);
}

rbc_status rbc__maker_create(rbc_jpeg_dct jpeg_dct, bool has_images, rbc__maker **out,
                             rbc_error *err) {
    static const rbc__maker_ops ops = {decode, voxelize, rbc__maker_align, NULL, NULL, destroy};
    rbc__maker *maker = calloc(1, sizeof *maker);
    *out = NULL;
    if (maker == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    maker->ops = &ops;
    const rbc_status status = rbc__maker_init(maker, jpeg_dct, has_images, err);
    if (status != RBC_OK) {
        destroy(maker);
        return status;
    }
    *out = maker;
    return RBC_OK;
}
