/* Stores that are slow, fall short or hold damaged data, and what the stages make of them. */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "drive.h"

#define NUM_EPISODES 20

static rbc_loader_memory memory_of(const rbc_loader *loader) {
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
    return memory;
}

/* ---- shortages ----------------------------------------------------------------------------------
 */

/* What a loader makes of the epoch: a digest for each batch, 0 where it failed for good. Shortages
 * are gone over, and counted in `shortages` by their code. */
static int64_t outcome(rbc_loader *loader, uint64_t *digests, int64_t shortages[256]) {
    const int64_t count = rbc_loader_num_batches(loader);
    for (int64_t i = 0; i < count;) {
        rbc_batch *batch = NULL;
        int64_t epoch = -1;
        int64_t position = -1;
        rbc_loader_tell(loader, &epoch, &position);
        assert_int_equal(rbc_loader_batches_left(loader), count - i);
        rbc_error error;
        const rbc_status status = rbc_loader_next(loader, -1, &batch, &error);
        if (status == RBC_OK) {
            assert_int_equal(rbc_batch_position(batch), position);
            digests[i++] = digest_of(batch);
            rbc_batch_release(&batch);
        } else if (status == RBC_ERROR_IO) {
            assert_true(error.device_code > 0 && error.device_code < 256);
            ++shortages[error.device_code];
            assert_non_null(strstr(error.message, "fake file: "));
            assert_non_null(strstr(error.message, strerror(error.device_code)));
            assert_non_null(strstr(error.message, "episode 1"));
        } else {
            assert_int_equal(status, RBC_ERROR_FORMAT);
            assert_non_null(strstr(error.message, "fake file: byte"));
            digests[i++] = 0;
        }
    }
    rbc_batch *batch = NULL;
    assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_END);
    return count;
}

static void shortages_are_raised_and_nothing_is_lost(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    static uint64_t other[MAX_BATCHES];
    int64_t shortages[256] = {0};
    const rbc_on_error policies[] = {RBC_ON_ERROR_RAISE, RBC_ON_ERROR_SKIP, RBC_ON_ERROR_MASK};
    for (int run = 0; run < 24; ++run) {
        setup *s = make_setup();
        s->params.on_error = policies[run % 3];
        s->fake.failing_step = 20; /* in a few episodes */
        s->fake.failing_episode = 5;
        s->fake.is_packed = run / 3 % 2 == 1;
        s->params.num_threads = 1;
        rbc_loader *loader = open_loader(s);
        const int64_t count = outcome(loader, good, shortages);
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        const int64_t skipped = stats.samples_skipped;
        const int64_t masked = memory_of(loader).samples_masked;
        rbc_loader_destroy(&loader);
        assert_true((skipped > 0) == (s->params.on_error == RBC_ON_ERROR_SKIP));
        assert_true((masked > 0) == (s->params.on_error == RBC_ON_ERROR_MASK));

        s->fake.short_every = 7;
        s->fake.is_remote = run / 6 % 2 == 1;
        s->params.num_threads = run / 12 == 0 ? 1 : 3;
        loader = open_loader(s);
        int64_t counts[256] = {0};
        assert_int_equal(outcome(loader, other, counts), count);
        assert_memory_equal(good, other, (size_t)count * sizeof *good);
        rbc_loader_get_stats(loader, &stats);
        assert_int_equal(stats.samples_skipped, skipped);
        assert_int_equal(memory_of(loader).samples_masked, masked);
        for (int64_t i = 0; i < skipped + masked; ++i) {
            char message[RBC_ERROR_MESSAGE_BYTES];
            assert_int_equal(rbc_loader_skipped(loader, i, message, sizeof message, NULL), RBC_OK);
            assert_non_null(strstr(message, "is damaged"));
        }
        rbc_loader_destroy(&loader);
        for (int code = 0; code < 256; ++code) {
            shortages[code] += counts[code];
        }
    }
    const int codes[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR, ETIMEDOUT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; ++i) {
        assert_true(shortages[codes[i]] > 0);
    }
}

