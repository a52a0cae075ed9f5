#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/tensor.h"
#include "cpu/kernels/half.h"
#include "resample_reference.h"

static uint64_t random_state = 1;

static uint64_t random_bits(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static int64_t random_below(int64_t n) {
    return (int64_t)(random_bits() >> 1) % n;
}

static double random_unit(void) {
    return (double)(random_bits() >> 11) * 0x1p-53;
}

static void store(void *item, rbc__dtype dtype, double value) {
    switch (dtype) {
    case RBC__F32:
        *(float *)item = (float)value;
        break;
    case RBC__F64:
        *(double *)item = value;
        break;
    case RBC__F16:
        *(uint16_t *)item = rbc__f16_of_f32((float)value);
        break;
    case RBC__BF16:
        *(uint16_t *)item = rbc__bf16_of_f32((float)value);
        break;
    case RBC__U8:
        *(uint8_t *)item = (uint8_t)value;
        break;
    case RBC__I16:
        *(int16_t *)item = (int16_t)value;
        break;
    default:
        *(int64_t *)item = (int64_t)value;
        break;
    }
}

static double load(const void *item, rbc__dtype dtype) {
    switch (dtype) {
    case RBC__F32:
        return (double)*(const float *)item;
    case RBC__F64:
        return *(const double *)item;
    case RBC__F16:
        return (double)rbc__f32_of_f16(*(const uint16_t *)item);
    case RBC__BF16:
        return (double)rbc__f32_of_bf16(*(const uint16_t *)item);
    case RBC__U8:
        return *(const uint8_t *)item;
    case RBC__I16:
        return *(const int16_t *)item;
    default:
        return (double)*(const int64_t *)item;
    }
}

static double load_time(const void *item, rbc__dtype dtype) {
    return dtype == RBC__I64 ? (double)*(const int64_t *)item : load(item, dtype);
}

/* A tensor with memory of its own, packed or with room between its entries. */
typedef struct block {
    DLTensor tensor;
    int64_t shape[3], strides[3];
    rbc__dtype dtype;
    void *memory;
} block;

static block new_block(rbc__dtype dtype, int32_t ndim, const int64_t *shape, bool packed) {
    block b = {.dtype = dtype};
    int64_t stride = packed ? 1 : 2;
    for (int32_t i = ndim - 1; i >= 0; --i) {
        b.shape[i] = shape[i];
        b.strides[i] = stride;
        stride *= shape[i] + (packed ? 0 : 1);
    }
    const size_t bytes = (size_t)(stride * rbc__dtype_bytes(dtype));
    b.memory = malloc(bytes + 1);
    assert_non_null(b.memory);
    memset(b.memory, 0x5a, bytes);
    b.tensor = (DLTensor){.data = b.memory,
                          .device = {kDLCPU, 0},
                          .ndim = ndim,
                          .dtype = rbc__dtype_to_dlpack(dtype)};
    return b;
}

static void *at(const block *b, int64_t i, int64_t j, int64_t k) {
    const int64_t index[3] = {i, j, k};
    int64_t offset = 0;
    for (int32_t axis = 0; axis < b->tensor.ndim; ++axis) {
        offset += index[axis + (3 - b->tensor.ndim)] * b->strides[axis];
    }
    return (char *)b->memory + offset * rbc__dtype_bytes(b->dtype);
}

/* Points into the block itself, which must not have moved. */
static const DLTensor *tensor_of(block *b) {
    b->tensor.shape = b->shape;
    b->tensor.strides = b->strides;
    return &b->tensor;
}

typedef struct trial {
    int64_t batch, samples, targets, channels;
    rbc__dtype dtype, times_dtype;
    bool packed, shared_times, ragged, unsorted_targets, has_groups;
    rbc_resample_source source;
    rbc_channel_group groups[2];
    block values, times, lengths, target_times, out, valid, dt;
} trial;

static rbc_resample_mode mode_at(const trial *t, int64_t channel) {
    for (int32_t g = 0; g < t->source.num_groups; ++g) {
        if (channel >= t->groups[g].begin && channel < t->groups[g].end) {
            return t->groups[g].mode;
        }
    }
    return t->source.mode;
}

static double scale_of(const trial *t) {
    return t->times_dtype == RBC__I64 ? 1.0 : 0x1p-6;
}

static void store_time(const trial *t, void *item, int64_t ticks) {
    if (t->times_dtype == RBC__I64) {
        *(int64_t *)item = ticks;
    } else {
        store(item, t->times_dtype, (double)ticks * scale_of(t));
    }
}

static int64_t ticks_of(const trial *t, const void *item) {
    return (int64_t)(load_time(item, t->times_dtype) / scale_of(t));
}

/* Integers scaled by a power of two: sums and differences of stamps are exact in every type. */
static void fill_trial(trial *t, bool with_nan) {
    const int64_t rows = t->shared_times ? 1 : t->batch;
    for (int64_t b = 0; b < rows; ++b) {
        int64_t now = random_below(100) - 50;
        for (int64_t s = 0; s < t->samples; ++s) {
            store_time(t, at(&t->times, 0, b, s), now);
            now += random_below(5) == 0 ? 0 : random_below(30);
        }
    }
    for (int64_t b = 0; b < t->batch; ++b) {
        int64_t now = random_below(200) - 150;
        for (int64_t j = 0; j < t->targets; ++j) {
            store_time(t, at(&t->target_times, 0, b, j), now);
            now = t->unsorted_targets ? random_below(15 * t->samples + 100) - 100
                                      : now + random_below(2 * 15 * t->samples / t->targets + 4);
        }
        for (int64_t s = 0; s < t->samples; ++s) {
            for (int64_t c = 0; c < t->channels; ++c) {
                double value = random_unit() * 200 - 100;
                if (with_nan && random_below(4) == 0) {
                    value = (double)NAN;
                } else if (!rbc__dtype_is_float(t->dtype)) {
                    value = (double)random_below(250);
                }
                store(at(&t->values, b, s, c), t->dtype, value);
            }
        }
        if (t->ragged) {
            *(int32_t *)at(&t->lengths, 0, 0, b) = (int32_t)random_below(t->samples + 1);
        }
    }
}

static void make_trial(trial *t) {
    const int64_t b = t->batch, s = t->samples, n = t->targets, d = t->channels;
    t->values = new_block(t->dtype, 3, (int64_t[]){b, s, d}, t->packed);
    t->times = t->shared_times ? new_block(t->times_dtype, 1, (int64_t[]){s}, t->packed)
                               : new_block(t->times_dtype, 2, (int64_t[]){b, s}, t->packed);
    t->lengths = new_block(RBC__I32, 1, (int64_t[]){b}, t->packed);
    t->target_times = new_block(t->times_dtype, 2, (int64_t[]){b, n}, t->packed);
    t->out = new_block(t->dtype, 3, (int64_t[]){b, n, d}, t->packed);
    t->valid = new_block(RBC__BOOL, 2, (int64_t[]){b, n}, t->packed);
    t->dt = new_block(t->times_dtype, 2, (int64_t[]){b, n}, t->packed);
}

static void free_trial(trial *t) {
    block *blocks[] = {&t->values, &t->times, &t->lengths, &t->target_times,
                       &t->out,    &t->valid, &t->dt};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; ++i) {
        free(blocks[i]->memory);
    }
}

