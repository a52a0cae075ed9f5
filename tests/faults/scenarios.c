#define _POSIX_C_SOURCE 200809L

#include "scenarios.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data.h"

#define RETRIES 3
#define TRY(expression)                                                                            \
    do {                                                                                           \
        const rbc_status tried = (expression);                                                     \
        if (tried != RBC_OK) {                                                                     \
            return tried;                                                                          \
        }                                                                                          \
    } while (0)

uint64_t mix_in(uint64_t digest, const void *data, uint64_t bytes) {
    const uint8_t *at = data;
    for (uint64_t i = 0; i < bytes; ++i) {
        digest = (digest ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return digest;
}

static void mix_number(uint64_t *digest, int64_t number) {
    *digest = mix_in(*digest, &number, sizeof number);
}

static void mix_text(uint64_t *digest, const char *text) {
    *digest = mix_in(*digest, text, strlen(text) + 1);
}

/* ---- datasets and episodes ------------------------------------------------------------------ */

static rbc_status open_with(const char *root, const rbc_open_params *params, rbc_dataset **out,
                            rbc_error *err) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/small/1.0.0", root);
    return rbc_dataset_open(path, params, out, err);
}

static rbc_status open_dataset(const char *root, rbc_dataset **out, rbc_error *err) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 1;
    return open_with(root, &params, out, err);
}

static rbc_status mix_stream(rbc_episode *episode, int32_t stream, const rbc_stream_info *info,
                             uint64_t *digest, rbc_error *err) {
    static uint8_t values[1 << 16];
    int64_t times[64];
    int64_t rows[64];
    int64_t count = 0;
    TRY(rbc_episode_count(episode, stream, &count, rows, err));
    mix_number(digest, count);
    TRY(rbc_episode_times(episode, stream, 0, count, times, err));
    *digest = mix_in(*digest, times, (uint64_t)count * sizeof *times);
    uint64_t sample_bytes = info->dtype.bits / 8;
    for (int32_t d = 0; d < info->ndim; ++d) {
        sample_bytes *= (uint64_t)(info->shape[d] < 0 ? 1 : info->shape[d]);
    }
    if (info->kind == RBC_STREAM_NUMERIC) {
        const uint64_t bytes = sample_bytes * (uint64_t)count;
        TRY(rbc_episode_read(episode, stream, 0, count, values, bytes, err));
        *digest = mix_in(*digest, values, bytes);
        return RBC_OK;
    }
    for (int64_t i = 0; i < count; ++i) {
        const void *encoded;
        uint64_t num_bytes;
        TRY(rbc_episode_bytes(episode, stream, i, &encoded, &num_bytes, err));
        *digest = mix_in(*digest, encoded, num_bytes);
        if (info->kind == RBC_STREAM_IMAGE && num_bytes > 0) {
            int64_t shape[3];
            TRY(rbc_episode_image_shape(episode, stream, i, shape, err));
            const uint64_t bytes = (uint64_t)(shape[0] * shape[1] * shape[2]);
            TRY(rbc_episode_read(episode, stream, i, 1, values, bytes, err));
            *digest = mix_in(*digest, values, bytes);
        }
    }
    return RBC_OK;
}

static rbc_status mix_episode(rbc_dataset *dataset, int64_t id, uint64_t *digest, rbc_error *err) {
    rbc_episode *episode;
    rbc_dataset_info about;
    rbc_dataset_get_info(dataset, &about);
    TRY(rbc_episode_open(dataset, id, &episode, err));
    rbc_episode_info info;
    rbc_episode_get_info(episode, &info);
    mix_number(digest, info.num_steps);
    mix_text(digest, info.task);
    mix_text(digest, info.metadata);
    rbc_status status = RBC_OK;
    for (int32_t s = 0; status == RBC_OK && s < about.num_streams; ++s) {
        rbc_stream_info stream;
        status = rbc_dataset_stream(dataset, s, &stream, err);
        if (status == RBC_OK) {
            status = mix_stream(episode, s, &stream, digest, err);
        }
    }
    rbc_episode_close(&episode);
    return status;
}

