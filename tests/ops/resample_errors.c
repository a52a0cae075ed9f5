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

static trial simple_trial(void) {
    trial t = {.source = RBC_RESAMPLE_SOURCE_INIT,
               .batch = 2,
               .samples = 4,
               .targets = 5,
               .channels = 3,
               .dtype = RBC__F32,
               .times_dtype = RBC__F64,
               .packed = true};
    make_trial(&t);
    fill_trial(&t, false);
    return t;
}

static void expect_refusal(trial *t, rbc_context *context, const char *const *words) {
    rbc_error err;
    assert_int_equal(run_trial(t, context, &err), RBC_ERROR_INVALID_ARGUMENT);
    for (; *words != NULL; ++words) {
        if (strstr(err.message, *words) == NULL) {
            fail_msg("'%s' is not in: %s", *words, err.message);
        }
    }
    free_trial(t);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void bad_input_is_named(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    trial t = simple_trial();
    *(double *)at(&t.times, 0, 1, 1) = 900.0;
    *(double *)at(&t.times, 0, 1, 2) = 899.5;
    expect_refusal(&t, context, WORDS("source_times[1, 2]", "900", "899.5"));
    t = simple_trial();
    *(double *)at(&t.times, 0, 1, 2) = (double)NAN;
    expect_refusal(&t, context, WORDS("source_times[1, 2]", "nan"));
    t = simple_trial();
    *(double *)at(&t.times, 0, 0, 3) = (double)INFINITY;
    expect_refusal(&t, context, WORDS("source_times[0, 3]", "inf", "finite"));
    t = simple_trial();
    *(double *)at(&t.target_times, 0, 1, 4) = (double)NAN;
    expect_refusal(&t, context, WORDS("target_times[1, 4]", "NaN"));
    t = simple_trial();
    t.ragged = true;
    *(int32_t *)at(&t.lengths, 0, 0, 0) = 4;
    *(int32_t *)at(&t.lengths, 0, 0, 1) = 5;
    expect_refusal(&t, context, WORDS("lengths[1] is 5", "0 to 4"));
    t = simple_trial();
    t.times.shape[1] = 3;
    expect_refusal(&t, context, WORDS("source_times", "[2, 3]", "[2, 4]"));
    t = simple_trial();
    t.source.mode = (rbc_resample_mode)77;
    expect_refusal(&t, context, WORDS("mode is 77"));
    t = simple_trial();
    t.source.mode = RBC_RESAMPLE_SLERP;
    expect_refusal(&t, context, WORDS("slerp", "3", "four"));
    t = simple_trial();
    t.source.max_gap = (double)NAN;
    expect_refusal(&t, context, WORDS("max_gap is NaN"));
    t = simple_trial();
    t.source.num_groups = 2;
    t.groups[0] = (rbc_channel_group){1, 3, RBC_RESAMPLE_HOLD};
    t.groups[1] = (rbc_channel_group){0, 2, RBC_RESAMPLE_LINEAR};
    expect_refusal(&t, context, WORDS("channels", "overlap", "[0, 2)", "[1, 3)"));
    t = simple_trial();
    t.source.num_groups = 1;
    t.groups[0] = (rbc_channel_group){2, 4, RBC_RESAMPLE_HOLD};
    expect_refusal(&t, context, WORDS("channels", "[2, 4)", "[0, 3)"));
    t = simple_trial();
    t.source.mode = RBC_RESAMPLE_HOLD;
    t.source.outside = RBC_OUTSIDE_EXTRAPOLATE;
    expect_refusal(&t, context, WORDS("extrapolate", "hold", "linear"));
    t = simple_trial();
    t.source.struct_size = sizeof t.source + 8;
    expect_refusal(&t, context, WORDS("struct_size is"));
    t = simple_trial();
    t.out.strides[1] = 0;
    expect_refusal(&t, context, WORDS("out of shape [2, 5, 3] overlaps itself", "[15, 0, 1]"));
    t = simple_trial();
    t.out.strides[0] = 14;
    expect_refusal(&t, context, WORDS("out of shape [2, 5, 3] overlaps itself", "[14, 3, 1]"));
    t = simple_trial();
    t.valid.strides[0] = 4;
    expect_refusal(&t, context, WORDS("valid of shape [2, 5] overlaps itself"));
    t = simple_trial();
    t.dt.strides[1] = 0;
    expect_refusal(&t, context, WORDS("dt of shape [2, 5] overlaps itself"));
    rbc_context_destroy(&context);
}

/* Whether what the backward pass is asked for has an adjoint. */
static bool has_adjoint(const trial *t) {
    return (t->dtype == RBC__F32 || t->dtype == RBC__F64) && t->source.mode != RBC_RESAMPLE_SLERP &&
           t->source.mode != RBC_RESAMPLE_MAX && t->source.mode != RBC_RESAMPLE_MIN;
}

static void expect_named(rbc_status status, const rbc_error *err, int64_t row, int64_t sample) {
    char name[64];
    if (row < 0) {
        (void)snprintf(name, sizeof name, "source_times[%d]", (int)sample);
    } else {
        (void)snprintf(name, sizeof name, "source_times[%d, %d]", (int)row, (int)sample);
    }
    assert_int_equal(status, RBC_ERROR_INVALID_ARGUMENT);
    if (strstr(err->message, name) == NULL) {
        fail_msg("'%s' is not in: %s", name, err->message);
    }
}

/* Rows of nonsense, whoever else of the batch and of the threads reads them: the first wrong stamp
 * is named, in the forward and in the backward pass. */
static void wrong_stamps_are_named_in_every_mode(void **state) {
    (void)state;
    for (int32_t num_threads = 1; num_threads <= 4; num_threads += 3) {
        rbc_context *context = NULL;
        rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
        params.num_threads = num_threads;
        assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
        for (int round = 0; round < 180; ++round) {
            trial t = random_trial((rbc_resample_mode)(round % 9), RBC_OUTSIDE_HOLD, RBC__F32);
            t.batch = 2 + random_below(3);
            t.samples = 2 + random_below(round % 2 == 0 ? 4 : 600);
            t.targets = 1 + random_below(round % 4 == 0 ? 4 : 600);
            t.ragged = false;
            t.source.flags = 0;
            if (round % 3 == 0) {
                t.source.max_gap = t.source.tolerance = -1.0;
            }
            make_trial(&t);
            fill_trial(&t, false);
            const int64_t row = t.shared_times ? 0 : random_below(t.batch);
            const int64_t from = 1 + random_below(t.samples - 1);
            for (int64_t s = from; s < t.samples; ++s) {
                void *item = at(&t.times, 0, row, s);
                if (t.times_dtype == RBC__I64) {
                    *(int64_t *)item = s == from ? INT64_MIN : random_below(1000) - 500;
                } else if (t.times_dtype == RBC__F64) {
                    *(double *)item = s == from ? (double)NAN : (double)random_below(1000) - 500;
                } else {
                    *(float *)item = s == from ? NAN : (float)random_below(1000) - 500;
                }
            }
            rbc_error err;
            expect_named(run_trial(&t, context, &err), &err, t.shared_times ? -1 : row, from);
            if (has_adjoint(&t)) {
                expect_named(rbc_resample_backward(context, &t.source, tensor_of(&t.target_times),
                                                   tensor_of(&t.out), tensor_of(&t.values), NULL,
                                                   &err),
                             &err, t.shared_times ? -1 : row, from);
            }
            free_trial(&t);
        }
        rbc_context_destroy(&context);
    }
}

static void outputs_may_not_overlap_inputs(void **state) {
    (void)state;
    rbc_context *context = NULL;
    rbc_error err;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    trial t = simple_trial();
    t.source.values = tensor_of(&t.values);
    t.source.times = tensor_of(&t.times);
    DLTensor out = *tensor_of(&t.out);
    out.data = t.values.memory;
    assert_int_equal(
        rbc_resample(context, &t.source, tensor_of(&t.target_times), &out, NULL, NULL, NULL, &err),
        RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "out and values overlap"));
    DLTensor valid = *tensor_of(&t.valid), dt = *tensor_of(&t.dt);
    out = *tensor_of(&t.out);
    valid.data = (char *)t.out.memory + 7;
    assert_int_equal(rbc_resample(context, &t.source, tensor_of(&t.target_times), &out, &valid,
                                  NULL, NULL, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "valid and out overlap"));
    valid.data = t.dt.memory;
    assert_int_equal(
        rbc_resample(context, &t.source, tensor_of(&t.target_times), &out, &valid, &dt, NULL, &err),
        RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "dt and valid overlap"));
    free_trial(&t);
    rbc_context_destroy(&context);
}

