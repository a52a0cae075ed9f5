#include "cuda/runtime/staging.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/runtime/pipe.h"

enum {
    LEAST_BYTES = 1 << 20,
    MOST_READ_OUT = 4, /* calls that a device may be behind the host */
};

typedef enum use {
    IDLE = 0,     /* nobody reads it */
    IN_HAND = 1,  /* taken and not given back, or held by a graph */
    READ_OUT = 2, /* nobody does once `event` has passed */
} use;

struct rbc__cuda_staging {
    rbc__cuda_staging *next;
    unsigned char *memory;
    uint64_t bytes;
    int32_t device; /* of the event's context */
    CUevent event;
    /* Made when it is first copied; 0 and NULL before, or where there is no memory. */
    CUdeviceptr twin; /* `bytes` of the device */
    CUevent copied;
    uint64_t given; /* the number of the giving back, in order */
    _Atomic(use) use;
};

static rbc__cuda_stagings shared;
static _Atomic uint64_t num_given;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* of those: a pipe is one thread's */

static bool is_free(const rbc__cuda_driver *driver, const rbc__cuda_staging *staging) {
    const use now = atomic_load_explicit(&staging->use, memory_order_acquire);
    return now == IDLE || (now == READ_OUT && driver->event_query(staging->event) == 0);
}

static rbc__cuda_stagings *stagings_of(const rbc__cuda_queue *queue) {
    return queue->pipe != NULL ? rbc__cuda_pipe_stagings(queue->pipe) : &shared;
}

static rbc__cuda_staging *find(const rbc__cuda_queue *queue, uint64_t bytes) {
    for (rbc__cuda_staging *s = stagings_of(queue)->first; s != NULL; s = s->next) {
        if (s->device == queue->device->id && s->bytes >= bytes && is_free(queue->driver, s)) {
            return s;
        }
    }
    return NULL;
}

/* Where the device is far behind, waits until it has read one of those given back. */
static void keep_few(const rbc__cuda_queue *queue) {
    const rbc__cuda_staging *oldest = NULL;
    int count = 0;
    for (const rbc__cuda_staging *s = stagings_of(queue)->first; s != NULL; s = s->next) {
        if (s->device == queue->device->id && s->use == READ_OUT) {
            ++count;
            oldest = oldest == NULL || s->given < oldest->given ? s : oldest;
        }
    }
    if (count >= MOST_READ_OUT) {
        (void)queue->driver->event_synchronize(oldest->event);
    }
}

static void drop_twin(const rbc__cuda_driver *driver, rbc__cuda_staging *staging) {
    if (staging->copied != NULL) {
        (void)driver->event_destroy(staging->copied);
    }
    if (staging->twin != 0) {
        (void)driver->mem_free(staging->twin);
    }
    staging->copied = NULL;
    staging->twin = 0;
}

static void drop(const rbc__cuda_driver *driver, rbc__cuda_staging *staging) {
    drop_twin(driver, staging);
    (void)driver->event_destroy(staging->event);
    (void)driver->mem_free_host(staging->memory);
    free(staging);
}

/* Those that are too small and that nobody reads are not kept beside a larger one. */
static void drop_smaller(const rbc__cuda_queue *queue, uint64_t bytes) {
    rbc__cuda_stagings *stagings = stagings_of(queue);
    for (rbc__cuda_staging **at = &stagings->first; *at != NULL;) {
        rbc__cuda_staging *s = *at;
        if (s->device == queue->device->id && s->bytes < bytes && is_free(queue->driver, s)) {
            *at = s->next;
            stagings->bytes -= (int64_t)s->bytes;
            drop(queue->driver, s);
        } else {
            at = &s->next;
        }
    }
}

static rbc_status create(const rbc__cuda_queue *queue, uint64_t bytes, rbc__cuda_staging **out,
                         rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    rbc__cuda_staging *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to stage a copy to the device");
    }
    /* Some more, so that a slightly larger batch next time fits. */
    s->bytes = (uint64_t)rbc__max64((int64_t)(bytes + bytes / 4), LEAST_BYTES);
    s->device = queue->device->id;
    void *memory = NULL;
    CUresult result = driver->mem_host_alloc(&memory, s->bytes, RBC__CU_MEM_HOST_PORTABLE);
    if (result == 0) {
        result = driver->event_create(&s->event, RBC__CU_EVENT_DISABLE_TIMING);
        if (result != 0) {
            (void)driver->mem_free_host(memory);
        }
    }
    if (result != 0) {
        free(s);
        return rbc__cuda_fail(driver, result, err, "%llu bytes of pinned host memory",
                              (unsigned long long)bytes);
    }
    s->memory = memory;
    rbc__cuda_stagings *stagings = stagings_of(queue);
    s->next = stagings->first;
    stagings->first = s;
    stagings->bytes += (int64_t)s->bytes;
    *out = s;
    return RBC_OK;
}

