#define _POSIX_C_SOURCE 200809L

#include "host_device.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "align_passes.h"
#include "cuda/runtime/driver.h"
#include "image_passes.h"
#include "jpeg_kernels.h"
#include "voxel_kernels.h"

enum {
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    INVALID_VALUE = 1,
    INVALID_DEVICE = 101,
    NOT_READY = 600,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    MAX_PARAMETER_BYTES = 4096,
};

__attribute__((visibility("default"))) host_device rbc_host_device;
host_device rbc_host_device = {.fail_after = -1};

__attribute__((visibility("default"))) host_device_bytes rbc_host_device_bytes;
host_device_bytes rbc_host_device_bytes;

#define STUB __attribute__((visibility("default"))) CUresult

#define X(need, name, symbol, parameters) STUB symbol parameters;
#include "cuda/runtime/driver_symbols.def"
#undef X

/* ---- devices and contexts ---- */

struct CUctx_st {
    int device;
};

static struct CUctx_st contexts[HOST_DEVICE_COUNT];

enum { MAX_PUSHED = 16 };
static _Thread_local CUcontext pushed[MAX_PUSHED];
static _Thread_local int num_pushed;
static _Thread_local int capture_mode; /* 0: global, as a thread begins */

static CUcontext current(void) {
    return num_pushed > 0 ? pushed[num_pushed - 1] : NULL;
}

static CUresult may_fail(void) {
    if (atomic_load(&rbc_host_device.fail_after) < 0) {
        return 0;
    }
    return atomic_fetch_sub(&rbc_host_device.fail_after, 1) == 0 ? OUT_OF_MEMORY : 0;
}

/* Of calls that allocate or wait, which end a capture unless their thread says that they may be. */
static CUresult check_allowed(void) {
    if (atomic_load(&rbc_host_device.is_capturing) &&
        capture_mode != RBC__CU_CAPTURE_MODE_RELAXED) {
        atomic_fetch_add(&rbc_host_device.num_forbidden, 1);
        return CAPTURE_UNSUPPORTED;
    }
    return 0;
}

