/* Reading on a thread of its own, where whoever asked is to hear interrupts meanwhile: a read that
 * hangs is left to that thread. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "core/thread.h"
#include "store/wants.h"

/* How often interrupts are heard, and how long a store has to end after one. */
#define HEAR_NS 20000000
#define END_NS  50000000

/* What the thread has of the request: nothing of it is the request's own. The last of both to let go
 * frees it. */
typedef struct apart {
    pthread_mutex_t lock;
    pthread_cond_t done;
    bool is_done, is_left;
    atomic_bool cancel;
    rbc__store *store;
    rbc__request_watch watch;
    size_t count;
    rbc__read *reads; /* [count], to `bytes` */
    uint8_t *bytes;
} apart;

static void free_apart(apart *a) {
    for (size_t i = 0; i < a->count; ++i) {
        free(a->reads[i].error);
    }
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->done);
    free(a->reads);
    free(a->bytes);
    free(a);
}

static apart *make_apart(const rbc__request *request, const rbc__read *reads, size_t count) {
    size_t bytes = 0;
    for (size_t i = 0; i < count; ++i) {
        bytes += (size_t)reads[i].bytes;
    }
    apart *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return NULL;
    }
    a->reads = calloc(count, sizeof *a->reads);
    a->bytes = malloc(bytes > 0 ? bytes : 1);
    if (a->reads == NULL || a->bytes == NULL) {
        free(a->reads);
        free(a->bytes);
        free(a);
        return NULL;
    }
    size_t at = 0;
    for (size_t i = 0; i < count; ++i) {
        a->reads[i] = reads[i];
        a->reads[i].dst = a->bytes + at;
        at += (size_t)reads[i].bytes;
    }
    a->count = count;
    a->store = request->params.store;
    a->watch = *request->params.watch;
    atomic_init(&a->cancel, false);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return a;
}

static void *read_apart(void *argument) {
    apart *a = argument;
    const rbc__request_watch watch = a->watch;
    a->store->ops->read(a->store, a->reads, a->count, &a->cancel);
    pthread_mutex_lock(&a->lock);
    a->is_done = true;
    const bool is_left = a->is_left;
    pthread_cond_signal(&a->done);
    pthread_mutex_unlock(&a->lock);
    if (is_left) {
        free_apart(a);
    }
    watch.release(watch.owner);
    return NULL;
}

static bool start(apart *a) {
    a->watch.retain(a->watch.owner);
    const bool is_started = rbc__thread_start(read_apart, a, NULL) == 0;
    if (!is_started) {
        a->watch.release(a->watch.owner);
    }
    return is_started;
}

/* Whether it is done within `ns`. With the lock held. */
static bool await_done(apart *a, int64_t ns) {
    const struct timespec until = rbc__after_ns(ns);
    int failure = 0;
    while (!a->is_done && failure == 0) {
        failure = pthread_cond_timedwait(&a->done, &a->lock, &until);
    }
    return a->is_done;
}

/* Waits until all is read, or until there is an interrupt. False: it was left to its thread. */
static bool await(apart *a, rbc__request_watch *watch) {
    bool is_done = false;
    while (!is_done && !watch->is_stopped) {
        pthread_mutex_lock(&a->lock);
        is_done = await_done(a, HEAR_NS);
        pthread_mutex_unlock(&a->lock);
        watch->is_stopped = !is_done && watch->interrupt(watch->user) != 0;
    }
    if (!is_done) {
        atomic_store(&a->cancel, true);
        pthread_mutex_lock(&a->lock);
        is_done = await_done(a, END_NS);
        a->is_left = !is_done;
        pthread_mutex_unlock(&a->lock);
    }
    return is_done;
}

static void stop_reads(rbc__read *reads, size_t count) {
    rbc_error problem;
    rbc__fail(&problem, RBC_ERROR_CANCELLED, "reading was stopped");
    for (size_t i = 0; i < count; ++i) {
        rbc__read_fail(&reads[i], &problem);
    }
}

void rbc__request_store_read(rbc__request *request, rbc__read *reads, size_t count,
                             const atomic_bool *cancel) {
    rbc__store *store = request->params.store;
    rbc__request_watch *watch = request->params.watch;
    if (watch != NULL && watch->is_stopped) {
        stop_reads(reads, count);
        return;
    }
    apart *a = watch != NULL && count > 0 ? make_apart(request, reads, count) : NULL;
    if (a == NULL || !start(a)) {
        if (a != NULL) {
            free_apart(a);
        }
        store->ops->read(store, reads, count, cancel);
        return;
    }
    if (await(a, watch)) {
        for (size_t i = 0; i < count; ++i) {
            reads[i].status = a->reads[i].status;
            reads[i].error = a->reads[i].error;
            a->reads[i].error = NULL;
            if (reads[i].status == RBC_OK && reads[i].bytes > 0) {
                memcpy(reads[i].dst, a->reads[i].dst, (size_t)reads[i].bytes);
            }
        }
        free_apart(a);
        return;
    }
    stop_reads(reads, count);
}
