#include "adjoint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arrays.h"
#include "gpu.h"

enum { MANY_GROUPS = 95 };

typedef struct problem {
    array values, times, targets, lengths, result;
} problem;

static problem problem_new(const DLDataType *values, const DLDataType *times, int64_t batch,
                           int64_t samples, int64_t targets, int64_t channels, int is_sorted) {
    problem p = {
        .values = array_new(*values, 3, (int64_t[]){batch, samples, channels}),
        .times = array_new(*times, 2, (int64_t[]){batch, samples}),
        .targets = array_new(*times, 2, (int64_t[]){batch, targets}),
        .lengths = array_new(i32, 1, (int64_t[]){batch}),
        .result = array_new(*values, 3, (int64_t[]){batch, targets, channels}),
    };
    fill(&p.values, 4, 0);
    fill(&p.result, 4, 0);
    fill_times(&p.times, batch, samples, 0, 1);
    fill_times(&p.targets, batch, targets, -0.1, 1.1);
    if (!is_sorted) {
        char *data = p.targets.data;
        const size_t item = item_bytes(*times);
        for (size_t i = 0; i + 3 < (size_t)(batch * targets); i += 3) {
            char kept[8];
            memcpy(kept, data + i * item, item);
            memmove(data + i * item, data + (i + 3) * item, item);
            memcpy(data + (i + 3) * item, kept, item);
        }
    }
    for (int64_t b = 0; b < batch; ++b) {
        ((int32_t *)p.lengths.data)[b] = (int32_t)(b == 1 ? 0 : samples - b);
    }
    return p;
}

static void problem_to_device(problem *p, int result_is_input) {
    to_device(&p->values, !result_is_input);
    to_device(&p->times, 1);
    to_device(&p->targets, 1);
    to_device(&p->lengths, 1);
    to_device(&p->result, result_is_input);
}

static void problem_free(problem *p) {
    array *all[] = {&p->values, &p->times, &p->targets, &p->lengths, &p->result};
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]->data);
    }
    gpu_free_all();
}

static rbc_resample_source source_of(const problem *p, int on_device, int with_lengths) {
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = on_device ? &p->values.device : &p->values.host;
    source.times = on_device ? &p->times.device : &p->times.host;
    source.lengths = !with_lengths ? NULL : on_device ? &p->lengths.device : &p->lengths.host;
    return source;
}

/* ---- the gradient ---- */

static void run_adjoint(problem *p, rbc_resample_source (*make)(const problem *, int)) {
    problem_to_device(p, 1);
    for (int on_device = 0; on_device < 2; ++on_device) {
        const rbc_resample_source source = make(p, on_device);
        rbc_error err;
        check(rbc_resample_backward(context, &source,
                                    on_device ? &p->targets.device : &p->targets.host,
                                    on_device ? &p->result.device : &p->result.host,
                                    on_device ? &p->values.device : &p->values.host, NULL, &err),
              &err);
    }
    assert_same(&p->values);
    problem_free(p);
}

static rbc_resample_mode mode_wanted;
static rbc_outside outside_wanted;
static double limit_wanted; /* seconds; 0 for none */
static int lengths_wanted;

static rbc_resample_source in_one_mode(const problem *p, int on_device) {
    rbc_resample_source source = source_of(p, on_device, lengths_wanted);
    source.mode = mode_wanted;
    source.outside = outside_wanted;
    if (limit_wanted > 0) {
        source.tolerance = limit_wanted;
        source.max_gap = 10 * limit_wanted;
    }
    return source;
}

static rbc_channel_group groups[MANY_GROUPS];

static rbc_resample_source in_many_groups(const problem *p, int on_device) {
    static const rbc_resample_mode modes[] = {RBC_RESAMPLE_LINEAR, RBC_RESAMPLE_HOLD,
                                              RBC_RESAMPLE_CUBIC, RBC_RESAMPLE_MEAN,
                                              RBC_RESAMPLE_NEAREST};
    for (int64_t g = 0; g < MANY_GROUPS; ++g) {
        groups[g] = (rbc_channel_group){g, g + 1, modes[g % (int64_t)COUNT(modes)]};
    }
    rbc_resample_source source = source_of(p, on_device, lengths_wanted);
    source.groups = groups;
    source.num_groups = MANY_GROUPS;
    source.max_gap = 0.02;
    source.tolerance = 0.01;
    source.outside = RBC_OUTSIDE_NAN;
    return source;
}

void adjoint_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const rbc_resample_mode modes[] = {RBC_RESAMPLE_LINEAR,  RBC_RESAMPLE_HOLD,
                                              RBC_RESAMPLE_NEAREST, RBC_RESAMPLE_CUBIC,
                                              RBC_RESAMPLE_ANGLE,   RBC_RESAMPLE_MEAN};
    static const DLDataType *const times[] = {&i64, &f64, &f32};
    for (size_t m = 0; m < COUNT(modes); ++m) {
        for (int variant = 0; variant < 6; ++variant) {
            mode_wanted = modes[m];
            lengths_wanted = variant % 2;
            outside_wanted = variant < 2 ? RBC_OUTSIDE_HOLD : RBC_OUTSIDE_ZERO;
            limit_wanted = variant == 4 ? 0.002 : 0;
            if (variant == 5 && mode_wanted == RBC_RESAMPLE_LINEAR) {
                outside_wanted = RBC_OUTSIDE_EXTRAPOLATE;
            }
            problem p = problem_new(variant % 2 ? &f64 : &f32, times[variant % 3], 3, 150,
                                    variant < 2 ? 200 : 67, variant < 3 ? 5 : 40, variant != 3);
            run_adjoint(&p, in_one_mode);
        }
    }
    lengths_wanted = 1;
    problem p = problem_new(&f32, &f64, 3, 70, 90, MANY_GROUPS, 1);
    run_adjoint(&p, in_many_groups);
    mode_wanted = RBC_RESAMPLE_CUBIC;
    outside_wanted = RBC_OUTSIDE_HOLD;
    lengths_wanted = 0;
    problem wide = problem_new(&f32, &i64, 1, 6000, 500, 3, 1);
    run_adjoint(&wide, in_one_mode);
}

