#include <inttypes.h>
#include <stdlib.h>

#include "backend.h"
#include "core/error.h"
#include "ops/operands.h"

rbc_status rbc_image_output(const rbc_image_params *params, DLDataType dtype, int64_t height,
                            int64_t width, int64_t channels, int64_t *shape, DLDataType *out_dtype,
                            rbc_error *err) {
    rbc__image_spec spec;
    rbc__dtype stored;
    if (!rbc__dtype_from_dlpack(dtype, &stored)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "images: dtype of code %d and %d bits",
                         (int)dtype.code, (int)dtype.bits);
    }
    RBC__TRY(rbc__image_spec_init(&spec, params, stored, channels, "", err));
    int64_t out_height;
    int64_t out_width;
    RBC__TRY(rbc__image_spec_size(&spec, height, width, "", &out_height, &out_width, err));
    const bool is_first = spec.params.channels_first != 0;
    shape[0] = is_first ? channels : out_height;
    shape[1] = is_first ? out_height : out_width;
    shape[2] = is_first ? out_width : channels;
    *out_dtype = rbc__dtype_to_dlpack(spec.dtype);
    return RBC_OK;
}

static rbc_status check_packed(const DLTensor *images, int64_t pixel_bytes, rbc_error *err) {
    if (images->shape[0] == 0) {
        return RBC_OK;
    }
    if (images->shape[3] > 1 &&
        rbc__tensor_stride_bytes(images, 3) * images->shape[3] != pixel_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "images: the channels of a pixel are apart; wanted [B, H, W, C] whose "
                         "rows are contiguous");
    }
    if (images->shape[2] > 1 && rbc__tensor_stride_bytes(images, 2) != pixel_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "images: the pixels of a row are apart; wanted [B, H, W, C] whose rows "
                         "are contiguous");
    }
    return RBC_OK;
}

/* Images, checked, and what is drawn for each. */
typedef struct drawn {
    rbc__image_spec spec;
    rbc__image_item *items; /* owned */
    int64_t count;
} drawn;

/* Outputs are not known yet. Of `images` the data is not looked at. */
static rbc_status draw_all(const rbc_image_params *params, const DLTensor *images,
                           rbc__dtype stored, const uint64_t *keys, drawn *out, rbc_error *err) {
    RBC__TRY(rbc__image_spec_init(&out->spec, params, stored, images->shape[3], "", err));
    RBC__TRY(check_packed(images, images->shape[3] * rbc__dtype_bytes(stored), err));
    out->count = images->shape[0];
    out->items = calloc((size_t)out->count + 1, sizeof *out->items);
    if (out->items == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "images: no memory for %" PRId64 " of them",
                         out->count);
    }
    const char *pixels = rbc__tensor_data(images);
    for (int64_t i = 0; i < out->count; ++i) {
        rbc__image_item *item = &out->items[i];
        item->pixels = pixels + i * rbc__tensor_stride_bytes(images, 0);
        item->row_stride_bytes = rbc__tensor_stride_bytes(images, 1);
        item->height = (int32_t)images->shape[1];
        item->width = (int32_t)images->shape[2];
        RBC__TRY(rbc__image_draw_for(&out->spec, keys[i], images->shape[1], images->shape[2], "",
                                     &item->draw, err));
    }
    return RBC_OK;
}

static rbc_status check_given(const rbc_context *context, const uint64_t *keys, rbc_error *err) {
    if (context == NULL || keys == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL",
                         context == NULL ? "context" : "keys");
    }
    return RBC_OK;
}

static rbc_status read_images(rbc__operands *operands, const DLTensor *images, rbc__dtype *stored,
                              rbc_error *err) {
    static const int64_t any[4] = {-1, -1, -1, -1};
    RBC__TRY(rbc__operands_input(operands, images, "images", stored, err));
    return rbc__tensor_check_shape(images, "images", 4, any, err);
}

rbc_status rbc_image_workspace(rbc_context *context, const rbc_image_params *params,
                               const DLTensor *images, const uint64_t *keys, uint64_t *bytes,
                               rbc_error *err) {
    rbc__operands operands = {0};
    rbc__dtype stored;
    const rbc__backend *backend;
    drawn d = {0};
    RBC__TRY(check_given(context, keys, err));
    if (bytes == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "bytes is NULL");
    }
    RBC__TRY(read_images(&operands, images, &stored, err));
    RBC__TRY(rbc__backend_for(images->device, &backend, err));
    const rbc_status status = draw_all(params, images, stored, keys, &d, err);
    if (status == RBC_OK) {
        const rbc__image_job job = {.spec = &d.spec, .items = d.items, .count = d.count};
        *bytes = backend->image_workspace_bytes(&job);
    }
    free(d.items);
    return status;
}

static rbc_status run(rbc_context *context, const rbc__backend *backend, rbc__operands *operands,
                      const drawn *d, const DLTensor *out, const DLTensor *workspace, void *stream,
                      rbc_error *err) {
    rbc__image_job job = {.spec = &d->spec, .items = d->items, .count = d->count};
    char *to = rbc__tensor_data(out);
    const int64_t each =
        out->shape[1] * out->shape[2] * out->shape[3] * rbc__dtype_bytes(d->spec.dtype);
    DLDevice device;
    for (int64_t i = 0; i < d->count; ++i) {
        d->items[i].out = to + i * each;
    }
    job.workspace_bytes = backend->image_workspace_bytes(&job);
    RBC__TRY(rbc__operands_workspace(operands, workspace, job.workspace_bytes, err));
    RBC__TRY(rbc__operands_finish(operands, &device, err));
    job.workspace = job.workspace_bytes == 0 ? NULL : rbc__tensor_data(workspace);
    return backend->image(context, &job, device.device_id, stream, err);
}

rbc_status rbc_image_apply(rbc_context *context, const rbc_image_params *params,
                           const DLTensor *images, const uint64_t *keys, const DLTensor *out,
                           const DLTensor *workspace, void *stream, rbc_error *err) {
    rbc__operands operands = {0};
    rbc__dtype stored;
    int64_t shape[4];
    DLDataType dtype;
    rbc__dtype made;
    const rbc__backend *backend;
    drawn d = {0};
    RBC__TRY(check_given(context, keys, err));
    RBC__TRY(read_images(&operands, images, &stored, err));
    shape[0] = images->shape[0];
    RBC__TRY(rbc_image_output(params, images->dtype, images->shape[1], images->shape[2],
                              images->shape[3], shape + 1, &dtype, err));
    (void)rbc__dtype_from_dlpack(dtype, &made);
    RBC__TRY(rbc__operands_output(&operands, out, "out", made, 4, shape, err));
    RBC__TRY(rbc__backend_for(images->device, &backend, err));
    rbc_status status = draw_all(params, images, stored, keys, &d, err);
    if (status == RBC_OK) {
        status = run(context, backend, &operands, &d, out, workspace, stream, err);
    }
    free(d.items);
    return status;
}
