#include "cuda/depth.h"

#include "core/error.h"
#include "cuda/kernels/depth_params.h"
#include "cuda/ops.h"

enum {
    /* Blocks that keep a large GPU busy where each counts the whole image. */
    MANY_SHARES = 132,
    MIN_SHARE = 2048, /* pixels */
};

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static uint32_t depth_type(rbc__dtype dtype) {
    return dtype == RBC__U16 ? DEPTH_U16 : dtype == RBC__F32 ? DEPTH_F32 : DEPTH_F64;
}

/* The least u16 depth beyond `limit` metres, 2^16 where there is none. */
static uint32_t first_beyond(float limit, float scale) {
    uint32_t low = 0, high = UINT16_MAX + 1;
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if ((float)middle * scale > limit) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
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
        .batch = batch,
        .pixels = source->height * source->width,
        .width = (uint32_t)source->width,
        .dtype = depth_type(source->dtype),
        .intrinsics_are_f64 = source->intrinsics_are_f64,
        .pose_is_f64 = source->pose_is_f64,
        .flat = source->row_stride_bytes == source->width * source->column_stride_bytes,
        .scale = (float)source->depth_scale,
        .low = (float)source->min_depth,
        .high = (float)source->max_depth,
        .offset = (float)source->pixel_offset,
        .points = points,
        .lengths = lengths,
    };
    launch.u16_first = first_beyond(launch.low, launch.scale);
    launch.u16_count = first_beyond(launch.high, launch.scale) - launch.u16_first;
    launch.u16_plain = UINT16_MAX * launch.scale <= DEPTH_PLAIN;
    for (int i = 0; i < 3; ++i) {
        launch.intrinsics_stride[i] = source->intrinsics_stride_bytes[i];
        launch.pose_stride[i] = source->pose_stride_bytes[i];
    }
    return launch;
}

rbc_status rbc__cuda_depth_points(rbc__cuda_queue *queue, const rbc__depth_source *source,
                                  int64_t batch, float *points, int32_t *lengths, rbc_error *err) {
    depth_launch launch = describe(source, batch, points, lengths);
    rbc__cuda_shape shape = {.blocks_y = 1, .threads = DEPTH_THREADS};
    if (lengths == NULL) {
        shape.blocks = batch * divide_up(launch.pixels, DEPTH_THREADS);
        return rbc__cuda_launch(queue, RBC__CUDA_depth_place, shape, &launch, err);
    }
    const int64_t most = MANY_SHARES / batch > 1 ? MANY_SHARES / batch : 1;
    const int64_t wanted = divide_up(launch.pixels, MIN_SHARE);
    const int64_t shares = wanted < 1 ? 1 : wanted < most ? wanted : most;
    launch.share = divide_up(launch.pixels, shares);
    shape.threads = DEPTH_PACK_THREADS;
    shape.blocks = batch * shares;
    return rbc__cuda_launch(queue, RBC__CUDA_depth_pack, shape, &launch, err);
}

rbc_status rbc__cuda_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                     int32_t device_id, void *stream, rbc_error *err) {
    (void)context;
    if (job->batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    return rbc__cuda_leave(&queue, rbc__cuda_depth_points(&queue, &job->source, job->batch,
                                                          job->points, job->lengths, err));
}