/* What a program could hand over that is no tensor at all. */
static void tensors_that_lie_are_refused(void **state) {
    (void)state;
    rbc_context *context = NULL;
    rbc_error err;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    enum { N = 12 };
    trial t = simple_trial();
    rbc_resample_source sources[N];
    DLTensor values[N];
    int64_t shapes[N][3];
    for (int s = 0; s < N; ++s) {
        memcpy(shapes[s], t.values.shape, sizeof shapes[s]);
        values[s] = *tensor_of(&t.values);
        values[s].shape = shapes[s];
        sources[s] = t.source;
        sources[s].mode = RBC_RESAMPLE_SLERP;
        sources[s].values = &values[s];
        sources[s].times = tensor_of(&t.times);
    }
    for (int axis = 0; axis < 3; ++axis) {
        for (int s = 0; s < N; ++s) {
            shapes[s][axis] = s == N / 2 ? INT64_C(-4000000) : s < N / 2 ? 4 : INT64_C(400000);
        }
        assert_int_equal(rbc_fuse(context, sources, N, tensor_of(&t.target_times),
                                  tensor_of(&t.out), NULL, NULL, &err),
                         RBC_ERROR_INVALID_ARGUMENT);
        memcpy(shapes[N / 2], t.values.shape, sizeof shapes[0]);
    }
    DLTensor *const lying[] = {&values[0],    &t.times.tensor, &t.target_times.tensor,
                               &t.out.tensor, &t.valid.tensor, &t.dt.tensor};
    memcpy(shapes[0], t.values.shape, sizeof shapes[0]);
    sources[0].mode = RBC_RESAMPLE_LINEAR;
    for (size_t i = 0; i < sizeof lying / sizeof *lying; ++i) {
        const DLTensor honest = *lying[i];
        int64_t negative[3] = {-2, -2, -2};
        for (int lie = 0; lie < 4; ++lie) {
            lying[i]->shape = lie == 0 ? NULL : lie == 1 ? negative : honest.shape;
            lying[i]->ndim = lie == 2 ? -1 : lie == 3 ? INT32_MAX : honest.ndim;
            assert_int_equal(rbc_resample(context, &sources[0], &t.target_times.tensor,
                                          &t.out.tensor, &t.valid.tensor, &t.dt.tensor, NULL, &err),
                             RBC_ERROR_INVALID_ARGUMENT);
            if (i != 4 && i != 5) {
                assert_int_equal(rbc_resample_backward(context, &sources[0], &t.target_times.tensor,
                                                       &t.out.tensor, &values[0], NULL, &err),
                                 RBC_ERROR_INVALID_ARGUMENT);
            }
            *lying[i] = honest;
        }
    }
    free_trial(&t);
    rbc_context_destroy(&context);
}