static atomic_int num_refused;       /* so often there is no memory */
static _Atomic size_t refused_bytes; /* for so many bytes; 0: for any */

static void *limited_alloc(size_t alignment, size_t bytes) {
    void *(*alloc)(size_t, size_t);
    void *symbol = dlsym(RTLD_NEXT, "aligned_alloc");
    memcpy(&alloc, &symbol, sizeof alloc);
    const size_t refused = atomic_load(&refused_bytes);
    if (atomic_load(&num_refused) > 0 && (refused == 0 || refused == bytes)) {
        atomic_fetch_sub(&num_refused, 1);
        return NULL;
    }
    return alloc(alignment, bytes);
}

/* In place of the system's: the library is linked into this program. */
extern __typeof(aligned_alloc) aligned_alloc __attribute__((alias("limited_alloc")));

static void a_batch_without_memory_comes_later(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    static rbc_batch *held[MAX_BATCHES];
    for (int run = 0; run < 24; ++run) {
        setup *s = make_setup();
        s->params.batch_size = run / 6 % 2 == 0 ? 20 : 1000; /* all of the epoch */
        rbc_loader *loader = open_loader(s);
        const int64_t count = drain(loader, good);
        rbc_loader_destroy(&loader);
        s->fake.is_remote = run % 2 == 1;
        s->params.on_error = (rbc_on_error)(run / 2 % 3);
        loader = open_loader(s);
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        atomic_store(&refused_bytes, run / 12 == 0 ? (size_t)stats.slot_bytes : 0);
        atomic_store(&num_refused, 10);
        int64_t failures = 0;
        for (int64_t i = 0; i < count;) {
            rbc_error error;
            if (rbc_loader_next(loader, -1, &held[i], &error) == RBC_OK) {
                assert_true(digest_of(held[i]) == good[i]);
                ++i;
            } else {
                assert_int_equal(error.status, RBC_ERROR_OUT_OF_MEMORY);
                ++failures;
            }
        }
        assert_true(failures > 0);
        atomic_store(&num_refused, 0);
        for (int64_t i = 0; i < count; ++i) {
            rbc_batch_release(&held[i]);
        }
        rbc_loader_destroy(&loader);
    }
}

/* ---- masks --------------------------------------------------------------------------------------
 */

static bool is_damaged(int64_t episode, int64_t failing_step) {
    return episode == 5 || (episode % 3 == 0 && fake_num_steps(episode) > failing_step);
}

static int64_t row_bytes_of(const rbc_field *field) {
    int64_t elements = 1;
    for (int32_t d = 1; d < field->tensor.ndim; ++d) {
        elements *= field->tensor.shape[d];
    }
    return elements * field->tensor.dtype.bits / 8;
}

static const uint8_t *row_of(const rbc_field *field, int64_t row) {
    return (const uint8_t *)field->tensor.data + row * row_bytes_of(field);
}

static bool is_of_index(const char *name) {
    return strcmp(name, "episode_index") == 0 || strcmp(name, "episode_id") == 0 ||
           strcmp(name, "step_index") == 0 || strcmp(name, "time_ns") == 0 ||
           strcmp(name, "task") == 0;
}

static void assert_same_text(const rbc_batch *a, const rbc_batch *b, int32_t field, int64_t at) {
    uint64_t bytes = 0;
    uint64_t other = 0;
    const char *text = rbc_batch_text(a, field, at, &bytes);
    const char *other_text = rbc_batch_text(b, field, at, &other);
    assert_int_equal(bytes, other);
    assert_memory_equal(text, other_text, bytes);
}

