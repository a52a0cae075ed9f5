/* Streams in device memory: their headers, for the host to read, and whole ones where it must. */
#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/jpeg/jpeg_params.h"
#include "cuda/ops.h"
#include "cuda/runtime/staging.h"

enum {
    ALIGNMENT = 16,
    BLOCKS_A_MULTIPROCESSOR = 16,
    MOST_BLOCKS_Y = 1024,
};

_Static_assert((int)JPEG_CHUNK_MARKERS == (int)RBC__JPEG_CHUNK_MARKERS,
               "markers are as the kernel writes them");
_Static_assert(JPEG_HEAD_BYTES + ALIGNMENT <= RBC__JPEG_PIECE_BYTES, "a head is of one chunk");

static rbc_status wait(rbc__cuda_queue *queue, rbc_error *err) {
    const CUresult result = queue->driver->stream_synchronize(queue->cu_stream);
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(queue->driver, result, err, "reading JPEGs on the device");
}

/* ---- headers -------------------------------------------------------------------------------- */

static uint32_t skew_of(const rbc__jpeg_streams *s, const rbc__jpeg_image *image) {
    return (uint32_t)(((uintptr_t)s->data + image->at) % ALIGNMENT);
}

static uint64_t chunks_of(const rbc__jpeg_streams *s, const rbc__jpeg_image *image) {
    return image->num_bytes > UINT32_MAX
               ? 0
               : rbc__jpeg_num_chunks(image->num_bytes, skew_of(s, image));
}

typedef struct plan {
    uint64_t num_chunks, most_chunks; /* of one */
    uint64_t surveyed, alike, heads, counts, markers, bytes;
} plan;

static plan plan_survey(const rbc__jpeg_streams *s) {
    plan p = {0};
    for (int64_t i = 0; i < s->count; ++i) {
        const uint64_t own = chunks_of(s, &s->images[i]);
        p.num_chunks += own;
        p.most_chunks = own > p.most_chunks ? own : p.most_chunks;
    }
    const uint64_t count = (uint64_t)s->count;
    p.alike = count * sizeof(jpeg_surveyed);
    p.counts = p.alike + count * sizeof(uint32_t);
    p.markers = p.counts + p.num_chunks * sizeof(uint32_t);
    const uint64_t marker_bytes = JPEG_CHUNK_MARKERS * sizeof(uint32_t);
    p.heads =
        (uint64_t)rbc__round_up((int64_t)(p.markers + p.num_chunks * marker_bytes), ALIGNMENT);
    p.bytes = p.heads + count * JPEG_HEAD_BYTES;
    return p;
}

/* Tells the kernel what to look at, and the reader where it will find it. */
static jpeg_survey describe(const rbc__jpeg_streams *s, const plan *p, unsigned char *memory,
                            rbc__jpeg_digest *digests) {
    const uint64_t skew = (uintptr_t)s->data % ALIGNMENT;
    jpeg_surveyed *surveyed = (jpeg_surveyed *)(void *)(memory + p->surveyed);
    uint32_t *counts = (uint32_t *)(void *)(memory + p->counts);
    uint32_t(*markers)[JPEG_CHUNK_MARKERS] = (void *)(memory + p->markers);
    uint64_t first_chunk = 0;
    for (int64_t i = 0; i < s->count; ++i) {
        const rbc__jpeg_image *image = &s->images[i];
        const uint64_t own = chunks_of(s, image);
        const uint32_t before = skew_of(s, image);
        const uint64_t room = JPEG_HEAD_BYTES - before;
        surveyed[i] = (jpeg_surveyed){
            .begin = skew + image->at,
            .num_bytes = own == 0 ? 0 : (uint32_t)image->num_bytes,
            .first_chunk = (uint32_t)first_chunk,
        };
        digests[i] = (rbc__jpeg_digest){
            .head = memory + p->heads + (uint64_t)i * JPEG_HEAD_BYTES + before,
            .head_bytes = own == 0                  ? 0
                          : image->num_bytes < room ? (uint32_t)image->num_bytes
                                                    : (uint32_t)room,
            .skew = before,
            .counts = counts + first_chunk,
            .markers = (const uint32_t(*)[JPEG_CHUNK_MARKERS])(markers + first_chunk),
        };
        first_chunk += own;
    }
    return (jpeg_survey){
        .streams = s->data - skew,
        .first = skew,
        .end = skew + s->num_bytes,
        .surveyed = surveyed,
        .heads = memory + p->heads,
        .alike = (uint32_t *)(void *)(memory + p->alike),
        .counts = counts,
        .markers = markers[0],
    };
}

