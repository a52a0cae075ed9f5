/* Stores that hang: whoever waits hears of it, closes and seeks all the same, and nothing is lost. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/monotonic.h"
#include "drive.h"

/* Takes what was ready before the store hung. */
static void assert_times_out(rbc_loader *loader) {
    rbc_batch *batch = NULL;
    rbc_error error;
    rbc_status status;
    while ((status = rbc_loader_next(loader, 20000000, &batch, &error)) == RBC_OK) {
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_TIMEOUT);
    assert_null(batch);
    assert_int_equal(rbc_loader_next(loader, 0, &batch, &error), RBC_TIMEOUT);
}

static void assert_next_is(rbc_loader *loader, uint64_t digest) {
    rbc_batch *batch = NULL;
    rbc_error error;
    if (rbc_loader_next(loader, -1, &batch, &error) != RBC_OK) {
        fail_msg("%s", error.message);
    }
    assert_true(digest_of(batch) == digest);
    rbc_batch_release(&batch);
}

/* Closing waits for 0.1 s; the bound here is for machines that are busy. */
static void assert_closes(rbc_loader **loader) {
    const int64_t begin_ns = rbc__now_ns();
    rbc_loader_destroy(loader);
    const double seconds = (double)(rbc__now_ns() - begin_ns) * 1e-9;
    print_message("closed in %.3f s\n", seconds);
    assert_true(seconds < 10.0);
}

static void a_store_that_hangs_holds_nobody_up(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    enum { NUM_LOADERS = 3 };
    atomic_bool hangs;
    const int before = num_threads_at_rest();
    for (int run = 0; run < 8; ++run) {
        setup *s = make_setup();
        s->fake.is_remote = run % 2 == 1;
        s->fake.is_packed = run / 2 % 2 == 1;
        s->params.num_threads = run / 4 == 0 ? 1 : 3;
        rbc_loader *loader = open_loader(s);
        const int64_t count = drain(loader, good);
        rbc_loader_destroy(&loader);
        atomic_init(&hangs, false);
        s->fake.hangs = &hangs;
        rbc_loader *loaders[NUM_LOADERS];
        for (int i = 0; i < NUM_LOADERS; ++i) {
            loaders[i] = open_loader(s);
            assert_next_is(loaders[i], good[0]);
        }
        atomic_store(&hangs, true);
        for (int i = 0; i < NUM_LOADERS; ++i) {
            const int64_t begin_ns = rbc__now_ns();
            assert_int_equal(rbc_loader_seek(loaders[i], 0, position_of(loaders[i], s, 5), NULL),
                             RBC_OK);
            assert_true(rbc__now_ns() - begin_ns < 10000000000);
            assert_times_out(loaders[i]);
        }
        for (int i = 1; i < NUM_LOADERS; ++i) {
            assert_closes(&loaders[i]);
        }
        /* One goes on when the hang ends; what was closed is freed then, by who hung. */
        int64_t next = 7;
        assert_int_equal(rbc_loader_seek(loaders[0], 0, position_of(loaders[0], s, next), NULL),
                         RBC_OK);
        assert_times_out(loaders[0]);
        int64_t epoch = -1;
        int64_t position = -1;
        rbc_loader_tell(loaders[0], &epoch, &position);
        assert_int_equal(position, position_of(loaders[0], s, next));
        atomic_store(&hangs, false);
        while (next < count) {
            assert_next_is(loaders[0], good[next++]);
        }
        rbc_loader_destroy(&loaders[0]);
        await_threads(before);
        assert_int_equal(fake_num_open(), 0);
    }
}

