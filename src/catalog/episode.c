#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "codec/codec.h"
#include "codec/ros_image.h"
#include "core/error.h"
#include "core/fork.h"
#include "io/utf8.h"

struct rbc_episode {
    rbc_dataset *dataset;
    rbc__episode_row row; /* its layout is NULL: it is parsed */
    rbc__layout *layout;
    char *file; /* its first blob */
    char *task;
    char *metadata;
    pthread_mutex_t lock; /* of what follows: calls take turns */
    rbc__request *request;
    rbc__decoder *decoder; /* made with the first image */
};

/* What the catalog holds of it. */
static rbc_status look_up(rbc_episode *episode, int64_t id, rbc__cursor *cursor, rbc_error *err) {
    const char *text = "";
    RBC__TRY(rbc__cursor_episode(cursor, id, &episode->row, err));
    RBC__TRY(rbc__dataset_parse_layout(episode->dataset, &episode->row, &episode->layout, err));
    episode->row.entry.layout = NULL;
    RBC__TRY(rbc__cursor_metadata(cursor, id, &episode->metadata, err));
    RBC__TRY(rbc__cursor_task(cursor, episode->row.task, &text, err));
    episode->task = strdup(text);
    return episode->task != NULL ? RBC_OK
                                 : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                             "episode %lld: out of memory", (long long)id);
}

/* The part's file is there, and the one that was indexed. */
static rbc_status check_file(const rbc_episode *episode, rbc_error *err) {
    const rbc_dataset *dataset = episode->dataset;
    rbc__read nothing = {.blob = rbc__blob_id(episode->row.part, 0)};
    if (dataset->schema->parts[episode->row.part].is_virtual) {
        return RBC_OK;
    }
    dataset->store->ops->read(dataset->store, &nothing, 1, NULL);
    if (nothing.status == RBC_OK) {
        return RBC_OK;
    }
    const rbc_status status = nothing.error != NULL
                                  ? rbc__pass_on(nothing.error, err)
                                  : rbc__fail(err, nothing.status, "reading failed");
    free(nothing.error);
    return status;
}

static rbc_status fill(rbc_episode *episode, int64_t id, rbc_error *err) {
    rbc_dataset *dataset = episode->dataset;
    const rbc__request_params requests = rbc__dataset_requests(dataset);
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(dataset, &cursor, err));
    const rbc_status status = look_up(episode, id, cursor, err);
    rbc__cursor_give(&cursor);
    RBC__TRY(status);
    RBC__TRY(check_file(episode, err));
    RBC__TRY(rbc__blob_names_first(dataset->names, episode->row.part, &episode->file, err));
    return rbc__request_create(&requests, &episode->request, err);
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
    const rbc_status status = fill(episode, id, err);
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
    rbc__request_destroy(&closed->request);
    rbc__decoder_destroy(&closed->decoder);
    pthread_mutex_destroy(&closed->lock);
    free(closed->layout);
    free(closed->file);
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
        .bytes = entry->bytes,
        .record = entry->record,
        .offset = entry->offset,
        .file = episode->file,
        .split = dataset->schema->parts[episode->row.part].split,
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

/* ---- reading ----------------------------------------------------------------------------------
 */

static rbc__parsed_episode parsed_of(const rbc_episode *episode) {
    return (rbc__parsed_episode){episode->layout, episode->row.part, episode->row.entry.record};
}

/* Reads what has been added to the request. */
static rbc_status run_request(rbc_episode *episode, rbc_error *err) {
    int32_t rank;
    rbc__request_read(episode->request, NULL);
    rbc__request_finish(episode->request, NULL);
    const rbc_error *problem = rbc__request_failure(episode->request, 0, &rank);
    return problem != NULL ? rbc__pass_on(problem, err) : RBC_OK;
}

static rbc_status read_values(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                              void *dst, rbc_error *err) {
    const rbc__parsed_episode parsed = parsed_of(episode);
    rbc__request_begin(episode->request);
    RBC__TRY(rbc__request_values(episode->request, &parsed, stream, first, count, dst, err));
    return run_request(episode, err);
}

static rbc_status count_samples(rbc_episode *episode, int32_t stream, int64_t *num_samples,
                                int64_t *row_lengths, rbc_error *err) {
    const rbc__stream_schema *schema = &episode->dataset->schema->streams[stream];
    const rbc__parsed_episode parsed = parsed_of(episode);
    const int64_t num_steps = episode->row.entry.num_steps;
    if (schema->unsupported != NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s", schema->name,
                         schema->unsupported);
    }
    *num_samples = (int64_t)rbc__layout_num_samples(episode->layout, (uint32_t)stream);
    if (row_lengths == NULL) {
        return RBC_OK;
    }
    if (!schema->is_ragged) {
        for (int64_t i = 0; i < num_steps; ++i) {
            row_lengths[i] = 1;
        }
        return RBC_OK;
    }
    rbc__request_begin(episode->request);
    RBC__TRY(rbc__request_row_lengths(episode->request, &parsed, stream, row_lengths, err));
    return run_request(episode, err);
}

