/* What a window delivers equals resampling the whole episode. */
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

static const window_case cases[] = {
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_HOLD,
     true,
     2,
     {-1, 0},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_HOLD,
     RBC_OUTSIDE_ZERO,
     true,
     4,
     {0, 1, 2, 3},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_CUBIC,
     RBC_OUTSIDE_NAN,
     true,
     3,
     {5, -3, 0},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_EXTRAPOLATE,
     true,
     3,
     {-2, 0, 9},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_HOLD,
     true,
     3,
     {-40, 0, 40},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_NEAREST,
     RBC_OUTSIDE_ZERO,
     true,
     3,
     {-1, 0, 1},
     -1,
     4e8,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_HOLD,
     false,
     3,
     {-130 * MS, 0, 77 * MS},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_CUBIC,
     RBC_OUTSIDE_HOLD,
     false,
     4,
     {-130 * MS, 1, 77 * MS, 900 * MS},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE,
     "state",
     RBC_RESAMPLE_MEAN,
     RBC_OUTSIDE_HOLD,
     true,
     3,
     {-2, 0, 2},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_STATE, "state", RBC_RESAMPLE_MAX, RBC_OUTSIDE_HOLD, true, 1, {0}, -1, -1, 0, {{0}}},
    {FAKE_ACTION,
     "action",
     RBC_RESAMPLE_HOLD,
     RBC_OUTSIDE_HOLD,
     true,
     8,
     {0, 1, 2, 3, 4, 5, 6, 7},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_ACTION,
     "action",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_HOLD,
     false,
     2,
     {0, 333 * MS},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_COUNT,
     "count",
     RBC_RESAMPLE_HOLD,
     RBC_OUTSIDE_ZERO,
     true,
     3,
     {-3, 3, 0},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_COUNT,
     "count",
     RBC_RESAMPLE_NEAREST,
     RBC_OUTSIDE_HOLD,
     false,
     2,
     {-99 * MS, 101 * MS},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_COUNT, "count", RBC_RESAMPLE_MIN, RBC_OUTSIDE_HOLD, true, 2, {-5, 0}, -1, -1, 0, {{0}}},
    {FAKE_IMU, "imu", RBC_RESAMPLE_LINEAR, RBC_OUTSIDE_HOLD, true, 3, {-1, 0, 1}, -1, -1, 0, {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_NAN,
     false,
     5,
     {-500 * MS, -10 * MS, 0, 10 * MS, 500 * MS},
     30e6,
     20e6,
     0,
     {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_EXTRAPOLATE,
     true,
     3,
     {-3, 0, 3},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_HOLD,
     RBC_OUTSIDE_HOLD,
     false,
     4,
     {-7 * MS, 0, 3 * MS, 7 * MS},
     -1,
     5e6,
     0,
     {{0}}},
    {FAKE_IMU, "imu", RBC_RESAMPLE_NEAREST, RBC_OUTSIDE_ZERO, true, 2, {-2, 2}, -1, 15e6, 0, {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_CUBIC,
     RBC_OUTSIDE_HOLD,
     true,
     4,
     {-9, 0, 1, 9},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_MEAN,
     RBC_OUTSIDE_HOLD,
     true,
     4,
     {-3, -2, -1, 0},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_MEAN,
     RBC_OUTSIDE_ZERO,
     false,
     4,
     {-9 * MS, -6 * MS, -3 * MS, 0},
     -1,
     -1,
     0,
     {{0}}},
    {FAKE_IMU, "imu", RBC_RESAMPLE_MIN, RBC_OUTSIDE_HOLD, true, 1, {0}, -1, -1, 0, {{0}}},
    {FAKE_IMU,
     "imu",
     RBC_RESAMPLE_LINEAR,
     RBC_OUTSIDE_HOLD,
     true,
     2,
     {-1, 0},
     -1,
     -1,
     2,
     {{1, 2, RBC_RESAMPLE_ANGLE}, {0, 1, RBC_RESAMPLE_MAX}}},
    {FAKE_POSE,
     "pose",
     RBC_RESAMPLE_HOLD,
     RBC_OUTSIDE_HOLD,
     true,
     2,
     {-1, 0},
     -1,
     -1,
     1,
     {{0, 4, RBC_RESAMPLE_SLERP}}},
};

static void expect_ok(rbc_status status, const rbc_error *error) {
    if (status != RBC_OK) {
        fail_msg("status %s: %s", rbc_status_name(status), error->message);
    }
}

static const rbc_field *field_named(const rbc_batch *batch, const char *name) {
    for (int32_t i = 0; i < rbc_batch_num_fields(batch); i++) {
        if (strcmp(rbc_batch_field(batch, i)->name, name) == 0) {
            return rbc_batch_field(batch, i);
        }
    }
    fail_msg("no field '%s'", name);
    return NULL;
}

static const uint8_t *bytes_of(const rbc_batch *batch, const char *name) {
    return field_named(batch, name)->tensor.data;
}

static const int64_t *numbers_of(const rbc_batch *batch, const char *name) {
    return field_named(batch, name)->tensor.data;
}

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
        clock.end_ns = stamps[fake_num_stamps(episode) - 1];
        free(stamps);
    }
    const bool is_stamped = stream == FAKE_IMU || stream == FAKE_POSE || stream == FAKE_CAMERA;
    clock.num_stamps = is_stamped ? fake_num_stamps(episode) : num_steps;
    clock.stamps =
        is_stamped ? fake_stamps(episode) : malloc((size_t)(num_steps + 1) * sizeof *clock.stamps);
    for (int64_t i = 0; !is_stamped && i < num_steps; i++) {
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
    const int64_t episode = (numbers_of(batch, "episode_index")[row] - 1000) / 3;
    const int64_t tick = numbers_of(batch, "step_index")[row];
    episode_clock clock = clock_of(episode, c->stream, control_hz, has_stamps);
    rbc__rate rate;
    assert_true(rbc__rate_from_hz(rate_hz, &rate));
    const int64_t now = clock.origin_ns + rbc__rate_time_ns(&rate, tick);
    assert_int_equal(numbers_of(batch, "time_ns")[row], now);
    int64_t targets[MAX_WIDTH];
    uint8_t valid[MAX_WIDTH];
    for (int32_t i = 0; i < c->width; i++) {
        targets[i] = c->in_ticks ? clock.origin_ns + rbc__rate_time_ns(&rate, tick + c->offsets[i])
                                 : now + c->offsets[i];
        const bool is_pad = targets[i] < clock.origin_ns || targets[i] > clock.end_ns;
        char name[64];
        snprintf(name, sizeof name, "%s_is_pad", c->name);
        assert_int_equal(bytes_of(batch, name)[row * c->width + i], is_pad);
    }
    const rbc_field *field = field_named(batch, c->name);
    const rbc__dtype dtype = c->stream == FAKE_COUNT                              ? RBC__I64
                             : c->stream == FAKE_ACTION || c->stream == FAKE_POSE ? RBC__F64
                                                                                  : RBC__F32;
    const int64_t sample_bytes = fake_sample_bytes(c->stream);
    const int64_t channels = sample_bytes / rbc__dtype_bytes(dtype);
    void *values = fake_values(episode, c->stream, clock.num_stamps);
    void *expected = calloc((size_t)c->width, (size_t)sample_bytes);
    int64_t values_shape[] = {clock.num_stamps, channels};
    int64_t out_shape[] = {1, c->width, channels};
    int64_t target_shape[] = {1, c->width};
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
    const size_t row_bytes = (size_t)(c->width * sample_bytes);
    assert_memory_equal((const uint8_t *)field->tensor.data + (size_t)row * row_bytes, expected,
                        row_bytes);
    char name[64];
    snprintf(name, sizeof name, "%s_valid", c->name);
    assert_memory_equal(bytes_of(batch, name) + row * c->width, valid, (size_t)c->width);
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
    for (int32_t i = 0; i < c->width; i++) {
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
    params.num_threads = 2;
    rbc_loader *loader = NULL;
    rbc_error error;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    rbc_selection_destroy(&selection);
    rbc_batch *batch = NULL;
    rbc_status status;
    int64_t rows = 0;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        const int64_t in_batch = field_named(batch, c->name)->tensor.shape[0];
        for (int64_t row = 0; row < in_batch; row++) {
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
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            if (cases[i].stream != FAKE_IMU && cases[i].stream != FAKE_POSE) {
                check_case(context, &cases[i], rates[r], false);
            }
            check_case(context, &cases[i], rates[r], true);
        }
    }
    rbc_context_destroy(&context);
}

static rbc_loader *open_loader(const fake_params *fake, const rbc_window *windows,
                               int32_t num_windows, double rate_hz) {
    rbc_selection *selection = fake_create(fake);
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = num_windows;
    params.batch_size = 8;
    params.rate_hz = rate_hz;
    params.num_threads = 2;
    params.shuffle = 1;
    rbc_loader *loader = NULL;
    rbc_error error;
    expect_ok(rbc_loader_create(selection, &params, &loader, &error), &error);
    rbc_selection_destroy(&selection);
    return loader;
}

static int64_t clamped(int64_t step, int64_t count) {
    return step < 0 ? 0 : step >= count ? count - 1 : step;
}

static void images_are_decoded_once_a_window(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const int32_t ticks[] = {-2, 0, 0, 1};
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = "image";
    window.name = "view";
    window.ticks = ticks;
    window.count = 4;
    rbc_loader *loader = open_loader(&fake, &window, 1, 0.0);
    const int64_t located = fake_num_located();
    rbc_batch *batch = NULL;
    int64_t distinct = 0;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        const rbc_field *field = field_named(batch, "view");
        assert_int_equal(field->tensor.ndim, 5);
        assert_int_equal(field->tensor.shape[1], 4);
        assert_int_equal(field->tensor.shape[2], FAKE_IMAGE_HEIGHT);
        assert_int_equal(field->tensor.shape[3], FAKE_IMAGE_WIDTH);
        assert_int_equal(field->tensor.shape[4], 3);
        for (int64_t row = 0; row < field->tensor.shape[0]; row++) {
            const int64_t episode = (numbers_of(batch, "episode_index")[row] - 1000) / 3;
            const int64_t tick = numbers_of(batch, "step_index")[row];
            const int64_t steps = fake_num_steps(episode);
            int64_t last = -1;
            for (int64_t i = 0; i < 4; i++) {
                const int64_t at = row * 4 + i;
                const int64_t wanted = tick + ticks[i];
                const int64_t step = clamped(wanted, steps);
                uint8_t pixels[FAKE_IMAGE_BYTES];
                fake_pixels(episode, FAKE_IMAGE, step, pixels);
                assert_memory_equal((uint8_t *)field->tensor.data + at * FAKE_IMAGE_BYTES, pixels,
                                    FAKE_IMAGE_BYTES);
                assert_int_equal(bytes_of(batch, "view_is_pad")[at], step != wanted);
                assert_int_equal(bytes_of(batch, "view_valid")[at],
                                 step == wanted && !fake_image_is_empty(FAKE_IMAGE, step));
                distinct += step != last;
                last = step;
            }
        }
        rbc_batch_release(&batch);
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_int_equal(fake_num_located() - located, distinct);
    assert_true(stats.images_decoded > 0 && stats.images_decoded < distinct);
    assert_int_equal(stats.samples_delivered, rbc_loader_num_samples(loader));
    rbc_loader_destroy(&loader);
}

/* Last sample with a stamp at or before `time_ns`, or -1. */
static int64_t held_at(const int64_t *stamps, int64_t count, int64_t time_ns) {
    int64_t found = -1;
    for (int64_t i = 0; i < count; i++) {
        found = stamps[i] <= time_ns ? i : found;
    }
    return found;
}

static void stamped_images_are_held(void **state) {
    (void)state;
    fake_params fake = FAKE_PARAMS_INIT;
    fake.has_stamps = true;
    fake.num_episodes = 6;
    const int64_t offsets[] = {-400 * MS, 0, 5 * MS};
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = "camera";
    window.offsets_ns = offsets;
    window.count = 3;
    window.outside = RBC_OUTSIDE_ZERO;
    window.tolerance_ns = 30e6;
    rbc_loader *loader = open_loader(&fake, &window, 1, 10.0);
    rbc_batch *batch = NULL;
    int64_t checked = 0;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        const rbc_field *field = field_named(batch, "camera");
        for (int64_t row = 0; row < field->tensor.shape[0]; row++) {
            const int64_t episode = (numbers_of(batch, "episode_index")[row] - 1000) / 3;
            const int64_t count = fake_num_stamps(episode);
            int64_t *stamps = fake_stamps(episode);
            for (int64_t i = 0; i < 3; i++) {
                const int64_t target = numbers_of(batch, "time_ns")[row] + offsets[i];
                const int64_t sample = held_at(stamps, count, target);
                const bool is_valid = sample >= 0 && target - stamps[sample] <= 30 * MS;
                uint8_t pixels[FAKE_IMAGE_BYTES] = {0};
                if (is_valid) {
                    fake_pixels(episode, FAKE_CAMERA, sample, pixels);
                }
                const int64_t at = row * 3 + i;
                assert_memory_equal((uint8_t *)field->tensor.data + at * FAKE_IMAGE_BYTES, pixels,
                                    FAKE_IMAGE_BYTES);
                assert_int_equal(bytes_of(batch, "camera_valid")[at], is_valid);
                checked++;
            }
            free(stamps);
        }
        rbc_batch_release(&batch);
    }
    assert_true(checked > 300);
    rbc_loader_destroy(&loader);
}

