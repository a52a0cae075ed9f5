#include "core/tensor.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/error.h"

static const struct {
    DLDataType dlpack;
    const char *name;
} dtypes[RBC__NUM_DTYPES] = {
    [RBC__F32] = {{kDLFloat, 32, 1}, "float32"}, [RBC__F64] = {{kDLFloat, 64, 1}, "float64"},
    [RBC__F16] = {{kDLFloat, 16, 1}, "float16"}, [RBC__BF16] = {{kDLBfloat, 16, 1}, "bfloat16"},
    [RBC__U8] = {{kDLUInt, 8, 1}, "uint8"},      [RBC__I8] = {{kDLInt, 8, 1}, "int8"},
    [RBC__I16] = {{kDLInt, 16, 1}, "int16"},     [RBC__I32] = {{kDLInt, 32, 1}, "int32"},
    [RBC__I64] = {{kDLInt, 64, 1}, "int64"},     [RBC__BOOL] = {{kDLBool, 8, 1}, "bool"},
    [RBC__U16] = {{kDLUInt, 16, 1}, "uint16"},   [RBC__U32] = {{kDLUInt, 32, 1}, "uint32"},
    [RBC__U64] = {{kDLUInt, 64, 1}, "uint64"},
};

bool rbc__dtype_from_dlpack(DLDataType dtype, rbc__dtype *out) {
    for (int i = 0; i < RBC__NUM_DTYPES; ++i) {
        if (dtypes[i].dlpack.code == dtype.code && dtypes[i].dlpack.bits == dtype.bits &&
            dtype.lanes == 1) {
            *out = (rbc__dtype)i;
            return true;
        }
    }
    return false;
}

DLDataType rbc__dtype_to_dlpack(rbc__dtype dtype) {
    return dtypes[dtype].dlpack;
}

int64_t rbc__dtype_bytes(rbc__dtype dtype) {
    return dtypes[dtype].dlpack.bits / 8;
}

uint64_t rbc__dtype_nan(rbc__dtype dtype) {
    switch (dtype) {
    case RBC__F32:
        return UINT64_C(0x7fc00000);
    case RBC__F64:
        return UINT64_C(0x7ff8000000000000);
    case RBC__F16:
        return UINT64_C(0x7e00);
    case RBC__BF16:
        return UINT64_C(0x7fc0);
    default:
        return 0;
    }
}

const char *rbc__dtype_name(rbc__dtype dtype) {
    return dtypes[dtype].name;
}

bool rbc__dtype_is_float(rbc__dtype dtype) {
    return dtype == RBC__F32 || dtype == RBC__F64 || dtype == RBC__F16 || dtype == RBC__BF16;
}

