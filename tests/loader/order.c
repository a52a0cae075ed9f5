/* Which sample comes when: permutation, dealing out to ranks, and the clock of each episode. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/clock.h"
#include "loader/permutation.h"
#include "loader/sampler.h"

static void permutation_is_a_bijection(void **state) {
    (void)state;
    const uint64_t sizes[] = {1, 2, 3, 5, 6, 7, 31, 32, 33, 63, 64, 65, 1000, 4096, 4097, 1000000};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
        for (uint64_t epoch = 0; epoch < 3; ++epoch) {
            rbc__permutation permutation;
            rbc__permutation_init(&permutation, sizes[s], 17 + s, epoch);
            uint8_t *seen = calloc(sizes[s], 1);
            assert_non_null(seen);
            for (uint64_t i = 0; i < sizes[s]; ++i) {
                const uint64_t image = rbc__permutation_at(&permutation, i);
                assert_true(image < sizes[s]);
                assert_int_equal(seen[image], 0);
                seen[image] = 1;
            }
            free(seen);
        }
    }
}

static int compare_u64(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void large_permutation_has_no_collisions(void **state) {
    (void)state;
    enum { COUNT = 200000 };
    const uint64_t sizes[] = {UINT64_C(1) << 40, (UINT64_C(1) << 40) - 12345, UINT64_C(1) << 62};
    uint64_t *images = malloc(COUNT * sizeof *images);
    assert_non_null(images);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
        rbc__permutation permutation;
        rbc__permutation_init(&permutation, sizes[s], 3, 0);
        for (uint64_t i = 0; i < COUNT; ++i) {
            images[i] = rbc__permutation_at(&permutation, i);
            assert_true(images[i] < sizes[s]);
        }
        qsort(images, COUNT, sizeof *images, compare_u64);
        for (size_t i = 1; i < COUNT; ++i) {
            assert_true(images[i - 1] != images[i]);
        }
    }
    free(images);
}

/* Chi-squared of counts against a uniform expectation. */
static double chi_squared(const int64_t *counts, int64_t num_counts, double expected) {
    double sum = 0.0;
    for (int64_t i = 0; i < num_counts; ++i) {
        const double difference = (double)counts[i] - expected;
        sum += difference * difference / expected;
    }
    return sum;
}

static void small_permutations_are_equally_frequent(void **state) {
    (void)state;
    int64_t counts[6] = {0};
    for (uint64_t seed = 0; seed < 60000; ++seed) {
        rbc__permutation permutation;
        rbc__permutation_init(&permutation, 3, seed, seed % 7);
        const uint64_t first = rbc__permutation_at(&permutation, 0);
        const uint64_t second = rbc__permutation_at(&permutation, 1);
        ++counts[first * 2 + (second > first ? second - 1 : second)];
    }
    assert_true(chi_squared(counts, 6, 10000.0) < 27.0); /* p < 1e-4 at 5 degrees of freedom */
}

static void positions_look_uniform(void **state) {
    (void)state;
    enum { SIZE = 100003, BINS = 64 };
    rbc__permutation permutation;
    rbc__permutation_init(&permutation, SIZE, 99, 5);
    static int64_t pairs[BINS * BINS];
    memset(pairs, 0, sizeof pairs);
    int64_t fixed = 0;
    int64_t ascents = 0;
    uint64_t previous = rbc__permutation_at(&permutation, 0);
    for (uint64_t i = 1; i < SIZE; ++i) {
        const uint64_t image = rbc__permutation_at(&permutation, i);
        ++pairs[(i * BINS / SIZE) * BINS + image * BINS / SIZE];
        fixed += image == i;
        ascents += image > previous;
        previous = image;
    }
    /* About (BINS - 1)^2 degrees of freedom: mean 3969, standard deviation 89. */
    const double chi = chi_squared(pairs, (int64_t)BINS * BINS, (double)SIZE / (BINS * BINS));
    assert_true(chi > 3969.0 - 6 * 89.0 && chi < 3969.0 + 6 * 89.0);
    assert_true(fixed < 10);
    /* Ascents of a random permutation: mean n / 2, standard deviation sqrt(n / 12) = 91. */
    assert_true(llabs(ascents - SIZE / 2) < 6 * 91);
}

