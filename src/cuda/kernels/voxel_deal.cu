/* Sorts the points of a segment by slab; see voxel_params.h. */
#include "segment.cuh"

enum {
    GROUP_POINTS = 8, /* whose coordinates are loaded together */
    GROUPS = 2,
    PER_THREAD = GROUPS * GROUP_POINTS,
};

extern "C" __global__ void __launch_bounds__(VOXEL_DEAL_THREADS, 1)
    rbc__voxel_deal_cuda(const __grid_constant__ voxel_deal_launch p) {
    extern __shared__ __align__(16) unsigned shared[];
    const voxel_cut *cut = &p.deal.cut;
    const int num_slabs = (int)cut->num_slabs;
    const int groups = (int)(cut->segment_points / (GROUP_POINTS * blockDim.x));
    unsigned *runs = shared; /* entries of each slab, then its run */
    unsigned *sorted = shared + ((num_slabs + 3) & ~3);
    for (int i = (int)threadIdx.x; i < num_slabs; i += (int)blockDim.x) {
        runs[i] = 0;
    }
    launch_await();
    launch_release();
    const segment part = segment_of_block(&p.cloud, cut);
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
#pragma unroll
        for (int i = 0; i < GROUP_POINTS; ++i) {
            const unsigned rank =
                own[i] >= 0 ? atomicAdd(&runs[(unsigned)own[i] >> cut->shift], 1u) : 0;
            unsigned *pair = &ranks[(group * GROUP_POINTS + i) / 2];
            *pair = i % 2 == 0 ? rank : *pair | rank << 16;
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
    __syncthreads();
    const int chunks = make_runs(runs, num_slabs, 2);
    const unsigned mask = (1u << cut->shift) - 1;
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (cells[i] >= 0) {
            const unsigned slab = (unsigned)cells[i] >> cut->shift;
            const int point = point_of_thread(i, (int)p.cloud.vector);
            sorted[(runs[slab] & 0xffffu) * 4 + (ranks[i / 2] >> 16 * (i % 2) & 0xffffu)] =
                ((unsigned)cells[i] & mask) << VOXEL_INDEX_BITS | (unsigned)point;
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < num_slabs; i += (int)blockDim.x) {
        p.deal.runs[part.row * num_slabs + i] = runs[i];
    }
    uint4 *entries =
        (uint4 *)(p.deal.entries + (unsigned long long)part.row * p.deal.segment_entries);
    for (int i = (int)threadIdx.x; i < chunks; i += (int)blockDim.x) {
        entries[i] = ((const uint4 *)sorted)[i];
    }
}