static void assert_masked(const rbc_batch *batch, int32_t f, int64_t row) {
    const rbc_field *field = rbc_batch_field(batch, f);
    if (field->kind == RBC_FIELD_TEXT) {
        const int64_t width = field->tensor.ndim > 1 ? field->tensor.shape[1] : 1;
        for (int64_t i = 0; i < width; ++i) {
            uint64_t bytes = 1;
            rbc_batch_text(batch, f, row * width + i, &bytes);
            assert_int_equal(bytes, 0);
        }
        return;
    }
    const bool is_nan = strcmp(field->name, "action") == 0;
    const uint8_t *data = row_of(field, row);
    for (int64_t i = 0; i < row_bytes_of(field); i += is_nan ? 8 : 1) {
        double value = 0.0;
        memcpy(&value, data + i, is_nan ? sizeof value : 1);
        assert_true(is_nan ? isnan(value) : data[i] == 0);
    }
}

static void damaged_rows_are_masked(void **state) {
    (void)state;
    for (int run = 0; run < 6; ++run) {
        setup *s = make_setup();
        s->windows[1].outside = RBC_OUTSIDE_NAN;
        s->params.shuffle = run % 2;
        rbc_loader *whole = open_loader(s);
        s->fake.failing_step = 4;
        s->fake.failing_episode = 5;
        s->fake.is_remote = run / 2 == 1;
        s->fake.is_packed = run / 2 == 2;
        s->params.on_error = RBC_ON_ERROR_MASK;
        s->params.num_threads = run + 1;
        rbc_loader *loader = open_loader(s);
        rbc_batch *batch = NULL;
        rbc_batch *good = NULL;
        int64_t num_masked = 0;
        while (rbc_loader_next(whole, -1, &good, NULL) == RBC_OK) {
            assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
            assert_int_equal(num_rows(batch), num_rows(good));
            for (int64_t row = 0; row < num_rows(batch); ++row) {
                const int64_t episode = numbers_of(good, "episode_index")[row];
                const bool is_masked = is_damaged(episode, 4);
                num_masked += is_masked;
                for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
                    const rbc_field *field = rbc_batch_field(batch, f);
                    const rbc_field *other = rbc_batch_field(good, f);
                    if (is_masked && (!is_of_index(field->name) ||
                                      (episode == 5 && strcmp(field->name, "task") == 0))) {
                        assert_masked(batch, f, row);
                    } else if (field->kind == RBC_FIELD_TEXT) {
                        const int64_t width = field->tensor.ndim > 1 ? field->tensor.shape[1] : 1;
                        for (int64_t i = 0; i < width; ++i) {
                            assert_same_text(batch, good, f, row * width + i);
                        }
                    } else {
                        assert_memory_equal(row_of(field, row), row_of(other, row),
                                            (size_t)row_bytes_of(field));
                    }
                }
            }
            rbc_batch_release(&good);
            rbc_batch_release(&batch);
        }
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_END);
        assert_true(num_masked > 0);
        assert_int_equal(memory_of(loader).samples_masked, num_masked);
        char message[RBC_ERROR_MESSAGE_BYTES];
        for (int64_t i = 0; i < num_masked; ++i) {
            assert_int_equal(rbc_loader_skipped(loader, i, message, sizeof message, NULL), RBC_OK);
            assert_non_null(strstr(message, "fake file: byte"));
            assert_non_null(strstr(message, "episode 1"));
        }
        assert_int_equal(rbc_loader_skipped(loader, num_masked, message, sizeof message, NULL),
                         RBC_ERROR_NOT_FOUND);
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        assert_int_equal(stats.samples_skipped, 0);
        assert_int_equal(stats.samples_delivered, rbc_loader_num_samples(loader));
        rbc_loader_destroy(&loader);
        rbc_loader_destroy(&whole);
    }
}

/* ---- fetchers -----------------------------------------------------------------------------------
 */

/* Batches of several ranges, so that fetchers share them. */
static setup *make_large(int64_t read_us) {
    setup *s = make_setup();
    s->fake.num_episodes = 60;
    s->fake.read_us = read_us;
    s->params.batch_size = 80;
    return s;
}

