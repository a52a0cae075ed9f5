/* Sorts the points of a range by tile where only their cells matter; see voxel_params.h. */
#include "cuda/voxelize/cell_tile.cuh"
#include "cuda/voxelize/point_range.cuh"

/* Some bin is too small: the range's entries are sorted into runs instead, one after the other.
 */
static __device__ __noinline__ int sort_runs(unsigned *filled, int num_tiles) {
    return make_runs(filled, num_tiles, 3);
}

enum {
    POINTS = 8, /* of each thread */
};

extern "C" __global__ void __launch_bounds__(VOXEL_BINS_THREADS, 1)
    rbc__voxel_bins_cuda(const __grid_constant__ voxel_bins_launch p) {
    extern __shared__ __align__(16) unsigned shared[];
    const int num_tiles = (int)p.deal.cut.num_tiles;
    unsigned *filled = shared; /* entries of each tile, then its run */
    uint16_t *bins = (uint16_t *)(shared + ((num_tiles + 3) & ~3));
    for (int i = (int)threadIdx.x; i < num_tiles; i += (int)blockDim.x) {
        filled[i] = 0;
    }
    launch_await();
    launch_release();
    const point_range part = range_of_block(&p.cloud, &p.deal.cut);
    int cells[POINTS];
    cells_of_quads(&p.cloud, &p.deal.cut, part.batch, part.first, part.count, 0, POINTS / 4, cells);
    __syncthreads();
    const unsigned shift = p.deal.cut.shift;
    const unsigned room = p.deal.bin_vec16s * 8;
    unsigned ranks[POINTS];
    take_ranks(filled, cells, POINTS, shift, ranks);
    int full = room == 0;
    const unsigned mask = (1u << shift) - 1;
#pragma unroll
    for (int i = 0; i < POINTS; ++i) {
        full |= ranks[i] >= room;
        if (cells[i] >= 0 && ranks[i] < room) {
            bins[((unsigned)cells[i] >> shift) * room + ranks[i]] =
                (uint16_t)((unsigned)cells[i] & mask);
        }
    }
    if (p.deal.cut.missing != 0) {
        unsigned missing = 0;
#pragma unroll
        for (int i = 0; i < POINTS; ++i) {
            missing += cells[i] == CELL_DROPPED;
        }
        write_missing(&p.deal.cut, &part, missing);
    }
    unsigned *runs = p.deal.runs + part.row * num_tiles;
    uint4 *entries = (uint4 *)p.deal.entries + (unsigned long long)part.row * p.deal.range_vec16s;
    if (!__syncthreads_or(full)) {
        for (int i = (int)threadIdx.x; i < num_tiles; i += (int)blockDim.x) {
            runs[i] = (unsigned)i * p.deal.bin_vec16s | filled[i] << 16;
        }
        for (int i = (int)threadIdx.x; i < num_tiles * (int)p.deal.bin_vec16s;
             i += (int)blockDim.x) {
            const unsigned tile = divide_by_inverse((unsigned)i, p.deal.lanes_inverse);
            if (((unsigned)i - tile * p.deal.bin_vec16s) * 8 < filled[tile]) {
                entries[i] = ((const uint4 *)bins)[i];
            }
        }
        return;
    }
    const int vec16s = sort_runs(filled, num_tiles);
#pragma unroll
    for (int i = 0; i < POINTS; ++i) {
        if (cells[i] >= 0) {
            bins[(filled[(unsigned)cells[i] >> shift] & 0xffffu) * 8 + ranks[i]] =
                (uint16_t)((unsigned)cells[i] & mask);
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < num_tiles; i += (int)blockDim.x) {
        runs[i] = filled[i];
    }
    for (int i = (int)threadIdx.x; i < vec16s; i += (int)blockDim.x) {
        entries[i] = ((const uint4 *)bins)[i];
    }
}
