#include <math.h>

#include "core/error.h"
#include "cuda/depth.h"
#include "cuda/kernels/voxel_params.h"
#include "cuda/ops.h"

_Static_assert(POINT_F32 == (int)RBC__F32 && POINT_F64 == (int)RBC__F64 &&
                   POINT_F16 == (int)RBC__F16 && POINT_BF16 == (int)RBC__BF16,
               "point types");
_Static_assert(REDUCE_OCCUPANCY == (int)RBC_VOXEL_OCCUPANCY && REDUCE_MIN == (int)RBC_VOXEL_MIN,
               "reductions");
_Static_assert(sizeof(voxel_bins_launch) <= 4096 && sizeof(voxel_atomic_launch) <= 4096 &&
                   sizeof(voxel_reduce_launch) <= 4096,
               "kernel parameters of every device");

enum {
    /* In all clouds: up to these, points are counted straight in the grid. */
    FEW_POINTS = 1 << 14, /* whatever cells they share */
    FEW_CELLS = 1 << 20,
    CACHED_POINTS = 640 << 10, /* of counts in grids that few points share a cell of */
    CACHED_CELLS = 4 << 20,
    MIN_CACHED_CELLS = 1 << 16,
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
    MIN_REDUCE_THREADS = 128,
    STAGE_BYTES = 40 << 10,
    MAX_STAGED_ROW = 2048,
    MAX_POINTS_OF_SLAB = 4544, /* fills shared memory in slabs of 2^REDUCE_SHIFT cells */
    QUICK_EXTENT = 1 << 22,
};

_Static_assert(MAX_SEGMENT <= 1 << VOXEL_INDEX_BITS, "entries");
_Static_assert(REDUCE_SHIFT + VOXEL_INDEX_BITS <= 32, "entries");

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static int64_t round_up(int64_t bytes, int64_t to) {
    return divide_up(bytes, to) * to;
}

static bool has_features(const rbc__voxelize_job *job) {
    return job->reduce >= RBC_VOXEL_SUM;
}

/* How a job is cut up: depends on its sizes alone. */
typedef struct plan {
    int64_t cells; /* of a cloud's grid */
    int64_t batch;
    int64_t num_points;
    uint32_t segment_points, num_segments;
    uint32_t shift;
    int64_t pass_cells;
    uint32_t pass_slabs;
    uint32_t bin_chunks;          /* 0: entries have points */
    uint32_t segment_entries;     /* room for them */
    int64_t runs, missing, bytes; /* offsets in the workspace, and its size */
} plan;

/* Points of a cloud in a segment, or cells of the grid, that are in a slab where they lie evenly.
 */
static double points_of_slab(const plan *p, int64_t points) {
    const double slab = (double)(INT64_C(1) << p->shift);
    return slab >= (double)p->cells ? (double)points : (double)points * slab / (double)p->cells;
}

/* The largest segments of which there are enough. */
static uint32_t segment_points_for(const plan *p) {
    if (p->batch * divide_up(p->num_points, MAX_SEGMENT) >= MANY_LARGE_SEGMENTS) {
        return MAX_SEGMENT;
    }
    int64_t segment = 8192;
    while (segment > MIN_SEGMENT && p->batch * divide_up(p->num_points, segment) < MANY_SEGMENTS) {
        segment /= 2;
    }
    return (uint32_t)segment;
}

