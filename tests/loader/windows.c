/* What a window delivers equals resampling the whole episode, but for what a loader has of its own:
 * the clock's intervals, and padding. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rate.h"
#include "fake.h"
#include "fields.h"

#define MAX_WIDTH 24

typedef struct window_case {
    int32_t stream;
    const char *name;
    rbc_resample_mode mode;
    rbc_outside outside;
    bool in_ticks;
    int32_t width;
    int64_t offsets[MAX_WIDTH]; /* ticks or ns */
    double max_gap_ns, tolerance_ns;
    int32_t num_groups;
    rbc_channel_group groups[3];
} window_case;

#define MS INT64_C(1000000)

/* One row: stream, mode, outside; ticks or ns; limits. */
#define TICKS(stream_, name_, mode_, outside_, ...)                                                \
    {.stream = FAKE_##stream_,                                                                     \
     .name = name_,                                                                                \
     .mode = RBC_RESAMPLE_##mode_,                                                                 \
     .outside = RBC_OUTSIDE_##outside_,                                                            \
     .in_ticks = true,                                                                             \
     .width = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                                  \
     .offsets = {__VA_ARGS__},                                                                     \
     .max_gap_ns = -1,                                                                             \
     .tolerance_ns = -1}
#define TIMES(stream_, name_, mode_, outside_, gap_, tolerance_, ...)                              \
    {.stream = FAKE_##stream_,                                                                     \
     .name = name_,                                                                                \
     .mode = RBC_RESAMPLE_##mode_,                                                                 \
     .outside = RBC_OUTSIDE_##outside_,                                                            \
     .in_ticks = false,                                                                            \
     .width = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                                  \
     .offsets = {__VA_ARGS__},                                                                     \
     .max_gap_ns = gap_,                                                                           \
     .tolerance_ns = tolerance_}

static const window_case cases[] = {
    TICKS(STATE, "state", LINEAR, HOLD, -1, 0),
    TICKS(STATE, "state", HOLD, ZERO, 0, 1, 2, 3),
    TICKS(STATE, "state", CUBIC, NAN, 5, -3, 0),
    TICKS(STATE, "state", LINEAR, EXTRAPOLATE, -2, 0, 9),
    TICKS(STATE, "state", LINEAR, HOLD, -40, 0, 40),
    TICKS(STATE, "state", MEAN, HOLD, -2, 0, 2),
    TICKS(STATE, "state", MAX, HOLD, 0),
    TICKS(STATE, "state", HOLD, NAN, -3, 0, 3),
    TIMES(STATE, "state", HOLD, ZERO, 1e9, -1, 0, 700 * MS, 1500 * MS),
    TICKS(IMU, "imu", MEAN, HOLD, 0),
    TICKS(IMU, "imu", MAX, NAN, 0, 5),
    TICKS(IMU, "imu", MEAN, ZERO, 3, -2),
    TIMES(STATE, "state", LINEAR, HOLD, -1, -1, -130 * MS, 0, 77 * MS),
    TIMES(STATE, "state", NEAREST, ZERO, -1, 4e8, -200 * MS, 0, 200 * MS),
    TIMES(STATE, "state", CUBIC, HOLD, -1, -1, -130 * MS, 1, 77 * MS, 900 * MS),
    TICKS(ACTION, "action", HOLD, HOLD, 0, 1, 2, 3, 4, 5, 6, 7),
    TIMES(ACTION, "action", LINEAR, HOLD, -1, -1, 0, 333 * MS),
    TICKS(COUNT, "count", HOLD, ZERO, -3, 3, 0),
    TIMES(COUNT, "count", NEAREST, HOLD, -1, -1, -99 * MS, 101 * MS),
    TICKS(COUNT, "count", MIN, HOLD, -5, 0),
    TICKS(IMU, "imu", LINEAR, HOLD, -1, 0, 1),
    TIMES(IMU, "imu", LINEAR, NAN, 30e6, 20e6, -500 * MS, -10 * MS, 0, 10 * MS, 500 * MS),
    TICKS(IMU, "imu", LINEAR, EXTRAPOLATE, -3, 0, 3),
    TIMES(IMU, "imu", HOLD, HOLD, -1, 5e6, -7 * MS, 0, 3 * MS, 7 * MS),
    TIMES(IMU, "imu", NEAREST, ZERO, -1, 15e6, -400 * MS, 400 * MS),
    TICKS(IMU, "imu", CUBIC, HOLD, -9, 0, 1, 9),
    TICKS(IMU, "imu", MEAN, HOLD, -3, -2, -1, 0),
    TIMES(IMU, "imu", MEAN, ZERO, -1, -1, -9 * MS, -6 * MS, -3 * MS, 0),
    TICKS(IMU, "imu", MIN, HOLD, 0),
    {.stream = FAKE_IMU,
     .name = "imu",
     .in_ticks = true,
     .width = 2,
     .offsets = {-1, 0},
     .max_gap_ns = -1,
     .tolerance_ns = -1,
     .num_groups = 2,
     .groups = {{1, 2, RBC_RESAMPLE_ANGLE}, {0, 1, RBC_RESAMPLE_MAX}}},
    {.stream = FAKE_POSE,
     .name = "pose",
     .mode = RBC_RESAMPLE_HOLD,
     .in_ticks = true,
     .width = 2,
     .offsets = {-1, 0},
     .max_gap_ns = -1,
     .tolerance_ns = -1,
     .num_groups = 1,
     .groups = {{0, 4, RBC_RESAMPLE_SLERP}}},
};

