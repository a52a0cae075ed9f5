#include "formats/batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/batch_state.h"
#include "io/utf8.h"

/* An episode of the call, its offsets in the writer's buffers. */
typedef struct batch_entry {
    int64_t record, offset, bytes, num_steps, start_ns, end_ns;
    size_t layout_at, layout_bytes;
} batch_entry;

rbc_status rbc__batch_writer_create(const rbc__schema *schema, int64_t file_bytes,
                                    const rbc__index_sink *sink, rbc__batch_writer **out,
                                    rbc_error *err) {
    rbc__batch_writer *writer = calloc(1, sizeof *writer);
    *out = writer;
    if (writer != NULL) {
        writer->stored = calloc((size_t)schema->num_streams + 1, sizeof *writer->stored);
        (void)rbc__batch_more(&writer->packings, sizeof(rbc__batch_used_packing));
    }
    if (writer == NULL || writer->stored == NULL || writer->packings.failed) {
        rbc__batch_writer_destroy(out);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    writer->schema = schema;
    writer->sink = sink;
    writer->file_bytes = file_bytes;
    writer->num_strings = -1;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const int32_t times = schema->streams[i].times;
        const rbc_status status = rbc__stream_check(&schema->streams[i], err);
        if (status != RBC_OK) {
            rbc__batch_writer_destroy(out);
            return status;
        }
        writer->stored[i] = schema->streams[i].stored;
        if (times >= 0 &&
            (schema->streams[times].kind != RBC_STREAM_NUMERIC ||
             schema->streams[times].dtype != RBC__I64 || schema->streams[times].ndim != 0)) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "stream '%s': times: found '%s', wanted an int64 stream of shape []",
                      schema->streams[i].name, schema->streams[times].name);
            rbc__batch_writer_destroy(out);
            return RBC_ERROR_INVALID_ARGUMENT;
        }
    }
    writer->layout.streams = writer->stored;
    writer->layout.num_streams = (uint32_t)schema->num_streams;
    return RBC_OK;
}

void rbc__batch_writer_destroy(rbc__batch_writer **writer) {
    rbc__batch_writer *closing = *writer;
    *writer = NULL;
    if (closing == NULL) {
        return;
    }
    rbc__bytes *const lists[] = {&closing->blob_sizes, &closing->packings, &closing->blocks,
                                 &closing->arrays,     &closing->frames,   &closing->table,
                                 &closing->layouts,    &closing->entries,  &closing->spans,
                                 &closing->progress};
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; ++i) {
        rbc__bytes_free(lists[i]);
    }
    rbc__layout_writer_free(&closing->layout);
    free(closing->stored);
    free(closing);
}

/* ---- an episode ---------------------------------------------------------------------------------
 */

/* Samples that row lengths say the episode has; -1: there are none. */
static rbc_status sum_rows(const rbc__batch_stream *state, int64_t num_steps, int64_t *samples,
                           rbc_error *err) {
    *samples = state->row_lengths != NULL ? 0 : -1;
    for (int64_t i = 0; state->row_lengths != NULL && i < num_steps; ++i) {
        const int64_t rows = rbc__ints_at(&state->row_lengths->samples, state->steps + i, 0);
        if (rows < 0 || !rbc__add_size(*samples, rows, samples)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "row_lengths: found %" PRId64 " at step %" PRId64 ", wanted 0 or more",
                             rows, i);
        }
    }
    return RBC_OK;
}

/* First and last stamp of a column, which do not go back. */
static rbc_status find_stamps(const rbc__batch_call *c, rbc__batch_stream *state, int64_t first,
                              rbc_error *err) {
    const int64_t *values = (const int64_t *)c->batch->sources[state->first_source].values + first;
    for (int64_t i = 1; i < state->samples; ++i) {
        if (values[i] < values[i - 1]) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "sample %" PRId64 ": found stamp %" PRId64 " after %" PRId64
                             ", wanted stamps that do not go back",
                             i, values[i], values[i - 1]);
        }
    }
    state->first_ns = values[0];
    state->last_ns = values[state->samples - 1];
    return RBC_OK;
}

