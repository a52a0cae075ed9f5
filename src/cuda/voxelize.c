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
_Static_assert(sizeof(voxel_deal_launch) <= 4096, "kernel parameters of every device");

enum {
    /* Counting in the L2 cache pays between these. */
    MIN_CACHED_CELLS = 1 << 16,
    MAX_CACHED_CELLS = 10 << 20,
    MAX_CACHED_POINTS = 4 << 20,
    MIN_SHIFT = 5,
    MIN_SEGMENT = 1024,
    MAX_SEGMENT = VOXEL_DEAL_THREADS * VOXEL_POINTS_PER_THREAD, /* points */
    /* Blocks that keep a large GPU busy. The workspace depends on it, so that it is no matter of
     * the device. */
    MANY_SEGMENTS = 120,
    MAX_ORDER_POINTS = 5120,
    MANY_SLABS = 512,
    MANY_REDUCED_SLABS = 1024,
};

_Static_assert(MAX_SEGMENT <= 1 << VOXEL_INDEX_BITS, "entries");
_Static_assert(VOXEL_MAX_SHIFT + VOXEL_INDEX_BITS <= 32, "entries");

static int64_t round_up(int64_t bytes) {
    return (bytes + 15) & ~INT64_C(15);
}

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static bool has_features(const rbc__voxelize_job *job) {
    return job->reduce >= RBC_VOXEL_SUM;
}

/* How a job is cut up: depends on its sizes alone. */
typedef struct plan {
    int64_t cells; /* of a cloud's grid */
    int64_t batch;
    uint32_t segment_points, num_segments;
    uint32_t shift;
    int64_t pass_cells;
    int64_t entries, runs, missing, bytes; /* offsets in the workspace, and its size */
} plan;

static plan plan_of(const rbc__voxelize_job *job) {
    plan p = {.cells = job->grid[0] * job->grid[1] * job->grid[2], .batch = job->cloud.batch};
    const int64_t n = job->cloud.num_points;
    int64_t segment = MAX_SEGMENT;
    while (segment > MIN_SEGMENT && p.batch * divide_up(n, segment) < MANY_SEGMENTS) {
        segment /= 2;
    }
    p.segment_points = (uint32_t)segment;
    p.num_segments = (uint32_t)divide_up(n, segment);
    p.shift = VOXEL_MAX_SHIFT;
    const int64_t many = has_features(job) ? MANY_REDUCED_SLABS : MANY_SLABS;
    while (p.shift > MIN_SHIFT && p.batch * divide_up(p.cells, INT64_C(1) << p.shift) < many) {
        --p.shift;
    }
    p.pass_cells = (int64_t)VOXEL_MAX_SLABS << p.shift;
    p.pass_cells = p.pass_cells < p.cells ? p.pass_cells : p.cells;
    const int64_t slabs = divide_up(p.pass_cells, INT64_C(1) << p.shift);
    const int64_t segments = p.batch * (int64_t)p.num_segments;
    p.runs = segments * segment * 4;
    p.missing = p.runs + round_up(segments * (slabs + 1) * 2);
    p.bytes = p.missing + round_up(segments * 4);
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
    for (int axis = 0; axis < 3; ++axis) {
        cloud.grid[axis] = (int32_t)job->grid[axis];
        cloud.origin[axis] = job->origin[axis];
        cloud.size[axis] = job->voxel_size[axis];
        cloud.origin32[axis] = (float)job->origin[axis];
        cloud.size32[axis] = (float)job->voxel_size[axis];
        const float inverse = 1.0F / cloud.size32[axis];
        cloud.inverse32[axis] = isnormal(inverse) ? inverse : NAN;
    }
    cloud.small = job->grid[0] * job->grid[1] * job->grid[2] <= INT32_MAX;
    cloud.vector = from->point_dtype == RBC__F32 && from->axis_stride_bytes == 4 &&
                   from->points_stride_bytes == 12 && (uintptr_t)from->points % 16 == 0 &&
                   (from->batch == 1 || from->points_batch_stride_bytes % 16 == 0);
    return cloud;
}

