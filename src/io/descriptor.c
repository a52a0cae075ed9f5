#define _POSIX_C_SOURCE 200809L

#include "io/descriptor.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/fork.h"

#define LEAST 16
#define MOST  1024

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static rbc__descriptor *hand; /* in the ring of open ones: where room is looked for next */
static int64_t num_open;

int64_t rbc__descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur / 4 < LEAST) {
        return LEAST;
    }
    return limit.rlim_cur / 4 < MOST ? (int64_t)(limit.rlim_cur / 4) : MOST;
}

/* With the lock held: `descriptor` is open no longer, as its state says already. */
static void drop(rbc__descriptor *descriptor) {
    close(descriptor->fd);
    hand = descriptor->next != descriptor ? descriptor->next : NULL;
    descriptor->next->previous = descriptor->previous;
    descriptor->previous->next = descriptor->next;
    --num_open;
}

/* With the lock held: goes round, past those used since the last round, until fewer than `limit`
 * are open or all are taken. */
static void make_room(int64_t limit) {
    for (int64_t steps = 2 * num_open; hand != NULL && steps > 0 && num_open >= limit; --steps) {
        rbc__descriptor *next = hand;
        unsigned idle = 1;
        hand = next->next;
        if (!atomic_exchange_explicit(&next->is_used_lately, false, memory_order_relaxed) &&
            atomic_compare_exchange_strong(&next->state, &idle, 0)) {
            drop(next);
        }
    }
}

static bool take_open(rbc__descriptor *descriptor) {
    unsigned state = atomic_load_explicit(&descriptor->state, memory_order_relaxed);
    while (state & 1) {
        if (atomic_compare_exchange_weak_explicit(&descriptor->state, &state, state + 2,
                                                  memory_order_acquire, memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* With the lock held. */
static int open_file(rbc__descriptor *descriptor, rbc__descriptor_open_fn open, void *user) {
    make_room(rbc__descriptor_limit());
    int fd = open(user);
    while (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        const int error = errno;
        const int64_t before = num_open;
        make_room(num_open);
        if (num_open == before) {
            errno = error;
            return -1;
        }
        fd = open(user);
    }
    if (fd < 0) {
        return -1;
    }
    descriptor->fd = fd;
    descriptor->next = hand != NULL ? hand : descriptor;
    descriptor->previous = hand != NULL ? hand->previous : descriptor;
    descriptor->next->previous = descriptor;
    descriptor->previous->next = descriptor;
    hand = descriptor->next;
    ++num_open;
    atomic_store_explicit(&descriptor->state, 1 + 2, memory_order_release);
    return fd;
}

int rbc__descriptor_take(rbc__descriptor *descriptor, rbc__descriptor_open_fn open, void *user) {
    bool is_open = take_open(descriptor);
    if (!is_open) {
        RBC__HOLD_FORKS();
        pthread_mutex_lock(&lock);
        is_open = take_open(descriptor) || open_file(descriptor, open, user) >= 0;
        pthread_mutex_unlock(&lock);
    }
    if (!is_open) {
        return -1;
    }
    if (!atomic_load_explicit(&descriptor->is_used_lately, memory_order_relaxed)) {
        atomic_store_explicit(&descriptor->is_used_lately, true, memory_order_relaxed);
    }
    return descriptor->fd;
}

void rbc__descriptor_give(rbc__descriptor *descriptor) {
    atomic_fetch_sub_explicit(&descriptor->state, 2, memory_order_release);
}

void rbc__descriptor_close(rbc__descriptor *descriptor) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&lock);
    if (atomic_exchange(&descriptor->state, 0) & 1) {
        drop(descriptor);
    }
    pthread_mutex_unlock(&lock);
}

int64_t rbc__descriptor_num_open(void) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&lock);
    const int64_t count = num_open;
    pthread_mutex_unlock(&lock);
    return count;
}
