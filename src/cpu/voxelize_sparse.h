/* Parts of sparse voxelization on the CPU: voxelize_sparse.c leads, voxelize_sparse_map.c chooses
 * the rule of the preset, voxelize_sparse_write.c makes the outputs. Shared within src/cpu. */
#ifndef RBC_CPU_VOXELIZE_SPARSE_H
#define RBC_CPU_VOXELIZE_SPARSE_H

#include <stdatomic.h>

#include "core/pool.h"
#include "cpu/voxelize.h"
#include "cpu/voxelize_sort.h"

#define RBC__SPARSE_PARTITIONS 256

typedef struct rbc__sparse_lane {
    uint32_t offsets[RBC__SPARSE_PARTITIONS];
    int64_t num_inside;
    double least[3], greatest[3]; /* of finite points */
} rbc__sparse_lane;

/* One cloud at work. Arrays of N unless said otherwise. */
typedef struct rbc__sparse_work {
    const rbc__voxelize_sparse_job *job;
    const rbc__voxel_kernels *kernels;
    rbc__pool *pool; /* NULL: on the calling thread */
    int32_t num_lanes;
    int32_t partition_bits;
    int64_t cloud, length;
    rbc__coordinate_map map;
    int32_t *xyz;        /* [N, 3] */
    rbc__voxel *entries; /* by partition */
    uint32_t *table;     /* [4 N]; afterwards the first buffer of voxels */
    rbc__voxel *voxels;  /* the second */
    uint32_t *leader;    /* by entry: the first entry of its voxel; then the voxel's number */
    uint8_t *is_first;   /* by point */
    uint32_t *number;    /* by point, where it is first: the voxel's number */
    int32_t *counts;     /* by voxel: points */
    uint32_t *ends;      /* by voxel: in `order` */
    uint32_t *order;     /* points by voxel, the voxels of a partition together */
    uint32_t *listed;    /* numbers of the voxels of each partition, in that order */
    char *rows;          /* by entry: feature rows, which travel with their points where small */
    int64_t num_voxels;  /* at most M */
    const rbc__voxel *found; /* the voxels in the preset's order */
    rbc__sparse_lane *lanes; /* [num_lanes] */
    atomic_llong next;
    uint32_t num_listed[RBC__SPARSE_PARTITIONS];
    uint32_t begins[RBC__SPARSE_PARTITIONS + 1];
    bool has_rows; /* `rows` is used, and `order` has entries instead of points */
    bool is_f64;   /* computes in f64 */
} rbc__sparse_work;

/* Runs parts 0 .. num_parts - 1 on the work's pool or the calling thread; `next` begins at 0. */
void rbc__sparse_run_parts(rbc__sparse_work *work, int64_t num_parts, rbc__pool_part_fn part);

/* The points of a lane among n: the first is returned. */
int64_t rbc__sparse_share(const rbc__sparse_work *work, int64_t lane, int64_t n, int64_t *end);

/* Fills in `map` for the work's cloud, and the origin that it was asked for. */
void rbc__sparse_choose_map(rbc__sparse_work *work);

/* One row of coordinates in the preset's order, or of -1 for RBC__OUTSIDE. */
void rbc__sparse_put_coordinates(const rbc__voxelize_sparse_job *job, const int32_t *at,
                                 int32_t *out);

/* Whether the preset gives coordinates zyx and voxels in the order of their first points. */
bool rbc__sparse_is_first_seen(const rbc__voxelize_sparse_job *job);

/* Whether `order` is wanted. */
bool rbc__sparse_needs_order(const rbc__voxelize_sparse_job *job);

/* Reduces the features of a partition's voxels; `order` has been filled. */
void rbc__sparse_reduce(const rbc__sparse_work *work, int64_t partition);

/* Writes the voxels found but their features, and padding up to M. */
void rbc__sparse_write(rbc__sparse_work *work);

#endif
