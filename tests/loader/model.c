/* Loaders against a model of them: random datasets, mixtures of two and stores, and random steps, each
 * compared with what the model says, while another thread looks at the loaders and releases batches.
 *
 *   test_loader_model [--steps N] [--seed S]
 *
 * Prints one JSON line. A failure names the seed of its run, which `--seed S --steps 1` repeats. */
#define _GNU_SOURCE

#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/hash.h"
#include "core/monotonic.h"
#include "drive.h"
#include "steps.h"

#define STEPS_A_RUN      200
#define NUM_EPOCHS       3
#define NUM_CLIENTS      2
#define MAX_HELD         6
#define MAX_WINDOWS      4
#define PATIENCE_SECONDS 60
#define CLOSE_SECONDS    5.0 /* closing waits for 0.1 s; the rest is for machines that are busy */

typedef enum action {
    NEXT,
    NEXT_SOON, /* with a timeout */
    SEEK,
    HOLD,
    RELEASE,
    LOOK,
    REOPEN,
    HANG,
    NUM_ACTIONS
} action;

static const char *const action_names[NUM_ACTIONS] = {"next",    "next_soon", "seek",   "hold",
                                                      "release", "look",      "reopen", "hang"};

/* What a loader delivers, and where it stands. */
typedef struct model {
    const uint64_t (*digests)[MAX_BATCHES]; /* [NUM_EPOCHS]; 0: the batch fails for good */
    int64_t num_batches, num_rounds;
    int64_t epoch, position;
} model;

static bool model_next(model *m, uint64_t *digest) {
    if (m->position >= m->num_batches) {
        m->position = m->num_rounds;
        return false;
    }
    *digest = m->digests[m->epoch][m->position++];
    return true;
}

/* One that uses a loader. */
typedef struct client {
    rbc_loader *loader;
    model model;
    int64_t delivered;
    struct {
        rbc_batch *batch;
        uint64_t digest;
    } held[MAX_HELD];
    int num_held;
} client;

typedef struct run {
    uint64_t seed, random;
    setup setup;
    bool is_mixed; /* with another dataset, of other windows */
    fake_params other;
    rbc_window other_windows[MAX_WINDOWS];
    rbc_mixture_member members[2];
    rbc_mixture_params mixture;
    rbc_selection *selections[2];
    uint64_t digests[NUM_EPOCHS][MAX_BATCHES];
    int64_t slot_bytes;
    client clients[NUM_CLIENTS];
} run;

static run the_run;
static atomic_bool hangs;
static atomic_llong num_steps; /* of all runs */
static atomic_int last_action;
static int64_t counts[NUM_ACTIONS], num_failed, num_short, num_timed_out, num_split, num_mixed;

/* What the other thread looks at and releases. */
static pthread_mutex_t looking = PTHREAD_MUTEX_INITIALIZER; /* held while a loader is looked at */
static rbc_loader *looked_at[NUM_CLIENTS];
static rbc_batch *to_release[64];
static int num_to_release;

static uint64_t draw(run *r, uint64_t below) {
    return rbc__mix64(r->random += RBC__GOLDEN) % below;
}

/* ---- other threads ------------------------------------------------------------------------------
 */

static void look(const rbc_loader *loader) {
    rbc_loader_stats stats;
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    char message[RBC_ERROR_MESSAGE_BYTES];
    int64_t epoch;
    int64_t position;
    rbc_loader_get_stats(loader, &stats);
    rbc_loader_tell(loader, &epoch, &position);
    assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
    assert_true(memory.fetched_bytes >= 0 && stats.slots_in_use >= 0);
    assert_true(epoch >= 0 && epoch < NUM_EPOCHS && position >= 0);
    (void)rbc_loader_skipped(loader, position, message, sizeof message, NULL);
}

static void *helper_main(void *argument) {
    (void)argument;
    for (;;) {
        pthread_mutex_lock(&looking);
        for (int i = 0; i < NUM_CLIENTS; ++i) {
            if (looked_at[i] != NULL) {
                look(looked_at[i]);
            }
        }
        while (num_to_release > 0) {
            rbc_batch_release(&to_release[--num_to_release]);
        }
        pthread_mutex_unlock(&looking);
        nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL);
    }
    return NULL;
}

