#include "cuda/runtime/staged.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "cuda/runtime/entered.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/pipe.h"

enum { FEW_STREAMS = 2 };

struct rbc__transfer {
    const rbc__cuda_driver *driver;
    rbc__cuda_device *device;
    rbc_device_allocator allocator;
    CUstream copies;
    _Atomic int64_t copy_ns;
    /* In flight, in the order in which they were given back. */
    rbc__staged *first_in_flight, *last_in_flight;
    int64_t num_in_flight;
    pthread_mutex_t lock; /* of those, and of the users of a memory while several threads fill it */
    pthread_mutex_t
        front_lock; /* of a front, which is delivered to and given back from any thread */
};

/* A stream that uses a memory, and the end of its work. */
typedef struct user {
    CUstream cu_stream;
    CUevent event; /* NULL until first needed */
    bool is_done;  /* `event` says when */
} user;

struct rbc__staged {
    int64_t bytes, device_bytes; /* `bytes` on the host */
    void *host;
    CUdeviceptr device;
    CUevent begun, sent;   /* around the copy */
    atomic_bool is_untold; /* how long that took has not been counted */
    user *users;           /* [num_users] of [room]; events stay for those that come after */
    int32_t num_users, room;
    int32_t num_marked; /* users whose end was recorded when it was given back */
    bool is_in_flight;  /* among those of the transfer: */
    rbc__staged *next_in_flight;
    bool is_delivered; /* since it was sent, to a front */
    rbc__staged *front;
    const rbc__staged *shown; /* of a front: what was delivered to it last */
};

typedef rbc__cuda_entered entered;

static rbc_status enter(const rbc__transfer *t, entered *out, rbc_error *err) {
    return rbc__cuda_entered_begin(t->driver, t->device, out, err);
}

static void leave(const rbc__transfer *t, entered *e) {
    rbc__cuda_entered_end(t->driver, e);
}

static rbc_status leave_with(const rbc__transfer *t, entered *e, CUresult result, const char *what,
                             rbc_error *err) {
    leave(t, e);
    return result == 0 ? RBC_OK
                       : rbc__cuda_fail(t->driver, result, err, "%s, CUDA device %d", what,
                                        (int)t->device->id);
}

/* ---- the device ---------------------------------------------------------------------------------
 */

static bool has_functions(const rbc__cuda_driver *d) {
    return d->mem_host_alloc != NULL && d->mem_free_host != NULL &&
           rbc__cuda_memory_has_functions(d) && d->event_create != NULL &&
           d->event_record != NULL && d->event_elapsed_time != NULL &&
           d->event_synchronize != NULL && d->event_query != NULL && d->event_destroy != NULL &&
           d->stream_wait_event != NULL && d->memcpy_htod_async != NULL && d->memcpy_async != NULL;
}

static rbc_status create(int32_t device_id, const rbc_device_allocator *allocator,
                         rbc__transfer **out, rbc_error *err) {
    *out = NULL;
    const rbc__cuda_driver *driver = NULL;
    rbc__cuda_device *device = NULL;
    RBC__TRY(rbc__cuda_device_get(device_id, &driver, &device, err));
    if (!has_functions(driver)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "the CUDA driver (%d.%d) lacks functions that copying batches needs",
                         driver->version / 1000, driver->version % 1000 / 10);
    }
    rbc__transfer *t = calloc(1, sizeof *t);
    if (t == NULL || pthread_mutex_init(&t->lock, NULL) != 0 ||
        pthread_mutex_init(&t->front_lock, NULL) != 0) {
        free(t);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to copy batches to a device");
    }
    t->driver = driver;
    t->device = device;
    t->allocator = *allocator;
    entered e;
    rbc_status status = enter(t, &e, err);
    if (status == RBC_OK) {
        const CUresult result = driver->stream_create(&t->copies, RBC__CU_STREAM_NON_BLOCKING);
        status = leave_with(t, &e, result, "cuStreamCreate", err);
    }
    if (status != RBC_OK) {
        pthread_mutex_destroy(&t->lock);
        pthread_mutex_destroy(&t->front_lock);
        free(t);
        return status;
    }
    *out = t;
    return RBC_OK;
}

