/* Order, threads, ranks, resuming, holding, failing and stopping. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "drive.h"

static const int32_t now[] = {0};

static void threads_do_not_change_batches(void **state) {
    (void)state;
    setup *s = make_setup();
    static uint64_t first[MAX_BATCHES];
    static uint64_t other[MAX_BATCHES];
    const int32_t threads[] = {1, 2, 7};
    const int32_t slots[] = {0, 1, 3};
    int64_t count = 0;
    for (size_t t = 0; t < 3; ++t) {
        s->params.num_threads = threads[t];
        s->params.num_slots = slots[t];
        rbc_loader *loader = open_loader(s);
        const int64_t got = drain(loader, t == 0 ? first : other);
        assert_int_equal(got, rbc_loader_num_batches(loader));
        if (t == 0) {
            count = got;
            assert_int_equal(count, (rbc_loader_num_samples(loader) + 19) / 20);
        } else {
            assert_int_equal(got, count);
            assert_memory_equal(first, other, (size_t)count * sizeof *first);
        }
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_END);
        rbc_loader_destroy(&loader);
        assert_null(loader);
    }
    assert_int_equal(fake_num_open(), 0);
}

static void ranks_share_the_batches_of_one(void **state) {
    (void)state;
    setup *s = make_setup();
    static uint64_t single[MAX_BATCHES];
    static uint64_t part[MAX_BATCHES];
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, single);
    rbc_loader_destroy(&loader);
    s->params.world_size = 3;
    int64_t seen = 0;
    for (int32_t rank = 0; rank < 3; ++rank) {
        s->params.rank = rank;
        loader = open_loader(s);
        const int64_t of_rank = drain(loader, part);
        for (int64_t i = 0; i < of_rank; ++i) {
            assert_int_equal(part[i], single[i * 3 + rank]);
        }
        seen += of_rank;
        rbc_loader_destroy(&loader);
    }
    assert_int_equal(seen, count);
}

static void every_sample_comes_once(void **state) {
    (void)state;
    setup *s = make_setup();
    rbc_loader *loader = open_loader(s);
    static int seen[20][64];
    for (int64_t epoch = 0; epoch < 2; ++epoch) {
        memset(seen, 0, sizeof seen);
        assert_int_equal(rbc_loader_seek(loader, epoch, 0, NULL), RBC_OK);
        rbc_batch *batch = NULL;
        int64_t index = 0;
        while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
            assert_int_equal(rbc_batch_position(batch), s->params.batch_size * index++);
            for (int64_t i = 0; i < num_rows(batch); ++i) {
                seen[(numbers_of(batch, "episode_id")[i] - 1000) / 3]
                    [numbers_of(batch, "step_index")[i]]++;
            }
            rbc_batch_release(&batch);
        }
        for (int64_t e = 0; e < 20; ++e) {
            for (int64_t t = 0; t < 64; ++t) {
                assert_int_equal(seen[e][t], t < fake_num_steps(e));
            }
        }
    }
    rbc_loader_destroy(&loader);
}

static void an_epoch_resumes_anywhere(void **state) {
    (void)state;
    setup *s = make_setup();
    static uint64_t epochs[2][MAX_BATCHES];
    static uint64_t rest[MAX_BATCHES];
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, epochs[0]);
    assert_int_equal(rbc_loader_seek(loader, 1, 0, NULL), RBC_OK);
    assert_int_equal(drain(loader, epochs[1]), count);
    assert_memory_not_equal(epochs[0], epochs[1], (size_t)count * sizeof **epochs);
    rbc_loader_destroy(&loader);
    for (int64_t k = 0; k <= count; k += 5) {
        loader = open_loader(s);
        assert_int_equal(rbc_loader_seek(loader, 1, position_of(loader, s, k), NULL), RBC_OK);
        assert_int_equal(drain(loader, rest), count - k);
        assert_memory_equal(rest, epochs[1] + k, (size_t)(count - k) * sizeof *rest);
        rbc_loader_destroy(&loader);
    }
    /* In the middle of another epoch, with batches under way. */
    loader = open_loader(s);
    for (int64_t k = 0; k < 20; ++k) {
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_seek(loader, k % 2, position_of(loader, s, k % count), NULL),
                         RBC_OK);
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        assert_int_equal(digest_of(batch), epochs[k % 2][k % count]);
        rbc_batch_release(&batch);
    }
    rbc_error error;
    assert_int_equal(rbc_loader_seek(loader, 0, rbc_loader_num_samples(loader) + 1, &error),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_loader_seek(loader, -1, 0, &error), RBC_ERROR_INVALID_ARGUMENT);
    rbc_loader_destroy(&loader);
}

