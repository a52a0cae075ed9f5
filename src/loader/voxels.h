/* Windows whose samples, clouds or depth images, become grids. */
#ifndef RBC_LOADER_VOXELS_H
#define RBC_LOADER_VOXELS_H

#include "loader/batch_spec.h"

/* What is made of each sample, checked. */
typedef struct rbc__voxel_spec {
    rbc__voxelize_job job;   /* of one cloud, but for its points and where the grid goes */
    rbc__depth_source depth; /* likewise, where is_depth */
    bool is_depth;
    double intrinsics[9], pose[12];
    rbc__dtype dtype;    /* of the grid */
    int64_t point_bytes; /* of a point or pixel as it is stored */
    int64_t grid_bytes;
    int64_t num_points; /* of a sample; -1: of each its own, or not known yet */
} rbc__voxel_spec;

/* Sets out->voxels where the window asks for them. INVALID_ARGUMENT naming the stream, OUT_OF_MEMORY. */
rbc_status rbc__voxels_set(const rbc_window *window, const rbc__used_stream *used,
                           rbc__window_spec *out, rbc_error *err);

/* Extents of a grid, behind the first `ndim`, once the shape of images is known. INVALID_ARGUMENT. */
rbc_status rbc__voxels_extents(rbc__window_spec *window, const rbc__used_stream *used,
                               int64_t *shape, int32_t *ndim, rbc_error *err);

#endif
