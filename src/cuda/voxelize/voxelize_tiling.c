#include "cuda/voxelize/voxelize_tiling.h"

#include <math.h>

enum {
    MIN_SHIFT = 5,
    MIN_RANGE = 1024,  /* points */
    MAX_RANGE = 15360, /* of which a thread has 16, in others 8 */
    /* Blocks that keep a large GPU busy. The workspace depends on them, so that they are no matter
     * of the device. */
    MANY_RANGES = 100,
    MANY_LARGE_RANGES = 256,
    COUNT_TILES = 128, /* at least, in all clouds */
    COUNT_SHIFT = 14,
    SMALL_COUNT_SHIFT = 12, /* where few ranges have points for a tile */
    FEW_RANGES = 32,
    FEW_TILES = 256,
    MAX_COUNT_TILES = 1024, /* in a pass */
    REDUCE_TILES = 1024,
    REDUCE_SHIFT = 13,
    MAX_REDUCE_TILES = 2048,
    MAX_LANES = 64,
    FAST_CELLS_EXTENT = 1 << 22,
};

_Static_assert(MAX_RANGE <= 1 << VOXEL_INDEX_BITS, "entries");
_Static_assert(REDUCE_SHIFT + VOXEL_INDEX_BITS <= 32, "entries");
_Static_assert((MAX_RANGE + 4 * MAX_REDUCE_TILES) * 4 <= RBC__CUDA_MAX_SHARED_BYTES, "runs");

bool rbc__voxel_has_features(const rbc__voxelize_job *job) {
    return job->reduce >= RBC_VOXEL_SUM;
}

double rbc__voxel_points_of_tile(const rbc__voxel_tiling *p, int64_t points) {
    const double tile = (double)(INT64_C(1) << p->shift);
    return tile >= (double)p->cells ? (double)points : (double)points * tile / (double)p->cells;
}

/* The largest ranges of which there are enough. */
static uint32_t range_points_for(const rbc__voxel_tiling *p) {
    if (p->batch * rbc__divide_up(p->num_points, MAX_RANGE) >= MANY_LARGE_RANGES) {
        return MAX_RANGE;
    }
    int64_t range = 8192;
    while (range > MIN_RANGE && p->batch * rbc__divide_up(p->num_points, range) < MANY_RANGES) {
        range /= 2;
    }
    return (uint32_t)range;
}

/* Room in a range for runs one after the other, or for bins; `vector` entries are 16 bytes. */
static void make_bins(rbc__voxel_tiling *p, uint32_t vec16) {
    const double even = rbc__voxel_points_of_tile(p, p->range_points);
    const double most = ceil((even + 5.5 * sqrt(even)) / vec16);
    const double bytes = (most * 16 + 4) * (p->pass_tiles + 3);
    p->range_vec16s = (p->range_points + (vec16 - 1) * p->pass_tiles) / vec16;
    if (most <= (double)MAX_LANES && bytes <= (double)RBC__CUDA_MAX_SHARED_BYTES) {
        p->bin_vec16s = most < 2 ? 2 : (uint32_t)most;
        p->lanes = p->bin_vec16s;
        const uint32_t bins = p->pass_tiles * p->bin_vec16s;
        p->range_vec16s = p->range_vec16s > bins ? p->range_vec16s : bins;
    } else {
        const double wanted = ceil((even + 1.5 * sqrt(even)) / vec16);
        p->lanes = wanted < (double)MAX_LANES ? (uint32_t)wanted : MAX_LANES;
    }
}