static void epochs_and_seeds_differ(void **state) {
    (void)state;
    rbc__permutation base;
    rbc__permutation other;
    rbc__permutation_init(&base, 1000, 1, 0);
    const uint64_t keys[][2] = {{1, 1}, {2, 0}, {0, 1}, {0, 0}, {UINT64_MAX, 0}};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; ++k) {
        rbc__permutation_init(&other, 1000, keys[k][0], keys[k][1]);
        int same = 0;
        for (uint64_t i = 0; i < 1000; ++i) {
            same += rbc__permutation_at(&base, i) == rbc__permutation_at(&other, i);
        }
        assert_true(same < 12);
    }
}

typedef struct sampler_case {
    int64_t num_samples;
    int32_t batch_size, world_size;
    int32_t drop_last;
    rbc_remainder remainder;
    int64_t num_batches[4]; /* by rank */
    int64_t last_rows[4];   /* of the last batch, where there is one */
} sampler_case;

static const sampler_case sampler_cases[] = {
    {10, 4, 1, 0, RBC_REMAINDER_UNEVEN, {3}, {2}},
    {10, 4, 1, 1, RBC_REMAINDER_UNEVEN, {2}, {4}},
    {10, 4, 1, 0, RBC_REMAINDER_DROP, {3}, {2}},
    {10, 4, 1, 0, RBC_REMAINDER_REPEAT, {3}, {2}},
    {0, 4, 2, 0, RBC_REMAINDER_UNEVEN, {0, 0}, {0, 0}},
    {0, 4, 2, 0, RBC_REMAINDER_REPEAT, {0, 0}, {0, 0}},
    {8, 4, 2, 0, RBC_REMAINDER_UNEVEN, {1, 1}, {4, 4}},
    {10, 4, 2, 0, RBC_REMAINDER_UNEVEN, {2, 1}, {2, 4}},
    {13, 4, 3, 0, RBC_REMAINDER_UNEVEN, {2, 1, 1}, {1, 4, 4}},
    {20, 4, 3, 0, RBC_REMAINDER_UNEVEN, {2, 2, 1}, {4, 4, 4}},
    {19, 4, 3, 1, RBC_REMAINDER_UNEVEN, {2, 1, 1}, {4, 4, 4}},
    {3, 4, 3, 0, RBC_REMAINDER_UNEVEN, {1, 0, 0}, {3, 0, 0}},
    {13, 4, 3, 0, RBC_REMAINDER_DROP, {1, 1, 1}, {4, 4, 4}},
    {20, 4, 3, 0, RBC_REMAINDER_DROP, {2, 2, 2}, {2, 2, 2}},
    {20, 4, 3, 1, RBC_REMAINDER_DROP, {1, 1, 1}, {4, 4, 4}},
    {2, 4, 3, 0, RBC_REMAINDER_DROP, {0, 0, 0}, {0, 0, 0}},
    {13, 4, 3, 0, RBC_REMAINDER_REPEAT, {2, 2, 2}, {1, 1, 1}},
    {20, 4, 3, 0, RBC_REMAINDER_REPEAT, {2, 2, 2}, {3, 3, 3}},
    {20, 4, 3, 1, RBC_REMAINDER_REPEAT, {2, 2, 2}, {4, 4, 4}},
    {2, 4, 3, 0, RBC_REMAINDER_REPEAT, {1, 1, 1}, {1, 1, 1}},
    {3, 4, 3, 1, RBC_REMAINDER_REPEAT, {0, 0, 0}, {0, 0, 0}},
    {1, 1, 4, 0, RBC_REMAINDER_REPEAT, {1, 1, 1, 1}, {1, 1, 1, 1}},
};

static rbc_loader_params params_of(const sampler_case *c, int32_t rank) {
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.batch_size = c->batch_size;
    params.world_size = c->world_size;
    params.rank = rank;
    params.drop_last = c->drop_last;
    params.remainder = c->remainder;
    return params;
}

