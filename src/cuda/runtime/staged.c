#include "cuda/runtime/staged.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "cuda/runtime/device.h"

enum { FEW_STREAMS = 2 };

struct rbc__transfer {
    const rbc__cuda_driver *driver;
    const rbc__cuda_device *device;
    CUstream copies;
};

/* A stream that uses a memory, and the end of its work. */
typedef struct user {
    CUstream cu_stream;
    CUevent event; /* NULL until first needed */
    bool is_done;  /* `event` says when */
} user;

struct rbc__staged {
    int64_t bytes;
    void *host;
    CUdeviceptr device;
    CUevent sent;
    user *users; /* [num_users] of [room]; events stay for those that come after */
    int32_t num_users, room;
};

/* ---- the calling thread -------------------------------------------------------------------------
 */

typedef struct entered {
    bool is_pushed;
    int mode;
} entered;

/* Makes the device current, and says that what is done is no part of a capture. */
static rbc_status enter(const rbc__transfer *t, entered *out, rbc_error *err) {
    CUcontext current = NULL;
    CUresult result = t->driver->ctx_get_current(&current);
    out->is_pushed = result == 0 && current != t->device->context;
    if (out->is_pushed) {
        result = t->driver->ctx_push_current(t->device->context);
    }
    if (result != 0) {
        return rbc__cuda_fail(t->driver, result, err, "making CUDA device %d current",
                              (int)t->device->id);
    }
    out->mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)t->driver->thread_exchange_stream_capture_mode(&out->mode);
    return RBC_OK;
}

static void leave(const rbc__transfer *t, entered *e) {
    (void)t->driver->thread_exchange_stream_capture_mode(&e->mode);
    if (e->is_pushed) {
        CUcontext popped = NULL;
        (void)t->driver->ctx_pop_current(&popped);
    }
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
    return d->mem_host_alloc != NULL && d->mem_free_host != NULL && d->mem_alloc != NULL &&
           d->mem_free != NULL && d->event_create != NULL && d->event_record != NULL &&
           d->event_synchronize != NULL && d->event_destroy != NULL &&
           d->stream_wait_event != NULL && d->stream_destroy != NULL &&
           d->memcpy_htod_async != NULL;
}

static rbc_status create(int32_t device_id, rbc__transfer **out, rbc_error *err) {
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
    if (t == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to copy batches to a device");
    }
    *t = (rbc__transfer){.driver = driver, .device = device};
    entered e;
    rbc_status status = enter(t, &e, err);
    if (status == RBC_OK) {
        const CUresult result = driver->stream_create(&t->copies, RBC__CU_STREAM_NON_BLOCKING);
        status = leave_with(t, &e, result, "cuStreamCreate", err);
    }
    if (status != RBC_OK) {
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
    free(t);
}

/* ---- memory -------------------------------------------------------------------------------------
 */

/* Records the end of what is queued on the user's stream. Not while that is captured: what is queued
 * then does not run, and the end of what was queued before is recorded when the memory is sent. */
static bool mark_end(const rbc__transfer *t, const user *u) {
    int capturing = RBC__CU_CAPTURE_STATUS_NONE;
    return t->driver->stream_is_capturing(u->cu_stream, &capturing) == 0 &&
           capturing == RBC__CU_CAPTURE_STATUS_NONE &&
           t->driver->event_record(u->event, u->cu_stream) == 0;
}

/* Waits for all that uses it, and frees it; the device is current. */
static void drop(const rbc__transfer *t, rbc__staged *s) {
    const rbc__cuda_driver *driver = t->driver;
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
        (void)driver->event_destroy(s->sent);
    }
    if (s->device != 0) {
        (void)driver->mem_free(s->device);
    }
    if (s->host != NULL) {
        (void)driver->mem_free_host(s->host);
    }
    free(s->users);
    free(s);
}

static rbc_status allocate(rbc__transfer *t, int64_t bytes, rbc__staged **out, rbc_error *err) {
    *out = NULL;
    entered e;
    rbc__staged *s = calloc(1, sizeof *s);
    user *users = calloc(FEW_STREAMS, sizeof *users);
    if (s == NULL || users == NULL || enter(t, &e, NULL) != RBC_OK) {
        free(s);
        free(users);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to stage a batch");
    }
    s->bytes = bytes;
    s->users = users;
    s->room = FEW_STREAMS;
    const char *what = "pinned host memory";
    CUresult result = t->driver->mem_host_alloc(&s->host, (size_t)bytes, RBC__CU_MEM_HOST_PORTABLE);
    if (result == 0) {
        what = "memory";
        result = t->driver->mem_alloc(&s->device, (size_t)bytes);
    }
    if (result == 0) {
        what = "an event";
        result = t->driver->event_create(&s->sent, RBC__CU_EVENT_DISABLE_TIMING);
    }
    if (result != 0) {
        drop(t, s);
        leave(t, &e);
        (void)rbc__cuda_fail(t->driver, result, err, "%lld bytes of a batch: %s, CUDA device %d",
                             (long long)bytes, what, (int)t->device->id);
        if (err != NULL && result == RBC__CU_ERROR_OUT_OF_MEMORY) {
            err->status = RBC_ERROR_OUT_OF_MEMORY;
        }
        return result == RBC__CU_ERROR_OUT_OF_MEMORY ? RBC_ERROR_OUT_OF_MEMORY : RBC_ERROR_DEVICE;
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

static rbc_status await(rbc__transfer *t, const rbc__staged *s, rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    const CUresult result = t->driver->event_synchronize(s->sent);
    return leave_with(t, &e, result, "waiting for a batch that was sent", err);
}

static rbc_status send(rbc__transfer *t, rbc__staged *s, rbc_error *err) {
    entered e;
    RBC__TRY(enter(t, &e, err));
    CUresult result = 0;
    for (int32_t i = 0; i < s->num_users && result == 0; ++i) {
        if (s->users[i].is_done || mark_end(t, &s->users[i])) {
            result = t->driver->stream_wait_event(t->copies, s->users[i].event, 0);
        }
    }
    if (result == 0) {
        s->num_users = 0;
        result = t->driver->memcpy_htod_async(s->device, s->host, (size_t)s->bytes, t->copies);
    }
    if (result == 0) {
        result = t->driver->event_record(s->sent, t->copies);
        if (result != 0) { /* nothing says when it is over */
            (void)t->driver->stream_synchronize(t->copies);
        }
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

static rbc_status order(rbc__transfer *t, rbc__staged *s, void *cu_stream, rbc_error *err) {
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
    if (result == 0 && !is_user(s, cu_stream)) {
        result = add_user(t, s, cu_stream);
    }
    if (result == 0) {
        result = t->driver->stream_wait_event(cu_stream, s->sent, 0);
    }
    return leave_with(t, &e, result, "delivering a batch", err);
}

static void give_back(rbc__transfer *t, rbc__staged *s) {
    entered e;
    if (s->num_users == 0 || enter(t, &e, NULL) != RBC_OK) {
        return;
    }
    for (int32_t i = 0; i < s->num_users; ++i) {
        s->users[i].is_done = mark_end(t, &s->users[i]);
    }
    leave(t, &e);
}

const rbc__transfer_ops rbc__cuda_transfer_ops = {
    .create = create,
    .destroy = destroy,
    .allocate = allocate,
    .release = release,
    .host = host_part,
    .device = device_part,
    .await = await,
    .send = send,
    .order = order,
    .give_back = give_back,
};