bool rbc__mul_size(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

bool rbc__add_size(int64_t a, int64_t b, int64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

char *rbc__format_shape(char *buffer, size_t bytes, int32_t ndim, const int64_t *shape) {
    size_t used = (size_t)snprintf(buffer, bytes, "[");
    for (int32_t i = 0; i < ndim && used < bytes; ++i) {
        const char *comma = i == 0 ? "" : ", ";
        const int written =
            shape[i] == -1 ? snprintf(buffer + used, bytes - used, "%sany", comma)
                           : snprintf(buffer + used, bytes - used, "%s%" PRId64, comma, shape[i]);
        used += (size_t)written;
    }
    if (used < bytes) {
        snprintf(buffer + used, bytes - used, "]");
    }
    return buffer;
}

char *rbc__format_device(char *buffer, size_t bytes, DLDevice device) {
    if (device.device_type == kDLCPU) {
        snprintf(buffer, bytes, "the CPU");
    } else if (device.device_type == kDLCUDA) {
        snprintf(buffer, bytes, "CUDA device %d", (int)device.device_id);
    } else {
        snprintf(buffer, bytes, "device %d of DLPack type %d", (int)device.device_id,
                 (int)device.device_type);
    }
    return buffer;
}

/* Byte offsets of the lowest and one past the highest byte; false on overflow. */
static bool reach(const DLTensor *tensor, int64_t item_bytes, int64_t *low, int64_t *high) {
    int64_t num_elements = 1, contiguous = item_bytes;
    *low = 0;
    *high = item_bytes;
    for (int32_t i = tensor->ndim - 1; i >= 0; --i) {
        const int64_t extent = tensor->shape[i];
        int64_t stride = contiguous, span;
        if (tensor->strides != NULL && !rbc__mul_size(tensor->strides[i], item_bytes, &stride)) {
            if (extent > 1) {
                return false;
            }
            stride = 0;
        }
        if (!rbc__mul_size(contiguous, extent, &contiguous) ||
            !rbc__mul_size(num_elements, extent, &num_elements)) {
            return false;
        }
        if (extent > 1 &&
            (!rbc__mul_size(stride, extent - 1, &span) ||
             !(span < 0 ? rbc__add_size(*low, span, low) : rbc__add_size(*high, span, high)))) {
            return false;
        }
    }
    if (num_elements == 0) {
        *low = 0;
        *high = 0;
    }
    int64_t total;
    return rbc__mul_size(*low, -1, &total) && rbc__add_size(*high, total, &total);
}

static const char *dlpack_kind(uint8_t code) {
    static const char *const names[] = {"int",    "uint",    "float", "handle",
                                        "bfloat", "complex", "bool"};
    return code < sizeof names / sizeof *names ? names[code] : "other";
}

rbc_status rbc__tensor_check(const DLTensor *tensor, const char *name, rbc__dtype *dtype,
                             rbc_error *err) {
    if (tensor == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL; wanted a tensor", name);
    }
    if (tensor->ndim < 0 || (tensor->ndim > 0 && tensor->shape == NULL)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s has %d dimensions and %s; wanted a shape", name, tensor->ndim,
                         tensor->shape == NULL ? "no shape" : "a shape");
    }
    if (tensor->ndim > RBC__MAX_DIMS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s has %d dimensions; wanted at most %d",
                         name, tensor->ndim, RBC__MAX_DIMS);
    }
    char shape[256];
    bool is_empty = false;
    for (int32_t i = 0; i < tensor->ndim; ++i) {
        is_empty |= tensor->shape[i] == 0;
        if (tensor->shape[i] < 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: extent %d is %" PRId64 "; wanted 0 or more", name, i,
                             tensor->shape[i]);
        }
    }
    if (!rbc__dtype_from_dlpack(tensor->dtype, dtype)) {
        return rbc__fail(
            err, RBC_ERROR_INVALID_ARGUMENT,
            "%s has data type %s%d of %d lanes (DLPack code %d); wanted bool, uint8 to "
            "uint64, int8 to int64, float16, bfloat16, float32 or float64, 1 lane",
            name, dlpack_kind(tensor->dtype.code), tensor->dtype.bits, tensor->dtype.lanes,
            tensor->dtype.code);
    }
    const int64_t item_bytes = rbc__dtype_bytes(*dtype);
    int64_t low, high;
    if (!reach(tensor, item_bytes, &low, &high) || tensor->byte_offset > INT64_MAX) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: shape %s of %s with its strides and offset needs more than 2^63 - 1 "
                         "bytes",
                         name, rbc__format_shape(shape, sizeof shape, tensor->ndim, tensor->shape),
                         rbc__dtype_name(*dtype));
    }
    if (is_empty) {
        return RBC_OK;
    }
    if (tensor->data == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s has shape %s but data is NULL", name,
                         rbc__format_shape(shape, sizeof shape, tensor->ndim, tensor->shape));
    }
    const uintptr_t address = (uintptr_t)tensor->data + (uintptr_t)tensor->byte_offset;
    if (address % (uintptr_t)item_bytes != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: data begins at address 0x%" PRIxPTR "; wanted a multiple of %" PRId64
                         ", the size of %s",
                         name, address, item_bytes, rbc__dtype_name(*dtype));
    }
    return RBC_OK;
}

