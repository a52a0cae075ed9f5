/* What a voxelize launch passes to its kernels; read by the host and the device compiler.
 *
 * Points are first dealt out: a block takes a segment of a cloud's points and sorts them by slab, a
 * run of 2^shift cells of the grid. Then a block makes the cells of a slab from the points that all
 * segments have for it, in shared memory. A grid of more than VOXEL_MAX_SLABS slabs takes several
 * passes, each over a range of its cells. */
#ifndef RBC_CUDA_KERNELS_VOXEL_PARAMS_H
#define RBC_CUDA_KERNELS_VOXEL_PARAMS_H

#include <stdint.h>

enum {
    VOXEL_MAX_SLABS = 2048,
    VOXEL_MAX_SHIFT = 13,
    VOXEL_POINTS_PER_THREAD = 8,
    VOXEL_DEAL_THREADS = 512, /* at most */
    VOXEL_INDEX_BITS = 12,    /* a segment has up to 2^12 points */
    VOXEL_SLAB_THREADS = 512,
    VOXEL_REDUCE_THREADS = 256,
    VOXEL_ATOMIC_THREADS = 256,
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

typedef struct voxel_cloud {
    const char *points;
    int64_t batch_stride, point_stride, axis_stride; /* bytes, as all strides here */
    const char *lengths;                             /* NULL: num_points everywhere */
    int64_t lengths_stride;
    int64_t num_points;
    uint32_t lengths_are_i64;
    uint32_t dtype;
    uint32_t vector; /* f32, contiguous, every row 16-byte aligned */
    uint32_t small;  /* fewer than 2^31 cells */
    int32_t grid[3];
    double origin[3], size[3];
    float origin32[3], size32[3];
    float inverse32[3]; /* 1 / size32, NaN where that is not normal */
} voxel_cloud;

/* Points dealt out. entries: (cell within the slab) << VOXEL_INDEX_BITS | (point within the
 * segment), those of segment g from g * segment_points on; runs: [batch, num_segments, num_slabs +
 * 1], where the entries of each slab begin in their segment. */
typedef struct voxel_deal {
    uint32_t *entries; /* [batch, num_segments * segment_points] */
    uint16_t *runs;
    uint32_t *missing; /* [batch, num_segments]: points dropped, written by the first pass */
    uint32_t num_segments, segment_points;
    uint32_t num_slabs, shift;
    int64_t cells;      /* X * Y * Z */
    int64_t first, end; /* cells of this pass */
} voxel_deal;

typedef struct voxel_deal_launch {
    voxel_cloud cloud;
    voxel_deal deal;
} voxel_deal_launch;

/* For counting without dealing out. zero_bytes: of counts, occupied and dropped, 0 where NULL. */
typedef struct voxel_atomic_launch {
    voxel_cloud cloud;
    int64_t cells;
    int32_t *counts;             /* NULL: not wanted */
    unsigned char *occupied;     /* NULL: not wanted */
    unsigned long long *dropped; /* NULL: not wanted */
    int64_t zero_bytes[3];
} voxel_atomic_launch;

typedef struct voxel_count_launch {
    voxel_deal deal;
    int32_t *counts;         /* NULL: not wanted */
    unsigned char *occupied; /* NULL: not wanted */
    long long *dropped;      /* [batch], or NULL: not wanted, or written by another pass */
    uint32_t lanes;          /* threads that read a run together */
} voxel_count_launch;

typedef struct voxel_reduce_launch {
    voxel_deal deal;
    const char *features;
    int64_t batch_stride, row_stride, point_stride, feature_stride;
    int64_t feature_row; /* points in a row of features */
    uint32_t num_features;
    uint32_t reduce;
    uint32_t lanes;
    uint32_t order_points; /* of a slab that are sorted by cell at once */
    uint32_t row_shift;    /* log2 of the units below, 32: they are no power of two */
    uint32_t row_chunks;   /* of 16 bytes in the features of a cell; 0: one value at a time */
    char *out;
    int32_t *counts;    /* NULL: not wanted */
    long long *dropped; /* as in voxel_count_launch */
} voxel_reduce_launch;

#endif