static void *watchdog_main(void *argument) {
    (void)argument;
    long long seen = -1;
    for (int idle = 0;; ++idle) {
        const long long now = atomic_load(&num_steps);
        idle = now == seen ? idle : 0;
        seen = now;
        if (idle >= PATIENCE_SECONDS) {
            (void)fprintf(stderr,
                          "no progress for %d s: seed %" PRIu64 ", after %lld steps, in %s; what "
                          "all threads wait for stands in the core\n",
                          PATIENCE_SECONDS, the_run.seed, now,
                          action_names[atomic_load(&last_action)]);
            abort();
        }
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
    return NULL;
}

static void start_thread(void *(*begin)(void *)) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, begin, NULL), 0);
    pthread_detach(thread);
}

/* ---- runs ---------------------------------------------------------------------------------------
 */

static void draw_setup(run *r) {
    static const int32_t two[] = {-1, 0};
    static const int32_t three[] = {0, 1, 2};
    static const int32_t now[] = {0};
    const fake_params fake = FAKE_PARAMS_INIT;
    const rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    const int32_t sizes[] = {1, 2, 5, 12, 40};
    setup *s = &r->setup;
    s->fake = fake;
    s->params = params;
    s->fake.num_episodes = 4 + (int64_t)draw(r, 5);
    s->fake.is_packed = draw(r, 2) == 0;
    s->fake.failing_step = draw(r, 3) == 0 ? 12 : -1;
    s->fake.failing_episode = draw(r, 3) == 0 ? 1 : -1;
    set_window(&s->windows[0], "image", two, 2);
    set_window(&s->windows[1], "state", three, 3);
    set_window(&s->windows[2], "cloud", now, 1);
    s->windows[2].max_points = FAKE_MAX_POINTS;
    set_window(&s->windows[3], "note", now, 1);
    s->params.windows = s->windows;
    s->params.num_windows = 1 + (int32_t)draw(r, MAX_WINDOWS);
    s->params.batch_size = sizes[draw(r, 5)];
    s->params.shuffle = (int32_t)draw(r, 3);
    s->params.seed = draw(r, 1000);
    s->params.drop_last = (int32_t)draw(r, 2);
    s->params.on_error = (rbc_on_error)draw(r, 3);
    s->params.world_size = 1 + (int32_t)draw(r, 3);
    s->params.rank = (int32_t)draw(r, (uint64_t)s->params.world_size);
}

/* Another dataset, which lacks some of the streams. */
static void draw_mixture(run *r) {
    const rbc_mixture_params mixture = RBC_MIXTURE_PARAMS_INIT;
    const rbc_epoch epochs[] = {RBC_EPOCH_FIRST, RBC_EPOCH_LAST, RBC_EPOCH_SAMPLES};
    const int32_t num_windows = r->setup.params.num_windows;
    r->is_mixed = draw(r, 3) == 0;
    num_mixed += r->is_mixed;
    r->other = r->setup.fake;
    r->other.num_episodes = 1 + (int64_t)draw(r, 6);
    r->other.is_packed = draw(r, 2) == 0;
    r->other.failing_step = draw(r, 3) == 0 ? 12 : -1;
    r->other.failing_episode = draw(r, 3) == 0 ? 2 : -1;
    memcpy(r->other_windows, r->setup.windows, sizeof r->other_windows);
    for (int i = 0; i < num_windows; ++i) {
        if (draw(r, 3) == 0) {
            r->other_windows[i].name = r->other_windows[i].stream;
            r->other_windows[i].stream = NULL;
        }
    }
    r->mixture = mixture;
    r->mixture.members = r->members;
    r->mixture.num_members = 2;
    r->mixture.epoch = (int32_t)epochs[draw(r, 3)];
    r->mixture.epoch_samples = 1 + (int64_t)draw(r, 400);
    for (int i = 0; i < 2; ++i) {
        const rbc_mixture_member member = RBC_MIXTURE_MEMBER_INIT;
        r->members[i] = member;
        r->members[i].name = i == 0 ? "one" : "other";
        r->members[i].weight = 1 + (int64_t)draw(r, 3);
        r->members[i].windows = i == 0 ? r->setup.windows : r->other_windows;
        r->members[i].num_windows = num_windows;
    }
}

