/* Sets several ranges of memory in one launch. */
#include "launch.cuh"
#include "voxel_params.h"

extern "C" __global__ void __launch_bounds__(VOXEL_THREADS)
    rbc__voxel_clear_cuda(const __grid_constant__ voxel_clear p) {
    launch_await();
    launch_release();
    const long long thread = (long long)blockIdx.x * VOXEL_THREADS + threadIdx.x;
    const long long threads = (long long)gridDim.x * VOXEL_THREADS;
    for (int r = 0; r < VOXEL_CLEARS; ++r) {
        char *begin = p.ranges[r].begin;
        if (begin == 0) {
            return;
        }
        const unsigned value = p.ranges[r].value;
        const uint4 chunk = make_uint4(value, value, value, value);
        const long long chunks = p.ranges[r].bytes / 16;
#pragma unroll 4
        for (long long i = thread; i < chunks; i += threads) {
            ((uint4 *)begin)[i] = chunk;
        }
        const long long tail = p.ranges[r].bytes - chunks * 16;
        if (thread < tail) {
            begin[chunks * 16 + thread] = (char)value;
        }
    }
}
