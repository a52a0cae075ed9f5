#define _POSIX_C_SOURCE 200809L

#include "host_device.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host_driver.h"

__attribute__((visibility("default"))) host_device rbc_host_device;
host_device rbc_host_device = {.fail_after = -1};

__attribute__((visibility("default"))) host_device_bytes rbc_host_device_bytes;
host_device_bytes rbc_host_device_bytes;

/* ---- devices and contexts ---- */

static struct CUctx_st contexts[HOST_DEVICE_COUNT];

enum { MAX_PUSHED = 16 };
static _Thread_local CUcontext pushed[MAX_PUSHED];
static _Thread_local int num_pushed;
static _Thread_local int capture_mode; /* 0: global, as a thread begins */

CUcontext host_context(int device) {
    return &contexts[device];
}

CUcontext host_current(void) {
    return num_pushed > 0 ? pushed[num_pushed - 1] : NULL;
}

CUresult host_may_fail(void) {
    if (atomic_load(&rbc_host_device.fail_after) < 0) {
        return 0;
    }
    return atomic_fetch_sub(&rbc_host_device.fail_after, 1) == 0 ? OUT_OF_MEMORY : 0;
}

CUresult host_check_allowed(void) {
    if (atomic_load(&rbc_host_device.is_capturing) &&
        capture_mode != RBC__CU_CAPTURE_MODE_RELAXED) {
        atomic_fetch_add(&rbc_host_device.num_forbidden, 1);
        return CAPTURE_UNSUPPORTED;
    }
    return 0;
}

void host_count_wait(void) {
    atomic_fetch_add(&rbc_host_device.num_waits, 1);
    if ((unsigned long)pthread_self() == atomic_load(&rbc_host_device.watched)) {
        atomic_fetch_add(&rbc_host_device.watched_waits, 1);
    }
}

STUB cuGetErrorName(CUresult error, const char **name) {
    *name = error == OUT_OF_MEMORY         ? "CUDA_ERROR_OUT_OF_MEMORY"
            : error == CAPTURE_UNSUPPORTED ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"
                                           : "CUDA_ERROR_OF_STAND_IN";
    return 0;
}

STUB cuGetErrorString(CUresult error, const char **text) {
    (void)error;
    *text = "the stand-in says so";
    return 0;
}

STUB cuInit(unsigned flags) {
    for (int i = 0; i < HOST_DEVICE_COUNT; ++i) {
        contexts[i].device = i;
    }
    return flags == 0 ? 0 : INVALID_VALUE;
}

STUB cuDriverGetVersion(int *version) {
    *version = 13000;
    return 0;
}

STUB cuDeviceGetCount(int *count) {
    *count = HOST_DEVICE_COUNT;
    return 0;
}

STUB cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal >= 0 && ordinal < HOST_DEVICE_COUNT ? 0 : INVALID_DEVICE;
}

STUB cuDeviceGetName(char *name, int bytes, CUdevice device) {
    (void)device;
    strncpy(name, "The host", (size_t)bytes);
    return 0;
}

STUB cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    (void)device;
    *value = attribute == RBC__CU_ATTRIBUTE_CAPABILITY_MAJOR   ? 8
             : attribute == RBC__CU_ATTRIBUTE_CAPABILITY_MINOR ? 0
                                                               : 4;
    return 0;
}

STUB cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    (void)device;
    *flags = 0;
    *active = 1;
    return 0;
}

STUB cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = &contexts[device];
    return 0;
}

STUB cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    (void)device;
    return 0;
}

STUB cuCtxGetCurrent(CUcontext *context) {
    *context = host_current();
    return 0;
}

STUB cuCtxPushCurrent_v2(CUcontext context) {
    if (num_pushed == MAX_PUSHED) {
        return INVALID_VALUE;
    }
    pushed[num_pushed++] = context;
    return 0;
}

STUB cuCtxPopCurrent_v2(CUcontext *context) {
    *context = host_current();
    if (num_pushed == 0) {
        return INVALID_CONTEXT;
    }
    --num_pushed;
    return 0;
}

STUB cuThreadExchangeStreamCaptureMode(int *mode) {
    const int before = capture_mode;
    capture_mode = *mode;
    *mode = before;
    return 0;
}

/* ---- kernels ---- */

STUB cuModuleLoadData(CUmodule *out, const void *image) {
    static char module;
    (void)image;
    *out = (CUmodule)(void *)&module;
    return host_check_allowed();
}

