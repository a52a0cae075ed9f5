/* Reading streams as they lie. */
#ifndef RBC_CUDA_JPEG_STREAMS_CUH
#define RBC_CUDA_JPEG_STREAMS_CUH

#include "cuda/jpeg/portable.cuh"

/* The sixteen bytes at a multiple of 16, of those from `first` to `end`; others are zeros. */
INLINE uint4 load_sixteen(const uint8_t *streams, uint64_t at, uint64_t first, uint64_t end) {
    if (at >= first && at + 16 <= end) {
        return *(const uint4 *)(streams + at);
    }
    uint32_t words[4] = {0, 0, 0, 0};
#pragma unroll
    for (uint32_t i = 0; i < 16; ++i) {
        if (at + i >= first && at + i < end) {
            words[i / 4] |= (uint32_t)streams[at + i] << (8 * (i % 4));
        }
    }
    return make_uint4(words[0], words[1], words[2], words[3]);
}

#endif
