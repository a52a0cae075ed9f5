/* Kernels of voxelization: plain C compiled once per ISA, chosen by the context's CPU features.
 *
 * A cloud is worked on in tiles of RBC__VOXEL_TILE points: loaded into three arrays, turned into
 * cell numbers, and dealt out to slabs of cells (src/cpu/voxelize.c). A slab's points are then
 * reduced in scratch memory that stays in the cache. */
#ifndef RBC_CPU_KERNELS_VOXELIZE_H
#define RBC_CPU_KERNELS_VOXELIZE_H

#include "backend.h"

#define RBC__VOXEL_TILE INT64_C(512)

/* Coordinates of a tile, widened to f32 or f64. */
typedef union rbc__voxel_tile {
    float f32[3][RBC__VOXEL_TILE];
    double f64[3][RBC__VOXEL_TILE];
} rbc__voxel_tile;

/* From points to cells. `limit` is the least number of the type that is not below the grid's size,
 * so that comparing with it decides exactly. */
typedef struct rbc__voxel_map {
    double origin[3], size[3], limit[3]; /* representable in the type computed in */
    int64_t stride[2];                   /* cells between neighbours along x and y */
    int64_t outside;                     /* the cell number that dropped points get */
} rbc__voxel_map;

/* Points of a slab: the cell within the slab in the low half, the point in the high half. */
typedef uint64_t rbc__voxel_entry;

/* What a reduction of features works on. Rows of `scratch` and `maxima` are all identity before and
 * after: zero, or the least key for max and min. */
typedef struct rbc__voxel_slab {
    const rbc__cloud *cloud;
    int64_t cloud_index;
    rbc_voxel_reduce reduce;
    void *scratch;     /* [cells, F]: u64 sums (f64: [cells, 2, F]), or i32 (f64: i64) keys */
    void *maxima;      /* [cells, F], sums alone: greatest magnitudes as u32 (f64: u64) bits */
    int32_t *counts;   /* [cells] */
    uint32_t *touched; /* cells with points, in the order of their first; room for one more */
    int64_t num_touched;
    bool has_special; /* a feature is not finite; sums alone */
    char *out;        /* [cells, F], of which those touched are written */
} rbc__voxel_slab;

typedef struct rbc__voxel_kernels {
    /* Loads points [first, first + n) of a cloud, n <= RBC__VOXEL_TILE, f64 as f64, all else as
     * f32. */
    void (*load)(const rbc__cloud *cloud, int64_t cloud_index, int64_t first, int64_t n,
                 rbc__voxel_tile *tile);

    /* Cell numbers of a tile; returns how many are inside. */
    int64_t (*cells_f32)(const rbc__voxel_tile *tile, int64_t n, const rbc__voxel_map *map,
                         int32_t *cells);
    int64_t (*cells_f64)(const rbc__voxel_tile *tile, int64_t n, const rbc__voxel_map *map,
                         int32_t *cells);
    /* The same for grids whose cell numbers do not fit in 31 bits. */
    int64_t (*cells64_f32)(const rbc__voxel_tile *tile, int64_t n, const rbc__voxel_map *map,
                           int64_t *cells);
    int64_t (*cells64_f64)(const rbc__voxel_tile *tile, int64_t n, const rbc__voxel_map *map,
                           int64_t *cells);

    /* Counts points; for sums takes their greatest magnitudes, for max and min is all there is. */
    void (*slab_first)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n);
    /* For sums, once all points have been through slab_first: adds them. */
    void (*slab_add)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n);
    /* Writes the touched cells to `out` and leaves scratch as it was. */
    void (*slab_finish)(rbc__voxel_slab *slab);
    /* With has_special, after slab_finish: first all entries are marked, then the touched cells are
     * mended. */
    void (*slab_mark_nonfinite)(rbc__voxel_slab *slab, const rbc__voxel_entry *entries, int64_t n);
    void (*slab_mend_nonfinite)(rbc__voxel_slab *slab);
} rbc__voxel_kernels;

extern const rbc__voxel_kernels rbc__voxel_kernels_baseline;
extern const rbc__voxel_kernels rbc__voxel_kernels_avx2;
extern const rbc__voxel_kernels rbc__voxel_kernels_avx512;

#endif