static rbc_status survey_on(rbc__cuda_queue *queue, const rbc__jpeg_streams *s,
                            rbc__jpeg_digest *digests, void **held, rbc_error *err) {
    RBC__TRY(rbc__cuda_flush(queue, err));
    const plan p = plan_survey(s);
    rbc__cuda_staging *staging;
    unsigned char *memory;
    RBC__TRY(rbc__cuda_staging_take(queue, p.bytes, &staging, &memory, err));
    *held = staging;
    const jpeg_survey params = describe(s, &p, memory, digests);
    const int64_t blocks_y =
        rbc__divide_up((int64_t)BLOCKS_A_MULTIPROCESSOR * queue->multiprocessors, s->count);
    const rbc__cuda_shape shape = {
        .blocks = s->count,
        .blocks_y =
            (uint32_t)rbc__min64(rbc__min64((int64_t)p.most_chunks, blocks_y), MOST_BLOCKS_Y),
        .threads = JPEG_PREPARE_THREADS,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_jpeg_survey, shape, &params, err));
    RBC__TRY(rbc__cuda_flush(queue, err));
    RBC__TRY(wait(queue, err));
    for (int64_t i = 0; i < s->count; ++i) {
        digests[i].alike = params.alike[i];
    }
    return RBC_OK;
}

/* ---- whole streams -------------------------------------------------------------------------- */

/* Streams that lie one behind the other are copied in one piece. */
static rbc_status fetch_on(rbc__cuda_queue *queue, const rbc__jpeg_streams *s, void **held,
                           rbc_error *err) {
    RBC__TRY(rbc__cuda_flush(queue, err));
    uint64_t bytes = 0;
    for (int64_t i = 0; i < s->count; ++i) {
        bytes += s->images[i].header.is_plain ? 0 : s->images[i].num_bytes;
    }
    rbc__cuda_staging *staging;
    unsigned char *memory;
    RBC__TRY(rbc__cuda_staging_take(queue, bytes, &staging, &memory, err));
    *held = staging;
    for (int64_t i = 0; i < s->count;) {
        const uint64_t first = s->images[i].at;
        uint64_t end = first;
        for (; i < s->count && !s->images[i].header.is_plain && s->images[i].at == end; ++i) {
            s->images[i].bytes = memory + (end - first);
            end += s->images[i].num_bytes;
        }
        const CUresult result = end == first
                                    ? 0
                                    : queue->driver->memcpy_dtoh_async(
                                          memory, (CUdeviceptr)(uintptr_t)(s->data + first),
                                          end - first, queue->cu_stream);
        if (result != 0) {
            return rbc__cuda_fail(queue->driver, result, err, "copying JPEGs to the host");
        }
        memory += end - first;
        i += i < s->count && s->images[i].header.is_plain;
    }
    return wait(queue, err);
}

/* ---- calls ---------------------------------------------------------------------------------- */

rbc_status rbc__cuda_survey_jpegs(const rbc__jpeg_streams *streams, rbc__jpeg_digest *digests,
                                  void **held, rbc_error *err) {
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(streams->device_id, streams->cu_stream, &queue, err));
    rbc_status status = rbc__cuda_check_waiting(
        &queue, "reading the headers of JPEGs on the device", "them in host memory", err);
    if (status == RBC_OK) {
        status = survey_on(&queue, streams, digests, held, err);
    }
    return rbc__cuda_leave(&queue, status);
}

rbc_status rbc__cuda_fetch_jpegs(const rbc__jpeg_streams *streams, void **held, rbc_error *err) {
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(streams->device_id, streams->cu_stream, &queue, err));
    return rbc__cuda_leave(&queue, fetch_on(&queue, streams, held, err));
}

void rbc__cuda_release_jpegs(void *held) {
    if (held != NULL) {
        rbc__cuda_staging_release(held);
    }
}
