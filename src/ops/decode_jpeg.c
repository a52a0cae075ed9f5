#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "ops/jpeg_batch.h"
#include "ops/operands.h"

static rbc__jpeg_job job_of(rbc_jpeg_batch *batch) {
    const bool are_there = batch->backend != NULL;
    return (rbc__jpeg_job){
        .images = batch->images,
        .count = batch->count,
        .streams = are_there ? batch->streams.data : NULL,
        .streams_bytes = are_there ? batch->streams.num_bytes : 0,
        .dct = batch->params.dct,
        .kept = batch->kept,
    };
}

static rbc_status check_handles(const rbc_context *context, const rbc_jpeg_batch *batch,
                                rbc_error *err) {
    return context == NULL || batch == NULL
               ? rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL",
                           context == NULL ? "context" : "batch")
               : RBC_OK;
}

/* Streams on a device are decoded there. */
static rbc_status check_device(const rbc_jpeg_batch *batch, DLDevice device, rbc_error *err) {
    if (batch->backend == NULL || (device.device_type == batch->backend->device_type &&
                                   device.device_id == batch->streams.device_id)) {
        return RBC_OK;
    }
    char here[64];
    char there[64];
    return rbc__fail(
        err, RBC_ERROR_INVALID_ARGUMENT,
        "outputs are on %s and the streams on %s; wanted them on one device",
        rbc__format_device(here, sizeof here, device),
        rbc__format_device(there, sizeof there,
                           (DLDevice){batch->backend->device_type, batch->streams.device_id}));
}

rbc_status rbc_decode_jpeg_workspace(rbc_context *context, rbc_jpeg_batch *batch, DLDevice device,
                                     uint64_t *bytes, rbc_error *err) {
    RBC__TRY(check_handles(context, batch, err));
    if (bytes == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "bytes is NULL");
    }
    const rbc__backend *backend;
    RBC__TRY(check_device(batch, device, err));
    RBC__TRY(rbc__backend_for(device, &backend, err));
    const rbc__jpeg_job job = job_of(batch);
    return backend->decode_jpeg_workspace_bytes(&job, bytes, err);
}

/* The images' outputs, which are one tensor: those that can be decoded must have its size, and the
 * others take it. */
static rbc_status divide_output(rbc_jpeg_batch *batch, const DLTensor *out, rbc__operands *operands,
                                rbc_error *err) {
    const int64_t any[4] = {batch->count, -1, -1, -1};
    RBC__TRY(rbc__operands_output(operands, out, "out", RBC__U8, 4, any, err));
    const int64_t *shape = out->shape;
    for (int64_t i = 0; i < batch->count; ++i) {
        rbc__jpeg_image *image = &batch->images[i];
        if (image->status != RBC_OK) {
            image->height = shape[1];
            image->width = shape[2];
            image->channels = shape[3];
        } else if (image->height != shape[1] || image->width != shape[2] ||
                   image->channels != shape[3]) {
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT,
                "image %" PRId64 " is [%" PRId64 ", %" PRId64 ", %" PRId64 "]; wanted [%" PRId64
                ", %" PRId64 ", %" PRId64 "] as in out, or an output each",
                i, image->height, image->width, image->channels, shape[1], shape[2], shape[3]);
        }
        image->out = (char *)rbc__tensor_data(out) + i * (shape[1] * shape[2] * shape[3]);
    }
    return RBC_OK;
}

typedef struct extent {
    uintptr_t begin, end;
    int64_t index;
} extent;

static int compare_extents(const void *a, const void *b) {
    const extent *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* Outputs of images, which may be many, must lie apart. */
static rbc_status check_apart(const DLTensor *const *outs, int64_t count, rbc_error *err) {
    extent *extents = malloc(((size_t)count + 1) * sizeof *extents);
    if (extents == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %" PRId64 " images",
                         count);
    }
    int64_t n = 0;
    for (int64_t i = 0; i < count; ++i) {
        extents[n].index = i;
        rbc__tensor_extent(outs[i], &extents[n].begin, &extents[n].end);
        n += extents[n].end > extents[n].begin;
    }
    qsort(extents, (size_t)n, sizeof *extents, compare_extents);
    rbc_status status = RBC_OK;
    for (int64_t i = 1; status == RBC_OK && i < n; ++i) {
        if (extents[i].begin < extents[i - 1].end) {
            status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                               "outs[%" PRId64 "] overlaps outs[%" PRId64
                               "] in memory; wanted an output of its own for each image",
                               extents[i].index, extents[i - 1].index);
        }
    }
    free(extents);
    return status;
}

/* An output each. They are too many for operands, where but the first is kept. */
static rbc_status take_outputs(rbc_jpeg_batch *batch, const DLTensor *const *outs,
                               rbc__operands *operands, rbc_error *err) {
    for (int64_t i = 0; i < batch->count; ++i) {
        rbc__jpeg_image *image = &batch->images[i];
        const int64_t shape[3] = {image->height, image->width, image->channels};
        const int32_t kept = operands->count;
        if (outs[i] == NULL) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "outs[%" PRId64 "] is NULL", i);
        }
        rbc_status status =
            rbc__operands_output(operands, outs[i], "an output", RBC__U8, 3, shape, err);
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "image %" PRId64, i);
        }
        const DLDevice device = outs[i]->device;
        if (device.device_type != outs[0]->device.device_type ||
            device.device_id != outs[0]->device.device_id) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "outs[%" PRId64 "] is on another device than outs[0]", i);
        }
        if (i > 0) {
            operands->count = kept;
        }
        image->out = rbc__tensor_data(outs[i]);
    }
    return check_apart(outs, batch->count, err);
}

rbc_status rbc_decode_jpeg(rbc_context *context, rbc_jpeg_batch *batch, const DLTensor *const *outs,
                           int64_t num_outs, const DLTensor *valid, const DLTensor *workspace,
                           void *stream, rbc_error *err) {
    RBC__TRY(check_handles(context, batch, err));
    const bool is_one = outs != NULL && num_outs == 1 && outs[0] != NULL && outs[0]->ndim == 4;
    if (!is_one && (outs == NULL || num_outs != batch->count)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%" PRId64 " outputs for %" PRId64
                         " images; wanted one of four axes, or one each",
                         outs == NULL ? INT64_C(0) : num_outs, batch->count);
    }
    rbc__operands operands = {0};
    if (batch->count > 0 || is_one) {
        RBC__TRY(is_one ? divide_output(batch, outs[0], &operands, err)
                        : take_outputs(batch, outs, &operands, err));
    }
    rbc__jpeg_job job = job_of(batch);
    if (valid != NULL) {
        RBC__TRY(rbc__operands_output(&operands, valid, "valid", RBC__U8, 1, &batch->count, err));
        job.valid = rbc__tensor_data(valid);
    }
    if (operands.count == 0) {
        return RBC_OK;
    }
    const DLDevice lead = operands.items[0].tensor->device;
    const rbc__backend *backend;
    RBC__TRY(check_device(batch, lead, err));
    RBC__TRY(rbc__backend_for(lead, &backend, err));
    RBC__TRY(backend->decode_jpeg_workspace_bytes(&job, &job.workspace_bytes, err));
    RBC__TRY(rbc__operands_workspace(&operands, workspace, job.workspace_bytes, err));
    job.workspace = job.workspace_bytes == 0 ? NULL : rbc__tensor_data(workspace);
    DLDevice device;
    RBC__TRY(rbc__operands_finish(&operands, &device, err));
    return backend->decode_jpeg(context, &job, device.device_id, stream, err);
}
