#include "resample_trial.h"
#include "../random.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/half.h"
#include "resample_reference.h"

static uint64_t random_state = 1;

int64_t random_below(int64_t n) {
    return (int64_t)(xorshift(&random_state) >> 1) % n;
}

static double random_unit(void) {
    return xorshift_unit(&random_state);
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

block new_block(rbc__dtype dtype, int32_t ndim, const int64_t *shape, bool packed) {
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

void *at(const block *b, int64_t i, int64_t j, int64_t k) {
    const int64_t index[3] = {i, j, k};
    int64_t offset = 0;
    for (int32_t axis = 0; axis < b->tensor.ndim; ++axis) {
        offset += index[axis + (3 - b->tensor.ndim)] * b->strides[axis];
    }
    return (char *)b->memory + offset * rbc__dtype_bytes(b->dtype);
}

const DLTensor *tensor_of(block *b) {
    b->tensor.shape = b->shape;
    b->tensor.strides = b->strides;
    return &b->tensor;
}

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
void fill_trial(trial *t, bool with_nan) {
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

void make_trial(trial *t) {
    const int64_t b = t->batch, s = t->samples, n = t->targets, d = t->channels;
    t->values = new_block(t->dtype, 3, (int64_t[]){b, s, d}, t->packed);
    t->times = t->shared_times ? new_block(t->times_dtype, 1, (int64_t[]){s}, t->packed)
                               : new_block(t->times_dtype, 2, (int64_t[]){b, s}, t->packed);
    t->lengths = new_block(RBC__I32, 1, (int64_t[]){b}, t->packed);
    t->target_times = t->shared_targets
                          ? new_block(t->times_dtype, 1, (int64_t[]){n}, t->packed)
                          : new_block(t->times_dtype, 2, (int64_t[]){b, n}, t->packed);
    t->out = new_block(t->dtype, 3, (int64_t[]){b, n, d}, t->packed);
    t->valid = new_block(RBC__BOOL, 2, (int64_t[]){b, n}, t->packed);
    t->dt = new_block(t->times_dtype, 2, (int64_t[]){b, n}, t->packed);
}

void free_trial(trial *t) {
    block *blocks[] = {&t->values, &t->times, &t->lengths, &t->target_times,
                       &t->out,    &t->valid, &t->dt};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; ++i) {
        free(blocks[i]->memory);
    }
}

rbc_status run_trial(trial *t, rbc_context *context, rbc_error *err) {
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

void check_trial(trial *t) {
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

trial random_trial(rbc_resample_mode mode, rbc_outside outside, rbc__dtype dtype) {
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
    t.shared_targets = random_below(3) == 0;
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
