#define _GNU_SOURCE

#include "core/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/thread.h"

/* A job is (epoch, next unclaimed part) in one word. A thread claims a part by compare-and-swap, so
 * one that wakes late can never claim from a job other than the one whose fields it read: as long
 * as a part is unclaimed its job is not over and the fields do not change. */
#define INDEX_BITS  32
#define INDEX_MASK  ((UINT64_C(1) << INDEX_BITS) - 1)
#define SLICE_PARTS (INT64_C(1) << 30)

/* Long enough to bridge back-to-back calls, short enough not to show as load: about 10 us. */
#define SPIN_ROUNDS 300

struct rbc__pool {
    int32_t num_threads;
    unsigned fork_count;  /* of the process that made the threads */
    pthread_mutex_t turn; /* held by the caller whose job runs */

    _Alignas(64) _Atomic uint64_t ticket;
    _Atomic(rbc__pool_part_fn) part;
    _Atomic(void *) job;
    _Atomic int64_t first;
    _Atomic int64_t num_parts;

    _Alignas(64) _Atomic int64_t num_done;
    _Alignas(64) _Atomic int32_t num_sleeping;
    _Atomic bool caller_sleeps;
    _Atomic bool stop;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t done;

    int32_t num_started;
    pthread_t threads[];
};

static _Atomic unsigned fork_count;
static _Thread_local bool inside_part;

static void count_fork(void) {
    atomic_fetch_add_explicit(&fork_count, 1, memory_order_relaxed);
}

static void watch_forks(void) {
    pthread_atfork(NULL, NULL, count_fork);
}

static inline void relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Runs parts of the job with this epoch until none is unclaimed. */
static void work(rbc__pool *pool, uint64_t epoch) {
    int64_t count = 0, num_parts = 0;
    uint64_t ticket = atomic_load(&pool->ticket);
    while (ticket >> INDEX_BITS == epoch) {
        const rbc__pool_part_fn part = atomic_load_explicit(&pool->part, memory_order_relaxed);
        void *job = atomic_load_explicit(&pool->job, memory_order_relaxed);
        const int64_t first = atomic_load_explicit(&pool->first, memory_order_relaxed);
        const int64_t index = (int64_t)(ticket & INDEX_MASK);
        const int64_t parts = atomic_load_explicit(&pool->num_parts, memory_order_relaxed);
        if (index >= parts) {
            break;
        }
        if (!atomic_compare_exchange_weak(&pool->ticket, &ticket, ticket + 1)) {
            continue;
        }
        num_parts = parts;
        inside_part = true;
        part(job, first + index);
        inside_part = false;
        ++count;
        ticket = atomic_load(&pool->ticket);
    }
    if (count > 0 && atomic_fetch_add(&pool->num_done, count) + count == num_parts &&
        atomic_load(&pool->caller_sleeps)) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_signal(&pool->done);
        pthread_mutex_unlock(&pool->lock);
    }
}

static bool is_idle(rbc__pool *pool, uint64_t epoch) {
    return atomic_load(&pool->ticket) >> INDEX_BITS == epoch && !atomic_load(&pool->stop);
}

static void *thread_main(void *argument) {
    rbc__pool *pool = argument;
    uint64_t epoch = 0;
    for (;;) {
        for (int round = 0; round < SPIN_ROUNDS && is_idle(pool, epoch); ++round) {
            relax();
        }
        if (is_idle(pool, epoch)) {
            pthread_mutex_lock(&pool->lock);
            atomic_fetch_add(&pool->num_sleeping, 1);
            while (is_idle(pool, epoch)) {
                pthread_cond_wait(&pool->wake, &pool->lock);
            }
            atomic_fetch_sub(&pool->num_sleeping, 1);
            pthread_mutex_unlock(&pool->lock);
        }
        if (atomic_load(&pool->stop)) {
            return NULL;
        }
        epoch = atomic_load(&pool->ticket) >> INDEX_BITS;
        work(pool, epoch);
    }
}

