#include "gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/runtime/device.h"

enum { MAX_BLOCKS = 256 };

static struct {
    CUresult (*alloc)(CUdeviceptr *pointer, size_t bytes);
    CUresult (*free)(CUdeviceptr pointer);
    CUresult (*upload)(CUdeviceptr to, const void *from, size_t bytes);
    CUresult (*download)(void *to, CUdeviceptr from, size_t bytes);
    CUresult (*set)(CUdeviceptr to, unsigned char value, size_t bytes);
    CUdeviceptr blocks[MAX_BLOCKS];
    int num_blocks;
    int is_ready;
} gpu;

static char reason[RBC_ERROR_MESSAGE_BYTES];

/* Tests are built without assert() too. */
static void must(int holds, const char *what) {
    if (!holds) {
        (void)fprintf(stderr, "failed: %s\n", what);
        abort();
    }
}

static void find(const rbc__cuda_driver *driver, const char *name, void *to) {
    void *address = dlsym(driver->library, name);
    must(address != NULL, name);
    memcpy(to, &address, sizeof address);
}

const char *gpu_missing(void) {
    if (gpu.is_ready) {
        return NULL;
    }
    if (!rbc__cuda_has_kernels()) {
        return "no CUDA kernels in this build";
    }
    const rbc__cuda_driver *driver = NULL;
    rbc_error err;
    if (rbc__cuda_driver_get(&driver, &err) != RBC_OK) {
        (void)snprintf(reason, sizeof reason, "%s", err.message);
        return reason;
    }
    CUcontext context = NULL;
    if (driver->primary_ctx_retain(&context, 0) != 0 || driver->ctx_push_current(context) != 0) {
        return "no context on CUDA device 0";
    }
    find(driver, "cuMemAlloc_v2", &gpu.alloc);
    find(driver, "cuMemFree_v2", &gpu.free);
    find(driver, "cuMemcpyHtoD_v2", &gpu.upload);
    find(driver, "cuMemcpyDtoH_v2", &gpu.download);
    find(driver, "cuMemsetD8_v2", &gpu.set);
    gpu.is_ready = 1;
    return NULL;
}

void *gpu_new(const void *host, size_t bytes) {
    must(gpu.num_blocks < MAX_BLOCKS, "few enough blocks");
    CUdeviceptr pointer = 0;
    CUresult result = gpu.alloc(&pointer, bytes > 0 ? bytes : 1);
    must(result == 0, "driver call");
    if (host != NULL && bytes > 0) {
        result = gpu.upload(pointer, host, bytes);
    } else if (bytes > 0) {
        result = gpu.set(pointer, 0xa5, bytes);
    }
    must(result == 0, "driver call");
    gpu.blocks[gpu.num_blocks++] = pointer;
    return (void *)(uintptr_t)pointer;
}

void gpu_fill(void *device, unsigned char value, size_t bytes) {
    const CUresult result = bytes == 0 ? 0 : gpu.set((CUdeviceptr)(uintptr_t)device, value, bytes);
    must(result == 0, "driver call");
}

void gpu_read(void *host, const void *device, size_t bytes) {
    const CUresult result = gpu.download(host, (CUdeviceptr)(uintptr_t)device, bytes);
    must(result == 0, "driver call");
}

void gpu_free_all(void) {
    while (gpu.num_blocks > 0) {
        (void)gpu.free(gpu.blocks[--gpu.num_blocks]);
    }
}
