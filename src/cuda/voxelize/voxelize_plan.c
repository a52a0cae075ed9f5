#include "cuda/voxelize/voxelize_plan.h"

#include <math.h>

enum {
    MIN_SHIFT = 5,
    MIN_SEGMENT = 1024,  /* points */
    MAX_SEGMENT = 15360, /* of which a thread has 16, in others 8 */
    /* Blocks that keep a large GPU busy. The workspace depends on them, so that they are no matter
     * of the device. */
    MANY_SEGMENTS = 100,
    MANY_LARGE_SEGMENTS = 256,
    COUNT_SLABS = 128, /* at least, in all clouds */
    COUNT_SHIFT = 14,
    SMALL_COUNT_SHIFT = 12, /* where few segments have points for a slab */
    FEW_SEGMENTS = 32,
    FEW_SLABS = 256,
    MAX_COUNT_SLABS = 1024, /* in a pass */
    REDUCE_SLABS = 1024,
    REDUCE_SHIFT = 13,
    MAX_REDUCE_SLABS = 2048,
    MAX_LANES = 64,
    QUICK_EXTENT = 1 << 22,
};

_Static_assert(MAX_SEGMENT <= 1 << VOXEL_INDEX_BITS, "entries");
_Static_assert(REDUCE_SHIFT + VOXEL_INDEX_BITS <= 32, "entries");
_Static_assert((MAX_SEGMENT + 4 * MAX_REDUCE_SLABS) * 4 <= RBC__CUDA_MAX_SHARED_BYTES, "runs");

bool rbc__voxel_has_features(const rbc__voxelize_job *job) {
    return job->reduce >= RBC_VOXEL_SUM;
}

double rbc__voxel_points_of_slab(const rbc__voxel_plan *p, int64_t points) {
    const double slab = (double)(INT64_C(1) << p->shift);
    return slab >= (double)p->cells ? (double)points : (double)points * slab / (double)p->cells;
}

/* The largest segments of which there are enough. */
static uint32_t segment_points_for(const rbc__voxel_plan *p) {
    if (p->batch * rbc__divide_up(p->num_points, MAX_SEGMENT) >= MANY_LARGE_SEGMENTS) {
        return MAX_SEGMENT;
    }
    int64_t segment = 8192;
    while (segment > MIN_SEGMENT &&
           p->batch * rbc__divide_up(p->num_points, segment) < MANY_SEGMENTS) {
        segment /= 2;
    }
    return (uint32_t)segment;
}

/* Room in a segment for runs one after the other, or for bins; `chunk` entries are 16 bytes. */
static void make_bins(rbc__voxel_plan *p, uint32_t chunk) {
    const double even = rbc__voxel_points_of_slab(p, p->segment_points);
    const double most = ceil((even + 5.5 * sqrt(even)) / chunk);
    const double bytes = (most * 16 + 4) * (p->pass_slabs + 3);
    p->segment_chunks = (p->segment_points + (chunk - 1) * p->pass_slabs) / chunk;
    if (most <= (double)MAX_LANES && bytes <= (double)RBC__CUDA_MAX_SHARED_BYTES) {
        p->bin_chunks = most < 2 ? 2 : (uint32_t)most;
        p->lanes = p->bin_chunks;
        const uint32_t bins = p->pass_slabs * p->bin_chunks;
        p->segment_chunks = p->segment_chunks > bins ? p->segment_chunks : bins;
    } else {
        const double wanted = ceil((even + 1.5 * sqrt(even)) / chunk);
        p->lanes = wanted < (double)MAX_LANES ? (uint32_t)wanted : MAX_LANES;
    }
}

/* Room for what slabs leave; see voxel_left. */
static void make_room_for_left(rbc__voxel_plan *p, int64_t num_features) {
    const int64_t cells = p->batch * p->pass_cells;
    const int64_t points = p->batch * p->num_points;
    const int64_t several = points / 2 < cells ? points / 2 : cells;
    const int64_t crowds = points / MANY_OF_CELL < cells ? points / MANY_OF_CELL : cells;
    p->several = (uint32_t)several + 1;
    p->crowds = (uint32_t)crowds + 1;
    p->parts = (uint32_t)(points / CROWD_POINTS + crowds) + 1;
    p->points = p->bytes;
    p->several_cells = p->points + rbc__round_up(points * 4, 16);
    p->crowd_cells = p->several_cells + p->several * (int64_t)sizeof(voxel_several);
    p->states = p->crowd_cells + p->crowds * (int64_t)sizeof(voxel_several);
    p->looked = p->states + p->crowds * num_features * (int64_t)sizeof(voxel_state);
    p->finished = p->looked + p->crowds * INT64_C(4);
    p->part_list = p->finished + p->crowds * INT64_C(4);
    p->used = p->part_list + p->parts * (int64_t)sizeof(voxel_part);
    p->bytes = rbc__round_up(p->used + LEFT_COUNTS * 4, 16);
}