static void make_selections(run *r) {
    r->other.read_us = r->setup.fake.read_us;
    r->other.short_every = r->setup.fake.short_every;
    r->other.is_remote = r->setup.fake.is_remote;
    r->other.hangs = r->setup.fake.hangs;
    r->selections[0] = fake_create(&r->setup.fake);
    r->selections[1] = fake_create(&r->other);
}

static void destroy_selections(run *r) {
    rbc_selection_destroy(&r->selections[0]);
    rbc_selection_destroy(&r->selections[1]);
}

static rbc_status create_loader(run *r, const rbc_loader_params *params, rbc_loader **out,
                                rbc_error *err) {
    if (!r->is_mixed) {
        return rbc_loader_create(r->selections[0], params, out, err);
    }
    r->members[0].selection = r->selections[0];
    r->members[1].selection = r->selections[1];
    return rbc_loader_create_mixture(&r->mixture, params, out, err);
}

/* What is delivered where reading is quick and never falls short. */
static void fill_model(run *r) {
    rbc_loader *loader = NULL;
    rbc_error error;
    r->setup.params.num_threads = 1;
    make_selections(r);
    if (create_loader(r, &r->setup.params, &loader, &error) != RBC_OK) {
        fail_msg("seed %" PRIu64 ": %s", r->seed, error.message);
    }
    destroy_selections(r);
    model *m = &r->clients[0].model;
    rbc_loader_stats stats;
    *m = (model){(const uint64_t(*)[MAX_BATCHES])r->digests, rbc_loader_num_batches(loader),
                 rbc_loader_num_rounds(loader), 0, 0};
    for (int64_t epoch = 0; epoch < NUM_EPOCHS; ++epoch) {
        assert_int_equal(rbc_loader_seek(loader, epoch, 0, NULL), RBC_OK);
        for (int64_t i = 0; i < m->num_batches; ++i) {
            rbc_batch *batch = NULL;
            const rbc_status status = rbc_loader_next(loader, -1, &batch, NULL);
            assert_true(status == RBC_OK || status == RBC_ERROR_FORMAT);
            r->digests[epoch][i] = status == RBC_OK ? digest_of(batch) : 0;
            rbc_batch_release(&batch);
        }
    }
    rbc_loader_get_stats(loader, &stats);
    r->slot_bytes = stats.slot_bytes;
    for (int i = 1; i < NUM_CLIENTS; ++i) {
        r->clients[i].model = *m;
    }
    rbc_loader_destroy(&loader);
}

/* The store, whose ways must not matter. */
static void draw_store(run *r) {
    const int64_t delays[] = {0, 0, 0, 100, 300};
    const int64_t shortages[] = {0, 0, 3, 7, 30};
    r->setup.fake.is_remote = draw(r, 2) == 0;
    r->setup.fake.read_us = delays[draw(r, r->setup.fake.is_remote ? 5 : 4)];
    r->setup.fake.short_every = shortages[draw(r, 5)];
    r->setup.fake.hangs = &hangs;
}

/* The position that a model's round is. */
static int64_t where(const run *r, const client *c) {
    return position_of(c->loader, &r->setup, c->model.position);
}

static void open_client(run *r, int at) {
    rbc_loader_params params = r->setup.params;
    rbc_error error;
    client *c = &r->clients[at];
    const int64_t rooms[] = {0, 4, 40};
    params.num_threads = 1 + (int32_t)draw(r, 4);
    params.num_slots = (int32_t)draw(r, 4);
    params.memory_bytes =
        (int64_t)rooms[draw(r, 3)] * r->slot_bytes * (params.num_slots > 0 ? params.num_slots : 1);
    rbc_status status;
    while ((status = create_loader(r, &params, &c->loader, &error)) ==
           RBC_ERROR_IO) { /* measuring how it is packed fell short */
    }
    if (status != RBC_OK) {
        fail_msg("seed %" PRIu64 ": %s", r->seed, error.message);
    }
    c->delivered = 0;
    if (c->model.epoch > 0 || c->model.position > 0 || draw(r, 2) == 0) {
        assert_int_equal(rbc_loader_seek(c->loader, c->model.epoch, where(r, c), NULL), RBC_OK);
    }
    pthread_mutex_lock(&looking);
    looked_at[at] = c->loader;
    pthread_mutex_unlock(&looking);
}

