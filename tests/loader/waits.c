/* Which stage the consumer waits for, and that all its time is told. Nothing here is slow: stores
 * and decoders stand still until they are let go on. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <setjmp.h>
#include <spng.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/monotonic.h"
#include "drive.h"

/* A defect shows as a test that does not end within this. */
#define PATIENCE_NS INT64_C(120000000000)

static atomic_bool decoders_stand;

/* The decoder of PNG, which may stand still. */
int spng_decode_image(spng_ctx *ctx, void *out, size_t len, int fmt, int flags) {
    int (*decode)(spng_ctx *, void *, size_t, int, int) = NULL;
    void *found = dlsym(RTLD_NEXT, "spng_decode_image");
    memcpy(&decode, &found, sizeof decode);
    while (atomic_load(&decoders_stand)) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return decode(ctx, out, len, fmt, flags);
}

static rbc_loader_stages stages_of(rbc_loader *loader) {
    rbc_loader_stages stages = RBC_LOADER_STAGES_INIT;
    assert_int_equal(rbc_loader_get_stages(loader, &stages, NULL), RBC_OK);
    return stages;
}

static int64_t sum_of(const int64_t *values) {
    int64_t sum = 0;
    for (int i = 0; i < RBC_MAX_STAGES; ++i) {
        sum += values[i];
    }
    return sum;
}

/* Waits once, for a batch that does not come: whether all of that was for one stage. */
static bool waits_for_only(rbc_loader *loader, rbc_stage stage, int64_t timeout_ns) {
    const rbc_loader_stages before = stages_of(loader);
    rbc_batch *batch = NULL;
    assert_int_equal(rbc_loader_next(loader, timeout_ns, &batch, NULL), RBC_TIMEOUT);
    const rbc_loader_stages after = stages_of(loader);
    const int64_t waited = sum_of(after.wait_ns) - sum_of(before.wait_ns);
    assert_true(waited >= timeout_ns);
    assert_int_equal(after.waits_for, -1);
    return after.wait_ns[stage] - before.wait_ns[stage] == waited;
}

/* What comes to a stand has come there some time; from then on all waiting is for it. */
static void assert_waits_for(rbc_loader *loader, rbc_stage stage) {
    const int64_t begin_ns = rbc__now_ns();
    for (int in_turn = 0; in_turn < 5;) {
        assert_true(rbc__now_ns() - begin_ns < PATIENCE_NS);
        in_turn = waits_for_only(loader, stage, 5000000) ? in_turn + 1 : 0;
    }
}

static void assert_adds_up(rbc_loader *loader) {
    rbc_loader_stats stats;
    const int64_t read = stages_of(loader).bytes[RBC_STAGE_READ]; /* threads may read on */
    rbc_loader_get_stats(loader, &stats);
    const rbc_loader_stages stages = stages_of(loader);
    assert_int_equal(sum_of(stages.wait_ns), stats.wait_ns);
    assert_in_range(stats.bytes_read, read, stages.bytes[RBC_STAGE_READ]);
}

static void finish(rbc_loader *loader, const uint64_t *good, int64_t count) {
    static uint64_t found[MAX_BATCHES];
    assert_int_equal(drain(loader, found), count);
    assert_memory_equal(found, good, (size_t)count * sizeof *found);
    assert_adds_up(loader);
    rbc_loader_destroy(&loader);
}

static int64_t digest_all(const setup *s, uint64_t *digests) {
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, digests);
    assert_adds_up(loader);
    rbc_loader_destroy(&loader);
    return count;
}

/* Stores that are read by workers or by fetchers, single samples or blocks that threads share. */
static void what_stands_still_is_waited_for(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    for (int run = 0; run < 8; ++run) {
        atomic_bool hangs;
        setup *s = make_setup();
        s->fake.is_remote = run % 2 == 1;
        s->fake.is_packed = run / 2 % 2 == 1;
        s->params.num_threads = run / 4 == 0 ? 1 : 3;
        const int64_t count = digest_all(s, good);

        atomic_init(&hangs, false);
        s->fake.hangs = &hangs;
        rbc_loader *loader = open_loader(s);
        atomic_store(&hangs, true);
        assert_waits_for(loader, RBC_STAGE_READ);
        assert_int_equal(stages_of(loader).batches_ready, 0);
        atomic_store(&hangs, false);
        finish(loader, good, count);

        s->fake.hangs = NULL;
        loader = open_loader(s);
        atomic_store(&decoders_stand, true);
        assert_waits_for(loader, RBC_STAGE_DECODE);
        assert_int_equal(stages_of(loader).batches_ready, 0);
        atomic_store(&decoders_stand, false);
        finish(loader, good, count);
    }
}