static void count_wait(void) {
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
    *context = current();
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
    *context = current();
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

struct CUfunc_st {
    const char *name;
};

STUB cuModuleLoadData(CUmodule *out, const void *image) {
    static char module;
    (void)image;
    *out = (CUmodule)(void *)&module;
    return check_allowed();
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

static void *allocate(size_t bytes, atomic_llong *sum) {
    char *memory = aligned_alloc(FRONT, FRONT + (bytes + FRONT - 1) / FRONT * FRONT);
    if (memory == NULL) {
        return NULL;
    }
    *(size_t *)(void *)memory = bytes;
    memset(memory + FRONT, 0xa5, bytes);
    atomic_fetch_add(sum, (long long)bytes);
    return memory + FRONT;
}

static void release(void *memory, atomic_llong *sum) {
    if (memory != NULL) {
        char *front = (char *)memory - FRONT;
        atomic_fetch_sub(sum, (long long)*(size_t *)(void *)front);
        free(front);
    }
}

static void *address_of(CUdeviceptr address) {
    return (void *)(uintptr_t)address; // NOLINT(performance-no-int-to-ptr)
}

STUB cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    CUresult result = check_allowed();
    result = result == 0 ? may_fail() : result;
    void *memory = result == 0 ? allocate(bytes, &rbc_host_device_bytes.on_device) : NULL;
    *address = (CUdeviceptr)(uintptr_t)memory;
    return result != 0 ? result : memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFree_v2(CUdeviceptr address) {
    const CUresult result = check_allowed();
    if (result == 0) {
        release(address_of(address), &rbc_host_device_bytes.on_device);
    }
    return result;
}

STUB cuMemHostAlloc(void **memory, size_t bytes, unsigned flags) {
    (void)flags;
    CUresult result = check_allowed();
    result = result == 0 ? may_fail() : result;
    *memory = result == 0 ? allocate(bytes, &rbc_host_device_bytes.pinned) : NULL;
    return result != 0 ? result : *memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFreeHost(void *memory) {
    const CUresult result = check_allowed();
    if (result == 0) {
        release(memory, &rbc_host_device_bytes.pinned);
    }
    return result;
}

/* ---- events ---- */

struct CUevent_st {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t recorded, done;
    int references; /* the handle, and what is queued */
};

STUB cuEventCreate(CUevent *out, unsigned flags) {
    (void)flags;
    const CUresult result = may_fail();
    if (result != 0) {
        return result;
    }
    CUevent event = calloc(1, sizeof *event);
    pthread_mutex_init(&event->lock, NULL);
    pthread_cond_init(&event->changed, NULL);
    event->references = 1;
    atomic_fetch_add(&rbc_host_device.num_events, 1);
    *out = event;
    return 0;
}

static void event_hold(CUevent event) {
    pthread_mutex_lock(&event->lock);
    ++event->references;
    pthread_mutex_unlock(&event->lock);
}

static void event_drop(CUevent event) {
    pthread_mutex_lock(&event->lock);
    const bool is_last = --event->references == 0;
    pthread_mutex_unlock(&event->lock);
    if (is_last) {
        pthread_mutex_destroy(&event->lock);
        pthread_cond_destroy(&event->changed);
        free(event);
        atomic_fetch_sub(&rbc_host_device.num_events, 1);
    }
}

static void event_wait(CUevent event, uint64_t target) {
    pthread_mutex_lock(&event->lock);
    while (event->done < target) {
        pthread_cond_wait(&event->changed, &event->lock);
    }
    pthread_mutex_unlock(&event->lock);
}

STUB cuEventDestroy_v2(CUevent event) {
    event_drop(event);
    return 0;
}

STUB cuEventQuery(CUevent event) {
    const CUresult result = check_allowed();
    if (result != 0) {
        return result;
    }
    pthread_mutex_lock(&event->lock);
    const bool is_done = event->done == event->recorded;
    pthread_mutex_unlock(&event->lock);
    return is_done ? 0 : NOT_READY;
}

STUB cuEventSynchronize(CUevent event) {
    const CUresult result = check_allowed();
    if (result != 0) {
        return result;
    }
    count_wait();
    pthread_mutex_lock(&event->lock);
    const uint64_t target = event->recorded;
    pthread_mutex_unlock(&event->lock);
    event_wait(event, target);
    return 0;
}

/* ---- streams ---- */

typedef enum work_kind {
    WORK_COPY,
    WORK_FILL,
    WORK_RECORD,
    WORK_WAIT,
    WORK_LAUNCH,
    WORK_FREE,
    WORK_END
} work_kind;

typedef struct work {
    struct work *next;
    work_kind kind;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    CUevent event;
    uint64_t target;
    const char *kernel;
    unsigned blocks;
    _Alignas(16) char parameters[MAX_PARAMETER_BYTES];
} work;

struct CUstream_st {
    int device;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    work *first, *last;
    uint64_t queued, done;
    CUresult error;
};

static void pause_a_little(unsigned *state) {
    const int most = atomic_load(&rbc_host_device.max_pause_us);
    *state = *state * 1664525U + 1013904223U;
    if (most > 0 && *state >> 30 != 0) {
        const struct timespec pause = {.tv_nsec = (long)(*state >> 8) % most * 1000L};
        nanosleep(&pause, NULL);
    }
}

static bool run_kernel(const char *name, unsigned blocks, const void *parameters) {
    return align_passes_run(name, blocks, parameters) ||
           image_passes_run(name, blocks, parameters) ||
           jpeg_kernels_run(name, blocks, parameters) || voxel_kernels_run(name, parameters);
}

static CUresult do_work(const work *w) {
    switch (w->kind) {
    case WORK_COPY:
        memcpy(w->to, w->from, w->bytes);
        return 0;
    case WORK_FILL:
        memset(w->to, w->value, w->bytes);
        return 0;
    case WORK_RECORD:
        pthread_mutex_lock(&w->event->lock);
        w->event->done = w->target > w->event->done ? w->target : w->event->done;
        pthread_cond_broadcast(&w->event->changed);
        pthread_mutex_unlock(&w->event->lock);
        event_drop(w->event);
        return 0;
    case WORK_WAIT:
        event_wait(w->event, w->target);
        event_drop(w->event);
        return 0;
    case WORK_LAUNCH:
        return run_kernel(w->kernel, w->blocks, w->parameters) ? 0 : LAUNCH_FAILED;
    case WORK_FREE:
        release(w->to, &rbc_host_device_bytes.on_device);
        return 0;
    case WORK_END:
        break;
    }
    return 0;
}

static void *run_stream(void *argument) {
    CUstream stream = argument;
    unsigned state = (unsigned)(uintptr_t)stream;
    bool is_over = false;
    while (!is_over) {
        pthread_mutex_lock(&stream->lock);
        while (stream->first == NULL) {
            pthread_cond_wait(&stream->changed, &stream->lock);
        }
        work *w = stream->first;
        pthread_mutex_unlock(&stream->lock);
        pause_a_little(&state);
        while (atomic_load(&rbc_host_device.held) == (unsigned long)(uintptr_t)stream) {
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        }
        const CUresult result = do_work(w);
        is_over = w->kind == WORK_END;
        pthread_mutex_lock(&stream->lock);
        stream->first = w->next;
        stream->last = stream->first == NULL ? NULL : stream->last;
        ++stream->done;
        stream->error = stream->error != 0 ? stream->error : result;
        pthread_cond_broadcast(&stream->changed);
        pthread_mutex_unlock(&stream->lock);
        free(w);
    }
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->changed);
    free(stream);
    atomic_fetch_sub(&rbc_host_device.num_streams, 1);
    return NULL;
}

static CUstream new_stream(int device) {
    CUstream stream = calloc(1, sizeof *stream);
    stream->device = device;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_cond_init(&stream->changed, NULL);
    atomic_fetch_add(&rbc_host_device.num_streams, 1);
    pthread_create(&stream->thread, NULL, run_stream, stream);
    pthread_detach(stream->thread);
    return stream;
}

/* The stream that a handle means: NULL and the special ones are the current device's own. */
static CUstream stream_of(CUstream handle) {
    static CUstream defaults[HOST_DEVICE_COUNT];
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    if ((uintptr_t)handle > RBC__CU_LAST_SPECIAL_STREAM) {
        return handle;
    }
    if (current() == NULL) {
        return NULL;
    }
    CUstream *own = &defaults[current()->device];
    pthread_mutex_lock(&lock);
    if (*own == NULL) {
        *own = new_stream(current()->device);
    }
    pthread_mutex_unlock(&lock);
    return *own;
}

/* Queues a copy of `what`; the bytes of its parameters apart, which may be few. */
static CUresult queue_work(CUstream handle, const work *what, const void *parameters,
                           size_t parameter_bytes) {
    const CUresult failed = what->kind == WORK_END ? 0 : may_fail();
    CUstream stream = stream_of(handle);
    if (failed != 0 || stream == NULL) {
        return failed != 0 ? failed : INVALID_CONTEXT;
    }
    work *w = malloc(sizeof *w);
    memcpy(w, what, offsetof(work, parameters));
    if (parameters != NULL) {
        memcpy(w->parameters, parameters, parameter_bytes);
    }
    w->next = NULL;
    pthread_mutex_lock(&stream->lock);
    const CUresult error = stream->error;
    if (w->kind == WORK_RECORD) {
        pthread_mutex_lock(&w->event->lock);
        w->target = ++w->event->recorded;
        ++w->event->references;
        pthread_mutex_unlock(&w->event->lock);
    }
    *(stream->last != NULL ? &stream->last->next : &stream->first) = w;
    stream->last = w;
    ++stream->queued;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return error;
}

STUB cuStreamCreate(CUstream *stream, unsigned flags) {
    (void)flags;
    if (current() == NULL) {
        return INVALID_CONTEXT;
    }
    *stream = new_stream(current()->device);
    return check_allowed();
}

STUB cuStreamDestroy_v2(CUstream stream) {
    const work end = {.kind = WORK_END};
    return queue_work(stream, &end, NULL, 0);
}

STUB cuStreamGetCtx(CUstream stream, CUcontext *context) {
    *context = &contexts[stream_of(stream)->device];
    return 0;
}

STUB cuStreamSynchronize(CUstream handle) {
    CUstream stream = stream_of(handle);
    const CUresult allowed = check_allowed();
    if (stream == NULL || allowed != 0) {
        return allowed != 0 ? allowed : INVALID_CONTEXT;
    }
    count_wait();
    pthread_mutex_lock(&stream->lock);
    const uint64_t target = stream->queued;
    while (stream->done < target) {
        pthread_cond_wait(&stream->changed, &stream->lock);
    }
    const CUresult error = stream->error;
    pthread_mutex_unlock(&stream->lock);
    return error;
}

STUB cuEventRecord(CUevent event, CUstream stream) {
    const work w = {.kind = WORK_RECORD, .event = event};
    return queue_work(stream, &w, NULL, 0);
}

STUB cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
    (void)flags;
    work w = {.kind = WORK_WAIT, .event = event};
    event_hold(event);
    pthread_mutex_lock(&event->lock);
    w.target = event->recorded;
    pthread_mutex_unlock(&event->lock);
    const CUresult result = queue_work(stream, &w, NULL, 0);
    if (result != 0) {
        event_drop(event);
    }
    return result;
}

static CUresult queue_copy(void *to, const void *from, size_t bytes, CUstream stream) {
    const work w = {.kind = WORK_COPY, .to = to, .from = from, .bytes = bytes};
    atomic_fetch_add(&rbc_host_device.num_copies, 1);
    return queue_work(stream, &w, NULL, 0);
}

STUB cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void *source, size_t bytes,
                          CUstream stream) {
    return queue_copy(address_of(destination), source, bytes, stream);
}