/* Room for what tiles leave; see voxel_deferred. */
static void make_room_for_deferred(rbc__voxel_tiling *p, int64_t num_features) {
    const int64_t cells = p->batch * p->pass_cells;
    const int64_t points = p->batch * p->num_points;
    const int64_t several = points / 2 < cells ? points / 2 : cells;
    const int64_t huge = points / MANY_OF_CELL < cells ? points / MANY_OF_CELL : cells;
    p->deferred = (uint32_t)several + 1;
    p->huge = (uint32_t)huge + 1;
    p->parts = (uint32_t)(points / PART_POINTS + huge) + 1;
    p->points = p->bytes;
    p->deferred_cells = p->points + rbc__round_up(points * 4, 16);
    p->huge_cells = p->deferred_cells + p->deferred * (int64_t)sizeof(voxel_deferred_cell);
    p->states = p->huge_cells + p->huge * (int64_t)sizeof(voxel_deferred_cell);
    p->looked = p->states + p->huge * num_features * (int64_t)sizeof(voxel_state);
    p->finished = p->looked + p->huge * INT64_C(4);
    p->part_list = p->finished + p->huge * INT64_C(4);
    p->used = p->part_list + p->parts * (int64_t)sizeof(voxel_part);
    p->bytes = rbc__round_up(p->used + DEFERRED_COUNTS * 4, 16);
}

rbc__voxel_tiling rbc__voxel_tiling_of(const rbc__voxelize_job *job) {
    rbc__voxel_tiling p = {
        .cells = job->grid[0] * job->grid[1] * job->grid[2],
        .batch = job->cloud.batch,
        .num_points = job->cloud.num_points,
    };
    const bool reducing = rbc__voxel_has_features(job);
    p.range_points = range_points_for(&p);
    p.shift = reducing ? REDUCE_SHIFT : COUNT_SHIFT;
    if (job->reduce == RBC_VOXEL_COUNT &&
        rbc__divide_up(p.num_points, p.range_points) <= FEW_RANGES &&
        p.cells <= (INT64_C(1) << SMALL_COUNT_SHIFT) * FEW_TILES * 2) {
        p.shift = SMALL_COUNT_SHIFT;
    }
    const int64_t many = reducing ? REDUCE_TILES : COUNT_TILES;
    while (p.shift > MIN_SHIFT && p.batch * rbc__divide_up(p.cells, INT64_C(1) << p.shift) < many) {
        --p.shift;
    }
    const int64_t most = reducing ? MAX_REDUCE_TILES : MAX_COUNT_TILES;
    p.pass_cells = most << p.shift < p.cells ? most << p.shift : p.cells;
    p.pass_tiles = (uint32_t)rbc__divide_up(p.pass_cells, INT64_C(1) << p.shift);
    if (!reducing) {
        const uint32_t largest = p.pass_tiles > FEW_TILES ? 8192 : 4096;
        p.range_points = p.range_points > largest ? largest : p.range_points;
    }
    make_bins(&p, reducing ? 4 : 8);
    p.num_ranges = (uint32_t)rbc__divide_up(p.num_points, p.range_points);
    p.num_ranges = reducing && p.num_ranges == 0 ? 1 : p.num_ranges;
    const int64_t ranges = p.batch * (int64_t)p.num_ranges;
    p.runs = ranges * p.range_vec16s * 16;
    p.missing = p.runs + rbc__round_up(ranges * p.pass_tiles * 4, 16);
    p.bytes = p.missing + rbc__round_up(ranges * 4, 16);
    if (reducing) {
        make_room_for_deferred(&p, job->cloud.num_features);
    }
    return p;
}

voxel_cloud rbc__voxel_cloud_of(const rbc__cloud *from) {
    return (voxel_cloud){
        .points = from->points,
        .batch_stride = from->points_batch_stride_bytes,
        .point_stride = from->points_stride_bytes,
        .axis_stride = from->axis_stride_bytes,
        .lengths = from->lengths,
        .lengths_stride = from->lengths_stride_bytes,
        .num_points = from->num_points,
        .lengths_are_i64 = from->lengths_are_i64,
        .dtype = (uint32_t)from->point_dtype,
    };
}

bool rbc__voxel_rows_are_vec16s(const rbc__cloud *cloud, const void *out) {
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    return cloud->feature_row >= cloud->num_points &&
           (cloud->feature_stride_bytes == bytes || cloud->num_features == 1) &&
           cloud->num_features * bytes % 16 == 0 && (uintptr_t)cloud->features % 16 == 0 &&
           (uintptr_t)out % 16 == 0 && cloud->features_stride_bytes % 16 == 0 &&
           (cloud->batch == 1 || cloud->features_batch_stride_bytes % 16 == 0);
}

