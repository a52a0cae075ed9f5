#include "core/error.h"
#include "cuda/voxelize/voxelize_tiling.h"

enum {
    /* In all clouds: up to these, points are counted straight in the grid. */
    FEW_POINTS = 1 << 14, /* whatever cells they share */
    FEW_CELLS = 1 << 20,
    CACHED_POINTS = 640 << 10, /* of counts in grids that few points share a cell of */
    CACHED_CELLS = 4 << 20,
    MIN_CACHED_CELLS = 1 << 16,
};

/* ---- occupancy and counts, straight in the grid ---- */

/* On an H200 atomics in the L2 cache count half a million points into 128^3 cells in 9.9 us;
 * dealing them out takes 10.5 or more, but less for occupancy and for counts of a million. */
bool rbc__voxel_counts_in_grid(const rbc__voxelize_job *job) {
    const int64_t batch = job->cloud.batch;
    const int64_t points = job->cloud.num_points;
    const int64_t cells = job->grid[0] * job->grid[1] * job->grid[2];
    const bool few = points <= FEW_POINTS / batch && cells <= FEW_CELLS / batch;
    return !rbc__voxel_has_features(job) &&
           (few || (job->reduce == RBC_VOXEL_COUNT && points <= CACHED_POINTS / batch &&
                    cells >= MIN_CACHED_CELLS && cells <= CACHED_CELLS / batch));
}

rbc_status rbc__voxel_count_in_grid(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                    rbc_error *err) {
    const int64_t batch = job->cloud.batch;
    const bool counting = job->reduce == RBC_VOXEL_COUNT;
    const int64_t block_points = (int64_t)VOXEL_ATOMIC_THREADS * VOXEL_ATOMIC_POINTS;
    const voxel_atomic_launch launch = {
        .cloud = rbc__voxel_describe_cloud(job),
        .num_clouds = batch,
        .cells = job->grid[0] * job->grid[1] * job->grid[2],
        .cloud_blocks = (uint32_t)rbc__divide_up(job->cloud.num_points, block_points),
        .counts = {counting ? (int32_t *)(void *)job->out : NULL, job->counts},
        .occupied = counting ? NULL : (unsigned char *)job->out,
        .dropped = (unsigned long long *)job->dropped,
    };
    const int64_t bytes = batch * launch.cells * (counting || job->counts != NULL ? 4 : 1);
    const int64_t wanted = rbc__divide_up(bytes, (int64_t)VOXEL_ATOMIC_THREADS * 16 * 4);
    const int64_t most = (int64_t)queue->multiprocessors * 8;
    rbc__cuda_shape shape = {
        .blocks = wanted < most ? wanted : most,
        .blocks_y = 1,
        .threads = VOXEL_ATOMIC_THREADS,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_clear, shape, &launch, err));
    shape.blocks = batch * launch.cloud_blocks;
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_atomic, shape, &launch, err);
}

/* ---- dealt out ---- */

static uint32_t round_threads(int64_t wanted, int64_t most) {
    const int64_t threads = rbc__round_up(wanted, 32);
    return (uint32_t)(threads > most ? most : threads < 32 ? 32 : threads);
}

rbc_status rbc__voxel_count_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                 const rbc__voxel_tiling *p, const voxel_cut *cut, rbc_error *err) {
    const voxel_bins_launch deal = {
        .cloud = rbc__voxel_describe_cloud(job),
        .deal = rbc__voxel_describe_deal(job, p, cut),
    };
    rbc__cuda_shape shape = rbc__voxel_deal_shape(p, cut);
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_bins, shape, &deal, err));
    const bool counting = job->reduce == RBC_VOXEL_COUNT || job->counts != NULL;
    const voxel_count_launch launch = {
        .deal = deal.deal,
        .counts = {job->counts,
                   job->reduce == RBC_VOXEL_COUNT ? (int32_t *)(void *)job->out : NULL},
        .occupied = job->reduce == RBC_VOXEL_OCCUPANCY ? (unsigned char *)job->out : NULL,
        .dropped = cut->first == 0 ? (long long *)job->dropped : NULL,
    };
    shape.blocks = p->batch * (int64_t)cut->num_tiles;
    shape.threads = round_threads((int64_t)p->num_ranges * p->lanes / 2, VOXEL_TILE_THREADS);
    const uint32_t least = counting ? 1U << cut->shift >> 4 : 256; /* four vectors to write each */
    shape.threads =
        shape.threads < least ? round_threads(least, VOXEL_TILE_THREADS) : shape.threads;
    shape.threads = shape.threads < 256 ? 256 : shape.threads;
    shape.shared_bytes = (counting ? 4U : 1U) << cut->shift;
    return rbc__cuda_launch(queue, counting ? RBC__CUDA_voxel_count : RBC__CUDA_voxel_occupy, shape,
                            &launch, err);
}
