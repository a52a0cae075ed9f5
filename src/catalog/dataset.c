#define _GNU_SOURCE

#include "catalog/dataset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "catalog/dataset_state.h"
#include "codec/codec.h"
#include "core/error.h"
#include "core/fork.h"
#include "core/params.h"

/* Unpacked blocks that the episodes of a dataset share. */
#define EPISODE_BLOCKS_BYTES (INT64_C(64) << 20)
/* And idle decoders of video. */
#define EPISODE_DECODERS_BYTES (INT64_C(32) << 20)

static rbc_status copy_params(const rbc_open_params *params, rbc_open_params *out, rbc_error *err) {
    const rbc_open_params defaults = RBC_OPEN_PARAMS_INIT;
    *out = defaults;
    if (params != NULL) {
        RBC__TRY(rbc__params_read(params, out, sizeof *out, "params", err));
    }
    if (out->num_threads < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "num_threads is %d", out->num_threads);
    }
    if (out->on_error != RBC_ON_ERROR_RAISE && out->on_error != RBC_ON_ERROR_SKIP) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "on_error is %d", (int)out->on_error);
    }
    return rbc__jpeg_dct_choose(out->jpeg_dct, RBC_JPEG_DCT_ACCURATE, &out->jpeg_dct, err);
}

static rbc_status find_root(rbc_dataset *dataset, const char *path, rbc_error *err) {
    const char *root = dataset->schema->root != NULL ? dataset->schema->root : path;
    dataset->root = realpath(root, NULL);
    if (dataset->root == NULL) {
        return rbc__fail_errno(err, errno, "'%s' cannot be opened", root);
    }
    return RBC_OK;
}

/* The name of the file that `path` leads to, within it; NULL: a folder. */
static const char *name_of_file(const char *path) {
    struct stat info;
    const char *slash = strrchr(path, '/');
    return stat(path, &info) != 0 || S_ISDIR(info.st_mode) ? NULL
           : slash != NULL                                 ? slash + 1
                                                           : path;
}

static rbc_status set_rate(rbc_dataset *dataset, double asked_hz, rbc_error *err) {
    const double hz = asked_hz != 0.0 ? asked_hz : dataset->schema->control_rate_hz;
    if (hz != 0.0 && !rbc__rate_from_hz(hz, &dataset->control_rate)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "control rate of '%s' is %g Hz; wanted is one within %g and %g",
                         dataset->root, hz, RBC__RATE_MIN_HZ, RBC__RATE_MAX_HZ);
    }
    dataset->control_rate_hz = hz;
    return RBC_OK;
}

static rbc_status count_splits(rbc_dataset *dataset, rbc_error *err) {
    const rbc__schema *schema = dataset->schema;
    dataset->splits = calloc((size_t)schema->num_parts + 1, sizeof *dataset->splits);
    dataset->stream_rates = calloc((size_t)schema->num_streams + 1, sizeof *dataset->stream_rates);
    dataset->stored = calloc((size_t)schema->num_streams + 1, sizeof *dataset->stored);
    if (dataset->splits == NULL || dataset->stream_rates == NULL || dataset->stored == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", dataset->root);
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        dataset->stream_rates[i] = -1.0;
        dataset->stored[i] = schema->streams[i].stored;
    }
    int32_t num_splits = 0;
    for (int64_t i = 0; i < schema->num_parts; ++i) {
        int32_t at = num_splits - 1; /* files of a split mostly follow one another */
        while (at >= 0 && strcmp(dataset->splits[at].name, schema->parts[i].split) != 0) {
            --at;
        }
        if (at < 0) {
            at = num_splits++;
            dataset->splits[at].name = schema->parts[i].split;
        }
        dataset->splits[at].num_episodes += dataset->catalog->parts[i].num_episodes;
        dataset->splits[at].num_steps += dataset->catalog->parts[i].num_steps;
    }
    dataset->num_splits = num_splits;
    return RBC_OK;
}

static rbc_status load_object(void *user, int64_t part, rbc__container kind, uint32_t number,
                              uint8_t **data, size_t *bytes, rbc_error *err) {
    rbc_dataset *dataset = user;
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(dataset, &cursor, err));
    const rbc_status status = rbc__cursor_object(cursor, part, kind, number, data, bytes, err);
    rbc__cursor_give(&cursor);
    return status;
}