static void held_batches_stay_and_slots_grow(void **state) {
    (void)state;
    setup *s = make_setup();
    static uint64_t digests[MAX_BATCHES];
    static rbc_batch *held[MAX_BATCHES];
    s->params.num_slots = 2;
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, digests);
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.slots <= 2 + 2);
    assert_true(stats.slots_peak <= 2 + 2);
    assert_int_equal(stats.slots_in_use, 0);
    assert_int_equal(rbc_loader_seek(loader, 0, 0, NULL), RBC_OK);
    for (int64_t i = 0; i < count; ++i) {
        assert_int_equal(rbc_loader_next(loader, -1, &held[i], NULL), RBC_OK);
    }
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.slots >= count);
    assert_true(stats.slots <= count + 2 + 2);
    assert_int_equal(stats.slots_in_use, count);
    for (int64_t i = 0; i < count / 2; ++i) {
        assert_int_equal(digest_of(held[i]), digests[i]);
        rbc_batch_retain(held[i]);
        rbc_batch *again = held[i];
        rbc_batch_release(&again);
        assert_int_equal(digest_of(held[i]), digests[i]);
        rbc_batch_release(&held[i]);
    }
    rbc_loader_get_stats(loader, &stats);
    assert_int_equal(stats.slots_in_use, count - count / 2);
    assert_true(stats.slots < count);
    /* The rest outlives the loader. */
    rbc_loader_destroy(&loader);
    for (int64_t i = count / 2; i < count; ++i) {
        assert_int_equal(digest_of(held[i]), digests[i]);
        rbc_batch_release(&held[i]);
    }
}

static void *release_later(void *argument) {
    rbc_batch *batch = argument;
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    rbc_batch_release(&batch);
    return NULL;
}

static void batches_are_released_by_other_threads(void **state) {
    (void)state;
    setup *s = make_setup();
    s->params.num_slots = 1;
    rbc_loader *loader = open_loader(s);
    pthread_t threads[16];
    for (int i = 0; i < 16; ++i) {
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        assert_int_equal(pthread_create(&threads[i], NULL, release_later, batch), 0);
    }
    rbc_loader_destroy(&loader);
    for (int i = 0; i < 16; ++i) {
        pthread_join(threads[i], NULL);
    }
}

static void loaders_stop_at_any_time(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.read_us = 50;
    s->params.num_threads = 4;
    for (int64_t i = 0; i < 40; ++i) {
        rbc_loader *loader = open_loader(s);
        rbc_batch *batch = NULL;
        rbc_batch *kept = NULL;
        for (int64_t k = 0; k < i % 5; ++k) {
            assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
            if (k == 1) {
                kept = batch;
            } else {
                rbc_batch_release(&batch);
            }
        }
        if (i % 3 == 0) {
            assert_int_equal(rbc_loader_seek(loader, i, 0, NULL), RBC_OK);
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(i * 20000)}, NULL);
        rbc_loader_destroy(&loader);
        rbc_batch_release(&kept);
    }
    assert_int_equal(fake_num_open(), 0);
}

static void waiting_times_out(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.read_us = 400000; /* far longer than a busy machine holds up two calls in a row */
    s->params.num_windows = 1;
    s->params.batch_size = 1;
    s->params.num_threads = 1;
    rbc_loader *loader = open_loader(s);
    rbc_batch *batch = NULL;
    assert_int_equal(rbc_loader_next(loader, 0, &batch, NULL), RBC_TIMEOUT);
    assert_int_equal(rbc_loader_next(loader, 1000000, &batch, NULL), RBC_TIMEOUT);
    assert_null(batch);
    assert_int_equal(rbc_loader_next(loader, INT64_MAX, &batch, NULL), RBC_OK);
    assert_int_equal(rbc_batch_position(batch), 0);
    rbc_batch_release(&batch);
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.wait_ns > 1000000);
    assert_true(stats.fetch_ns > 400000000);
    rbc_loader_destroy(&loader);
}

/* Does the sample's window of states cross the step that cannot be read? Streams this small are
 * read whole. */
static bool is_damaged(int64_t episode, int64_t failing_step) {
    return episode % 3 == 0 && fake_num_steps(episode) > failing_step;
}

