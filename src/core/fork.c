#define _GNU_SOURCE

#include "core/fork.h"

#include <pthread.h>

/* Read-locked by those that hold off forks; a fork takes its turn before those that come later. */
static pthread_rwlock_t gate = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
static _Thread_local int depth; /* of the functions under way on this thread that hold off forks */

static void before_fork(void) {
    if (depth == 0) {
        pthread_rwlock_wrlock(&gate);
    }
}

static void after_in_parent(void) {
    if (depth == 0) {
        pthread_rwlock_unlock(&gate);
    }
}

/* The lock knows its holder by a thread number that the child does not have: it is made anew. */
static void after_in_child(void) {
    const pthread_rwlock_t fresh = PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
    gate = fresh;
    if (depth > 0) {
        pthread_rwlock_rdlock(&gate);
    }
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_in_parent, after_in_child);
}

void rbc__forks_hold(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    if (depth == 0) {
        pthread_rwlock_rdlock(&gate);
    }
    ++depth;
}

void rbc__forks_release(const int *unused) {
    (void)unused;
    if (--depth == 0) {
        pthread_rwlock_unlock(&gate);
    }
}

int rbc__forks_let(void) {
    const int held = depth;
    depth = 0;
    if (held > 0) {
        pthread_rwlock_unlock(&gate);
    }
    return held;
}

void rbc__forks_hold_again(int held) {
    if (held > 0) {
        pthread_rwlock_rdlock(&gate);
    }
    depth = held;
}
