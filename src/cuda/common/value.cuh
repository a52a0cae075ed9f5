/* One value of any dtype: loading, storing, comparing. */
#ifndef RBC_CUDA_VALUE_CUH
#define RBC_CUDA_VALUE_CUH

#include "cuda/common/float.cuh"
#include "cuda/resample/resample_params.h"

typedef unsigned long long item; /* the bits of a value */

INLINE int item_bytes(int dtype) {
    return dtype == VALUE_U8 || dtype == VALUE_I8 ? 1
           : dtype == VALUE_F16 || dtype == VALUE_BF16 || dtype == VALUE_I16 || dtype == VALUE_U16
               ? 2
           : dtype == VALUE_F32 || dtype == VALUE_I32 || dtype == VALUE_U32 ? 4
                                                                            : 8;
}

INLINE int is_float(int dtype) {
    return dtype < VALUE_U8;
}

INLINE item item_load(const char *address, int dtype) {
    const int bytes = item_bytes(dtype);
    return bytes == 8   ? *(const item *)address
           : bytes == 4 ? *(const unsigned *)address
           : bytes == 2 ? *(const unsigned short *)address
                        : *(const unsigned char *)address;
}

INLINE void item_store(char *address, item bits, int dtype) {
    const int bytes = item_bytes(dtype);
    if (bytes == 8) {
        *(item *)address = bits;
    } else if (bytes == 4) {
        *(unsigned *)address = (unsigned)bits;
    } else if (bytes == 2) {
        *(unsigned short *)address = (unsigned short)bits;
    } else {
        *(unsigned char *)address = (unsigned char)bits;
    }
}

INLINE float item_f32(item bits, int dtype) {
    return dtype == VALUE_F32    ? __uint_as_float((unsigned)bits)
           : dtype == VALUE_BF16 ? bf16_low((unsigned)bits)
                                 : f16_widen((unsigned short)bits);
}

INLINE double item_f64(item bits, int dtype) {
    return dtype == VALUE_F64 ? __longlong_as_double((long long)bits)
                              : (double)item_f32(bits, dtype);
}

INLINE item item_of_f32(float value, int dtype) {
    return dtype == VALUE_F32    ? __float_as_uint(value)
           : dtype == VALUE_BF16 ? bf16_pack(value, 0.0f) & 0xffffu
                                 : f16_pack(value, 0.0f) & 0xffffu;
}

INLINE item item_of_f64(double value, int dtype) {
    return dtype == VALUE_F64 ? (item)__double_as_longlong(value)
                              : item_of_f32((float)value, dtype);
}

/* The quiet NaN with sign and payload zero. */
INLINE item item_nan(int dtype) {
    return dtype == VALUE_F32    ? 0x7fc00000u
           : dtype == VALUE_F64  ? 0x7ff8000000000000ull
           : dtype == VALUE_BF16 ? 0x7fc0u
                                 : 0x7e00u;
}

INLINE int item_is_nan(item bits, int dtype) {
    return dtype == VALUE_F32    ? (bits & 0x7fffffffu) > 0x7f800000u
           : dtype == VALUE_F64  ? (bits & 0x7fffffffffffffffull) > 0x7ff0000000000000ull
           : dtype == VALUE_F16  ? (bits & 0x7fffu) > 0x7c00u
           : dtype == VALUE_BF16 ? (bits & 0x7fffu) > 0x7f80u
                                 : 0;
}

INLINE int item_less(item a, item b, int dtype) {
    switch (dtype) {
    case VALUE_F64:
        return item_f64(a, dtype) < item_f64(b, dtype);
    case VALUE_I8:
        return (signed char)a < (signed char)b;
    case VALUE_I16:
        return (short)a < (short)b;
    case VALUE_I32:
        return (int)a < (int)b;
    case VALUE_I64:
        return (long long)a < (long long)b;
    default:
        return is_float(dtype) ? item_f32(a, dtype) < item_f32(b, dtype) : a < b;
    }
}

#endif
