/* Voxels in ascending order of their coordinates. */
#ifndef RBC_CPU_VOXELIZE_SORT_H
#define RBC_CPU_VOXELIZE_SORT_H

#include <stdbool.h>
#include <stdint.h>

/* A cell that holds points; also a point on its way to its voxel. */
typedef struct rbc__voxel {
    int32_t at[3];  /* x, y, z */
    uint32_t point; /* the voxel's first */
} rbc__voxel;

/* Sorts by x, then y, then z, or with `z_first` by z, then y, then x. Coordinates are all
 * different. `spare` is as large as `voxels`; returns which of the two holds the result. */
rbc__voxel *rbc__voxels_sort(rbc__voxel *voxels, rbc__voxel *spare, int64_t n, bool z_first);

#endif
