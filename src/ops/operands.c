#include "ops/operands.h"

#include <inttypes.h>
#include <string.h>

#include "core/error.h"

static void append(rbc__operands *operands, const DLTensor *tensor, const char *name,
                   bool is_output) {
    operands->items[operands->count].tensor = tensor;
    operands->items[operands->count].name = name;
    operands->items[operands->count].is_output = is_output;
    ++operands->count;
}

rbc_status rbc__operands_input(rbc__operands *operands, const DLTensor *tensor, const char *name,
                               rbc__dtype *dtype, rbc_error *err) {
    rbc__dtype found;
    RBC__TRY(rbc__tensor_check(tensor, name, &found, err));
    if (dtype != NULL) {
        *dtype = found;
    }
    append(operands, tensor, name, false);
    return RBC_OK;
}

static rbc_status check_contiguous(const DLTensor *tensor, const char *name, rbc_error *err) {
    return rbc__tensor_is_contiguous(tensor)
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "%s has strides; wanted a contiguous tensor (C order)", name);
}

rbc_status rbc__operands_output(rbc__operands *operands, const DLTensor *tensor, const char *name,
                                rbc__dtype wanted, int32_t ndim, const int64_t *shape,
                                rbc_error *err) {
    rbc__dtype found;
    RBC__TRY(rbc__tensor_check(tensor, name, &found, err));
    if (found != wanted && !(wanted == RBC__U8 && found == RBC__BOOL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is %s; wanted %s", name,
                         rbc__dtype_name(found), rbc__dtype_name(wanted));
    }
    RBC__TRY(rbc__tensor_check_shape(tensor, name, ndim, shape, err));
    RBC__TRY(check_contiguous(tensor, name, err));
    append(operands, tensor, name, true);
    return RBC_OK;
}

rbc_status rbc__operands_workspace(rbc__operands *operands, const DLTensor *tensor,
                                   uint64_t wanted_bytes, rbc_error *err) {
    if (tensor == NULL && wanted_bytes == 0) {
        return RBC_OK;
    }
    if (tensor == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "workspace is NULL; wanted %" PRIu64 " bytes", wanted_bytes);
    }
    rbc__dtype dtype;
    RBC__TRY(rbc__tensor_check(tensor, "workspace", &dtype, err));
    RBC__TRY(check_contiguous(tensor, "workspace", err));
    const uint64_t bytes =
        (uint64_t)rbc__tensor_num_elements(tensor) * (uint64_t)rbc__dtype_bytes(dtype);
    if (bytes < wanted_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "workspace has %" PRIu64 " bytes; wanted at least %" PRIu64, bytes,
                         wanted_bytes);
    }
    if ((uintptr_t)rbc__tensor_data(tensor) % 16 != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "workspace begins at address 0x%" PRIxPTR "; wanted a multiple of 16",
                         (uintptr_t)rbc__tensor_data(tensor));
    }
    append(operands, tensor, "workspace", true);
    return RBC_OK;
}

rbc_status rbc__operands_finish(const rbc__operands *operands, DLDevice *device, rbc_error *err) {
    *device = operands->items[0].tensor->device;
    for (int32_t i = 0; i < operands->count; ++i) {
        const DLTensor *tensor = operands->items[i].tensor;
        const char *name = operands->items[i].name;
        if (tensor->device.device_type != device->device_type ||
            tensor->device.device_id != device->device_id) {
            char found[64], wanted[64];
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT, "%s is on %s, %s on %s; wanted one device", name,
                rbc__format_device(found, sizeof found, tensor->device), operands->items[0].name,
                rbc__format_device(wanted, sizeof wanted, *device));
        }
        for (int32_t j = 0; operands->items[i].is_output && j < operands->count; ++j) {
            if (j != i && rbc__tensors_overlap(tensor, operands->items[j].tensor)) {
                return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                 "%s overlaps %s in memory; wanted an output of its own", name,
                                 operands->items[j].name);
            }
        }
    }
    return RBC_OK;
}
