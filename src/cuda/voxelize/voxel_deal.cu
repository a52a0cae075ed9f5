/* Sorts the points of a range by tile; see voxel_params.h. */
#include "cuda/voxelize/cell_tile.cuh"
#include "cuda/voxelize/point_range.cuh"

enum {
    GROUP_POINTS = 8, /* whose coordinates are loaded together */
    GROUPS = 2,
    PER_THREAD = GROUPS * GROUP_POINTS,
};

/* `i`: of the thread. */
INLINE unsigned entry_of(const voxel_deal_launch *p, int cell, int i) {
    const unsigned mask = (1u << p->deal.cut.shift) - 1;
    return ((unsigned)cell & mask) << VOXEL_INDEX_BITS |
           (unsigned)point_of_thread(i, (int)p->cloud.vector);
}

extern "C" __global__ void __launch_bounds__(VOXEL_DEAL_THREADS, 1)
    rbc__voxel_deal_cuda(const __grid_constant__ voxel_deal_launch p) {
    extern __shared__ __align__(16) unsigned shared[];
    const voxel_cut *cut = &p.deal.cut;
    const int num_tiles = (int)cut->num_tiles;
    const int groups = (int)(cut->range_points / (GROUP_POINTS * blockDim.x));
    unsigned *runs = shared; /* entries of each tile, then its run */
    unsigned *sorted = shared + ((num_tiles + 3) & ~3);
    for (int i = (int)threadIdx.x; i < num_tiles; i += (int)blockDim.x) {
        runs[i] = 0;
    }
    launch_await();
    launch_release();
    if (blockIdx.x == 0 && threadIdx.x < DEFERRED_COUNTS) {
        p.used[threadIdx.x] = 0;
    }
    const point_range part = range_of_block(&p.cloud, cut);
    __syncthreads();
    int cells[PER_THREAD];
    unsigned ranks[PER_THREAD / 2]; /* two of 16 bits */
#pragma unroll
    for (int group = 0; group < GROUPS; ++group) {
        int *own = cells + group * GROUP_POINTS;
        if (group < groups) {
            cells_of_quads(&p.cloud, cut, part.batch, part.first, part.count, 2 * group, 2, own);
        } else {
#pragma unroll
            for (int i = 0; i < GROUP_POINTS; ++i) {
                own[i] = CELL_ELSEWHERE;
            }
        }
        unsigned found[GROUP_POINTS];
        take_ranks(runs, own, GROUP_POINTS, cut->shift, found);
#pragma unroll
        for (int i = 0; i < GROUP_POINTS; i += 2) {
            ranks[(group * GROUP_POINTS + i) / 2] = found[i] | found[i + 1] << 16;
        }
    }
    if (cut->missing != 0) {
        unsigned missing = 0;
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            missing += cells[i] == CELL_DROPPED;
        }
        write_missing(cut, &part, missing);
    }
    /* Into bins, while all points fit into theirs. */
    const unsigned room = p.deal.bin_vec16s * 4;
    int full = room == 0;
    if (!full) {
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            const unsigned rank = ranks[i / 2] >> 16 * (i % 2) & 0xffffu;
            const unsigned tile = (unsigned)cells[i] >> cut->shift;
            if (cells[i] >= 0 && rank < room) {
                sorted[tile * room + rank] = entry_of(&p, cells[i], i);
            }
            full |= cells[i] >= 0 && rank >= room;
        }
    }
    full = __syncthreads_or(full);
    int vec16s = num_tiles * (int)p.deal.bin_vec16s;
    if (full) {
        vec16s = make_runs(runs, num_tiles, 2);
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            const unsigned rank = ranks[i / 2] >> 16 * (i % 2) & 0xffffu;
            if (cells[i] >= 0) {
                const unsigned run = runs[(unsigned)cells[i] >> cut->shift];
                sorted[(run & 0xffffu) * 4 + rank] = entry_of(&p, cells[i], i);
            }
        }
        __syncthreads();
    }
    for (int i = (int)threadIdx.x; i < num_tiles; i += (int)blockDim.x) {
        p.deal.runs[part.row * num_tiles + i] =
            full ? runs[i] : (unsigned)i * p.deal.bin_vec16s | runs[i] << 16;
    }
    uint4 *entries = (uint4 *)p.deal.entries + (unsigned long long)part.row * p.deal.range_vec16s;
    for (int i = (int)threadIdx.x; i < vec16s; i += (int)blockDim.x) {
        const unsigned tile = divide_by_inverse((unsigned)i, p.deal.lanes_inverse);
        if (full || ((unsigned)i - tile * p.deal.lanes) * 4 < runs[tile]) {
            entries[i] = ((const uint4 *)sorted)[i];
        }
    }
}