static void close_client(run *r, int at) {
    pthread_mutex_lock(&looking);
    looked_at[at] = NULL;
    pthread_mutex_unlock(&looking);
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    assert_int_equal(rbc_loader_get_memory(r->clients[at].loader, &memory, NULL), RBC_OK);
    num_split += memory.is_split;
    const int64_t begin_ns = rbc__now_ns();
    rbc_loader_destroy(&r->clients[at].loader);
    assert_true((double)(rbc__now_ns() - begin_ns) * 1e-9 < CLOSE_SECONDS);
}

/* ---- steps --------------------------------------------------------------------------------------
 */

static void expect(const run *r, bool holds, const char *what) {
    if (!holds) {
        fail_msg("seed %" PRIu64 ": %s", r->seed, what);
    }
}

/* The batch that came, if one did. */
static rbc_batch *step_next(run *r, client *c, int64_t timeout_ns, uint64_t *digest) {
    rbc_batch *batch = NULL;
    rbc_error error;
    model after = c->model;
    const bool has_batch = model_next(&after, digest);
    const rbc_status status = rbc_loader_next(c->loader, timeout_ns, &batch, &error);
    if (status == RBC_TIMEOUT) {
        expect(r, timeout_ns >= 0 && has_batch, "timed out");
        ++num_timed_out;
    } else if (status == RBC_ERROR_IO) {
        expect(r, r->setup.fake.short_every > 0 && has_batch, error.message);
        expect(r, strstr(error.message, "fake file") != NULL, error.message);
        ++num_short;
    } else {
        c->model = after;
        if (status == RBC_OK) {
            expect(r, has_batch && digest_of(batch) == *digest, "another batch came");
            ++c->delivered;
        } else if (status == RBC_END) {
            expect(r, !has_batch, "the epoch ended early");
        } else {
            expect(r, status == RBC_ERROR_FORMAT && has_batch && *digest == 0, error.message);
            ++num_failed;
        }
    }
    int64_t epoch = -1;
    int64_t position = -1;
    rbc_loader_tell(c->loader, &epoch, &position);
    expect(r, epoch == c->model.epoch && position == where(r, c), "it stands elsewhere");
    return batch;
}

static void step_seek(run *r, client *c) {
    c->model.epoch = (int64_t)draw(r, NUM_EPOCHS);
    c->model.position = (int64_t)draw(r, (uint64_t)c->model.num_rounds + 1);
    expect(r, rbc_loader_seek(c->loader, c->model.epoch, where(r, c), NULL) == RBC_OK,
           "it cannot seek");
}

static void step_release(run *r, client *c) {
    if (c->num_held == 0) {
        return;
    }
    const int at = (int)draw(r, (uint64_t)c->num_held);
    rbc_batch *batch = c->held[at].batch;
    expect(r, digest_of(batch) == c->held[at].digest, "a batch that was held changed");
    c->held[at] = c->held[--c->num_held];
    pthread_mutex_lock(&looking);
    const bool is_left = num_to_release < 64 && draw(r, 2) == 0;
    if (is_left) {
        to_release[num_to_release++] = batch;
    }
    pthread_mutex_unlock(&looking);
    if (!is_left) {
        rbc_batch_release(&batch);
    }
}