static voxel_deal describe_pass(const rbc__voxelize_job *job, const plan *p, int64_t first) {
    const int64_t left = p->cells - first;
    const int64_t cells = left < p->pass_cells ? left : p->pass_cells;
    return (voxel_deal){
        .entries = (uint32_t *)(void *)job->workspace,
        .runs = (uint16_t *)(void *)(job->workspace + p->runs),
        .missing = (uint32_t *)(void *)(job->workspace + p->missing),
        .num_segments = p->num_segments,
        .segment_points = p->segment_points,
        .num_slabs = (uint32_t)divide_up(cells, INT64_C(1) << p->shift),
        .shift = p->shift,
        .cells = p->cells,
        .first = first,
        .end = first + cells,
    };
}

static rbc_status deal_points(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                              const voxel_deal *deal, rbc_error *err) {
    const voxel_deal_launch launch = {.cloud = describe_cloud(job), .deal = *deal};
    const rbc__cuda_shape shape = {
        .blocks = deal->num_segments,
        .blocks_y = (uint32_t)job->cloud.batch,
        .threads = deal->segment_points / VOXEL_POINTS_PER_THREAD,
        .shared_bytes = (((deal->num_slabs + 4) & ~3U) + deal->segment_points) * 4,
    };
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_deal, shape, &launch, err);
}

/* Threads that read a run of a slab's entries together: a quarter of what it has on average. */
static uint32_t lanes_for(const voxel_deal *deal) {
    const uint32_t run = deal->segment_points / deal->num_slabs;
    uint32_t lanes = 2;
    while (lanes < 32 && lanes * 4 < run) {
        lanes *= 2;
    }
    return lanes;
}

static rbc_status count_slabs(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                              const voxel_deal *deal, rbc_error *err) {
    const bool counting = job->reduce == RBC_VOXEL_COUNT;
    voxel_count_launch launch = {
        .deal = *deal,
        .counts = counting ? (int32_t *)(void *)job->out : job->counts,
        .occupied = counting ? NULL : (unsigned char *)job->out,
        .dropped = deal->first == 0 ? (long long *)job->dropped : NULL,
        .lanes = lanes_for(deal),
    };
    const rbc__cuda_shape shape = {
        .blocks = deal->num_slabs,
        .blocks_y = (uint32_t)job->cloud.batch,
        .threads = VOXEL_SLAB_THREADS,
        .shared_bytes = 4U << deal->shift,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_count, shape, &launch, err));
    if (counting && job->counts != NULL) {
        launch.counts = job->counts;
        launch.dropped = NULL;
        return rbc__cuda_launch(queue, RBC__CUDA_voxel_count, shape, &launch, err);
    }
    return RBC_OK;
}

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

/* Points of a slab that are sorted at once: twice as many as it has where they lie evenly, within
 * what shared memory holds. */
static uint32_t order_points_for(const rbc__voxelize_job *job, const voxel_deal *deal) {
    const double even =
        (double)job->cloud.num_points * (double)(1U << deal->shift) / (double)deal->cells;
    const double wanted = 2 * even + 256;
    const uint32_t most = (RBC__CUDA_MAX_SHARED_BYTES - (4U << deal->shift)) / 6;
    const uint32_t cap = most < MAX_ORDER_POINTS ? most / 256 * 256 : MAX_ORDER_POINTS;
    return wanted < (double)cap ? ((uint32_t)wanted + 255) / 256 * 256 : cap;
}

static rbc_status reduce_slabs(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                               const voxel_deal *deal, rbc_error *err) {
    const rbc__cloud *cloud = &job->cloud;
    const bool chunks = features_are_chunks(job);
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    const uint32_t units =
        (uint32_t)(chunks ? cloud->num_features * bytes / 16 : cloud->num_features);
    const voxel_reduce_launch launch = {
        .deal = *deal,
        .features = cloud->features,
        .batch_stride = cloud->features_batch_stride_bytes,
        .row_stride = cloud->features_row_stride_bytes,
        .point_stride = cloud->features_stride_bytes,
        .feature_stride = cloud->feature_stride_bytes,
        .feature_row = cloud->feature_row,
        .num_features = (uint32_t)cloud->num_features,
        .reduce = (uint32_t)job->reduce,
        .lanes = lanes_for(deal),
        .order_points = order_points_for(job, deal),
        .row_shift = (units & (units - 1)) == 0 ? (uint32_t)__builtin_ctz(units) : 32,
        .row_chunks = chunks ? units : 0,
        .out = job->out,
        .counts = job->counts,
        .dropped = deal->first == 0 ? (long long *)job->dropped : NULL,
    };
    const rbc__cuda_shape shape = {
        .blocks = deal->num_slabs,
        .blocks_y = (uint32_t)cloud->batch,
        .threads = VOXEL_REDUCE_THREADS,
        .shared_bytes = (4U << deal->shift) + 6 * launch.order_points,
    };
    return rbc__cuda_launch(queue, reduce_kernel(job, chunks), shape, &launch, err);
}

