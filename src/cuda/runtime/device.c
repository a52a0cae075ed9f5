#include "cuda/runtime/device.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "core/error.h"
#include "cuda/runtime/graph.h"
#include "cuda/runtime/recording.h"

enum { MAX_DEVICES = 64 };

typedef enum image_index {
#define X(name) IMAGE_##name,
#include "cuda/images.def"
#undef X
    NUM_IMAGES
} image_index;

struct rbc__cuda_device {
    _Atomic(bool) ready;   /* the next four are set */
    _Atomic(bool) chained; /* programmatic dependent launch */
    int32_t id;
    int32_t multiprocessors;
    CUcontext context;
    _Atomic(CUstream) known_stream; /* was found to be of `context` last */
    CUmodule modules[NUM_IMAGES];   /* guarded by `mutex`, NULL until first used */
    _Atomic(CUfunction) functions[RBC__CUDA_NUM_KERNELS];
    rbc__cuda_graphs graphs;
};

static rbc__cuda_device devices[MAX_DEVICES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static const struct {
    const char *name;
    image_index image;
} kernels[] = {
#define X(image, name) {"rbc__" #name "_cuda", IMAGE_##image},
#include "cuda/kernels.def"
#undef X
};

/* Fat binaries, embedded by rbc_cuda_images() of cmake/Cuda.cmake. */
#ifdef RBC_HAS_CUDA_KERNELS
#define X(name) extern const unsigned char rbc__cuda_image_##name[];
#include "cuda/images.def"
#undef X
#endif

static const unsigned char *const images[] = {
#ifdef RBC_HAS_CUDA_KERNELS
#define X(name) rbc__cuda_image_##name,
#else
#define X(name) NULL,
#endif
#include "cuda/images.def"
#undef X
};

static rbc_status check_capability(const rbc__cuda_driver *driver, CUdevice handle,
                                   int32_t device_id, rbc__cuda_device *device, rbc_error *err) {
    int major = 0;
    int minor = 0;
    CUresult result =
        driver->device_get_attribute(&major, RBC__CU_ATTRIBUTE_CAPABILITY_MAJOR, handle);
    if (result == 0) {
        result = driver->device_get_attribute(&minor, RBC__CU_ATTRIBUTE_CAPABILITY_MINOR, handle);
    }
    if (result == 0) {
        result = driver->device_get_attribute(&device->multiprocessors,
                                              RBC__CU_ATTRIBUTE_MULTIPROCESSORS, handle);
    }
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuDeviceGetAttribute, CUDA device %d",
                              (int)device_id);
    }
    if (major * 10 + minor < RBC__CU_MIN_CAPABILITY) {
        char name[128] = "";
        (void)driver->device_get_name(name, (int)sizeof name, handle);
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "CUDA device %d (%s) has compute capability %d.%d; %d.%d or newer is "
                         "needed",
                         (int)device_id, name, major, minor, RBC__CU_MIN_CAPABILITY / 10,
                         RBC__CU_MIN_CAPABILITY % 10);
    }
    atomic_store_explicit(&device->chained,
                          major >= 9 && driver->launch_kernel_ex != NULL &&
                              driver->version >= RBC__CU_CHAINED_DRIVER_VERSION,
                          memory_order_relaxed);
    return RBC_OK;
}

static rbc_status prepare(const rbc__cuda_driver *driver, int32_t device_id,
                          rbc__cuda_device *device, rbc_error *err) {
    CUdevice handle = 0;
    CUresult result = driver->device_get(&handle, (int)device_id);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuDeviceGet, CUDA device %d", (int)device_id);
    }
    RBC__TRY(check_capability(driver, handle, device_id, device, err));
    unsigned flags = 0;
    int active = 0;
    result = driver->primary_ctx_get_state(handle, &flags, &active);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuDevicePrimaryCtxGetState, CUDA device %d",
                              (int)device_id);
    }
    if (!active) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "CUDA device %d has no active primary context; the framework that owns "
                         "the tensors creates it",
                         (int)device_id);
    }
    result = driver->primary_ctx_retain(&device->context, handle);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuDevicePrimaryCtxRetain, CUDA device %d",
                              (int)device_id);
    }
    device->id = device_id;
    return RBC_OK;
}