static rbc_status run_trial(trial *t, rbc_context *context, rbc_error *err) {
    t->source.values = tensor_of(&t->values);
    t->source.times = tensor_of(&t->times);
    t->source.lengths = t->ragged ? tensor_of(&t->lengths) : NULL;
    t->source.groups = t->groups;
    return rbc_resample(context, &t->source, tensor_of(&t->target_times), tensor_of(&t->out),
                        tensor_of(&t->valid), tensor_of(&t->dt), NULL, err);
}

static double tolerance_of(rbc__dtype dtype) {
    switch (dtype) {
    case RBC__F64:
        return 1e-11;
    case RBC__F32:
        return 1e-5;
    case RBC__F16:
        return 2e-3;
    case RBC__BF16:
        return 2e-2;
    default:
        return 0.0;
    }
}

static void read_series(const trial *t, int64_t b, int64_t channel, int width,
                        reference_series *series) {
    series->width = width;
    series->mode = mode_at(t, channel);
    series->outside = t->source.outside;
    series->missing = (t->source.flags & RBC_NAN_IS_MISSING) != 0 && rbc__dtype_is_float(t->dtype);
    series->max_gap = (int64_t)(t->source.max_gap / (t->source.max_gap < 0 ? 1 : scale_of(t)));
    series->tolerance =
        (int64_t)(t->source.tolerance / (t->source.tolerance < 0 ? 1 : scale_of(t)));
    series->num_samples = t->ragged ? *(int32_t *)at(&t->lengths, 0, 0, b) : t->samples;
    for (int64_t s = 0; s < series->num_samples; ++s) {
        series->times[s] =
            ticks_of(t, t->shared_times ? at(&t->times, 0, 0, s) : at(&t->times, 0, b, s));
        for (int c = 0; c < width; ++c) {
            series->values[s][c] = load(at(&t->values, b, s, channel + c), t->dtype);
        }
    }
}

static bool close_to(double found, double wanted, double tolerance, bool is_angle) {
    if (isnan(wanted)) {
        return isnan(found);
    }
    double error = fabs(found - wanted);
    if (is_angle && error > 3.0) {
        error = fabs(error - 6.283185307179586);
    }
    return error <= tolerance * (100.0 + fabs(wanted));
}

