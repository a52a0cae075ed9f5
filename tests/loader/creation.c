/* What a loader refuses, and how a batch is laid out. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fake.h"
#include "loader/batch_spec.h"

static const int32_t ticks[] = {-1, 0, 1};
static const int64_t offsets[] = {0, 100000000};

static rbc_status create(const fake_params *fake, const rbc_loader_params *params,
                         rbc_loader **loader, rbc_error *error) {
    rbc_selection *selection = fake_create(fake);
    const rbc_status status = rbc_loader_create(selection, params, loader, error);
    rbc_selection_destroy(&selection);
    return status;
}

static rbc_window window_of(const char *stream) {
    rbc_window window = RBC_WINDOW_INIT;
    window.stream = stream;
    window.ticks = ticks;
    window.count = 3;
    return window;
}

typedef struct bad_window {
    const char *stream;
    rbc_resample_mode mode;
    rbc_outside outside;
    int32_t count;
    int32_t both_offsets; /* 1: ticks and offsets_ns; -1: neither */
    int64_t max_points;
    double max_gap_ns;
    rbc_channel_group group; /* where end > 0 or begin < 0 */
    rbc_status status;
    const char *message;
} bad_window;

static const bad_window bad_windows[] = {
    {.stream = "nothing",
     .count = 3,
     .status = RBC_ERROR_NOT_FOUND,
     .message = "no stream 'nothing'"},
    {.stream = NULL,
     .count = 3,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "windows[0].stream is NULL"},
    {.stream = "state",
     .count = 0,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "has 0 offsets"},
    {.stream = "state",
     .count = 2,
     .both_offsets = 1,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "both of ticks"},
    {.stream = "state",
     .count = 2,
     .both_offsets = -1,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "none of ticks"},
    {.stream = "count",
     .count = 3,
     .mode = RBC_RESAMPLE_LINEAR,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "stream 'count' is int64: mode linear"},
    {.stream = "image",
     .count = 3,
     .mode = RBC_RESAMPLE_MEAN,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "holds images"},
    {.stream = "note",
     .count = 3,
     .mode = RBC_RESAMPLE_LINEAR,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "holds text"},
    {.stream = "cloud",
     .count = 3,
     .mode = RBC_RESAMPLE_LINEAR,
     .max_points = 5,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "holds rows of any length"},
    {.stream = "cloud",
     .count = 3,
     .mode = RBC_RESAMPLE_HOLD,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "max_points is 0"},
    {.stream = "state",
     .count = 3,
     .max_points = 4,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "max_points is 4; wanted 0"},
    {.stream = "state",
     .count = 3,
     .mode = RBC_RESAMPLE_SLERP,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "wanted four, a quaternion"},
    {.stream = "state",
     .count = 3,
     .mode = (rbc_resample_mode)77,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "mode is 77"},
    {.stream = "state",
     .count = 3,
     .outside = (rbc_outside)9,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "outside 9"},
    {.stream = "count",
     .count = 3,
     .mode = RBC_RESAMPLE_HOLD,
     .outside = RBC_OUTSIDE_NAN,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "outside nan needs a float"},
    {.stream = "state",
     .count = 3,
     .mode = RBC_RESAMPLE_HOLD,
     .outside = RBC_OUTSIDE_EXTRAPOLATE,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "needs mode linear, not hold"},
    {.stream = "state",
     .count = 3,
     .max_gap_ns = NAN,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "max_gap_ns is not a number"},
    {.stream = "state",
     .count = 3,
     .group = {5, 8, RBC_RESAMPLE_HOLD},
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "[5, 8)"},
    {.stream = "state",
     .count = 3,
     .group = {-1, 2, RBC_RESAMPLE_HOLD},
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "[-1, 2)"},
    {.stream = "imu_time_ns",
     .count = 3,
     .mode = RBC_RESAMPLE_HOLD,
     .status = RBC_ERROR_INVALID_ARGUMENT,
     .message = "max_points is 0"},
};

