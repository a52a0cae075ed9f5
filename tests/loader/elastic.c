/* An epoch that is gone on with by other ranks: random worlds, batch sizes and remainders take it in
 * turns, from wherever the ones before stopped, and what they are given is compared with the order
 * of one rank that reads it in one go.
 *
 *   test_loader_elastic [--steps N] [--seed S]
 *
 * A step is one round of all ranks. Prints one JSON line. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/sampler.h"
#include "steps.h"

#define MAX_SAMPLES 400
#define MAX_WORLD   6
#define MAX_PARTS   3

static int64_t wanted_steps = 20000;
static uint64_t first_seed = 1;
static int64_t num_steps, num_worlds, num_left_out, num_repeated;

static int64_t draw(uint64_t *random, int64_t below) {
    *random = rbc__permutation_hash(*random, 5, (uint64_t)below);
    return (int64_t)(*random >> 11) % below;
}

static rbc_loader_params draw_world(uint64_t *random) {
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.batch_size = 1 + (int32_t)draw(random, draw(random, 3) == 0 ? 64 : 9);
    params.world_size = 1 + (int32_t)draw(random, MAX_WORLD);
    params.num_parts = draw(random, 4) == 0 ? 1 + (int32_t)draw(random, MAX_PARTS) : 1;
    params.remainder = (rbc_remainder)draw(random, 3);
    params.drop_last = (int32_t)draw(random, 2);
    return params;
}

static rbc__order order_of(int64_t num_samples, uint64_t seed, bool is_shuffled) {
    return (rbc__order){.num_samples = num_samples,
                        .shuffle = is_shuffled,
                        .segment_samples = 1,
                        .group_segments = 1,
                        .seed = seed};
}

/* One epoch. `given` counts how often each position was given; those of all ranks and parts of a
 * round follow each other. */
static void take_epoch(uint64_t seed) {
    uint64_t random = seed;
    int32_t given[MAX_SAMPLES] = {0};
    const int64_t num_samples = draw(&random, MAX_SAMPLES + 1);
    const bool is_shuffled = draw(&random, 2) == 0;
    const int64_t epoch = draw(&random, 5);
    int64_t position = 0;
    bool is_over = num_samples == 0;
    rbc__order whole = {0};
    while (!is_over) {
        rbc__sampler samplers[MAX_WORLD][MAX_PARTS];
        rbc_loader_params params = draw_world(&random);
        for (params.rank = 0; params.rank < params.world_size; ++params.rank) {
            for (params.part = 0; params.part < params.num_parts; ++params.part) {
                rbc__sampler *s = &samplers[params.rank][params.part];
                assert_int_equal(rbc__sampler_init(s, num_samples, &params, NULL), RBC_OK);
                rbc__sampler_begin(s, position);
                assert_int_equal(s->num_rounds, samplers[0][0].num_rounds);
                assert_int_equal(rbc__sampler_round(s, 0),
                                 s->num_rounds > 0 ? position : num_samples);
            }
        }
        rbc__order order = order_of(num_samples, seed, is_shuffled);
        rbc__order_begin(&order, epoch);
        ++num_worlds;
        if (whole.num_samples == 0) {
            whole = order;
        }
        const int64_t rounds = samplers[0][0].num_rounds;
        const int64_t stop = 1 + draw(&random, draw(&random, 4) == 0 ? rounds + 1 : 4);
        is_over = rounds == 0;
        for (int64_t round = 0; round < rounds && round < stop; ++round, ++num_steps) {
            int64_t next = position;
            const int64_t end = rbc__sampler_round(&samplers[0][0], round + 1);
            const int64_t lanes = (int64_t)params.world_size * params.num_parts;
            for (int64_t lane = 0; lane < lanes; ++lane) { /* in the order of positions */
                const rbc__sampler *s =
                    &samplers[lane % params.world_size][lane / params.world_size];
                int64_t first = 0;
                int64_t rows = 0;
                assert_int_equal(rbc__sampler_round(s, round), position);
                if (round >= s->num_batches) {
                    continue;
                }
                rbc__sampler_batch(s, round, &first, &rows);
                assert_true(rows > 0 && rows <= params.batch_size);
                assert_int_equal(first, next);
                for (int64_t i = 0; i < rows; ++i) {
                    given[(first + i) % num_samples] += 1;
                    assert_int_equal(rbc__order_sample(&order, first + i),
                                     rbc__order_sample(&whole, (first + i) % num_samples));
                }
                next += rows;
            }
            if (end < num_samples) {
                assert_int_equal(next, end);
            } else {
                assert_int_equal(round + 1, rounds);
                const int64_t left = num_samples - next;
                const int64_t group =
                    params.drop_last ? lanes * params.batch_size : params.world_size;
                if (params.remainder == RBC_REMAINDER_UNEVEN && !params.drop_last) {
                    assert_int_equal(left, 0);
                } else if (params.remainder == RBC_REMAINDER_REPEAT && !params.drop_last) {
                    assert_true(left <= 0);
                }
                assert_true(left < group && left > -group);
            }
            is_over = round + 1 == rounds;
            position = end;
        }
        if (is_over && rounds == 0) { /* too few for a round: they are what is left out */
            assert_true(params.drop_last || num_samples - position < params.world_size);
        }
    }
    /* Nothing twice but what is repeated from the beginning, nothing left out but at the end. */
    for (int64_t i = 0; i < num_samples; ++i) {
        num_left_out += given[i] == 0;
        num_repeated += given[i] > 1;
        assert_true(i == 0 || given[i] <= given[i - 1]);
    }
}

static void others_go_on_where_ranks_stopped(void **state) {
    (void)state;
    uint64_t seed = first_seed;
    for (; num_steps < wanted_steps; ++seed) {
        take_epoch(seed);
    }
    printf("{\"first_seed\": %" PRIu64 ", \"steps\": %" PRId64 ", \"epochs\": %" PRIu64
           ", \"worlds\": %" PRId64 ", \"left_out\": %" PRId64 ", \"repeated\": %" PRId64
           ", \"failures\": 0}\n",
           first_seed, num_steps, seed - first_seed, num_worlds, num_left_out, num_repeated);
    assert_true(num_left_out > 0 && num_repeated > 0);
}

int main(int argc, char **argv) {
    take_steps(argc, argv, &wanted_steps, &first_seed);
    const struct CMUnitTest tests[] = {cmocka_unit_test(others_go_on_where_ranks_stopped)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