static void a_damaged_sample_fails_its_batch(void **state) {
    (void)state;
    setup *s = make_setup();
    static uint64_t good[MAX_BATCHES];
    s->params.shuffle = 0;
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, good);
    rbc_loader_destroy(&loader);
    s->fake.failing_step = 4;
    const int32_t threads[] = {1, 3};
    static char messages[MAX_BATCHES][RBC_ERROR_MESSAGE_BYTES];
    for (size_t t = 0; t < 2; ++t) {
        s->params.num_threads = threads[t];
        loader = open_loader(s);
        int64_t failed = 0;
        for (int64_t i = 0; i < count; ++i) {
            rbc_batch *batch = NULL;
            rbc_error error;
            const rbc_status status = rbc_loader_next(loader, -1, &batch, &error);
            if (status == RBC_OK) {
                assert_int_equal(rbc_batch_position(batch), position_of(loader, s, i));
                assert_int_equal(digest_of(batch), good[i]);
                rbc_batch_release(&batch);
                if (t == 1) {
                    assert_string_equal(messages[i], "");
                }
                continue;
            }
            ++failed;
            assert_int_equal(status, RBC_ERROR_FORMAT);
            assert_int_equal(error.status, RBC_ERROR_FORMAT);
            assert_non_null(strstr(error.message, "stream 'state'"));
            assert_non_null(strstr(error.message, "byte 99"));
            assert_non_null(strstr(error.message, "episode 1"));
            if (t == 0) {
                snprintf(messages[i], sizeof messages[i], "%s", error.message);
            } else {
                assert_string_equal(messages[i], error.message);
            }
        }
        assert_true(failed > 0 && failed < count);
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_END);
        rbc_loader_destroy(&loader);
    }
    assert_int_equal(fake_num_open(), 0);
}

static void damaged_samples_are_left_out(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.failing_step = 4;
    s->fake.failing_episode = 5;
    s->params.on_error = RBC_ON_ERROR_SKIP;
    int64_t expected = 0;
    for (int64_t e = 0; e < 20; ++e) {
        expected += is_damaged(e, 4) || e == 5 ? fake_num_steps(e) : 0;
    }
    static uint64_t first[MAX_BATCHES];
    static uint64_t other[MAX_BATCHES];
    int64_t count = 0;
    char messages[2][RBC_ERROR_MESSAGE_BYTES];
    for (int t = 0; t < 2; ++t) {
        s->params.num_threads = t == 0 ? 1 : 5;
        rbc_loader *loader = open_loader(s);
        rbc_batch *batch = NULL;
        int64_t rows = 0;
        count = 0;
        while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
            for (int64_t i = 0; i < num_rows(batch); ++i) {
                const int64_t id = numbers_of(batch, "episode_id")[i];
                const int64_t episode = (id - 1000) / 3;
                assert_int_equal(numbers_of(batch, "episode_index")[i], episode);
                assert_false(is_damaged(episode, 4) || episode == 5);
                /* What moved up is still what belongs to this row. */
                const int64_t tick = numbers_of(batch, "step_index")[i];
                float *states = fake_values(episode, FAKE_STATE, fake_num_steps(episode));
                const float *got = rbc_batch_field(batch, 0)->tensor.data;
                assert_memory_equal(got + (i * 2 + 1) * 7, states + tick * 7, 7 * sizeof(float));
                free(states);
                char note[64];
                fake_note(episode, tick, note, sizeof note);
                const int32_t note_field = 13;
                assert_string_equal(rbc_batch_field(batch, note_field)->name, "note");
                assert_string_equal(rbc_batch_text(batch, note_field, i * 2 + 1, NULL), note);
            }
            rows += num_rows(batch);
            (t == 0 ? first : other)[count++] = digest_of(batch);
            rbc_batch_release(&batch);
        }
        assert_int_equal(rows, rbc_loader_num_samples(loader) - expected);
        assert_int_equal(count, rbc_loader_num_batches(loader));
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        assert_int_equal(stats.samples_skipped, expected);
        assert_int_equal(stats.samples_delivered, rows);
        for (int64_t i = 0; i < expected; ++i) {
            assert_int_equal(rbc_loader_skipped(loader, i, messages[t], sizeof messages[t], NULL),
                             RBC_OK);
            assert_non_null(strstr(messages[t], "fake file: byte"));
        }
        assert_int_equal(
            rbc_loader_skipped(loader, expected, messages[t], sizeof messages[t], NULL),
            RBC_ERROR_NOT_FOUND);
        rbc_loader_destroy(&loader);
    }
    assert_memory_equal(first, other, (size_t)count * sizeof *first);
    assert_string_equal(messages[0], messages[1]);
}