static plan plan_of(const rbc__voxelize_job *job) {
    plan p = {
        .cells = job->grid[0] * job->grid[1] * job->grid[2],
        .batch = job->cloud.batch,
        .num_points = job->cloud.num_points,
    };
    const bool reducing = has_features(job);
    p.segment_points = segment_points_for(&p);
    p.shift = reducing ? REDUCE_SHIFT : COUNT_SHIFT;
    if (job->reduce == RBC_VOXEL_COUNT &&
        divide_up(p.num_points, p.segment_points) <= FEW_SEGMENTS &&
        p.cells <= (INT64_C(1) << SMALL_COUNT_SHIFT) * FEW_SLABS * 2) {
        p.shift = SMALL_COUNT_SHIFT;
    }
    const int64_t many = reducing ? REDUCE_SLABS : COUNT_SLABS;
    while (p.shift > MIN_SHIFT && p.batch * divide_up(p.cells, INT64_C(1) << p.shift) < many) {
        --p.shift;
    }
    const int64_t most = reducing ? MAX_REDUCE_SLABS : MAX_COUNT_SLABS;
    p.pass_cells = most << p.shift < p.cells ? most << p.shift : p.cells;
    p.pass_slabs = (uint32_t)divide_up(p.pass_cells, INT64_C(1) << p.shift);
    if (reducing) {
        p.segment_entries = (uint32_t)round_up(p.segment_points + 3 * p.pass_slabs, 4);
    } else {
        const uint32_t largest = p.pass_slabs > FEW_SLABS ? 8192 : 4096;
        p.segment_points = p.segment_points > largest ? largest : p.segment_points;
        const double even = points_of_slab(&p, p.segment_points);
        p.bin_chunks = (uint32_t)ceil((even + 5.5 * sqrt(even)) / 8);
        p.bin_chunks = p.bin_chunks < 2 ? 2 : p.bin_chunks;
        const uint32_t close = p.segment_points + 7 * p.pass_slabs;
        const uint32_t bins = p.pass_slabs * p.bin_chunks * 8;
        p.segment_entries = (uint32_t)round_up(close > bins ? close : bins, 8);
    }
    p.num_segments = (uint32_t)divide_up(p.num_points, p.segment_points);
    const int64_t segments = p.batch * (int64_t)p.num_segments;
    p.runs = round_up(segments * p.segment_entries * (reducing ? 4 : 2), 16);
    p.missing = p.runs + round_up(segments * p.pass_slabs * 4, 16);
    p.bytes = p.missing + round_up(segments * 4, 16);
    return p;
}

static voxel_cloud describe_cloud(const rbc__voxelize_job *job) {
    const rbc__cloud *from = &job->cloud;
    voxel_cloud cloud = {
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

static voxel_cut describe_pass(const rbc__voxelize_job *job, const plan *p, int64_t first) {
    const int64_t left = p->cells - first;
    const int64_t cells = left < p->pass_cells ? left : p->pass_cells;
    const bool counts_dropped = first == 0 && job->dropped != NULL;
    return (voxel_cut){
        .num_segments = p->num_segments,
        .segment_points = p->segment_points,
        .num_slabs = (uint32_t)divide_up(cells, INT64_C(1) << p->shift),
        .shift = p->shift,
        .cells = p->cells,
        .first = first,
        .end = first + cells,
        .missing = counts_dropped ? (uint32_t *)(void *)(job->workspace + p->missing) : NULL,
    };
}

/* 2^32 / divisor, rounded up; 0 stands for a divisor of 1. */
static uint32_t inverse_of(uint32_t divisor) {
    return (uint32_t)(((UINT64_C(1) << 32) + divisor - 1) / divisor);
}

static uint32_t round_threads(int64_t wanted, int64_t most) {
    const int64_t threads = round_up(wanted, 32);
    return (uint32_t)(threads > most ? most : threads < 32 ? 32 : threads);
}

/* ---- occupancy and counts, straight in the grid --------------------------------------------- */

/* On an H200 atomics in the L2 cache count half a million points into 128^3 cells in 9.9 us;
 * dealing them out takes 10.5 or more, but less for occupancy and for counts of a million. */
static bool counts_in_grid(const rbc__voxelize_job *job) {
    const int64_t batch = job->cloud.batch;
    const int64_t points = job->cloud.num_points;
    const int64_t cells = job->grid[0] * job->grid[1] * job->grid[2];
    const bool few = points <= FEW_POINTS / batch && cells <= FEW_CELLS / batch;
    return !has_features(job) &&
           (few || (job->reduce == RBC_VOXEL_COUNT && points <= CACHED_POINTS / batch &&
                    cells >= MIN_CACHED_CELLS && cells <= CACHED_CELLS / batch));
}

static rbc_status count_in_grid(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                rbc_error *err) {
    const int64_t batch = job->cloud.batch;
    const bool counting = job->reduce == RBC_VOXEL_COUNT;
    const int64_t block_points = (int64_t)VOXEL_ATOMIC_THREADS * VOXEL_ATOMIC_POINTS;
    const voxel_atomic_launch launch = {
        .cloud = describe_cloud(job),
        .num_clouds = batch,
        .cells = job->grid[0] * job->grid[1] * job->grid[2],
        .cloud_blocks = (uint32_t)divide_up(job->cloud.num_points, block_points),
        .counts = {counting ? (int32_t *)(void *)job->out : NULL, job->counts},
        .occupied = counting ? NULL : (unsigned char *)job->out,
        .dropped = (unsigned long long *)job->dropped,
    };
    const int64_t bytes = batch * launch.cells * (counting || job->counts != NULL ? 4 : 1);
    const int64_t wanted = divide_up(bytes, (int64_t)VOXEL_ATOMIC_THREADS * 16 * 4);
    const int64_t most = (int64_t)queue->multiprocessors * 8;
    rbc__cuda_shape shape = {
        .blocks = wanted < most ? wanted : most,
        .blocks_y = 1,
        .threads = VOXEL_ATOMIC_THREADS,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_clear, shape, &launch, err));
    shape.blocks = batch * launch.cloud_blocks;
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_atomic, shape, &launch, err);
}

