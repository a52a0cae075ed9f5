#include <math.h>
#include <string.h>

#include "core/error.h"
#include "cuda/kernels/voxel_params.h"
#include "cuda/ops.h"

_Static_assert(POINT_F32 == (int)RBC__F32 && POINT_F64 == (int)RBC__F64 &&
                   POINT_F16 == (int)RBC__F16 && POINT_BF16 == (int)RBC__BF16,
               "point types");
_Static_assert(REDUCE_OCCUPANCY == (int)RBC_VOXEL_OCCUPANCY && REDUCE_MIN == (int)RBC_VOXEL_MIN,
               "reductions");

static int64_t round_up(int64_t bytes) {
    return (bytes + 15) & ~INT64_C(15);
}

static int64_t num_cells(const rbc__voxelize_job *job) {
    return job->grid[0] * job->grid[1] * job->grid[2];
}

static bool has_features(const rbc__voxelize_job *job) {
    return job->reduce >= RBC_VOXEL_SUM;
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
    cloud.vector = from->point_dtype == RBC__F32 && from->axis_stride_bytes == 4 &&
                   from->points_stride_bytes == 12 && (uintptr_t)from->points % 16 == 0 &&
                   from->points_batch_stride_bytes % 16 == 0;
    return cloud;
}

static rbc__cuda_shape shape_of_points(const rbc__voxelize_job *job) {
    return (rbc__cuda_shape){
        .blocks = (job->cloud.num_points + VOXEL_BLOCK_POINTS - 1) / VOXEL_BLOCK_POINTS,
        .blocks_y = (uint32_t)job->cloud.batch,
        .threads = VOXEL_THREADS,
    };
}

static void add_range(voxel_clear *clear, void *begin, int64_t bytes, uint32_t value) {
    for (int i = 0; i < VOXEL_CLEARS; ++i) {
        if (clear->ranges[i].begin == NULL) {
            clear->ranges[i].begin = begin;
            clear->ranges[i].bytes = bytes;
            clear->ranges[i].value = value;
            return;
        }
    }
}

static rbc_status launch_clear(rbc__cuda_queue *queue, const voxel_clear *clear, rbc_error *err) {
    int64_t bytes = 0;
    for (int i = 0; i < VOXEL_CLEARS; ++i) {
        bytes += clear->ranges[i].bytes;
    }
    const int64_t wanted = (bytes / 16 + VOXEL_THREADS * 4 - 1) / (VOXEL_THREADS * 4);
    const int64_t most = (int64_t)queue->multiprocessors * 8;
    const rbc__cuda_shape shape = {
        .blocks = wanted < 1      ? 1
                  : wanted > most ? most
                                  : wanted,
        .blocks_y = 1,
        .threads = VOXEL_THREADS,
    };
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_clear, shape, clear, err);
}

/* ---- occupancy and count -------------------------------------------------------------------- */

static rbc_status count_points(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                               rbc_error *err) {
    const int64_t cells = num_cells(job);
    const int64_t batch = job->cloud.batch;
    const bool counting = job->reduce == RBC_VOXEL_COUNT;
    voxel_count count = {
        .cloud = describe_cloud(job),
        .cells = cells,
        .first = 0,
        .end = cells,
        .counts = counting ? (int32_t *)(void *)job->out : job->counts,
        .occupied = counting ? NULL : (unsigned char *)job->out,
        .dropped = (unsigned long long *)job->dropped,
    };
    voxel_clear clear = {0};
    add_range(&clear, job->out, batch * cells * (counting ? 4 : 1), 0);
    if (job->counts != NULL && !counting) {
        add_range(&clear, job->counts, batch * cells * 4, 0);
    }
    if (job->dropped != NULL) {
        add_range(&clear, job->dropped, batch * 8, 0);
    }
    RBC__TRY(launch_clear(queue, &clear, err));
    return rbc__cuda_launch(queue, RBC__CUDA_voxel_count, shape_of_points(job), &count, err);
}

/* ---- reductions of features ----------------------------------------------------------------- */

typedef struct list_memory {
    int64_t heads, next, largest, bytes;
} list_memory;

static list_memory lay_out(const rbc__voxelize_job *job) {
    list_memory memory = {0};
    memory.next = round_up(job->cloud.batch * num_cells(job) * 4);
    memory.largest = memory.next + round_up(job->cloud.batch * job->cloud.num_points * 4);
    memory.bytes = memory.largest + round_up(job->cloud.batch * job->cloud.num_features * 8);
    return memory;
}

static rbc_status reduce_features(rbc__cuda_queue *queue, const rbc__voxelize_job *job,
                                  rbc_error *err) {
    const rbc__cloud *cloud = &job->cloud;
    const int64_t cells = num_cells(job);
    const list_memory memory = lay_out(job);
    const bool sums = job->reduce <= RBC_VOXEL_MEAN;
    const int64_t value_bytes = rbc__dtype_bytes(cloud->feature_dtype);
    voxel_lists lists = {
        .cloud = describe_cloud(job),
        .cells = cells,
        .features = cloud->features,
        .features_batch_stride = cloud->features_batch_stride_bytes,
        .features_row_stride = cloud->features_row_stride_bytes,
        .features_stride = cloud->features_stride_bytes,
        .feature_stride = cloud->feature_stride_bytes,
        .feature_row = cloud->feature_row,
        .num_features = cloud->num_features,
        .feature_dtype = (uint32_t)cloud->feature_dtype,
        .vector_features = 1,
        .reduce = (uint32_t)job->reduce,
        .heads = (int32_t *)(void *)(job->workspace + memory.heads),
        .next = (int32_t *)(void *)(job->workspace + memory.next),
        .largest = sums ? (unsigned long long *)(void *)(job->workspace + memory.largest) : NULL,
        .out = job->out,
        .counts = job->counts,
        .dropped = (unsigned long long *)job->dropped,
    };
    voxel_clear clear = {0};
    add_range(&clear, lists.heads, cloud->batch * cells * 4, UINT32_MAX);
    if (sums) {
        add_range(&clear, lists.largest, cloud->batch * cloud->num_features * 8, 0);
    }
    if (job->dropped != NULL) {
        add_range(&clear, job->dropped, cloud->batch * 8, 0);
    }
    RBC__TRY(launch_clear(queue, &clear, err));
    RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_voxel_link, shape_of_points(job), &lists, err));
    const int64_t units = cells * (cloud->num_features * value_bytes / 16);
    const rbc__cuda_shape shape = {
        .blocks = (units + VOXEL_THREADS - 1) / VOXEL_THREADS,
        .blocks_y = (uint32_t)cloud->batch,
        .threads = VOXEL_THREADS,
    };
    const int value = cloud->feature_dtype == RBC__F32   ? 0
                      : cloud->feature_dtype == RBC__F16 ? 1
                                                         : 2;
    const int base = sums ? RBC__CUDA_voxel_sum_f32 : RBC__CUDA_voxel_extreme_f32;
    return rbc__cuda_launch(queue, (rbc__cuda_kernel)(base + value), shape, &lists, err);
}

uint64_t rbc__cuda_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job) {
    (void)context;
    return has_features(job) ? (uint64_t)lay_out(job).bytes : 0;
}

rbc_status rbc__cuda_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    if (job->cloud.depth != NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "depth images on a CUDA device are not supported");
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    const rbc_status status =
        has_features(job) ? reduce_features(&queue, job, err) : count_points(&queue, job, err);
    return rbc__cuda_leave(&queue, status);
}
