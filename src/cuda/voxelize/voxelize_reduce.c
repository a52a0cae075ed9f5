#include "core/error.h"
#include "cuda/voxelize/voxelize_tiling.h"

#include <math.h>

enum {
    MIN_REDUCE_THREADS = 128,
    STAGED_BYTES = 40 << 10,
    MAX_STAGED_ROW = 2048,
    MAX_POINTS_OF_TILE = 4544, /* fills shared memory in tiles of the most cells */
    DEFERRED_BLOCKS = 3,       /* of a multiprocessor */
};

/* Of the kernels <kind>_<type> and <kind>_any_<type>, those that load features in vectors of 16
 * bytes, and those that load one value at a time. */
#define VEC16_KERNELS(kind)                                                                        \
    {[RBC__F32] = RBC__CUDA_##kind##_f32,                                                          \
     [RBC__F16] = RBC__CUDA_##kind##_f16,                                                          \
     [RBC__BF16] = RBC__CUDA_##kind##_bf16}
#define VALUE_KERNELS(kind) {RBC__CUDA_FLOATS_OF(kind##_generic)}

typedef struct reduce_kernels {
    rbc__cuda_kernel tile[2][RBC__NUM_DTYPES];     /* [in vectors][type] */
    rbc__cuda_kernel deferred[2][RBC__NUM_DTYPES]; /* the cells that tiles defer */
} reduce_kernels;

static const reduce_kernels sum_kernels = {
    .tile = {VALUE_KERNELS(voxel_sum), VEC16_KERNELS(voxel_sum)},
    .deferred = {VALUE_KERNELS(voxel_deferred_sum), VEC16_KERNELS(voxel_deferred_sum)},
};
static const reduce_kernels extreme_kernels = {
    .tile = {VALUE_KERNELS(voxel_extreme), VEC16_KERNELS(voxel_extreme)},
    .deferred = {VALUE_KERNELS(voxel_deferred_extreme), VEC16_KERNELS(voxel_deferred_extreme)},
};

/* Shared memory of a tile: see memory_of_block() and reduce_overflow(). */
static uint32_t share_reduce_memory(const rbc__voxel_tiling *p, int64_t row_bytes, uint32_t slices,
                                    voxel_reduce_launch *launch) {
    const double even = rbc__voxel_points_of_tile(p, p->num_points);
    const double wanted = even + 6 * sqrt(even) + 32;
    const uint32_t points = wanted < (double)MAX_POINTS_OF_TILE
                                ? (uint32_t)rbc__round_up((int64_t)wanted, 32)
                                : MAX_POINTS_OF_TILE;
    const uint32_t cells = 1U << p->shift;
    const uint32_t sorted = cells * 4 + points * 5 + (cells / 64 + 1) * 16;
    const uint32_t left = RBC__CUDA_MAX_SHARED_BYTES - sorted;
    /* The kernel divides slices by their number in a row with 32 bits. */
    const bool divides = (uint64_t)cells * slices * slices < UINT64_C(1) << 32;
    const int64_t rows = row_bytes <= MAX_STAGED_ROW && divides
                             ? (left < STAGED_BYTES ? left : STAGED_BYTES) / 16 * 16 / row_bytes
                             : 0;
    launch->most_points = rows > 0 ? points : 0;
    launch->staged_rows = (uint32_t)(rows < points ? rows : points);
    const uint32_t stage = (uint32_t)rbc__round_up((int64_t)launch->staged_rows * row_bytes, 16);
    const uint32_t raw = launch->most_points * 8;
    const uint32_t staged = sorted + (stage > raw ? stage : raw);
    const uint32_t overflow = cells * 8;
    return (uint32_t)rbc__round_up(staged > overflow ? staged : overflow, 16);
}

static voxel_deferred describe_deferred(const rbc__voxelize_job *job, const rbc__voxel_tiling *p) {
    char *from = job->workspace;
    return (voxel_deferred){
        .points = (uint32_t *)(void *)(from + p->points),
        .cells = (voxel_deferred_cell *)(void *)(from + p->deferred_cells),
        .room = p->deferred,
        .huge = (voxel_deferred_cell *)(void *)(from + p->huge_cells),
        .states = (voxel_state *)(void *)(from + p->states),
        .looked = (uint32_t *)(void *)(from + p->looked),
        .finished = (uint32_t *)(void *)(from + p->finished),
        .parts = (voxel_part *)(void *)(from + p->part_list),
        .used = (uint32_t *)(void *)(from + p->used),
    };
}

rbc_status rbc__voxel_reduce_pass(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                  const rbc__voxel_tiling *p, const voxel_cut *cut,
                                  rbc_error *err) {
    const rbc__cloud *cloud = &job->cloud;
    const voxel_deferred deferred = describe_deferred(job, p);
    const voxel_deal_launch deal = {
        .cloud = rbc__voxel_describe_cloud(job),
        .deal = rbc__voxel_describe_deal(job, p, cut),
        .used = deferred.used,
    };
    rbc__cuda_shape shape = rbc__voxel_deal_shape(p, cut);
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_deal, shape, &deal, err));

    const bool vec16s =
        cloud->feature_dtype != RBC__F64 && rbc__voxel_rows_are_vec16s(cloud, job->out);
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    const uint32_t slices =
        (uint32_t)(vec16s ? cloud->num_features * bytes / 16 : cloud->num_features);
    voxel_reduce_launch launch = {
        .deal = deal.deal,
        .deferred = deferred,
        .features = cloud->features,
        .batch_stride = cloud->features_batch_stride_bytes,
        .row_stride = cloud->features_row_stride_bytes,
        .point_stride = cloud->features_stride_bytes,
        .feature_stride = cloud->feature_stride_bytes,
        .feature_row = cloud->feature_row,
        .num_features = (uint32_t)cloud->num_features,
        .reduce = (uint32_t)job->reduce,
        .row_vec16s = vec16s ? slices : 0,
        .row_inverse = rbc__voxel_inverse(slices),
        .out = job->out,
        .counts = job->counts,
        .dropped = cut->first == 0 ? (long long *)job->dropped : NULL,
    };
    const bool sums = job->reduce == RBC_VOXEL_SUM || job->reduce == RBC_VOXEL_MEAN;
    const uint32_t threads = (1U << cut->shift) / 8;
    shape.blocks = p->batch * (int64_t)cut->num_tiles;
    shape.threads = threads < MIN_REDUCE_THREADS     ? MIN_REDUCE_THREADS
                    : threads > VOXEL_REDUCE_THREADS ? VOXEL_REDUCE_THREADS
                                                     : threads;
    shape.shared_bytes = share_reduce_memory(p, cloud->num_features * bytes, slices, &launch);
    const reduce_kernels *kernels = sums ? &sum_kernels : &extreme_kernels;
    RBC__TRY(
        rbc__cuda_launch(queue, kernels->tile[vec16s][cloud->feature_dtype], shape, &launch, err));

    const int64_t pairs = p->batch * (p->num_points / 2);
    const int64_t wanted = rbc__divide_up(pairs * slices, VOXEL_DEFERRED_THREADS) + 1;
    const int64_t most = (int64_t)queue->multiprocessors * DEFERRED_BLOCKS;
    shape.blocks = wanted < most ? wanted : most;
    shape.threads = VOXEL_DEFERRED_THREADS;
    shape.shared_bytes = 0;
    return rbc__cuda_launch(queue, kernels->deferred[vec16s][cloud->feature_dtype], shape, &launch,
                            err);
}