/* ---- occupancy and counts, dealt out -------------------------------------------------------- */

static rbc_status count_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job, const plan *p,
                             const voxel_cut *cut, rbc_error *err) {
    const voxel_bins_launch deal = {
        .cloud = describe_cloud(job),
        .bins = {.cut = *cut,
                 .entries = (uint16_t *)(void *)job->workspace,
                 .runs = (uint32_t *)(void *)(job->workspace + p->runs),
                 .segment_entries = p->segment_entries,
                 .bin_chunks = p->bin_chunks,
                 .bin_inverse = inverse_of(p->bin_chunks),
                 .divides_tasks =
                     (uint64_t)p->num_segments * p->bin_chunks * p->bin_chunks < UINT64_C(1) << 32},
    };
    rbc__cuda_shape shape = {
        .blocks = p->batch * (int64_t)p->num_segments,
        .blocks_y = 1,
        .threads = p->segment_points / 8,
        .shared_bytes = ((cut->num_slabs + 3) & ~3U) * 4 + p->segment_entries * 2,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_bins, shape, &deal, err));
    const bool counting = job->reduce == RBC_VOXEL_COUNT || job->counts != NULL;
    const voxel_count_launch launch = {
        .bins = deal.bins,
        .counts = {job->counts,
                   job->reduce == RBC_VOXEL_COUNT ? (int32_t *)(void *)job->out : NULL},
        .occupied = job->reduce == RBC_VOXEL_OCCUPANCY ? (unsigned char *)job->out : NULL,
        .dropped = cut->first == 0 ? (long long *)job->dropped : NULL,
    };
    shape.blocks = p->batch * (int64_t)cut->num_slabs;
    shape.threads = round_threads((int64_t)p->num_segments * p->bin_chunks / 2, VOXEL_SLAB_THREADS);
    const uint32_t least = counting ? 1U << cut->shift >> 4 : 256; /* four chunks to write each */
    shape.threads =
        shape.threads < least ? round_threads(least, VOXEL_SLAB_THREADS) : shape.threads;
    shape.threads = shape.threads < 256 ? 256 : shape.threads;
    shape.shared_bytes = (counting ? 4U : 1U) << cut->shift;
    return rbc__cuda_launch(queue, counting ? RBC__CUDA_voxel_count : RBC__CUDA_voxel_occupy, shape,
                            &launch, err);
}

/* ---- features ------------------------------------------------------------------------------- */