static rbc_status mix_dataset(rbc_dataset *dataset, uint64_t *digest, rbc_error *err) {
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    mix_number(digest, info.num_episodes);
    mix_number(digest, info.num_steps);
    mix_number(digest, info.num_skipped);
    mix_text(digest, info.catalog_passed_over != NULL ? info.catalog_passed_over : "");
    for (int32_t i = 0; i < info.num_splits; ++i) {
        rbc_split_info split;
        TRY(rbc_dataset_split(dataset, i, &split, err));
        mix_text(digest, split.name);
        mix_number(digest, split.num_episodes);
    }
    for (int64_t i = 0; i < info.num_tasks; ++i) {
        const char *text;
        int64_t count;
        TRY(rbc_dataset_task(dataset, i, &text, &count, err));
        mix_text(digest, text);
        mix_number(digest, count);
    }
    return RBC_OK;
}

static rbc_status opened(const char *root, const rbc_open_params *params, uint64_t *digest,
                         rbc_error *err) {
    rbc_dataset *dataset;
    TRY(open_with(root, params, &dataset, err));
    const rbc_status status = mix_dataset(dataset, digest, err);
    rbc_dataset_close(&dataset);
    return status;
}

static rbc_status index_with_one(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 1;
    return opened(root, &params, digest, err);
}

static rbc_status index_with_three(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.num_threads = 3;
    params.on_error = RBC_ON_ERROR_SKIP;
    params.rebuild = 1;
    return opened(root, &params, digest, err);
}

static rbc_status unpack(const char *root, uint64_t *digest, rbc_error *err) {
    char folder[256];
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    (void)snprintf(folder, sizeof folder, "%s/unpacked", root);
    params.num_threads = 2;
    params.on_error = RBC_ON_ERROR_SKIP;
    params.unpack_folder = folder;
    return opened(root, &params, digest, err);
}

static rbc_status open_again(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    return opened(root, &params, digest, err);
}

static rbc_status read_episodes(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_dataset *dataset;
    TRY(open_dataset(root, &dataset, err));
    rbc_status status = mix_episode(dataset, 0, digest, err);
    if (status == RBC_OK) {
        status = mix_episode(dataset, 3, digest, err);
    }
    rbc_dataset_close(&dataset);
    return status;
}

static rbc_status read_all(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_dataset *dataset;
    rbc_dataset_info info;
    TRY(open_dataset(root, &dataset, err));
    rbc_dataset_get_info(dataset, &info);
    rbc_status status = mix_dataset(dataset, digest, err);
    for (int64_t id = 0; status == RBC_OK && id < info.num_episodes; ++id) {
        status = mix_episode(dataset, id, digest, err);
    }
    rbc_dataset_close(&dataset);
    return status;
}

/* A file that the disk does not give is a problem of the file. */
static int keep_problem(const rbc_file_problem *problem, void *user) {
    *(rbc_error *)user = (rbc_error){.status = RBC_ERROR_IO, .device_code = EIO};
    (void)snprintf(((rbc_error *)user)->message, RBC_ERROR_MESSAGE_BYTES, "%s", problem->message);
    return problem->kind != RBC_FILE_UNREADABLE;
}

static rbc_status verify(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_dataset *dataset;
    rbc_verify_report report;
    TRY(open_dataset(root, &dataset, err));
    const rbc_status status = rbc_dataset_verify(dataset, keep_problem, NULL, err, &report, err);
    rbc_dataset_close(&dataset);
    TRY(status);
    if (report.num_problems > 0) {
        return err->status;
    }
    mix_number(digest, report.num_files);
    mix_number(digest, report.num_bytes);
    mix_number(digest, report.num_problems);
    return RBC_OK;
}

/* ---- selections ----------------------------------------------------------------------------- */

static void mix_selection(const rbc_selection *selection, uint64_t *digest) {
    mix_number(digest, rbc_selection_size(selection));
    mix_number(digest, rbc_selection_num_steps(selection));
    for (int64_t i = 0; i < rbc_selection_size(selection); ++i) {
        mix_number(digest, rbc_selection_id(selection, i));
    }
}

static rbc_status select_from(rbc_dataset *dataset, rbc_selection **made, uint64_t *digest,
                              rbc_error *err) {
    static const int64_t ids[] = {3, 1, 0};
    static const int64_t num_ranges[] = {1, 2, 0};
    static const rbc_step_range ranges[] = {{0, 3}, {0, 1}, {3, 5}};
    const char *where = "num_steps > 2 AND task MATCH 'drawer' AND bytes > id";
    TRY(rbc_selection_create(dataset, "train", where, NULL, NULL, &made[0], err));
    TRY(rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &made[1], err));
    TRY(rbc_selection_refine(made[1], NULL, "id % 2 = 1", NULL, NULL, &made[2], err));
    TRY(rbc_selection_from_ids(dataset, ids, 3, &made[3], err));
    TRY(rbc_selection_take(made[3], ids + 1, 2, &made[4], err));
    TRY(rbc_selection_keep_steps(made[3], num_ranges, ranges, &made[5], err));
    for (int i = 0; i < 6; ++i) {
        mix_selection(made[i], digest);
    }
    return RBC_OK;
}