/* What hangs has claimed blocks, which nobody waits for once it is not wanted any more. */
static void a_seek_leaves_a_read_that_hangs_behind(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    const int before = num_threads_at_rest();
    for (int run = 0; run < 4; ++run) {
        atomic_bool hangs;
        atomic_int until;
        setup *s = make_setup();
        s->fake.is_packed = true;
        s->fake.is_remote = run % 2 == 1; /* with fetchers of its own */
        s->params.num_threads = 4;
        rbc_loader *loader = open_loader(s);
        const int64_t count = drain(loader, good);
        rbc_loader_destroy(&loader);
        atomic_init(&hangs, true);
        atomic_init(&until, 0);
        s->fake.hangs = &hangs;
        s->fake.until_hang = &until;
        loader = open_loader(s);
        atomic_store(&until, 1 + run / 2); /* of episodes, then of blocks */
        assert_int_equal(rbc_loader_seek(loader, 0, 0, NULL), RBC_OK);
        while (atomic_load(&until) > 0) { /* until it hangs, which no later read does */
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        }
        assert_times_out(loader);
        assert_int_equal(rbc_loader_seek(loader, 0, 0, NULL), RBC_OK);
        for (int64_t i = 0; i < count; ++i) {
            assert_next_is(loader, good[i]);
        }
        rbc_loader_destroy(&loader);
        atomic_store(&hangs, false);
        await_threads(before);
    }
}

static void a_loader_that_was_never_used_closes_while_its_store_hangs(void **state) {
    (void)state;
    atomic_bool hangs;
    const int before = num_threads_at_rest();
    for (int run = 0; run < 4; ++run) {
        setup *s = make_setup();
        s->fake.is_remote = run % 2 == 1;
        atomic_init(&hangs, false);
        s->fake.hangs = &hangs;
        rbc_loader *loader = open_loader(s);
        rbc_batch *batch = NULL;
        atomic_store(&hangs, true);
        if (run / 2 == 1) {
            assert_int_equal(rbc_loader_next(loader, 0, &batch, NULL), RBC_TIMEOUT);
        }
        assert_closes(&loader);
        atomic_store(&hangs, false);
        await_threads(before);
    }
}

/* What is heard while a loader is made. */
typedef struct hearing {
    atomic_bool *hangs;
    int calls, calls_until;
    bool is_stopped; /* the last call stops, else it ends the hang */
} hearing;

static int hear(void *user) {
    hearing *h = user;
    if (++h->calls < h->calls_until) {
        return 0;
    }
    atomic_store(h->hangs, h->is_stopped);
    return h->is_stopped;
}

static void making_a_loader_hears_interrupts_while_its_store_hangs(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    const int before = num_threads_at_rest();
    for (int run = 0; run < 4; ++run) {
        atomic_bool hangs;
        setup *s = make_setup();
        s->fake.is_remote = run % 2 == 1;
        rbc_loader *loader = open_loader(s);
        const int64_t count = drain(loader, good);
        rbc_loader_destroy(&loader);
        atomic_init(&hangs, true);
        s->fake.hangs = &hangs;
        hearing h = {.hangs = &hangs, .calls_until = 4, .is_stopped = run / 2 == 0};
        s->params.interrupt = hear;
        s->params.interrupt_user = &h;
        rbc_selection *selection = fake_create(&s->fake);
        rbc_error error;
        const int64_t begin_ns = rbc__now_ns();
        const rbc_status status = rbc_loader_create(selection, &s->params, &loader, &error);
        const double seconds = (double)(rbc__now_ns() - begin_ns) * 1e-9;
        rbc_selection_destroy(&selection);
        print_message("made in %.3f s\n", seconds);
        assert_true(seconds < 10.0);           /* 0.15 but for machines that are busy */
        assert_true(h.calls >= h.calls_until); /* more, where what is left to read takes its time */
        if (h.is_stopped) {
            assert_int_equal(h.calls, h.calls_until);
            assert_int_equal(status, RBC_ERROR_CANCELLED);
            assert_null(loader);
            atomic_store(&hangs, false);
        } else {
            assert_int_equal(status, RBC_OK);
            for (int64_t i = 0; i < count; ++i) {
                assert_next_is(loader, good[i]);
            }
            rbc_loader_destroy(&loader);
        }
        await_threads(before);
        assert_int_equal(fake_num_open(), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_that_hangs_holds_nobody_up),
        cmocka_unit_test(making_a_loader_hears_interrupts_while_its_store_hangs),
        cmocka_unit_test(a_seek_leaves_a_read_that_hangs_behind),
        cmocka_unit_test(a_loader_that_was_never_used_closes_while_its_store_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
