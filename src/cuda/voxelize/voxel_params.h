/* What a voxelize launch passes to its kernels; read by the host and the device compiler.
 *
 * Points are first dealt out: a block takes a range of a cloud's points and sorts them by tile, a
 * run of 2^shift cells of the grid. Then a block makes the cells of a tile from the points that all
 * ranges have for it, in shared memory. Where features are reduced and the points lie so unevenly
 * that a tile has too many for that, its cells of several points are left to a third kernel, whose
 * blocks share them. A grid of more tiles than a pass takes needs several passes, each over a range
 * of its cells. Blocks are numbered in one dimension, clouds outermost.
 * Interface of src/cuda/voxelize. */
#ifndef RBC_CUDA_VOXEL_PARAMS_H
#define RBC_CUDA_VOXEL_PARAMS_H

#include <stdint.h>

enum {
    VOXEL_BINS_THREADS = 1024, /* at most, as all of these */
    VOXEL_DEAL_THREADS = 1024,
    VOXEL_TILE_THREADS = 1024,
    VOXEL_REDUCE_THREADS = 512,
    VOXEL_DEFERRED_THREADS = 256, /* exactly */
    VOXEL_ATOMIC_THREADS = 256,
    VOXEL_ATOMIC_POINTS = 4, /* of a thread */
    VOXEL_INDEX_BITS = 14,   /* a range has up to 2^14 points */
};

/* How the cells of several points are found at once; see cells_f32(). */
enum {
    FAST_CELLS_NONE = 0,
    FAST_CELLS_EXACT = 1,  /* the cells' sizes are powers of two */
    FAST_CELLS_NEARLY = 2, /* quotients near an integer are looked at again */
};

enum {
    FEW_OF_CELL = 8,    /* points of a cell that one thread reduces */
    MANY_OF_CELL = 256, /* that eight threads do; more are a huge cell */
    PART_POINTS = 1024, /* of a huge cell, that a block takes */
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

/* A cell of several points. */
typedef struct voxel_deferred_cell {
    uint32_t first; /* of its points in voxel_deferred */
    uint32_t count;
    uint32_t cell; /* of the pass */
    uint32_t batch;
} voxel_deferred_cell;

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
    uint32_t fast_cells; /* FAST_CELLS_; FAST_CELLS_NONE: see cell_f32() */
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
    uint32_t num_ranges, range_points; /* of a cloud */
    uint32_t num_tiles, shift;
    int64_t cells;      /* X * Y * Z */
    int64_t first, end; /* cells of this pass */
    uint32_t *missing;  /* [batch, num_ranges]: points dropped, or NULL: not wanted */
} voxel_cut;

/* Points dealt out. Entries are cells within their tile, of 16 bits, for counting; else, of 32
 * bits, (cell within the tile) << VOXEL_INDEX_BITS | (point within the range). Where a tile's
 * entries of a range are says its run: the first vector of 16 bytes, and the number of entries
 * << 16. Tiles have bins of bin_vec16s one after the other; where there are none, or one is too
 * small, all runs of the range follow each other closely instead. `lanes` threads read a run. */
typedef struct voxel_deal {
    voxel_cut cut;
    void *entries;  /* [batch, num_ranges, range_vec16s] vectors */
    uint32_t *runs; /* [batch, num_ranges, num_tiles] */
    uint32_t range_vec16s;
    uint32_t bin_vec16s; /* 0: no bins; else `lanes` */
    uint32_t lanes;
    uint32_t lanes_inverse; /* 2^32 / lanes, rounded up */
} voxel_deal;

typedef struct voxel_bins_launch {
    voxel_cloud cloud;
    voxel_deal deal;
} voxel_bins_launch;

typedef struct voxel_count_launch {
    voxel_deal deal;
    int32_t *counts[2];      /* NULL: not wanted */
    unsigned char *occupied; /* NULL: not wanted */
    long long *dropped;      /* [batch], or NULL: not wanted, or written by another pass */
} voxel_count_launch;

/* What is known of a channel of a huge cell, as in reduce.cuh: joined by atomics, zero at first. */
typedef struct voxel_state {
    uint64_t largest; /* or the extreme's key, its top bit flipped */
    uint64_t high, low;
    uint64_t seen;
} voxel_state;

/* Up to PART_POINTS of a huge cell's points. */
typedef struct voxel_part {
    uint32_t huge;
    uint32_t index;
} voxel_part;

/* How much there is of what voxel_deferred has; all zero before the first tile. */
enum {
    DEFERRED_POINTS,
    DEFERRED_FEW,
    DEFERRED_MANY,
    DEFERRED_HUGE,
    DEFERRED_PARTS,
    DEFERRED_TAKEN, /* parts that blocks have taken */
    DEFERRED_COUNTS,
};

/* Cells of several points in tiles that have more than are reduced in shared memory: left for the
 * kernel after that. */
typedef struct voxel_deferred {
    uint32_t *points;           /* a cell's one after the other */
    voxel_deferred_cell *cells; /* few points from the front on, many from the back */
    uint32_t room;              /* for them */
    uint32_t unused;            /* see voxel_atomic_launch */
    voxel_deferred_cell *huge;
    voxel_state *states;         /* [huge cells, num_features] */
    uint32_t *looked, *finished; /* [huge cells]: parts that have been looked at, and added */
    voxel_part *parts;
    uint32_t *used; /* [DEFERRED_COUNTS] */
} voxel_deferred;

typedef struct voxel_deal_launch {
    voxel_cloud cloud;
    voxel_deal deal;
    uint32_t *used; /* of voxel_deferred: cleared */
} voxel_deal_launch;

typedef struct voxel_reduce_launch {
    voxel_deal deal;
    voxel_deferred deferred;
    const char *features;
    int64_t batch_stride, row_stride, point_stride, feature_stride;
    int64_t feature_row; /* points in a row of features */
    uint32_t num_features;
    uint32_t reduce;
    uint32_t most_points; /* of a tile, else its cells of several are left */
    uint32_t staged_rows; /* points whose features are in shared memory at once */
    uint32_t row_vec16s;  /* of 16 bytes in the features of a cell; 0: one value at a time */
    uint32_t row_inverse; /* 2^32 / slices, rounded up; a slice is a vector or a value */
    char *out;
    int32_t *counts;    /* [batch, cells], or NULL: not wanted */
    long long *dropped; /* as in voxel_count_launch */
} voxel_reduce_launch;

#endif