static rbc_status set_stamps(const rbc__batch_call *c, rbc__batch_stream *state, int64_t e,
                             int64_t first, rbc_error *err) {
    state->first_ns = 0;
    state->last_ns = -1;
    if (!state->is_times || state->samples == 0) {
        return RBC_OK;
    }
    if (state->stamps == NULL) {
        return find_stamps(c, state, first, err);
    }
    state->first_ns = rbc__ints_at(&state->stamps->first_ns, e, 0);
    state->last_ns = rbc__ints_at(&state->stamps->last_ns, e, 0);
    if (state->last_ns < state->first_ns) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stamps: found %" PRId64 " to %" PRId64 ", wanted the first and the last",
                         state->first_ns, state->last_ns);
    }
    return RBC_OK;
}

/* Adds all runs of stream `i` in episode `e`, and sets what they amount to. */
static rbc_status add_stream(rbc__batch_call *c, int32_t i, int64_t e, int64_t num_steps,
                             rbc_error *err) {
    const rbc__stream_schema *stream = &c->writer->schema->streams[i];
    rbc__batch_stream *state = &c->streams[i];
    rbc__batch_progress *progress = (rbc__batch_progress *)(void *)c->writer->progress.data;
    const int64_t first = state->num_sources > 0 ? progress[state->first_source].samples : 0;
    int64_t rows;
    RBC__TRY(sum_rows(state, num_steps, &rows, err));
    const int64_t wanted = stream->is_ragged ? rows : num_steps;
    state->samples = 0;
    for (int64_t s = state->first_source; s < state->first_source + state->num_sources; ++s) {
        const rbc__batch_source *source = &c->batch->sources[s];
        int64_t samples = 0;
        if (wanted < 0 && source->count.data == NULL) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "count: is missing: wanted where a stream is ragged and there are no "
                             "row_lengths");
        }
        RBC__TRY(rbc__batch_add_runs(c->writer, source, &progress[s], e, wanted, &samples, err));
        state->samples += samples;
    }
    if (wanted >= 0 && state->samples != wanted) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found %" PRId64 " samples, wanted %" PRId64 ", %s", state->samples,
                         wanted, stream->is_ragged ? "as its row_lengths say" : "one a step");
    }
    return set_stamps(c, state, e, first, err);
}

static rbc_status add_row_lengths(rbc__batch_call *c, int32_t i, int64_t num_steps,
                                  rbc_error *err) {
    rbc__batch_stream *state = &c->streams[i];
    const uint32_t id = (uint32_t)(c->writer->schema->num_streams + i);
    const rbc__ints *samples = state->row_lengths != NULL ? &state->row_lengths->samples : NULL;
    if (samples == NULL) {
        return RBC_OK;
    }
    if (samples->length != RBC__INTS_ALL) {
        const int64_t *rows = samples->data + state->steps;
        state->steps += num_steps;
        return rbc__batch_add_column(c->writer, id, RBC__I64, sizeof *rows, rows, num_steps, err);
    }
    for (int64_t step = 0; step < num_steps; ++step) {
        RBC__TRY(
            rbc__batch_add_column(c->writer, id, RBC__I64, sizeof(int64_t), samples->data, 1, err));
    }
    return RBC_OK;
}

/* Spans of all streams of stamps, and the time that the reference streams cover. */
static rbc_status add_spans(rbc__batch_call *c, batch_entry *entry, rbc_error *err) {
    const rbc__schema *schema = c->writer->schema;
    entry->start_ns = 0;
    entry->end_ns = -1;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        const rbc__batch_stream *state = &c->streams[i];
        if (state->is_times) {
            const rbc__stamp_span span = {i, state->samples, state->first_ns, state->last_ns};
            rbc__bytes_append(&c->writer->spans, &span, sizeof span);
        }
        if (stream->times < 0) {
            continue;
        }
        const rbc__batch_stream *times = &c->streams[stream->times];
        if (times->samples != state->samples) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "found %" PRId64 " samples, wanted the %" PRId64 " of its stamps, '%s'",
                      state->samples, times->samples, schema->streams[stream->times].name);
            return rbc__batch_fail_stream(c, i, -1, RBC_ERROR_INVALID_ARGUMENT, err);
        }
        if (stream->is_reference && times->samples > 0) {
            const bool is_first = entry->end_ns < entry->start_ns;
            entry->start_ns =
                is_first || times->first_ns < entry->start_ns ? times->first_ns : entry->start_ns;
            entry->end_ns =
                is_first || times->last_ns > entry->end_ns ? times->last_ns : entry->end_ns;
        }
    }
    return rbc__bytes_check(&c->writer->spans, err);
}

