/* How dense voxelization on CUDA is cut up, and the parts of its launches that depend on that. See
 * voxel_params.h. Interface of src/cuda/voxelize. */
#ifndef RBC_CUDA_VOXELIZE_TILING_H
#define RBC_CUDA_VOXELIZE_TILING_H

#include "backend.h"
#include "cuda/common/arithmetic.h"
#include "cuda/runtime/launch.h"
#include "cuda/voxelize/voxel_params.h"

/* Depends on a job's sizes alone. */
typedef struct rbc__voxel_tiling {
    int64_t cells; /* of a cloud's grid */
    int64_t batch;
    int64_t num_points;
    uint32_t range_points, num_ranges;
    uint32_t shift;
    int64_t pass_cells;
    uint32_t pass_tiles;
    uint32_t bin_vec16s;            /* 0: no bins */
    uint32_t lanes;                 /* that read a run of points */
    uint32_t range_vec16s;          /* room for them, of 16 bytes */
    uint32_t deferred, huge, parts; /* room for them, see voxel_deferred */
    /* Offsets in the workspace, and its size; the entries come first. */
    int64_t runs, missing, points, deferred_cells, huge_cells, states, looked, finished;
    int64_t part_list, used, bytes;
} rbc__voxel_tiling;

rbc__voxel_tiling rbc__voxel_tiling_of(const rbc__voxelize_job *job);

/* Points of a cloud in a tile where they lie evenly, of `points` in all. */
double rbc__voxel_points_of_tile(const rbc__voxel_tiling *p, int64_t points);

/* Whether features are reduced. */
bool rbc__voxel_has_features(const rbc__voxelize_job *job);

/* Whether rows of features, here and in an output, are whole vectors of 16 bytes at multiples
 * of 16.
 */
bool rbc__voxel_rows_are_vec16s(const rbc__cloud *cloud, const void *out);

/* The points alone, without their grid. */
voxel_cloud rbc__voxel_cloud_of(const rbc__cloud *from);

voxel_cloud rbc__voxel_describe_cloud(const rbc__voxelize_job *job);

/* The pass over the cells from `first` on. */
voxel_cut rbc__voxel_describe_pass(const rbc__voxelize_job *job, const rbc__voxel_tiling *p,
                                   int64_t first);

/* Points dealt out in a pass. */
voxel_deal rbc__voxel_describe_deal(const rbc__voxelize_job *job, const rbc__voxel_tiling *p,
                                    const voxel_cut *cut);

/* What the kernel that deals them out takes, but its threads. */
rbc__cuda_shape rbc__voxel_deal_shape(const rbc__voxel_tiling *p, const voxel_cut *cut);

/* 2^32 / divisor, rounded up; 0 stands for a divisor of 1. */
uint32_t rbc__voxel_inverse(uint32_t divisor);

/* Whether points are counted straight in the grid, which takes no workspace. */
bool rbc__voxel_counts_in_grid(const rbc__voxelize_job *job);

rbc_status rbc__voxel_count_in_grid(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                    rbc_error *err);

/* Occupancy or counts of a pass, points dealt out. */
rbc_status rbc__voxel_count_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                 const rbc__voxel_tiling *p, const voxel_cut *cut, rbc_error *err);

/* Features reduced in a pass. */
rbc_status rbc__voxel_reduce_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                  const rbc__voxel_tiling *p, const voxel_cut *cut, rbc_error *err);

#endif