static rbc_status select_episodes(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_dataset *dataset;
    rbc_selection *made[6] = {NULL};
    TRY(open_dataset(root, &dataset, err));
    const rbc_status status = select_from(dataset, made, digest, err);
    for (int i = 0; i < 6; ++i) {
        rbc_selection_destroy(&made[i]);
    }
    rbc_dataset_close(&dataset);
    return status;
}

/* ---- loaders -------------------------------------------------------------------------------- */

static const int32_t pair[] = {-1, 0};
static const int64_t recent[] = {-90000000, -45000000, 0};
static const rbc_future soon = {1, 3, RBC_IMAGE_SHARE_SAMPLE};
static const double scale[] = {0.5, 2.0, 1.0};
static const rbc_voxelize_params grid = {.struct_size = sizeof grid,
                                         .reduce = RBC_VOXEL_COUNT,
                                         .grid_size = {3, 4, 5},
                                         .voxel_size = {0.5, 0.4, 0.3}};
static const rbc_voxels voxels = {.struct_size = sizeof voxels, .grid = &grid};
static rbc_image_params image = RBC_IMAGE_PARAMS_INIT;

#define NUM_WINDOWS 8

static void window_of(rbc_window *window, const char *stream, const char *name) {
    const rbc_window defaults = RBC_WINDOW_INIT;
    *window = defaults;
    window->stream = stream;
    window->name = name;
    window->ticks = pair;
    window->count = 2;
}

static void make_windows(rbc_window *windows) {
    image.crop = RBC_IMAGE_CROP_RANDOM;
    image.crop_scale[0] = 0.5;
    image.size[0] = 6;
    image.size[1] = 10;
    image.contrast[1] = 1.5;
    image.num_mean = 1;
    window_of(&windows[0], "observation/state", "state");
    windows[0].mode = RBC_RESAMPLE_LINEAR;
    windows[0].scale = scale;
    window_of(&windows[1], "observation/imu", "imu");
    windows[1].ticks = NULL;
    windows[1].offsets_ns = recent;
    windows[1].count = 3;
    windows[1].mode = RBC_RESAMPLE_CUBIC;
    windows[1].max_gap_ns = 60e6;
    window_of(&windows[2], "observation/image", "image");
    windows[2].image = &image;
    window_of(&windows[3], "observation/mask", "mask");
    windows[3].ticks = pair + 1;
    windows[3].count = 1;
    window_of(&windows[4], "observation/cloud", "cloud");
    windows[4].max_points = MAX_POINTS;
    window_of(&windows[5], "observation/cloud", "grid");
    windows[5].voxels = &voxels;
    window_of(&windows[6], "language_instruction", "text");
    window_of(&windows[7], "observation/state", "goal");
    windows[7].ticks = NULL;
    windows[7].count = 0;
    windows[7].future = &soon;
}

static void mix_batch(const rbc_batch *batch, uint64_t *digest) {
    mix_number(digest, rbc_batch_position(batch));
    for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
        const rbc_field *field = rbc_batch_field(batch, f);
        int64_t elements = 1;
        for (int32_t d = 0; d < field->tensor.ndim; ++d) {
            elements *= field->tensor.shape[d];
            mix_number(digest, field->tensor.shape[d]);
        }
        for (int64_t i = 0; field->kind == RBC_FIELD_TEXT && i < elements; ++i) {
            uint64_t bytes = 0;
            const char *text = rbc_batch_text(batch, f, i, &bytes);
            *digest = mix_in(*digest, text, bytes + 1);
        }
        if (field->kind == RBC_FIELD_TENSOR) {
            *digest = mix_in(*digest, field->tensor.data,
                             (uint64_t)(elements * field->tensor.dtype.bits / 8));
        }
    }
}