static void destroy(rbc__transfer *t) {
    entered e;
    if (enter(t, &e, NULL) == RBC_OK) {
        (void)t->driver->stream_destroy(t->copies);
        leave(t, &e);
    }
    pthread_mutex_destroy(&t->lock);
    pthread_mutex_destroy(&t->front_lock);
    free(t);
}

/* ---- memory -------------------------------------------------------------------------------------
 */

/* Whether the user's stream is being captured: what is queued then does not run, and the end of what was
 * queued before cannot be recorded. */
static bool is_captured(const rbc__transfer *t, const user *u) {
    int capturing = RBC__CU_CAPTURE_STATUS_NONE;
    const CUresult result = t->driver->stream_is_capturing(u->cu_stream, &capturing);
    return result == RBC__CU_ERROR_CAPTURE_IMPLICIT ||
           (result == 0 && capturing != RBC__CU_CAPTURE_STATUS_NONE);
}

static bool is_any_captured(const rbc__transfer *t, const rbc__staged *s) {
    bool is_any = false;
    for (int32_t i = 0; i < s->num_users; ++i) {
        is_any = is_any || is_captured(t, &s->users[i]);
    }
    return is_any;
}

/* Records the end of what is queued on the user's stream. */
static bool mark_end(const rbc__transfer *t, const user *u) {
    return !is_captured(t, u) && t->driver->event_record(u->event, u->cu_stream) == 0;
}

/* It is not one of those in flight any more; with the lock held. */
static void leave_flight(rbc__transfer *t, rbc__staged *s) {
    rbc__staged *before = NULL;
    rbc__staged *at = s->is_in_flight ? t->first_in_flight : NULL;
    while (at != NULL && at != s) {
        before = at;
        at = at->next_in_flight;
    }
    if (at == NULL) {
        return;
    }
    *(before != NULL ? &before->next_in_flight : &t->first_in_flight) = s->next_in_flight;
    t->last_in_flight = t->last_in_flight == s ? before : t->last_in_flight;
    s->next_in_flight = NULL;
    s->is_in_flight = false;
    t->num_in_flight--;
}

/* Its users' ends are recorded; with the lock held. */
static void enter_flight(rbc__transfer *t, rbc__staged *s) {
    leave_flight(t, s);
    *(t->last_in_flight != NULL ? &t->last_in_flight->next_in_flight : &t->first_in_flight) = s;
    t->last_in_flight = s;
    s->num_marked = s->num_users;
    s->is_in_flight = true;
    ++t->num_in_flight;
}

static bool is_over(const rbc__transfer *t, const rbc__staged *s) {
    for (int32_t i = 0; i < s->num_marked; ++i) {
        if (t->driver->event_query(s->users[i].event) != 0) {
            return false;
        }
    }
    return true;
}

/* Forgets those whose work is over, in the order in which they were given back; the device is current,
 * with the lock held. */
static void forget_over(rbc__transfer *t) {
    while (t->first_in_flight != NULL && is_over(t, t->first_in_flight)) {
        leave_flight(t, t->first_in_flight);
    }
}

/* Counts how long the copy took, which is over, once. */
static void count_copy(rbc__transfer *t, rbc__staged *s) {
    float milliseconds = 0;
    if (atomic_exchange_explicit(&s->is_untold, false, memory_order_relaxed) &&
        t->driver->event_elapsed_time(&milliseconds, s->begun, s->sent) == 0) {
        t->copy_ns += (int64_t)((double)milliseconds * 1e6);
    }
}

static int64_t copy_ns(const rbc__transfer *t) {
    return t->copy_ns;
}