/* The stream, after checking that it has samples [first, first + count). */
static rbc_status get_range(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                            const rbc__stream_schema **out, rbc_error *err) {
    RBC__TRY(get_stream(episode, stream, out, err));
    int64_t num_samples = 0;
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

/* Bytes of image or text sample `sample`, until the next reading; num_bytes 0: there are none. */
static rbc_status view_sample(rbc_episode *episode, int32_t stream, int64_t sample,
                              rbc__sample *out, rbc_error *err) {
    const rbc__parsed_episode parsed = parsed_of(episode);
    uint32_t want;
    rbc__request_begin(episode->request);
    RBC__TRY(rbc__request_sample(episode->request, &parsed, stream, sample, &want, err));
    RBC__TRY(run_request(episode, err));
    rbc__request_get(episode->request, want, out);
    return RBC_OK;
}

static rbc_status fail_in_sample(const rbc_episode *episode, int32_t stream, int64_t sample,
                                 const rbc__sample *at, rbc_status status, rbc_error *err) {
    char name[1024];
    rbc__store *store = episode->dataset->store;
    return rbc__fail_within(err, status, "'%s': offset %llu: stream '%s', sample %lld",
                            store->ops->name(store, at->blob, name, sizeof name),
                            (unsigned long long)at->offset,
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
    int64_t num_samples = 0;
    RBC__TRY(count_samples(episode, stream, &num_samples, NULL, err));
    rbc__image_shape found = {0};
    for (int64_t i = 0; i < num_samples; ++i) {
        const int64_t at = (sample + i) % num_samples;
        rbc__sample encoded;
        RBC__TRY(view_sample(episode, stream, at, &encoded, err));
        if (encoded.num_bytes > 0) {
            const rbc_status status = rbc__image_probe(episode->decoder, encoded.bytes,
                                                       encoded.num_bytes, NULL, &found, err);
            if (status != RBC_OK) {
                return fail_in_sample(episode, stream, at, &encoded, status, err);
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

/* All in one request, so that a group of pictures is decoded once. */
static rbc_status read_frames(rbc_episode *episode, int32_t stream, int64_t first, int64_t count,
                              int64_t image_bytes, uint8_t *dst, rbc_error *err) {
    const rbc__parsed_episode parsed = parsed_of(episode);
    rbc__request_begin(episode->request);
    for (int64_t i = 0; i < count; ++i) {
        uint32_t want;
        RBC__TRY(rbc__request_sample(episode->request, &parsed, stream, first + i, &want, err));
        rbc__request_put(episode->request, want, dst + i * image_bytes);
    }
    return run_request(episode, err);
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
    if (schema->stored.encoding == RBC__ENCODING_FRAME) {
        return read_frames(episode, stream, first, count, image_bytes, dst, err);
    }
    for (int64_t i = 0; i < count; ++i, dst += image_bytes) {
        rbc__sample encoded;
        RBC__TRY(view_sample(episode, stream, first + i, &encoded, err));
        if (encoded.num_bytes == 0) {
            memset(dst, 0, (size_t)image_bytes);
            continue;
        }
        const rbc_status status =
            encoded.encoding == RBC__ENCODING_ROS
                ? rbc__ros_image_decode(encoded.stored, encoded.bytes, encoded.num_bytes, NULL,
                                        &shape, dst, row_bytes, err)
                : rbc__image_decode(episode->decoder, encoded.bytes, encoded.num_bytes, NULL,
                                    &shape, dst, row_bytes, err);
        if (status != RBC_OK) {
            return fail_in_sample(episode, stream, first + i, &encoded, status, err);
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
    return read_values(episode, stream, first, count, dst, err);
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
    } else if (status == RBC_OK && schema->kind == RBC_STREAM_IMAGE &&
               !rbc__stream_has_numbers(schema)) {
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
    int64_t num_samples = 0;
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
        status = read_values(episode, schema->times, first, count, dst, err);
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
    rbc__sample found = {0};
    uint64_t bad_at;
    pthread_mutex_lock(&episode->lock);
    rbc_status status = get_range(episode, stream, sample, 1, &schema, err);
    if (status == RBC_OK && schema->kind == RBC_STREAM_NUMERIC) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "stream '%s' is numeric: read it with rbc_episode_read()", schema->name);
    }
    if (status == RBC_OK) {
        status = view_sample(episode, stream, sample, &found, err);
    }
    if (status == RBC_OK && schema->kind == RBC_STREAM_TEXT && found.num_bytes > 0 &&
        !rbc__utf8_check(found.bytes, found.num_bytes, &bad_at)) {
        status = rbc__fail(err, RBC_ERROR_FORMAT, "text is not UTF-8 at its byte %llu",
                           (unsigned long long)bad_at);
        status = fail_in_sample(episode, stream, sample, &found, status, err);
    }
    *bytes = found.bytes != NULL ? found.bytes : (const uint8_t *)"";
    *num_bytes = found.num_bytes;
    pthread_mutex_unlock(&episode->lock);
    return status;
}