static void clouds_are_padded(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const int32_t ticks[] = {-1, 0};
    const double rates[] = {0.0, 12.0}; /* by step, and by time */
    for (size_t r = 0; r < 2; r++) {
        rbc_window window = RBC_WINDOW_INIT;
        window.stream = "cloud";
        window.ticks = ticks;
        window.count = 2;
        window.max_points = FAKE_MAX_POINTS + 2;
        rbc_loader *loader = open_loader(&fake, &window, 1, rates[r]);
        rbc_batch *batch = NULL;
        const size_t cloud_bytes = (FAKE_MAX_POINTS + 2) * 3 * sizeof(float);
        while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
            const rbc_field *field = field_named(batch, "cloud");
            assert_int_equal(field->tensor.ndim, 4);
            assert_int_equal(field->tensor.shape[2], FAKE_MAX_POINTS + 2);
            assert_int_equal(field->tensor.shape[3], 3);
            for (int64_t row = 0; row < field->tensor.shape[0]; row++) {
                const int64_t episode = (numbers_of(batch, "episode_index")[row] - 1000) / 3;
                const int64_t steps = fake_num_steps(episode);
                int64_t first[64] = {0};
                for (int64_t i = 0; i < steps; i++) {
                    first[i + 1] = first[i] + fake_num_points(episode, i);
                }
                float *points = fake_values(episode, FAKE_CLOUD, first[steps]);
                const int64_t tick = numbers_of(batch, "step_index")[row];
                for (int64_t i = 0; i < 2; i++) {
                    const int64_t now = tick + ticks[i];
                    const int64_t step = clamped(r == 0 ? now : now < 0 ? -1 : now * 5 / 12, steps);
                    float expected[(FAKE_MAX_POINTS + 2) * 3] = {0};
                    const int64_t count = first[step + 1] - first[step];
                    memcpy(expected, points + first[step] * 3, (size_t)count * 3 * sizeof(float));
                    assert_memory_equal((uint8_t *)field->tensor.data +
                                            (size_t)(row * 2 + i) * cloud_bytes,
                                        expected, cloud_bytes);
                    assert_int_equal(numbers_of(batch, "cloud_lengths")[row * 2 + i], count);
                }
                free(points);
            }
            rbc_batch_release(&batch);
        }
        rbc_loader_destroy(&loader);
    }
}

