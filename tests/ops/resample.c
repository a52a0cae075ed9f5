#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "resample_trial.h"

static void every_mode_agrees_with_the_reference(void **state) {
    (void)state;
    rbc_context *context = NULL;
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = 2;
    assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
    static const rbc__dtype floats[] = {RBC__F32, RBC__F64, RBC__F16, RBC__BF16};
    static const rbc__dtype integers[] = {RBC__U8, RBC__I16, RBC__I64};
    for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
        for (int round = 0; round < 120; ++round) {
            const bool takes_integers = mode == RBC_RESAMPLE_HOLD || mode == RBC_RESAMPLE_NEAREST ||
                                        mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN;
            const rbc__dtype dtype = takes_integers && round % 3 == 0 ? integers[random_below(3)]
                                                                      : floats[random_below(4)];
            rbc_outside outside = (rbc_outside)random_below(4);
            if ((outside == RBC_OUTSIDE_EXTRAPOLATE && mode != RBC_RESAMPLE_LINEAR) ||
                (outside == RBC_OUTSIDE_NAN && !rbc__dtype_is_float(dtype))) {
                outside = RBC_OUTSIDE_HOLD;
            }
            trial t = random_trial((rbc_resample_mode)mode, outside, dtype);
            make_trial(&t);
            fill_trial(&t, t.source.flags != 0);
            rbc_error err;
            if (run_trial(&t, context, &err) != RBC_OK) {
                fail_msg("%s", err.message);
            }
            check_trial(&t);
            free_trial(&t);
        }
    }
    rbc_context_destroy(&context);
}

static void groups_mix_modes_in_one_row(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    for (int round = 0; round < 60; ++round) {
        trial t = random_trial(RBC_RESAMPLE_LINEAR, (rbc_outside)random_below(3), RBC__F64);
        t.channels = 9;
        t.source.num_groups = 2;
        t.groups[0] = (rbc_channel_group){7, 8, RBC_RESAMPLE_HOLD};
        t.groups[1] = (rbc_channel_group){3, 7, RBC_RESAMPLE_SLERP};
        if (round % 2 == 1) {
            t.source.mode = RBC_RESAMPLE_MEAN;
        }
        make_trial(&t);
        fill_trial(&t, t.source.flags != 0);
        assert_int_equal(run_trial(&t, context, NULL), RBC_OK);
        check_trial(&t);
        free_trial(&t);
    }
    rbc_context_destroy(&context);
}

/* Every instruction set and number of threads gives the same bits. */
static void results_do_not_depend_on_the_machine(void **state) {
    (void)state;
    static const uint64_t features[] = {RBC_CPU_BASELINE, RBC_CPU_AVX2, UINT64_MAX};
    for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
        for (int d = 0; d < 4; ++d) {
            static const rbc__dtype floats[] = {RBC__F32, RBC__F64, RBC__F16, RBC__BF16};
            trial t = random_trial((rbc_resample_mode)mode, RBC_OUTSIDE_HOLD, floats[d]);
            t.batch = 5;
            t.samples = 300;
            t.targets = 200;
            t.channels = mode == RBC_RESAMPLE_SLERP ? 4 : 37;
            make_trial(&t);
            fill_trial(&t, t.source.flags != 0);
            const size_t bytes = (size_t)(t.out.strides[0] * t.batch * rbc__dtype_bytes(t.dtype));
            void *first = malloc(bytes);
            assert_non_null(first);
            for (int f = 0; f < 3; ++f) {
                rbc_context *context = NULL;
                rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
                params.cpu_features = features[f];
                params.num_threads = 1 + f;
                assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
                assert_int_equal(run_trial(&t, context, NULL), RBC_OK);
                if (f == 0) {
                    memcpy(first, t.out.memory, bytes);
                } else {
                    assert_memory_equal(first, t.out.memory, bytes);
                }
                rbc_context_destroy(&context);
            }
            free(first);
            free_trial(&t);
        }
    }
}

