/* Numbers of all windows and rows of a range in one launch: resampled, scaled, and put into the
 * batch. */
#include "cuda/align/align.cuh"

extern "C" __global__ void __launch_bounds__(ALIGN_THREADS)
    rbc__align_cuda(const __grid_constant__ align_launch p) {
    __shared__ target_samples found[ALIGN_TILE];
    launch_await();
    const align_tile part = p.tiles[blockIdx.x];
    const align_item *to = &p.items[part.item];
    align_find(to, part, threadIdx.x, found);
    __syncthreads();
    align_put_any(to, part, threadIdx.x, found);
}