/* The clock written down a second time: steps and ticks of an episode. */
typedef struct episode_clock {
    int64_t index, num_stamps;
    int64_t origin_ns, end_ns;
    int64_t *stamps; /* of the stream */
} episode_clock;

static episode_clock clock_of(int64_t episode, int32_t stream, double control_hz, bool has_stamps) {
    episode_clock clock = {.index = episode};
    rbc__rate rate;
    assert_true(rbc__rate_from_hz(control_hz, &rate));
    const int64_t num_steps = fake_num_steps(episode);
    clock.end_ns = rbc__rate_time_ns(&rate, num_steps - 1);
    if (has_stamps) {
        int64_t *stamps = fake_stamps(episode);
        clock.origin_ns = stamps[0];
        clock.end_ns += clock.origin_ns;
        free(stamps);
    }
    const bool is_stamped = stream == FAKE_IMU || stream == FAKE_POSE || stream == FAKE_CAMERA;
    clock.num_stamps = is_stamped ? fake_num_stamps(episode) : num_steps;
    clock.stamps =
        is_stamped ? fake_stamps(episode) : malloc((size_t)(num_steps + 1) * sizeof *clock.stamps);
    for (int64_t i = 0; !is_stamped && i < num_steps; ++i) {
        clock.stamps[i] = clock.origin_ns + rbc__rate_time_ns(&rate, i);
    }
    return clock;
}

static DLTensor tensor_of(void *data, rbc__dtype dtype, int32_t ndim, int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = {kDLCPU, 0},
                      .ndim = ndim,
                      .dtype = rbc__dtype_to_dlpack(dtype),
                      .shape = shape};
}

static void check_row(rbc_context *context, const window_case *c, const rbc_batch *batch,
                      int64_t row, double rate_hz, double control_hz, bool has_stamps) {
    const int64_t episode = (numbers_of(batch, "episode_id")[row] - 1000) / 3;
    const int64_t tick = numbers_of(batch, "step_index")[row];
    episode_clock clock = clock_of(episode, c->stream, control_hz, has_stamps);
    rbc__rate rate;
    assert_true(rbc__rate_from_hz(rate_hz, &rate));
    const int64_t now = clock.origin_ns + rbc__rate_time_ns(&rate, tick);
    assert_int_equal(numbers_of(batch, "time_ns")[row], now);
    int64_t targets[2 * MAX_WIDTH]; /* each behind the one at which its interval begins */
    uint8_t valid[2 * MAX_WIDTH];
    bool is_pad[MAX_WIDTH];
    for (int32_t i = 0; i < c->width; ++i) {
        const int64_t at = c->in_ticks ? tick + c->offsets[i] : tick;
        const int64_t begin_ns = clock.origin_ns + (c->in_ticks ? 0 : c->offsets[i]);
        targets[2 * i] = begin_ns + rbc__rate_time_ns(&rate, at - 1);
        targets[2 * i + 1] = begin_ns + rbc__rate_time_ns(&rate, at);
        is_pad[i] = targets[2 * i + 1] < clock.origin_ns || targets[2 * i + 1] > clock.end_ns;
        char name[64];
        snprintf(name, sizeof name, "%s_is_pad", c->name);
        assert_int_equal(bytes_of(batch, name)[row * c->width + i], is_pad[i]);
    }
    const rbc_field *field = field_of(batch, c->name);
    const rbc__dtype dtype = c->stream == FAKE_COUNT                              ? RBC__I64
                             : c->stream == FAKE_ACTION || c->stream == FAKE_POSE ? RBC__F64
                                                                                  : RBC__F32;
    const int64_t sample_bytes = fake_sample_bytes(c->stream);
    const int64_t channels = sample_bytes / rbc__dtype_bytes(dtype);
    void *values = fake_values(episode, c->stream, clock.num_stamps);
    uint8_t *expected = calloc(2 * (size_t)c->width, (size_t)sample_bytes);
    int64_t values_shape[] = {clock.num_stamps, channels};
    int64_t out_shape[] = {1, 2 * (int64_t)c->width, channels};
    int64_t target_shape[] = {1, 2 * (int64_t)c->width};
    DLTensor values_tensor = tensor_of(values, dtype, 2, values_shape);
    DLTensor times_tensor = tensor_of(clock.stamps, RBC__I64, 1, values_shape);
    DLTensor targets_tensor = tensor_of(targets, RBC__I64, 2, target_shape);
    DLTensor out_tensor = tensor_of(expected, dtype, 3, out_shape);
    DLTensor valid_tensor = tensor_of(valid, RBC__BOOL, 2, target_shape);
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = &values_tensor;
    source.times = &times_tensor;
    source.mode = c->mode;
    source.outside = c->outside;
    source.groups = c->groups;
    source.num_groups = c->num_groups;
    source.max_gap = c->max_gap_ns;
    source.tolerance = c->tolerance_ns;
    rbc_error error;
    expect_ok(rbc_resample(context, &source, &targets_tensor, &out_tensor, &valid_tensor, NULL,
                           NULL, &error),
              &error);
    char name[64];
    snprintf(name, sizeof name, "%s_valid", c->name);
    const uint8_t *delivered = field->tensor.data;
    const bool fills = c->outside == RBC_OUTSIDE_ZERO || c->outside == RBC_OUTSIDE_NAN;
    for (int32_t i = 0; i < c->width; ++i) {
        const int64_t at = row * c->width + i;
        const bool is_filled = is_pad[i] && fills;
        assert_int_equal(bytes_of(batch, name)[at], valid[2 * i + 1] && !is_filled);
        for (int64_t k = 0; is_filled && k < channels; ++k) {
            const float nan = NAN;
            uint8_t *item = expected + (2 * i + 1) * sample_bytes + k * rbc__dtype_bytes(dtype);
            memset(item, 0, (size_t)rbc__dtype_bytes(dtype));
            if (c->outside == RBC_OUTSIDE_NAN) {
                assert_int_equal(dtype, RBC__F32);
                memcpy(item, &nan, sizeof nan);
            }
        }
        assert_memory_equal(delivered + at * sample_bytes, expected + (2 * i + 1) * sample_bytes,
                            (size_t)sample_bytes);
    }
    free(values);
    free(expected);
    free(clock.stamps);
}

