/* Mixtures: the arithmetic against a plain walk through all positions, and loaders of several
 * datasets.
 *
 *   test_loader_mixture [--steps N] [--seed S]
 *
 * A step is one position. Prints one JSON line. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drive.h"
#include "loader/mixture.h"
#include "steps.h"

#define MAX_MEMBERS   6
#define MAX_SIZE      40
#define MAX_POSITIONS 3000
#define MAX_OWN       64 /* epochs of a member */

static int64_t wanted_steps = 50000;
static uint64_t first_seed = 1;
static int64_t num_steps, num_mixtures, num_wraps;

static int64_t draw(uint64_t *random, int64_t below) {
    *random = rbc__permutation_hash(*random, 7, (uint64_t)below);
    return (int64_t)(*random >> 11) % below;
}

typedef struct mixed {
    rbc__mixture mixture;
    int64_t sizes[MAX_MEMBERS], begins[MAX_MEMBERS + 1];
} mixed;

static void draw_mixture(mixed *m, uint64_t *random) {
    const int32_t count = 1 + (int32_t)draw(random, MAX_MEMBERS);
    m->begins[0] = 0;
    for (int32_t i = 0; i < count; ++i) {
        m->sizes[i] = 1 + draw(random, MAX_SIZE);
        m->begins[i + 1] = m->begins[i] + 1 + draw(random, draw(random, 3) == 0 ? 20 : 4);
    }
    m->mixture = (rbc__mixture){.num_members = count,
                                .sizes = m->sizes,
                                .begins = m->begins,
                                .num_samples = 1 + draw(random, 200),
                                .shuffle = draw(random, 3) > 0,
                                .seed = *random};
}

static void positions_are_dealt_out_in_exact_proportion(void **state) {
    (void)state;
    static rbc__mixture_sample walked[MAX_POSITIONS];
    static int8_t given[MAX_MEMBERS][MAX_OWN][MAX_SIZE];
    uint64_t seed = first_seed;
    for (; num_steps < wanted_steps; ++seed, ++num_mixtures) {
        uint64_t random = seed;
        mixed m;
        draw_mixture(&m, &random);
        const rbc__mixture *mixture = &m.mixture;
        const int64_t length = m.begins[mixture->num_members];
        const int64_t count = 400 + draw(&random, MAX_POSITIONS - 400);
        rbc__mixture_cursor cursor = {0};
        int64_t in_cycle[MAX_MEMBERS] = {0};
        int64_t in_all[MAX_MEMBERS] = {0};
        memset(given, 0, sizeof given);
        for (int64_t p = 0; p < count; ++p, ++num_steps) {
            rbc__mixture_sample *at = &walked[p];
            rbc__mixture_find(mixture, &cursor, p / mixture->num_samples, p % mixture->num_samples,
                              at);
            assert_in_range(at->member, 0, mixture->num_members - 1);
            assert_in_range(at->position, 0, m.sizes[at->member] - 1);
            if (mixture->num_members == 1) {
                assert_int_equal(at->epoch, p / m.sizes[0]);
                assert_int_equal(at->position, p % m.sizes[0]);
                continue;
            }
            ++in_cycle[at->member];
            ++in_all[at->member];
            if (at->epoch < MAX_OWN) { /* once in each epoch of its own */
                assert_int_equal(given[at->member][at->epoch][at->position]++, 0);
                num_wraps += at->epoch > 0;
            }
            if (!mixture->shuffle) { /* in the order of the members, and of their samples */
                const int64_t slot = p % length;
                assert_true(slot >= m.begins[at->member] && slot < m.begins[at->member + 1]);
                assert_int_equal(at->epoch * m.sizes[at->member] + at->position,
                                 in_all[at->member] - 1);
            }
            if ((p + 1) % length == 0) {
                for (int32_t i = 0; i < mixture->num_members; ++i) {
                    const int64_t weight = m.begins[i + 1] - m.begins[i];
                    assert_int_equal(in_cycle[i], weight);
                    in_cycle[i] = 0;
                    /* All samples of its epochs before come before any of the next. */
                    const int64_t whole = in_all[i] / m.sizes[i];
                    for (int64_t e = 0; e < whole && e < MAX_OWN; ++e) {
                        for (int64_t k = 0; k < m.sizes[i]; ++k) {
                            assert_int_equal(given[i][e][k], 1);
                        }
                    }
                }
            }
        }
        for (int k = 0; k < 200; ++k, ++num_steps) { /* anywhere, whatever was asked before */
            const int64_t p = draw(&random, count);
            const int64_t epoch = p / mixture->num_samples;
            rbc__mixture_cursor fresh = {0};
            rbc__mixture_sample at;
            rbc__mixture_find(mixture, k % 2 == 0 ? &cursor : &fresh, epoch,
                              p % mixture->num_samples + k % 3 * mixture->num_samples, &at);
            assert_int_equal(at.member, walked[p].member);
            assert_int_equal(at.epoch, walked[p].epoch);
            assert_int_equal(at.position, walked[p].position);
        }
    }
    printf("{\"first_seed\": %" PRIu64 ", \"steps\": %" PRId64 ", \"mixtures\": %" PRId64
           ", \"wrapped\": %" PRId64 ", \"failures\": 0}\n",
           first_seed, num_steps, num_mixtures, num_wraps);
    assert_true(num_wraps > 0);
}

