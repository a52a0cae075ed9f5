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
    expect_refusal(&t, context, WORDS("out", "stride 0"));
    rbc_context_destroy(&context);
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
    free_trial(&t);
    rbc_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(outputs_may_not_overlap_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