/* Nothing is left out or passed over for it: the batch comes once there is enough again. */
static void a_shortage_is_no_damage(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    setup *s = make_setup();
    rbc_loader *loader = open_loader(s);
    const int64_t count = drain(loader, good);
    rbc_loader_destroy(&loader);
    s->fake.short_every = 7;
    const rbc_on_error policies[] = {RBC_ON_ERROR_RAISE, RBC_ON_ERROR_SKIP};
    for (int run = 0; run < 4; ++run) {
        s->params.on_error = policies[run / 2];
        s->params.num_threads = run % 2 == 0 ? 1 : 3;
        loader = open_loader(s);
        int64_t failures = 0;
        for (int64_t i = 0; i < count;) {
            rbc_batch *batch = NULL;
            rbc_error error;
            const rbc_status status = rbc_loader_next(loader, -1, &batch, &error);
            if (status == RBC_OK) {
                assert_int_equal(digest_of(batch), good[i++]);
                rbc_batch_release(&batch);
            } else {
                ++failures;
                assert_int_equal(status, RBC_ERROR_IO);
                assert_int_not_equal(error.device_code, 0);
                assert_non_null(strstr(error.message, "episode 1"));
            }
            int64_t epoch = -1;
            int64_t position = -1;
            rbc_loader_tell(loader, &epoch, &position);
            assert_int_equal(epoch, 0);
            assert_int_equal(position, position_of(loader, s, i));
        }
        assert_true(failures > 0);
        rbc_loader_stats stats;
        rbc_loader_get_stats(loader, &stats);
        assert_int_equal(stats.samples_skipped, 0);
        assert_int_equal(stats.batches_delivered, count);
        rbc_loader_destroy(&loader);
    }
}

static void stamps_that_decrease_are_an_error(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.has_stamps = true;
    s->fake.unsorted_episode = 1;
    s->params.num_windows = 1;
    s->params.shuffle = 0;
    set_window(&s->windows[0], "imu", now, 1);
    rbc_loader *loader = open_loader(s);
    rbc_batch *batch = NULL;
    rbc_error error;
    rbc_status status;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "stream 'imu': stamp 5"));
    rbc_loader_destroy(&loader);
}

static void a_child_process_refuses(void **state) {
    (void)state;
    setup *s = make_setup();
    rbc_loader *loader = open_loader(s);
    rbc_batch *batch = NULL;
    rbc_batch *held = NULL;
    assert_int_equal(rbc_loader_next(loader, -1, &held, NULL), RBC_OK);
    const uint64_t digest = digest_of(held);
    const pid_t child = fork();
    if (child == 0) {
        rbc_error error;
        rbc_loader_stats stats;
        const bool refuses =
            rbc_loader_next(loader, -1, &batch, &error) == RBC_ERROR_INVALID_ARGUMENT &&
            strstr(error.message, "after fork()") != NULL &&
            rbc_loader_seek(loader, 0, 0, NULL) == RBC_ERROR_INVALID_ARGUMENT;
        rbc_loader_get_stats(loader, &stats);
        const bool is_same = digest_of(held) == digest;
        rbc_batch_release(&held);
        rbc_loader_destroy(&loader);
        _exit(refuses && is_same && loader == NULL ? 0 : 1);
    }
    int result = -1;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result) && WEXITSTATUS(result) == 0);
    rbc_batch_release(&held);
    static uint64_t rest[MAX_BATCHES];
    assert_int_equal(drain(loader, rest), rbc_loader_num_batches(loader) - 1);
    rbc_loader_destroy(&loader);
}

static void episodes_at_hand_are_bounded(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.num_episodes = 3000;
    s->params.num_windows = 1;
    s->params.num_threads = 2;
    rbc_loader *loader = open_loader(s);
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    for (int64_t i = 0; i < 1000; ++i) {
        rbc_batch *batch = NULL;
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        rbc_batch_release(&batch);
        assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
        /* and those that a worker, or a fetcher, has at the time */
        assert_true(memory.num_episodes <= 512 + (2 + (memory.is_split ? 32 : 0)) * 64);
        assert_true(memory.slot_bytes + memory.episode_bytes + memory.block_bytes <=
                    memory.bound_bytes);
    }
    assert_true(memory.num_episodes > 500 && memory.episode_bytes > 0);
    rbc_loader_destroy(&loader);
    assert_int_equal(fake_num_open(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_batches),
        cmocka_unit_test(ranks_share_the_batches_of_one),
        cmocka_unit_test(every_sample_comes_once),
        cmocka_unit_test(an_epoch_resumes_anywhere),
        cmocka_unit_test(held_batches_stay_and_slots_grow),
        cmocka_unit_test(batches_are_released_by_other_threads),
        cmocka_unit_test(loaders_stop_at_any_time),
        cmocka_unit_test(waiting_times_out),
        cmocka_unit_test(a_damaged_sample_fails_its_batch),
        cmocka_unit_test(damaged_samples_are_left_out),
        cmocka_unit_test(a_shortage_is_no_damage),
        cmocka_unit_test(stamps_that_decrease_are_an_error),
        cmocka_unit_test(a_child_process_refuses),
        cmocka_unit_test(episodes_at_hand_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