/* To the end of the epoch; a batch that is not there for a shortage is asked for again. */
static rbc_status drain(rbc_loader *loader, uint64_t *digest, rbc_error *err) {
    rbc_error latest;
    int failures = 0;
    for (;;) {
        rbc_batch *batch = NULL;
        const rbc_status status = rbc_loader_next(loader, -1, &batch, &latest);
        if (status == RBC_OK) {
            mix_batch(batch, digest);
            rbc_batch_release(&batch);
        } else if (status == RBC_END) {
            break;
        } else {
            if (failures == 0) {
                *err = latest;
            }
            if (++failures > RETRIES) {
                return err->status;
            }
        }
    }
    rbc_loader_stats stats;
    rbc_loader_get_stats(loader, &stats);
    mix_number(digest, stats.samples_delivered);
    mix_number(digest, stats.samples_skipped);
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    TRY(rbc_loader_get_memory(loader, &memory, err));
    mix_number(digest, memory.samples_masked);
    return RBC_OK;
}

static rbc_status load(const char *root, const rbc_loader_params *wanted, uint64_t *digest,
                       rbc_error *err) {
    rbc_window windows[NUM_WINDOWS];
    rbc_loader_params params = *wanted;
    make_windows(windows);
    params.windows = windows;
    params.num_windows = NUM_WINDOWS;
    params.batch_size = 6;
    rbc_dataset *dataset;
    rbc_selection *selection = NULL;
    rbc_loader *loader = NULL;
    TRY(open_dataset(root, &dataset, err));
    rbc_status status = rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &selection, err);
    if (status == RBC_OK) {
        status = rbc_loader_create(selection, &params, &loader, err);
    }
    if (status == RBC_OK && params.seed != 0) {
        status = rbc_loader_seek(loader, 1, 12, err);
    }
    if (status == RBC_OK) {
        status = drain(loader, digest, err);
    }
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selection);
    rbc_dataset_close(&dataset);
    return status;
}

static rbc_status load_with_one(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.num_threads = 1;
    return load(root, &params, digest, err);
}

static rbc_status load_with_three(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.num_threads = 3;
    params.shuffle = RBC_SHUFFLE_GLOBAL;
    params.on_error = RBC_ON_ERROR_SKIP;
    return load(root, &params, digest, err);
}

static rbc_status load_by_blocks(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.num_threads = 1;
    params.num_slots = 1;
    params.shuffle = RBC_SHUFFLE_BLOCKS;
    params.on_error = RBC_ON_ERROR_MASK;
    params.memory_bytes = 1 << 20;
    return load(root, &params, digest, err);
}

static rbc_status load_resumed(const char *root, uint64_t *digest, rbc_error *err) {
    static const char *const require[] = {"observation/imu"};
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.num_threads = 2;
    params.shuffle = RBC_SHUFFLE_GLOBAL;
    params.seed = 7;
    params.on_error = RBC_ON_ERROR_SKIP;
    params.require = require;
    params.num_require = 1;
    return load(root, &params, digest, err);
}

static rbc_status load_mixture(const char *root, uint64_t *digest, rbc_error *err) {
    rbc_window windows[NUM_WINDOWS];
    make_windows(windows);
    rbc_mixture_member members[2];
    const rbc_mixture_member defaults = RBC_MIXTURE_MEMBER_INIT;
    rbc_mixture_params mixture = RBC_MIXTURE_PARAMS_INIT;
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    rbc_dataset *dataset;
    rbc_selection *selections[2] = {NULL, NULL};
    rbc_loader *loader = NULL;
    TRY(open_dataset(root, &dataset, err));
    rbc_status status = RBC_OK;
    for (int i = 0; i < 2 && status == RBC_OK; ++i) {
        status = rbc_selection_create(dataset, i == 0 ? "train" : "val", NULL, NULL, NULL,
                                      &selections[i], err);
        members[i] = defaults;
        members[i].name = i == 0 ? "first" : "second";
        members[i].selection = selections[i];
        members[i].weight = 2 - i;
        members[i].windows = windows;
        members[i].num_windows = NUM_WINDOWS;
    }
    if (status == RBC_OK) {
        mixture.members = members;
        mixture.num_members = 2;
        params.batch_size = 6;
        params.num_threads = 2;
        params.shuffle = RBC_SHUFFLE_GLOBAL;
        params.on_error = RBC_ON_ERROR_MASK;
        status = rbc_loader_create_mixture(&mixture, &params, &loader, err);
    }
    if (status == RBC_OK) {
        status = drain(loader, digest, err);
    }
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selections[0]);
    rbc_selection_destroy(&selections[1]);
    rbc_dataset_close(&dataset);
    return status;
}

/* ---- statistics ----------------------------------------------------------------------------- */