static void epochs_end_with_the_first_or_the_last(void **state) {
    (void)state;
    const struct {
        int64_t sizes[3], begins[4];
        int32_t count;
        int64_t first, last;
    } cases[] = {
        {{10, 10}, {0, 1, 2}, 2, 20, 20},       {{10, 3}, {0, 1, 2}, 2, 6, 20},
        {{10, 3}, {0, 4, 5}, 2, 10, 15},        /* 2 cycles; 3 for both to be through */
        {{7, 100, 5}, {0, 2, 3, 6}, 3, 6, 600}, /* 1 cycle; 100 */
        {{3, 100}, {0, 5, 6}, 2, 6, 600},       /* not one whole cycle without a sample twice */
        {{1, 1}, {0, 1, 2}, 2, 2, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const rbc__mixture mixture = {
            .num_members = cases[i].count, .sizes = cases[i].sizes, .begins = cases[i].begins};
        int64_t found = -1;
        assert_int_equal(rbc__mixture_first(&mixture, &found, NULL), RBC_OK);
        assert_int_equal(found, cases[i].first);
        assert_int_equal(rbc__mixture_last(&mixture, &found, NULL), RBC_OK);
        assert_int_equal(found, cases[i].last);
    }
    const int64_t sizes[] = {INT64_C(1) << 61, 1};
    const int64_t begins[] = {0, 1, 1 << 20};
    const rbc__mixture huge = {.num_members = 2, .sizes = sizes, .begins = begins};
    int64_t found = -1;
    rbc_error error;
    assert_int_equal(rbc__mixture_last(&huge, &found, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "samples are possible"));
}

/* ---- loaders ------------------------------------------------------------------------------------
 */

#define WEIGHT_A 3
#define WEIGHT_B 2

typedef struct pair {
    setup *a; /* its params are those of the loader */
    fake_params b;
    rbc_window windows_b[3];
    rbc_mixture_member members[2];
    rbc_mixture_params mixture;
} pair;

/* "a" has states, images and notes, "b" states of another stream and no images; both have 5 Hz. */
static void make_pair(pair *p) {
    static const int32_t two[] = {-1, 0};
    setup *s = make_setup();
    *p = (pair){.a = s, .b = FAKE_PARAMS_INIT, .mixture = RBC_MIXTURE_PARAMS_INIT};
    p->b.num_episodes = 7;
    set_window(&s->windows[0], "state", two, 2);
    set_window(&s->windows[1], "image", two, 2);
    set_window(&s->windows[2], "note", two, 2);
    s->params.num_windows = 3;
    memcpy(p->windows_b, s->windows, sizeof p->windows_b);
    p->windows_b[1].stream = NULL;
    p->windows_b[1].name = "image";
    p->windows_b[2].stream = NULL;
    p->windows_b[2].name = "note";
    s->params.windows = NULL;
    s->params.num_windows = 0;
    p->mixture.members = p->members;
    p->mixture.num_members = 2;
    for (int i = 0; i < 2; ++i) {
        p->members[i] = (rbc_mixture_member)RBC_MIXTURE_MEMBER_INIT;
        p->members[i].name = i == 0 ? "a" : "b";
        p->members[i].weight = i == 0 ? WEIGHT_A : WEIGHT_B;
        p->members[i].windows = i == 0 ? s->windows : p->windows_b;
        p->members[i].num_windows = 3;
    }
}

static rbc_status open_pair(pair *p, rbc_loader **loader, rbc_error *err) {
    rbc_selection *selections[] = {fake_create(&p->a->fake), fake_create(&p->b)};
    p->members[0].selection = selections[0];
    p->members[1].selection = selections[1];
    const rbc_status status = rbc_loader_create_mixture(&p->mixture, &p->a->params, loader, err);
    rbc_selection_destroy(&selections[0]);
    rbc_selection_destroy(&selections[1]);
    return status;
}

/* Rows are those of their datasets alone, and what one lacks is empty. */
static void check_rows(const rbc_batch *batch) {
    const int64_t *members = numbers_of(batch, "dataset_index");
    const rbc_field *images = field_of(batch, "image");
    const uint8_t *pixels = images->tensor.data;
    const uint8_t *valid = field_of(batch, "image_valid")->tensor.data;
    const float *states = field_of(batch, "state")->tensor.data;
    const int64_t bytes = 2 * FAKE_IMAGE_BYTES;
    int32_t names = 0;
    int32_t notes = 0;
    while (strcmp(rbc_batch_field(batch, names)->name, "dataset") != 0) {
        ++names;
    }
    while (strcmp(rbc_batch_field(batch, notes)->name, "note") != 0) {
        ++notes;
    }
    for (int64_t i = 0; i < num_rows(batch); ++i) {
        uint64_t text_bytes = 0;
        assert_string_equal(rbc_batch_text(batch, names, i, &text_bytes),
                            members[i] == 0 ? "a" : "b");
        const int64_t episode = (numbers_of(batch, "episode_id")[i] - 1000) / 3;
        const int64_t step = numbers_of(batch, "step_index")[i];
        float *values = fake_values(episode, FAKE_STATE, step + 1);
        assert_memory_equal(states + (2 * i + 1) * 7, values + step * 7, 7 * sizeof *values);
        free(values);
        bool is_empty = true;
        for (int64_t k = 0; k < bytes; ++k) {
            is_empty = is_empty && pixels[i * bytes + k] == 0;
        }
        if (members[i] == 1) {
            assert_true(is_empty && !valid[2 * i] && !valid[2 * i + 1]);
            (void)rbc_batch_text(batch, notes, 2 * i, &text_bytes);
            assert_int_equal(text_bytes, 0);
        }
    }
}

static void loaders_mix_datasets(void **state) {
    (void)state;
    static uint64_t good[MAX_BATCHES];
    static uint64_t other[MAX_BATCHES];
    int64_t count = 0;
    for (int run = 0; run < 6; ++run) {
        pair p;
        rbc_loader *loader = NULL;
        rbc_error error;
        make_pair(&p);
        p.a->params.batch_size = WEIGHT_A + WEIGHT_B;
        p.a->params.num_threads = 1 + run % 3;
        p.a->fake.is_remote = run / 3 == 1; /* with fetchers, and one of the stores that waits */
        p.a->fake.read_us = run / 3 == 1 ? 300 : 0;
        p.b.is_packed = run % 2 == 1; /* whose blocks are in one cache with the other's */
        p.a->fake.is_packed = p.b.is_packed;
        if (open_pair(&p, &loader, &error) != RBC_OK) {
            fail_msg("%s", error.message);
        }
        const int64_t batches = rbc_loader_num_batches(loader);
        for (int64_t k = 0; k < batches; ++k) {
            rbc_batch *batch = NULL;
            assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
            int64_t of_a = 0;
            for (int64_t i = 0; i < num_rows(batch); ++i) {
                of_a += numbers_of(batch, "dataset_index")[i] == 0;
            }
            assert_int_equal(of_a, WEIGHT_A);
            check_rows(batch);
            (run == 0 ? good : other)[k] = digest_of(batch);
            rbc_batch_release(&batch);
        }
        count = run == 0 ? batches : count;
        assert_int_equal(batches, count);
        assert_true(run == 0 || memcmp(good, other, (size_t)count * sizeof *good) == 0);
        /* Anywhere in any epoch, and again. */
        assert_int_equal(rbc_loader_seek(loader, 0, 7 * (WEIGHT_A + WEIGHT_B), NULL), RBC_OK);
        assert_int_equal(drain(loader, other), count - 7);
        assert_memory_equal(other, good + 7, (size_t)(count - 7) * sizeof *good);
        assert_int_equal(rbc_loader_seek(loader, INT64_MAX, 0, &error), RBC_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "samples an epoch has"));
        rbc_loader_destroy(&loader);
    }
    assert_int_equal(fake_num_open(), 0);
}

