#include "core/error.h"
#include "cuda/depth/depth.h"
#include "cuda/ops.h"
#include "cuda/voxelize/voxelize_tiling.h"

#define MOST_TOGETHER (INT64_C(1) << 30)

_Static_assert(POINT_F32 == (int)RBC__F32 && POINT_F64 == (int)RBC__F64 &&
                   POINT_F16 == (int)RBC__F16 && POINT_BF16 == (int)RBC__BF16,
               "point types");
_Static_assert(REDUCE_OCCUPANCY == (int)RBC_VOXEL_OCCUPANCY && REDUCE_MIN == (int)RBC_VOXEL_MIN,
               "reductions");
_Static_assert(sizeof(voxel_bins_launch) <= 4096 && sizeof(voxel_atomic_launch) <= 4096 &&
                   sizeof(voxel_reduce_launch) <= 4096,
               "kernel parameters of every device");

/* Clouds whose features are reduced together: their points, and the cells of a pass, are numbered
 * with 32 bits. */
static int64_t clouds_at_once(const rbc__voxelize_job *job) {
    const int64_t batch = job->cloud.batch;
    if (!rbc__voxel_has_features(job)) {
        return batch;
    }
    rbc__voxelize_job one = *job;
    one.cloud.batch = 1;
    const rbc__voxel_tiling p = rbc__voxel_tiling_of(&one);
    const int64_t most =
        MOST_TOGETHER / (p.pass_cells > p.num_points ? p.pass_cells : p.num_points);
    return most < 1 ? 1 : most < batch ? most : batch;
}

/* Clouds [first, first + count) of a job that reduces features. */
static rbc__voxelize_job part_of(const rbc__voxelize_job *job, int64_t first, int64_t count) {
    rbc__voxelize_job part = *job;
    const rbc__cloud *all = &job->cloud;
    const int64_t cells = job->grid[0] * job->grid[1] * job->grid[2];
    part.cloud.batch = count;
    part.cloud.points += first * all->points_batch_stride_bytes;
    part.cloud.features += first * all->features_batch_stride_bytes;
    part.out += first * cells * all->num_features * rbc__dtype_bytes(all->feature_dtype);
    if (all->lengths != NULL) {
        part.cloud.lengths += first * all->lengths_stride_bytes;
    }
    if (job->counts != NULL) {
        part.counts += first * cells;
    }
    if (job->dropped != NULL) {
        part.dropped += first;
    }
    return part;
}

static rbc_status run(rbc__cuda_queue *queue, const rbc__voxelize_job *job, rbc_error *err) {
    if (rbc__voxel_counts_in_grid(job)) {
        return rbc__voxel_count_in_grid(queue, job, err);
    }
    const bool reducing = rbc__voxel_has_features(job);
    const int64_t together = clouds_at_once(job);
    for (int64_t cloud = 0; cloud < job->cloud.batch; cloud += together) {
        const int64_t left = job->cloud.batch - cloud;
        const rbc__voxelize_job part =
            reducing ? part_of(job, cloud, left < together ? left : together) : *job;
        const rbc__voxel_tiling p = rbc__voxel_tiling_of(&part);
        for (int64_t first = 0; first < p.cells; first += p.pass_cells) {
            const voxel_cut cut = rbc__voxel_describe_pass(&part, &p, first);
            RBC__TRY(reducing ? rbc__voxel_reduce_pass(queue, &part, &p, &cut, err)
                              : rbc__voxel_count_pass(queue, &part, &p, &cut, err));
        }
    }
    return RBC_OK;
}

/* ---- depth images ---- */

/* The points of depth images, which lie in the workspace first. */
static uint64_t depth_bytes(const rbc__voxelize_job *job) {
    uint64_t bytes;
    if (job->cloud.depth == NULL) {
        return 0;
    }
    if (__builtin_mul_overflow((uint64_t)job->cloud.batch, (uint64_t)job->cloud.num_points * 12,
                               &bytes) ||
        bytes > UINT64_MAX / 2) {
        return UINT64_MAX / 2;
    }
    return (bytes + 255) & ~UINT64_C(255);
}

/* Makes the points of depth images, and of `job` one that takes points. */
static rbc_status make_points(rbc__cuda_queue *queue, rbc__voxelize_job *job, rbc_error *err) {
    rbc__cloud *cloud = &job->cloud;
    float *points = (float *)(void *)job->workspace;
    job->workspace += depth_bytes(job);
    RBC__TRY(rbc__cuda_depth_points(queue, cloud->depth, cloud->batch, points, NULL, err));
    cloud->depth = NULL;
    cloud->points = (const char *)points;
    cloud->points_batch_stride_bytes = cloud->num_points * 12;
    cloud->points_stride_bytes = 12;
    cloud->axis_stride_bytes = 4;
    return RBC_OK;
}

static rbc_status run_points_or_depth(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                      rbc_error *err) {
    if (job->cloud.depth == NULL) {
        return run(queue, job, err);
    }
    rbc__voxelize_job of_points = *job;
    RBC__TRY(make_points(queue, &of_points, err));
    return run(queue, &of_points, err);
}

uint64_t rbc__cuda_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job) {
    (void)context;
    uint64_t bytes = depth_bytes(job);
    if (job->cloud.batch > 0 && !rbc__voxel_counts_in_grid(job)) {
        rbc__voxelize_job part = *job;
        part.cloud.batch = clouds_at_once(job);
        bytes += (uint64_t)rbc__voxel_tiling_of(&part).bytes;
    }
    return bytes;
}

rbc_status rbc__cuda_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                              void *cu_stream, rbc_error *err) {
    (void)context;
    if (job->cloud.batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    return rbc__cuda_leave(&queue, run_points_or_depth(&queue, job, err));
}
