#include "cuda/runtime/pipe.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/error.h"
#include "cuda/runtime/entered.h"
#include "cuda/runtime/memory.h"

/* Memory that grows takes this much more than is asked for, so that it soon grows no more. */
enum { SPARE_PART = 4 };

/* Marks between two waits; what comes behind them is not timed. */
enum { MAX_MARKS = 64 };

/* Waits up to which all work is timed, and of how many one is from then on: with events around all work
 * an H200 did 6 % less of it. Work may take turns from wait to wait, by two or four: 17 meets each. */
enum { ALL_TIMED = 64, ONE_TIMED_OF = 17 };

static const char WHAT[] = "for the rows of a batch"; /* memory is, where it fails */

/* Where one kind of work ends and another begins. */
typedef struct mark {
    CUevent event; /* NULL until first needed */
    int32_t work;
} mark;

struct rbc__pipe {
    const rbc__cuda_driver *driver;
    rbc__cuda_device *device;
    rbc_device_allocator allocator;
    CUstream cu_stream;
    CUevent done; /* that is waited for: waiting for the stream would keep the core */
    bool is_idle; /* nothing was queued since it was waited for */
    rbc__cuda_entered entered;
    void *host;
    CUdeviceptr memory;
    _Atomic int64_t host_bytes, memory_bytes;
    rbc__cuda_stagings stagings;
    mark marks[MAX_MARKS];
    int32_t num_marks;
    int64_t num_waits;
    _Atomic int64_t spent_ns[RBC_NUM_GPU_WORKS];
};

CUstream rbc__cuda_pipe_stream(const rbc__pipe *pipe) {
    return pipe->cu_stream;
}

rbc__cuda_stagings *rbc__cuda_pipe_stagings(rbc__pipe *pipe) {
    return &pipe->stagings;
}

static rbc_status told(const rbc__pipe *pipe, CUresult result, const char *what, rbc_error *err) {
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(pipe->driver, result, err, "%s, CUDA device %d", what,
                                        (int)pipe->device->id);
}

static rbc_status enter(rbc__pipe *pipe, rbc_error *err) {
    return rbc__cuda_entered_begin(pipe->driver, pipe->device, &pipe->entered, err);
}

static void leave(rbc__pipe *pipe) {
    rbc__cuda_entered_end(pipe->driver, &pipe->entered);
}

static bool has_functions(const rbc__cuda_driver *d) {
    return d->mem_host_alloc != NULL && d->mem_free_host != NULL &&
           rbc__cuda_memory_has_functions(d) && d->memcpy_async != NULL &&
           d->memset_d8_async != NULL && d->event_create != NULL && d->event_record != NULL &&
           d->event_elapsed_time != NULL && d->event_synchronize != NULL &&
           d->event_destroy != NULL;
}

static CUresult make_stream(rbc__pipe *pipe) {
    const rbc__cuda_driver *driver = pipe->driver;
    CUresult result = driver->event_create(&pipe->done, RBC__CU_EVENT_DISABLE_TIMING |
                                                            RBC__CU_EVENT_BLOCKING_SYNC);
    if (result == 0) {
        result = driver->stream_create(&pipe->cu_stream, RBC__CU_STREAM_NON_BLOCKING);
        if (result != 0) {
            (void)driver->event_destroy(pipe->done);
        }
    }
    return result;
}

static rbc_status create(int32_t device_id, const rbc_device_allocator *allocator, rbc__pipe **out,
                         rbc_error *err) {
    *out = NULL;
    const rbc__cuda_driver *driver = NULL;
    rbc__cuda_device *device = NULL;
    RBC__TRY(rbc__cuda_device_get(device_id, &driver, &device, err));
    if (!has_functions(driver)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "the CUDA driver (%d.%d) lacks functions that making batches needs",
                         driver->version / 1000, driver->version % 1000 / 10);
    }
    rbc__pipe *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for work on a device");
    }
    pipe->driver = driver;
    pipe->device = device;
    pipe->allocator = *allocator;
    rbc_status status = enter(pipe, err);
    if (status == RBC_OK) {
        status = told(pipe, make_stream(pipe), "a stream to make batches on", err);
        leave(pipe);
    }
    if (status != RBC_OK) {
        free(pipe);
        return status;
    }
    *out = pipe;
    return RBC_OK;
}

static void drop_memory(rbc__pipe *pipe) {
    rbc__cuda_memory_free(pipe->driver, pipe->device, &pipe->allocator, pipe->memory);
    pipe->memory = 0;
    pipe->memory_bytes = 0;
}

static void drop_host(rbc__pipe *pipe) {
    if (pipe->host != NULL) {
        (void)pipe->driver->mem_free_host(pipe->host);
        pipe->host = NULL;
        pipe->host_bytes = 0;
    }
}

static void destroy(rbc__pipe *pipe) {
    if (enter(pipe, NULL) == RBC_OK) {
        (void)pipe->driver->stream_synchronize(pipe->cu_stream);
        drop_memory(pipe);
        drop_host(pipe);
        rbc__cuda_stagings_drop(pipe->driver, &pipe->stagings);
        for (int32_t i = 0; i < MAX_MARKS && pipe->marks[i].event != NULL; ++i) {
            (void)pipe->driver->event_destroy(pipe->marks[i].event);
        }
        (void)pipe->driver->event_destroy(pipe->done);
        (void)pipe->driver->stream_destroy(pipe->cu_stream);
        leave(pipe);
    }
    free(pipe);
}

static void *stream(rbc__pipe *pipe) {
    pipe->is_idle = false;
    return pipe->cu_stream;
}

