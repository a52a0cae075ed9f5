/* What a voxelize launch passes to its kernels; read by the host and the device compiler.
 *
 * Points are first dealt out: a block takes a segment of a cloud's points and sorts them by slab, a
 * run of 2^shift cells of the grid. Then a block makes the cells of a slab from the points that all
 * segments have for it, in shared memory. A grid of more slabs than a pass takes needs several
 * passes, each over a range of its cells. Blocks are numbered in one dimension, clouds outermost.
 */
#ifndef RBC_CUDA_KERNELS_VOXEL_PARAMS_H
#define RBC_CUDA_KERNELS_VOXEL_PARAMS_H

#include <stdint.h>

enum {
    VOXEL_BINS_THREADS = 1024, /* at most, as all of these */
    VOXEL_DEAL_THREADS = 1024,
    VOXEL_SLAB_THREADS = 1024,
    VOXEL_REDUCE_THREADS = 512,
    VOXEL_ATOMIC_THREADS = 256,
    VOXEL_ATOMIC_POINTS = 4,    /* of a thread */
    VOXEL_INDEX_BITS = 14,      /* a segment has up to 2^14 points */
    VOXEL_STRIPE_SHIFT = 4,     /* see voxel_deal */
    VOXEL_CHANNELS_BYTES = 264, /* what reduce.cuh knows of a unit */
};

/* How the cells of several points are found at once; see cells_f32(). */
enum {
    QUICK_NONE = 0,
    QUICK_EXACT = 1,  /* the cells' sizes are powers of two */
    QUICK_NEARLY = 2, /* quotients near an integer are looked at again */
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
    uint32_t quick; /* QUICK_; QUICK_NONE: see cell_f32() */
    double origin[3], size[3];
    float origin32[3], size32[3];
    float inverse32[3]; /* 1 / size32, NaN where that is not normal */
    float margin32;     /* how near */
} voxel_cloud;

/* For counting without dealing out: each output is cleared first. */
typedef struct voxel_atomic_launch {
    voxel_cloud cloud;
    int64_t num_clouds;
    int64_t cells; /* X * Y * Z */
    uint32_t cloud_blocks;
    uint32_t unused;             /* no holes: launches are compared by their bytes */
    int32_t *counts[2];          /* NULL: not wanted */
    unsigned char *occupied;     /* NULL: not wanted */
    unsigned long long *dropped; /* NULL: not wanted */
} voxel_atomic_launch;

/* How the points of all clouds and the cells of a pass are cut up. */
typedef struct voxel_cut {
    uint32_t num_segments, segment_points; /* of a cloud */
    uint32_t num_slabs, shift;
    int64_t cells;      /* X * Y * Z */
    int64_t first, end; /* cells of this pass */
    uint32_t *missing;  /* [batch, num_segments]: points dropped, or NULL: not wanted */
} voxel_cut;

/* Cells dealt out, for counting: entries are cells within their slab. Where each slab's of a
 * segment are says its run: the first chunk of eight, and the number of entries << 16. Slabs have
 * bins of bin_chunks one after the other; where one is too small, all runs of its segment follow
 * each other closely instead. */
typedef struct voxel_bins {
    voxel_cut cut;
    uint16_t *entries; /* [batch, num_segments, segment_entries] */
    uint32_t *runs;    /* [batch, num_segments, num_slabs] */
    uint32_t segment_entries;
    uint32_t bin_chunks;
    uint32_t bin_inverse;   /* 2^32 / bin_chunks, rounded up: divides chunks of a segment's bins */
    uint32_t divides_tasks; /* whether it divides those of one slab in all segments, too */
} voxel_bins;

typedef struct voxel_bins_launch {
    voxel_cloud cloud;
    voxel_bins bins;
} voxel_bins_launch;

typedef struct voxel_count_launch {
    voxel_bins bins;
    int32_t *counts[2];      /* NULL: not wanted */
    unsigned char *occupied; /* NULL: not wanted */
    long long *dropped;      /* [batch], or NULL: not wanted, or written by another pass */
} voxel_count_launch;

/* Points dealt out: entries are (cell within the slab) << VOXEL_INDEX_BITS | (point within the
 * segment). The runs of a segment are sorted by slab; they begin at whole chunks of four entries. A
 * run is its first chunk and the number of entries << 16. */
typedef struct voxel_deal {
    voxel_cut cut;
    uint32_t *entries; /* [batch, num_segments, segment_entries] */
    uint32_t *runs;    /* [batch, num_segments, num_slabs] */
    uint32_t segment_entries;
} voxel_deal;

typedef struct voxel_deal_launch {
    voxel_cloud cloud;
    voxel_deal deal;
} voxel_deal_launch;

typedef struct voxel_reduce_launch {
    voxel_deal deal;
    const char *features;
    int64_t batch_stride, row_stride, point_stride, feature_stride;
    int64_t feature_row; /* points in a row of features */
    uint32_t num_features;
    uint32_t reduce;
    uint32_t lanes_shift;  /* log2 of the threads that read a run together */
    uint32_t most_points;  /* of a slab, else it is made the general way */
    uint32_t stage_rows;   /* points whose features are in shared memory at once */
    uint32_t shared_words; /* of dynamic shared memory */
    uint32_t row_chunks;   /* of 16 bytes in the features of a cell; 0: one value at a time */
    uint32_t row_inverse;  /* 2^32 / units, rounded up; a unit is a chunk or a value */
    char *out;
    int32_t *counts;    /* NULL: not wanted */
    long long *dropped; /* as in voxel_count_launch */
} voxel_reduce_launch;

#endif
