/* Which kernels there are, and tables of those that differ in the type of their values alone.
 * Shared within src/cuda. */
#ifndef RBC_CUDA_KERNELS_H
#define RBC_CUDA_KERNELS_H

#include "core/tensor.h"

typedef enum rbc__cuda_kernel {
#define X(image, name) RBC__CUDA_##name,
#include "cuda/kernels.def"
#undef X
    RBC__CUDA_NUM_KERNELS
} rbc__cuda_kernel;

/* Of the kernels <kind>_f32, <kind>_f64, ..., the one for each rbc__dtype: the initialiser of an
 * array of RBC__NUM_DTYPES. */
#define RBC__CUDA_FLOATS_OF(kind)                                                                  \
    [RBC__F32] = RBC__CUDA_##kind##_f32, [RBC__F64] = RBC__CUDA_##kind##_f64,                      \
    [RBC__F16] = RBC__CUDA_##kind##_f16, [RBC__BF16] = RBC__CUDA_##kind##_bf16

/* And <kind>_<other> for integers and bool. */
#define RBC__CUDA_OTHERS_OF(kind, other)                                                           \
    [RBC__U8] = RBC__CUDA_##kind##_##other, [RBC__I8] = RBC__CUDA_##kind##_##other,                \
    [RBC__I16] = RBC__CUDA_##kind##_##other, [RBC__I32] = RBC__CUDA_##kind##_##other,              \
    [RBC__I64] = RBC__CUDA_##kind##_##other, [RBC__BOOL] = RBC__CUDA_##kind##_##other,             \
    [RBC__U16] = RBC__CUDA_##kind##_##other, [RBC__U32] = RBC__CUDA_##kind##_##other,              \
    [RBC__U64] = RBC__CUDA_##kind##_##other

#define RBC__CUDA_VALUES_OF(kind, other) RBC__CUDA_FLOATS_OF(kind), RBC__CUDA_OTHERS_OF(kind, other)

#endif
