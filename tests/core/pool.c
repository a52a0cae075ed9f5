#define _GNU_SOURCE

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/pool.h"

/* ThreadSanitizer ends a forked child that starts a thread. */
#if defined(__SANITIZE_THREAD__)
#define CHILD_THREADS 1
#else
#define CHILD_THREADS 2
#endif

typedef struct counts {
    rbc__pool *pool;
    int64_t num_parts;
    _Atomic int32_t *seen;
    _Atomic int64_t total;
} counts;

static void count_part(void *job, int64_t index) {
    counts *c = job;
    atomic_fetch_add(&c->seen[index], 1);
    atomic_fetch_add(&c->total, 1);
}

static void run_and_check(rbc__pool *pool, int64_t num_parts) {
    counts c = {.pool = pool, .num_parts = num_parts};
    c.seen = calloc((size_t)num_parts + 1, sizeof *c.seen);
    assert_non_null(c.seen);
    rbc__pool_run(pool, num_parts, count_part, &c);
    assert_int_equal(c.total, num_parts);
    for (int64_t i = 0; i < num_parts; ++i) {
        assert_int_equal(c.seen[i], 1);
    }
    free(c.seen);
}

static void every_part_runs_once(void **state) {
    (void)state;
    for (int32_t num_threads = 1; num_threads <= 5; ++num_threads) {
        rbc__pool *pool = NULL;
        assert_int_equal(rbc__pool_create(num_threads, &pool, NULL), RBC_OK);
        assert_int_equal(rbc__pool_num_threads(pool), num_threads);
        static const int64_t sizes[] = {0, 1, 2, 3, 17, 1000};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
            run_and_check(pool, sizes[i]);
        }
        for (int i = 0; i < 3000; ++i) {
            run_and_check(pool, 2 + i % 5);
        }
        rbc__pool_destroy(&pool);
        assert_null(pool);
        rbc__pool_destroy(&pool);
    }
}

static void jobs_after_a_pause_wake_the_threads(void **state) {
    (void)state;
    rbc__pool *pool = NULL;
    assert_int_equal(rbc__pool_create(3, &pool, NULL), RBC_OK);
    for (int i = 0; i < 20; ++i) {
        usleep(2000);
        run_and_check(pool, 64);
    }
    rbc__pool_destroy(&pool);
}

static void *run_many(void *argument) {
    rbc__pool *pool = argument;
    for (int i = 0; i < 500; ++i) {
        run_and_check(pool, 1 + i % 9);
    }
    return NULL;
}

static void callers_take_turns(void **state) {
    (void)state;
    rbc__pool *pool = NULL;
    assert_int_equal(rbc__pool_create(3, &pool, NULL), RBC_OK);
    pthread_t threads[4];
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(pthread_create(&threads[i], NULL, run_many, pool), 0);
    }
    for (int i = 0; i < 4; ++i) {
        pthread_join(threads[i], NULL);
    }
    rbc__pool_destroy(&pool);
}

static void outer_part(void *job, int64_t index) {
    (void)index;
    counts *c = job;
    rbc__pool_run(c->pool, c->num_parts, count_part, c);
}

static void a_part_may_run_a_job(void **state) {
    (void)state;
    rbc__pool *pool = NULL;
    assert_int_equal(rbc__pool_create(2, &pool, NULL), RBC_OK);
    _Atomic int32_t seen[4] = {0};
    counts c = {.pool = pool, .num_parts = 4, .seen = seen};
    rbc__pool_run(pool, 8, outer_part, &c);
    assert_int_equal(c.total, 32);
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(seen[i], 8);
    }
    run_and_check(pool, 10);
    rbc__pool_destroy(&pool);
}

static void a_forked_child_runs_its_jobs_alone(void **state) {
    (void)state;
    rbc__pool *pool = NULL;
    assert_int_equal(rbc__pool_create(3, &pool, NULL), RBC_OK);
    run_and_check(pool, 50);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _Atomic int32_t seen[16] = {0};
        counts c = {.pool = pool, .num_parts = 16, .seen = seen};
        alarm(20);
        rbc__pool_run(pool, 16, count_part, &c);
        rbc__pool_destroy(&pool);
        rbc__pool *fresh = NULL;
        const int made = rbc__pool_create(CHILD_THREADS, &fresh, NULL) == RBC_OK;
        rbc__pool_run(fresh, 16, count_part, &c);
        rbc__pool_destroy(&fresh);
        _exit(made && c.total == 32 && seen[15] == 2 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    run_and_check(pool, 50);
    rbc__pool_destroy(&pool);
}

static void no_threads_is_an_error(void **state) {
    (void)state;
    rbc_error err;
    rbc__pool *pool = (rbc__pool *)&err;
    assert_int_equal(rbc__pool_create(0, &pool, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_null(pool);
    assert_non_null(strstr(err.message, "num_threads is 0"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_part_runs_once),
        cmocka_unit_test(jobs_after_a_pause_wake_the_threads),
        cmocka_unit_test(callers_take_turns),
        cmocka_unit_test(a_part_may_run_a_job),
        cmocka_unit_test(a_forked_child_runs_its_jobs_alone),
        cmocka_unit_test(no_threads_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