/* Whether the features of a cell are whole chunks of 16 bytes at multiples of 16. */
static bool features_are_chunks(const rbc__voxelize_job *job) {
    const rbc__cloud *cloud = &job->cloud;
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    return cloud->feature_dtype != RBC__F64 && cloud->feature_row >= cloud->num_points &&
           (cloud->feature_stride_bytes == bytes || cloud->num_features == 1) &&
           cloud->num_features * bytes % 16 == 0 && (uintptr_t)cloud->features % 16 == 0 &&
           (uintptr_t)job->out % 16 == 0 && cloud->features_stride_bytes % 16 == 0 &&
           (cloud->batch == 1 || cloud->features_batch_stride_bytes % 16 == 0);
}

static rbc__cuda_kernel reduce_kernel(const rbc__voxelize_job *job, bool chunks) {
    static const int any[] = {[RBC__F32] = 3, [RBC__F64] = 4, [RBC__F16] = 5, [RBC__BF16] = 6};
    static const int vector[] = {[RBC__F32] = 0, [RBC__F64] = 4, [RBC__F16] = 1, [RBC__BF16] = 2};
    const bool sums = job->reduce == RBC_VOXEL_SUM || job->reduce == RBC_VOXEL_MEAN;
    const int first = sums ? RBC__CUDA_voxel_sum_f32 : RBC__CUDA_voxel_extreme_f32;
    const rbc__dtype dtype = job->cloud.feature_dtype;
    return (rbc__cuda_kernel)(first + (chunks ? vector[dtype] : any[dtype]));
}

/* Shared memory of a slab: see stage_of_block() and reduce_crowd(). */
static uint32_t share_reduce_memory(const plan *p, int64_t row_bytes, uint32_t units,
                                    uint32_t threads, voxel_reduce_launch *launch) {
    const double even = points_of_slab(p, p->num_points);
    const double wanted = even + 6 * sqrt(even) + 32;
    const uint32_t points = wanted < (double)MAX_POINTS_OF_SLAB
                                ? (uint32_t)round_up((int64_t)wanted, 32)
                                : MAX_POINTS_OF_SLAB;
    const uint32_t cells = 1U << p->shift;
    const uint32_t sorted = cells * 4 + points * 5 + (cells / 64 + 1) * 16;
    const uint32_t left = RBC__CUDA_MAX_SHARED_BYTES - sorted;
    /* The kernel divides units by their number in a row with 32 bits. */
    const bool divides = (uint64_t)cells * units * units < UINT64_C(1) << 32;
    const int64_t rows = row_bytes <= MAX_STAGED_ROW && divides
                             ? (left < STAGE_BYTES ? left : STAGE_BYTES) / 16 * 16 / row_bytes
                             : 0;
    launch->most_points = rows > 0 ? points : 0;
    launch->stage_rows = (uint32_t)(rows < points ? rows : points);
    const uint32_t stage = (uint32_t)round_up((int64_t)launch->stage_rows * row_bytes, 16);
    const uint32_t raw = launch->most_points * 8;
    const uint32_t staged = sorted + (stage > raw ? stage : raw);
    const uint32_t general = threads / 32 * VOXEL_CHANNELS_BYTES + cells * 4 + 4096 * 4;
    const uint32_t bytes = (uint32_t)round_up(staged > general ? staged : general, 16);
    launch->shared_words = bytes / 4;
    return bytes;
}

