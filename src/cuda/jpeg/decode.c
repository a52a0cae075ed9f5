#include <stdlib.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "core/context.h"
#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/jpeg/layout.h"
#include "cuda/ops.h"
#include "cuda/runtime/pipe.h"
#include "cuda/runtime/staging.h"

enum {
    STREAM_ALIGNMENT = 16,
    FIRST_STREAM = 16, /* the byte before a piece of data is looked at */
    CLEAR_BLOCKS_A_MULTIPROCESSOR = 8,
    COPY_BYTES = 1 << 18, /* of streams, copied by a thread at a time */
};

_Static_assert((int)RBC__JPEG_PIECE_BYTES == (int)JPEG_PIECE_BYTES,
               "pieces are as the kernel takes them");

/* What a batch keeps from one call to the next. */
typedef struct kept {
    bool is_made;
    uint64_t num_plain;
    rbc__jpeg_layout layout;
} kept;

_Static_assert(sizeof(kept) <= RBC__JPEG_KEPT_BYTES, "what is kept fits in a batch");

/* One call. */
typedef struct decoding {
    const rbc__jpeg_job *job;
    const kept *kept;
    rbc__jpeg_input *inputs; /* plain images */
    rbc__jpeg_task *tasks;   /* others that are worth decoding */
    int64_t num_tasks;
    /* In the staging memory, which begins with the description and the streams. */
    unsigned char *memory;
    uint64_t valid, pixels, bytes;
    jpeg_launch launched;
} decoding;

/* ---- what is where -------------------------------------------------------------------------- */

static bool is_plain(const rbc__jpeg_image *image) {
    return image->status == RBC_OK && image->header.is_plain;
}

/* Of streams on the device: how far behind a multiple of 16 they begin. */
static uint64_t skew_of(const rbc__jpeg_job *job) {
    return (uintptr_t)job->streams % STREAM_ALIGNMENT;
}

/* Streams of plain images: where they are on the device, else one behind the other. Returns the
 * bytes of those that are to be copied there. */
static uint64_t locate_streams(const rbc__jpeg_job *job, rbc__jpeg_input *inputs) {
    const bool are_there = job->streams != NULL;
    uint64_t at = FIRST_STREAM;
    uint64_t n = 0;
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__jpeg_image *image = &job->images[i];
        if (is_plain(image)) {
            inputs[n++] = (rbc__jpeg_input){
                .header = &image->header,
                .stream = are_there ? skew_of(job) + image->at : at,
                .num_bytes = (uint32_t)image->num_bytes,
                .channels = (uint32_t)image->channels,
                .number = (uint32_t)i,
                .out = (uint8_t *)image->out,
            };
            at = (uint64_t)rbc__round_up((int64_t)(at + image->num_bytes), STREAM_ALIGNMENT);
        }
    }
    return are_there ? 0 : at;
}

static uint64_t count_plain(const rbc__jpeg_job *job) {
    uint64_t count = 0;
    for (int64_t i = 0; i < job->count; ++i) {
        count += is_plain(&job->images[i]);
    }
    return count;
}

static rbc_status fail_memory(const rbc__jpeg_job *job, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %lld images",
                     (long long)job->count);
}

static rbc_status measure_batch(const rbc__jpeg_job *job, rbc_error *err) {
    kept *p = job->kept;
    if (p->is_made) {
        return RBC_OK;
    }
    p->num_plain = count_plain(job);
    rbc__jpeg_input *inputs = calloc(p->num_plain + 1, sizeof *inputs);
    if (inputs == NULL) {
        return fail_memory(job, err);
    }
    const uint64_t bytes = locate_streams(job, inputs);
    p->is_made = rbc__jpeg_layout_measure(inputs, p->num_plain, bytes, &p->layout);
    free(inputs);
    return p->is_made ? RBC_OK
                      : rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                                  "%lld JPEGs are more than one call takes on CUDA: decode them in "
                                  "several",
                                  (long long)job->count);
}

rbc_status rbc__cuda_decode_jpeg_workspace_bytes(const rbc__jpeg_job *job, uint64_t *bytes,
                                                 rbc_error *err) {
    RBC__TRY(measure_batch(job, err));
    const kept *p = job->kept;
    *bytes = p->num_plain == 0 ? 0 : p->layout.bytes;
    return RBC_OK;
}

/* ---- on the host ---------------------------------------------------------------------------- */

