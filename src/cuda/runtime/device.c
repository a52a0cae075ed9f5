#include "cuda/runtime/device.h"

#include <pthread.h>
#include <string.h>

#include "core/error.h"

enum { MAX_DEVICES = 64 };

typedef enum image_index {
#define X(name) IMAGE_##name,
#include "cuda/images.def"
#undef X
    NUM_IMAGES
} image_index;

static rbc__cuda_device devices[MAX_DEVICES];
static CUmodule modules[MAX_DEVICES][NUM_IMAGES]; /* NULL until first used */
/* Guards the modules, and making a device ready. */
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
    atomic_store_explicit(&device->is_chained,
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
    if (!atomic_load_explicit(&device->is_ready, memory_order_relaxed)) {
        status = prepare(driver, device_id, device, err);
        if (status == RBC_OK) {
            atomic_store_explicit(&device->is_ready, true, memory_order_release);
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
           atomic_load_explicit(&devices[device_id].is_ready, memory_order_acquire) &&
           rbc__cuda_driver_get(&driver, NULL) == RBC_OK &&
           driver->ctx_get_current(&current) == 0 && current == devices[device_id].context;
}

rbc_status rbc__cuda_device_get(int32_t device_id, const rbc__cuda_driver **driver,
                                rbc__cuda_device **out, rbc_error *err) {
    if (!rbc__cuda_has_kernels()) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "tensors are on a CUDA device; this build has no CUDA kernels (it was "
                         "configured without ROBOCACHE_CUDA=ON)");
    }
    RBC__TRY(rbc__cuda_driver_get(driver, err));
    if (device_id < 0 || device_id >= (*driver)->num_devices || device_id >= MAX_DEVICES) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "tensors are on CUDA device %d; there are %d devices", (int)device_id,
                         (*driver)->num_devices);
    }
    *out = &devices[device_id];
    return atomic_load_explicit(&(*out)->is_ready, memory_order_acquire)
               ? RBC_OK
               : prepare_once(*driver, device_id, *out, err);
}

/* One stream takes them all: several would take the device's queues from other work. */
CUstream rbc__cuda_device_copies(const rbc__cuda_driver *driver, rbc__cuda_device *device) {
    CUstream none = NULL;
    CUstream made = atomic_load_explicit(&device->copies, memory_order_acquire);
    if (made != NULL || driver->stream_create(&made, RBC__CU_STREAM_NON_BLOCKING) != 0) {
        return made;
    }
    if (!atomic_compare_exchange_strong(&device->copies, &none, made)) {
        (void)driver->stream_destroy(made); /* another thread was quicker */
        return none;
    }
    return made;
}

const char *rbc__cuda_kernel_name(rbc__cuda_kernel kernel) {
    return kernels[kernel].name;
}

static rbc_status load_image(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                             image_index image, rbc_error *err) {
    CUmodule *module = &modules[device->id][image];
    if (*module != NULL) {
        return RBC_OK;
    }
    const CUresult result = driver->module_load_data(module, images[image]);
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
static rbc_status load_function(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                                rbc__cuda_kernel kernel, CUfunction *out, rbc_error *err) {
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    (void)pthread_mutex_lock(&mutex);
    rbc_status status = load_image(driver, device, kernels[kernel].image, err);
    if (status == RBC_OK) {
        CUresult result = driver->module_get_function(
            out, modules[device->id][kernels[kernel].image], kernels[kernel].name);
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
            atomic_store_explicit(&device->is_chained, false, memory_order_relaxed);
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

rbc_status rbc__cuda_device_function(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                                     rbc__cuda_kernel kernel, CUfunction *out, rbc_error *err) {
    *out = atomic_load_explicit(&device->functions[kernel], memory_order_acquire);
    return *out != NULL ? RBC_OK : load_function(driver, device, kernel, out, err);
}
