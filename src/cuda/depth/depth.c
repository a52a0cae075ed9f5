#include "cuda/depth/depth.h"

#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/depth/depth_params.h"
#include "cuda/ops.h"

enum {
    MAX_SHARES = 1024, /* of an image: each looks at the counts of all */
};

static uint32_t depth_type(rbc__dtype dtype) {
    return dtype == RBC__U16 ? DEPTH_U16 : dtype == RBC__F32 ? DEPTH_F32 : DEPTH_F64;
}

/* Whether four pixels can be loaded at once. */
static bool is_whole(const rbc__depth_source *source, int64_t batch) {
    const int64_t bytes = source->dtype == RBC__U16 ? 2 : 4;
    const int64_t vec16 = DEPTH_PIXELS * bytes;
    return source->dtype != RBC__F64 && source->column_stride_bytes == bytes &&
           source->width % DEPTH_PIXELS == 0 && source->row_stride_bytes % vec16 == 0 &&
           (uintptr_t)source->depth % (uintptr_t)vec16 == 0 &&
           (batch == 1 || source->batch_stride_bytes % vec16 == 0);
}

static depth_launch describe(const rbc__depth_source *source, int64_t batch, float *points,
                             int32_t *lengths) {
    depth_launch launch = {
        .depth = source->depth,
        .batch_stride = source->batch_stride_bytes,
        .row_stride = source->row_stride_bytes,
        .column_stride = source->column_stride_bytes,
        .intrinsics = source->intrinsics,
        .pose = source->pose,
        .batch = (uint32_t)batch,
        .pixels = (uint32_t)(source->height * source->width),
        .width = (uint32_t)source->width,
        .dtype = depth_type(source->dtype),
        .intrinsics_are_f64 = source->intrinsics_are_f64,
        .pose_is_f64 = source->pose_is_f64,
        .flat = source->row_stride_bytes == source->width * source->column_stride_bytes,
        .whole = is_whole(source, batch),
        .scale = (float)source->depth_scale,
        .low = (float)source->min_depth,
        .high = (float)source->max_depth,
        .offset = (float)source->pixel_offset,
        .points = points,
        .aligned = (uintptr_t)points % 16 == 0,
        .lengths = lengths,
    };
    for (int i = 0; i < 3; ++i) {
        launch.intrinsics_stride[i] = source->intrinsics_stride_bytes[i];
        launch.pose_stride[i] = source->pose_stride_bytes[i];
    }
    return launch;
}

/* The kernel that puts every pixel in its place. */
static rbc__cuda_kernel kernel_of(const depth_launch *launch) {
    const bool simple = launch->flat && launch->whole && launch->aligned && launch->pose == NULL &&
                        !launch->intrinsics_are_f64 && launch->intrinsics_stride[1] == 12 &&
                        launch->intrinsics_stride[2] == 4;
    return !simple                      ? RBC__CUDA_depth_each
           : launch->dtype == DEPTH_U16 ? RBC__CUDA_depth_each_u16
                                        : RBC__CUDA_depth_each_f32;
}

rbc_status rbc__cuda_depth_points(rbc__cuda_queue *queue, const rbc__depth_source *source,
                                  int64_t batch, float *points, int32_t *lengths, rbc_error *err) {
    depth_launch launch = describe(source, batch, points, lengths);
    rbc__cuda_shape shape = {.blocks_y = 1};
    if (lengths == NULL) {
        launch.blocks = (uint32_t)rbc__divide_up(launch.pixels, DEPTH_EACH_THREADS * DEPTH_PIXELS);
        shape.threads = DEPTH_EACH_THREADS;
        shape.blocks = batch * launch.blocks;
        return rbc__cuda_launch(queue, kernel_of(&launch), shape, &launch, err);
    }
    const int64_t tiles = rbc__divide_up(launch.pixels, DEPTH_PACK_TILE);
    launch.share = rbc__divide_up(tiles, MAX_SHARES) * DEPTH_PACK_TILE;
    launch.blocks = tiles == 0 ? 1 : (uint32_t)rbc__divide_up(launch.pixels, launch.share);
    shape.threads = DEPTH_PACK_THREADS;
    shape.blocks = batch * launch.blocks;
    if (launch.blocks > 1) {
        RBC__TRY(rbc__cuda_launch(queue, RBC__CUDA_depth_count, shape, &launch, err));
    }
    return rbc__cuda_launch(queue, RBC__CUDA_depth_pack, shape, &launch, err);
}

rbc_status rbc__cuda_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                     int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)context;
    if (job->batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    return rbc__cuda_leave(&queue, rbc__cuda_depth_points(&queue, &job->source, job->batch,
                                                          job->points, job->lengths, err));
}