static void gradients_may_overlap_nothing(void **state) {
    (void)state;
    rbc_context *context = NULL;
    rbc_error err;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    trial t = simple_trial();
    t.source.times = tensor_of(&t.times);
    const DLTensor *targets = tensor_of(&t.target_times), *grad_out = tensor_of(&t.out);
    const struct {
        void *memory;
        int64_t stride;
        const char *words;
    } cases[] = {
        {t.values.memory, 0, "values of shape [2, 4, 3] overlaps itself"},
        {t.times.memory, 12, "values and source_times overlap"},
        {t.target_times.memory, 12, "values and target_times overlap"},
        {t.out.memory, 12, "out and values overlap"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        DLTensor gradient = *tensor_of(&t.values);
        gradient.data = cases[i].memory;
        t.values.strides[0] = cases[i].stride;
        assert_int_equal(
            rbc_resample_backward(context, &t.source, targets, grad_out, &gradient, NULL, &err),
            RBC_ERROR_INVALID_ARGUMENT);
        if (strstr(err.message, cases[i].words) == NULL) {
            fail_msg("'%s' is not in: %s", cases[i].words, err.message);
        }
    }
    free_trial(&t);
    rbc_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(wrong_stamps_are_named_in_every_mode),
        cmocka_unit_test(outputs_may_not_overlap_inputs),
        cmocka_unit_test(tensors_that_lie_are_refused),
        cmocka_unit_test(gradients_may_overlap_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