static rbc_status reduce_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job, const plan *p,
                              const voxel_cut *cut, rbc_error *err) {
    const rbc__cloud *cloud = &job->cloud;
    const voxel_deal_launch deal = {
        .cloud = describe_cloud(job),
        .deal = {.cut = *cut,
                 .entries = (uint32_t *)(void *)job->workspace,
                 .runs = (uint32_t *)(void *)(job->workspace + p->runs),
                 .segment_entries = p->segment_entries},
    };
    rbc__cuda_shape shape = {
        .blocks = p->batch * (int64_t)p->num_segments,
        .blocks_y = 1,
        .threads = p->segment_points / (p->segment_points == MAX_SEGMENT ? 16 : 8),
        .shared_bytes = (((cut->num_slabs + 3) & ~3U) + p->segment_entries) * 4,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_deal, shape, &deal, err));
    const bool chunks = features_are_chunks(job);
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    const uint32_t units =
        (uint32_t)(chunks ? cloud->num_features * bytes / 16 : cloud->num_features);
    voxel_reduce_launch launch = {
        .deal = deal.deal,
        .features = cloud->features,
        .batch_stride = cloud->features_batch_stride_bytes,
        .row_stride = cloud->features_row_stride_bytes,
        .point_stride = cloud->features_stride_bytes,
        .feature_stride = cloud->feature_stride_bytes,
        .feature_row = cloud->feature_row,
        .num_features = (uint32_t)cloud->num_features,
        .reduce = (uint32_t)job->reduce,
        .lanes_shift = 2,
        .row_chunks = chunks ? units : 0,
        .row_inverse = inverse_of(units),
        .out = job->out,
        .counts = job->counts,
        .dropped = cut->first == 0 ? (long long *)job->dropped : NULL,
    };
    shape.blocks = p->batch * (int64_t)cut->num_slabs;
    const uint32_t threads = (1U << cut->shift) / 8;
    shape.threads = threads < MIN_REDUCE_THREADS     ? MIN_REDUCE_THREADS
                    : threads > VOXEL_REDUCE_THREADS ? VOXEL_REDUCE_THREADS
                                                     : threads;
    shape.shared_bytes =
        share_reduce_memory(p, cloud->num_features * bytes, units, shape.threads, &launch);
    return rbc__cuda_launch(queue, reduce_kernel(job, chunks), shape, &launch, err);
}

static rbc_status run(rbc__cuda_queue *queue, const rbc__voxelize_job *job, rbc_error *err) {
    if (counts_in_grid(job)) {
        return count_in_grid(queue, job, err);
    }
    const plan p = plan_of(job);
    for (int64_t first = 0; first < p.cells; first += p.pass_cells) {
        const voxel_cut cut = describe_pass(job, &p, first);
        RBC__TRY(has_features(job) ? reduce_pass(queue, job, &p, &cut, err)
                                   : count_pass(queue, job, &p, &cut, err));
    }
    return RBC_OK;
}

/* ---- depth images --------------------------------------------------------------------------- */

/* The points of depth images, which lie in the workspace first. */
static uint64_t depth_bytes(const rbc__voxelize_job *job) {
    uint64_t bytes;
    if (job->cloud.depth == NULL) {
        return 0;
    }
    if (__builtin_mul_overflow((uint64_t)job->cloud.batch, (uint64_t)job->cloud.num_points * 12,
                               &bytes) ||
        bytes > UINT64_MAX / 2) {
        return UINT64_MAX / 2;
    }
    return (bytes + 255) & ~UINT64_C(255);
}

/* Makes the points of depth images, and of `job` one that takes points. */
static rbc_status make_points(rbc__cuda_queue *queue, rbc__voxelize_job *job, rbc_error *err) {
    rbc__cloud *cloud = &job->cloud;
    float *points = (float *)(void *)job->workspace;
    job->workspace += depth_bytes(job);
    RBC__TRY(rbc__cuda_depth_points(queue, cloud->depth, cloud->batch, points, NULL, err));
    cloud->depth = NULL;
    cloud->points = (const char *)points;
    cloud->points_batch_stride_bytes = cloud->num_points * 12;
    cloud->points_stride_bytes = 12;
    cloud->axis_stride_bytes = 4;
    return RBC_OK;
}

static rbc_status run_any(rbc__cuda_queue *queue, const rbc__voxelize_job *job, rbc_error *err) {
    if (job->cloud.depth == NULL) {
        return run(queue, job, err);
    }
    rbc__voxelize_job of_points = *job;
    RBC__TRY(make_points(queue, &of_points, err));
    return run(queue, &of_points, err);
}

uint64_t rbc__cuda_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job) {
    (void)context;
    const bool deals = job->cloud.batch > 0 && !counts_in_grid(job);
    return depth_bytes(job) + (deals ? (uint64_t)plan_of(job).bytes : 0);
}

rbc_status rbc__cuda_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    if (job->cloud.batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    return rbc__cuda_leave(&queue, run_any(&queue, job, err));
}