rbc_status rbc__cuda_staging_take(rbc__cuda_queue *queue, uint64_t bytes, rbc__cuda_staging **out,
                                  unsigned char **memory, rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    if (driver->mem_host_alloc == NULL || driver->mem_free_host == NULL ||
        driver->event_create == NULL || driver->event_query == NULL ||
        driver->event_record == NULL || driver->event_destroy == NULL ||
        driver->event_synchronize == NULL || driver->user_object_create == NULL ||
        driver->graph_retain_user_object == NULL) {
        return rbc__fail(
            err, RBC_ERROR_UNSUPPORTED,
            "the CUDA driver (%d.%d) lacks functions that copying beside other work needs",
            driver->version / 1000, driver->version % 1000 / 10);
    }
    const bool is_shared = queue->pipe == NULL;
    /* Asking and allocating are no work of the stream, which may be captured. */
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    if (is_shared) {
        (void)pthread_mutex_lock(&mutex);
    }
    rbc_status status = RBC_OK;
    *out = find(queue, bytes);
    if (*out == NULL && is_shared) { /* a pipe is waited for before there are many */
        keep_few(queue);
        *out = find(queue, bytes);
    }
    if (*out == NULL) {
        drop_smaller(queue, bytes);
        status = create(queue, bytes, out, err);
    }
    if (*out != NULL) {
        atomic_store_explicit(&(*out)->use, IN_HAND, memory_order_relaxed);
        *memory = (*out)->memory;
    }
    if (is_shared) {
        (void)pthread_mutex_unlock(&mutex);
    }
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    return status;
}

void rbc__cuda_staging_release(rbc__cuda_staging *staging) {
    atomic_store_explicit(&staging->use, IDLE, memory_order_release);
}

/* ---- copying -------------------------------------------------------------------------------- */

static bool has_twin(const rbc__cuda_queue *queue, rbc__cuda_staging *staging) {
    const rbc__cuda_driver *driver = queue->driver;
    if (staging->twin != 0) {
        return true;
    }
    if (driver->mem_alloc == NULL || driver->mem_free == NULL || driver->stream_destroy == NULL ||
        driver->stream_wait_event == NULL) {
        return false;
    }
    int mode = RBC__CU_CAPTURE_MODE_RELAXED; /* allocating is no work of a stream */
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    const bool is_made =
        rbc__cuda_device_copies(driver, queue->device) != NULL &&
        driver->event_create(&staging->copied, RBC__CU_EVENT_DISABLE_TIMING) == 0 &&
        driver->mem_alloc(&staging->twin, staging->bytes) == 0;
    if (!is_made) {
        drop_twin(driver, staging);
    }
    (void)driver->thread_exchange_stream_capture_mode(&mode);
    return is_made;
}

static CUresult copy_beside(const rbc__cuda_queue *queue, const rbc__cuda_staging *staging,
                            uint64_t bytes) {
    const rbc__cuda_driver *driver = queue->driver;
    CUstream copies = atomic_load_explicit(&queue->device->copies, memory_order_acquire);
    CUresult result = driver->memcpy_htod_async(staging->twin, staging->memory, bytes, copies);
    if (result == 0) {
        result = driver->event_record(staging->copied, copies);
    }
    return result == 0 ? driver->stream_wait_event(queue->cu_stream, staging->copied, 0) : result;
}

rbc_status rbc__cuda_staging_copy(rbc__cuda_queue *queue, rbc__cuda_staging *staging,
                                  uint64_t bytes, void *otherwise, unsigned char **where,
                                  rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    int capturing = 0;
    CUresult result = driver->stream_is_capturing(queue->cu_stream, &capturing);
    if (result == 0 && capturing == 0 && queue->pipe == NULL && has_twin(queue, staging)) {
        *where = (unsigned char *)(uintptr_t)staging->twin;
        result = copy_beside(queue, staging, bytes);
    } else if (result == 0) {
        *where = otherwise;
        result = driver->memcpy_htod_async((CUdeviceptr)(uintptr_t)otherwise, staging->memory,
                                           bytes, queue->cu_stream);
    }
    return result == 0 ? RBC_OK : rbc__cuda_fail(driver, result, err, "copying to the device");
}

/* ---- giving back ---------------------------------------------------------------------------- */

/* Called by the driver when a graph is gone. */
static void released_by_graph(void *staging) {
    rbc__cuda_staging_release(staging);
}

static rbc_status give_to_graph(const rbc__cuda_queue *queue, rbc__cuda_staging *staging,
                                CUgraph graph, rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    CUuserObject object = NULL;
    CUresult result = driver->user_object_create(&object, staging, released_by_graph, 1,
                                                 RBC__CU_USER_OBJECT_NO_DESTRUCTOR_SYNC);
    if (result == 0) {
        result = driver->graph_retain_user_object(graph, object, 1, RBC__CU_GRAPH_USER_OBJECT_MOVE);
    }
    return result == 0
               ? RBC_OK
               : rbc__cuda_fail(driver, result, err, "keeping staged bytes for a captured graph");
}

rbc_status rbc__cuda_staging_give(rbc__cuda_queue *queue, rbc__cuda_staging *staging,
                                  rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    int status = RBC__CU_CAPTURE_STATUS_NONE;
    uint64_t id = 0;
    CUgraph graph = NULL;
    const CUgraphNode *last = NULL;
    size_t count = 0;
    CUresult result =
        driver->stream_get_capture_info(queue->cu_stream, &status, &id, &graph, &last, &count);
    if (result == 0 && status != RBC__CU_CAPTURE_STATUS_NONE) {
        return give_to_graph(queue, staging, graph, err);
    }
    if (result == 0) {
        result = driver->event_record(staging->event, queue->cu_stream);
    }
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuEventRecord");
    }
    staging->given = ++num_given;
    atomic_store_explicit(&staging->use, READ_OUT, memory_order_release);
    return RBC_OK;
}

void rbc__cuda_stagings_drop(const rbc__cuda_driver *driver, rbc__cuda_stagings *stagings) {
    while (stagings->first != NULL) {
        rbc__cuda_staging *s = stagings->first;
        stagings->first = s->next;
        drop(driver, s);
    }
    stagings->bytes = 0;
}