static void step(run *r) {
    /* of 100 */
    static const int weights[NUM_ACTIONS] = {50, 10, 8, 14, 12, 3, 2, 1};
    const int at = (int)draw(r, NUM_CLIENTS);
    client *c = &r->clients[at];
    int64_t left = (int64_t)draw(r, 100);
    int what = 0;
    while (left >= weights[what]) {
        left -= weights[what++];
    }
    if (c->model.position >= c->model.num_rounds && draw(r, 4) > 0) {
        what = SEEK;
    }
    atomic_store(&last_action, what);
    const bool is_hanging = atomic_load(&hangs);
    const int64_t timeouts[] = {0, 100000, 2000000};
    const int64_t timeout_ns = what == NEXT_SOON || is_hanging ? timeouts[draw(r, 3)] : -1;
    uint64_t digest = 0;
    ++counts[what];
    switch ((action)what) {
    case NEXT:
    case NEXT_SOON: {
        rbc_batch *batch = step_next(r, c, timeout_ns, &digest);
        rbc_batch_release(&batch);
        break;
    }
    case HOLD: {
        rbc_batch *batch = step_next(r, c, timeout_ns, &digest);
        if (batch != NULL && c->num_held < MAX_HELD) {
            c->held[c->num_held].batch = batch;
            c->held[c->num_held++].digest = digest;
        } else {
            rbc_batch_release(&batch);
        }
        break;
    }
    case SEEK:
        step_seek(r, c);
        break;
    case RELEASE:
        step_release(r, c);
        break;
    case LOOK: {
        rbc_loader_stats stats;
        rbc_loader_get_stats(c->loader, &stats);
        expect(r, stats.batches_delivered == c->delivered, "it counts otherwise");
        look(c->loader);
        break;
    }
    case REOPEN:
        close_client(r, at);
        atomic_store(&hangs, false); /* making a loader may read */
        open_client(r, at);
        break;
    case HANG:
        atomic_store(&hangs, !is_hanging);
        break;
    case NUM_ACTIONS:
        break;
    }
    atomic_fetch_add(&num_steps, 1);
}

static void take_run(uint64_t seed, int threads_before) {
    run *r = &the_run;
    memset(r, 0, sizeof *r);
    r->seed = r->random = seed;
    draw_setup(r);
    draw_mixture(r);
    fill_model(r);
    draw_store(r);
    make_selections(r);
    for (int i = 0; i < NUM_CLIENTS; ++i) {
        open_client(r, i);
    }
    for (int i = 0; i < STEPS_A_RUN; ++i) {
        step(r);
    }
    for (int i = 0; i < NUM_CLIENTS; ++i) {
        close_client(r, i);
    }
    destroy_selections(r);
    atomic_store(&hangs, false);
    for (int i = 0; i < NUM_CLIENTS; ++i) { /* they outlive their loader and the dataset */
        while (r->clients[i].num_held > 0) {
            step_release(r, &r->clients[i]);
        }
    }
    await_threads(threads_before);
    assert_int_equal(fake_num_open(), 0);
}

static int64_t wanted_steps = 3000;
static uint64_t first_seed = 1;

static void loaders_do_what_their_model_does(void **state) {
    (void)state;
    start_thread(helper_main);
    start_thread(watchdog_main);
    const int threads_before = num_threads_at_rest();
    const int64_t begin_ns = rbc__now_ns();
    for (uint64_t seed = first_seed; atomic_load(&num_steps) < wanted_steps; ++seed) {
        take_run(seed, threads_before);
    }
    printf("{\"first_seed\": %" PRIu64 ", \"steps\": %lld, \"seconds\": %.0f, \"failures\": 0, "
           "\"counts\": {",
           first_seed, atomic_load(&num_steps), (double)(rbc__now_ns() - begin_ns) * 1e-9);
    for (int i = 0; i < NUM_ACTIONS; ++i) {
        printf("\"%s\": %" PRId64 ", ", action_names[i], counts[i]);
    }
    printf("\"timed_out\": %" PRId64 ", \"short\": %" PRId64 ", \"damaged\": %" PRId64
           ", \"split\": %" PRId64 ", \"mixed\": %" PRId64 "}}\n",
           num_timed_out, num_short, num_failed, num_split, num_mixed);
    assert_true((num_timed_out > 0 && num_mixed > 0) || wanted_steps < STEPS_A_RUN);
}

int main(int argc, char **argv) {
    take_steps(argc, argv, &wanted_steps, &first_seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(loaders_do_what_their_model_does)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