rbc__voxel_plan rbc__voxel_plan_of(const rbc__voxelize_job *job) {
    rbc__voxel_plan p = {
        .cells = job->grid[0] * job->grid[1] * job->grid[2],
        .batch = job->cloud.batch,
        .num_points = job->cloud.num_points,
    };
    const bool reducing = rbc__voxel_has_features(job);
    p.segment_points = segment_points_for(&p);
    p.shift = reducing ? REDUCE_SHIFT : COUNT_SHIFT;
    if (job->reduce == RBC_VOXEL_COUNT &&
        rbc__divide_up(p.num_points, p.segment_points) <= FEW_SEGMENTS &&
        p.cells <= (INT64_C(1) << SMALL_COUNT_SHIFT) * FEW_SLABS * 2) {
        p.shift = SMALL_COUNT_SHIFT;
    }
    const int64_t many = reducing ? REDUCE_SLABS : COUNT_SLABS;
    while (p.shift > MIN_SHIFT && p.batch * rbc__divide_up(p.cells, INT64_C(1) << p.shift) < many) {
        --p.shift;
    }
    const int64_t most = reducing ? MAX_REDUCE_SLABS : MAX_COUNT_SLABS;
    p.pass_cells = most << p.shift < p.cells ? most << p.shift : p.cells;
    p.pass_slabs = (uint32_t)rbc__divide_up(p.pass_cells, INT64_C(1) << p.shift);
    if (!reducing) {
        const uint32_t largest = p.pass_slabs > FEW_SLABS ? 8192 : 4096;
        p.segment_points = p.segment_points > largest ? largest : p.segment_points;
    }
    make_bins(&p, reducing ? 4 : 8);
    p.num_segments = (uint32_t)rbc__divide_up(p.num_points, p.segment_points);
    p.num_segments = reducing && p.num_segments == 0 ? 1 : p.num_segments;
    const int64_t segments = p.batch * (int64_t)p.num_segments;
    p.runs = segments * p.segment_chunks * 16;
    p.missing = p.runs + rbc__round_up(segments * p.pass_slabs * 4, 16);
    p.bytes = p.missing + rbc__round_up(segments * 4, 16);
    if (reducing) {
        make_room_for_left(&p, job->cloud.num_features);
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

bool rbc__voxel_rows_are_chunks(const rbc__cloud *cloud, const void *out) {
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
    bool quick = true;
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
        quick = quick && isnormal(inverse) && job->grid[axis] <= QUICK_EXTENT;
        exact = exact && frexpf(cloud.size32[axis], &exponent) == 0.5F;
        /* Two roundings make the guess, one the quotient. */
        const float margin = (float)(job->grid[axis] + 1) * 0x1p-22F + 0x1p-22F;
        cloud.margin32 = cloud.margin32 > margin ? cloud.margin32 : margin;
    }
    cloud.small = job->grid[0] * job->grid[1] * job->grid[2] <= INT32_MAX;
    quick = quick && cloud.small && isnormal(cloud.size32[0]) && isnormal(cloud.size32[1]) &&
            isnormal(cloud.size32[2]);
    cloud.quick = !quick ? QUICK_NONE : exact ? QUICK_EXACT : QUICK_NEARLY;
    cloud.vector = quick && from->point_dtype == RBC__F32 && from->axis_stride_bytes == 4 &&
                   from->points_stride_bytes == 12 && (uintptr_t)from->points % 16 == 0 &&
                   (from->batch == 1 || from->points_batch_stride_bytes % 16 == 0);
    return cloud;
}

voxel_cut rbc__voxel_describe_pass(const rbc__voxelize_job *job, const rbc__voxel_plan *p,
                                   int64_t first) {
    const int64_t left = p->cells - first;
    const int64_t cells = left < p->pass_cells ? left : p->pass_cells;
    const bool counts_dropped = first == 0 && job->dropped != NULL;
    return (voxel_cut){
        .num_segments = p->num_segments,
        .segment_points = p->segment_points,
        .num_slabs = (uint32_t)rbc__divide_up(cells, INT64_C(1) << p->shift),
        .shift = p->shift,
        .cells = p->cells,
        .first = first,
        .end = first + cells,
        .missing = counts_dropped ? (uint32_t *)(void *)(job->workspace + p->missing) : NULL,
    };
}

voxel_deal rbc__voxel_describe_deal(const rbc__voxelize_job *job, const rbc__voxel_plan *p,
                                    const voxel_cut *cut) {
    return (voxel_deal){
        .cut = *cut,
        .entries = job->workspace,
        .runs = (uint32_t *)(void *)(job->workspace + p->runs),
        .segment_chunks = p->segment_chunks,
        .bin_chunks = p->bin_chunks,
        .lanes = p->lanes,
        .lanes_inverse = rbc__voxel_inverse(p->lanes),
    };
}

rbc__cuda_shape rbc__voxel_deal_shape(const rbc__voxel_plan *p, const voxel_cut *cut) {
    return (rbc__cuda_shape){
        .blocks = p->batch * (int64_t)p->num_segments,
        .blocks_y = 1,
        .threads = p->segment_points / (p->segment_points == MAX_SEGMENT ? 16 : 8),
        .shared_bytes = ((cut->num_slabs + 3) & ~3U) * 4 + p->segment_chunks * 16,
    };
}

uint32_t rbc__voxel_inverse(uint32_t divisor) {
    return (uint32_t)(((UINT64_C(1) << 32) + divisor - 1) / divisor);
}