static void fetching_by_others_changes_no_batch(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    static uint64_t other[MAX_BATCHES];
    const int32_t threads[] = {1, 2, 5};
    const int32_t slots[] = {0, 1, 3};
    for (int run = 0; run < 36; ++run) {
        setup *s = make_large(0);
        s->params.shuffle = run % 3;
        s->fake.is_packed = run / 3 % 2 == 1;
        s->params.num_threads = 2;
        rbc_loader *loader = open_loader(s);
        const int64_t count = drain(loader, good);
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        assert_false(memory_of(loader).is_split);
        rbc_loader_destroy(&loader);

        s->fake.is_remote = true;
        s->fake.read_us = run % 2 == 0 ? 1000 : 0;
        s->params.num_threads = threads[run % 3];
        s->params.num_slots = slots[run / 6 % 3];
        s->params.memory_bytes =
            run / 18 == 0 ? 0 : 4 * stats.slot_bytes * (s->params.num_slots + 1);
        loader = open_loader(s);
        assert_true(memory_of(loader).is_split);
        assert_int_equal(drain(loader, other), count);
        assert_memory_equal(good, other, (size_t)count * sizeof *good);
        /* Anywhere else in the epoch, with batches held. */
        rbc_batch *held[8] = {NULL};
        int64_t at[8];
        for (int64_t i = 0; i < 8; ++i) {
            at[i] = i * 5 % count;
            assert_int_equal(rbc_loader_seek(loader, 0, position_of(loader, s, at[i]), NULL),
                             RBC_OK);
            assert_int_equal(rbc_loader_next(loader, -1, &held[i], NULL), RBC_OK);
        }
        for (int64_t i = 0; i < 8; ++i) {
            assert_true(digest_of(held[i]) == good[at[i]]);
            rbc_batch_release(&held[i]);
        }
        rbc_loader_destroy(&loader);
    }
    assert_int_equal(fake_num_open(), 0);
}

/* Most that was fetched ahead in an epoch. */
static int64_t peak_of(const setup *s, int64_t *ahead_bytes, int64_t num_held) {
    static rbc_batch *held[MAX_BATCHES];
    rbc_loader *loader = open_loader(s);
    rbc_batch *batch = NULL;
    int64_t count = 0;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* what can, runs ahead */
        if (count < num_held) {
            held[count++] = batch;
        } else {
            rbc_batch_release(&batch);
        }
    }
    const rbc_loader_memory memory = memory_of(loader);
    *ahead_bytes = memory.bound_bytes / 8;
    while (count > 0) {
        rbc_batch_release(&held[--count]);
    }
    rbc_loader_destroy(&loader);
    return memory.fetched_peak_bytes;
}

static void what_is_fetched_ahead_is_bounded(void **state) {
    (void)state;
    setup *s = make_large(2000);
    s->fake.is_remote = true;
    s->params.batch_size = 32; /* a range */
    s->params.num_slots = 1;
    rbc_loader *loader = open_loader(s);
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    rbc_loader_destroy(&loader);
    /* So little room that only the batch that is due goes on. */
    int64_t ahead;
    s->params.memory_bytes = 4 * stats.slot_bytes;
    const int64_t one = peak_of(s, &ahead, 0);
    assert_true(ahead < stats.slot_bytes);
    assert_true(one > ahead && one < 8 * stats.slot_bytes);
    for (int64_t room = 2; room <= 8; room *= 2) {
        s->params.memory_bytes = 8 * room * one;
        const int64_t peak = peak_of(s, &ahead, room == 4 ? 5 : 0);
        assert_int_equal(ahead, room * one);
        print_message("%.1f batches fetched ahead, room for %lld\n", (double)peak / (double)one,
                      (long long)room);
        assert_true(peak <= ahead + 2 * one);
        assert_true(peak > one);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shortages_are_raised_and_nothing_is_lost),
        cmocka_unit_test(a_batch_without_memory_comes_later),
        cmocka_unit_test(damaged_rows_are_masked),
        cmocka_unit_test(fetching_by_others_changes_no_batch),
        cmocka_unit_test(what_is_fetched_ahead_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