static void check_trial(trial *t) {
    static reference_series series;
    for (int64_t b = 0; b < t->batch; ++b) {
        bool valid[MAX_SAMPLES];
        int64_t dt[MAX_SAMPLES];
        memset(valid, 1, sizeof valid);
        for (int64_t c = 0; c < t->channels;) {
            const rbc_resample_mode mode = mode_at(t, c);
            const int width = mode == RBC_RESAMPLE_SLERP ? 4 : 1;
            read_series(t, b, c, width, &series);
            for (int64_t j = 0; j < t->targets; ++j) {
                const int64_t now = ticks_of(t, at(&t->target_times, 0, b, j));
                int64_t begin = INT64_MIN;
                if (j > 0) {
                    begin = ticks_of(t, at(&t->target_times, 0, b, j - 1));
                } else if (t->targets > 1) {
                    begin = 2 * now - ticks_of(t, at(&t->target_times, 0, b, 1));
                }
                const reference_result wanted = reference_resample(&series, now, begin);
                for (int k = 0; k < width; ++k) {
                    const double found = load(at(&t->out, b, j, c + k), t->dtype);
                    if (!close_to(found, wanted.values[k], tolerance_of(t->dtype),
                                  mode == RBC_RESAMPLE_ANGLE)) {
                        fail_msg("mode %d, outside %d, %s: out[%d, %d, %d] is %.9g, wanted %.9g",
                                 (int)mode, (int)t->source.outside, rbc__dtype_name(t->dtype),
                                 (int)b, (int)j, (int)(c + k), found, wanted.values[k]);
                    }
                }
                valid[j] = valid[j] && wanted.valid;
                dt[j] = c == 0 ? wanted.dt : dt[j];
            }
            c += width;
        }
        for (int64_t j = 0; j < t->targets; ++j) {
            assert_int_equal(*(uint8_t *)at(&t->valid, 0, b, j), valid[j]);
            const double found = load_time(at(&t->dt, 0, b, j), t->times_dtype);
            const bool none = dt[j] == INT64_MAX;
            if (none && t->times_dtype != RBC__I64) {
                assert_true(isnan(found));
            } else if (none) {
                assert_true(*(int64_t *)at(&t->dt, 0, b, j) == INT64_MAX);
            } else {
                assert_true(found == (double)dt[j] * scale_of(t));
            }
        }
    }
}

static trial random_trial(rbc_resample_mode mode, rbc_outside outside, rbc__dtype dtype) {
    static const rbc__dtype clocks[] = {RBC__I64, RBC__F64, RBC__F32};
    trial t = {.source = RBC_RESAMPLE_SOURCE_INIT};
    t.batch = 1 + random_below(3);
    t.samples = 1 + random_below(random_below(3) == 0 ? 300 : 20);
    t.targets = 1 + random_below(random_below(3) == 0 ? 200 : 12);
    t.channels = mode == RBC_RESAMPLE_SLERP ? 4 : 1 + random_below(random_below(4) == 0 ? 80 : 9);
    t.dtype = dtype;
    t.times_dtype = clocks[random_below(3)];
    t.packed = random_below(3) != 0;
    t.shared_times = random_below(3) == 0;
    t.ragged = random_below(3) == 0;
    t.unsorted_targets = random_below(4) == 0;
    t.source.mode = mode;
    t.source.outside = outside;
    t.source.max_gap = random_below(2) == 0 ? -1.0 : (double)random_below(25) * scale_of(&t);
    t.source.tolerance = random_below(2) == 0 ? -1.0 : (double)random_below(12) * scale_of(&t);
    if (rbc__dtype_is_float(dtype) && random_below(3) == 0) {
        t.source.flags = RBC_NAN_IS_MISSING;
    }
    return t;
}

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

/* Exact stamps at epoch size, values that arithmetic would change, extremes of int64. */
static void exact_stamps_give_the_sample_to_the_bit(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    static const int64_t stamps[] = {INT64_MIN, -5, 1795000000000000001, 1795000000000000002,
                                     INT64_MAX};
    static const float samples[] = {-0.0f, INFINITY, 1e30f, -1e-40f, 3.0f};
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
                *(float *)at(&t.values, 0, i, c) = samples[(i + c) % 5];
            }
        }
        assert_int_equal(run_trial(&t, context, NULL), RBC_OK);
        assert_memory_equal(t.out.memory, t.values.memory, 5 * 4 * sizeof(float));
        free_trial(&t);
    }
    rbc_context_destroy(&context);
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
    t.source.struct_size = 8;
    expect_refusal(&t, context, WORDS("struct_size is 8"));
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
            make_trial(&parts[s]);
            fill_trial(&parts[s], false);
            if (s > 0) {
                free(parts[s].target_times.memory);
                parts[s].target_times = new_block(RBC__I64, 2, (int64_t[]){2, 70}, true);
                for (int64_t b = 0; b < 2; ++b) {
                    for (int64_t j = 0; j < 70; ++j) {
                        *(int64_t *)at(&parts[s].target_times, 0, b, j) =
                            *(int64_t *)at(&parts[0].target_times, 0, b, j);
                    }
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
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(outputs_may_not_overlap_inputs),
        cmocka_unit_test(empty_extents_are_fine),
        cmocka_unit_test(fuse_is_resamples_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