static void ranks_share_the_epoch(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof sampler_cases / sizeof *sampler_cases; ++k) {
        const sampler_case *c = &sampler_cases[k];
        int64_t counts[64] = {0};
        int64_t total = 0;
        for (int32_t rank = 0; rank < c->world_size; ++rank) {
            const rbc_loader_params params = params_of(c, rank);
            rbc__sampler sampler;
            assert_int_equal(rbc__sampler_init(&sampler, c->num_samples, &params, NULL), RBC_OK);
            assert_int_equal(sampler.num_batches, c->num_batches[rank]);
            for (int64_t b = 0; b < sampler.num_batches; ++b) {
                int64_t position = -1;
                int64_t rows = -1;
                rbc__sampler_batch(&sampler, b, &position, &rows);
                const bool is_last = b == sampler.num_batches - 1;
                assert_int_equal(rows, is_last ? c->last_rows[rank] : c->batch_size);
                if (!is_last) {
                    assert_int_equal(position, (b * c->world_size + rank) * c->batch_size);
                }
                for (int64_t i = 0; i < rows; ++i) {
                    ++counts[(position + i) % c->num_samples];
                    ++total;
                }
            }
        }
        /* Whole epochs first, then a beginning of the next: never one sample twice and another
         * not at all. */
        for (int64_t i = 0; i < c->num_samples; ++i) {
            assert_int_equal(counts[i], total / c->num_samples + (i < total % c->num_samples));
        }
        if (c->remainder == RBC_REMAINDER_UNEVEN && !c->drop_last) {
            assert_int_equal(total, c->num_samples);
        }
    }
}

static void parts_share_the_batches_of_a_rank(void **state) {
    (void)state;
    for (size_t k = 0; k < sizeof sampler_cases / sizeof *sampler_cases; ++k) {
        const sampler_case *c = &sampler_cases[k];
        for (int32_t num_parts = 1; num_parts <= 5; ++num_parts) {
            rbc_loader_params params = params_of(c, c->world_size - 1);
            rbc__sampler whole;
            assert_int_equal(rbc__sampler_init(&whole, c->num_samples, &params, NULL), RBC_OK);
            params.num_parts = num_parts;
            int64_t total = 0;
            for (params.part = 0; params.part < num_parts; ++params.part) {
                rbc__sampler part;
                assert_int_equal(rbc__sampler_init(&part, c->num_samples, &params, NULL), RBC_OK);
                for (int64_t b = 0; b < part.num_batches; b++, total++) {
                    int64_t position[2];
                    int64_t rows[2];
                    rbc__sampler_batch(&part, b, &position[0], &rows[0]);
                    rbc__sampler_batch(&whole, b * num_parts + params.part, &position[1], &rows[1]);
                    assert_int_equal(position[0], position[1]);
                    assert_int_equal(rows[0], rows[1]);
                }
            }
            assert_int_equal(total, whole.num_batches);
        }
    }
}

static rbc__order order_of(int64_t num_samples, int64_t segment_samples, int64_t group_segments,
                           uint64_t seed) {
    return (rbc__order){.num_samples = num_samples,
                        .shuffle = true,
                        .segment_samples = segment_samples,
                        .group_segments = group_segments,
                        .seed = seed};
}

/* What position p holds, shuffled by blocks, as sampler.h draws it: p's group takes its samples from
 * as many segments, which no other group has. */
static void check_groups(const rbc__order *order, const int64_t *samples) {
    static int64_t group_of[2001]; /* a segment's */
    const int64_t length = order->segment_samples;
    const int64_t num_segments = order->num_samples / length;
    const int64_t per_group = length * order->group_segments;
    for (int64_t s = 0; s < num_segments; ++s) {
        group_of[s] = -1;
    }
    for (int64_t p = 0; p < order->num_samples; ++p) {
        const int64_t segment = samples[p] / length;
        if (p >= num_segments * length) {
            assert_true(segment >= num_segments); /* the rest, which comes last */
            continue;
        }
        assert_true(segment < num_segments);
        assert_true(group_of[segment] < 0 || group_of[segment] == p / per_group);
        group_of[segment] = p / per_group;
    }
}