static void a_mixture_of_one_is_the_dataset(void **state) {
    (void)state;
    static uint64_t alone[MAX_BATCHES];
    setup *s = make_setup();
    rbc_loader *loader = open_loader(s);
    rbc_batch *batch = NULL;
    const int64_t count = rbc_loader_num_batches(loader);
    for (int64_t i = 0; i < count; ++i) {
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        alone[i] = (uint64_t)numbers_of(batch, "episode_id")[0] << 32 |
                   (uint64_t)numbers_of(batch, "step_index")[0];
        rbc_batch_release(&batch);
    }
    rbc_loader_destroy(&loader);
    rbc_selection *selection = fake_create(&s->fake);
    rbc_mixture_member member = RBC_MIXTURE_MEMBER_INIT;
    member.name = "only";
    member.selection = selection;
    member.weight = 5;
    member.windows = s->windows;
    member.num_windows = 5;
    rbc_mixture_params mixture = RBC_MIXTURE_PARAMS_INIT;
    mixture.members = &member;
    mixture.num_members = 1;
    assert_int_equal(rbc_loader_create_mixture(&mixture, &s->params, &loader, NULL), RBC_OK);
    rbc_selection_destroy(&selection);
    assert_int_equal(rbc_loader_num_batches(loader), count);
    for (int64_t i = 0; i < count; ++i) {
        assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
        assert_int_equal(alone[i], (uint64_t)numbers_of(batch, "episode_id")[0] << 32 |
                                       (uint64_t)numbers_of(batch, "step_index")[0]);
        rbc_batch_release(&batch);
    }
    rbc_loader_destroy(&loader);
}