/* Waits for all that uses it, and frees it; the device is current. */
static void drop(rbc__transfer *t, rbc__staged *s) {
    const rbc__cuda_driver *driver = t->driver;
    (void)pthread_mutex_lock(&t->lock);
    leave_flight(t, s);
    (void)pthread_mutex_unlock(&t->lock);
    for (int32_t i = 0; i < s->room; ++i) {
        if (s->users[i].event != NULL) {
            if (i < s->num_users && !s->users[i].is_done) {
                (void)mark_end(t, &s->users[i]);
            }
            (void)driver->event_synchronize(s->users[i].event);
            (void)driver->event_destroy(s->users[i].event);
        }
    }
    if (s->sent != NULL) {
        (void)driver->event_synchronize(s->sent);
        count_copy(t, s);
        (void)driver->event_destroy(s->sent);
    }
    if (s->begun != NULL) {
        (void)driver->event_destroy(s->begun);
    }
    rbc__cuda_memory_free(driver, t->device, &t->allocator, s->device);
    if (s->host != NULL) {
        (void)driver->mem_free_host(s->host);
    }
    free(s->users);
    free(s);
}

static rbc_status allocate_parts(const rbc__transfer *t, rbc__staged *s, rbc_error *err) {
    static const char what[] = "of a batch";
    const rbc__cuda_driver *driver = t->driver;
    CUresult result = 0;
    if (s->bytes > 0) {
        result = driver->mem_host_alloc(&s->host, (size_t)s->bytes, RBC__CU_MEM_HOST_PORTABLE);
    }
    if (result != 0) {
        s->host = NULL;
        return rbc__cuda_memory_fail(driver, t->device, result, s->bytes, what,
                                     "pinned host memory", err);
    }
    RBC__TRY(rbc__cuda_memory_allocate(driver, t->device, &t->allocator, s->device_bytes, what,
                                       &s->device, err));
    result = driver->event_create(&s->begun, 0);
    s->begun = result == 0 ? s->begun : NULL;
    if (result == 0) {
        result = driver->event_create(&s->sent, RBC__CU_EVENT_BLOCKING_SYNC);
        s->sent = result == 0 ? s->sent : NULL;
    }
    if (result != 0) {
        return rbc__cuda_memory_fail(driver, t->device, result, s->device_bytes, what, "an event",
                                     err);
    }
    return RBC_OK;
}

static rbc_status allocate(rbc__transfer *t, int64_t host_bytes, int64_t device_bytes,
                           rbc__staged **out, rbc_error *err) {
    *out = NULL;
    entered e;
    rbc__staged *s = calloc(1, sizeof *s);
    user *users = calloc(FEW_STREAMS, sizeof *users);
    if (s == NULL || users == NULL || enter(t, &e, NULL) != RBC_OK) {
        free(s);
        free(users);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to stage a batch");
    }
    s->bytes = host_bytes;
    s->device_bytes = device_bytes;
    s->users = users;
    s->room = FEW_STREAMS;
    const rbc_status status = allocate_parts(t, s, err);
    if (status != RBC_OK) {
        drop(t, s);
        leave(t, &e);
        return status;
    }
    leave(t, &e);
    *out = s;
    return RBC_OK;
}

static void release(rbc__transfer *t, rbc__staged *s) {
    entered e;
    if (enter(t, &e, NULL) == RBC_OK) {
        drop(t, s);
        leave(t, &e);
    }
}

static uint8_t *host_part(const rbc__staged *s) {
    return s->host;
}

static uint8_t *device_part(const rbc__staged *s) {
    return (uint8_t *)(uintptr_t)s->device; // NOLINT(performance-no-int-to-ptr)
}

/* ---- going round --------------------------------------------------------------------------------
 */

static rbc_status await(rbc__transfer *t, rbc__staged *s, rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    const CUresult result = t->driver->event_synchronize(s->sent);
    if (result == 0) {
        count_copy(t, s);
    }
    return leave_with(t, &e, result, "waiting for a batch that was sent", err);
}

