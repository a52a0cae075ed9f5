#define _POSIX_C_SOURCE 200809L

#include "loader/records.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/error.h"
#include "core/monotonic.h"

/* A whole stream of at most this many bytes costs about as much to read as a window of it. */
#define KEEP_VALUES_BYTES (INT64_C(32) << 10)

struct rbc__records {
    const rbc__batch_spec *spec;
    rbc_dataset *dataset;
    const rbc__reader_ops *ops;
    const rbc__reader *reader;
    const int64_t *ids;
    int64_t max_records, max_bytes;
    int64_t num_records, bytes;
    rbc__held_record *newest, *oldest;
    rbc__held_record **buckets; /* [bucket_mask + 1] */
    uint64_t bucket_mask;
    rbc__scratch values, encoded, working;
    rbc__records_stats stats;
};

rbc_status rbc__records_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                               int64_t max_records, int64_t max_bytes, rbc__records **out,
                               rbc_error *err) {
    *out = NULL;
    rbc__records *records = calloc(1, sizeof *records);
    uint64_t buckets = 1;
    while (buckets < 2 * (uint64_t)max_records) {
        buckets *= 2;
    }
    if (records != NULL) {
        records->buckets = calloc(buckets, sizeof(rbc__held_record *));
    }
    if (records == NULL || records->buckets == NULL) {
        free(records);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a cache of %lld records",
                         (long long)max_records);
    }
    records->spec = spec;
    records->dataset = rbc_selection_dataset(selection);
    records->ops = rbc__dataset_reader_ops(records->dataset);
    records->reader = rbc__dataset_reader(records->dataset);
    records->ids = rbc__selection_ids(selection);
    records->max_records = max_records;
    records->max_bytes = max_bytes;
    records->bucket_mask = buckets - 1;
    *out = records;
    return RBC_OK;
}

static rbc__held_record **bucket_of(rbc__records *records, int64_t position) {
    return &records->buckets[(uint64_t)position & records->bucket_mask];
}

static void unlink_use(rbc__records *records, rbc__held_record *record) {
    *(record->newer != NULL ? &record->newer->older : &records->newest) = record->older;
    *(record->older != NULL ? &record->older->newer : &records->oldest) = record->newer;
}

static void link_newest(rbc__records *records, rbc__held_record *record) {
    record->newer = NULL;
    record->older = records->newest;
    *(records->newest != NULL ? &records->newest->newer : &records->oldest) = record;
    records->newest = record;
}

static void close_record(rbc__records *records, rbc__held_record *record) {
    for (int32_t i = 0; i < records->spec->num_used; ++i) {
        free(record->streams[i].times);
        free(record->streams[i].row_begins);
        free(record->streams[i].values);
    }
    if (record->parsed != NULL) {
        records->ops->episode_close(&record->parsed);
    }
    free(record->task);
    free(record);
}

static void drop_oldest(rbc__records *records) {
    rbc__held_record *record = records->oldest;
    rbc__held_record **at = bucket_of(records, record->episode);
    while (*at != record) {
        at = &(*at)->chain;
    }
    *at = record->chain;
    unlink_use(records, record);
    records->num_records--;
    records->bytes -= record->bytes;
    close_record(records, record);
}

void rbc__records_destroy(rbc__records **handle) {
    rbc__records *records = *handle;
    *handle = NULL;
    if (records == NULL) {
        return;
    }
    while (records->oldest != NULL) {
        drop_oldest(records);
    }
    rbc__scratch_free(&records->values);
    rbc__scratch_free(&records->encoded);
    rbc__scratch_free(&records->working);
    free(records->buckets);
    free(records);
}

static rbc_status read_row(rbc__records *records, rbc__cursor *cursor, rbc__held_record *record,
                           rbc_error *err) {
    rbc__episode_row row;
    RBC__TRY(rbc__cursor_episode(cursor, record->id, &row, err));
    record->file = row.file;
    record->num_steps = row.entry.num_steps;
    RBC__TRY(rbc__dataset_source(records->dataset, row.file, &record->source, err));
    RBC__TRY(records->ops->episode_open(records->reader, record->source, &row.entry,
                                        &record->parsed, err));
    const char *task = "";
    RBC__TRY(rbc__cursor_task(cursor, row.task, &task, err));
    record->task_bytes = strlen(task);
    record->task = malloc(record->task_bytes + 1);
    if (record->task == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a task of %llu bytes",
                         (unsigned long long)record->task_bytes);
    }
    memcpy(record->task, task, record->task_bytes + 1);
    record->bytes += (int64_t)record->task_bytes + (int64_t)row.entry.layout_bytes;
    return RBC_OK;
}

