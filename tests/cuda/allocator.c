/* Loaders whose memory on a device is an allocator's: all of it is, and each failure is told. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "training.h"

enum { MAX_BLOCKS = 256, ALIGNMENT = 256 };

/* An allocator that knows what it has given out, and looks at the loader meanwhile: no lock is held
 * that this takes. */
typedef struct counting {
    pthread_mutex_t lock;
    void *blocks[MAX_BLOCKS];
    int32_t devices[MAX_BLOCKS];
    int64_t bytes[MAX_BLOCKS];
    int64_t num_calls, num_given, num_left, bytes_left;
    int64_t fail_at;   /* number of a call; -1: none */
    rbc_status status; /* it fails with */
    void *streams[HOST_DEVICE_COUNT];
    _Atomic(rbc_loader *) loader; /* NULL: there is none, or it is being closed */
} counting;

static void look(counting *c) {
    rbc_loader *loader = atomic_load(&c->loader);
    rbc_loader_stages stages = RBC_LOADER_STAGES_INIT;
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    if (loader != NULL) {
        assert_int_equal(rbc_loader_get_stages(loader, &stages, NULL), RBC_OK);
        assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
    }
}

static rbc_status allocate(void *user, int32_t device_id, uint64_t num_bytes, void *stream,
                           void **out, rbc_error *err) {
    counting *c = user;
    CUcontext current = NULL;
    CUcontext of_stream = NULL;
    look(c);
    assert_int_equal(driver->ctx_get_current(&current), 0);
    assert_int_equal(driver->stream_get_ctx(stream, &of_stream), 0);
    assert_ptr_equal(current, of_stream);
    pthread_mutex_lock(&c->lock);
    assert_true(c->streams[device_id] == NULL || c->streams[device_id] == stream);
    c->streams[device_id] = stream;
    const bool fails = c->num_calls++ == c->fail_at;
    int at = 0;
    while (!fails && c->blocks[at] != NULL) {
        ++at;
        assert_in_range(at, 0, MAX_BLOCKS - 1);
    }
    if (!fails) {
        *out = aligned_alloc(ALIGNMENT, (num_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
        memset(*out, 0xa5, num_bytes);
        c->blocks[at] = *out;
        c->devices[at] = device_id;
        c->bytes[at] = (int64_t)num_bytes;
        c->bytes_left += (int64_t)num_bytes;
        ++c->num_given;
        ++c->num_left;
    }
    pthread_mutex_unlock(&c->lock);
    if (fails && err != NULL) {
        err->status = c->status;
        strcpy(err->message, "the allocator says no");
    }
    return fails ? c->status : RBC_OK;
}

static void release(void *user, int32_t device_id, void *memory) {
    counting *c = user;
    int at = 0;
    look(c);
    pthread_mutex_lock(&c->lock);
    while (at < MAX_BLOCKS && c->blocks[at] != memory) {
        ++at;
    }
    assert_in_range(at, 0, MAX_BLOCKS - 1); /* else it is not of here, or freed before */
    assert_int_equal(c->devices[at], device_id);
    c->blocks[at] = NULL;
    c->bytes_left -= c->bytes[at];
    --c->num_left;
    pthread_mutex_unlock(&c->lock);
    free(memory);
}

static counting counted;
static const rbc_device_allocator allocator = {
    .struct_size = sizeof allocator, .allocate = allocate, .free = release, .user = &counted};

static setup *begin(void) {
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    s->params.num_threads = 3;
    s->params.device_allocator = &allocator;
    counted.num_calls = counted.num_given = 0;
    counted.fail_at = -1;
    counted.status = RBC_ERROR_OUT_OF_MEMORY;
    return s;
}

/* A thread of the loader may be the last to let go of it. */
static void await_left(int64_t count) {
    for (int i = 0; i < 20000; ++i) {
        pthread_mutex_lock(&counted.lock);
        const int64_t left = counted.num_left;
        pthread_mutex_unlock(&counted.lock);
        if (left == count) {
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    fail_msg("%lld blocks are left, not %lld", (long long)counted.num_left, (long long)count);
}

/* One stream of each device that was used stays, to allocate on. */
static void check_all_is_freed(void) {
    int num_streams = 0;
    for (int i = 0; i < HOST_DEVICE_COUNT; ++i) {
        num_streams += counted.streams[i] != NULL;
    }
    await_left(0);
    check_left(num_streams);
    assert_int_equal(counted.bytes_left, 0);
}

static void close_loader(rbc_loader **loader) {
    atomic_store(&counted.loader, NULL);
    rbc_loader_destroy(loader);
}

static copied wanted[MAX_BATCHES], found[MAX_BATCHES];

static void all_memory_of_the_device_is_the_allocators(void **state) {
    (void)state;
    for (int trial = 0; trial < 8; ++trial) {
        setup *s = begin();
        s->params.num_slots = trial % 4 < 2 ? 0 : 1;
        const DLDevice where = {kDLCUDA, trial / 4};
        atomic_store(&device->max_pause_us, 100);
        rbc_loader *loader = open_on(s, cpu);
        const int64_t count = train(loader, NULL, wanted);
        assert_int_equal(counted.num_calls, 0);
        rbc_loader_destroy(&loader);
        s->params.fixed_slots = trial % 2;
        loader = open_on(s, where);
        atomic_store(&counted.loader, loader);
        CUstream stream = make_stream(where.device_id);
        assert_int_equal(train(loader, stream, found), count);
        compare(wanted, found, count);
        assert_true(counted.num_given >= 4); /* workers', slots' and where there is one the front */
        assert_int_equal(atomic_load(&bytes->on_device), 0); /* nothing is the driver's */
        rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
        assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
        assert_int_equal(memory.device_bytes, counted.bytes_left);
        close_loader(&loader);
        assert_int_equal(driver->stream_destroy(stream), 0);
        drop(wanted, count);
        drop(found, count);
        check_all_is_freed();
    }
    atomic_store(&device->max_pause_us, 0);
}

/* Batches that outlive their loader keep the allocator in use. */
static void batches_free_what_they_hold(void **state) {
    (void)state;
    setup *s = begin();
    s->params.num_slots = 1;
    rbc_loader *loader = open_on(s, cuda0);
    atomic_store(&counted.loader, loader);
    rbc_batch *held[6] = {0};
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(rbc_loader_next(loader, -1, &held[i], NULL), RBC_OK);
    }
    for (int i = 0; i < 3; ++i) { /* of more slots than are kept: their memory is freed at once */
        rbc_batch_release(&held[i]);
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_in_range(stats.slots, 3, 4);
    close_loader(&loader);
    await_left(3);
    for (int i = 3; i < 6; ++i) {
        rbc_batch_release(&held[i]);
    }
    check_all_is_freed();
}

/* Each call fails once: with what the allocator says, or with what the device has failed by before. */
static void failures_are_told(void **state) {
    (void)state;
    static const rbc_status statuses[] = {RBC_ERROR_OUT_OF_MEMORY, RBC_ERROR_DEVICE};
    int num_failed = 0;
    for (int n = 0; n < 24; ++n) {
        setup *s = begin();
        s->params.fixed_slots = n % 3 == 0;
        rbc_selection *selection = fake_create(&s->fake);
        s->params.device = cuda0;
        rbc_loader *loader = NULL;
        rbc_error error;
        counted.fail_at = n / 2;
        counted.status = statuses[n % 2];
        bool has_failed = false;
        rbc_status status = rbc_loader_create(selection, &s->params, &loader, &error);
        int64_t count = 0;
        do {
            rbc_batch *batch = NULL;
            if (status != RBC_OK) {
                assert_int_equal(status, statuses[n % 2]);
                assert_non_null(strstr(error.message, " bytes "));
                assert_non_null(
                    strstr(error.message, "memory, CUDA device 0: the allocator says no"));
                assert_false(has_failed);
                has_failed = true;
            }
            status = loader == NULL ? RBC_END : rbc_loader_next(loader, -1, &batch, &error);
            count += status == RBC_OK;
            rbc_batch_release(&batch);
        } while (status != RBC_END);
        assert_true(loader == NULL || count == rbc_loader_num_batches(loader));
        num_failed += has_failed;
        close_loader(&loader);
        rbc_selection_destroy(&selection);
        check_all_is_freed();
    }
    assert_true(num_failed > 6);
}

static void an_allocator_has_both_functions(void **state) {
    (void)state;
    setup *s = begin();
    rbc_selection *selection = fake_create(&s->fake);
    rbc_device_allocator half = RBC_DEVICE_ALLOCATOR_INIT;
    half.allocate = allocate;
    rbc_loader *loader = NULL;
    rbc_error error;
    s->params.device = cuda0;
    s->params.device_allocator = &half;
    assert_int_equal(rbc_loader_create(selection, &s->params, &loader, &error),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "device_allocator lacks a function"));
    half.struct_size = 3;
    assert_int_equal(rbc_loader_create(selection, &s->params, &loader, &error),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "device_allocator"));
    rbc_selection_destroy(&selection);
}

int main(void) {
    if (!training_begin() || pthread_mutex_init(&counted.lock, NULL) != 0) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_memory_of_the_device_is_the_allocators),
        cmocka_unit_test(batches_free_what_they_hold),
        cmocka_unit_test(failures_are_told),
        cmocka_unit_test(an_allocator_has_both_functions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
