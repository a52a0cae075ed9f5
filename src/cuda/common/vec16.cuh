/* Sixteen bytes of values at a time: loading at any alignment, interpolating in the compute type.
 */
#ifndef RBC_CUDA_VEC16_CUH
#define RBC_CUDA_VEC16_CUH

#include "cuda/common/float.cuh"

INLINE int value_bytes(int dtype) {
    return dtype == VALUE_F64 ? 8 : dtype == VALUE_F32 ? 4 : 2;
}

INLINE unsigned lerp_word(unsigned a, unsigned b, float w, int dtype) {
    if (dtype == VALUE_F32) {
        return __float_as_uint(lerp_f32(__uint_as_float(a), __uint_as_float(b), w));
    }
    if (dtype == VALUE_BF16) {
        return bf16_pack(lerp_f32(bf16_low(a), bf16_low(b), w),
                         lerp_f32(bf16_high(a), bf16_high(b), w));
    }
    return f16_pack(
        lerp_f32(f16_widen((unsigned short)a), f16_widen((unsigned short)b), w),
        lerp_f32(f16_widen((unsigned short)(a >> 16)), f16_widen((unsigned short)(b >> 16)), w));
}

INLINE uint4 lerp_vec16(uint4 a, uint4 b, double w, int dtype) {
    uint4 out;
    if (dtype == VALUE_COPY) {
        return a;
    }
    if (dtype == VALUE_F64) {
        const long long low = __double_as_longlong(lerp_f64(
            __hiloint2double((int)a.y, (int)a.x), __hiloint2double((int)b.y, (int)b.x), w));
        const long long high = __double_as_longlong(lerp_f64(
            __hiloint2double((int)a.w, (int)a.z), __hiloint2double((int)b.w, (int)b.z), w));
        out.x = (unsigned)low;
        out.y = (unsigned)(low >> 32);
        out.z = (unsigned)high;
        out.w = (unsigned)(high >> 32);
        return out;
    }
    out.x = lerp_word(a.x, b.x, (float)w, dtype);
    out.y = lerp_word(a.y, b.y, (float)w, dtype);
    out.z = lerp_word(a.z, b.z, (float)w, dtype);
    out.w = lerp_word(a.w, b.w, (float)w, dtype);
    return out;
}

/* Starts copying 4, 8 or 16 bytes, which both addresses are multiples of, to shared memory. */
INLINE void copy_async(void *shared, const void *from, int bytes) {
    const unsigned to = (unsigned)__cvta_generic_to_shared(shared);
    if (bytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
    } else if (bytes == 8) {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(to), "l"(from) : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(from) : "memory");
    }
}

/* Waits for what this thread has started to copy. */
INLINE void copy_wait(void) {
    asm volatile("cp.async.wait_all;" ::: "memory");
}

INLINE void store_streaming(char *address, uint4 vec16) {
    __stcs((uint4 *)address, vec16);
}

#endif