/* What was written is what will be read. */
static rbc_status check_layout(const rbc__batch_call *c, const batch_entry *entry, rbc_error *err) {
    const rbc__batch_writer *writer = c->writer;
    const int32_t num_streams = writer->schema->num_streams;
    rbc__layout *layout;
    RBC__TRY(rbc__layout_parse(writer->stored, (uint32_t)num_streams,
                               writer->layouts.data + entry->layout_at, entry->layout_bytes,
                               entry->offset > 0 ? (uint64_t)entry->offset : 0, "its layout",
                               &layout, err));
    rbc_status status = RBC_OK;
    for (int32_t i = 0; i < num_streams && status == RBC_OK; ++i) {
        const bool has_bytes = rbc__batch_sample_bytes(&writer->schema->streams[i]) > 0 ||
                               writer->stored[i].sample_bytes == 0;
        if (has_bytes &&
            rbc__layout_num_samples(layout, (uint32_t)i) != (uint64_t)c->streams[i].samples) {
            status = rbc__fail(err, RBC_ERROR_INTERNAL,
                               "stream '%s': its layout has %" PRIu64 " samples, wanted %" PRId64,
                               writer->schema->streams[i].name,
                               rbc__layout_num_samples(layout, (uint32_t)i), c->streams[i].samples);
        }
    }
    free(layout);
    return status;
}

static rbc_status build_episode(rbc__batch_call *c, int64_t e, rbc_error *err) {
    rbc__batch_writer *writer = c->writer;
    const rbc__batch *batch = c->batch;
    const int32_t num_streams = writer->schema->num_streams;
    batch_entry entry = {
        .record = rbc__ints_at(&batch->record, e, writer->next_record + e),
        .offset = rbc__ints_at(&batch->offset, e, -1),
        .bytes = rbc__ints_at(&batch->bytes, e, 0),
        .num_steps = rbc__ints_at(&batch->num_steps, e, 0),
        .layout_at = writer->layouts.size,
    };
    ++writer->episode;
    writer->has_run = false;
    rbc__layout_begin(&writer->layout, (uint64_t)entry.num_steps,
                      entry.offset > 0 ? (uint64_t)entry.offset : 0);
    for (int late = 0; late < 2; ++late) {
        for (int32_t i = 0; i < num_streams; ++i) {
            if (c->streams[i].is_late != (late == 1)) {
                continue;
            }
            const rbc_status status = add_stream(c, i, e, entry.num_steps, err);
            rbc__batch_flush(writer);
            if (status != RBC_OK) {
                return rbc__batch_fail_stream(c, i, e, status, err);
            }
        }
    }
    for (int32_t i = 0; i < num_streams; ++i) {
        RBC__TRY(add_row_lengths(c, i, entry.num_steps, err));
        rbc__batch_flush(writer);
    }
    rbc_status status = rbc__layout_end(&writer->layout, &writer->layouts, err);
    entry.layout_bytes = writer->layouts.size - entry.layout_at;
    if (status == RBC_OK) {
        status = check_layout(c, &entry, err);
    }
    if (status == RBC_OK) {
        status = add_spans(c, &entry, err);
    }
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "episode %" PRId64, e);
    }
    rbc__bytes_append(&writer->entries, &entry, sizeof entry);
    return rbc__bytes_check(&writer->entries, err);
}

/* Whether every array was used to its end. */
static rbc_status check_rest(const rbc__batch_call *c, rbc_error *err) {
    const rbc__batch_progress *progress =
        (const rbc__batch_progress *)(const void *)c->writer->progress.data;
    for (int64_t s = 0; s < c->batch->num_sources; ++s) {
        const rbc__batch_source *source = &c->batch->sources[s];
        int64_t found = progress[s].samples;
        const char *what = "pieces";
        if (source->kind == RBC__BATCH_COLUMN) {
            found = source->num_values;
            what = "samples in the column";
        } else if (source->kind == RBC__BATCH_PIECES &&
                   rbc__batch_num_pieces(source) != RBC__INTS_ALL) {
            found = rbc__batch_num_pieces(source);
        }
        if (source->episode.data != NULL && progress[s].runs != source->episode.length) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "episode: found %" PRId64 " at run %" PRId64 ", wanted less than %" PRId64,
                      source->episode.data[progress[s].runs], progress[s].runs,
                      c->batch->num_episodes);
            return rbc__batch_fail_stream(c, source->stream, -1, RBC_ERROR_INVALID_ARGUMENT, err);
        }
        if (found != progress[s].samples) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "found %" PRId64 " %s, wanted %" PRId64 ", the samples of all episodes",
                      found, what, progress[s].samples);
            return rbc__batch_fail_stream(c, source->stream, -1, RBC_ERROR_INVALID_ARGUMENT, err);
        }
    }
    return RBC_OK;
}

