/* Before decoding: data without stuffed zeros, Huffman tables, and coefficients of zero. */
#include "cuda/common/scan.cuh"
#include "cuda/jpeg/huffman.cuh"
#include "cuda/jpeg/streams.cuh"

enum {
    THREAD_BYTES = JPEG_PIECE_BYTES / JPEG_PREPARE_THREADS,
    STRAND_BYTES = 4 * JPEG_STRAND_WORDS,
};

/* The data of a piece. Words hold their first byte highest, so byte i of them lies at i ^ 3. */
INLINE void unstuff(const jpeg_launch &p, uint32_t number) {
    __shared__ uint4 raw[JPEG_PIECE_BYTES / 16 + 3];
    __shared__ uint32_t packed[JPEG_PIECE_BYTES / 4 + 2];
    __shared__ uint32_t warp_sums[32];
    const jpeg_piece piece = p.pieces[number];
    const jpeg_segment segment = p.segments[piece.segment];
    const uint64_t base = (piece.from - 1) / 16 * 16;
    const uint32_t skip = (uint32_t)(piece.from - base);
    const uint32_t bundles = (skip + piece.bytes + 15) / 16;
    for (uint32_t i = threadIdx.x; i < bundles; i += JPEG_PREPARE_THREADS) {
        raw[i] = load_sixteen(p.streams, base + 16 * i, 0, p.streams_end);
    }
    __syncthreads();

    const uint32_t first = THREAD_BYTES * threadIdx.x;
    const uint32_t own = first >= piece.bytes                 ? 0
                         : piece.bytes - first < THREAD_BYTES ? piece.bytes - first
                                                              : THREAD_BYTES;
    const uint32_t *words = (const uint32_t *)raw + (skip + first) / 4;
    const uint32_t shift = (skip + first) % 4 * 8;
    uint32_t bytes[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        bytes[i] = __funnelshift_r(words[i], words[i + 1], shift);
    }
    uint32_t previous = ((const uint8_t *)raw)[skip + first - 1];
    uint32_t kept = 0;
#pragma unroll
    for (int i = 0; i < THREAD_BYTES; ++i) {
        const uint32_t byte = bytes[i / 4] >> (i % 4 * 8) & 255;
        kept |= (uint32_t)((uint32_t)i < own && (byte != 0 || previous != 255)) << i;
        previous = byte;
    }
    uint32_t total;
    uint32_t at = piece.at % 4 + block_sum_before((uint32_t)__popc(kept), warp_sums, &total);
    uint8_t *out = (uint8_t *)packed;
#pragma unroll
    for (int i = 0; i < THREAD_BYTES; ++i) {
        if (kept >> i & 1) {
            out[at++ ^ 3] = (uint8_t)(bytes[i / 4] >> (i % 4 * 8));
        }
    }
    const uint32_t begin = piece.at % 4;
    const bool is_last = (piece.flags & JPEG_PIECE_LAST) != 0;
    uint32_t end = begin + total;
    const uint32_t ends = is_last ? (end + 3) / 4 * 4 : end;
    if (threadIdx.x < ends - end) {
        out[(end + threadIdx.x) ^ 3] = 0;
    }
    __syncthreads();

    uint32_t *to = p.words + (uint64_t)segment.first_strand * JPEG_STRAND_WORDS + piece.at / 4;
    for (uint32_t i = threadIdx.x; 4 * i < ends; i += JPEG_PREPARE_THREADS) {
        if (4 * i >= begin && 4 * i + 4 <= ends) {
            to[i] = packed[i];
        } else {
            for (uint32_t j = 4 * i < begin ? begin : 4 * i; j < 4 * i + 4 && j < ends; ++j) {
                ((uint8_t *)to)[j ^ 3] = out[j ^ 3];
            }
        }
    }
    if (is_last) {
        const uint32_t filled = piece.at / 4 + ends / 4;
        const uint32_t all = segment.num_strands * JPEG_STRAND_WORDS +
                             ((piece.flags & JPEG_PIECE_VERY_LAST) != 0 ? JPEG_SLACK_WORDS : 0);
        for (uint32_t i = filled + threadIdx.x; i < all; i += JPEG_PREPARE_THREADS) {
            p.words[(uint64_t)segment.first_strand * JPEG_STRAND_WORDS + i] = 0;
        }
    }
    /* The strands that begin among these bytes. */
    const uint32_t strand = (piece.at + STRAND_BYTES - 1) / STRAND_BYTES;
    for (uint32_t i = strand + threadIdx.x; i * STRAND_BYTES < piece.at + total;
         i += JPEG_PREPARE_THREADS) {
        p.owners[segment.first_strand + i] = piece.segment;
    }
}

/* Coefficients of zero, and nothing found. */
INLINE void clear(const jpeg_launch &p, uint32_t block, uint32_t blocks) {
    const uint64_t thread = (uint64_t)block * JPEG_PREPARE_THREADS + threadIdx.x;
    const uint64_t threads = (uint64_t)blocks * JPEG_PREPARE_THREADS;
    uint4 *out = (uint4 *)p.coefficients;
    for (uint64_t i = thread; i < p.num_blocks * JPEG_BLOCK / 8; i += threads) {
        out[i] = make_uint4(0, 0, 0, 0);
    }
    for (uint64_t i = thread; i < p.num_images; i += threads) {
        p.found[i].flags = 0;
        p.found[i].segments = 0;
    }
}

/* A block a piece, then a block a table; the others clear. */
extern "C" __global__ void __launch_bounds__(JPEG_PREPARE_THREADS)
    rbc__jpeg_prepare_cuda(const jpeg_launch p) {
    launch_await();
    if (blockIdx.x < p.num_pieces) {
        unstuff(p, blockIdx.x);
        return;
    }
    const uint32_t number = blockIdx.x - p.num_pieces;
    if (number < p.num_tables) {
        const uint64_t source = p.table_sources[number];
        huffman_build(p.streams + (source & ~JPEG_SOURCE_IS_DC), (source & JPEG_SOURCE_IS_DC) != 0,
                      &p.tables[number], threadIdx.x, JPEG_PREPARE_THREADS);
        return;
    }
    clear(p, number - p.num_tables, gridDim.x - p.num_pieces - p.num_tables);
}
