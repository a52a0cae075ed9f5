/* Counts the points of a slab's cells, or says which hold any. */
#include "slab.cuh"

INLINE unsigned occupied_word(uint4 counts) {
    return (counts.x != 0) | (counts.y != 0) << 8 | (counts.z != 0) << 16 |
           (unsigned)(counts.w != 0) << 24;
}

INLINE void write_counts(int *out, const unsigned *counts, int cells) {
    if (((unsigned long long)out & 15) == 0) {
        for (int i = (int)threadIdx.x; i < cells / 4; i += (int)blockDim.x) {
            __stcs((uint4 *)out + i, ((const uint4 *)counts)[i]);
        }
        const int tail = cells & ~3;
        if ((int)threadIdx.x < cells - tail) {
            out[tail + threadIdx.x] = (int)counts[tail + threadIdx.x];
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < cells; i += (int)blockDim.x) {
        out[i] = (int)counts[i];
    }
}

INLINE void write_occupied(unsigned char *out, const unsigned *counts, int cells) {
    const uint4 *chunks = (const uint4 *)counts;
    if (((unsigned long long)out & 15) == 0 && cells % 16 == 0) {
        for (int i = (int)threadIdx.x; i < cells / 16; i += (int)blockDim.x) {
            __stcs((uint4 *)out + i,
                   make_uint4(occupied_word(chunks[4 * i]), occupied_word(chunks[4 * i + 1]),
                              occupied_word(chunks[4 * i + 2]), occupied_word(chunks[4 * i + 3])));
        }
        return;
    }
    for (int i = (int)threadIdx.x; i < cells; i += (int)blockDim.x) {
        out[i] = counts[i] != 0;
    }
}

extern "C" __global__ void __launch_bounds__(VOXEL_SLAB_THREADS)
    rbc__voxel_count_cuda(const __grid_constant__ voxel_count_launch p) {
    extern __shared__ __align__(16) unsigned counts[];
    const slab part = slab_of_block(&p.deal);
    for (int i = (int)threadIdx.x; i < (part.cells + 3) / 4; i += (int)blockDim.x) {
        ((uint4 *)counts)[i] = make_uint4(0, 0, 0, 0);
    }
    launch_await();
    write_dropped(&p.deal, &part, p.dropped);
    __syncthreads();
    const run_reader reader = read_runs(&p.deal, &part, p.lanes);
    if (p.counts != 0) {
        FOR_EACH_ENTRY(&reader, cell, point, { atomicAdd(&counts[cell], 1u); })
    } else {
        /* Any number of threads write the same value. */
        FOR_EACH_ENTRY(&reader, cell, point, { counts[cell] = 1; })
    }
    __syncthreads();
    launch_release();
    if (p.counts != 0) {
        write_counts(p.counts + part.out_cell, counts, part.cells);
    }
    if (p.occupied != 0) {
        write_occupied(p.occupied + part.out_cell, counts, part.cells);
    }
}
