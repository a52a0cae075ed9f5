/* Images, point clouds and text of a window are the samples they should be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "fields.h"

#define MS INT64_C(1000000)

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
    rbc_batch *batch = NULL;
    int64_t distinct = 0;
    while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
        const rbc_field *field = field_of(batch, "view");
        assert_int_equal(field->tensor.ndim, 5);
        assert_int_equal(field->tensor.shape[1], 4);
        assert_int_equal(field->tensor.shape[2], FAKE_IMAGE_HEIGHT);
        assert_int_equal(field->tensor.shape[3], FAKE_IMAGE_WIDTH);
        assert_int_equal(field->tensor.shape[4], 3);
        for (int64_t row = 0; row < field->tensor.shape[0]; ++row) {
            const int64_t episode = (numbers_of(batch, "episode_id")[row] - 1000) / 3;
            const int64_t tick = numbers_of(batch, "step_index")[row];
            const int64_t steps = fake_num_steps(episode);
            int64_t last = -1;
            for (int64_t i = 0; i < 4; ++i) {
                const int64_t at = row * 4 + i;
                const int64_t wanted = tick + ticks[i];
                const int64_t step = clamped(wanted, steps);
                uint8_t pixels[FAKE_IMAGE_BYTES];
                fake_pixels(episode, FAKE_IMAGE, step, pixels);
                assert_memory_equal((uint8_t *)field->tensor.data + at * FAKE_IMAGE_BYTES, pixels,
                                    FAKE_IMAGE_BYTES);
                assert_int_equal(bytes_of(batch, "view_is_pad")[at], step != wanted);
                assert_int_equal(bytes_of(batch, "view_valid")[at],
                                 wanted >= 0 && !fake_image_is_empty(FAKE_IMAGE, step));
                distinct += step != last;
                last = step;
            }
        }
        rbc_batch_release(&batch);
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.images_decoded > 0 && stats.images_decoded < distinct);
    assert_int_equal(stats.samples_delivered, rbc_loader_num_samples(loader));
    rbc_loader_destroy(&loader);
}

/* Last sample with a stamp at or before `time_ns`, or -1. */
static int64_t held_at(const int64_t *stamps, int64_t count, int64_t time_ns) {
    int64_t found = -1;
    for (int64_t i = 0; i < count; ++i) {
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
        const rbc_field *field = field_of(batch, "camera");
        for (int64_t row = 0; row < field->tensor.shape[0]; ++row) {
            const int64_t episode = (numbers_of(batch, "episode_id")[row] - 1000) / 3;
            const int64_t count = fake_num_stamps(episode);
            int64_t *stamps = fake_stamps(episode);
            for (int64_t i = 0; i < 3; ++i) {
                const int64_t target = numbers_of(batch, "time_ns")[row] + offsets[i];
                const int64_t sample = held_at(stamps, count, target);
                const int64_t last_step_ns = stamps[0] + (fake_num_steps(episode) - 1) * 200 * MS;
                const bool is_pad = target < stamps[0] || target > last_step_ns;
                const bool is_valid = sample >= 0 && target - stamps[sample] <= 30 * MS && !is_pad;
                uint8_t pixels[FAKE_IMAGE_BYTES] = {0};
                if (is_valid) {
                    fake_pixels(episode, FAKE_CAMERA, sample, pixels);
                }
                const int64_t at = row * 3 + i;
                assert_memory_equal((uint8_t *)field->tensor.data + at * FAKE_IMAGE_BYTES, pixels,
                                    FAKE_IMAGE_BYTES);
                assert_int_equal(bytes_of(batch, "camera_valid")[at], is_valid);
                ++checked;
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
    for (size_t r = 0; r < 2; ++r) {
        rbc_window window = RBC_WINDOW_INIT;
        window.stream = "cloud";
        window.ticks = ticks;
        window.count = 2;
        window.max_points = FAKE_MAX_POINTS + 2;
        rbc_loader *loader = open_loader(&fake, &window, 1, rates[r]);
        rbc_batch *batch = NULL;
        const size_t cloud_bytes = (FAKE_MAX_POINTS + 2) * 3 * sizeof(float);
        while (rbc_loader_next(loader, -1, &batch, NULL) == RBC_OK) {
            const rbc_field *field = field_of(batch, "cloud");
            assert_int_equal(field->tensor.ndim, 4);
            assert_int_equal(field->tensor.shape[2], FAKE_MAX_POINTS + 2);
            assert_int_equal(field->tensor.shape[3], 3);
            for (int64_t row = 0; row < field->tensor.shape[0]; ++row) {
                const int64_t episode = (numbers_of(batch, "episode_id")[row] - 1000) / 3;
                const int64_t steps = fake_num_steps(episode);
                int64_t first[64] = {0};
                for (int64_t i = 0; i < steps; ++i) {
                    first[i + 1] = first[i] + fake_num_points(episode, i);
                }
                float *points = fake_values(episode, FAKE_CLOUD, first[steps]);
                const int64_t tick = numbers_of(batch, "step_index")[row];
                for (int64_t i = 0; i < 2; ++i) {
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
        const rbc_field *field = field_of(batch, "note");
        assert_int_equal(field->kind, RBC_FIELD_TEXT);
        assert_int_equal(field->tensor.ndim, 2);
        assert_null(field->tensor.data);
        const int32_t task_field = rbc_batch_num_fields(batch) - 1;
        for (int64_t row = 0; row < field->tensor.shape[0]; ++row) {
            const int64_t episode = (numbers_of(batch, "episode_id")[row] - 1000) / 3;
            const int64_t tick = numbers_of(batch, "step_index")[row];
            uint64_t bytes = 0;
            for (int64_t i = 0; i < 2; ++i) {
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
        cmocka_unit_test(images_are_decoded_once_a_window),
        cmocka_unit_test(stamped_images_are_held),
        cmocka_unit_test(clouds_are_padded),
        cmocka_unit_test(too_many_points_are_an_error),
        cmocka_unit_test(text_comes_with_its_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
