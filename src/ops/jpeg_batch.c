#include "ops/jpeg_batch.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "core/context.h"
#include "core/error.h"
#include "core/params.h"

static void keep_problem(rbc__jpeg_image *image, const rbc_error *problem) {
    image->status = problem->status;
    image->problem = malloc(sizeof *image->problem);
    if (image->problem != NULL) {
        *image->problem = *problem;
    }
}

/* The size found, or the problem: an image of another size than the batch's has one, too. */
static void say(const rbc_jpeg_params *params, const rbc__image_shape *shape, rbc_error *problem,
                rbc__jpeg_image *image) {
    if (problem->status == RBC_OK && params->height != 0 &&
        (params->height != shape->height || params->width != shape->width)) {
        (void)rbc__fail(problem, RBC_ERROR_FORMAT,
                        "JPEG of %" PRId64 "x%" PRId64 " pixels; wanted %" PRId64 "x%" PRId64,
                        shape->height, shape->width, params->height, params->width);
    }
    image->height = params->height != 0 ? params->height : shape->height;
    image->width = params->height != 0 ? params->width : shape->width;
    image->channels = params->channels != 0  ? params->channels
                      : shape->channels != 0 ? shape->channels
                                             : 3;
    if (problem->status != RBC_OK) {
        keep_problem(image, problem);
    }
}

static void read_image(const rbc_jpeg_params *params, rbc__jpeg_image *image) {
    rbc__image_shape shape = {0};
    rbc_error problem = {.status = RBC_OK};
    if (!rbc__jpeg_codec.matches(image->bytes, image->num_bytes)) {
        (void)rbc__fail(&problem, RBC_ERROR_FORMAT,
                        "found %" PRIu64 " bytes that do not begin as a JPEG", image->num_bytes);
    } else if (rbc__jpeg_check(image->bytes, image->num_bytes, NULL, &shape, &problem) == RBC_OK) {
        (void)rbc__jpeg_header_read(image->bytes, image->num_bytes, &image->header, &problem);
    }
    say(params, &shape, &problem, image);
}

/* Of an image whose stream is elsewhere. Where the digest does not show it to be plain and of one
 * scan, nothing is said yet. */
static void read_digest(const rbc_jpeg_params *params, const rbc__jpeg_digest *digest,
                        rbc__jpeg_start *start, bool is_first, rbc__jpeg_image *image) {
    rbc_error problem = {.status = RBC_OK};
    rbc__jpeg_header *header = &image->header;
    (void)rbc__jpeg_header_read_digest(digest, image->num_bytes, start, is_first, header, &problem);
    header->is_plain = header->is_plain && header->num_scans == 1;
    if (!header->is_plain && problem.status == RBC_OK) {
        return;
    }
    rbc__image_shape shape = {0};
    if (problem.status == RBC_OK) {
        (void)rbc__jpeg_check_header(header, &shape, &problem);
    }
    say(params, &shape, &problem, image);
}

/* The batch destroyed last: memory of headers, fresh from the system, takes longer than reading
 * them. */
static _Atomic(rbc_jpeg_batch *) spare;

enum { MOST_SPARE_IMAGES = 4096 };

static void release_fetched(rbc_jpeg_batch *batch) {
    if (batch->fetched != NULL) {
        batch->backend->release_jpegs(batch->fetched);
        batch->fetched = NULL;
    }
}

static void free_batch(rbc_jpeg_batch *batch) {
    if (batch == NULL) {
        return;
    }
    for (int64_t i = 0; i < batch->room; ++i) {
        rbc__jpeg_header_free(&batch->images[i].header);
    }
    release_fetched(batch);
    free(batch->images);
    free(batch);
}

/* One with room for `count` images, of which nothing is set but memory. NULL: there is none. */
static rbc_jpeg_batch *take_batch(int64_t count) {
    rbc_jpeg_batch *batch = atomic_exchange(&spare, NULL);
    if (batch != NULL && batch->room < count) {
        free_batch(batch);
        batch = NULL;
    }
    if (batch == NULL) {
        batch = calloc(1, sizeof *batch);
        rbc__jpeg_image *images = calloc((size_t)count + 1, sizeof *images);
        if (batch == NULL || images == NULL) {
            free(batch);
            free(images);
            return NULL;
        }
        batch->images = images;
        batch->room = count;
    }
    batch->count = count;
    batch->backend = NULL;
    memset(batch->kept, 0, sizeof batch->kept);
    for (int64_t i = 0; i < count; ++i) {
        batch->images[i].status = RBC_OK;
        batch->images[i].header.is_plain = false;
    }
    return batch;
}

typedef struct reading {
    const rbc_jpeg_params *params;
    const rbc__jpeg_digest *digests; /* or NULL: of streams that are here, and not read yet */
    rbc__jpeg_start *start;
    rbc__jpeg_image *images;
    int64_t count, parts;
} reading;

