/* Pinned memory that copies are queued from, beside a device that is far behind. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "cuda/runtime/pipe.h"
#include "cuda/runtime/staging.h"
#include "training.h"

/* Takes memory of the process, or of `pipe`, and gives it back behind what is queued on the stream. */
static void take_and_give(CUstream stream, rbc__pipe *pipe) {
    rbc__cuda_queue queue;
    rbc__cuda_staging *staging;
    unsigned char *memory;
    assert_int_equal(rbc__cuda_enter(0, stream, &queue, NULL), RBC_OK);
    queue.pipe = pipe;
    rbc_status status = rbc__cuda_staging_take(&queue, 64, &staging, &memory, NULL);
    assert_int_equal(status, RBC_OK);
    status = rbc__cuda_staging_give(&queue, staging, NULL);
    assert_int_equal(rbc__cuda_leave(&queue, status), RBC_OK);
}

static atomic_bool has_waited;

static void *take_more(void *stream) {
    take_and_give(stream, NULL);
    atomic_store(&has_waited, true);
    return NULL;
}

/* A caller's operation that waits for the device holds up no worker of a loader. */
static void pipes_do_not_wait_for_others(void **state) {
    (void)state;
    enum { MOST = 4 }; /* that a device may be behind */
    const rbc_device_allocator none = {0};
    rbc__pipe *pipe = NULL;
    pthread_t other;
    CUstream stream = make_stream(0);
    atomic_store(&device->held, (unsigned long)(uintptr_t)stream);
    for (int i = 0; i < MOST; ++i) {
        take_and_give(stream, NULL);
    }
    const long long before = atomic_load(&device->num_waits);
    assert_int_equal(pthread_create(&other, NULL, take_more, stream), 0);
    while (atomic_load(&device->num_waits) == before) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(rbc__cuda_pipe_ops.create(0, &none, &pipe, NULL), RBC_OK);
    take_and_give(rbc__cuda_pipe_stream(pipe), pipe);
    assert_false(atomic_load(&has_waited));
    atomic_store(&device->held, 0);
    pthread_join(other, NULL);
    assert_true(atomic_load(&has_waited));
    rbc__cuda_pipe_ops.destroy(pipe);
    assert_int_equal(driver->stream_synchronize(stream), 0);
    assert_int_equal(driver->stream_destroy(stream), 0);
}

int main(void) {
    if (!training_begin()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(pipes_do_not_wait_for_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