static rbc_status open_reader(rbc_dataset *dataset, const char *path, const rbc_open_params *params,
                              rbc_error *err) {
    char *told = NULL;
    const char *file = name_of_file(path);
    const size_t bytes = file == NULL ? strlen(path) : (size_t)(file - path);
    char *folder = bytes > 0 ? strndup(path, bytes) : strdup(".");
    char *root = folder != NULL ? realpath(folder, NULL) : NULL;
    free(folder);
    rbc_status status = RBC_OK;
    if (dataset->ops->is_told && root != NULL) { /* else opening says what is wrong */
        status = rbc__catalog_told(dataset->ops, root, file, params, &told, err);
    }
    if (status == RBC_OK) {
        status = dataset->ops->open(dataset->ops, path, told, &dataset->reader, err);
    }
    free(told);
    free(root);
    return status;
}

static rbc_status fill(rbc_dataset *dataset, const char *path, const rbc_open_params *params,
                       rbc_error *err) {
    RBC__TRY(open_reader(dataset, path, params, err));
    dataset->schema = dataset->ops->schema(dataset->reader);
    RBC__TRY(find_root(dataset, path, err));
    RBC__TRY(set_rate(dataset, params->control_rate_hz, err));
    RBC__TRY(rbc__catalog_open(dataset->ops, dataset->reader, dataset->root, name_of_file(path),
                               params, &dataset->catalog, err));
    RBC__TRY(rbc__blob_names_create(dataset, &dataset->names, err));
    RBC__TRY(rbc__block_cache_create(EPISODE_BLOCKS_BYTES, &dataset->blocks, err));
    RBC__TRY(rbc__video_pool_create(EPISODE_DECODERS_BYTES, 1, &dataset->videos, err));
    const rbc__file_store_params files = {rbc__blob_names_find, dataset->names};
    RBC__TRY(rbc__file_store_create(&files, &dataset->store, err));
    dataset->objects = (rbc__objects){load_object, dataset};
    return count_splits(dataset, err);
}

rbc_status rbc__dataset_open_with(const rbc__format *ops, const char *path,
                                  const rbc_open_params *params, rbc_dataset **out,
                                  rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    rbc_open_params known;
    RBC__TRY(copy_params(params, &known, err));
    rbc_dataset *dataset = calloc(1, sizeof *dataset);
    if (dataset == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", path);
    }
    dataset->ops = ops;
    dataset->jpeg_dct = known.jpeg_dct;
    atomic_init(&dataset->refs, 1);
    pthread_mutex_init(&dataset->lock, NULL);
    for (int32_t i = 0; i < RBC__DATASET_CURSORS; ++i) {
        pthread_mutex_init(&dataset->cursors[i].lock, NULL);
    }
    const rbc_status status = fill(dataset, path, &known, err);
    if (status != RBC_OK) {
        rbc_dataset_close(&dataset);
    }
    *out = dataset;
    return status;
}

rbc_status rbc_dataset_open(const char *path, const rbc_open_params *params, rbc_dataset **out,
                            rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    if (path == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "path is NULL");
    }
    const rbc__format *ops;
    RBC__TRY(rbc__format_find(path, NULL, &ops, err));
    return rbc__dataset_open_with(ops, path, params, out, err);
}

void rbc__dataset_retain(rbc_dataset *dataset) {
    atomic_fetch_add_explicit(&dataset->refs, 1, memory_order_relaxed);
}

void rbc_dataset_close(rbc_dataset **dataset) {
    RBC__HOLD_FORKS();
    rbc_dataset *closed = *dataset;
    *dataset = NULL;
    if (closed == NULL || atomic_fetch_sub_explicit(&closed->refs, 1, memory_order_acq_rel) != 1) {
        return;
    }
    for (int32_t i = 0; i < RBC__DATASET_CURSORS; ++i) {
        rbc__cursor_close(&closed->cursors[i].cursor);
        pthread_mutex_destroy(&closed->cursors[i].lock);
    }
    rbc__store_destroy(&closed->store);
    rbc__block_cache_destroy(&closed->blocks);
    rbc__video_pool_destroy(&closed->videos);
    rbc__blob_names_destroy(&closed->names);
    rbc__catalog_close(&closed->catalog);
    if (closed->reader != NULL) {
        closed->ops->close(&closed->reader);
    }
    rbc__listing_free(&closed->tasks);
    rbc__listing_free(&closed->skipped);
    rbc__listing_free(&closed->told);
    rbc__answers_free(&closed->answers);
    pthread_mutex_destroy(&closed->lock);
    free(closed->steps);
    free(closed->stream_rates);
    free(closed->stored);
    free(closed->splits);
    free(closed->root);
    free(closed);
}