/* ---- counting in the L2 cache --------------------------------------------------------------- */

static bool counts_in_cache(const rbc__voxelize_job *job) {
    const int64_t batch = job->cloud.batch;
    const int64_t cells = job->grid[0] * job->grid[1] * job->grid[2];
    return !has_features(job) && cells >= MIN_CACHED_CELLS && cells * batch <= MAX_CACHED_CELLS &&
           job->cloud.num_points * batch <= MAX_CACHED_POINTS && (uintptr_t)job->out % 16 == 0 &&
           (uintptr_t)job->counts % 16 == 0 && (uintptr_t)job->dropped % 16 == 0 &&
           !(job->reduce == RBC_VOXEL_COUNT && job->counts != NULL);
}

static rbc_status count_in_cache(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                 rbc_error *err) {
    const int64_t batch = job->cloud.batch;
    const int64_t cells = job->grid[0] * job->grid[1] * job->grid[2];
    const bool counting = job->reduce == RBC_VOXEL_COUNT;
    voxel_atomic_launch launch = {
        .cloud = describe_cloud(job),
        .cells = cells,
        .counts = counting ? (int32_t *)(void *)job->out : job->counts,
        .occupied = counting ? NULL : (unsigned char *)job->out,
        .dropped = (unsigned long long *)job->dropped,
    };
    launch.zero_bytes[0] = launch.counts != NULL ? batch * cells * 4 : 0;
    launch.zero_bytes[1] = launch.occupied != NULL ? batch * cells : 0;
    launch.zero_bytes[2] = launch.dropped != NULL ? batch * 8 : 0;
    const int64_t bytes = launch.zero_bytes[0] + launch.zero_bytes[1];
    const int64_t most = (int64_t)queue->multiprocessors * 8;
    const int64_t wanted = divide_up(bytes, (int64_t)VOXEL_ATOMIC_THREADS * 16 * 4);
    rbc__cuda_shape shape = {
        .blocks = wanted < most ? wanted : most,
        .blocks_y = 1,
        .threads = VOXEL_ATOMIC_THREADS,
    };
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_zero, shape, &launch, err));
    shape.blocks = divide_up(job->cloud.num_points, (int64_t)VOXEL_ATOMIC_THREADS * 4);
    shape.blocks_y = (uint32_t)batch;
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_atomic, shape, &launch, err);
}

static rbc_status run(rbc__cuda_queue *queue, const rbc__voxelize_job *job, rbc_error *err) {
    if (counts_in_cache(job)) {
        return count_in_cache(queue, job, err);
    }
    const plan p = plan_of(job);
    for (int64_t first = 0; first < p.cells; first += p.pass_cells) {
        const voxel_deal deal = describe_pass(job, &p, first);
        RBC__TRY(deal_points(queue, job, &deal, err));
        RBC__TRY(has_features(job) ? reduce_slabs(queue, job, &deal, err)
                                   : count_slabs(queue, job, &deal, err));
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
    return depth_bytes(job) + (uint64_t)plan_of(job).bytes;
}

rbc_status rbc__cuda_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    if (job->cloud.batch > UINT16_MAX) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "a batch of %lld clouds; CUDA takes up to %d",
                         (long long)job->cloud.batch, UINT16_MAX);
    }
    if (job->cloud.batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    return rbc__cuda_leave(&queue, run_any(&queue, job, err));
}
