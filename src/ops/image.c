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

static rbc_status run(rbc_context *context, const rbc__backend *backend, rbc__image_job *job,
                      const uint64_t *keys, const DLTensor *images, const DLTensor *out,
                      int64_t out_bytes, rbc__image_item *items, rbc_error *err) {
    for (int64_t i = 0; i < job->count; ++i) {
        const char *pixels = rbc__tensor_data(images);
        char *to = rbc__tensor_data(out);
        items[i] = (rbc__image_item){
            .pixels = pixels + i * rbc__tensor_stride_bytes(images, 0),
            .row_stride_bytes = rbc__tensor_stride_bytes(images, 1),
            .height = (int32_t)images->shape[1],
            .width = (int32_t)images->shape[2],
            .out = to + i * out_bytes,
        };
        RBC__TRY(rbc__image_draw_for(job->spec, keys[i], images->shape[1], images->shape[2], "",
                                     &items[i].draw, err));
    }
    job->items = items;
    job->workspace_bytes = backend->image_workspace_bytes(job);
    job->workspace = malloc((size_t)job->workspace_bytes + 1);
    if (job->workspace == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                         "images: %" PRIu64 " bytes for one image cannot be had",
                         job->workspace_bytes);
    }
    const rbc_status status = backend->image(context, job, 0, NULL, err);
    free(job->workspace);
    return status;
}

rbc_status rbc_image_apply(rbc_context *context, const rbc_image_params *params,
                           const DLTensor *images, const uint64_t *keys, const DLTensor *out,
                           rbc_error *err) {
    static const int64_t any[4] = {-1, -1, -1, -1};
    rbc__operands operands = {0};
    rbc__dtype stored;
    rbc__image_spec spec;
    int64_t shape[4];
    DLDataType dtype;
    DLDevice device;
    rbc__dtype made;
    const rbc__backend *backend;
    if (context == NULL || keys == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL",
                         context == NULL ? "context" : "keys");
    }
    RBC__TRY(rbc__operands_input(&operands, images, "images", &stored, err));
    RBC__TRY(rbc__tensor_check_shape(images, "images", 4, any, err));
    shape[0] = images->shape[0];
    RBC__TRY(rbc_image_output(params, images->dtype, images->shape[1], images->shape[2],
                              images->shape[3], shape + 1, &dtype, err));
    (void)rbc__dtype_from_dlpack(dtype, &made);
    RBC__TRY(rbc__operands_output(&operands, out, "out", made, 4, shape, err));
    RBC__TRY(rbc__operands_finish(&operands, &device, err));
    RBC__TRY(rbc__backend_for(device, &backend, err));
    if (backend->image == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "images: found on a CUDA device, wanted in host memory: there are no "
                         "kernels for images on %s",
                         backend->name);
    }
    RBC__TRY(rbc__image_spec_init(&spec, params, stored, images->shape[3], "", err));
    RBC__TRY(check_packed(images, images->shape[3] * rbc__dtype_bytes(stored), err));
    rbc__image_item *items = calloc((size_t)shape[0] + 1, sizeof *items);
    if (items == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "images: no memory for %" PRId64 " of them",
                         shape[0]);
    }
    rbc__image_job job = {.spec = &spec, .count = shape[0]};
    const int64_t out_bytes = shape[1] * shape[2] * shape[3] * rbc__dtype_bytes(made);
    const rbc_status status = run(context, backend, &job, keys, images, out, out_bytes, items, err);
    free(items);
    return status;
}