STUB cuModuleGetFunction(CUfunction *out, CUmodule from, const char *name) {
    static struct CUfunc_st functions[256];
    static int count;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    (void)from;
    pthread_mutex_lock(&lock);
    functions[count].name = name;
    *out = &functions[count++];
    pthread_mutex_unlock(&lock);
    return 0;
}

STUB cuFuncGetAttribute(int *value, int attribute, CUfunction of) {
    (void)of;
    *value = attribute == RBC__CU_FUNC_PTX_VERSION ? 80 : 1024;
    return 0;
}

STUB cuFuncSetAttribute(CUfunction of, int attribute, int value) {
    (void)of;
    (void)attribute;
    (void)value;
    return 0;
}

/* ---- memory ---- */

/* Freed memory is found out by sanitizers; the size stands in front. */
enum { FRONT = 256 };

void *host_allocate(size_t bytes, atomic_llong *sum) {
    char *memory = aligned_alloc(FRONT, FRONT + (bytes + FRONT - 1) / FRONT * FRONT);
    if (memory == NULL) {
        return NULL;
    }
    *(size_t *)(void *)memory = bytes;
    memset(memory + FRONT, 0xa5, bytes);
    atomic_fetch_add(sum, (long long)bytes);
    return memory + FRONT;
}

void host_release(void *memory, atomic_llong *sum) {
    if (memory != NULL) {
        char *front = (char *)memory - FRONT;
        atomic_fetch_sub(sum, (long long)*(size_t *)(void *)front);
        free(front);
    }
}

void *host_address(CUdeviceptr address) {
    return (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

STUB cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    CUresult result = host_check_allowed();
    result = result == 0 ? host_may_fail() : result;
    void *memory = result == 0 ? host_allocate(bytes, &rbc_host_device_bytes.on_device) : NULL;
    *address = (CUdeviceptr)(uintptr_t)memory;
    return result != 0 ? result : memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFree_v2(CUdeviceptr address) {
    const CUresult result = host_check_allowed();
    if (result == 0) {
        host_release(host_address(address), &rbc_host_device_bytes.on_device);
    }
    return result;
}

STUB cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    CUresult result = host_check_allowed();
    result = result == 0 ? host_may_fail() : result;
    *memory = result == 0 ? host_allocate(bytes, &rbc_host_device_bytes.pinned) : NULL;
    return result != 0 ? result : *memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFreeHost(void *memory) {
    const CUresult result = host_check_allowed();
    if (result == 0) {
        host_release(memory, &rbc_host_device_bytes.pinned);
    }
    return result;
}

/* ---- graphs: there are none, and callers launch without ---- */

STUB cuStreamIsCapturing(CUstream stream, int *status) {
    *status = atomic_load(&rbc_host_device.captured) == (unsigned long)(uintptr_t)stream;
    return 0;
}

STUB cuStreamGetCaptureInfo_v2(CUstream stream, int *status, uint64_t *id, CUgraph *graph,
                               const CUgraphNode **dependencies, size_t *count) {
    (void)stream;
    *status = RBC__CU_CAPTURE_STATUS_NONE;
    *id = 0;
    *graph = NULL;
    *dependencies = NULL;
    *count = 0;
    return 0;
}

STUB cuStreamBeginCapture_v2(CUstream stream, int mode) {
    (void)stream;
    (void)mode;
    return NOT_SUPPORTED;
}

STUB cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    (void)stream;
    *graph = NULL;
    return NOT_SUPPORTED;
}

STUB cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    (void)graph;
    (void)flags;
    *executable = NULL;
    return NOT_SUPPORTED;
}

STUB cuGraphExecKernelNodeSetParams_v2(CUgraphExec executable, CUgraphNode node,
                                       const CUkernelNodeParams *params) {
    (void)executable;
    (void)node;
    (void)params;
    return NOT_SUPPORTED;
}

STUB cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    (void)executable;
    (void)stream;
    return NOT_SUPPORTED;
}

STUB cuGraphExecDestroy(CUgraphExec executable) {
    (void)executable;
    return 0;
}

STUB cuGraphDestroy(CUgraph graph) {
    (void)graph;
    return 0;
}

STUB cuUserObjectCreate(CUuserObject *object, void *memory, void (*destroy)(void *memory),
                        unsigned references, unsigned flags) {
    (void)object;
    (void)memory;
    (void)destroy;
    (void)references;
    (void)flags;
    return NOT_SUPPORTED;
}

STUB cuGraphRetainUserObject(CUgraph graph, CUuserObject object, unsigned count, unsigned flags) {
    (void)graph;
    (void)object;
    (void)count;
    (void)flags;
    return NOT_SUPPORTED;
}