const rbc__schema *rbc__dataset_schema(const rbc_dataset *dataset) {
    return dataset->schema;
}

const rbc__catalog *rbc__dataset_catalog(const rbc_dataset *dataset) {
    return dataset->catalog;
}

double rbc__dataset_control_rate(const rbc_dataset *dataset) {
    return dataset->control_rate_hz;
}

rbc_jpeg_dct rbc__dataset_jpeg_dct(const rbc_dataset *dataset) {
    return dataset->jpeg_dct;
}

rbc__request_params rbc__dataset_requests(const rbc_dataset *dataset) {
    return (rbc__request_params){.store = dataset->store,
                                 .cache = dataset->blocks,
                                 .videos = dataset->videos,
                                 .objects = &dataset->objects,
                                 .schema = dataset->schema};
}

void rbc__dataset_set_store(rbc_dataset *dataset, rbc__store *store) {
    dataset->store = store;
}

rbc_status rbc__dataset_parse_layout(const rbc_dataset *dataset, const rbc__episode_row *row,
                                     rbc__layout **out, rbc_error *err) {
    const rbc__episode_entry *entry = &row->entry;
    char name[1024];
    const int64_t own = rbc__blob_id(row->part, 0);
    *out = NULL;
    dataset->store->ops->name(dataset->store, own, name, sizeof name);
    RBC__TRY(rbc__layout_parse(dataset->stored, (uint32_t)dataset->schema->num_streams,
                               entry->layout, entry->layout_bytes,
                               entry->offset > 0 ? (uint64_t)entry->offset : 0, name, out, err));
    if ((*out)->num_steps != (uint64_t)entry->num_steps) {
        const uint64_t found = (*out)->num_steps;
        free(*out);
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %lld: the catalog gives the record %lld steps, but a layout "
                         "of %llu",
                         name, (long long)entry->offset, (long long)entry->num_steps,
                         (unsigned long long)found);
    }
    return RBC_OK;
}

void rbc_dataset_get_info(const rbc_dataset *dataset, rbc_dataset_info *out) {
    const rbc__catalog *catalog = dataset->catalog;
    *out = (rbc_dataset_info){
        .name = dataset->schema->name,
        .version = dataset->schema->version,
        .format = dataset->ops->format,
        .path = dataset->root,
        .catalog_path = catalog->path,
        .catalog_passed_over = catalog->passed_over,
        .control_rate_hz = dataset->control_rate_hz,
        .num_episodes = catalog->num_episodes,
        .num_steps = catalog->num_steps,
        .num_bytes = catalog->file_bytes,
        .num_files = catalog->num_files,
        .num_skipped = catalog->num_skipped,
        .num_streams = dataset->schema->num_streams,
        .num_splits = dataset->num_splits,
        .num_tasks = catalog->num_tasks,
    };
}

rbc_status rbc_dataset_split(const rbc_dataset *dataset, int32_t index, rbc_split_info *out,
                             rbc_error *err) {
    if (index < 0 || index >= dataset->num_splits) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no split %d: '%s' has %d", index, dataset->root,
                         dataset->num_splits);
    }
    const rbc__dataset_split *split = &dataset->splits[index];
    *out = (rbc_split_info){split->name, split->num_episodes, split->num_steps};
    return RBC_OK;
}

rbc_status rbc__dataset_steps(rbc_dataset *dataset, const int64_t **steps, const int64_t **start_ns,
                              const int64_t **end_ns, rbc_error *err) {
    RBC__HOLD_FORKS();
    const int64_t count = dataset->catalog->num_episodes;
    rbc_status status = RBC_OK;
    pthread_mutex_lock(&dataset->lock);
    if (dataset->steps == NULL) {
        int64_t bytes;
        int64_t *arrays = NULL;
        if (rbc__mul_size(count + 1, 3 * (int64_t)sizeof *arrays, &bytes)) {
            arrays = malloc((size_t)bytes);
        }
        if (arrays == NULL) {
            status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                               "'%s': no memory for the lengths of %lld episodes", dataset->root,
                               (long long)count);
        } else {
            status = rbc__catalog_load_steps(dataset->catalog, arrays, arrays + count,
                                             arrays + 2 * count, err);
        }
        if (status == RBC_OK) {
            dataset->steps = arrays;
        } else {
            free(arrays);
        }
    }
    if (status == RBC_OK) {
        *steps = dataset->steps;
        *start_ns = dataset->steps + count;
        *end_ns = dataset->steps + 2 * count;
    }
    pthread_mutex_unlock(&dataset->lock);
    return status;
}