/* ---- handing over -------------------------------------------------------------------------------
 */

static rbc_status check_text(const char *text, const char *what, int64_t e, rbc_error *err) {
    uint64_t bad_at;
    if (text != NULL && !rbc__utf8_check((const uint8_t *)text, strlen(text), &bad_at)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "episode %" PRId64 ": byte %" PRIu64 " of its %s: found no UTF-8", e,
                         bad_at, what);
    }
    return RBC_OK;
}

static rbc_status check_texts(const rbc__batch *batch, rbc_error *err) {
    for (int64_t e = 0; e < batch->num_episodes; ++e) {
        RBC__TRY(check_text(batch->tasks != NULL ? batch->tasks[e] : NULL, "task", e, err));
        RBC__TRY(
            check_text(batch->metadata != NULL ? batch->metadata[e] : NULL, "metadata", e, err));
    }
    return RBC_OK;
}

static rbc_status hand_over(const rbc__batch_call *c, rbc_error *err) {
    rbc__batch_writer *writer = c->writer;
    const rbc__batch *batch = c->batch;
    const int64_t count = batch->num_episodes;
    const batch_entry *entries = (const batch_entry *)(const void *)writer->entries.data;
    const rbc__stamp_span *spans = (const rbc__stamp_span *)(const void *)writer->spans.data;
    const int32_t num_spans =
        count > 0 ? (int32_t)(writer->spans.size / sizeof *spans / (size_t)count) : 0;
    for (int64_t e = 0; e < count; ++e) {
        const batch_entry *from = &entries[e];
        const char *task = batch->tasks != NULL ? batch->tasks[e] : NULL;
        const rbc__episode_entry entry = {
            .record = from->record,
            .offset = from->offset,
            .bytes = from->bytes,
            .num_steps = from->num_steps,
            .start_ns = from->start_ns,
            .end_ns = from->end_ns,
            .spans = spans != NULL ? spans + e * num_spans : NULL,
            .num_spans = num_spans,
            .task = task != NULL ? task : "",
            .metadata = batch->metadata != NULL ? batch->metadata[e] : NULL,
            .layout = writer->layouts.data + from->layout_at,
            .layout_bytes = from->layout_bytes,
        };
        RBC__TRY(writer->sink->episode(writer->sink->user, &entry, err));
    }
    writer->num_episodes += count;
    writer->next_record = count > 0 ? entries[count - 1].record + 1 : writer->next_record;
    return RBC_OK;
}

static rbc_status add_episodes(rbc__batch_call *c, rbc_error *err) {
    rbc__batch_writer *writer = c->writer;
    writer->layouts.size = writer->entries.size = writer->spans.size = writer->progress.size = 0;
    RBC__TRY(rbc__batch_check_episodes(c, err));
    RBC__TRY(rbc__batch_check_streams(c, err));
    RBC__TRY(check_texts(c->batch, err));
    for (int64_t s = 0; s < c->batch->num_sources; ++s) {
        (void)rbc__batch_more(&writer->progress, sizeof(rbc__batch_progress));
    }
    RBC__TRY(rbc__bytes_check(&writer->progress, err));
    for (int64_t e = 0; e < c->batch->num_episodes; ++e) {
        RBC__TRY(build_episode(c, e, err));
    }
    RBC__TRY(check_rest(c, err));
    return hand_over(c, err);
}

rbc_status rbc__batch_add_episodes(rbc__batch_writer *writer, const rbc__batch *batch,
                                   rbc_error *err) {
    rbc__batch_call c = {.writer = writer, .batch = batch};
    if (batch->num_episodes < 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "found %" PRId64 " episodes",
                         batch->num_episodes);
    }
    c.streams = calloc((size_t)writer->schema->num_streams + 1, sizeof *c.streams);
    if (c.streams == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    const rbc_status status = add_episodes(&c, err);
    free(c.streams);
    return status;
}
