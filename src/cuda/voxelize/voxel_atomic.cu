/* Counts points by cell, or marks cells that hold one, straight in global memory: for few points
 * and grids that stay in the L2 cache, where that is faster than dealing points out and needs no
 * workspace. */
#include "cuda/voxelize/point_cells.cuh"

enum {
    THREADS = VOXEL_ATOMIC_THREADS,
    POINTS = VOXEL_ATOMIC_POINTS,
};

INLINE void clear(char *bytes, long long size, long long thread, long long threads) {
    const long long to_vec16 = (long long)(-(unsigned long long)bytes & 15);
    const long long head = to_vec16 < size ? to_vec16 : size;
    const long long vec16s = (size - head) / 16;
    uint4 *body = (uint4 *)(bytes + head);
#pragma unroll 4
    for (long long i = thread; i < vec16s; i += threads) {
        body[i] = make_uint4(0, 0, 0, 0);
    }
    const long long tail = head + vec16s * 16;
    if (thread < head) {
        bytes[thread] = 0;
    }
    if (thread < size - tail) {
        bytes[tail + thread] = 0;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__voxel_clear_cuda(const __grid_constant__ voxel_atomic_launch p) {
    launch_await();
    launch_release();
    const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x;
    const long long threads = (long long)gridDim.x * THREADS;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
        if (p.counts[k] != 0) {
            clear((char *)p.counts[k], p.num_clouds * p.cells * 4, thread, threads);
        }
    }
    if (p.occupied != 0) {
        clear((char *)p.occupied, p.num_clouds * p.cells, thread, threads);
    }
    if (p.dropped != 0) {
        clear((char *)p.dropped, p.num_clouds * 8, thread, threads);
    }
}

INLINE void add_dropped(unsigned long long *dropped, int missing) {
    __shared__ int total;
    if (threadIdx.x == 0) {
        total = 0;
    }
    __syncthreads();
    missing = __reduce_add_sync(0xffffffffu, missing);
    if ((threadIdx.x & 31) == 0 && missing != 0) {
        atomicAdd(&total, missing);
    }
    __syncthreads();
    if (threadIdx.x == 0 && total != 0) {
        atomicAdd(dropped, (unsigned long long)total);
    }
}

/* Only the launch before, which clears, is waited for: whatever wrote the points was complete
 * before that one began. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__voxel_atomic_cuda(const __grid_constant__ voxel_atomic_launch p) {
    const long long batch = blockIdx.x / p.cloud_blocks;
    const long long length = cloud_length(&p.cloud, batch);
    const long long first =
        POINTS * ((long long)(blockIdx.x % p.cloud_blocks) * THREADS + threadIdx.x);
    cell_index cells[POINTS];
    if (p.cloud.vector && first + POINTS <= length) {
        const float4 *from =
            (const float4 *)(p.cloud.points + batch * p.cloud.batch_stride + first * 12);
        const float4 a = __ldcs(from);
        const float4 b = __ldcs(from + 1);
        const float4 c = __ldcs(from + 2);
        const float points[3 * POINTS] = {a.x, a.y, a.z, a.w, b.x, b.y,
                                          b.z, b.w, c.x, c.y, c.z, c.w};
        int found[POINTS];
        cells_f32(&p.cloud, points, POINTS, found);
#pragma unroll
        for (int i = 0; i < POINTS; ++i) {
            cells[i] = found[i];
        }
    } else {
#pragma unroll
        for (int i = 0; i < POINTS; ++i) {
            cells[i] = first + i < length ? cell_of_point(&p.cloud, batch, first + i) : -1;
        }
    }
    launch_await();
    launch_release();
    const long long base = batch * p.cells;
    int missing = 0;
#pragma unroll
    for (int i = 0; i < POINTS; ++i) {
        if (cells[i] >= 0) {
#pragma unroll
            for (int k = 0; k < 2; ++k) {
                if (p.counts[k] != 0) {
                    atomicAdd(&p.counts[k][base + cells[i]], 1);
                }
            }
            if (p.occupied != 0) {
                p.occupied[base + cells[i]] = 1;
            }
        } else {
            missing += first + i < length;
        }
    }
    if (p.dropped != 0) {
        add_dropped(&p.dropped[batch], missing);
    }
}
