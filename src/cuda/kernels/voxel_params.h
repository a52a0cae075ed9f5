/* What a voxelize launch passes to its kernels; read by the host and the device compiler. */
#ifndef RBC_CUDA_KERNELS_VOXEL_PARAMS_H
#define RBC_CUDA_KERNELS_VOXEL_PARAMS_H

#include <stdint.h>

enum {
    VOXEL_THREADS = 256,
    VOXEL_POINTS_PER_THREAD = 4,
    VOXEL_BLOCK_POINTS = VOXEL_THREADS * VOXEL_POINTS_PER_THREAD,
    VOXEL_CLEARS = 6,
};

/* Values of rbc__dtype that points and features have, and of rbc_voxel_reduce. */
enum {
    POINT_F32 = 0,
    POINT_F64 = 1,
    POINT_F16 = 2,
    POINT_BF16 = 3,
};

enum {
    REDUCE_OCCUPANCY = 0,
    REDUCE_COUNT = 1,
    REDUCE_SUM = 2,
    REDUCE_MEAN = 3,
    REDUCE_MAX = 4,
    REDUCE_MIN = 5,
};

/* Memory to set before a reduction: `bytes` of `value` each; NULL ends the list. */
typedef struct voxel_clear {
    struct {
        char *begin; /* 16-byte aligned */
        int64_t bytes;
        uint32_t value; /* four equal bytes */
    } ranges[VOXEL_CLEARS];
} voxel_clear;

typedef struct voxel_cloud {
    const char *points;
    int64_t batch_stride, point_stride, axis_stride; /* bytes, as all strides here */
    const char *lengths;                             /* NULL: num_points everywhere */
    int64_t lengths_stride;
    int64_t num_points;
    uint32_t lengths_are_i64;
    uint32_t dtype;
    uint32_t vector; /* f32, contiguous, every row 16-byte aligned */
    int32_t grid[3];
    double origin[3], size[3];
    float origin32[3], size32[3];
    float inverse32[3]; /* 1 / size32, NaN where that is not normal */
} voxel_cloud;

typedef struct voxel_count {
    voxel_cloud cloud;
    int64_t cells;               /* X * Y * Z */
    int64_t first, end;          /* cells that this launch counts */
    int32_t *counts;             /* NULL: not wanted */
    unsigned char *occupied;     /* NULL: not wanted */
    unsigned long long *dropped; /* NULL: not wanted */
} voxel_count;

/* Reduction of features by lists: `heads` begins the list of each cell's points, `next` goes on. */
typedef struct voxel_lists {
    voxel_cloud cloud;
    int64_t cells;
    const char *features;
    int64_t features_batch_stride, features_row_stride, features_stride, feature_stride;
    int64_t feature_row; /* points in a row of features */
    int64_t num_features;
    uint32_t feature_dtype;
    uint32_t
        vector_features; /* contiguous and 16-byte aligned, num_features a multiple of a chunk */
    uint32_t reduce;
    uint32_t chunk_magic, chunk_shift; /* division by the units of one cell */
    int32_t *heads;                    /* [batch, cells], -1 at first */
    int32_t *next;                     /* [batch, num_points] */
    unsigned long long
        *largest; /* [batch, num_features], 0 at first: bits of the greatest magnitude */
    char *out;
    int32_t *counts;             /* NULL: not wanted */
    unsigned long long *dropped; /* NULL: not wanted */
} voxel_lists;

#endif
