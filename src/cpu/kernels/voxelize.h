/* Kernels of voxelization: plain C compiled per ISA that gains, chosen by the CPU features.
 *
 * A cloud is worked on in ranges of RBC__VOXEL_RANGE points: loaded into three arrays, turned into
 * cell numbers, and dealt out to tiles of cells (src/cpu/voxelize.c). A tile's points are then
 * reduced in scratch memory that stays in the cache. Interface of src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_VOXELIZE_H
#define RBC_CPU_KERNELS_VOXELIZE_H

#include "backend.h"

#define RBC__VOXEL_RANGE INT64_C(512)

/* Coordinates of a range, widened to f32 or f64. */
typedef union rbc__voxel_range {
    float f32[3][RBC__VOXEL_RANGE];
    double f64[3][RBC__VOXEL_RANGE];
} rbc__voxel_range;

/* From points to cells. `limit` is the least number of the type that is not below the grid's size,
 * so that comparing with it decides exactly. */
typedef struct rbc__voxel_map {
    double origin[3], size[3], limit[3]; /* representable in the type computed in */
    int64_t stride[2];                   /* cells between neighbours along x and y */
    int64_t outside;                     /* the cell number that dropped points get */
} rbc__voxel_map;

/* Feature rows to reduce. Row `r` is at base + r * row_stride_bytes, contiguous f32 or f64, or,
 * with a cloud, is point r's and is read from there in any dtype and stride. */
typedef struct rbc__voxel_rows {
    rbc_voxel_reduce reduce;
    int64_t num_features;
    rbc__dtype dtype; /* of the output; rows are f64 for f64, else f32 */
    const char *base;
    int64_t row_stride_bytes;
    const rbc__cloud *cloud;
    int64_t cloud_index;
} rbc__voxel_rows;

/* The rows of some cells, in ascending order of where they are: cell cells[i] has the rows
 * order[ends[cell] - counts[cell]] up to order[ends[cell]] and gets its result at out + cell *
 * (bytes of a row). */
typedef struct rbc__voxel_groups {
    const uint32_t *order;
    const uint32_t *ends;
    const int32_t *counts;
    const uint32_t *cells;
    int64_t num_cells;
    char *out;
} rbc__voxel_groups;

/* From points to coordinates, by axis and in the type computed in. */
typedef enum rbc__coordinate_rule {
    RBC__FLOOR_QUOTIENT = 0, /* floor((p - origin) / size) in [extra, limit) */
    RBC__TRUNC_PRODUCT = 1,  /* trunc((p - origin) * (1 / size)) where origin <= p <= extra */
    RBC__ROUND_SCALED = 2,   /* rint(((p - origin) / size) * extra) in [0, limit) */
} rbc__coordinate_rule;

typedef struct rbc__coordinate_map {
    rbc__coordinate_rule rule;
    double origin[3], size[3], extra[3];
    double limit[3]; /* at most 2^31, as in rbc__voxel_map */
} rbc__coordinate_map;

/* All three coordinates of a point that is dropped; no cell has them. */
#define RBC__OUTSIDE INT32_MIN

typedef struct rbc__voxel_kernels {
    /* Loads points [first, first + n) of a cloud, n <= RBC__VOXEL_RANGE, f64 as f64, all else as
     * f32. */
    void (*load)(const rbc__cloud *cloud, int64_t cloud_index, int64_t first, int64_t n,
                 rbc__voxel_range *range);

    /* Cell numbers of a range; returns how many are inside. */
    int64_t (*cells_f32)(const rbc__voxel_range *range, int64_t n, const rbc__voxel_map *map,
                         int32_t *cells);
    int64_t (*cells_f64)(const rbc__voxel_range *range, int64_t n, const rbc__voxel_map *map,
                         int32_t *cells);
    /* The same for grids whose cell numbers do not fit in 31 bits. */
    int64_t (*cells64_f32)(const rbc__voxel_range *range, int64_t n, const rbc__voxel_map *map,
                           int64_t *cells);
    int64_t (*cells64_f64)(const rbc__voxel_range *range, int64_t n, const rbc__voxel_map *map,
                           int64_t *cells);

    /* Widens least[3] and greatest[3] to the finite points of a range. */
    void (*bounds)(const rbc__voxel_range *range, int64_t n, bool is_f64, double *least,
                   double *greatest);

    /* xyz[n, 3] of a range; returns how many points are inside. */
    int64_t (*coordinates)(const rbc__voxel_range *range, int64_t n, bool is_f64,
                           const rbc__coordinate_map *map, int32_t *xyz);
} rbc__voxel_kernels;

/* Reduces the rows of each cell. Compiled once: wider registers gain nothing, memory sets the pace.
 */
void rbc__voxel_reduce(const rbc__voxel_rows *rows, const rbc__voxel_groups *groups);

extern const rbc__voxel_kernels rbc__voxel_kernels_baseline;
extern const rbc__voxel_kernels rbc__voxel_kernels_avx2;

#endif
