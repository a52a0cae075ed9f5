#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "codec/codec.h"
#include "core/error.h"
#include "core/fork.h"
#include "io/utf8.h"

struct rbc_episode {
    rbc_dataset *dataset;
    rbc__episode_row row; /* its layout is NULL: it is parsed */
    rbc__source *source;
    rbc__parsed_episode *parsed;
    char *task;
    char *metadata;
    pthread_mutex_t lock; /* of what follows: calls take turns */
    rbc__scratch scratch;
    rbc__decoder *decoder; /* made with the first image */
};

/* The row, with a copy of its layout that the caller frees, and the task. */
static rbc_status look_up(rbc_dataset *dataset, int64_t id, rbc__episode_row *row, uint8_t **layout,
                          char **task, rbc_error *err) {
    const char *text = "";
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(dataset, &cursor, err));
    rbc_status status = rbc__cursor_episode(cursor, id, row, err);
    if (status == RBC_OK) {
        *layout = malloc(row->entry.layout_bytes + 1);
        if (*layout != NULL) {
            memcpy(*layout, row->entry.layout, row->entry.layout_bytes);
        }
        status = rbc__cursor_task(cursor, row->task, &text, err);
    }
    if (status == RBC_OK) {
        *task = strdup(text);
        if (*task == NULL || *layout == NULL) {
            status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "episode %lld: out of memory",
                               (long long)id);
        }
    }
    rbc__cursor_give(&cursor);
    return status;
}

static rbc_status fill(rbc_episode *episode, int64_t id, uint8_t **layout, rbc_error *err) {
    rbc_dataset *dataset = episode->dataset;
    RBC__TRY(look_up(dataset, id, &episode->row, layout, &episode->task, err));
    RBC__TRY(rbc__dataset_source(dataset, episode->row.file, &episode->source, err));
    episode->row.entry.layout = *layout;
    episode->row.entry.task = episode->task;
    RBC__TRY(dataset->ops->episode_open(dataset->reader, episode->source, &episode->row.entry,
                                        &episode->parsed, err));
    episode->row.entry.layout = NULL;
    return dataset->ops->metadata(episode->parsed, &episode->scratch, &episode->metadata, err);
}

rbc_status rbc_episode_open(rbc_dataset *dataset, int64_t id, rbc_episode **out, rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc_episode *episode = calloc(1, sizeof *episode);
    *out = episode;
    if (episode == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "episode %lld: out of memory",
                         (long long)id);
    }
    pthread_mutex_init(&episode->lock, NULL);
    episode->dataset = dataset;
    rbc__dataset_retain(dataset);
    uint8_t *layout = NULL;
    const rbc_status status = fill(episode, id, &layout, err);
    free(layout);
    if (status != RBC_OK) {
        rbc_episode_close(out);
    }
    return status;
}

void rbc_episode_close(rbc_episode **episode) {
    RBC__HOLD_FORKS();
    rbc_episode *closed = *episode;
    *episode = NULL;
    if (closed == NULL) {
        return;
    }
    if (closed->parsed != NULL) {
        closed->dataset->ops->episode_close(&closed->parsed);
    }
    rbc__decoder_destroy(&closed->decoder);
    rbc__scratch_free(&closed->scratch);
    pthread_mutex_destroy(&closed->lock);
    free(closed->task);
    free(closed->metadata);
    rbc_dataset_close(&closed->dataset);
    free(closed);
}

void rbc_episode_get_info(const rbc_episode *episode, rbc_episode_info *out) {
    const rbc_dataset *dataset = episode->dataset;
    const rbc__episode_entry *entry = &episode->row.entry;
    int64_t duration_ns = 0;
    if (entry->end_ns >= entry->start_ns) {
        if (__builtin_sub_overflow(entry->end_ns, entry->start_ns, &duration_ns)) {
            duration_ns = INT64_MAX;
        }
    } else if (dataset->control_rate_hz != 0.0 && entry->num_steps > 0) {
        duration_ns = rbc__rate_time_ns(&dataset->control_rate, entry->num_steps - 1);
    }
    *out = (rbc_episode_info){
        .id = episode->row.id,
        .num_steps = entry->num_steps,
        .duration_ns = duration_ns,
        .bytes = (int64_t)entry->bytes,
        .record = entry->record,
        .offset = (int64_t)entry->offset,
        .file = dataset->schema->files[episode->row.file].path,
        .split = dataset->schema->files[episode->row.file].split,
        .task = episode->task,
        .metadata = episode->metadata,
    };
}