static void damage_names_its_dataset(void **state) {
    (void)state;
    pair p;
    rbc_loader *loader = NULL;
    rbc_error error;
    make_pair(&p);
    p.b.failing_step = 4;
    p.a->params.on_error = RBC_ON_ERROR_SKIP;
    assert_int_equal(open_pair(&p, &loader, &error), RBC_OK);
    rbc_batch *batch = NULL;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        check_rows(batch);
        rbc_batch_release(&batch);
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.samples_skipped > 0);
    char message[RBC_ERROR_MESSAGE_BYTES];
    assert_int_equal(rbc_loader_skipped(loader, 0, message, sizeof message, NULL), RBC_OK);
    assert_non_null(strstr(message, "dataset 'b', episode 1"));
    rbc_loader_destroy(&loader);
}

static void expect_refusal(pair *p, const char *words) {
    rbc_loader *loader = NULL;
    rbc_error error;
    assert_int_not_equal(open_pair(p, &loader, &error), RBC_OK);
    assert_null(loader);
    if (strstr(error.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", error.message, words);
    }
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    pair p;
    make_pair(&p);
    p.windows_b[0].stream = "count";
    p.windows_b[0].name = "state";
    expect_refusal(&p, "field 'state' is float32 of shape [2, 7] a sample in dataset 'a' and int64 "
                       "of shape [2] a sample in 'b': take streams of one kind");
    make_pair(&p);
    p.windows_b[0].stream = "action";
    p.windows_b[0].name = "state";
    expect_refusal(&p, "field 'state' is");
    make_pair(&p);
    p.members[1].num_windows = 2;
    expect_refusal(&p, "dataset 'b' has no window 'note', which others of the mixture have");
    make_pair(&p);
    p.windows_b[0].stream = "none";
    expect_refusal(&p, "dataset 'b': dataset 'fake' has no stream 'none'");
    make_pair(&p);
    p.a->windows[1].stream = NULL;
    p.a->windows[1].name = "image";
    expect_refusal(&p, "window 'image': no dataset of the mixture has a stream for it");
    make_pair(&p);
    p.members[1].weight = 0;
    expect_refusal(&p, "dataset 'b' has weight 0");
    make_pair(&p);
    p.members[1].name = "a";
    expect_refusal(&p, "members[0] and members[1] are both named 'a'");
    make_pair(&p);
    p.b.num_episodes = 0;
    expect_refusal(&p, "dataset 'b' has no sample");
    make_pair(&p);
    p.mixture.epoch = RBC_EPOCH_SAMPLES;
    expect_refusal(&p, "epoch_samples is 0; wanted at least 1");
    make_pair(&p);
    p.mixture.num_members = 0;
    expect_refusal(&p, "num_members is 0");
    assert_int_equal(fake_num_open(), 0);
}

int main(int argc, char **argv) {
    take_steps(argc, argv, &wanted_steps, &first_seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(positions_are_dealt_out_in_exact_proportion),
        cmocka_unit_test(epochs_end_with_the_first_or_the_last),
        cmocka_unit_test(loaders_mix_datasets),
        cmocka_unit_test(a_mixture_of_one_is_the_dataset),
        cmocka_unit_test(damage_names_its_dataset),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
