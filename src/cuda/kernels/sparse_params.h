/* What a sparse voxelization passes to its kernels; read by the host and the device compiler.
 *
 * Voxels are found in one of two ways. In a bounded grid that is not too large and whose voxels
 * ascend, points set the bits of their cells, and the bits before a cell's are its number. Else
 * each point looks its cell up in a table with open addressing, whose entries keep the first point
 * of the cell; those first points, gone through in order, are the voxels as first seen, and sorting
 * them gives the ascending order.
 *
 * Points are told apart by voxel, where an output looks at them, in one of three ways: listed (few
 * are kept of each voxel, and each finds its place among them), ranked (all are kept, and their
 * order does not show) or sorted (neither). Everything is by cloud; arrays of several clouds lie
 * one after the other. */
#ifndef RBC_CUDA_KERNELS_SPARSE_PARAMS_H
#define RBC_CUDA_KERNELS_SPARSE_PARAMS_H

#include "voxel_params.h"

enum {
    SPARSE_THREADS = 256,
    SPARSE_MAX_TILES = 1024, /* into which a cloud's bits, or rows, are cut for numbering */
    SPARSE_SORT_THREADS = 1024,
    SPARSE_SORT_TILE = 8192, /* entries of a tile, or a multiple */
    SPARSE_SORT_MAX_TILES = 128,
    SPARSE_DIGIT_BITS = 8,
    SPARSE_DIGITS = 1 << SPARSE_DIGIT_BITS,
};

/* From a point to its cell, by axis; as rbc__coordinate_rule says. */
enum {
    SPARSE_FLOOR = 0, /* floor((p - origin) / size) in [extra, limit) */
    SPARSE_TRUNC = 1, /* trunc((p - origin) * size) where origin <= p <= extra: size is 1 / size */
    SPARSE_ROUND = 2, /* rint(((p - origin) / size) * extra) in [0, limit) */
};

/* What is done with the points of a voxel. */
enum {
    SPARSE_IGNORED = 0,
    SPARSE_COUNTED = 1,
    SPARSE_LISTED = 2,
    SPARSE_RANKED = 3,
    SPARSE_SORTED = 4,
};

/* In f64, and rounded to f32. */
typedef struct sparse_map {
    double origin[3], size[3], extra[3], limit[3];
    float origin32[3], size32[3], extra32[3], limit32[3];
    float inverse32[3]; /* 1 / size32, NaN where that is not normal */
} sparse_map;

/* What is found out about a cloud on the way. */
typedef struct sparse_state {
    uint64_t least[3], greatest[3]; /* of its finite points, as integers of the same order */
    int32_t low[3], high[3];        /* of its voxels */
    uint32_t num_found;
    uint32_t num_voxels; /* at most max_voxels */
} sparse_state;

/* A stable sort by radix. Entries are { key, point }, or with `wide` { key of 96 bits, point }; on
 * the way to that, voxels are { x, y, z, point }. */
typedef struct sparse_sort {
    void *buffers[2]; /* [batch, capacity] each; passes go from one to the other */
    uint32_t *bins;   /* [batch, tiles, SPARSE_DIGITS] */
    int64_t tile_entries;
    uint32_t tiles;
    uint32_t of_voxels; /* the voxels found are sorted by place, else points by voxel */
    uint32_t shift;     /* of the digit of this pass */
    uint32_t bits;      /* of the key, where the host knows; 0: the state tells */
} sparse_sort;

typedef struct sparse_launch {
    voxel_cloud cloud; /* its points; nothing of a grid */
    int64_t batch;
    uint32_t rule;
    uint32_t is_f64; /* computes in f64 */
    uint32_t plain;  /* f32 points, SPARSE_FLOOR, and `exact` below */
    sparse_map map;
    sparse_map *maps; /* [batch]: origins or scale are taken from the cloud; else NULL */
    uint32_t origin_from_cloud, scale_from_cloud;
    double half_voxel[3]; /* below the least point, where the origin is taken from the cloud */
    uint32_t is_zyx;      /* order of the axes in coordinates */
    uint32_t first_seen;  /* order of voxels; else ascending */
    uint32_t z_first;     /* by z, then y, then x */

    /* With `exact`, a cell of `grid` has a number below 2^32 - 1, which tells cells apart and
     * ascends as voxels do. With `by_bits` there is a bit for each and no table; with `direct` it
     * is the place in the table; else the place is a hash, which without `exact` is compared
     * first. */
    uint32_t exact, direct, by_bits;
    uint32_t grid[3];
    uint64_t slots;            /* of a cloud, a power of two unless `direct`, at most 2^32 */
    unsigned long long *table; /* [batch, slots]: key << 32 | first point; then number << 32 | it */

    sparse_state *states; /* [batch] */
    uint32_t *slot_of;    /* [batch, N]: slot or, with by_bits, cell; ranked: voxel in the end */
    uint32_t *bits; /* [batch, bit_words]: the first points of voxels, or cells that hold any */
    uint32_t *word_starts; /* [batch, bit_words] with by_bits: the bits before */
    uint32_t *tile_counts; /* [batch, tiles]: of bits */
    int64_t bit_words;
    int64_t tile_words; /* a multiple of SPARSE_THREADS / 32 */
    uint32_t tiles;
    uint32_t wide; /* entries of the sort by place */
    sparse_sort by_place, by_voxel;

    uint32_t points; /* SPARSE_IGNORED, ... */
    uint32_t row_tiles;
    int64_t rows; /* voxels there can be: the lesser of M and N */
    int64_t tile_rows;
    uint32_t *lists;      /* listed [batch, M, K]: the points kept, then SPARSE_NONE */
    uint32_t *tallies;    /* ranked [batch, rows] */
    uint32_t *row_counts; /* ranked [batch, row_tiles] */
    uint32_t *ranks;      /* ranked [batch, N]: among the voxel's points, in any order */
    uint32_t *order;      /* ranked [batch, N]: points by voxel */
    uint32_t *starts;     /* ranked, sorted [batch, rows + 1]: of each voxel's in the order */

    const char *features;
    int64_t features_batch_stride, features_stride, feature_stride;
    int64_t num_features;
    uint32_t feature_dtype;
    uint32_t reduce;
    int64_t max_points; /* K, of a voxel */
    int64_t max_voxels; /* M */

    /* Outputs; NULL: not wanted. */
    int32_t *coordinates, *num_voxels, *counts;
    char *out_features, *voxels;
    int32_t *point_indices, *point_to_voxel, *point_coordinates;
    unsigned long long *dropped;
    double *origins;
} sparse_launch;

#endif
