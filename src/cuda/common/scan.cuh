/* Sums over the threads of a warp or of a block, all of which call these together. */
#ifndef RBC_CUDA_SCAN_CUH
#define RBC_CUDA_SCAN_CUH

#include "cuda/common/launch.cuh"

/* Over the lanes up to this one. */
#define DEFINE_WARP_SCAN(name, type)                                                               \
    INLINE type name(type value) {                                                                 \
        const int lane = (int)threadIdx.x & 31;                                                    \
        _Pragma("unroll") for (int distance = 1; distance < 32; distance <<= 1) {                  \
            const type other = __shfl_up_sync(0xffffffffu, value, distance);                       \
            value += lane >= distance ? other : 0;                                                 \
        }                                                                                          \
        return value;                                                                              \
    }
DEFINE_WARP_SCAN(warp_scan, unsigned)
DEFINE_WARP_SCAN(warp_scan64, unsigned long long)
#undef DEFINE_WARP_SCAN

/* Over the lanes below this one; `total` is over all. */
INLINE unsigned warp_sum_before(unsigned value, unsigned *total) {
    const unsigned up_to = warp_scan(value);
    *total = __shfl_sync(0xffffffffu, up_to, 31);
    return up_to - value;
}

/* Over all threads. Two barriers; `warp_sums` has 32 elements, as below. */
INLINE unsigned block_sum(unsigned value, unsigned *warp_sums) {
    const unsigned lane = threadIdx.x & 31;
    value = __reduce_add_sync(0xffffffffu, value);
    if (lane == 0) {
        warp_sums[threadIdx.x / 32] = value;
    }
    __syncthreads();
    const unsigned sum =
        __reduce_add_sync(0xffffffffu, lane < blockDim.x / 32 ? warp_sums[lane] : 0);
    __syncthreads();
    return sum;
}

/* Over the threads before this one; `total` is over all. Two barriers. */
INLINE unsigned block_sum_before(unsigned value, unsigned *warp_sums, unsigned *total) {
    const unsigned lane = threadIdx.x & 31;
    const unsigned up_to = warp_scan(value);
    if (lane == 31) {
        warp_sums[threadIdx.x / 32] = up_to;
    }
    __syncthreads();
    const unsigned sum = lane < blockDim.x / 32 ? warp_sums[lane] : 0;
    const unsigned before = __reduce_add_sync(0xffffffffu, lane < threadIdx.x / 32 ? sum : 0);
    *total = __reduce_add_sync(0xffffffffu, sum);
    __syncthreads();
    return before + up_to - value;
}

#endif