static void bad_windows_are_named(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    for (size_t i = 0; i < sizeof bad_windows / sizeof *bad_windows; ++i) {
        const bad_window *bad = &bad_windows[i];
        rbc_window window = window_of(bad->stream);
        window.mode = bad->mode;
        window.outside = bad->outside;
        window.count = bad->count;
        window.max_points = bad->max_points;
        window.max_gap_ns = bad->max_gap_ns;
        window.offsets_ns = bad->both_offsets > 0 ? offsets : NULL;
        window.ticks = bad->both_offsets < 0 ? NULL : ticks;
        window.groups = &bad->group;
        window.num_groups = bad->group.end != 0;
        rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
        params.windows = &window;
        params.num_windows = 1;
        rbc_loader *loader = NULL;
        rbc_error error = {.message = ""};
        assert_int_equal(create(&fake, &params, &loader, &error), bad->status);
        assert_null(loader);
        if (strstr(error.message, bad->message) == NULL) {
            fail_msg("'%s' is not in '%s'", bad->message, error.message);
        }
    }
    assert_int_equal(fake_num_open(), 0);
}

static void bad_parameters_are_named(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const rbc_loader_params good = RBC_LOADER_PARAMS_INIT;
    rbc_loader *loader = NULL;
    rbc_error error;
    rbc_loader_params params = good;
    params.num_threads = -1;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "num_threads is -1"));
    params = good;
    params.num_slots = -1;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "num_slots is -1"));
    params = good;
    params.snap_ns = -1;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "snap_ns is -1"));
    params = good;
    params.rate_hz = -3.0;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "rate_hz is -3"));
    params = good;
    params.struct_size = sizeof params + 8;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "struct_size"));
    assert_int_equal(create(&fake, NULL, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_loader_create(NULL, &good, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    params = good;
    params.num_windows = 1;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "windows is NULL"));
}

static void an_unknown_rate_is_asked_for(void **state) {
    (void)state;
    fake_params fake = FAKE_PARAMS_INIT;
    fake.control_rate_hz = 0.0;
    rbc_window window = window_of("state");
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    rbc_loader *loader = NULL;
    rbc_error error;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "dataset 'fake'"));
    assert_non_null(strstr(error.message, "set rate_hz"));
    /* Without any stamps the rate given is that of the steps. */
    params.rate_hz = 3.0;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    int64_t steps = 0;
    for (int64_t e = 0; e < fake.num_episodes; ++e) {
        steps += fake_num_steps(e);
    }
    assert_int_equal(rbc_loader_num_samples(loader), steps);
    rbc_loader_destroy(&loader);
    /* With stamps in the dataset nobody knows how its steps lie between them. */
    fake.has_stamps = true;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "stream 'state' has no stamps"));
    window.stream = "imu";
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    rbc_loader_destroy(&loader);
}

static void fields_need_names_of_their_own(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    rbc_window windows[] = {window_of("state"), window_of("state")};
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = 2;
    rbc_loader *loader = NULL;
    rbc_error error;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "named 'state'"));
    windows[1].name = "task";
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    windows[1].name = "later";
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    rbc_loader_destroy(&loader);
}

static void fields_are_aligned_and_in_order(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    rbc_window windows[] = {window_of("state"), window_of("cloud"), window_of("note")};
    windows[1].max_points = FAKE_MAX_POINTS;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = 3;
    params.batch_size = 5;
    params.num_threads = 1;
    rbc_loader *loader = NULL;
    rbc_batch *batch = NULL;
    assert_int_equal(create(&fake, &params, &loader, NULL), RBC_OK);
    assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_OK);
    const char *const names[] = {"state",        "state_is_pad", "state_valid",   "cloud",
                                 "cloud_is_pad", "cloud_valid",  "cloud_lengths", "note",
                                 "note_is_pad",  "note_valid",   "episode_index", "episode_id",
                                 "step_index",   "time_ns",      "task"};
    assert_int_equal(rbc_batch_num_fields(batch), 15);
    const uint8_t *begin = rbc_batch_field(batch, 0)->tensor.data;
    const uint8_t *at = begin;
    for (int32_t i = 0; i < 15; ++i) {
        const rbc_field *field = rbc_batch_field(batch, i);
        assert_string_equal(field->name, names[i]);
        assert_int_equal(field->tensor.shape[0], 5);
        if (field->kind == RBC_FIELD_TEXT) {
            continue;
        }
        assert_int_equal((uintptr_t)field->tensor.data % RBC__FIELD_ALIGN, 0);
        assert_true((const uint8_t *)field->tensor.data >= at);
        int64_t bytes = field->tensor.dtype.bits / 8;
        for (int32_t d = 0; d < field->tensor.ndim; ++d) {
            bytes *= field->tensor.shape[d];
        }
        at = (const uint8_t *)field->tensor.data + bytes;
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    assert_true(at <= begin + stats.slot_bytes);
    assert_int_equal(stats.slot_bytes % RBC__FIELD_ALIGN, 0);
    assert_null(rbc_batch_field(batch, 15));
    assert_null(rbc_batch_field(batch, -1));
    rbc_batch_release(&batch);
    rbc_loader_destroy(&loader);
}