/* Exact stamps at epoch size, values that arithmetic would change, extremes of int64. */
static void exact_stamps_give_the_sample_to_the_bit(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    static const int64_t stamps[] = {INT64_MIN, -5, 1795000000000000001, 1795000000000000002,
                                     INT64_MAX};
    static const float samples[] = {-0.0f, INFINITY, 1e30f, -1e-40f, 3.0f};
    static const float units[5][4] = {{0.2f, -0.4f, 0.5f, 0.741619848709566f},
                                      {1.0f, -0.0f, 0.0f, 0.0f},
                                      {0.6f, 0.0f, -0.0f, -0.8f},
                                      {0.57735027f, 0.57735027f, 0.57735027f, 0.0f},
                                      {-0.5f, 0.5f, 0.5f, -0.5f}};
    for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_ANGLE; ++mode) {
        trial t = {.source = RBC_RESAMPLE_SOURCE_INIT,
                   .batch = 1,
                   .samples = 5,
                   .targets = 5,
                   .channels = 4,
                   .dtype = RBC__F32,
                   .times_dtype = RBC__I64,
                   .packed = true};
        t.source.mode = (rbc_resample_mode)mode;
        make_trial(&t);
        for (int64_t i = 0; i < 5; ++i) {
            *(int64_t *)at(&t.times, 0, 0, i) = stamps[i];
            *(int64_t *)at(&t.target_times, 0, 0, i) = stamps[i];
            for (int64_t c = 0; c < 4; ++c) {
                *(float *)at(&t.values, 0, i, c) =
                    mode == RBC_RESAMPLE_SLERP ? units[i][c] : samples[(i + c) % 5];
            }
        }
        assert_int_equal(run_trial(&t, context, NULL), RBC_OK);
        assert_memory_equal(t.out.memory, t.values.memory, 5 * 4 * sizeof(float));
        free_trial(&t);
    }
    rbc_context_destroy(&context);
}

static void empty_extents_are_fine(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    for (int empty = 0; empty < 4; ++empty) {
        trial t = {.source = RBC_RESAMPLE_SOURCE_INIT,
                   .batch = empty == 0 ? 0 : 2,
                   .samples = empty == 1 ? 0 : 3,
                   .targets = empty == 2 ? 0 : 4,
                   .channels = empty == 3 ? 0 : 5,
                   .dtype = RBC__F32,
                   .times_dtype = RBC__I64,
                   .packed = true};
        t.source.outside = RBC_OUTSIDE_NAN;
        make_trial(&t);
        if (empty != 2) {
            fill_trial(&t, false);
        }
        assert_int_equal(run_trial(&t, context, NULL), RBC_OK);
        if (empty == 1) {
            assert_true(isnan(*(float *)at(&t.out, 1, 3, 4)));
            assert_int_equal(*(uint8_t *)at(&t.valid, 0, 1, 3), 0);
            assert_true(*(int64_t *)at(&t.dt, 0, 1, 3) == INT64_MAX);
        }
        free_trial(&t);
    }
    rbc_context_destroy(&context);
}

static void fuse_is_resamples_side_by_side(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    enum { N = 10 };
    for (int round = 0; round < 20; ++round) {
        trial parts[N];
        rbc_resample_source sources[N];
        int64_t total = 0;
        for (int s = 0; s < N; ++s) {
            parts[s] = random_trial((rbc_resample_mode)(s % 4), RBC_OUTSIDE_ZERO, RBC__F32);
            parts[s].batch = 2;
            parts[s].targets = 70;
            parts[s].times_dtype = RBC__I64;
            parts[s].shared_targets = round % 2 == 0;
            parts[s].shared_times = parts[s].shared_targets || s % 2 == 0;
            parts[s].ragged = !parts[s].shared_targets && s % 3 == 0;
            make_trial(&parts[s]);
            fill_trial(&parts[s], false);
            for (int64_t b = 0; b < 2; ++b) {
                for (int64_t j = 0; j < 70; ++j) {
                    *(int64_t *)at(&parts[s].target_times, 0, b, j) =
                        *(int64_t *)at(&parts[0].target_times, 0, b, j);
                }
            }
            assert_int_equal(run_trial(&parts[s], context, NULL), RBC_OK);
            sources[s] = parts[s].source;
            total += parts[s].channels;
        }
        block out = new_block(RBC__F32, 3, (int64_t[]){2, 70, total}, round % 2 == 0);
        block valid = new_block(RBC__BOOL, 3, (int64_t[]){2, 70, N}, round % 2 == 1);
        rbc_error err;
        if (rbc_fuse(context, sources, N, tensor_of(&parts[0].target_times), tensor_of(&out),
                     tensor_of(&valid), NULL, &err) != RBC_OK) {
            fail_msg("%s", err.message);
        }
        int64_t column = 0;
        for (int s = 0; s < N; ++s) {
            for (int64_t b = 0; b < 2; ++b) {
                for (int64_t j = 0; j < 70; ++j) {
                    for (int64_t c = 0; c < parts[s].channels; ++c) {
                        assert_memory_equal(at(&out, b, j, column + c), at(&parts[s].out, b, j, c),
                                            sizeof(float));
                    }
                    assert_memory_equal(at(&valid, b, j, s), at(&parts[s].valid, 0, b, j), 1);
                }
            }
            column += parts[s].channels;
            free_trial(&parts[s]);
        }
        free(out.memory);
        free(valid.memory);
    }
    rbc_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_agrees_with_the_reference),
        cmocka_unit_test(groups_mix_modes_in_one_row),
        cmocka_unit_test(results_do_not_depend_on_the_machine),
        cmocka_unit_test(exact_stamps_give_the_sample_to_the_bit),
        cmocka_unit_test(empty_extents_are_fine),
        cmocka_unit_test(fuse_is_resamples_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
