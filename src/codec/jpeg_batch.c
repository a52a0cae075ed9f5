#include "codec/jpeg_batch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

typedef struct run {
    rbc_jpeg_dct dct;
    rbc__jpeg_task *tasks;
    int64_t count;
    _Atomic int64_t next;
    _Atomic int32_t num_decoders;
} run;

static rbc_status decode(rbc__decoder *decoder, const rbc__jpeg_image *image, void *out,
                         rbc_error *err) {
    const rbc__image_shape want = {
        .height = image->height, .width = image->width, .channels = image->channels, .bits = 8};
    return rbc__jpeg_codec.decode(decoder, image->bytes, image->num_bytes, NULL, &want, out,
                                  image->width * image->channels, err);
}

/* A thread's part: images as they come, with one decoder. */
static void part(void *job, int64_t index) {
    (void)index;
    run *r = job;
    rbc__decoder *decoder;
    if (rbc__decoder_create(r->dct, &decoder, NULL) != RBC_OK) {
        return;
    }
    ++r->num_decoders;
    for (int64_t i = r->next++; i < r->count; i = r->next++) {
        rbc__jpeg_task *task = &r->tasks[i];
        task->status = decode(decoder, task->image, task->out, NULL);
        if (task->status != RBC_OK) {
            memset(task->out, 0, rbc__jpeg_image_bytes(task->image));
        }
    }
    rbc__decoder_destroy(&decoder);
}

rbc_status rbc__jpeg_decode_all(rbc__pool *pool, rbc_jpeg_dct dct, rbc__jpeg_task *tasks,
                                int64_t count, rbc_error *err) {
    run r = {.dct = dct, .tasks = tasks, .count = count};
    const int64_t threads = rbc__pool_num_threads(pool);
    rbc__pool_run(pool, threads < count ? threads : count, part, &r);
    if (count > 0 && r.num_decoders == 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for a decoder");
    }
    for (int64_t i = 0; i < count; ++i) {
        if (tasks[i].status == RBC_ERROR_OUT_OF_MEMORY) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                             "JPEG: no memory to decode one of %lld x %lld pixels",
                             (long long)tasks[i].image->height, (long long)tasks[i].image->width);
        }
    }
    return RBC_OK;
}

/* Decodes it into memory of its own. */
static rbc_status try(const rbc__jpeg_image *image, rbc_jpeg_dct dct, rbc_error *err) {
    void *out = malloc(rbc__jpeg_image_bytes(image));
    if (out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %zu bytes of pixels",
                         rbc__jpeg_image_bytes(image));
    }
    rbc__decoder *decoder;
    rbc_status status = rbc__decoder_create(dct, &decoder, err);
    if (status == RBC_OK) {
        status = decode(decoder, image, out, err);
        rbc__decoder_destroy(&decoder);
    }
    free(out);
    return status;
}

rbc_status rbc__jpeg_image_fail(const rbc__jpeg_image *image, int64_t index, rbc_jpeg_dct dct,
                                rbc_error *err) {
    rbc_status status = image->status;
    if (image->problem != NULL && err != NULL) {
        *err = *image->problem;
    } else if (status == RBC_OK) {
        status = try(image, dct, err);
        if (status == RBC_OK) {
            return rbc__fail(err, RBC_ERROR_INTERNAL,
                             "image %lld: found damaged, and then decoded by libjpeg-turbo",
                             (long long)index);
        }
    } else {
        return rbc__fail(err, status, "image %lld", (long long)index);
    }
    return rbc__fail_within(err, status, "image %lld", (long long)index);
}
