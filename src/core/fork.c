#define _POSIX_C_SOURCE 200809L

#include "core/fork.h"

#include <pthread.h>

/* Guards what follows. A fork is made with it held. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int num_holding; /* threads that hold off forks */
static int num_forking; /* threads that wait for those; they come before new ones */

static _Thread_local int depth; /* of the functions under way on this thread that hold off forks */

static void enter(void) {
    pthread_mutex_lock(&lock);
    while (num_forking > 0) {
        pthread_cond_wait(&changed, &lock);
    }
    ++num_holding;
    pthread_mutex_unlock(&lock);
}

static void leave(void) {
    pthread_mutex_lock(&lock);
    --num_holding;
    if (num_forking > 0) {
        pthread_cond_broadcast(&changed);
    }
    pthread_mutex_unlock(&lock);
}

static int num_own(void) {
    return depth > 0 ? 1 : 0;
}

static void before_fork(void) {
    pthread_mutex_lock(&lock);
    ++num_forking;
    while (num_holding > num_own()) {
        pthread_cond_wait(&changed, &lock);
    }
}

static void after_in_parent(void) {
    --num_forking;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

/* Those that wait in the parent are not here. */
static void after_in_child(void) {
    const pthread_cond_t fresh = PTHREAD_COND_INITIALIZER;
    changed = fresh;
    num_forking = 0;
    num_holding = num_own();
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void) {
    pthread_atfork(before_fork, after_in_parent, after_in_child);
}

void rbc__forks_hold(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    if (depth++ == 0) {
        enter();
    }
}

void rbc__forks_release(const int *unused) {
    (void)unused;
    if (--depth == 0) {
        leave();
    }
}

int rbc__forks_let(void) {
    const int held = depth;
    depth = 0;
    if (held > 0) {
        leave();
    }
    return held;
}

void rbc__forks_hold_again(int held) {
    if (held > 0) {
        enter();
    }
    depth = held;
}