static uint64_t staging_bytes(decoding *d) {
    const rbc__jpeg_job *job = d->job;
    uint64_t at = d->kept->layout.streams + d->kept->layout.streams_bytes;
    d->valid = at;
    at = (uint64_t)rbc__round_up((int64_t)(at + (uint64_t)job->count), STREAM_ALIGNMENT);
    d->pixels = at;
    for (int64_t i = 0; i < job->count; ++i) {
        if (!is_plain(&job->images[i])) {
            at += rbc__jpeg_image_bytes(&job->images[i]);
        }
    }
    d->bytes = at;
    return at;
}

/* Copies past the caches where that can be said: a device reads memory faster than what lies
 * changed in a core's cache. `to` is at a multiple of 16. */
static void copy_to_memory(unsigned char *to, const uint8_t *from, size_t bytes) {
    size_t at = 0;
#ifdef __SSE2__
    for (; bytes - at >= 16; at += 16) {
        _mm_stream_si128((__m128i *)(void *)(to + at),
                         _mm_loadu_si128((const __m128i *)(const void *)(from + at)));
    }
#endif
    memcpy(to + at, from + at, bytes - at);
}

typedef struct copying {
    const decoding *decoding;
    const rbc__jpeg_job *job;
    uint64_t parts;
} copying;

static void copy_part(void *job, int64_t index) {
    const copying *c = job;
    const decoding *d = c->decoding;
    const uint64_t first = (uint64_t)index * d->kept->num_plain / c->parts;
    const uint64_t end = ((uint64_t)index + 1) * d->kept->num_plain / c->parts;
    for (uint64_t i = first; i < end; ++i) {
        const rbc__jpeg_input *input = &d->inputs[i];
        copy_to_memory(d->memory + d->kept->layout.streams + input->stream,
                       c->job->images[input->number].bytes, input->num_bytes);
    }
#ifdef __SSE2__
    _mm_sfence();
#endif
}

/* Descriptions and streams, and pixels of images that are not plain, in the staging memory. */
static rbc_status fill_staging(rbc_context *context, decoding *d, rbc_error *err) {
    const rbc__jpeg_job *job = d->job;
    const rbc__jpeg_layout *layout = &d->kept->layout;
    if (d->kept->num_plain > 0) {
        rbc__jpeg_layout_describe(d->inputs, layout, d->memory);
    }
    if (layout->streams_bytes > 0 && d->kept->num_plain > 0) {
        const uint64_t parts = layout->streams_bytes / COPY_BYTES + 1;
        const uint64_t threads = (uint64_t)rbc__pool_num_threads(context->pool);
        copying c = {d, job, parts < threads ? parts : threads};
        rbc__pool_run(context->pool, (int64_t)c.parts, copy_part, &c);
    }
    unsigned char *pixels = d->memory + d->pixels;
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__jpeg_image *image = &job->images[i];
        if (is_plain(image)) {
            continue;
        }
        if (image->status == RBC_OK) {
            d->tasks[d->num_tasks++] = (rbc__jpeg_task){.image = image, .out = pixels};
        } else {
            memset(pixels, 0, rbc__jpeg_image_bytes(image));
        }
        pixels += rbc__jpeg_image_bytes(image);
    }
    RBC__TRY(rbc__jpeg_decode_all(context->pool, job->dct, d->tasks, d->num_tasks, err));
    memset(d->memory + d->valid, 0, (size_t)job->count);
    for (int64_t i = 0; i < d->num_tasks; ++i) {
        d->memory[d->valid + (uint64_t)(d->tasks[i].image - job->images)] =
            d->tasks[i].status == RBC_OK;
    }
    return RBC_OK;
}

/* ---- on the device -------------------------------------------------------------------------- */

static rbc_status copy(rbc__cuda_queue *queue, void *to, const void *from, uint64_t bytes,
                       rbc_error *err) {
    if (bytes == 0) {
        return RBC_OK;
    }
    const CUresult result =
        queue->driver->memcpy_htod_async((CUdeviceptr)(uintptr_t)to, from, bytes, queue->cu_stream);
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(queue->driver, result, err, "copying JPEGs to the device");
}

/* What the kernels say nothing of: pixels of images that are not plain. */
static rbc_status copy_others(rbc__cuda_queue *queue, const decoding *d, rbc_error *err) {
    const rbc__jpeg_job *job = d->job;
    const unsigned char *pixels = d->memory + d->pixels;
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__jpeg_image *image = &job->images[i];
        if (!is_plain(image)) {
            RBC__TRY(copy(queue, image->out, pixels, rbc__jpeg_image_bytes(image), err));
            pixels += rbc__jpeg_image_bytes(image);
        }
    }
    /* Of plain images alone the kernels say everything. */
    return job->valid == NULL || d->kept->num_plain == (uint64_t)job->count
               ? RBC_OK
               : copy(queue, job->valid, d->memory + d->valid, (uint64_t)job->count, err);
}

