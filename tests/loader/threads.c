/* Threads that cannot be started, as under RLIMIT_NPROC: a clear error, and nothing is left. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"

#define WANTED 8

static int num_allowed; /* threads that may be started before the system refuses */
static int num_joined;

static int limited_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    void *symbol = dlsym(RTLD_NEXT, "pthread_create");
    memcpy(&create, &symbol, sizeof create);
    if (num_allowed == 0) {
        return EAGAIN;
    }
    num_allowed--;
    return create(thread, attributes, run, argument);
}

static int counted_join(pthread_t thread, void **result) {
    int (*join)(pthread_t, void **);
    void *symbol = dlsym(RTLD_NEXT, "pthread_join");
    memcpy(&join, &symbol, sizeof join);
    ++num_joined;
    return join(thread, result);
}

/* In place of the system's: the library is linked into this program. */
extern __typeof(pthread_create) pthread_create __attribute__((alias("limited_create")));
extern __typeof(pthread_join) pthread_join __attribute__((alias("counted_join")));

static void check(const rbc_error *error, int number) {
    char words[64];
    snprintf(words, sizeof words, "thread %d of %d", number, WANTED);
    assert_int_equal(error->status, RBC_ERROR_IO);
    assert_int_equal(error->device_code, EAGAIN);
    assert_non_null(strstr(error->message, words));
    assert_non_null(strstr(error->message, strerror(EAGAIN)));
}

static void a_loader_says_which_thread(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const int32_t now[] = {0};
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = "state";
    window.ticks = now;
    window.count = 1;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    params.num_threads = WANTED;
    rbc_selection *selection = fake_create(&fake);
    num_allowed = 1;
    const int before = num_threads_at_rest();
    for (int allowed = 0; allowed <= WANTED; ++allowed) {
        rbc_loader *loader = NULL;
        rbc_error error;
        num_allowed = allowed;
        const rbc_status status = rbc_loader_create(selection, &params, &loader, &error);
        if (allowed == WANTED) {
            assert_int_equal(status, RBC_OK);
            rbc_batch *batch = NULL;
            assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
            rbc_batch_release(&batch);
        } else {
            assert_null(loader);
            check(&error, allowed + 1);
        }
        rbc_loader_destroy(&loader);
        await_threads(before);
        assert_int_equal(fake_num_open(), 0);
    }
    rbc_selection_destroy(&selection);
}

static void a_context_says_which_thread(void **state) {
    (void)state;
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = WANTED; /* the caller's is the first */
    for (int allowed = 0; allowed < WANTED; ++allowed) {
        rbc_context *context = NULL;
        rbc_error error;
        num_allowed = allowed;
        num_joined = 0;
        const rbc_status status = rbc_context_create(&params, &context, &error);
        if (allowed == WANTED - 1) {
            assert_int_equal(status, RBC_OK);
        } else {
            assert_null(context);
            check(&error, allowed + 2);
            assert_int_equal(num_joined, allowed);
        }
        rbc_context_destroy(&context);
        assert_int_equal(num_joined, allowed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loader_says_which_thread),
        cmocka_unit_test(a_context_says_which_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
