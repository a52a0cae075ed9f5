/* Checks of DLTensors at the boundary, and arithmetic on their sizes. */
#ifndef RBC_CORE_TENSOR_H
#define RBC_CORE_TENSOR_H

#include <stdbool.h>

#include <robocache/robocache.h>

/* Element types the library computes with. */
typedef enum rbc__dtype {
    RBC__F32 = 0,
    RBC__F64 = 1,
    RBC__F16 = 2,
    RBC__BF16 = 3,
    RBC__U8 = 4,
    RBC__I8 = 5,
    RBC__I16 = 6,
    RBC__I32 = 7,
    RBC__I64 = 8,
    RBC__BOOL = 9,
    RBC__U16 = 10, /* 16-bit images (depth) */
    RBC__U32 = 11,
    RBC__U64 = 12,
    RBC__NUM_DTYPES
} rbc__dtype;

/* False when `dtype` (lanes included) is none of the above. */
bool rbc__dtype_from_dlpack(DLDataType dtype, rbc__dtype *out);
DLDataType rbc__dtype_to_dlpack(rbc__dtype dtype);
int64_t rbc__dtype_bytes(rbc__dtype dtype);
/* The bits of the NaN that stands for "no value", in the low bytes: quiet, sign and payload zero. 0
 * for dtypes that have none. */
uint64_t rbc__dtype_nan(rbc__dtype dtype);
const char *rbc__dtype_name(rbc__dtype dtype); /* "float32" */
bool rbc__dtype_is_float(rbc__dtype dtype);

/* Axes that a tensor may have. */
#define RBC__MAX_DIMS 64

/* `name` is the argument's name in messages. A NULL tensor, more axes than RBC__MAX_DIMS, NULL
 * shape, data that is NULL though elements exist, negative extents, an unknown dtype and sizes past
 * INT64_MAX are errors. */
rbc_status rbc__tensor_check(const DLTensor *tensor, const char *name, rbc__dtype *dtype,
                             rbc_error *err);

/* Extents must equal `shape`; -1 admits any. The message shows both shapes. */
rbc_status rbc__tensor_check_shape(const DLTensor *tensor, const char *name, int32_t ndim,
                                   const int64_t *shape, rbc_error *err);

/* First byte, byte_offset applied. */
void *rbc__tensor_data(const DLTensor *tensor);

/* Bytes between neighbours along `axis`, strides NULL meaning C order. */
int64_t rbc__tensor_stride_bytes(const DLTensor *tensor, int32_t axis);
bool rbc__tensor_is_contiguous(const DLTensor *tensor);
int64_t rbc__tensor_num_elements(const DLTensor *tensor);

/* Lowest and one past the highest byte address that the tensor reaches; equal when it is empty. */
void rbc__tensor_extent(const DLTensor *tensor, uintptr_t *begin, uintptr_t *end);
bool rbc__tensors_overlap(const DLTensor *a, const DLTensor *b);

/* True when two elements may share memory: an axis steps into what the axes of smaller strides
 * span. No slice, transpose or reshape of a packed tensor does. */
bool rbc__tensor_overlaps_itself(const DLTensor *tensor);

/* "[2, 3, 7]" into buffer; returns buffer. */
char *rbc__format_shape(char *buffer, size_t bytes, int32_t ndim, const int64_t *shape);

/* "the CPU", "CUDA device 1" into buffer; returns buffer. */
char *rbc__format_device(char *buffer, size_t bytes, DLDevice device);

/* False on overflow. */
bool rbc__mul_size(int64_t a, int64_t b, int64_t *out);
bool rbc__add_size(int64_t a, int64_t b, int64_t *out);

#endif