static void check_case(rbc_context *context, const window_case *c, double rate_hz,
                       bool has_stamps) {
    fake_params fake = FAKE_PARAMS_INIT;
    fake.num_episodes = 9;
    fake.has_stamps = has_stamps;
    rbc_selection *selection = fake_create(&fake);
    int32_t ticks[MAX_WIDTH];
    for (int32_t i = 0; i < c->width; ++i) {
        ticks[i] = (int32_t)c->offsets[i];
    }
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = c->name;
    window.ticks = c->in_ticks ? ticks : NULL;
    window.offsets_ns = c->in_ticks ? NULL : c->offsets;
    window.count = c->width;
    window.mode = c->mode;
    window.outside = c->outside;
    window.groups = c->groups;
    window.num_groups = c->num_groups;
    window.max_gap_ns = c->max_gap_ns;
    window.tolerance_ns = c->tolerance_ns;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    params.batch_size = 10;
    params.rate_hz = rate_hz;
    params.snap_ns = 0; /* the operation compares exactly */
    params.num_threads = 2;
    rbc_loader *loader = NULL;
    rbc_error error;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    rbc_selection_destroy(&selection);
    rbc_batch *batch = NULL;
    rbc_status status;
    int64_t rows = 0;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        const int64_t in_batch = field_of(batch, c->name)->tensor.shape[0];
        for (int64_t row = 0; row < in_batch; ++row) {
            check_row(context, c, batch, row, rate_hz == 0.0 ? 5.0 : rate_hz, 5.0, has_stamps);
        }
        rows += in_batch;
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_END);
    assert_int_equal(rows, rbc_loader_num_samples(loader));
    assert_true(rows > 100);
    rbc_loader_destroy(&loader);
    assert_int_equal(fake_num_open(), 0);
}

static void windows_equal_resampling_the_episode(void **state) {
    (void)state;
    rbc_context *context = NULL;
    rbc_context_params context_params = RBC_CONTEXT_PARAMS_INIT;
    context_params.num_threads = 1;
    assert_int_equal(rbc_context_create(&context_params, &context, NULL), RBC_OK);
    const double rates[] = {0.0, 7.3, 20.0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        for (size_t r = 0; r < sizeof rates / sizeof *rates; ++r) {
            if (cases[i].stream != FAKE_IMU && cases[i].stream != FAKE_POSE) {
                check_case(context, &cases[i], rates[r], false);
            }
            check_case(context, &cases[i], rates[r], true);
        }
    }
    rbc_context_destroy(&context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_equal_resampling_the_episode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