static rbc_status mix_statistics(const rbc_statistics *statistics, uint64_t *digest,
                                 rbc_error *err) {
    rbc_statistics_info info;
    rbc_statistics_get_info(statistics, &info);
    mix_text(digest, info.problem != NULL ? info.problem : "");
    mix_number(digest, info.num_samples);
    mix_number(digest, info.num_skipped);
    for (int64_t c = 0; c < info.num_channels; ++c) {
        rbc_statistics_channel channel;
        double median;
        TRY(rbc_statistics_channel_get(statistics, c, &channel, err));
        TRY(rbc_statistics_quantile(statistics, c, 0.5, &median, err));
        mix_number(digest, channel.count);
        *digest = mix_in(*digest, &channel.mean, sizeof channel.mean);
        *digest = mix_in(*digest, &channel.std, sizeof channel.std);
        *digest = mix_in(*digest, &median, sizeof median);
    }
    return RBC_OK;
}

static rbc_status pass_through_bytes(rbc_statistics *const *counted, uint64_t *digest,
                                     rbc_error *err) {
    void *data = NULL;
    uint64_t bytes = 0;
    rbc_statistics *made[2] = {NULL, NULL};
    rbc_status status = rbc_statistics_save(counted[0], &data, &bytes, err);
    if (status == RBC_OK) {
        status = rbc_statistics_load(data, bytes, &made[0], err);
    }
    free(data);
    if (status == RBC_OK) {
        const rbc_statistics *const parts[] = {made[0], counted[0]};
        status = rbc_statistics_merge(parts, 2, &made[1], err);
    }
    if (status == RBC_OK) {
        status = mix_statistics(made[1], digest, err);
    }
    rbc_statistics_destroy(&made[0]);
    rbc_statistics_destroy(&made[1]);
    return status;
}

static rbc_status count_statistics(const char *root, uint64_t *digest, rbc_error *err) {
    static const char *const names[] = {"observation/state", "observation/imu",
                                        "observation/image"};
    rbc_statistics_params params = RBC_STATISTICS_PARAMS_INIT;
    rbc_statistics *counted[3] = {NULL, NULL, NULL};
    rbc_dataset *dataset;
    rbc_selection *selection = NULL;
    params.streams = names;
    params.num_streams = 3;
    params.num_threads = 2;
    params.num_images = 4;
    params.on_error = RBC_ON_ERROR_SKIP;
    TRY(open_dataset(root, &dataset, err));
    rbc_status status = rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &selection, err);
    if (status == RBC_OK) {
        status = rbc_statistics_compute(selection, &params, counted, err);
    }
    for (int i = 0; i < 3 && status == RBC_OK; ++i) {
        status = mix_statistics(counted[i], digest, err);
    }
    if (status == RBC_OK) {
        status = pass_through_bytes(counted, digest, err);
    }
    for (int i = 0; i < 3; ++i) {
        rbc_statistics_destroy(&counted[i]);
    }
    rbc_selection_destroy(&selection);
    rbc_dataset_close(&dataset);
    return status;
}

/* ---- writing -------------------------------------------------------------------------------- */

static rbc_status write_episodes(const char *root, uint64_t *digest, rbc_error *err) {
    (void)digest; /* what was written is looked at by whoever called */
    return data_write(root, 0, err);
}

static rbc_status append_episodes(const char *root, uint64_t *digest, rbc_error *err) {
    (void)digest;
    return data_write(root, 1, err);
}

/* --------------------------------------------------------------------------------------------- */

const scenario scenarios[] = {
    {"write", SCENARIO_NOTHING, write_episodes, read_all},
    {"append", SCENARIO_FILES, append_episodes, read_all},
    {"index", SCENARIO_FILES, index_with_one, NULL},
    {"index_threads", SCENARIO_FILES, index_with_three, NULL},
    {"unpack", SCENARIO_PACKED, unpack, NULL},
    {"open", SCENARIO_CATALOG, open_again, NULL},
    {"select", SCENARIO_CATALOG, select_episodes, NULL},
    {"read", SCENARIO_CATALOG, read_episodes, NULL},
    {"verify", SCENARIO_CATALOG, verify, NULL},
    {"load", SCENARIO_CATALOG, load_with_one, NULL},
    {"load_threads", SCENARIO_CATALOG, load_with_three, NULL},
    {"load_blocks", SCENARIO_CATALOG, load_by_blocks, NULL},
    {"load_resumed", SCENARIO_CATALOG, load_resumed, NULL},
    {"load_mixture", SCENARIO_CATALOG, load_mixture, NULL},
    {"statistics", SCENARIO_CATALOG, count_statistics, NULL},
};
const int num_scenarios = (int)(sizeof scenarios / sizeof scenarios[0]);
