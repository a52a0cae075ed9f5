/* Dtypes by the numbers that kernels know them by; read by the host and the device compiler.
 * Interface of src/cuda/common. */
#ifndef RBC_CUDA_DTYPES_H
#define RBC_CUDA_DTYPES_H

enum {
    VALUE_F32,
    VALUE_F64,
    VALUE_F16,
    VALUE_BF16,
    VALUE_COPY, /* any dtype, moved and never computed with */
    /* Compared and copied only. */
    VALUE_U8 = 16,
    VALUE_I8,
    VALUE_I16,
    VALUE_I32,
    VALUE_I64,
    VALUE_U16,
    VALUE_U32,
    VALUE_U64,
};

#endif
