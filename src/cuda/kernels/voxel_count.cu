/* Counts the points of a slab's cells, or says which hold any. */
#include "slab.cuh"

enum {
    TASKS = 2, /* chunks that a thread loads before it uses the first */
};

/* `bytes` from shared memory; the ends are written one by one. */
INLINE void write_slab(char *out, const unsigned *made, int bytes) {
    const int whole = ((unsigned long long)out & 15) == 0 ? bytes / 16 : 0;
    for (int i = (int)threadIdx.x; i < whole; i += (int)blockDim.x) {
        __stcs((uint4 *)out + i, ((const uint4 *)made)[i]);
    }
    for (int i = whole * 16 + (int)threadIdx.x; i < bytes; i += (int)blockDim.x) {
        out[i] = ((const char *)made)[i];
    }
}

/* The first `count` of eight cells are counted, or marked. */
INLINE void use_chunk(unsigned *cells, uint4 chunk, int count, int counting) {
    const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
#pragma unroll
    for (int j = 0; j < 8; ++j) {
        const unsigned cell = words[j / 2] >> 16 * (j & 1) & 0xffffu;
        if (j < count) {
            if (counting) {
                atomicAdd(&cells[cell], 1u);
            } else {
                /* Any number of threads write the same value. */
                ((unsigned char *)cells)[cell] = 1;
            }
        }
    }
}

/* A bin is read as if it were where it is when all of a segment's fit, while its run is on the way.
 */
INLINE void use_entries(const voxel_bins *bins, const slab *part, unsigned *cells, int counting) {
    const unsigned num_segments = bins->cut.num_segments;
    const unsigned width = bins->bin_chunks;
    const unsigned here = (unsigned)part->index * width;
    const unsigned row = (unsigned)part->batch * num_segments;
    for (unsigned base = 0; base < num_segments * width; base += TASKS * blockDim.x) {
        uint4 chunks[TASKS];
        unsigned runs[TASKS], lanes[TASKS];
        const uint4 *from[TASKS];
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const unsigned task = base + k * blockDim.x + threadIdx.x;
            const unsigned segment =
                bins->divides_tasks ? __umulhi(task, bins->bin_inverse) : task / width;
            lanes[k] = task - segment * width;
            runs[k] = 0;
            from[k] = (const uint4 *)(bins->entries +
                                      (unsigned long long)(row + segment) * bins->segment_entries);
            if (segment < num_segments) {
                runs[k] =
                    __ldg(bins->runs + (unsigned long long)(row + segment) * bins->cut.num_slabs +
                          part->index);
                chunks[k] = __ldg(from[k] + here + lanes[k]);
            }
        }
#pragma unroll
        for (int k = 0; k < TASKS; ++k) {
            const unsigned begin = runs[k] & 0xffffu;
            const int count = (int)(runs[k] >> 16);
            if (begin == here && count <= 8 * (int)width) {
                use_chunk(cells, chunks[k], count - 8 * (int)lanes[k], counting);
            } else {
                for (int at = (int)lanes[k]; at * 8 < count; at += (int)width) {
                    use_chunk(cells, __ldg(from[k] + begin + at), count - 8 * at, counting);
                }
            }
        }
    }
}

INLINE void make_slab(const voxel_count_launch *p, unsigned *cells, int counting) {
    const slab part = slab_of_block(&p->bins.cut);
    const int words = counting ? part.cells : (part.cells + 3) / 4;
    for (int i = (int)threadIdx.x; i < (words + 3) / 4; i += (int)blockDim.x) {
        ((uint4 *)cells)[i] = make_uint4(0, 0, 0, 0);
    }
    __syncthreads();
    launch_await();
    launch_release();
    write_dropped(&p->bins.cut, &part, p->dropped);
    use_entries(&p->bins, &part, cells, counting);
    __syncthreads();
    if (!counting) {
        write_slab((char *)p->occupied + part.out_cell, cells, part.cells);
        return;
    }
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        if (p->counts[k] != 0) {
            write_slab((char *)(p->counts[k] + part.out_cell), cells, part.cells * 4);
        }
    }
    if (p->occupied != 0) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < part.cells; i += (int)blockDim.x) {
            p->occupied[part.out_cell + i] = cells[i] != 0;
        }
    }
}

extern "C" __global__ void __launch_bounds__(VOXEL_SLAB_THREADS, BLOCKS_OF_1024)
    rbc__voxel_count_cuda(const __grid_constant__ voxel_count_launch p) {
    extern __shared__ __align__(16) unsigned cells[];
    make_slab(&p, cells, 1);
}

extern "C" __global__ void __launch_bounds__(VOXEL_SLAB_THREADS, BLOCKS_OF_1024)
    rbc__voxel_occupy_cuda(const __grid_constant__ voxel_count_launch p) {
    extern __shared__ __align__(16) unsigned cells[];
    make_slab(&p, cells, 0);
}