/* Where an event cannot be recorded what was marked is not timed: the driver says why elsewhere. */
static void mark_work(rbc__pipe *pipe, int32_t work) {
    const bool is_timed = pipe->num_waits < ALL_TIMED || pipe->num_waits % ONE_TIMED_OF == 0;
    const int32_t count = pipe->num_marks;
    const int32_t before = count > 0 ? pipe->marks[count - 1].work : RBC__GPU_NONE;
    if (!is_timed || work == before || count == MAX_MARKS) {
        return;
    }
    mark *m = &pipe->marks[count];
    CUresult result = 0;
    m->work = count < MAX_MARKS - 1 ? work : RBC__GPU_NONE;
    if (m->event == NULL) {
        result = pipe->driver->event_create(&m->event, 0);
        m->event = result == 0 ? m->event : NULL;
    }
    if (result == 0) {
        result = pipe->driver->event_record(m->event, pipe->cu_stream);
    }
    pipe->num_marks = result == 0 ? count + 1 : 0;
}

/* All that is marked is over. It stands for what was not timed, too. */
static void count_marks(rbc__pipe *pipe) {
    const int32_t times = pipe->num_waits < ALL_TIMED ? 1 : ONE_TIMED_OF;
    for (int32_t i = 0; i + 1 < pipe->num_marks; ++i) {
        const mark *m = &pipe->marks[i];
        float milliseconds = 0;
        if (m->work != RBC__GPU_NONE &&
            pipe->driver->event_elapsed_time(&milliseconds, m->event, m[1].event) == 0) {
            pipe->spent_ns[m->work] += (int64_t)((double)milliseconds * 1e6) * times;
        }
    }
}

static void add_times(const rbc__pipe *pipe, int64_t *gpu_ns) {
    for (int32_t i = 0; i < RBC_NUM_GPU_WORKS; ++i) {
        gpu_ns[i] += pipe->spent_ns[i];
    }
}

static rbc_status wait(rbc__pipe *pipe, rbc_error *err) {
    if (pipe->is_idle) {
        return RBC_OK;
    }
    mark_work(pipe, RBC__GPU_NONE);
    CUresult result = pipe->driver->event_record(pipe->done, pipe->cu_stream);
    result = result == 0 ? pipe->driver->event_synchronize(pipe->done)
                         : pipe->driver->stream_synchronize(pipe->cu_stream);
    if (result == 0) {
        count_marks(pipe);
        pipe->is_idle = true;
    }
    pipe->num_marks = 0;
    ++pipe->num_waits;
    return told(pipe, result, "making the rows of a batch", err);
}

static rbc_status grow_host(rbc__pipe *pipe, int64_t bytes, rbc_error *err) {
    const int64_t room = bytes + bytes / SPARE_PART;
    RBC__TRY(wait(pipe, err));
    drop_host(pipe);
    const CUresult result =
        pipe->driver->mem_host_alloc(&pipe->host, (size_t)room, RBC__CU_MEM_HOST_PORTABLE);
    if (result != 0) {
        pipe->host = NULL;
        return rbc__cuda_memory_fail(pipe->driver, pipe->device, result, room, WHAT,
                                     "pinned host memory", err);
    }
    pipe->host_bytes = room;
    return RBC_OK;
}

static rbc_status grow_memory(rbc__pipe *pipe, int64_t bytes, rbc_error *err) {
    const int64_t room = bytes + bytes / SPARE_PART;
    RBC__TRY(wait(pipe, err));
    drop_memory(pipe);
    RBC__TRY(rbc__cuda_memory_allocate(pipe->driver, pipe->device, &pipe->allocator, room, WHAT,
                                       &pipe->memory, err));
    pipe->memory_bytes = room;
    return RBC_OK;
}

static rbc_status reserve(rbc__pipe *pipe, int64_t host_bytes, int64_t device_bytes,
                          rbc__pipe_memory *out, rbc_error *err) {
    RBC__TRY(host_bytes > pipe->host_bytes ? grow_host(pipe, host_bytes, err) : RBC_OK);
    RBC__TRY(device_bytes > pipe->memory_bytes ? grow_memory(pipe, device_bytes, err) : RBC_OK);
    out->host = pipe->host;
    out->device = (uint8_t *)(uintptr_t)pipe->memory; // NOLINT(performance-no-int-to-ptr)
    return RBC_OK;
}

static rbc_status copy(rbc__pipe *pipe, void *to, const void *from, int64_t bytes, rbc_error *err) {
    pipe->is_idle = false;
    const CUresult result = pipe->driver->memcpy_async(
        (CUdeviceptr)(uintptr_t)to, (CUdeviceptr)(uintptr_t)from, (size_t)bytes, pipe->cu_stream);
    return told(pipe, result, "copying to a batch", err);
}

static rbc_status clear(rbc__pipe *pipe, void *to, int64_t bytes, rbc_error *err) {
    pipe->is_idle = false;
    const CUresult result = pipe->driver->memset_d8_async((CUdeviceptr)(uintptr_t)to, 0,
                                                          (size_t)bytes, pipe->cu_stream);
    return told(pipe, result, "clearing rows of a batch", err);
}

static void count(const rbc__pipe *pipe, int64_t *host_bytes, int64_t *device_bytes) {
    *host_bytes = pipe->host_bytes + pipe->stagings.bytes;
    *device_bytes = pipe->memory_bytes;
}

const rbc__pipe_ops rbc__cuda_pipe_ops = {
    .create = create,
    .destroy = destroy,
    .enter = enter,
    .leave = leave,
    .stream = stream,
    .reserve = reserve,
    .copy = copy,
    .clear = clear,
    .mark = mark_work,
    .wait = wait,
    .count = count,
    .add_times = add_times,
};