static rbc_status prepare_once(const rbc__cuda_driver *driver, int32_t device_id,
                               rbc__cuda_device *device, rbc_error *err) {
    (void)pthread_mutex_lock(&mutex);
    rbc_status status = RBC_OK;
    if (!atomic_load_explicit(&device->ready, memory_order_relaxed)) {
        status = prepare(driver, device_id, device, err);
        if (status == RBC_OK) {
            atomic_store_explicit(&device->ready, true, memory_order_release);
        }
    }
    (void)pthread_mutex_unlock(&mutex);
    return status;
}

bool rbc__cuda_has_kernels(void) {
    return images[0] != NULL;
}

bool rbc__cuda_is_current(int32_t device_id) {
    const rbc__cuda_driver *driver = NULL;
    CUcontext current = NULL;
    return device_id >= 0 && device_id < MAX_DEVICES &&
           atomic_load_explicit(&devices[device_id].ready, memory_order_acquire) &&
           rbc__cuda_driver_get(&driver, NULL) == RBC_OK &&
           driver->ctx_get_current(&current) == 0 && current == devices[device_id].context;
}

/* A driver takes a graph also into a stream of another device, and runs it in that one's order. */
static rbc_status check_stream(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                               CUstream stream, rbc_error *err) {
    if ((uintptr_t)stream <= RBC__CU_LAST_SPECIAL_STREAM ||
        stream == atomic_load_explicit(&device->known_stream, memory_order_relaxed)) {
        return RBC_OK;
    }
    CUcontext context = NULL;
    if (driver->stream_get_ctx(stream, &context) == 0 && context != device->context) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "the stream is of another device or context; wanted one of CUDA device "
                         "%d, where the tensors are",
                         (int)device->id);
    }
    atomic_store_explicit(&device->known_stream, stream, memory_order_relaxed);
    return RBC_OK;
}

rbc_status rbc__cuda_enter(int32_t device_id, void *stream, rbc__cuda_queue *out, rbc_error *err) {
    if (!rbc__cuda_has_kernels()) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "tensors are on a CUDA device; this build has no CUDA kernels (it was "
                         "configured without ROBOCACHE_CUDA=ON)");
    }
    const rbc__cuda_driver *driver = NULL;
    RBC__TRY(rbc__cuda_driver_get(&driver, err));
    if (device_id < 0 || device_id >= driver->num_devices || device_id >= MAX_DEVICES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "tensors are on CUDA device %d; there are %d devices", (int)device_id,
                         driver->num_devices);
    }
    rbc__cuda_device *device = &devices[device_id];
    if (!atomic_load_explicit(&device->ready, memory_order_acquire)) {
        RBC__TRY(prepare_once(driver, device_id, device, err));
    }
    RBC__TRY(check_stream(driver, device, stream, err));
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
    out->graphs = &device->graphs;
    out->stream = stream;
    out->multiprocessors = device->multiprocessors;
    out->pushed = current != device->context;
    out->recording = rbc__cuda_recording_of_thread();
    out->err = err;
    out->batch.count = 0;
    out->batch.bytes = 0;
    return RBC_OK;
}

rbc_status rbc__cuda_submit_all(const rbc__cuda_queue *queue, const rbc__cuda_batch *batch,
                                rbc_error *err) {
    rbc_status status = RBC_OK;
    for (int32_t i = 0; status == RBC_OK && i < batch->count; ++i) {
        status = rbc__cuda_submit(queue->driver, queue->device, queue->stream, batch, i, err);
    }
    return status;
}

static rbc_status submit_queued(rbc__cuda_queue *queue, rbc_error *err) {
    const rbc_status status = rbc__cuda_submit_all(queue, &queue->batch, err);
    queue->batch.count = 0;
    queue->batch.bytes = 0;
    return status;
}

rbc_status rbc__cuda_flush(rbc__cuda_queue *queue, rbc_error *err) {
    if (queue->recording != NULL) {
        queue->recording->has_gaps = true;
    }
    return submit_queued(queue, err);
}