rbc_status rbc__pool_create(int32_t num_threads, rbc__pool **out, rbc_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *out = NULL;
    if (num_threads < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_threads is %d; wanted at least 1",
                         num_threads);
    }
    pthread_once(&once, watch_forks);
    size_t bytes = sizeof(rbc__pool) + (size_t)num_threads * sizeof(pthread_t);
    bytes = (bytes + 63) / 64 * 64;
    rbc__pool *pool = aligned_alloc(64, bytes);
    if (pool == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a pool of %d threads",
                         num_threads);
    }
    pool->num_threads = num_threads;
    pool->fork_count = atomic_load(&fork_count);
    pool->num_started = 0;
    atomic_init(&pool->ticket, 0);
    atomic_init(&pool->part, NULL);
    atomic_init(&pool->job, NULL);
    atomic_init(&pool->first, 0);
    atomic_init(&pool->num_parts, 0);
    atomic_init(&pool->num_done, 0);
    atomic_init(&pool->num_sleeping, 0);
    atomic_init(&pool->caller_sleeps, false);
    atomic_init(&pool->stop, false);
    pthread_mutex_init(&pool->turn, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->wake, NULL);
    pthread_cond_init(&pool->done, NULL);
    for (; pool->num_started < num_threads - 1; ++pool->num_started) {
        const int code = rbc__thread_start(thread_main, pool, &pool->threads[pool->num_started]);
        if (code != 0) {
            const int32_t started = pool->num_started;
            rbc__pool_destroy(&pool);
            return rbc__fail_errno(err, code, "starting thread %d of %d", started + 2, num_threads);
        }
    }
    *out = pool;
    return RBC_OK;
}

static bool has_threads(const rbc__pool *pool) {
    return pool->num_threads > 1 &&
           pool->fork_count == atomic_load_explicit(&fork_count, memory_order_relaxed);
}

void rbc__pool_destroy(rbc__pool **pool_address) {
    if (pool_address == NULL || *pool_address == NULL) {
        return;
    }
    rbc__pool *pool = *pool_address;
    *pool_address = NULL;
    if (pool->num_threads == 1 || has_threads(pool)) {
        pthread_mutex_lock(&pool->lock);
        atomic_store(&pool->stop, true);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
        for (int32_t i = 0; i < pool->num_started; ++i) {
            pthread_join(pool->threads[i], NULL);
        }
        pthread_cond_destroy(&pool->done);
        pthread_cond_destroy(&pool->wake);
        pthread_mutex_destroy(&pool->lock);
        pthread_mutex_destroy(&pool->turn);
    }
    free(pool);
}

int32_t rbc__pool_num_threads(const rbc__pool *pool) {
    return pool->num_threads;
}

static void run_slice(rbc__pool *pool, int64_t first, int64_t num_parts, rbc__pool_part_fn part,
                      void *job) {
    const uint64_t last = atomic_load(&pool->ticket) >> INDEX_BITS;
    const uint64_t epoch = (last + 1) & INDEX_MASK;
    atomic_store(&pool->ticket, last << INDEX_BITS | INDEX_MASK);
    atomic_store_explicit(&pool->part, part, memory_order_relaxed);
    atomic_store_explicit(&pool->job, job, memory_order_relaxed);
    atomic_store_explicit(&pool->first, first, memory_order_relaxed);
    atomic_store_explicit(&pool->num_parts, num_parts, memory_order_relaxed);
    atomic_store(&pool->num_done, 0);
    atomic_store(&pool->ticket, epoch << INDEX_BITS);
    if (atomic_load(&pool->num_sleeping) > 0) {
        pthread_mutex_lock(&pool->lock);
        pthread_cond_broadcast(&pool->wake);
        pthread_mutex_unlock(&pool->lock);
    }
    work(pool, epoch);
    for (int round = 0; round < SPIN_ROUNDS; ++round) {
        if (atomic_load(&pool->num_done) == num_parts) {
            return;
        }
        relax();
    }
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true);
    while (atomic_load(&pool->num_done) != num_parts) {
        pthread_cond_wait(&pool->done, &pool->lock);
    }
    atomic_store(&pool->caller_sleeps, false);
    pthread_mutex_unlock(&pool->lock);
}

void rbc__pool_run(rbc__pool *pool, int64_t num_parts, rbc__pool_part_fn part, void *job) {
    if (num_parts <= 1 || inside_part || !has_threads(pool)) {
        for (int64_t index = 0; index < num_parts; ++index) {
            part(job, index);
        }
        return;
    }
    pthread_mutex_lock(&pool->turn);
    for (int64_t first = 0; first < num_parts; first += SLICE_PARTS) {
        const int64_t left = num_parts - first;
        run_slice(pool, first, left < SLICE_PARTS ? left : SLICE_PARTS, part, job);
    }
    pthread_mutex_unlock(&pool->turn);
}
