/* What a block that deals out a range of a cloud's points does first and last: finds their cells,
 * and turns how many each tile gets into where they go. */
#ifndef RBC_CUDA_POINT_RANGE_CUH
#define RBC_CUDA_POINT_RANGE_CUH

#include "cuda/common/scan.cuh"
#include "cuda/voxelize/point_cells.cuh"

typedef struct point_range {
    long long batch;
    long long first; /* point of the cloud */
    long long row;   /* among all ranges of all clouds */
    int count;       /* points it has */
} point_range;

INLINE point_range range_of_block(const voxel_cloud *cloud, const voxel_cut *cut) {
    point_range found;
    found.batch = blockIdx.x / cut->num_ranges;
    found.row = blockIdx.x;
    found.first =
        (long long)(blockIdx.x - (unsigned)found.batch * cut->num_ranges) * cut->range_points;
    const long long left = cloud_length(cloud, found.batch) - found.first;
    found.count = (int)(left < 0                              ? 0
                        : left < (long long)cut->range_points ? left
                                                              : cut->range_points);
    return found;
}

enum {
    CELL_DROPPED = -1,
    CELL_ELSEWHERE = -2, /* past the cloud's end, or in a cell of another pass */
};

INLINE int cell_in_pass(const voxel_cut *cut, cell_index cell) {
    return cell < 0                                ? CELL_DROPPED
           : cell >= cut->first && cell < cut->end ? (int)(cell - cut->first)
                                                   : CELL_ELSEWHERE;
}

/* Which point of a range is i-th of the thread's: four in a row, or a block apart. */
INLINE int point_of_thread(int i, int vector) {
    return vector ? 4 * (int)(threadIdx.x + i / 4 * blockDim.x) + i % 4
                  : (int)(threadIdx.x + i * blockDim.x);
}

/* The cell of one point, for clouds and points that are not read four at a time. */
static __device__ __noinline__ int cell_of_one(const voxel_cloud *cloud, const voxel_cut *cut,
                                               long long batch, long long index) {
    return cell_in_pass(cut, cell_of_point(cloud, batch, index));
}

/* Cells, counted from cut->first, of the thread's points from the (4 * first_quad)-th on; up to two
 * quads, a number that the compiler knows. `first` is the range's first point and `count` how
 * many it has. */
INLINE void cells_of_quads(const voxel_cloud *cloud, const voxel_cut *cut, long long batch,
                           long long first, int count, int first_quad, int quads, int *cells) {
    if (!cloud->vector) {
#pragma unroll
        for (int i = 0; i < 4 * quads; ++i) {
            const int index = point_of_thread(4 * first_quad + i, 0);
            cells[i] =
                index < count ? cell_of_one(cloud, cut, batch, first + index) : CELL_ELSEWHERE;
        }
        return;
    }
    const float4 *from = (const float4 *)(cloud->points + batch * cloud->batch_stride + first * 12);
    float4 loaded[6];
#pragma unroll
    for (int quad = 0; quad < quads; ++quad) {
        const int index = point_of_thread(4 * (first_quad + quad), 1);
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            loaded[3 * quad + k] = index + 4 <= count ? __ldg(from + index / 4 * 3 + k)
                                                      : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
    }
    const int all = cut->end - cut->first == cut->cells;
#pragma unroll
    for (int quad = 0; quad < quads; ++quad) {
        const int index = point_of_thread(4 * (first_quad + quad), 1);
        int *four = cells + 4 * quad;
        float points[12];
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            points[4 * k] = loaded[3 * quad + k].x;
            points[4 * k + 1] = loaded[3 * quad + k].y;
            points[4 * k + 2] = loaded[3 * quad + k].z;
            points[4 * k + 3] = loaded[3 * quad + k].w;
        }
        cells_f32(cloud, points, 4, four);
        if (index + 4 > count) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                four[i] = index + i < count ? cell_of_one(cloud, cut, batch, first + index + i)
                                            : CELL_ELSEWHERE;
            }
        } else if (!all) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                four[i] = cell_in_pass(cut, four[i]);
            }
        }
    }
}

/* Whether many of a warp's points lie in one tile, as those of an ordered cloud do. */
INLINE int points_are_close(int cell, unsigned shift) {
    const unsigned tile = (unsigned)cell >> shift; /* of dropped ones: none there is */
    const unsigned same = __ballot_sync(0xffffffffu, tile == __shfl_sync(0xffffffffu, tile, 0));
    return __popc(same) >= 8;
}

/* How many points of the range have come before each of the thread's to its tile, of n, which the
 * compiler knows. Where a warp's lie close, one thread counts all that go to the same tile. */
INLINE void take_ranks(unsigned *filled, const int *cells, int n, unsigned shift, unsigned *ranks) {
    if (!points_are_close(cells[0], shift)) {
#pragma unroll
        for (int i = 0; i < n; ++i) {
            ranks[i] = cells[i] >= 0 ? atomicAdd(&filled[(unsigned)cells[i] >> shift], 1u) : 0;
        }
        return;
    }
    const int lane = (int)threadIdx.x & 31;
#pragma unroll
    for (int i = 0; i < n; ++i) {
        const unsigned tile = cells[i] >= 0 ? (unsigned)cells[i] >> shift : 0xffffffffu;
        const unsigned peers = __match_any_sync(0xffffffffu, tile);
        const int leader = __ffs((int)peers) - 1;
        unsigned first = 0;
        if (lane == leader && cells[i] >= 0) {
            first = atomicAdd(&filled[tile], (unsigned)__popc(peers));
        }
        first = __shfl_sync(0xffffffffu, first, leader);
        ranks[i] = cells[i] >= 0 ? first + (unsigned)__popc(peers & ((1u << lane) - 1)) : 0;
    }
}

/* counts[0..n) become runs: where each begins, in vectors of 2^vec16_shift entries, and how many
 * entries it has << 16. Returns the number of vectors; a barrier is passed last. */
INLINE int make_runs(unsigned *counts, int n, int vec16_shift) {
    __shared__ unsigned warp_sums[32];
    const int each = (n + (int)blockDim.x - 1) / (int)blockDim.x;
    const int begin = min((int)threadIdx.x * each, n);
    const int end = min(begin + each, n);
    const unsigned round = (1u << vec16_shift) - 1;
    unsigned sum = 0;
    for (int i = begin; i < end; ++i) {
        sum += (counts[i] + round) >> vec16_shift;
    }
    unsigned total;
    unsigned before = block_sum_before(sum, warp_sums, &total);
    for (int i = begin; i < end; ++i) {
        const unsigned count = counts[i];
        counts[i] = before | count << 16;
        before += (count + round) >> vec16_shift;
    }
    __syncthreads();
    return (int)total;
}

/* Writes how many points the range dropped. `mine`: this thread's. */
INLINE void write_missing(const voxel_cut *cut, const point_range *part, unsigned mine) {
    __shared__ unsigned warp_sums[32];
    const unsigned missing = block_sum(mine, warp_sums);
    if (threadIdx.x == 0) {
        cut->missing[part->row] = missing;
    }
}

#endif