static rbc_status finish(rbc__cuda_queue *queue) {
    if (queue->batch.count == 0) {
        return RBC_OK;
    }
    if (queue->recording != NULL) {
        RBC__TRY(rbc__cuda_recording_keep(queue->recording, queue->device->id, &queue->batch,
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
    if (queue->pushed) {
        CUcontext popped = NULL;
        (void)queue->driver->ctx_pop_current(&popped);
        queue->pushed = false;
    }
    return status;
}

static rbc_status load_image(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                             image_index image, rbc_error *err) {
    if (device->modules[image] != NULL) {
        return RBC_OK;
    }
    const CUresult result = driver->module_load_data(&device->modules[image], images[image]);
    if (result == RBC__CU_ERROR_NO_BINARY_FOR_GPU || result == RBC__CU_ERROR_UNSUPPORTED_PTX) {
        (void)rbc__cuda_fail(driver, result, err,
                             "this build has no kernels for CUDA device %d that its driver (CUDA "
                             "%d.%d) takes",
                             (int)device->id, driver->version / 1000, driver->version % 1000 / 10);
        if (err != NULL) {
            err->status = RBC_ERROR_UNSUPPORTED;
        }
        return RBC_ERROR_UNSUPPORTED;
    }
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(driver, result, err, "loading kernels on CUDA device %d",
                                        (int)device->id);
}

/* Loading is not part of a stream's work, so a capture on this thread need not see it. */
static rbc_status find_function(rbc__cuda_queue *queue, rbc__cuda_kernel kernel, CUfunction *out,
                                rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    rbc__cuda_device *device = queue->device;
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    (void)pthread_mutex_lock(&mutex);
    rbc_status status = load_image(driver, device, kernels[kernel].image, err);
    if (status == RBC_OK) {
        CUresult result = driver->module_get_function(out, device->modules[kernels[kernel].image],
                                                      kernels[kernel].name);
        int fixed_bytes = 0;
        int ptx_version = 0;
        if (result == 0) {
            result = driver->func_get_attribute(&fixed_bytes, RBC__CU_FUNC_STATIC_SHARED, *out);
        }
        if (result == 0) {
            result = driver->func_get_attribute(&ptx_version, RBC__CU_FUNC_PTX_VERSION, *out);
        }
        if (result == 0) {
            const int left = RBC__CUDA_BLOCK_SHARED_BYTES - fixed_bytes;
            result = driver->func_set_attribute(
                *out, RBC__CU_FUNC_MAX_DYNAMIC_SHARED,
                left < RBC__CUDA_MAX_SHARED_BYTES ? left : RBC__CUDA_MAX_SHARED_BYTES);
        }
        if (ptx_version < RBC__CU_CHAINED_PTX_VERSION) {
            /* Compiled from PTX for an older architecture: such a kernel does not wait itself. */
            atomic_store_explicit(&device->chained, false, memory_order_relaxed);
        }
        if (result == 0) {
            atomic_store_explicit(&device->functions[kernel], *out, memory_order_release);
        } else {
            status = rbc__cuda_fail(driver, result, err, "kernel %s", kernels[kernel].name);
        }
    }
    (void)pthread_mutex_unlock(&mutex);
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    return status;
}

rbc_status rbc__cuda_submit(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                            CUstream stream, const rbc__cuda_batch *batch, int32_t index,
                            rbc_error *err) {
    const rbc__cuda_step *step = &batch->steps[index];
    const rbc__cuda_shape *shape = &step->shape;
    void *arguments[] = {rbc__cuda_parameters(batch, step)};
    CUresult result;
    if (atomic_load_explicit(&device->chained, memory_order_relaxed)) {
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
            .stream = stream,
            .attributes = &attribute,
            .num_attributes = 1,
        };
        result = driver->launch_kernel_ex(&config, step->function, arguments, NULL);
    } else {
        result = driver->launch_kernel(step->function, (unsigned)shape->blocks, shape->blocks_y, 1,
                                       shape->threads, 1, 1, shape->shared_bytes, stream, arguments,
                                       NULL);
    }
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(driver, result, err, "launching %s on CUDA device %d",
                                        kernels[step->kernel].name, (int)device->id);
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
                         kernels[kernel].name, (long long)shape.blocks, shape.blocks_y);
    }
    CUfunction function =
        atomic_load_explicit(&queue->device->functions[kernel], memory_order_acquire);
    if (function == NULL) {
        RBC__TRY(find_function(queue, kernel, &function, err));
    }
    rbc__cuda_batch *batch = &queue->batch;
    if (batch->count == RBC__CUDA_BATCH_LAUNCHES ||
        parameter_bytes > sizeof batch->parameters - batch->bytes) {
        RBC__TRY(rbc__cuda_flush(queue, err));
    }
    batch->steps[batch->count++] = (rbc__cuda_step){
        .function = function,
        .shape = shape,
        .kernel = kernel,
        .begin = batch->bytes,
        .bytes = (uint32_t)parameter_bytes,
    };
    memcpy(batch->parameters + batch->bytes, parameters, parameter_bytes);
    batch->bytes += ((uint32_t)parameter_bytes + 15) & ~15U;
    return RBC_OK;
}