static void slots_fit_the_memory_meant_for_them(void **state) {
    (void)state;
    assert_int_equal(rbc__slots_default(2, 36352), 4);
    assert_int_equal(rbc__slots_default(16, INT64_C(1) << 20), 18);
    assert_int_equal(rbc__slots_default(128, INT64_C(25) << 20), 20);
    assert_int_equal(rbc__slots_default(128, INT64_C(1) << 40), 3);
    assert_int_equal(rbc__slots_default(1, 0), 3);
    for (int64_t bytes = 1; bytes < (INT64_C(160) << 20); bytes *= 3) {
        for (int32_t threads = 1; threads < 1000; threads *= 3) {
            const int64_t slots = rbc__slots_default(threads, bytes);
            assert_true(slots >= 3 && slots <= threads + 2);
            assert_true(slots * bytes <= RBC__SLOTS_DEFAULT_BYTES);
        }
    }
}

static void bad_vectors_are_named(void **state) {
    (void)state;
    static const double numbers[] = {1.0, 2.0, NAN, 4.0, 5.0, 6.0, 7.0};
    static const struct {
        const char *stream;
        int32_t first, second; /* rbc_vector */
        int32_t count;
        rbc_outside outside;
        const double *scale;
        const char *message;
    } bad[] = {
        {"action", 2, 0, 3, RBC_OUTSIDE_HOLD, NULL, "'state' joins a vector, but there is no"},
        {"action", 0, 2, 3, RBC_OUTSIDE_HOLD, NULL, "'state', which begins no vector"},
        {"action", 1, 2, 2, RBC_OUTSIDE_HOLD, NULL, "has other ticks or another outside"},
        {"action", 1, 2, 3, RBC_OUTSIDE_ZERO, NULL, "has other ticks or another outside"},
        {"action", 1, 3, 3, RBC_OUTSIDE_HOLD, NULL, "'action': vector 3 is no rbc_vector"},
        {"image", 1, 2, 3, RBC_OUTSIDE_HOLD, NULL, "'image': is of a vector, but holds images"},
        {"note", 1, 2, 3, RBC_OUTSIDE_HOLD, NULL, "'note': is of a vector, but holds text"},
        {"note", 0, 0, 3, RBC_OUTSIDE_HOLD, numbers, "'note': has a scale, but holds text"},
        {"cloud", 1, 2, 3, RBC_OUTSIDE_HOLD, NULL, "but holds rows of any length"},
        {"state", 0, 0, 3, RBC_OUTSIDE_HOLD, numbers, "'state': scale[2]: found nan"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        const fake_params fake = FAKE_PARAMS_INIT;
        rbc_window windows[] = {window_of("state"), window_of(bad[i].stream)};
        windows[0].vector = bad[i].first;
        windows[1].vector = bad[i].second;
        windows[1].count = bad[i].count;
        windows[1].outside = bad[i].outside;
        windows[1].scale = bad[i].scale;
        windows[1].max_points = strcmp(bad[i].stream, "cloud") == 0 ? 9 : 0;
        rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
        params.windows = windows;
        params.num_windows = 2;
        rbc_loader *loader = NULL;
        rbc_error error = {.message = ""};
        assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
        if (strstr(error.message, bad[i].message) == NULL) {
            fail_msg("'%s' is not in '%s'", bad[i].message, error.message);
        }
    }
}

/* What no one can ask for from Python. */
static void bad_voxels_are_named(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    const rbc_voxelize_params grid = {
        .struct_size = sizeof grid, .grid_size = {2, 2, 2}, .voxel_size = {1, 1, 1}};
    const rbc_voxelize_params flat = {
        .struct_size = sizeof flat, .grid_size = {2, 0, 2}, .voxel_size = {1, 1, 1}};
    const rbc_depth_params depth = RBC_DEPTH_PARAMS_INIT;
    const rbc_image_params image = RBC_IMAGE_PARAMS_INIT;
    const rbc_voxels good = {.struct_size = sizeof good, .grid = &grid};
    const struct {
        const char *stream;
        rbc_voxels voxels;
        const rbc_image_params *image;
        int64_t max_points;
        const char *message;
    } bad[] = {
        {"cloud", {.struct_size = 3}, NULL, 0, "voxels.struct_size is 3"},
        {"cloud", {.struct_size = sizeof good}, NULL, 0, "voxels: grid is NULL"},
        {"cloud", good, NULL, 4, "stream 'cloud': voxelize: found max_points too"},
        {"cloud", good, &image, 0, "stream 'cloud': voxelize: found image too"},
        {"cloud",
         {.struct_size = sizeof good, .grid = &flat},
         NULL,
         0,
         "stream 'cloud': voxelize: grid_size[1] is 0"},
        {"action",
         {.struct_size = sizeof good, .grid = &grid, .depth = &depth},
         NULL,
         0,
         "stream 'action': voxelize: found depth images without intrinsics"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        rbc_window window = window_of(bad[i].stream);
        window.voxels = &bad[i].voxels;
        window.image = bad[i].image;
        window.max_points = bad[i].max_points;
        rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
        params.windows = &window;
        params.num_windows = 1;
        rbc_loader *loader = NULL;
        rbc_error error = {.message = ""};
        assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
        if (strstr(error.message, bad[i].message) == NULL) {
            fail_msg("'%s' is not in '%s'", bad[i].message, error.message);
        }
    }
}

static void batches_too_large_to_address_are_refused(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    rbc_window window = window_of("cloud");
    window.max_points = INT64_MAX / 64;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    params.batch_size = INT32_MAX;
    rbc_loader *loader = NULL;
    rbc_error error;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "too large"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose allocators abort */
    /* Addressable, but not to be had: the batch says so, not the machine. */
    window.max_points = INT64_C(1) << 40;
    params.batch_size = 1 << 10;
    params.num_threads = 1;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    rbc_batch *batch = NULL;
    assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_ERROR_OUT_OF_MEMORY);
    assert_null(batch);
    assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_ERROR_OUT_OF_MEMORY);
    rbc_loader_destroy(&loader);
#endif
}