static void read_part(void *job, int64_t index) {
    const reading *r = job;
    const int64_t first = index * r->count / r->parts;
    const int64_t end = (index + 1) * r->count / r->parts;
    for (int64_t i = first; i < end; ++i) {
        rbc__jpeg_image *image = &r->images[i];
        const bool is_here = image->bytes != NULL || image->num_bytes == 0;
        if (r->digests != NULL) {
            read_digest(r->params, &r->digests[i], r->start, false, image);
        } else if (is_here && image->status == RBC_OK) {
            read_image(r->params, image);
        }
    }
}

static rbc_status check_params(const rbc_jpeg_params *params, rbc_error *err) {
    if ((params->height == 0) != (params->width == 0) || params->height < 0 || params->width < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "size is %" PRId64 "x%" PRId64 "; wanted both positive, or both 0",
                         params->height, params->width);
    }
    if (params->channels != 0 && params->channels != 1 && params->channels != 3) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "channels is %d; wanted 1, 3 or 0",
                         (int)params->channels);
    }
    return RBC_OK;
}

/* Fewer headers than this take a thread less time than waking it. */
enum { HEADERS_A_PART = 8, DIGESTS_A_PART = 256 };

static void read_all(rbc_context *context, rbc_jpeg_batch *batch, const rbc__jpeg_digest *digests) {
    rbc__jpeg_start start = {0};
    if (digests != NULL) {
        read_digest(&batch->params, &digests[0], &start, true, &batch->images[0]);
    }
    const int64_t first = digests != NULL;
    const int64_t threads = rbc__pool_num_threads(context->pool);
    const int64_t each = digests != NULL ? DIGESTS_A_PART : HEADERS_A_PART;
    const int64_t parts = (batch->count - first + each - 1) / each;
    reading r = {
        .params = &batch->params,
        .digests = digests != NULL ? digests + first : NULL,
        .start = &start,
        .images = batch->images + first,
        .count = batch->count - first,
        .parts = parts < threads ? parts : threads,
    };
    rbc__pool_run(context->pool, r.parts, read_part, &r);
}

/* An empty batch for what was checked. */
static rbc_status begin(const rbc_context *context, int64_t count, const rbc_jpeg_params *params,
                        rbc_jpeg_batch **out, rbc_error *err) {
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
    }
    rbc_jpeg_params known = RBC_JPEG_PARAMS_INIT;
    RBC__TRY(rbc__params_read(params, &known, sizeof known, "params", err));
    RBC__TRY(check_params(&known, err));
    RBC__TRY(rbc__jpeg_dct_choose(known.dct, RBC_JPEG_DCT_ACCURATE, &known.dct, err));
    *out = take_batch(count);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %" PRId64 " images",
                         count);
    }
    (*out)->params = known;
    return RBC_OK;
}

/* Hands it out, unless memory was short for one of its images. */
static rbc_status finish(rbc_jpeg_batch *batch, rbc_jpeg_batch **out, rbc_error *err) {
    for (int64_t i = 0; i < batch->count; ++i) {
        if (batch->images[i].status == RBC_ERROR_OUT_OF_MEMORY) {
            const rbc_status status =
                rbc__jpeg_image_fail(&batch->images[i], i, batch->params.dct, err);
            rbc_jpeg_batch_destroy(&batch);
            return status;
        }
    }
    *out = batch;
    return RBC_OK;
}

rbc_status rbc_jpeg_batch_create(rbc_context *context, const void *const *bytes,
                                 const uint64_t *num_bytes, int64_t count,
                                 const rbc_jpeg_params *params, rbc_jpeg_batch **out,
                                 rbc_error *err) {
    if (out == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    if (count < 0 || (count > 0 && (bytes == NULL || num_bytes == NULL))) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "count is %" PRId64 "; wanted at least 0, with bytes and num_bytes",
                         count);
    }
    for (int64_t i = 0; i < count; ++i) {
        if (bytes[i] == NULL && num_bytes[i] != 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "bytes[%" PRId64 "] is NULL", i);
        }
    }
    rbc_jpeg_batch *batch = NULL;
    RBC__TRY(begin(context, count, params, &batch, err));
    for (int64_t i = 0; i < count; ++i) {
        batch->images[i].bytes = bytes[i];
        batch->images[i].num_bytes = num_bytes[i];
    }
    read_all(context, batch, NULL);
    return finish(batch, out, err);
}

/* ---- headers of streams elsewhere ---- */