voxel_cloud rbc__voxel_describe_cloud(const rbc__voxelize_job *job) {
    const rbc__cloud *from = &job->cloud;
    voxel_cloud cloud = rbc__voxel_cloud_of(from);
    bool fast_cells = true;
    bool exact = true;
    for (int axis = 0; axis < 3; ++axis) {
        cloud.grid[axis] = (int32_t)job->grid[axis];
        cloud.origin[axis] = job->origin[axis];
        cloud.size[axis] = job->voxel_size[axis];
        cloud.origin32[axis] = (float)job->origin[axis];
        cloud.size32[axis] = (float)job->voxel_size[axis];
        const float inverse = 1.0F / cloud.size32[axis];
        cloud.inverse32[axis] = isnormal(inverse) ? inverse : NAN;
        int exponent = 0;
        fast_cells = fast_cells && isnormal(inverse) && job->grid[axis] <= FAST_CELLS_EXTENT;
        exact = exact && frexpf(cloud.size32[axis], &exponent) == 0.5F;
        /* Two roundings make the guess, one the quotient. */
        const float margin = (float)(job->grid[axis] + 1) * 0x1p-22F + 0x1p-22F;
        cloud.margin32 = cloud.margin32 > margin ? cloud.margin32 : margin;
    }
    cloud.small = job->grid[0] * job->grid[1] * job->grid[2] <= INT32_MAX;
    fast_cells = fast_cells && cloud.small && isnormal(cloud.size32[0]) &&
                 isnormal(cloud.size32[1]) && isnormal(cloud.size32[2]);
    cloud.fast_cells = !fast_cells ? FAST_CELLS_NONE : exact ? FAST_CELLS_EXACT : FAST_CELLS_NEARLY;
    cloud.vector = fast_cells && from->point_dtype == RBC__F32 && from->axis_stride_bytes == 4 &&
                   from->points_stride_bytes == 12 && (uintptr_t)from->points % 16 == 0 &&
                   (from->batch == 1 || from->points_batch_stride_bytes % 16 == 0);
    return cloud;
}

voxel_cut rbc__voxel_describe_pass(const rbc__voxelize_job *job, const rbc__voxel_tiling *p,
                                   int64_t first) {
    const int64_t left = p->cells - first;
    const int64_t cells = left < p->pass_cells ? left : p->pass_cells;
    const bool counts_dropped = first == 0 && job->dropped != NULL;
    return (voxel_cut){
        .num_ranges = p->num_ranges,
        .range_points = p->range_points,
        .num_tiles = (uint32_t)rbc__divide_up(cells, INT64_C(1) << p->shift),
        .shift = p->shift,
        .cells = p->cells,
        .first = first,
        .end = first + cells,
        .missing = counts_dropped ? (uint32_t *)(void *)(job->workspace + p->missing) : NULL,
    };
}

voxel_deal rbc__voxel_describe_deal(const rbc__voxelize_job *job, const rbc__voxel_tiling *p,
                                    const voxel_cut *cut) {
    return (voxel_deal){
        .cut = *cut,
        .entries = job->workspace,
        .runs = (uint32_t *)(void *)(job->workspace + p->runs),
        .range_vec16s = p->range_vec16s,
        .bin_vec16s = p->bin_vec16s,
        .lanes = p->lanes,
        .lanes_inverse = rbc__voxel_inverse(p->lanes),
    };
}

rbc__cuda_shape rbc__voxel_deal_shape(const rbc__voxel_tiling *p, const voxel_cut *cut) {
    return (rbc__cuda_shape){
        .blocks = p->batch * (int64_t)p->num_ranges,
        .blocks_y = 1,
        .threads = p->range_points / (p->range_points == MAX_RANGE ? 16 : 8),
        .shared_bytes = ((cut->num_tiles + 3) & ~3U) * 4 + p->range_vec16s * 16,
    };
}

uint32_t rbc__voxel_inverse(uint32_t divisor) {
    return (uint32_t)(((UINT64_C(1) << 32) + divisor - 1) / divisor);
}
