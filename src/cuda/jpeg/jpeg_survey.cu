/* What the host must know of streams that lie on the device: how they begin, and their markers. */
#include "cuda/common/scan.cuh"
#include "cuda/jpeg/streams.cuh"

/* Which of a word's bytes are `value`, one bit each. */
INLINE uint32_t bytes_equal(uint32_t word, uint32_t value) {
    const uint32_t equal = __vcmpeq4(word, value * 0x01010101u) & 0x01010101u;
    return equal * 0x01020408u >> 24;
}

INLINE uint32_t sixteen_equal(const uint32_t words[4], uint32_t value) {
    return bytes_equal(words[0], value) | bytes_equal(words[1], value) << 4 |
           bytes_equal(words[2], value) << 8 | bytes_equal(words[3], value) << 12;
}

/* With how many bytes a stream begins as the first does. */
INLINE void compare_heads(const jpeg_survey *p, const jpeg_surveyed *own) {
    __shared__ uint32_t alike;
    const jpeg_surveyed first = p->surveyed[0];
    if (threadIdx.x == 0) {
        alike = JPEG_ALIKE_BYTES;
    }
    __syncthreads();
    for (uint32_t i = threadIdx.x; i < JPEG_ALIKE_BYTES; i += JPEG_PREPARE_THREADS) {
        if (i >= own->num_bytes || i >= first.num_bytes ||
            p->streams[own->begin + i] != p->streams[first.begin + i]) {
            atomicMin(&alike, i);
            break;
        }
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        p->alike[blockIdx.x] = alike;
    }
}

/* A block goes over chunks of a stream, a thread over sixteen bytes. */
extern "C" __global__ void __launch_bounds__(JPEG_PREPARE_THREADS)
    rbc__jpeg_survey_cuda(const jpeg_survey p) {
    __shared__ uint32_t warp_sums[32];
    launch_await();
    const jpeg_surveyed s = p.surveyed[blockIdx.x];
    const uint64_t base = s.begin / 16 * 16, end = s.begin + s.num_bytes;
    const uint32_t skew = (uint32_t)(s.begin - base);
    const uint32_t chunks = (skew + s.num_bytes + JPEG_PIECE_BYTES - 1) / JPEG_PIECE_BYTES;
    if (blockIdx.y == 0) {
        compare_heads(&p, &s);
    }
    for (uint32_t chunk = blockIdx.y; chunk < chunks; chunk += gridDim.y) {
        const uint64_t at = base + (uint64_t)chunk * JPEG_PIECE_BYTES + 16 * threadIdx.x;
        const uint4 sixteen = load_sixteen(p.streams, at, p.first, p.end);
        const uint32_t words[4] = {sixteen.x, sixteen.y, sixteen.z, sixteen.w};
        if (chunk == 0 && threadIdx.x < JPEG_HEAD_BYTES / 16) {
            ((uint4 *)(p.heads + (uint64_t)blockIdx.x * JPEG_HEAD_BYTES))[threadIdx.x] = sixteen;
        }
        const uint32_t from = at < s.begin ? (uint32_t)(s.begin - at) : 0;
        const uint32_t to = at >= end ? 0 : end - at < 16 ? (uint32_t)(end - at) : 16;
        const uint32_t own = from < to ? (1u << to) - (1u << from) : 0;
        const uint32_t ones = sixteen_equal(words, 255) & own;
        const uint32_t zeros = (sixteen_equal(words, 0) & own) |
                               (uint32_t)(at + 16 < end && p.streams[at + 16] == 0) << 16;
        const uint32_t previous = at > s.begin && at <= end && p.streams[at - 1] == 255;
        const uint32_t stuffed = zeros & (ones << 1 | previous) & own;
        const uint32_t followed = own >> 1 | (uint32_t)(at + 16 < end) << 15;
        uint32_t markers = ones & followed & ~(zeros >> 1);
        uint32_t total;
        const uint32_t before = block_sum_before(
            (uint32_t)__popc(stuffed) | (uint32_t)__popc(markers) << 16, warp_sums, &total);
        uint32_t *out = p.markers + (uint64_t)(s.first_chunk + chunk) * JPEG_CHUNK_MARKERS;
        for (uint32_t number = before >> 16; markers != 0 && number < JPEG_CHUNK_MARKERS;
             ++number) {
            const uint32_t i = (uint32_t)__ffs((int)markers) - 1;
            const uint32_t code = p.streams[at + i + 1];
            const uint32_t zeros_before =
                (before & 0xFFFF) + (uint32_t)__popc(stuffed & ((1u << i) - 1));
            out[number] = (16 * threadIdx.x + i) << 20 | zeros_before << 8 | code;
            markers &= markers - 1;
        }
        if (threadIdx.x == 0) {
            p.counts[s.first_chunk + chunk] = total;
        }
    }
}