static rbc_status check_tensor(const DLTensor *data, const int64_t *offsets, int64_t count,
                               rbc_error *err) {
    rbc__dtype dtype;
    RBC__TRY(rbc__tensor_check(data, "data", &dtype, err));
    const int64_t any = -1;
    RBC__TRY(rbc__tensor_check_shape(data, "data", 1, &any, err));
    if (dtype != RBC__U8 || !rbc__tensor_is_contiguous(data)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "data is %s%s; wanted contiguous uint8",
                         rbc__dtype_name(dtype),
                         rbc__tensor_is_contiguous(data) ? "" : " with gaps");
    }
    if (count < 0 || offsets == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "count is %" PRId64 "; wanted at least 0, with offsets", count);
    }
    for (int64_t i = 0; i < count; ++i) {
        if (offsets[i] < 0 || offsets[i + 1] < offsets[i] || offsets[i + 1] > data->shape[0]) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "offsets are %" PRId64 " to %" PRId64 " for image %" PRId64
                             "; wanted them to ascend within [0, %" PRId64 "]",
                             offsets[i], offsets[i + 1], i, data->shape[0]);
        }
    }
    return RBC_OK;
}

/* What the device tells of the streams, and for images of which that is too little all of them. */
static rbc_status read_there(rbc_context *context, rbc_jpeg_batch *batch, rbc_error *err) {
    rbc__jpeg_digest *digests = malloc((size_t)batch->count * sizeof *digests);
    if (digests == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %" PRId64 " images",
                         batch->count);
    }
    void *held = NULL;
    rbc_status status = batch->backend->survey_jpegs(&batch->streams, digests, &held, err);
    if (status == RBC_OK) {
        read_all(context, batch, digests);
    }
    batch->backend->release_jpegs(held);
    free(digests);
    bool are_plain = true;
    for (int64_t i = 0; i < batch->count; ++i) {
        are_plain = are_plain && batch->images[i].header.is_plain;
    }
    if (status == RBC_OK && !are_plain) {
        status = batch->backend->fetch_jpegs(&batch->streams, &batch->fetched, err);
        if (status == RBC_OK) {
            read_all(context, batch, NULL);
        }
    }
    return status;
}

rbc_status rbc_jpeg_batch_create_from(rbc_context *context, const DLTensor *data,
                                      const int64_t *offsets, int64_t count,
                                      const rbc_jpeg_params *params, void *stream,
                                      rbc_jpeg_batch **out, rbc_error *err) {
    if (out == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    RBC__TRY(check_tensor(data, offsets, count, err));
    const rbc__backend *backend;
    RBC__TRY(rbc__backend_for(data->device, &backend, err));
    rbc_jpeg_batch *batch = NULL;
    RBC__TRY(begin(context, count, params, &batch, err));
    const bool are_here = backend->survey_jpegs == NULL;
    const uint8_t *bytes = rbc__tensor_data(data);
    for (int64_t i = 0; i < count; ++i) {
        rbc__jpeg_image *image = &batch->images[i];
        image->bytes = are_here ? bytes + offsets[i] : NULL;
        image->num_bytes = (uint64_t)(offsets[i + 1] - offsets[i]);
        image->at = (uint64_t)offsets[i];
    }
    if (are_here || count == 0) {
        read_all(context, batch, NULL);
        return finish(batch, out, err);
    }
    batch->backend = backend;
    batch->streams = (rbc__jpeg_streams){
        .data = bytes,
        .num_bytes = (uint64_t)data->shape[0],
        .images = batch->images,
        .count = count,
        .device_id = data->device.device_id,
        .cu_stream = stream,
    };
    const rbc_status status = read_there(context, batch, err);
    if (status != RBC_OK) {
        rbc_jpeg_batch_destroy(&batch);
        return status;
    }
    return finish(batch, out, err);
}

void rbc_jpeg_batch_destroy(rbc_jpeg_batch **batch) {
    if (batch == NULL || *batch == NULL) {
        return;
    }
    for (int64_t i = 0; i < (*batch)->count; ++i) {
        free((*batch)->images[i].problem);
        (*batch)->images[i].problem = NULL;
    }
    release_fetched(*batch);
    free_batch(atomic_exchange(&spare, (*batch)->room <= MOST_SPARE_IMAGES ? *batch : NULL));
    if ((*batch)->room > MOST_SPARE_IMAGES) {
        free_batch(*batch);
    }
    *batch = NULL;
}

int64_t rbc_jpeg_batch_size(const rbc_jpeg_batch *batch) {
    return batch->count;
}

void rbc_jpeg_batch_info(const rbc_jpeg_batch *batch, int64_t index, rbc_jpeg_info *out) {
    if (index < 0 || index >= batch->count) {
        *out = (rbc_jpeg_info){.status = RBC_ERROR_NOT_FOUND};
        return;
    }
    const rbc__jpeg_image *image = &batch->images[index];
    *out = (rbc_jpeg_info){
        .height = image->height,
        .width = image->width,
        .channels = (int32_t)image->channels,
        .status = image->status,
        .on_cpu = image->status == RBC_OK && !image->header.is_plain,
    };
}