static rbc_status get_stream(const rbc_episode *episode, int32_t stream,
                             const rbc__stream_schema **out, rbc_error *err) {
    const rbc__schema *schema = episode->dataset->schema;
    if (stream < 0 || stream >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no stream %d: '%s' has %d", stream,
                         episode->dataset->root, schema->num_streams);
    }
    *out = &schema->streams[stream];
    return RBC_OK;
}

static rbc_status count_samples(rbc_episode *episode, int32_t stream, int64_t *num_samples,
                                int64_t *row_lengths, rbc_error *err) {
    return episode->dataset->ops->count(episode->parsed, stream, num_samples, row_lengths, err);
}

/* The stream, after checking that it has samples [first, first + count). */
static rbc_status get_range(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                            const rbc__stream_schema **out, rbc_error *err) {
    RBC__TRY(get_stream(episode, stream, out, err));
    int64_t num_samples;
    RBC__TRY(count_samples(episode, stream, &num_samples, NULL, err));
    if (first < 0 || count < 0 || first > num_samples || count > num_samples - first) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' of episode %lld has %lld samples; asked for %lld from %lld",
                         (*out)->name, (long long)episode->row.id, (long long)num_samples,
                         (long long)count, (long long)first);
    }
    return RBC_OK;
}

rbc_status rbc_episode_count(rbc_episode *episode, int32_t stream, int64_t *num_samples,
                             int64_t *row_lengths, rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__stream_schema *schema = NULL;
    RBC__TRY(get_stream(episode, stream, &schema, err));
    pthread_mutex_lock(&episode->lock);
    const rbc_status status = count_samples(episode, stream, num_samples, row_lengths, err);
    pthread_mutex_unlock(&episode->lock);
    return status;
}

/* Bytes of image or text sample `sample` in the scratch buffer; num_bytes 0: there are none. */
static rbc_status view_sample(rbc_episode *episode, int32_t stream, int64_t sample,
                              const uint8_t **bytes, uint64_t *num_bytes, uint64_t *offset,
                              rbc_error *err) {
    *bytes = (const uint8_t *)"";
    RBC__TRY(
        episode->dataset->ops->locate(episode->parsed, stream, sample, offset, num_bytes, err));
    if (*num_bytes == 0) {
        return RBC_OK;
    }
    RBC__TRY(rbc__source_view(episode->source, *offset, *num_bytes, &episode->scratch, bytes, err));
    return rbc__source_check(episode->source, err);
}

static rbc_status fail_in_sample(const rbc_episode *episode, int32_t stream, int64_t sample,
                                 uint64_t offset, rbc_status status, rbc_error *err) {
    return rbc__fail_within(err, status, "'%s': offset %llu: stream '%s', sample %lld",
                            rbc__source_path(episode->source), (unsigned long long)offset,
                            episode->dataset->schema->streams[stream].name, (long long)sample);
}

static rbc_status need_decoder(rbc_episode *episode, rbc_error *err) {
    return episode->decoder != NULL
               ? RBC_OK
               : rbc__decoder_create(episode->dataset->jpeg_dct, &episode->decoder, err);
}

/* Height, width and channels as declared; -1 where they are not. */
static rbc_status declared_shape(const rbc__stream_schema *schema, rbc__image_shape *out,
                                 rbc_error *err) {
    if (schema->kind != RBC_STREAM_IMAGE || (schema->ndim != 3 && schema->ndim != 2)) {
        char shape[256];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' of shape %s is no image stream", schema->name,
                         rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape));
    }
    if (schema->dtype != RBC__U8 && schema->dtype != RBC__U16) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "stream '%s': images of %s; uint8 and uint16 are supported", schema->name,
                         rbc__dtype_name(schema->dtype));
    }
    for (int32_t i = 0; i < schema->ndim; ++i) {
        if (schema->shape[i] > INT32_MAX) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "stream '%s': images of extent %lld",
                             schema->name, (long long)schema->shape[i]);
        }
    }
    *out = (rbc__image_shape){
        .height = schema->shape[0],
        .width = schema->shape[1],
        .channels = schema->ndim == 3 ? schema->shape[2] : 1,
        .bits = schema->dtype == RBC__U16 ? 16 : 8,
    };
    return RBC_OK;
}

/* The declared shape, completed from the first image at or behind `sample`, else from the first of
 * all; zeros where there is no image at all. */
