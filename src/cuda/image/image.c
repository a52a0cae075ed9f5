#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/image/layout.h"
#include "cuda/ops.h"
#include "cuda/runtime/staging.h"

uint64_t rbc__cuda_image_workspace_bytes(const rbc__image_job *job) {
    rbc__image_layout layout;
    rbc__image_layout_measure(job, &layout);
    return layout.bytes;
}

static rbc_status launch(rbc__cuda_queue *queue, rbc__cuda_kernel kernel, uint32_t threads,
                         const image_launch *p, rbc_error *err) {
    const rbc__cuda_shape shape = {
        .blocks = (int64_t)p->count * p->blocks, .blocks_y = 1, .threads = threads};
    return rbc__cuda_launch(queue, kernel, shape, p, err);
}

static rbc_status launch_all(rbc__cuda_queue *queue, const rbc__image_job *job,
                             const rbc__image_layout *layout, const unsigned char *description,
                             rbc_error *err) {
    const image_launch axes =
        rbc__image_layout_launch(job, layout, description, layout->axis_blocks);
    const image_launch tiles =
        rbc__image_layout_launch(job, layout, description, layout->tile_blocks);
    const image_launch pixels =
        rbc__image_layout_launch(job, layout, description, layout->pixel_blocks);
    RBC__TRY(launch(queue, RBC__CUDA_image_axes, IMAGE_AXIS_THREADS, &axes, err));
    if (job->spec->stored != RBC__U8) {
        return launch(queue, RBC__CUDA_image_move, IMAGE_THREADS, &pixels, err);
    }
    const rbc__cuda_kernel tile =
        job->spec->channels == 3 ? RBC__CUDA_image_tile_rgb : RBC__CUDA_image_tile;
    RBC__TRY(launch(queue, tile, IMAGE_THREADS, &tiles, err));
    return layout->has_contrast ? launch(queue, RBC__CUDA_image_finish, IMAGE_THREADS, &pixels, err)
                                : RBC_OK;
}

static rbc_status run(rbc__cuda_queue *queue, const rbc__image_job *job, rbc_error *err) {
    rbc__image_layout layout;
    rbc__cuda_staging *staging;
    unsigned char *memory;
    unsigned char *base = (unsigned char *)job->workspace;
    unsigned char *description = NULL;
    rbc__image_layout_measure(job, &layout);
    RBC__TRY(rbc__cuda_flush(queue, err));
    RBC__TRY(rbc__cuda_staging_take(queue, layout.description_bytes, &staging, &memory, err));
    rbc__image_layout_describe(job, &layout, base, memory);
    rbc_status status =
        rbc__cuda_staging_copy(queue, staging, layout.description_bytes, base, &description, err);
    if (status == RBC_OK) {
        status = launch_all(queue, job, &layout, description, err);
    }
    if (status == RBC_OK) {
        status = rbc__cuda_flush(queue, err);
    }
    const rbc_status given = rbc__cuda_staging_give(queue, staging, status == RBC_OK ? err : NULL);
    return status == RBC_OK ? given : status;
}

rbc_status rbc__cuda_image(rbc_context *context, const rbc__image_job *job, int32_t device_id,
                           void *cu_stream, rbc_error *err) {
    (void)context;
    if (job->count == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    queue.pipe = job->pipe;
    return rbc__cuda_leave(&queue, run(&queue, job, err));
}