static void too_many_points_are_an_error(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const int32_t ticks[] = {0};
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = "cloud";
    window.ticks = ticks;
    window.count = 1;
    window.max_points = 1;
    rbc_loader *loader = open_loader(&fake, &window, 1, 0.0);
    rbc_batch *batch = NULL;
    rbc_error error;
    rbc_status status = RBC_OK;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        rbc_batch_release(&batch);
    }
    assert_int_equal(status, RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "max_points is 1"));
    assert_non_null(strstr(error.message, "stream 'cloud'"));
    rbc_loader_destroy(&loader);
}

static void text_comes_with_its_step(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const int32_t ticks[] = {0, 1};
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = "note";
    window.ticks = ticks;
    window.count = 2;
    rbc_loader *loader = open_loader(&fake, &window, 1, 0.0);
    rbc_batch *batch = NULL;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        const rbc_field *field = field_named(batch, "note");
        assert_int_equal(field->kind, RBC_FIELD_TEXT);
        assert_int_equal(field->tensor.ndim, 2);
        assert_null(field->tensor.data);
        const int32_t task_field = rbc_batch_num_fields(batch) - 1;
        for (int64_t row = 0; row < field->tensor.shape[0]; row++) {
            const int64_t episode = (numbers_of(batch, "episode_index")[row] - 1000) / 3;
            const int64_t tick = numbers_of(batch, "step_index")[row];
            uint64_t bytes = 0;
            for (int64_t i = 0; i < 2; i++) {
                char expected[64];
                fake_note(episode, clamped(tick + ticks[i], fake_num_steps(episode)), expected,
                          sizeof expected);
                assert_string_equal(rbc_batch_text(batch, 0, row * 2 + i, &bytes), expected);
                assert_int_equal(bytes, strlen(expected));
            }
            char task[32] = "";
            if (episode % 4 != 0) {
                snprintf(task, sizeof task, "task %d", (int)(episode % 4 - 1));
            }
            assert_string_equal(rbc_batch_text(batch, task_field, row, &bytes), task);
        }
        assert_null(rbc_batch_text(batch, 0, field->tensor.shape[0] * 2, NULL));
        assert_null(rbc_batch_text(batch, 1, 0, NULL));
        rbc_batch_release(&batch);
    }
    rbc_loader_destroy(&loader);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_equal_resampling_the_episode),
        cmocka_unit_test(images_are_decoded_once_a_window),
        cmocka_unit_test(stamped_images_are_held),
        cmocka_unit_test(clouds_are_padded),
        cmocka_unit_test(too_many_points_are_an_error),
        cmocka_unit_test(text_comes_with_its_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