static rbc_status find_shape(rbc_episode *episode, int32_t stream, int64_t sample,
                             rbc__image_shape *out, rbc_error *err) {
    RBC__TRY(declared_shape(&episode->dataset->schema->streams[stream], out, err));
    if (out->height >= 0 && out->width >= 0 && out->channels >= 0) {
        return RBC_OK;
    }
    RBC__TRY(need_decoder(episode, err));
    int64_t num_samples;
    RBC__TRY(count_samples(episode, stream, &num_samples, NULL, err));
    rbc__image_shape found = {0};
    for (int64_t i = 0; i < num_samples; ++i) {
        const int64_t at = (sample + i) % num_samples;
        const uint8_t *bytes;
        uint64_t num_bytes;
        uint64_t offset;
        RBC__TRY(view_sample(episode, stream, at, &bytes, &num_bytes, &offset, err));
        if (num_bytes > 0) {
            const rbc_status status =
                rbc__image_probe(episode->decoder, bytes, num_bytes, NULL, &found, err);
            if (status != RBC_OK) {
                return fail_in_sample(episode, stream, at, offset, status, err);
            }
            break;
        }
    }
    out->is_first = out->height < 0 || out->width < 0;
    out->height = out->height >= 0 ? out->height : found.height;
    out->width = out->width >= 0 ? out->width : found.width;
    out->channels = out->channels >= 0 ? out->channels : found.channels;
    return RBC_OK;
}

static rbc_status check_bytes(const rbc__stream_schema *schema, int64_t count, int64_t sample_bytes,
                              uint64_t dst_bytes, rbc_error *err) {
    int64_t wanted;
    if (!rbc__mul_size(count, sample_bytes, &wanted) || (uint64_t)wanted != dst_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "dst_bytes is %llu; %lld samples of stream '%s' have %lld bytes each",
                         (unsigned long long)dst_bytes, (long long)count, schema->name,
                         (long long)sample_bytes);
    }
    return RBC_OK;
}

static rbc_status read_images(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                              uint8_t *dst, uint64_t dst_bytes, rbc_error *err) {
    rbc__image_shape shape;
    RBC__TRY(find_shape(episode, stream, first, &shape, err));
    RBC__TRY(need_decoder(episode, err));
    const rbc__stream_schema *schema = &episode->dataset->schema->streams[stream];
    int64_t row_bytes;
    int64_t image_bytes;
    if (!rbc__mul_size(shape.width, shape.channels * (shape.bits / 8), &row_bytes) ||
        !rbc__mul_size(row_bytes, shape.height, &image_bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "stream '%s': images of %lld x %lld x %lld",
                         schema->name, (long long)shape.height, (long long)shape.width,
                         (long long)shape.channels);
    }
    RBC__TRY(check_bytes(schema, count, image_bytes, dst_bytes, err));
    for (int64_t i = 0; i < count; ++i, dst += image_bytes) {
        const uint8_t *bytes;
        uint64_t num_bytes;
        uint64_t offset;
        RBC__TRY(view_sample(episode, stream, first + i, &bytes, &num_bytes, &offset, err));
        if (num_bytes == 0) {
            memset(dst, 0, (size_t)image_bytes);
            continue;
        }
        const rbc_status status = rbc__image_decode(episode->decoder, bytes, num_bytes, NULL,
                                                    &shape, dst, row_bytes, err);
        if (status != RBC_OK) {
            return fail_in_sample(episode, stream, first + i, offset, status, err);
        }
    }
    return RBC_OK;
}

static rbc_status read_numbers(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                               void *dst, uint64_t dst_bytes, rbc_error *err) {
    const rbc__stream_schema *schema = &episode->dataset->schema->streams[stream];
    int64_t sample_bytes = rbc__dtype_bytes(schema->dtype);
    for (int32_t i = 0; i < schema->ndim; ++i) {
        if (schema->shape[i] < 0 || !rbc__mul_size(sample_bytes, schema->shape[i], &sample_bytes)) {
            char shape[256];
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s': numbers of undeclared shape %s", schema->name,
                             rbc__format_shape(shape, sizeof shape, schema->ndim, schema->shape));
        }
    }
    RBC__TRY(check_bytes(schema, count, sample_bytes, dst_bytes, err));
    return episode->dataset->ops->read(episode->parsed, stream, first, count, dst,
                                       &episode->scratch, err);
}

rbc_status rbc_episode_read(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                            void *dst, uint64_t dst_bytes, rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__stream_schema *schema = NULL;
    pthread_mutex_lock(&episode->lock);
    rbc_status status = get_range(episode, stream, first, count, &schema, err);
    if (status == RBC_OK && schema->kind == RBC_STREAM_TEXT) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "stream '%s' is text: read it with rbc_episode_bytes()", schema->name);
    } else if (status == RBC_OK && schema->kind == RBC_STREAM_IMAGE) {
        status = read_images(episode, stream, first, count, dst, dst_bytes, err);
    } else if (status == RBC_OK) {
        status = read_numbers(episode, stream, first, count, dst, dst_bytes, err);
    }
    pthread_mutex_unlock(&episode->lock);
    return status;
}

