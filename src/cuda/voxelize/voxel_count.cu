/* Counts the points of a tile's cells, or says which hold any. */
#include "cuda/voxelize/cell_tile.cuh"

enum {
    TASKS = 2, /* vectors that a thread loads before it uses the first */
    MOST_LONG = 256,
    FEW_LONG = 8,
};

/* `bytes` from shared memory; the ends are written one by one. */
INLINE void write_tile(char *out, const unsigned *made, int bytes) {
    const int whole = ((unsigned long long)out & 15) == 0 ? bytes / 16 : 0;
    for (int i = (int)threadIdx.x; i < whole; i += (int)blockDim.x) {
        __stcs((uint4 *)out + i, ((const uint4 *)made)[i]);
    }
    for (int i = whole * 16 + (int)threadIdx.x; i < bytes; i += (int)blockDim.x) {
        out[i] = ((const char *)made)[i];
    }
}

/* The first `left` of eight cells are counted. */
INLINE void count_vec16(unsigned *cells, uint4 vec16, int left) {
    const unsigned words[4] = {vec16.x, vec16.y, vec16.z, vec16.w};
    if (left >= 8 && vec16.x == vec16.y && vec16.x == vec16.z && vec16.x == vec16.w &&
        vec16.x == __byte_perm(vec16.x, 0, 0x1032)) {
        atomicAdd(&cells[vec16.x & 0xffffu], 8u);
        return;
    }
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        if (j < left) {
            atomicAdd(&cells[words[j / 2] >> 16 * (j & 1) & 0xffffu], 1u);
        }
    }
}

/* They are marked; any number of threads write the same value. */
INLINE void mark_vec16(unsigned *tile_cells, uint4 vec16, int left) {
    unsigned char *cells = (unsigned char *)tile_cells;
    const unsigned words[4] = {vec16.x, vec16.y, vec16.z, vec16.w};
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        if (j < left) {
            cells[words[j / 2] >> 16 * (j & 1) & 0xffffu] = 1;
        }
    }
}

INLINE void use_vec16(unsigned *cells, uint4 vec16, int left, int counting) {
    if (counting) {
        count_vec16(cells, vec16, left);
    } else {
        mark_vec16(cells, vec16, left);
    }
}

/* Ranges whose runs are long: the block shares them once it is done with all others. */
typedef struct long_runs {
    unsigned count; /* may be more than there is room for */
    unsigned ranges[MOST_LONG];
} long_runs;

/* All threads read each run where there are few, else a warp does. Kept out of the registers. */
static __device__ __noinline__ void use_long_runs(const voxel_deal *deal, const long_runs *all,
                                                  unsigned *cells, int counting) {
    const cell_tile part = tile_of_block(&deal->cut);
    const unsigned count = min(all->count, (unsigned)MOST_LONG);
    const int alone = count > FEW_LONG;
    const unsigned first = alone ? threadIdx.x & 31 : threadIdx.x;
    const unsigned step = alone ? 32 : blockDim.x;
    for (unsigned i = alone ? threadIdx.x >> 5 : 0; i < count; i += alone ? blockDim.x >> 5 : 1) {
        const unsigned run = run_of_range(deal, &part, all->ranges[i]);
        const uint4 *from = vec16s_of_range(deal, &part, all->ranges[i]) + (run & 0xffffu);
        const int entries = (int)(run >> 16);
#pragma unroll 2
        for (unsigned at = first; (int)at * 8 < entries; at += step) {
            if (counting) {
                count_vec16(cells, __ldg(from + at), entries - 8 * (int)at);
            } else {
                mark_vec16(cells, __ldg(from + at), entries - 8 * (int)at);
            }
        }
    }
}

/* A bin is read as if it were where it is when all of a range's fit, while its run is on the way.
 */
INLINE void use_entries(const voxel_deal *deal, const cell_tile *part, unsigned *cells,
                        long_runs *later, int counting) {
    const unsigned num_ranges = deal->cut.num_ranges;
    const unsigned width = deal->lanes;
    const unsigned here = (unsigned)part->index * deal->bin_vec16s;
    for (unsigned base = 0; base < num_ranges * width; base += TASKS * blockDim.x) {
        uint4 vec16s[TASKS];
        unsigned runs[TASKS], lanes[TASKS];
        const uint4 *from[TASKS];
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const unsigned range =
                range_of_task(deal, base + k * blockDim.x + threadIdx.x, &lanes[k]);
            runs[k] = 0;
            from[k] = vec16s_of_range(deal, part, range);
            if (range < num_ranges) {
                runs[k] = run_of_range(deal, part, range);
                vec16s[k] = __ldg(from[k] + here + lanes[k]);
            }
        }
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const unsigned begin = runs[k] & 0xffffu;
            const int count = (int)(runs[k] >> 16);
            if (begin == here && count <= 8 * (int)width) {
                use_vec16(cells, vec16s[k], count - 8 * (int)lanes[k], counting);
                continue;
            }
            int at = (int)lanes[k];
            int step = (int)width;
            if (is_long(deal, runs[k], 8)) {
                const unsigned slot = at == 0 ? atomicAdd(&later->count, 1u) : 0;
                if (at != 0 || slot < MOST_LONG) {
                    if (at == 0) {
                        later->ranges[slot] = divide_by_inverse(base + k * blockDim.x + threadIdx.x,
                                                                deal->lanes_inverse);
                    }
                    continue;
                }
                step = 1;
            }
            for (; at * 8 < count; at += step) {
                use_vec16(cells, __ldg(from[k] + begin + at), count - 8 * at, counting);
            }
        }
    }
    __syncthreads();
    if (later->count != 0) {
        use_long_runs(deal, later, cells, counting);
        __syncthreads();
    }
}

INLINE void make_tile(const voxel_count_launch *p, unsigned *cells, int counting) {
    const cell_tile part = tile_of_block(&p->deal.cut);
    const int words = counting ? part.cells : (part.cells + 3) / 4;
    for (int i = (int)threadIdx.x; i < (words + 3) / 4; i += (int)blockDim.x) {
        ((uint4 *)cells)[i] = make_uint4(0, 0, 0, 0);
    }
    __shared__ long_runs later;
    if (threadIdx.x == 0) {
        later.count = 0;
    }
    __syncthreads();
    launch_await();
    launch_release();
    write_dropped(&p->deal.cut, &part, p->dropped);
    use_entries(&p->deal, &part, cells, &later, counting);
    if (!counting) {
        write_tile((char *)p->occupied + part.out_cell, cells, part.cells);
        return;
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        if (p->counts[k] != 0) {
            write_tile((char *)(p->counts[k] + part.out_cell), cells, part.cells * 4);
        }
    }
    if (p->occupied != 0) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < part.cells; i += (int)blockDim.x) {
            p->occupied[part.out_cell + i] = cells[i] != 0;
        }
    }
}

extern "C" __global__ void __launch_bounds__(VOXEL_TILE_THREADS, BLOCKS_OF_1024)
    rbc__voxel_count_cuda(const __grid_constant__ voxel_count_launch p) {
    extern __shared__ __align__(16) unsigned cells[];
    make_tile(&p, cells, 1);
}

extern "C" __global__ void __launch_bounds__(VOXEL_TILE_THREADS, BLOCKS_OF_1024)
    rbc__voxel_occupy_cuda(const __grid_constant__ voxel_count_launch p) {
    extern __shared__ __align__(16) unsigned cells[];
    make_tile(&p, cells, 0);
}