/* Gives runs of `run` samples the stamp of the first. */
static void repeat_times(problem *p, int64_t run) {
    const size_t item = item_bytes(p->times.host.dtype);
    const int64_t samples = p->times.shape[1];
    char *row = p->times.data;
    for (int64_t b = 0; b < p->times.shape[0]; b++, row += (size_t)samples * item) {
        for (int64_t i = 0; i < samples; ++i) {
            memcpy(row + (size_t)i * item, row + (size_t)(i - i % run) * item, item);
        }
    }
}

void plain_adjoint_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const rbc_resample_mode modes[] = {RBC_RESAMPLE_LINEAR, RBC_RESAMPLE_HOLD,
                                              RBC_RESAMPLE_NEAREST, RBC_RESAMPLE_ANGLE};
    static const DLDataType *const times[] = {&i64, &f64, &f32};
    static const int64_t targets[] = {1, 67, 700};
    lengths_wanted = 0;
    limit_wanted = 0;
    outside_wanted = RBC_OUTSIDE_HOLD;
    for (size_t i = 0; i < COUNT(modes) * 6; ++i) {
        mode_wanted = modes[i % COUNT(modes)];
        const size_t variant = i / COUNT(modes);
        problem p = problem_new(variant % 2 ? &f64 : &f32, times[i % 3], 3, 150,
                                targets[variant % 3], 40, variant < 4);
        if (variant > 1) {
            repeat_times(&p, variant == 2 ? 2 : 60);
        }
        run_adjoint(&p, in_one_mode);
    }
    problem wide = problem_new(&f32, &f64, 2, 40, 9000, 1028, 1);
    run_adjoint(&wide, in_one_mode);
}

/* ---- many groups ---- */

void many_groups_give_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    for (lengths_wanted = 0; lengths_wanted < 2; ++lengths_wanted) {
        problem p = problem_new(&f32, &f64, 3, 70, 61, MANY_GROUPS + 3, 1);
        array valid = array_new(u8, 2, (int64_t[]){3, 61});
        array dt = array_new(f64, 2, (int64_t[]){3, 61});
        problem_to_device(&p, 0);
        to_device(&valid, 0);
        to_device(&dt, 0);
        for (int on_device = 0; on_device < 2; ++on_device) {
            const rbc_resample_source source = in_many_groups(&p, on_device);
            rbc_error err;
            check(rbc_resample(context, &source, on_device ? &p.targets.device : &p.targets.host,
                               on_device ? &p.result.device : &p.result.host,
                               on_device ? &valid.device : &valid.host,
                               on_device ? &dt.device : &dt.host, NULL, &err),
                  &err);
        }
        assert_same(&p.result);
        assert_same(&valid);
        assert_same(&dt);
        free(valid.data);
        free(dt.data);
        problem_free(&p);
    }
}

/* ---- checked times ---- */

static void expect_the_same_blame(problem *p) {
    problem_to_device(p, 0);
    rbc_error errors[2];
    for (int on_device = 0; on_device < 2; ++on_device) {
        rbc_resample_source source = source_of(p, on_device, 1);
        source.flags = RBC_CHECK_TIMES;
        const rbc_status status = rbc_resample(
            context, &source, on_device ? &p->targets.device : &p->targets.host,
            on_device ? &p->result.device : &p->result.host, NULL, NULL, NULL, &errors[on_device]);
        assert_int_equal(status, RBC_ERROR_INVALID_ARGUMENT);
    }
    assert_string_equal(errors[0].message, errors[1].message);
    problem_free(p);
}

void checked_times_are_blamed_as_on_the_cpu(void **unused) {
    (void)unused;
    problem p = problem_new(&f32, &i64, 3, 600, 20, 4, 1);
    ((int64_t *)p.times.data)[2 * 600 + 500] = -3;
    ((int64_t *)p.times.data)[2 * 600 + 300] = -2;
    ((int64_t *)p.times.data)[600 + 5] = -1; /* row 1 has no samples */
    expect_the_same_blame(&p);
    p = problem_new(&f32, &f64, 3, 600, 20, 4, 1);
    ((double *)p.times.data)[40] = (double)INFINITY;
    ((double *)p.targets.data)[19] = (double)NAN;
    expect_the_same_blame(&p);
    p = problem_new(&f32, &f32, 3, 600, 20, 4, 1);
    ((float *)p.targets.data)[45] = NAN;
    expect_the_same_blame(&p);
    p = problem_new(&f32, &f32, 1, 3, 20, 4, 1);
    memcpy(p.times.data, (float[]){-3e38f, 0, 3e38f}, 3 * sizeof(float));
    expect_the_same_blame(&p);
}
