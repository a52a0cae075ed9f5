/* Memory of a device that loaders hold: the driver's, or of an allocator that the caller brings. */
#ifndef RBC_CUDA_MEMORY_H
#define RBC_CUDA_MEMORY_H

#include "cuda/runtime/device.h"

/* Whether the driver has what memory is allocated and freed with. */
bool rbc__cuda_memory_has_functions(const rbc__cuda_driver *driver);

/* `bytes` of memory, of `allocator` where it has functions; the device is current. `what` is told of
 * it where it fails: "%lld bytes <what>: memory, CUDA device 0". OUT_OF_MEMORY, DEVICE. */
rbc_status rbc__cuda_memory_allocate(const rbc__cuda_driver *driver, rbc__cuda_device *device,
                                     const rbc_device_allocator *allocator, int64_t bytes,
                                     const char *what, CUdeviceptr *out, rbc_error *err);

/* Of the same allocator; 0 is nothing. All work that uses it is done, and the device is current. */
void rbc__cuda_memory_free(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                           const rbc_device_allocator *allocator, CUdeviceptr memory);

/* DEVICE, or OUT_OF_MEMORY where that is what the driver's `result` says of `bytes` of `kind`. */
rbc_status rbc__cuda_memory_fail(const rbc__cuda_driver *driver, const rbc__cuda_device *device,
                                 CUresult result, int64_t bytes, const char *what, const char *kind,
                                 rbc_error *err);

#endif
