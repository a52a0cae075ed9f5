/* What a sparse voxelization passes to its kernels; read by the host and the device compiler.
 *
 * Where voxels ascend, points are sorted by the key of their cell: in the grid or, where that has
 * 2^32 cells or more, in the box of cells that the cloud's extremes span. Runs of equal keys are
 * the voxels. Where voxels come in the order first seen, each point looks its cell up in a table
 * with open addressing, whose entries keep the first point of the cell; those first points, gone
 * through in order, are the voxels.
 *
 * Then points of a voxel, where an output looks at them, are either listed (few are kept of each
 * voxel, and each finds its position among them) or sorted, by voxel if they are not by key.
 * Everything is by cloud; arrays of several clouds lie one after the other.
 * Shared within src/cuda/sparse. */
#ifndef RBC_CUDA_SPARSE_PARAMS_H
#define RBC_CUDA_SPARSE_PARAMS_H

#include "cuda/voxelize/voxel_params.h"

enum {
    SPARSE_THREADS = 256,
    SPARSE_MAX_TILES = 1024, /* into which a cloud's points are cut for numbering */
    SPARSE_SORT_THREADS = 512,
    SPARSE_SORT_ITEMS = 8, /* of a thread */
    SPARSE_SORT_TILE = SPARSE_SORT_THREADS * SPARSE_SORT_ITEMS,
    SPARSE_RUN_ITEMS = 8,
    SPARSE_RUN_TILE = SPARSE_THREADS * SPARSE_RUN_ITEMS,
    SPARSE_REDUCE_SHARE = SPARSE_THREADS * 4, /* 16 bytes, or values, that a block reduces */
    SPARSE_DIGIT_BITS = 8,
    SPARSE_DIGITS = 1 << SPARSE_DIGIT_BITS,
    SPARSE_WORD_PASSES = 32 / SPARSE_DIGIT_BITS,
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
    SPARSE_SORTED = 3,
};

/* In f64, and rounded to f32. */
typedef struct sparse_map {
    double origin[3], size[3], extra[3], limit[3];
    float origin32[3], size32[3], extra32[3], limit32[3];
    float inverse32[3]; /* 1 / size32, NaN where that is not normal */
    float unused;
} sparse_map;

/* What is found out about a cloud on the way. */
typedef struct sparse_state {
    uint64_t least[3], greatest[3]; /* of its finite points, as integers of the same order */
    int32_t low[3];                 /* the box of cells */
    uint32_t extent[3];
    uint32_t key_bits;   /* of the keys that are sorted */
    uint32_t num_voxels; /* at most max_voxels */
} sparse_state;

/* A stable sort of points by radix, least digit first, one launch a pass. A key has up to three
 * words, of which the entries hold one at a time; points of no voxel have the greatest key. Tiles
 * of a pass learn from those before them where to put their entries; see chain_tell(). */
typedef struct sparse_sort {
    void *entries[2]; /* [batch, N] { key, point }; passes go from one to the other */
    uint32_t *digits; /* [batch, passes, SPARSE_DIGITS]: how many keys have each */
    uint32_t *chains; /* [batch, passes, tiles, SPARSE_DIGITS] */
    uint32_t tiles;
    uint32_t passes; /* at most */
    uint32_t pass;   /* of this launch; of a word's first digit where keys are made */
    uint32_t unused;
} sparse_sort;

typedef struct sparse_launch {
    voxel_cloud cloud; /* its points; nothing of a grid */
    int64_t batch;
    uint32_t rule;
    uint32_t is_f64; /* computes in f64 */
    uint32_t simple; /* f32 points and SPARSE_FLOOR */
    uint32_t points; /* SPARSE_IGNORED, ... */
    sparse_map map;
    sparse_map *maps; /* [batch]: origins or scale are taken from the cloud; else NULL */
    uint32_t origin_from_cloud, scale_from_cloud;
    double half_voxel[3]; /* below the least point, where the origin is taken from the cloud */
    uint32_t is_zyx;      /* order of the axes in coordinates */
    uint32_t first_seen;  /* order of voxels; else ascending */
    uint32_t z_first;     /* by z, then y, then x */

    /* With `exact`, a cell of `grid` has a number below 2^32 - 1, which tells cells apart and
     * ascends as voxels do. With `is_dense` it is the index in the table; else that is a hash,
     * which without `exact` is compared first. */
    uint32_t exact, is_dense;
    uint32_t grid[3];
    uint64_t slots;            /* of a cloud, a power of two unless `is_dense`, at most 2^32 */
    unsigned long long *table; /* [batch, slots]: key << 32 | first point */

    sparse_state *states; /* [batch] */
    char *zeroed;         /* all that begins as zero */
    uint64_t zeroed_bytes;

    /* First seen. */
    uint32_t *slot_of;     /* [batch, N] */
    uint32_t *bits;        /* [batch, bit_words]: the first points of voxels */
    uint32_t *word_starts; /* [batch, bit_words]: the bits before */
    uint32_t *tile_counts; /* [batch, tiles]: of bits */
    int64_t bit_words;
    int64_t tile_words; /* a multiple of SPARSE_THREADS / 32 */
    uint32_t tiles;
    uint32_t run_tiles;

    sparse_sort sort;
    uint32_t *run_chain; /* [batch, run_tiles] */

    uint32_t *lists;  /* listed [batch, M, K]: the points kept, then SPARSE_NONE */
    uint32_t *starts; /* sorted [batch, rows + 1]: of each voxel's entries */
    int64_t rows;     /* voxels there can be: the lesser of M and N */

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