/* While the consumer does not come there is nothing to do, and when it comes nothing to wait for. */
static void a_consumer_that_does_not_come_is_told(void **state) {
    (void)state;
    for (int run = 0; run < 2; ++run) {
        setup *s = make_setup();
        s->fake.is_remote = run == 1;
        s->params.num_slots = 3;
        rbc_loader *loader = open_loader(s);
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        rbc_batch_release(&batch);
        const int64_t begin_ns = rbc__now_ns();
        rbc_loader_stages stages = stages_of(loader);
        /* of a store later batches may come first and take the other slots */
        while (stages.batches_ready < 1 || stages.num_idle < stages.num_threads) {
            assert_true(rbc__now_ns() - begin_ns < PATIENCE_NS);
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            stages = stages_of(loader);
        }
        assert_int_equal(stages.num_threads, 2);
        assert_int_equal(stages.num_fetchers > 0, run == 1);
        assert_true(stages.batches_begun >= stages.batches_ready);
        const rbc_loader_stages later = stages_of(loader);
        assert_true(later.idle_ns > stages.idle_ns);
        assert_memory_equal(later.wait_ns, stages.wait_ns, sizeof later.wait_ns);
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        rbc_batch_release(&batch);
        const rbc_loader_stages after = stages_of(loader);
        assert_int_equal(sum_of(after.wait_ns) - sum_of(later.wait_ns),
                         after.wait_ns[RBC_STAGE_DELIVER] - later.wait_ns[RBC_STAGE_DELIVER]);
        assert_adds_up(loader);
        rbc_loader_destroy(&loader);
    }
}

static void bytes_are_those_that_come_out(void **state) {
    (void)state;
    static uint64_t digests[MAX_BATCHES];
    setup *s = make_setup();
    s->params.num_windows = 3; /* state, action, image */
    rbc_loader *loader = open_loader(s);
    drain(loader, digests);
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    const rbc_loader_stages stages = stages_of(loader);
    const int64_t row = 2 * 7 * 4 + 8 * 4 * 8 + 2 * FAKE_IMAGE_BYTES; /* values */
    const int64_t masks = 2 * (2 + 8 + 2) + 4 * 8;                    /* and facts */
    assert_int_equal(stages.bytes[RBC_STAGE_DELIVER], stats.samples_delivered * (row + masks));
    assert_int_equal(stages.bytes[RBC_STAGE_DECODE], stats.images_decoded * FAKE_IMAGE_BYTES);
    assert_int_equal(stages.bytes[RBC_STAGE_UNPACK], 0);
    assert_true(stages.busy_ns[RBC_STAGE_ORDER] > 0 && stages.busy_ns[RBC_STAGE_READ] > 0 &&
                stages.busy_ns[RBC_STAGE_DECODE] > 0 && stages.busy_ns[RBC_STAGE_ALIGN] > 0);
    rbc_loader_destroy(&loader);
    s->fake.is_packed = true;
    loader = open_loader(s);
    drain(loader, digests);
    assert_true(stages_of(loader).bytes[RBC_STAGE_UNPACK] > 0);
    assert_true(stages_of(loader).busy_ns[RBC_STAGE_UNPACK] > 0);
    rbc_loader_destroy(&loader);
}

static void a_wrong_size_is_an_error(void **state) {
    (void)state;
    rbc_loader *loader = open_loader(make_setup());
    rbc_loader_stages stages = {.struct_size = sizeof stages + 8};
    rbc_error error;
    assert_int_equal(rbc_loader_get_stages(loader, &stages, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "stages.struct_size"));
    rbc_loader_destroy(&loader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_stands_still_is_waited_for),
        cmocka_unit_test(a_consumer_that_does_not_come_is_told),
        cmocka_unit_test(bytes_are_those_that_come_out),
        cmocka_unit_test(a_wrong_size_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