static rbc_status open_record(rbc__records *records, rbc__held_record *record, rbc_error *err) {
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(records->dataset, &cursor, err));
    const rbc_status status = read_row(records, cursor, record, err);
    rbc__cursor_give(&cursor);
    return status;
}

static rbc_status add_record(rbc__records *records, int64_t position, rbc__held_record **out,
                             rbc_error *err) {
    while (records->oldest != NULL &&
           (records->num_records >= records->max_records || records->bytes > records->max_bytes)) {
        drop_oldest(records);
    }
    const size_t bytes = sizeof **out + (size_t)records->spec->num_used * sizeof(rbc__held_stream);
    rbc__held_record *record = calloc(1, bytes);
    if (record == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a record");
    }
    record->episode = position;
    record->id = records->ids[position];
    record->bytes = (int64_t)bytes;
    const rbc_status status = open_record(records, record, err);
    if (status != RBC_OK) {
        close_record(records, record);
        return status;
    }
    rbc__held_record **bucket = bucket_of(records, position);
    record->chain = *bucket;
    *bucket = record;
    link_newest(records, record);
    ++records->num_records;
    records->bytes += record->bytes;
    *out = record;
    return RBC_OK;
}

rbc_status rbc__records_get(rbc__records *records, int64_t position, rbc__held_record **out,
                            rbc_error *err) {
    for (rbc__held_record *r = *bucket_of(records, position); r != NULL; r = r->chain) {
        if (r->episode == position) {
            if (r != records->newest) {
                unlink_use(records, r);
                link_newest(records, r);
            }
            *out = r;
            return RBC_OK;
        }
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status = add_record(records, position, out, err);
    records->stats.read_ns += rbc__now_ns() - begin;
    return status;
}

/* Memory that belongs to a record and counts as its. */
static rbc_status hold(rbc__records *records, rbc__held_record *record, int64_t count,
                       int64_t element_bytes, void *out, rbc_error *err) {
    int64_t bytes = 0;
    void *data = NULL;
    if (rbc__mul_size(count, element_bytes, &bytes)) {
        data = malloc(bytes > 0 ? (size_t)bytes : 1);
    }
    if (data == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld samples of %lld bytes",
                         (long long)count, (long long)element_bytes);
    }
    memcpy(out, &data, sizeof data);
    record->bytes += bytes;
    records->bytes += bytes;
    return RBC_OK;
}

static rbc_status read_times(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                             rbc_error *err) {
    const rbc__used_stream *planned = &records->spec->used[stream_at];
    rbc__held_stream *held = &record->streams[stream_at];
    int64_t num_times = 0;
    RBC__TRY(records->ops->count(record->parsed, planned->times, &num_times, NULL, err));
    if (num_times != held->num_samples) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: stream '%s' has %lld samples and %lld stamps",
                         rbc__records_path(record), planned->schema->name,
                         (long long)held->num_samples, (long long)num_times);
    }
    RBC__TRY(hold(records, record, num_times, sizeof *held->times, &held->times, err));
    if (num_times > 0) {
        RBC__TRY(records->ops->read(record->parsed, planned->times, 0, num_times, held->times,
                                    &records->working, err));
    }
    for (int64_t i = 1; i < num_times; ++i) {
        if (held->times[i] < held->times[i - 1]) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': stamp %lld is %lld ns, less than %lld before it",
                             rbc__records_path(record), planned->schema->name, (long long)i,
                             (long long)held->times[i], (long long)held->times[i - 1]);
        }
    }
    return RBC_OK;
}

static rbc_status read_rows(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                            rbc_error *err) {
    const rbc__used_stream *planned = &records->spec->used[stream_at];
    rbc__held_stream *held = &record->streams[stream_at];
    RBC__TRY(hold(records, record, record->num_steps + 1, sizeof(int64_t), &held->row_begins, err));
    int64_t num_points = 0;
    held->row_begins[0] = 0;
    RBC__TRY(records->ops->count(record->parsed, planned->stream, &num_points, held->row_begins + 1,
                                 err));
    for (int64_t i = 0; i < record->num_steps; ++i) {
        const int64_t length = held->row_begins[i + 1];
        if (length < 0 || length > num_points - held->row_begins[i]) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: stream '%s': step %lld has %lld rows of the episode's %lld",
                             rbc__records_path(record), planned->schema->name, (long long)i,
                             (long long)length, (long long)num_points);
        }
        held->row_begins[i + 1] = held->row_begins[i] + length;
    }
    held->num_samples = record->num_steps;
    return RBC_OK;
}

