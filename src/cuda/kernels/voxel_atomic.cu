/* Counts points by cell, or marks cells that hold one, straight in global memory: for grids that
 * stay in the L2 cache, where that is faster than sorting the points first. */
#include "cloud.cuh"

enum {
    THREADS = VOXEL_ATOMIC_THREADS,
};

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__voxel_zero_cuda(const __grid_constant__ voxel_atomic_launch p) {
    launch_await();
    launch_release();
    const long long thread = (long long)blockIdx.x * THREADS + threadIdx.x;
    const long long threads = (long long)gridDim.x * THREADS;
    const uint4 zero = make_uint4(0, 0, 0, 0);
#pragma unroll
    for (int r = 0; r < 3; ++r) {
        const long long bytes = p.zero_bytes[r];
        uint4 *chunks = (uint4 *)(r == 0   ? (char *)p.counts
                                  : r == 1 ? (char *)p.occupied
                                           : (char *)p.dropped);
#pragma unroll 4
        for (long long i = thread; i < bytes / 16; i += threads) {
            chunks[i] = zero;
        }
        const long long tail = bytes & ~15ll;
        if (thread < bytes - tail) {
            ((char *)chunks)[tail + thread] = 0;
        }
    }
}

INLINE void count_point(const voxel_atomic_launch *p, long long base, cell_index cell) {
    if (cell < 0) {
        return;
    }
    if (p->counts != 0) {
        atomicAdd(&p->counts[base + cell], 1);
    }
    if (p->occupied != 0) {
        /* Faster than storing single bytes. */
        const unsigned long long at = (unsigned long long)(base + cell);
        atomicOr((unsigned *)p->occupied + at / 4, 1u << 8 * (at % 4));
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

/* Four points a thread. Only the launch before, which clears, is waited for: whatever wrote the
 * points was complete before that one began. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__voxel_atomic_cuda(const __grid_constant__ voxel_atomic_launch p) {
    const long long batch = blockIdx.y;
    const long long length = cloud_length(&p.cloud, batch);
    const long long first = 4 * ((long long)blockIdx.x * THREADS + threadIdx.x);
    cell_index cells[4] = {-1, -1, -1, -1};
    if (p.cloud.vector && first + 4 <= length) {
        const float4 *from =
            (const float4 *)(p.cloud.points + batch * p.cloud.batch_stride + first * 12);
        const float4 p0 = __ldcs(from);
        const float4 p1 = __ldcs(from + 1);
        const float4 p2 = __ldcs(from + 2);
        cells[0] = cell_f32(&p.cloud, p0.x, p0.y, p0.z);
        cells[1] = cell_f32(&p.cloud, p0.w, p1.x, p1.y);
        cells[2] = cell_f32(&p.cloud, p1.z, p1.w, p2.x);
        cells[3] = cell_f32(&p.cloud, p2.y, p2.z, p2.w);
    } else {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            cells[i] = first + i < length ? cell_of_point(&p.cloud, batch, first + i) : -1;
        }
    }
    launch_await();
    launch_release();
    int missing = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        count_point(&p, batch * p.cells, cells[i]);
        missing += first + i < length && cells[i] < 0;
    }
    if (p.dropped != 0) {
        add_dropped(&p.dropped[batch], missing);
    }
}