static rbc_status launch_with(rbc__cuda_queue *queue, rbc__cuda_kernel kernel, uint64_t blocks,
                              uint32_t threads, uint32_t shared_bytes, const jpeg_launch *params,
                              rbc_error *err) {
    const rbc__cuda_shape shape = {
        .blocks = (int64_t)blocks,
        .blocks_y = 1,
        .threads = threads,
        .shared_bytes = shared_bytes,
    };
    return rbc__cuda_launch(queue, kernel, shape, params, err);
}

static rbc_status launch(rbc__cuda_queue *queue, rbc__cuda_kernel kernel, uint64_t blocks,
                         uint32_t threads, const jpeg_launch *params, rbc_error *err) {
    return launch_with(queue, kernel, blocks, threads, 0, params, err);
}

static uint64_t blocks_for(uint64_t items, uint64_t each) {
    return (uint64_t)rbc__divide_up((int64_t)items, (int64_t)each);
}

static rbc_status launch_all(rbc__cuda_queue *queue, const rbc__jpeg_layout *layout,
                             const jpeg_launch *p, rbc_error *err) {
    const uint32_t shared = 4 * JPEG_BUNDLE_WORDS(layout->largest_bundle);
    const uint32_t kept_rows =
        p->keeps_rows ? layout->largest_bundle * JPEG_BLOCK * (uint32_t)sizeof(int16_t) : 0;
    const uint64_t clearing = (uint64_t)queue->multiprocessors * CLEAR_BLOCKS_A_MULTIPROCESSOR;
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_prepare,
                    layout->num_pieces + layout->num_tables + clearing, JPEG_PREPARE_THREADS, p,
                    err));
    RBC__TRY(launch_with(queue, RBC__CUDA_jpeg_strand, layout->num_bundles, JPEG_BUNDLE_STRANDS,
                         shared, p, err));
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_join, layout->num_joined, JPEG_JOIN_THREADS, p, err));
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_offset,
                    blocks_for(layout->num_segments, JPEG_OFFSET_THREADS / 32), JPEG_OFFSET_THREADS,
                    p, err));
    RBC__TRY(launch_with(queue, RBC__CUDA_jpeg_write, layout->num_bundles, JPEG_BUNDLE_STRANDS,
                         shared + kept_rows, p, err));
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_dc, layout->num_segments, JPEG_DC_THREADS, p, err));
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_verdict,
                    blocks_for(layout->num_images, JPEG_VERDICT_THREADS), JPEG_VERDICT_THREADS, p,
                    err));
    RBC__TRY(launch(queue, RBC__CUDA_jpeg_idct, layout->num_idct_tiles, JPEG_IDCT_THREADS, p, err));
    return launch(queue, RBC__CUDA_jpeg_colour, layout->num_colour_tiles, JPEG_COLOUR_THREADS, p,
                  err);
}

/* Copies and launches, handed to the driver. */
static rbc_status queue_all(rbc__cuda_queue *queue, decoding *d, rbc__cuda_staging *staging,
                            rbc_error *err) {
    const rbc__jpeg_job *job = d->job;
    const rbc__jpeg_layout *layout = &d->kept->layout;
    RBC__TRY(copy_others(queue, d, err));
    if (d->kept->num_plain == 0) {
        return RBC_OK;
    }
    unsigned char *description = (unsigned char *)job->workspace;
    if (job->streams != NULL) {
        RBC__TRY(copy(queue, description, d->memory, layout->streams, err));
    } else {
        RBC__TRY(rbc__cuda_staging_copy(queue, staging, layout->streams + layout->streams_bytes,
                                        description, &description, err));
    }
    if (job->pipe != NULL) {
        rbc__cuda_pipe_ops.mark(job->pipe, RBC_GPU_DECODE);
    }
    jpeg_launch *p = &d->launched;
    *p = rbc__jpeg_layout_launch(layout, description, (unsigned char *)job->workspace,
                                 job->dct == RBC_JPEG_DCT_FAST);
    if (job->streams != NULL) {
        p->streams = job->streams - skew_of(job);
        p->streams_end = skew_of(job) + job->streams_bytes;
    }
    p->valid = job->valid;
    p->keeps_rows = layout->num_bundles > (uint64_t)queue->multiprocessors;
    RBC__TRY(launch_all(queue, layout, p, err));
    return rbc__cuda_flush(queue, err);
}

/* ---- verdicts ------------------------------------------------------------------------------- */