/* Lets what comes on the stream come behind the work of the users; the device is current. */
static CUresult follow_users(rbc__transfer *t, rbc__staged *s, CUstream cu_stream) {
    CUresult result = 0;
    (void)pthread_mutex_lock(&t->lock);
    for (int32_t i = 0; i < s->num_users && result == 0; ++i) {
        user *u = &s->users[i];
        u->is_done = u->is_done || mark_end(t, u);
        if (u->is_done) {
            result = t->driver->stream_wait_event(cu_stream, u->event, 0);
        } else if (is_captured(t, u)) {
            result = RBC__CU_ERROR_CAPTURE_UNSUPPORTED;
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return result;
}

static rbc_status follow(rbc__transfer *t, rbc__staged *s, rbc__pipe *pipe, rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    const CUresult result = follow_users(t, s, rbc__cuda_pipe_stream(pipe));
    return leave_with(t, &e, result, "waiting for the memory of a batch", err);
}

static rbc_status move(rbc__transfer *t, rbc__staged *s, int64_t to, int64_t from, int64_t bytes,
                       rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    const CUdeviceptr device = s->device;
    const CUresult result = t->driver->memcpy_async(
        device + (CUdeviceptr)to, device + (CUdeviceptr)from, (size_t)bytes, t->copies);
    return leave_with(t, &e, result, "closing up a batch", err);
}

static rbc_status send(rbc__transfer *t, rbc__staged *s, rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    CUresult result = follow_users(t, s, t->copies);
    if (result == 0) {
        s->num_users = 0;
        s->is_delivered = false;
        result = t->driver->event_record(s->begun, t->copies);
    }
    if (result == 0) {
        result = t->driver->memcpy_htod_async(s->device, s->host, (size_t)s->bytes, t->copies);
    }
    if (result == 0) {
        result = t->driver->event_record(s->sent, t->copies);
        if (result != 0) { /* nothing says when it is over */
            (void)t->driver->stream_synchronize(t->copies);
        }
        atomic_store_explicit(&s->is_untold, result == 0, memory_order_relaxed);
    }
    return leave_with(t, &e, result, "copying a batch", err);
}

static bool is_user(const rbc__staged *s, CUstream cu_stream) {
    for (int32_t i = 0; i < s->num_users; ++i) {
        if (s->users[i].cu_stream == cu_stream) {
            return true;
        }
    }
    return false;
}

/* One more, with an event at hand for when the memory is given back; the device is current. */
static CUresult add_user(const rbc__transfer *t, rbc__staged *s, CUstream cu_stream) {
    if (s->num_users == s->room) {
        user *grown = realloc(s->users, 2 * (size_t)s->room * sizeof *grown);
        if (grown == NULL) {
            return RBC__CU_ERROR_OUT_OF_MEMORY;
        }
        memset(grown + s->room, 0, (size_t)s->room * sizeof *grown);
        s->users = grown;
        s->room *= 2;
    }
    user *u = &s->users[s->num_users];
    if (u->event == NULL) {
        const CUresult result = t->driver->event_create(&u->event, RBC__CU_EVENT_DISABLE_TIMING);
        if (result != 0) {
            u->event = NULL;
            return result;
        }
    }
    u->cu_stream = cu_stream;
    u->is_done = false;
    ++s->num_users;
    return 0;
}

/* The device is current. */
static CUresult order_on(rbc__transfer *t, rbc__staged *s, CUstream cu_stream) {
    (void)pthread_mutex_lock(&t->lock);
    leave_flight(t, s);
    (void)pthread_mutex_unlock(&t->lock);
    const CUresult result = is_user(s, cu_stream) ? 0 : add_user(t, s, cu_stream);
    return result == 0 ? t->driver->stream_wait_event(cu_stream, s->sent, 0) : result;
}

/* Copies what was sent to the front, as work of the stream. */
static CUresult copy_to_front(rbc__transfer *t, rbc__staged *s, rbc__staged *front,
                              CUstream cu_stream) {
    CUresult result = order_on(t, s, cu_stream);
    if (result == 0) {
        result = follow_users(t, front, cu_stream);
    }
    if (result == 0) {
        front->num_users = 0;
        result =
            t->driver->memcpy_async(front->device, s->device, (size_t)s->device_bytes, cu_stream);
    }
    if (result == 0) {
        result = t->driver->event_record(front->sent, cu_stream);
    }
    s->is_delivered = result == 0;
    s->front = front;
    front->shown = s;
    return result;
}

static rbc_status deliver(rbc__transfer *t, rbc__staged *s, rbc__staged *front, void *cu_stream,
                          rbc_error *err) {
    entered e;
    int capturing = RBC__CU_CAPTURE_STATUS_NONE;
    RBC__TRY(enter(t, &e, err));
    CUresult result = t->driver->stream_is_capturing(cu_stream, &capturing);
    if (result == 0 && capturing != RBC__CU_CAPTURE_STATUS_NONE) {
        leave(t, &e);
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "the stream is being captured into a graph; wanted batches to be taken "
                         "outside of that");
    }
    (void)pthread_mutex_lock(&t->front_lock);
    if (result == 0 && front != NULL && !s->is_delivered) {
        result = copy_to_front(t, s, front, cu_stream);
    }
    if (result == 0) {
        result = order_on(t, front != NULL ? front : s, cu_stream);
    }
    (void)pthread_mutex_unlock(&t->front_lock);
    return leave_with(t, &e, result, "delivering a batch", err);
}

static rbc_status order(rbc__transfer *t, rbc__staged *s, void *cu_stream, rbc_error *err) {
    return deliver(t, s, NULL, cu_stream, err);
}

/* The device is current, with the lock held. */
static bool mark_ends(const rbc__transfer *t, rbc__staged *s) {
    bool is_marked = true;
    for (int32_t i = 0; i < s->num_users; ++i) {
        s->users[i].is_done = mark_end(t, &s->users[i]);
        is_marked = is_marked && s->users[i].is_done;
    }
    return is_marked;
}

/* With both locks held. */
static bool mark_uses(rbc__transfer *t, rbc__staged *s) {
    /* What is behind another in the front is used no more: that one has waited for its users. */
    rbc__staged *front = s->front != NULL && s->front->shown == s ? s->front : NULL;
    if (is_any_captured(t, s) || (front != NULL && is_any_captured(t, front))) {
        return false;
    }
    if (mark_ends(t, s)) {
        enter_flight(t, s);
    }
    if (front != NULL) {
        (void)mark_ends(t, front);
    }
    return true;
}

static bool give_back(rbc__transfer *t, rbc__staged *s) {
    entered e;
    if (s->num_users == 0 || enter(t, &e, NULL) != RBC_OK) {
        return true;
    }
    if (t->driver->event_query(s->sent) == 0) {
        count_copy(t, s);
    }
    (void)pthread_mutex_lock(&t->front_lock);
    (void)pthread_mutex_lock(&t->lock);
    const bool is_marked = mark_uses(t, s);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_mutex_unlock(&t->front_lock);
    leave(t, &e);
    return is_marked;
}

/* Of `s`, or of all where that is NULL. */
static int64_t count_in_flight(rbc__transfer *t, const rbc__staged *s) {
    entered e;
    if (enter(t, &e, NULL) != RBC_OK) {
        return 0;
    }
    (void)pthread_mutex_lock(&t->lock);
    forget_over(t);
    const int64_t count = s == NULL ? t->num_in_flight : s->is_in_flight;
    (void)pthread_mutex_unlock(&t->lock);
    leave(t, &e);
    return count;
}

static int64_t num_in_flight(rbc__transfer *t) {
    return count_in_flight(t, NULL);
}

static bool is_in_flight(rbc__transfer *t, const rbc__staged *s) {
    return count_in_flight(t, s) != 0;
}

const rbc__transfer_ops rbc__cuda_transfer_ops = {
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
    .release = release,
    .host = host_part,
    .device = device_part,
    .await = await,
    .follow = follow,
    .move = move,
    .send = send,
    .order = order,
    .deliver = deliver,
    .give_back = give_back,
    .num_in_flight = num_in_flight,
    .is_in_flight = is_in_flight,
    .copy_ns = copy_ns,
};
