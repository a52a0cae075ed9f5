#include "cuda/runtime/launch.h"

#include <string.h>

#include "core/error.h"
#include "cuda/runtime/capture.h"

/* A driver takes a graph also into a stream of another device, and runs it in that one's order. */
static rbc_status check_stream(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                               CUstream cu_stream, rbc_error *err) {
    if ((uintptr_t)cu_stream <= RBC__CU_LAST_SPECIAL_STREAM ||
        cu_stream == atomic_load_explicit(&device->known_stream, memory_order_relaxed)) {
        return RBC_OK;
    }
    CUcontext context = NULL;
    if (driver->stream_get_ctx(cu_stream, &context) == 0 && context != device->context) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "the stream is of another device or context; wanted one of CUDA device "
                         "%d, where the tensors are",
                         (int)device->id);
    }
    atomic_store_explicit(&device->known_stream, cu_stream, memory_order_relaxed);
    return RBC_OK;
}

rbc_status rbc__cuda_enter(int32_t device_id, void *cu_stream, rbc__cuda_queue *out,
                           rbc_error *err) {
    const rbc__cuda_driver *driver = NULL;
    rbc__cuda_device *device = NULL;
    RBC__TRY(rbc__cuda_device_get(device_id, &driver, &device, err));
    RBC__TRY(check_stream(driver, device, cu_stream, err));
    CUcontext current = NULL;
    CUresult result = driver->ctx_get_current(&current);
    if (result == 0 && current != device->context) {
        result = driver->ctx_push_current(device->context);
    }
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "making CUDA device %d current", (int)device_id);
    }
    out->driver = driver;
    out->device = device;
    out->cu_stream = cu_stream;
    out->multiprocessors = device->multiprocessors;
    out->is_pushed = current != device->context;
    out->capture = rbc__cuda_capture_of_thread();
    out->pipe = NULL;
    out->err = err;
    out->launches.count = 0;
    out->launches.bytes = 0;
    return RBC_OK;
}

/* ---- handing launches to the driver ---- */

void *rbc__cuda_parameters(const rbc__cuda_launches *launches, const rbc__cuda_launch_item *item) {
    union {
        const unsigned char *in;
        void *out;
    } parameters = {.in = launches->parameters + item->begin};
    return parameters.out;
}

rbc_status rbc__cuda_submit(const rbc__cuda_queue *queue, CUstream cu_stream,
                            const rbc__cuda_launches *launches, int32_t index, rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    const rbc__cuda_launch_item *item = &launches->items[index];
    const rbc__cuda_shape *shape = &item->shape;
    void *arguments[] = {rbc__cuda_parameters(launches, item)};
    CUresult result;
    if (atomic_load_explicit(&queue->device->is_chained, memory_order_relaxed)) {
        CUlaunchAttribute attribute = {.id = RBC__CU_LAUNCH_PROGRAMMATIC_SERIALIZATION,
                                       .value.programmatic_stream_serialization = 1};
        const CUlaunchConfig config = {
            .grid_x = (unsigned)shape->blocks,
            .grid_y = shape->blocks_y,
            .grid_z = 1,
            .block_x = shape->threads,
            .block_y = 1,
            .block_z = 1,
            .shared_bytes = shape->shared_bytes,
            .stream = cu_stream,
            .attributes = &attribute,
            .num_attributes = 1,
        };
        result = driver->launch_kernel_ex(&config, item->function, arguments, NULL);
    } else {
        result = driver->launch_kernel(item->function, (unsigned)shape->blocks, shape->blocks_y, 1,
                                       shape->threads, 1, 1, shape->shared_bytes, cu_stream,
                                       arguments, NULL);
    }
    return result == 0
               ? RBC_OK
               : rbc__cuda_fail(driver, result, err, "launching %s on CUDA device %d",
                                rbc__cuda_kernel_name(item->kernel), (int)queue->device->id);
}

rbc_status rbc__cuda_submit_all(const rbc__cuda_queue *queue, const rbc__cuda_launches *launches,
                                rbc_error *err) {
    rbc_status status = RBC_OK;
    for (int32_t i = 0; status == RBC_OK && i < launches->count; ++i) {
        status = rbc__cuda_submit(queue, queue->cu_stream, launches, i, err);
    }
    return status;
}

static rbc_status submit_queued(rbc__cuda_queue *queue, rbc_error *err) {
    const rbc_status status = rbc__cuda_submit_all(queue, &queue->launches, err);
    queue->launches.count = 0;
    queue->launches.bytes = 0;
    return status;
}

rbc_status rbc__cuda_flush(rbc__cuda_queue *queue, rbc_error *err) {
    if (queue->capture != NULL) {
        queue->capture->has_gaps = true;
    }
    return submit_queued(queue, err);
}

rbc_status rbc__cuda_check_waiting(const rbc__cuda_queue *queue, const char *what,
                                   const char *wanted, rbc_error *err) {
    int capturing = 0;
    const CUresult result = queue->driver->stream_is_capturing(queue->cu_stream, &capturing);
    if (result != 0) {
        return rbc__cuda_fail(queue->driver, result, err, "cuStreamIsCapturing");
    }
    return capturing == 0
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                           "%s waits for the stream, which is being captured into a graph; wanted "
                           "%s",
                           what, wanted);
}

static rbc_status finish(rbc__cuda_queue *queue) {
    if (queue->launches.count == 0) {
        return RBC_OK;
    }
    if (queue->capture != NULL) {
        RBC__TRY(rbc__cuda_capture_keep(queue->capture, queue->device->id, &queue->launches,
                                        queue->err));
    } else if (rbc__cuda_graphs_launch(queue)) {
        return RBC_OK;
    }
    return submit_queued(queue, queue->err);
}

rbc_status rbc__cuda_leave(rbc__cuda_queue *queue, rbc_status status) {
    if (status == RBC_OK) {
        status = finish(queue);
    }
    if (queue->is_pushed) {
        CUcontext popped = NULL;
        (void)queue->driver->ctx_pop_current(&popped);
        queue->is_pushed = false;
    }
    return status;
}

rbc_status rbc__cuda_launch_bytes(rbc__cuda_queue *queue, rbc__cuda_kernel kernel,
                                  rbc__cuda_shape shape, const void *parameters,
                                  size_t parameter_bytes, rbc_error *err) {
    if (shape.blocks == 0 || shape.blocks_y == 0) {
        return RBC_OK;
    }
    if (shape.blocks > INT32_MAX || shape.blocks_y > UINT16_MAX) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "%s: %lld x %u blocks are more than one launch takes",
                         rbc__cuda_kernel_name(kernel), (long long)shape.blocks, shape.blocks_y);
    }
    CUfunction function = NULL;
    RBC__TRY(rbc__cuda_device_function(queue->driver, queue->device, kernel, &function, err));
    rbc__cuda_launches *launches = &queue->launches;
    if (launches->count == RBC__CUDA_MAX_LAUNCHES ||
        parameter_bytes > sizeof launches->parameters - launches->bytes) {
        RBC__TRY(rbc__cuda_flush(queue, err));
    }
    launches->items[launches->count++] = (rbc__cuda_launch_item){
        .function = function,
        .shape = shape,
        .kernel = kernel,
        .begin = launches->bytes,
        .bytes = (uint32_t)parameter_bytes,
    };
    memcpy(launches->parameters + launches->bytes, parameters, parameter_bytes);
    launches->bytes += ((uint32_t)parameter_bytes + 15) & ~15U;
    return RBC_OK;
}