/* The error of an image that could not be decoded. */
static rbc_status fail_image(rbc__cuda_queue *queue, const rbc__jpeg_job *job, int64_t index,
                             rbc_error *err) {
    rbc__jpeg_image image = job->images[index];
    if (image.bytes != NULL || image.status != RBC_OK) {
        return rbc__jpeg_image_fail(&image, index, job->dct, err);
    }
    uint8_t *bytes = malloc(image.num_bytes + 1);
    if (bytes == NULL) {
        return fail_memory(job, err);
    }
    CUresult result =
        queue->driver->memcpy_dtoh_async(bytes, (CUdeviceptr)(uintptr_t)(job->streams + image.at),
                                         image.num_bytes, queue->cu_stream);
    if (result == 0) {
        result = queue->driver->stream_synchronize(queue->cu_stream);
    }
    image.bytes = bytes;
    const rbc_status status =
        result == 0 ? rbc__jpeg_image_fail(&image, index, job->dct, err)
                    : rbc__cuda_fail(queue->driver, result, err, "copying a JPEG to the host");
    free(bytes);
    return status;
}

/* Waits, and returns the error of the first image that could not be decoded. */
static rbc_status raise(rbc__cuda_queue *queue, const decoding *d, rbc_error *err) {
    const rbc__jpeg_job *job = d->job;
    const uint64_t num_plain = d->kept->num_plain;
    uint32_t *verdicts = calloc(num_plain + 1, sizeof *verdicts);
    if (verdicts == NULL) {
        return fail_memory(job, err);
    }
    CUresult result = 0;
    if (num_plain > 0) {
        result =
            queue->driver->memcpy_dtoh_async(verdicts, (CUdeviceptr)(uintptr_t)d->launched.verdicts,
                                             num_plain * sizeof *verdicts, queue->cu_stream);
    }
    if (result == 0) {
        result = queue->driver->stream_synchronize(queue->cu_stream);
    }
    rbc_status status =
        result == 0 ? RBC_OK : rbc__cuda_fail(queue->driver, result, err, "decoding JPEGs");
    for (int64_t i = 0, plain = 0, task = 0; status == RBC_OK && i < job->count; ++i) {
        const rbc__jpeg_image *image = &job->images[i];
        bool is_whole = false;
        if (is_plain(image)) {
            is_whole = verdicts[plain++] != 0;
        } else if (image->status == RBC_OK) {
            is_whole = d->tasks[task++].status == RBC_OK;
        }
        if (!is_whole) {
            status = fail_image(queue, job, i, err);
        }
    }
    free(verdicts);
    return status;
}

/* ---- the call ------------------------------------------------------------------------------- */

static rbc_status run_on(rbc_context *context, rbc__cuda_queue *queue, decoding *d,
                         rbc_error *err) {
    const rbc__jpeg_job *job = d->job;
    if (job->valid == NULL) {
        RBC__TRY(rbc__cuda_check_waiting(queue, "saying which JPEG is damaged (on_error raise)",
                                         "`valid` (on_error mask)", err));
    }
    RBC__TRY(rbc__cuda_flush(queue, err));
    rbc__cuda_staging *staging;
    RBC__TRY(rbc__cuda_staging_take(queue, staging_bytes(d), &staging, &d->memory, err));
    rbc_status status = fill_staging(context, d, err);
    if (status == RBC_OK) {
        status = queue_all(queue, d, staging, err);
    }
    const rbc_status given = rbc__cuda_staging_give(queue, staging, status == RBC_OK ? err : NULL);
    RBC__TRY(status == RBC_OK ? given : status);
    return job->valid == NULL ? raise(queue, d, err) : RBC_OK;
}

rbc_status rbc__cuda_decode_jpeg(rbc_context *context, const rbc__jpeg_job *job, int32_t device_id,
                                 void *cu_stream, rbc_error *err) {
    RBC__TRY(measure_batch(job, err));
    decoding d = {.job = job, .kept = job->kept};
    d.inputs = calloc(d.kept->num_plain + 1, sizeof *d.inputs);
    d.tasks = calloc((size_t)job->count + 1, sizeof *d.tasks);
    rbc_status status = RBC_OK;
    if (d.inputs == NULL || d.tasks == NULL) {
        status = fail_memory(job, err);
    } else {
        (void)locate_streams(job, d.inputs);
        rbc__cuda_queue queue;
        status = rbc__cuda_enter(device_id, cu_stream, &queue, err);
        if (status == RBC_OK) {
            queue.pipe = job->pipe;
            status = rbc__cuda_leave(&queue, run_on(context, &queue, &d, err));
        }
    }
    free(d.inputs);
    free(d.tasks);
    return status;
}