static void blocks_are_a_permutation(void **state) {
    (void)state;
    static int64_t samples[2001];
    static bool is_seen[2001];
    uint64_t random = 1;
    for (int64_t n = 0; n <= 2000; ++n) {
        random = rbc__permutation_hash(random, 3, (uint64_t)n);
        rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
        params.batch_size = 1 + (int32_t)(random % 40);
        const int64_t segment = 1 + (int64_t)(random >> 8) % (n % 3 == 0 ? 2500 : 50);
        const int64_t group = 1 + (int64_t)(random >> 40) % (n % 5 == 0 ? 4096 : 9);
        rbc__order order = order_of(n, segment, group, random);
        rbc__order_begin(&order, n % 4);
        memset(is_seen, 0, sizeof is_seen);
        for (int64_t p = 0; p < n; ++p) {
            samples[p] = rbc__order_sample(&order, p);
            assert_true(samples[p] >= 0 && samples[p] < n && !is_seen[samples[p]]);
            is_seen[samples[p]] = true;
        }
        if (segment > 1) {
            check_groups(&order, samples);
        }
        /* Any rank finds them at its positions, whichever it begins with, and past the end. */
        params.world_size = 1 + (int32_t)(random >> 20) % 5;
        for (params.rank = 0; params.rank < params.world_size; ++params.rank) {
            rbc__sampler sampler;
            rbc__order same = order_of(n, segment, group, random);
            assert_int_equal(rbc__sampler_init(&sampler, n, &params, NULL), RBC_OK);
            rbc__order_begin(&same, n % 4);
            for (int64_t k = sampler.num_batches - 1; k >= 0; --k) {
                int64_t position;
                int64_t rows;
                rbc__sampler_batch(&sampler, k, &position, &rows);
                for (int64_t i = 0; i < rows; ++i) {
                    assert_int_equal(rbc__order_sample(&same, position + i), samples[position + i]);
                    assert_int_equal(rbc__order_sample(&same, n + position + i),
                                     samples[position + i]);
                }
            }
        }
    }
}

static void blocks_differ_by_epoch_and_seed(void **state) {
    (void)state;
    rbc__order orders[3];
    for (int64_t i = 0; i < 3; ++i) {
        orders[i] = order_of(1000, 20, 5, i == 2);
        rbc__order_begin(&orders[i], i == 1);
    }
    int same[3] = {0};
    for (int64_t p = 0; p < 1000; ++p) {
        for (int i = 0; i < 3; ++i) {
            same[i] +=
                rbc__order_sample(&orders[i], p) == rbc__order_sample(&orders[(i + 1) % 3], p);
        }
    }
    for (int i = 0; i < 3; ++i) { /* one position in a thousand is to be expected */
        assert_true(same[i] < 20);
    }
}

static void bad_sampler_arguments_are_named(void **state) {
    (void)state;
    rbc__sampler sampler;
    rbc_error error;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.batch_size = 0;
    assert_int_equal(rbc__sampler_init(&sampler, 10, &params, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "batch_size is 0"));
    params.batch_size = 1;
    params.rank = 2;
    params.world_size = 2;
    assert_int_equal(rbc__sampler_init(&sampler, 10, &params, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "rank is 2"));
    params.world_size = 0;
    assert_int_equal(rbc__sampler_init(&sampler, 10, &params, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "world_size is 0"));
    params.world_size = 3;
    params.part = 1;
    assert_int_equal(rbc__sampler_init(&sampler, 10, &params, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "part is 1 of 1"));
}

static void clock_of(rbc__clock *clock, const int64_t *steps, const int64_t *start,
                     const int64_t *end, int64_t count, double rate, double control) {
    const rbc__clock_params params = {.rate_hz = rate,
                                      .control_rate_hz = control,
                                      .num_episodes = count,
                                      .steps = steps,
                                      .steps_start_ns = start,
                                      .steps_end_ns = end,
                                      .start_ns = start,
                                      .end_ns = end};
    assert_int_equal(rbc__clock_init(clock, &params, NULL), RBC_OK);
}