static void a_bound_that_cannot_be_counted_is_the_highest(void **state) {
    (void)state;
    const fake_params fake = FAKE_PARAMS_INIT;
    rbc_window window = window_of("cloud");
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    window.max_points = INT64_C(1) << 47;
    params.windows = &window;
    params.num_windows = 1;
    params.batch_size = 1 << 10;
    params.num_threads = 1;
    for (int trial = 0; trial < 2; ++trial) {
        rbc_loader *loader = NULL;
        rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
        params.num_slots = trial == 0 ? 0 : INT32_MAX;
        assert_int_equal(create(&fake, &params, &loader, NULL), RBC_OK);
        assert_int_equal(rbc_loader_get_memory(loader, &memory, NULL), RBC_OK);
        assert_true(memory.bound_bytes == INT64_MAX);
        rbc_loader_destroy(&loader);
    }
}

static void a_selection_may_be_empty(void **state) {
    (void)state;
    fake_params fake = FAKE_PARAMS_INIT;
    fake.num_episodes = 0;
    rbc_window window = window_of("state");
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    rbc_loader *loader = NULL;
    rbc_batch *batch = NULL;
    assert_int_equal(create(&fake, &params, &loader, NULL), RBC_OK);
    assert_int_equal(rbc_loader_num_samples(loader), 0);
    assert_int_equal(rbc_loader_num_batches(loader), 0);
    assert_int_equal(rbc_loader_next(loader, -1, &batch, NULL), RBC_END);
    rbc_loader_destroy(&loader);
}

