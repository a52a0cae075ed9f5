#include "cuda/runtime/memory.h"

#include "core/error.h"

bool rbc__cuda_memory_has_functions(const rbc__cuda_driver *driver) {
    return driver->mem_alloc != NULL && driver->mem_free != NULL && driver->stream_destroy != NULL;
}

rbc_status rbc__cuda_memory_fail(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                                 CUresult result, int64_t bytes, const char *what, const char *kind,
                                 rbc_error *err) {
    (void)rbc__cuda_fail(driver, result, err, "%lld bytes %s: %s, CUDA device %d", (long long)bytes,
                         what, kind, (int)device->id);
    if (result != RBC__CU_ERROR_OUT_OF_MEMORY) {
        return RBC_ERROR_DEVICE;
    }
    if (err != NULL) {
        err->status = RBC_ERROR_OUT_OF_MEMORY;
    }
    return RBC_ERROR_OUT_OF_MEMORY;
}

/* All memory of a device is asked for on one stream, for allocators keep what is freed for the stream
 * that it was asked for on: so one loader's is the next one's. No order is needed between them: what
 * is freed nobody uses any more, and what is new has been waited for. */
static rbc_status allocate_of(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                              const rbc_device_allocator *allocator, int64_t bytes,
                              CUdeviceptr *out, rbc_error *err) {
    CUstream copies = rbc__cuda_device_copies(driver, device);
    void *memory = NULL;
    if (copies == NULL) {
        return rbc__fail(err, RBC_ERROR_DEVICE, "a stream to allocate on could not be made");
    }
    rbc_status status =
        allocator->allocate(allocator->user, device->id, (uint64_t)bytes, copies, &memory, err);
    if (status == RBC_OK && memory == NULL) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the allocator returned none");
    }
    /* Also where there is none: what has failed on the device before is no lack of memory. */
    const CUresult result = driver->stream_synchronize(copies);
    if (result != 0) {
        if (status == RBC_OK) {
            allocator->free(allocator->user, device->id, memory);
        }
        return rbc__cuda_fail(driver, result, err, "waiting for memory");
    }
    *out = (CUdeviceptr)(uintptr_t)memory;
    return status;
}

rbc_status rbc__cuda_memory_allocate(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                                     const rbc_device_allocator *allocator, int64_t bytes,
                                     const char *what, CUdeviceptr *out, rbc_error *err) {
    *out = 0;
    if (allocator->allocate == NULL) {
        const CUresult result = driver->mem_alloc(out, (size_t)bytes);
        if (result != 0) {
            *out = 0;
            return rbc__cuda_memory_fail(driver, device, result, bytes, what, "memory", err);
        }
        return RBC_OK;
    }
    const rbc_status status = allocate_of(driver, device, allocator, bytes, out, err);
    return status == RBC_OK ? RBC_OK
                            : rbc__fail_within(err, status, "%lld bytes %s: memory, CUDA device %d",
                                               (long long)bytes, what, (int)device->id);
}

void rbc__cuda_memory_free(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                           const rbc_device_allocator *allocator, CUdeviceptr memory) {
    if (memory == 0) {
        return;
    }
    if (allocator->allocate == NULL) {
        (void)driver->mem_free(memory);
    } else {
        void *address = (void *)(uintptr_t)memory; // NOLINT(performance-no-int-to-ptr)
        allocator->free(allocator->user, device->id, address);
    }
}