/* Steps begin with the episode's first stamp, where any stream has stamps. Samples of a ragged
 * stream without stamps have the time of their step. */
static rbc_status step_times(rbc_episode *episode, int32_t stream, bool is_ragged, int64_t first,
                             int64_t count, int64_t *dst, rbc_error *err) {
    const rbc__rate *rate = &episode->dataset->control_rate;
    const rbc__episode_entry *entry = &episode->row.entry;
    const int64_t origin_ns = entry->end_ns >= entry->start_ns ? entry->start_ns : 0;
    if (!is_ragged) {
        for (int64_t i = 0; i < count; ++i) {
            dst[i] = rbc__time_add_ns(origin_ns, rbc__rate_time_ns(rate, first + i));
        }
        return RBC_OK;
    }
    const int64_t num_steps = episode->row.entry.num_steps;
    int64_t *lengths = calloc((size_t)num_steps + 1, sizeof *lengths);
    if (lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "episode %lld: out of memory",
                         (long long)episode->row.id);
    }
    int64_t num_samples;
    const rbc_status status = count_samples(episode, stream, &num_samples, lengths, err);
    int64_t at = 0;
    for (int64_t step = 0; status == RBC_OK && step < num_steps; ++step) {
        for (int64_t i = 0; i < lengths[step]; ++i, ++at) {
            if (at >= first && at - first < count) {
                dst[at - first] = rbc__time_add_ns(origin_ns, rbc__rate_time_ns(rate, step));
            }
        }
    }
    free(lengths);
    return status;
}

rbc_status rbc_episode_times(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                             int64_t *dst, rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__stream_schema *schema = NULL;
    pthread_mutex_lock(&episode->lock);
    rbc_status status = get_range(episode, stream, first, count, &schema, err);
    if (status == RBC_OK && schema->times >= 0) {
        status = episode->dataset->ops->read(episode->parsed, schema->times, first, count, dst,
                                             &episode->scratch, err);
    } else if (status == RBC_OK && episode->dataset->control_rate_hz == 0.0) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "stream '%s' has no stamps, and the control rate of dataset '%s' ('%s') "
                           "is unknown: open it with a control rate",
                           schema->name, episode->dataset->schema->name, episode->dataset->root);
    } else if (status == RBC_OK) {
        status = step_times(episode, stream, schema->is_ragged, first, count, dst, err);
    }
    pthread_mutex_unlock(&episode->lock);
    return status;
}

rbc_status rbc_episode_image_shape(rbc_episode *episode, int32_t stream, int64_t sample,
                                   int64_t shape[3], rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__stream_schema *schema = NULL;
    rbc__image_shape found = {0};
    pthread_mutex_lock(&episode->lock);
    rbc_status status = get_range(episode, stream, sample, 1, &schema, err);
    if (status == RBC_OK) {
        status = find_shape(episode, stream, sample, &found, err);
    }
    pthread_mutex_unlock(&episode->lock);
    if (status == RBC_OK) {
        shape[0] = found.height;
        shape[1] = found.width;
        shape[2] = found.channels;
    }
    return status;
}

rbc_status rbc_episode_bytes(rbc_episode *episode, int32_t stream, int64_t sample,
                             const void **bytes, uint64_t *num_bytes, rbc_error *err) {
    RBC__HOLD_FORKS();
    const rbc__stream_schema *schema = NULL;
    const uint8_t *found = NULL;
    uint64_t offset;
    uint64_t bad_at;
    pthread_mutex_lock(&episode->lock);
    rbc_status status = get_range(episode, stream, sample, 1, &schema, err);
    if (status == RBC_OK && schema->kind == RBC_STREAM_NUMERIC) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "stream '%s' is numeric: read it with rbc_episode_read()", schema->name);
    }
    if (status == RBC_OK) {
        status = view_sample(episode, stream, sample, &found, num_bytes, &offset, err);
    }
    if (status == RBC_OK && schema->kind == RBC_STREAM_TEXT && *num_bytes > 0 &&
        !rbc__utf8_check(found, *num_bytes, &bad_at)) {
        status = rbc__fail(err, RBC_ERROR_FORMAT, "text is not UTF-8 at its byte %llu",
                           (unsigned long long)bad_at);
        status = fail_in_sample(episode, stream, sample, offset, status, err);
    }
    *bytes = found;
    pthread_mutex_unlock(&episode->lock);
    return status;
}