static void streams_of_the_clock_are_checked(void **state) {
    (void)state;
    const char *const imu[] = {"imu"};
    const char *const both[] = {"imu", "state"};
    const char *const nothing[] = {"nothing", NULL};
    const struct {
        const char *const *clock, *const *require;
        int32_t num_clock, num_require;
        rbc_status status;
        const char *message;
    } cases[] = {
        {NULL, NULL, 1, 0, RBC_ERROR_INVALID_ARGUMENT, "num_clock is 1, clock is NULL"},
        {imu, NULL, -1, 0, RBC_ERROR_INVALID_ARGUMENT, "num_clock is -1, clock is set"},
        {NULL, NULL, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "num_require is 1, require is NULL"},
        {nothing, NULL, 1, 0, RBC_ERROR_NOT_FOUND, "has no stream 'nothing'"},
        {nothing + 1, NULL, 1, 0, RBC_ERROR_NOT_FOUND, "has no stream 'NULL'"},
        {both, NULL, 2, 0, RBC_ERROR_INVALID_ARGUMENT, "'imu' has stamps and stream 'state' has"},
        {NULL, both, 0, 2, RBC_ERROR_INVALID_ARGUMENT, "require: no window takes stream 'state'"},
        {NULL, nothing + 1, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "no window takes stream 'NULL'"},
        {imu, imu, 1, 1, RBC_OK, ""},
        {both + 1, imu, 1, 1, RBC_OK, ""},
    };
    fake_params fake = FAKE_PARAMS_INIT;
    fake.has_stamps = true;
    const rbc_window window = window_of("imu");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
        params.windows = &window;
        params.num_windows = 1;
        params.clock = cases[i].clock;
        params.num_clock = cases[i].num_clock;
        params.require = cases[i].require;
        params.num_require = cases[i].num_require;
        rbc_loader *loader = NULL;
        rbc_error error = {.message = ""};
        assert_int_equal(create(&fake, &params, &loader, &error), cases[i].status);
        assert_non_null(strstr(error.message, cases[i].message));
        if (loader != NULL) {
            char text[8];
            assert_true(rbc_loader_num_samples(loader) > 100);
            assert_int_equal(rbc_loader_warning(loader, 0, text, sizeof text, &error),
                             RBC_ERROR_NOT_FOUND);
        }
        rbc_loader_destroy(&loader);
        assert_int_equal(fake_num_open(), 0);
    }
}

/* What cannot be read is named when the loader is made, or left out when it is due. */
static void required_streams_that_cannot_be_read(void **state) {
    (void)state;
    const char *const imu[] = {"imu"};
    fake_params fake = FAKE_PARAMS_INIT;
    fake.has_stamps = true;
    const rbc_window window = window_of("imu");
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = &window;
    params.num_windows = 1;
    params.require = imu;
    params.num_require = 1;
    rbc_loader *loader = NULL;
    rbc_error error;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    const int64_t all = rbc_loader_num_samples(loader);
    rbc_loader_destroy(&loader);
    fake.unsorted_episode = 4;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "require: "));
    assert_non_null(strstr(error.message, "stream 'imu'"));
    params.on_error = RBC_ON_ERROR_SKIP;
    assert_int_equal(create(&fake, &params, &loader, &error), RBC_OK);
    assert_int_equal(rbc_loader_num_samples(loader), all);
    rbc_loader_destroy(&loader);
    assert_int_equal(fake_num_open(), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_windows_are_named),
        cmocka_unit_test(bad_parameters_are_named),
        cmocka_unit_test(an_unknown_rate_is_asked_for),
        cmocka_unit_test(fields_need_names_of_their_own),
        cmocka_unit_test(fields_are_aligned_and_in_order),
        cmocka_unit_test(slots_fit_the_memory_meant_for_them),
        cmocka_unit_test(bad_vectors_are_named),
        cmocka_unit_test(bad_voxels_are_named),
        cmocka_unit_test(batches_too_large_to_address_are_refused),
        cmocka_unit_test(a_bound_that_cannot_be_counted_is_the_highest),
        cmocka_unit_test(a_selection_may_be_empty),
        cmocka_unit_test(streams_of_the_clock_are_checked),
        cmocka_unit_test(required_streams_that_cannot_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
