/* Streams of the stand-in, their events, and what is queued on them. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "align_passes.h"
#include "host_driver.h"
#include "image_passes.h"
#include "jpeg_kernels.h"
#include "voxel_kernels.h"

enum { MAX_PARAMETER_BYTES = 4096 };

/* ---- events ---- */

struct CUevent_st {
    bool is_timed;
    int64_t at_ns; /* by the clock of the stream that recorded it last */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t recorded, done;
    int references; /* the handle, and what is queued */
};

static CUresult check_current(void) {
    if (host_current() != NULL) {
        return 0;
    }
    atomic_fetch_add(&rbc_host_device.num_astray, 1);
    return INVALID_CONTEXT;
}

STUB cuEventCreate(CUevent *out, unsigned flags) {
    const CUresult current = check_current();
    const CUresult result = current == 0 ? host_may_fail() : current;
    if (result != 0) {
        return result;
    }
    CUevent event = calloc(1, sizeof *event);
    pthread_mutex_init(&event->lock, NULL);
    pthread_cond_init(&event->changed, NULL);
    event->references = 1;
    event->is_timed = (flags & RBC__CU_EVENT_DISABLE_TIMING) == 0;
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
    const CUresult result = host_check_allowed();
    if (result != 0) {
        return result;
    }
    pthread_mutex_lock(&event->lock);
    const bool is_done = event->done == event->recorded;
    pthread_mutex_unlock(&event->lock);
    return is_done ? 0 : NOT_READY;
}

STUB cuEventElapsedTime(float *milliseconds, CUevent begin, CUevent end) {
    int64_t at_ns[2] = {0};
    CUevent events[] = {begin, end};
    for (int i = 0; i < 2; ++i) {
        if (!events[i]->is_timed) {
            return INVALID_VALUE;
        }
        pthread_mutex_lock(&events[i]->lock);
        const bool is_done = events[i]->recorded > 0 && events[i]->done == events[i]->recorded;
        at_ns[i] = events[i]->at_ns;
        pthread_mutex_unlock(&events[i]->lock);
        if (!is_done) {
            return NOT_READY;
        }
    }
    *milliseconds = (float)((double)(at_ns[1] - at_ns[0]) * 1e-6);
    return 0;
}

STUB cuEventSynchronize(CUevent event) {
    const CUresult result = host_check_allowed();
    if (result != 0) {
        return result;
    }
    host_count_wait();
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
    int64_t clock_ns; /* of what it has done, each of which takes as long as is made up here */
    CUresult error;
};

static const int64_t made_up_ns[] = {
    [HOST_DEVICE_JPEG] = HOST_DEVICE_JPEG_NS,
    [HOST_DEVICE_IMAGE] = HOST_DEVICE_IMAGE_NS,
    [HOST_DEVICE_ALIGN] = HOST_DEVICE_ALIGN_NS,
    [HOST_DEVICE_OTHER] = HOST_DEVICE_OTHER_NS,
};

static int kind_of(const char *kernel) {
    return strncmp(kernel, "rbc__jpeg_", 10) == 0    ? HOST_DEVICE_JPEG
           : strncmp(kernel, "rbc__image_", 11) == 0 ? HOST_DEVICE_IMAGE
           : strncmp(kernel, "rbc__align_", 11) == 0 ? HOST_DEVICE_ALIGN
                                                     : HOST_DEVICE_OTHER;
}

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

static CUresult do_work(const work *w, CUstream stream) {
    switch (w->kind) {
    case WORK_COPY:
        stream->clock_ns += HOST_DEVICE_COPY_NS;
        memcpy(w->to, w->from, w->bytes);
        return 0;
    case WORK_FILL:
        memset(w->to, w->value, w->bytes);
        return 0;
    case WORK_RECORD:
        pthread_mutex_lock(&w->event->lock);
        w->event->at_ns = stream->clock_ns;
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
        stream->clock_ns += made_up_ns[kind_of(w->kernel)];
        return run_kernel(w->kernel, w->blocks, w->parameters) ? 0 : LAUNCH_FAILED;
    case WORK_FREE:
        host_release(w->to, &rbc_host_device_bytes.on_device);
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
        const CUresult result = do_work(w, stream);
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
    if (host_current() == NULL) {
        return NULL;
    }
    CUstream *own = &defaults[host_current()->device];
    pthread_mutex_lock(&lock);
    if (*own == NULL) {
        *own = new_stream(host_current()->device);
    }
    pthread_mutex_unlock(&lock);
    return *own;
}

/* Queues a copy of `what`; the bytes of its parameters apart, which may be few. */
static CUresult queue_work(CUstream handle, const work *what, const void *parameters,
                           size_t parameter_bytes) {
    const CUresult failed = what->kind == WORK_END ? 0 : host_may_fail();
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
    if (host_current() == NULL) {
        return INVALID_CONTEXT;
    }
    *stream = new_stream(host_current()->device);
    return host_check_allowed();
}

STUB cuStreamDestroy_v2(CUstream stream) {
    const work end = {.kind = WORK_END};
    return queue_work(stream, &end, NULL, 0);
}

STUB cuStreamGetCtx(CUstream stream, CUcontext *context) {
    *context = host_context(stream_of(stream)->device);
    return 0;
}

STUB cuStreamSynchronize(CUstream handle) {
    CUstream stream = stream_of(handle);
    const CUresult allowed = host_check_allowed();
    if (stream == NULL || allowed != 0) {
        return allowed != 0 ? allowed : INVALID_CONTEXT;
    }
    host_count_wait();
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
    const CUresult current = check_current();
    return current == 0 ? queue_work(stream, &w, NULL, 0) : current;
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
    return queue_copy(host_address(destination), source, bytes, stream);
}

STUB cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return queue_copy(destination, host_address(source), bytes, stream);
}

STUB cuMemcpyAsync(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return queue_copy(host_address(destination), host_address(source), bytes, stream);
}

STUB cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t count, CUstream stream) {
    const work w = {.kind = WORK_FILL, .to = host_address(address), .value = value, .bytes = count};
    return queue_work(stream, &w, NULL, 0);
}

STUB cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream stream) {
    (void)stream;
    void *memory = host_allocate(bytes, &rbc_host_device_bytes.on_device);
    *address = (CUdeviceptr)(uintptr_t)memory;
    return memory != NULL ? 0 : OUT_OF_MEMORY;
}

STUB cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
    const work w = {.kind = WORK_FREE, .to = host_address(address)};
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
    const int kind = kind_of(of->name);
    atomic_fetch_add(&rbc_host_device.num_launches, 1);
    atomic_fetch_add(&rbc_host_device.launches_ns[kind], made_up_ns[kind]);
    return queue_work(stream, &w, parameters[0], parameter_bytes(of->name));
}

STUB cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction of, void **parameters,
                      void **extra) {
    return cuLaunchKernel(of, config->grid_x, config->grid_y, config->grid_z, config->block_x,
                          config->block_y, config->block_z, config->shared_bytes, config->stream,
                          parameters, extra);
}
