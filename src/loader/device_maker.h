/* A maker that decodes JPEGs, makes images of them, voxelizes, and aligns, on the device that batches
 * are on. What the device does not decode (other codecs, other kinds of JPEG, damage) it decodes on the
 * host, as the CPU's maker does, and copies: pixels and errors are those of the host. */
#ifndef RBC_LOADER_DEVICE_MAKER_H
#define RBC_LOADER_DEVICE_MAKER_H

#include "loader/maker.h"
#include "loader/pace.h"

/* The pace is that of all makers of a loader, which it must outlive. UNSUPPORTED, DEVICE,
 * OUT_OF_MEMORY. */
rbc_status rbc__device_maker_create(DLDevice device, const rbc_device_allocator *allocator,
                                    rbc_jpeg_dct jpeg_dct, rbc__pace *pace, rbc__maker **out,
                                    rbc_error *err);

/* Memory of a maker's own, pinned and on the device; 0 of one of the CPU. From any thread. */
void rbc__device_maker_count(const rbc__maker *maker, int64_t *host_bytes, int64_t *device_bytes);

/* Adds the device's time for it to gpu_ns [RBC_NUM_GPU_WORKS]. From any thread. */
void rbc__device_maker_add_times(const rbc__maker *maker, int64_t *gpu_ns);

#endif