static rbc_status prepare(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                          rbc_error *err) {
    const rbc__used_stream *planned = &records->spec->used[stream_at];
    rbc__held_stream *held = &record->streams[stream_at];
    if (planned->is_cloud) {
        RBC__TRY(read_rows(records, record, stream_at, err));
        held->is_counted = true;
        return RBC_OK;
    }
    RBC__TRY(records->ops->count(record->parsed, planned->stream, &held->num_samples, NULL, err));
    if (planned->times >= 0) {
        RBC__TRY(read_times(records, record, stream_at, err));
    }
    int64_t bytes = 0;
    if (planned->schema->kind == RBC_STREAM_NUMERIC &&
        rbc__mul_size(held->num_samples, planned->sample_bytes, &bytes) &&
        bytes <= KEEP_VALUES_BYTES && bytes > 0) {
        uint8_t *values = NULL;
        RBC__TRY(hold(records, record, 1, bytes, &values, err));
        const rbc_status status = records->ops->read(
            record->parsed, planned->stream, 0, held->num_samples, values, &records->working, err);
        if (status != RBC_OK) {
            free(values);
            return status;
        }
        held->values = values;
        records->stats.bytes_read += bytes;
    }
    held->is_counted = true;
    return RBC_OK;
}

rbc_status rbc__records_prepare(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                                rbc_error *err) {
    if (record->streams[stream_at].is_counted) {
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const int64_t bytes_before = record->bytes;
    const rbc_status status = prepare(records, record, stream_at, err);
    records->stats.read_ns += rbc__now_ns() - begin;
    if (status != RBC_OK) {
        rbc__held_stream *held = &record->streams[stream_at];
        free(held->times);
        free(held->row_begins);
        *held = (rbc__held_stream){0};
        records->bytes -= record->bytes - bytes_before;
        record->bytes = bytes_before;
    }
    return status;
}

rbc_status rbc__records_read(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                             int64_t first, int64_t count, void *dst, rbc_error *err) {
    const rbc__used_stream *planned = &records->spec->used[stream_at];
    const uint8_t *values = record->streams[stream_at].values;
    if (values != NULL) {
        memcpy(dst, values + first * planned->sample_bytes,
               (size_t)(count * planned->sample_bytes));
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status = records->ops->read(record->parsed, planned->stream, first, count, dst,
                                                 &records->working, err);
    records->stats.read_ns += rbc__now_ns() - begin;
    records->stats.bytes_read += count * planned->sample_bytes;
    return status;
}

rbc_status rbc__records_values(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                               int64_t first, int64_t count, const uint8_t **out, rbc_error *err) {
    const rbc__used_stream *planned = &records->spec->used[stream_at];
    const uint8_t *values = record->streams[stream_at].values;
    if (values != NULL) {
        *out = values + first * planned->sample_bytes;
        return RBC_OK;
    }
    int64_t bytes = 0;
    if (!rbc__mul_size(count, planned->sample_bytes, &bytes)) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: stream '%s': %lld samples are too many",
                         rbc__records_path(record), planned->schema->name, (long long)count);
    }
    RBC__TRY(rbc__scratch_reserve(&records->values, bytes > 0 ? (size_t)bytes : 1, err));
    *out = records->values.data;
    return rbc__records_read(records, record, stream_at, first, count, records->values.data, err);
}

rbc_status rbc__records_locate(rbc__records *records, rbc__held_record *record, int32_t stream_at,
                               int64_t sample, rbc__span *out, rbc_error *err) {
    return records->ops->locate(record->parsed, records->spec->used[stream_at].stream, sample,
                                &out->offset, &out->bytes, err);
}

rbc_status rbc__records_view(rbc__records *records, rbc__held_record *record, const rbc__span *span,
                             const uint8_t **out, rbc_error *err) {
    *out = NULL;
    if (span->bytes == 0) {
        return RBC_OK;
    }
    const int64_t begin = rbc__now_ns();
    const rbc_status status =
        rbc__source_view(record->source, span->offset, span->bytes, &records->encoded, out, err);
    records->stats.read_ns += rbc__now_ns() - begin;
    records->stats.bytes_read += (int64_t)span->bytes;
    return status;
}

int64_t rbc__records_id(const rbc__records *records, int64_t position) {
    return records->ids[position];
}

const char *rbc__records_path(const rbc__held_record *record) {
    return rbc__source_path(record->source);
}

rbc__records_stats rbc__records_take_stats(rbc__records *records) {
    const rbc__records_stats stats = records->stats;
    records->stats = (rbc__records_stats){0};
    return stats;
}