STUB cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return queue_copy(destination, address_of(source), bytes, stream);
}

STUB cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return queue_copy(address_of(destination), address_of(source), bytes, stream);
}

STUB cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
    const work w = {.kind = WORK_FILL, .to = address_of(address), .value = value, .bytes = count};
    return queue_work(stream, &w, NULL, 0);
}

STUB cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream) {
    (void)stream;
    void *memory = allocate(bytes, &rbc_host_device_bytes.on_device);
    *address = (CUdeviceptr)(uintptr_t)memory;
    return memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    const work w = {.kind = WORK_FREE, .to = address_of(address)};
    return queue_work(stream, &w, NULL, 0);
}

/* Of the launch of a kernel. */
static size_t parameter_bytes(const char *name) {
    const size_t of_voxels = voxel_kernels_bytes(name);
    return strncmp(name, "rbc__jpeg_", 10) == 0   ? sizeof(jpeg_launch)
           : strcmp(name, "rbc__align_cuda") == 0 ? sizeof(align_launch)
           : of_voxels > 0                        ? of_voxels
                                                  : sizeof(image_launch);
}

STUB cuLaunchKernel(CUfunction of, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                    unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                    CUstream stream, void **parameters, void **extra) {
    (void)block_x;
    (void)block_y;
    (void)block_z;
    (void)grid_z;
    (void)shared_bytes;
    (void)extra;
    const work w = {.kind = WORK_LAUNCH, .kernel = of->name, .blocks = grid_x * grid_y};
    atomic_fetch_add(&rbc_host_device.num_launches, 1);
    return queue_work(stream, &w, parameters[0], parameter_bytes(of->name));
}

STUB cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction of, void **parameters,
                      void **extra) {
    return cuLaunchKernel(of, config->grid_x, config->grid_y, config->grid_z, config->block_x,
                          config->block_y, config->block_z, config->shared_bytes, config->stream,
                          parameters, extra);
}

/* ---- graphs: there are none, and callers launch without ---- */

STUB cuStreamIsCapturing(CUstream stream, int *status) {
    (void)stream;
    *status = 0;
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