rbc_status rbc__tensor_check_shape(const DLTensor *tensor, const char *name, int32_t ndim,
                                   const int64_t *shape, rbc_error *err) {
    bool is_equal = tensor->ndim == ndim;
    for (int32_t i = 0; is_equal && i < ndim; ++i) {
        is_equal = shape[i] == -1 || tensor->shape[i] == shape[i];
    }
    if (is_equal) {
        return RBC_OK;
    }
    char found[256], wanted[256];
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s has shape %s; wanted %s", name,
                     rbc__format_shape(found, sizeof found, tensor->ndim, tensor->shape),
                     rbc__format_shape(wanted, sizeof wanted, ndim, shape));
}

void *rbc__tensor_data(const DLTensor *tensor) {
    return tensor->data == NULL ? NULL : (char *)tensor->data + tensor->byte_offset;
}

int64_t rbc__tensor_stride_bytes(const DLTensor *tensor, int32_t axis) {
    const int64_t item_bytes = (tensor->dtype.bits + 7) / 8;
    if (tensor->strides != NULL) {
        return tensor->shape[axis] > 1 ? tensor->strides[axis] * item_bytes : 0;
    }
    int64_t stride = item_bytes;
    for (int32_t i = tensor->ndim - 1; i > axis; --i) {
        stride *= tensor->shape[i];
    }
    return stride;
}

bool rbc__tensor_is_contiguous(const DLTensor *tensor) {
    if (tensor->strides == NULL || rbc__tensor_num_elements(tensor) == 0) {
        return true;
    }
    int64_t expected = 1;
    for (int32_t i = tensor->ndim - 1; i >= 0; --i) {
        if (tensor->shape[i] > 1 && tensor->strides[i] != expected) {
            return false;
        }
        expected *= tensor->shape[i];
    }
    return true;
}

int64_t rbc__tensor_num_elements(const DLTensor *tensor) {
    int64_t count = 1;
    for (int32_t i = 0; i < tensor->ndim; ++i) {
        count *= tensor->shape[i];
    }
    return count;
}

void rbc__tensor_extent(const DLTensor *tensor, uintptr_t *begin, uintptr_t *end) {
    int64_t low, high;
    const uintptr_t data = (uintptr_t)rbc__tensor_data(tensor);
    if (!reach(tensor, (tensor->dtype.bits + 7) / 8, &low, &high)) {
        low = 0;
        high = 0;
    }
    *begin = data + (uintptr_t)low;
    *end = data + (uintptr_t)high;
}

bool rbc__tensors_overlap(const DLTensor *a, const DLTensor *b) {
    uintptr_t a_begin, a_end, b_begin, b_end;
    rbc__tensor_extent(a, &a_begin, &a_end);
    rbc__tensor_extent(b, &b_begin, &b_end);
    return a_begin < a_end && b_begin < b_end && a_begin < b_end && b_begin < a_end;
}

bool rbc__tensor_overlaps_itself(const DLTensor *tensor) {
    if (tensor->strides == NULL || rbc__tensor_num_elements(tensor) == 0) {
        return false;
    }
    /* Axes by stride, the smallest first. */
    int64_t strides[RBC__MAX_DIMS], extents[RBC__MAX_DIMS];
    int32_t count = 0;
    for (int32_t i = 0; i < tensor->ndim; ++i) {
        if (tensor->shape[i] == 1) {
            continue;
        }
        const int64_t stride = tensor->strides[i] < 0 ? -tensor->strides[i] : tensor->strides[i];
        int32_t at = count++;
        for (; at > 0 && strides[at - 1] > stride; --at) {
            strides[at] = strides[at - 1];
            extents[at] = extents[at - 1];
        }
        strides[at] = stride;
        extents[at] = tensor->shape[i];
    }
    int64_t spanned = 1;
    for (int32_t i = 0; i < count; ++i) {
        if (strides[i] < spanned) {
            return true;
        }
        spanned += (extents[i] - 1) * strides[i];
    }
    return false;
}
