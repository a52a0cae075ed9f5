/* Counts points by cell, or marks cells that hold one. The grid was cleared by the launch before.
 */
#include "cloud.cuh"

extern "C" __global__ void __launch_bounds__(VOXEL_THREADS)
    rbc__voxel_count_cuda(const __grid_constant__ voxel_count p) {
    const long long batch = blockIdx.y;
    cells_of_thread found;
    /* The launch before only clears; whatever wrote the points was complete before it began. */
    find_cells(&p.cloud, batch, cloud_length(&p.cloud, batch), &found);
    launch_await();
    launch_release();
    const long long base = batch * p.cells;
#pragma unroll
    for (int i = 0; i < VOXEL_POINTS_PER_THREAD; ++i) {
        const cell_index cell = found.cell[i];
        if (cell >= p.first && cell < p.end) {
            if (p.counts != 0) {
                atomicAdd(&p.counts[base + cell], 1);
            }
            if (p.occupied != 0) {
                /* Any number of threads write the same value. */
                p.occupied[base + cell] = 1;
            }
        }
    }
    add_dropped(p.dropped, batch, &found);
}