static void ticks_are_steps_at_the_control_rate(void **state) {
    (void)state;
    const int64_t steps[] = {38, 0, 1, 30};
    const int64_t start[] = {0, 0, 0, 0};
    const int64_t end[] = {-1, -1, -1, -1};
    const double rates[] = {5.0, 29.97, 30.0, 0.1, 3.0, 1000.0};
    for (size_t r = 0; r < sizeof rates / sizeof *rates; ++r) {
        rbc__clock clock;
        clock_of(&clock, steps, start, end, 4, rates[r], rates[r]);
        assert_int_equal(rbc__clock_num_samples(&clock), 69);
        int64_t sample = 0;
        for (int64_t e = 0; e < 4; ++e) {
            assert_int_equal(rbc__clock_num_ticks(&clock, e), steps[e]);
            for (int64_t t = 0; t < steps[e]; t++, sample++) {
                int64_t episode = -1;
                int64_t tick = -1;
                rbc__clock_find(&clock, sample, &episode, &tick);
                assert_int_equal(episode, e);
                assert_int_equal(tick, t);
            }
        }
        rbc__clock_free(&clock);
    }
}

static void other_rates_cover_the_episode(void **state) {
    (void)state;
    const int64_t steps[] = {11};
    const int64_t start[] = {0};
    const int64_t end[] = {-1};
    rbc__clock clock;
    clock_of(&clock, steps, start, end, 1, 10.0, 5.0); /* 2 s */
    assert_int_equal(rbc__clock_num_samples(&clock), 21);
    rbc__clock_free(&clock);
    clock_of(&clock, steps, start, end, 1, 3.0, 5.0);
    assert_int_equal(rbc__clock_num_samples(&clock), 7);
    rbc__clock_free(&clock);
    clock_of(&clock, steps, start, end, 1, 3.0, 0.0); /* neither stamps nor a control rate */
    assert_int_equal(rbc__clock_num_samples(&clock), 0);
    rbc__clock_free(&clock);
}

static void stamps_bound_an_episode(void **state) {
    (void)state;
    const int64_t steps[] = {7, 7};
    const int64_t start[] = {INT64_C(1700000000000000000), 5};
    const int64_t end[] = {INT64_C(1700000001000000000), 5};
    rbc__clock clock;
    clock_of(&clock, steps, start, end, 2, 30.0, 0.0);
    assert_int_equal(rbc__clock_num_ticks(&clock, 0), 31);
    assert_int_equal(rbc__clock_num_ticks(&clock, 1), 1);
    assert_int_equal(rbc__clock_origin_ns(&clock, 0), start[0]);
    assert_int_equal(rbc__clock_end_ns(&clock, 0), end[0]);
    assert_int_equal(rbc__rate_time_ns(&clock.rate, 1), 33333333);
    assert_int_equal(rbc__rate_time_ns(&clock.rate, 2), 66666667);
    rbc__clock_free(&clock);
}

static void impossible_clocks_are_errors(void **state) {
    (void)state;
    const int64_t steps[] = {7};
    const int64_t start[] = {INT64_MIN};
    const int64_t end[] = {INT64_MAX};
    rbc__clock clock;
    rbc_error error;
    rbc__clock_params params = {.rate_hz = 5.0,
                                .num_episodes = 1,
                                .steps = steps,
                                .steps_start_ns = start,
                                .steps_end_ns = end,
                                .start_ns = start,
                                .end_ns = end};
    assert_int_equal(rbc__clock_init(&clock, &params, &error), RBC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "episode 0"));
    const double rates[] = {-5.0, 1e10, (double)NAN};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; ++i) {
        params.rate_hz = rates[i];
        assert_int_equal(rbc__clock_init(&clock, &params, &error), RBC_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(error.message, "rate_hz"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permutation_is_a_bijection),
        cmocka_unit_test(large_permutation_has_no_collisions),
        cmocka_unit_test(small_permutations_are_equally_frequent),
        cmocka_unit_test(positions_look_uniform),
        cmocka_unit_test(epochs_and_seeds_differ),
        cmocka_unit_test(ranks_share_the_epoch),
        cmocka_unit_test(parts_share_the_batches_of_a_rank),
        cmocka_unit_test(blocks_are_a_permutation),
        cmocka_unit_test(blocks_differ_by_epoch_and_seed),
        cmocka_unit_test(bad_sampler_arguments_are_named),
        cmocka_unit_test(ticks_are_steps_at_the_control_rate),
        cmocka_unit_test(other_rates_cover_the_episode),
        cmocka_unit_test(stamps_bound_an_episode),
        cmocka_unit_test(impossible_clocks_are_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
