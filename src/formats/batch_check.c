/* Whether the arrays of a batch are those that its episodes need. */
#include <inttypes.h>

#include "core/error.h"
#include "formats/batch_state.h"

/* ---- arrays ------------------------------------------------------------------------
 */

static rbc_status check_ints(const rbc__ints *ints, int64_t wanted, const char *name,
                             const char *of, rbc_error *err) {
    if (ints->data != NULL && ints->length != RBC__INTS_ALL && ints->length != wanted) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: found %" PRId64 " numbers, wanted %" PRId64 ", one %s", name,
                         ints->length, wanted, of);
    }
    return RBC_OK;
}

static rbc_status want_ints(const rbc__ints *ints, int64_t wanted, const char *name, const char *of,
                            rbc_error *err) {
    if (ints->data == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: is missing", name);
    }
    return check_ints(ints, wanted, name, of, err);
}

static const char each_episode[] = "an episode";

/* Whether samples stored as the stream's can come from a source of that kind. */
static rbc_status check_kind(const rbc__batch_writer *writer, const rbc__batch_source *source,
                             rbc_error *err) {
    static const char *const names[RBC__BATCH_NUM_KINDS] = {"Rows", "Pieces", "ArrayRows", "Frames",
                                                            "Column"};
    const rbc__stream_schema *stream = &writer->schema->streams[source->stream];
    const bool is_frames = stream->stored.encoding == RBC__ENCODING_FRAME;
    const uint64_t sample_bytes = rbc__batch_sample_bytes(stream);
    const char *wanted = NULL;
    if (source->has_encoding) {
        if (source->kind != RBC__BATCH_PIECES || stream->kind != RBC_STREAM_IMAGE ||
            rbc__stream_has_numbers(stream) || is_frames) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "encoding: found one of a source, wanted of Pieces of images alone");
        }
        return rbc__stream_check_image(stream, (rbc__encoding)source->encoding, source->stored,
                                       err);
    }
    switch (source->kind) {
    case RBC__BATCH_ROWS:
    case RBC__BATCH_ARRAY:
        wanted = stream->stored.sample_bytes == 0 ? "samples of one known size" : NULL;
        break;
    case RBC__BATCH_PIECES:
        wanted = is_frames ? "Frames" : NULL;
        break;
    case RBC__BATCH_FRAMES:
        wanted = !is_frames ? "a stream whose encoding is 'frame'" : NULL;
        break;
    default:
        if (stream->stored.encoding == RBC__ENCODING_STRING) {
            return RBC_OK;
        }
        if (stream->kind != RBC_STREAM_NUMERIC || sample_bytes == 0) {
            wanted = "a numeric stream of a declared shape";
        } else if (sample_bytes > RBC__COLUMN_SAMPLE_BYTES) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "a column: found samples of %" PRIu64
                             " bytes, wanted at most %d: heavier data is read where it lies",
                             sample_bytes, RBC__COLUMN_SAMPLE_BYTES);
        }
    }
    if (wanted != NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "found %s for encoding '%s', wanted %s",
                         names[source->kind], rbc__encoding_name(stream->stored.encoding), wanted);
    }
    return RBC_OK;
}

static rbc_status check_array(const rbc__batch_writer *writer, const rbc__batch_source *source,
                              int64_t num_episodes, rbc_error *err) {
    const int64_t num_arrays = (int64_t)(writer->arrays.size / sizeof(rbc__batch_array));
    if (source->number < 0 || source->number >= num_arrays) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "array: found number %" PRId64 ", wanted one of the part's %" PRId64,
                         source->number, num_arrays);
    }
    const rbc__batch_array *array =
        (const rbc__batch_array *)(const void *)writer->arrays.data + source->number;
    const uint64_t sample_bytes = writer->stored[source->stream].sample_bytes;
    if ((uint64_t)array->row_bytes != sample_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "array: found rows of %" PRId64 " bytes, wanted the %" PRIu64
                         " of a sample",
                         array->row_bytes, sample_bytes);
    }
    if (source->episode.data == NULL) {
        RBC__TRY(want_ints(&source->offset, num_episodes, "first", each_episode, err));
        return check_ints(&source->count, num_episodes, "count", each_episode, err);
    }
    const int64_t runs = source->episode.length;
    RBC__TRY(want_ints(&source->offset, runs, "first", "a run", err));
    return want_ints(&source->count, runs, "count", "a run", err);
}

/* Runs of rows: [E], or [R] with `episode`. */
static rbc_status check_rows(const rbc__batch_source *source, int64_t num_episodes,
                             rbc_error *err) {
    const bool has_runs = source->episode.data != NULL;
    const int64_t runs = has_runs ? source->episode.length : num_episodes;
    const char *each = has_runs ? "a run" : each_episode;
    RBC__TRY(want_ints(&source->offset, runs, "offset", each, err));
    RBC__TRY(has_runs ? want_ints(&source->count, runs, "count", each, err)
                      : check_ints(&source->count, runs, "count", each, err));
    RBC__TRY(check_ints(&source->blob, runs, "blob", each, err));
    RBC__TRY(check_ints(&source->block, runs, "block", each, err));
    return check_ints(&source->stride, runs, "stride", each, err);
}

static rbc_status check_source(const rbc__batch_writer *writer, const rbc__batch_source *source,
                               int64_t num_episodes, rbc_error *err) {
    RBC__TRY(check_kind(writer, source, err));
    if (source->kind == RBC__BATCH_ARRAY) {
        return check_array(writer, source, num_episodes, err);
    }
    if (source->kind == RBC__BATCH_ROWS) {
        return check_rows(source, num_episodes, err);
    }
    RBC__TRY(check_ints(&source->count, num_episodes, "count", each_episode, err));
    if (source->kind == RBC__BATCH_COLUMN) {
        return RBC_OK;
    }
    if (source->kind == RBC__BATCH_PIECES) {
        const rbc__packing *packing;
        const int64_t pieces = rbc__batch_num_pieces(source);
        RBC__TRY(rbc__batch_packing(writer, source->packing, &packing, err));
        RBC__TRY(want_ints(&source->offset, pieces, "offset", "a piece", err));
        RBC__TRY(want_ints(&source->bytes, pieces, "bytes", "a piece", err));
        RBC__TRY(check_ints(&source->blob, pieces, "blob", "a piece", err));
        return check_ints(&source->block, pieces, "block", "a piece", err);
    }
    RBC__TRY(want_ints(&source->offset, num_episodes, "first", each_episode, err));
    const int64_t num_tracks = (int64_t)(writer->frames.size / sizeof(int64_t));
    return source->number >= 0 && source->number < num_tracks
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "track: found number %" PRId64 ", wanted one of the part's %" PRId64,
                           source->number, num_tracks);
}

static rbc_status check_stream(const rbc__batch_call *c, int32_t i, rbc_error *err) {
    const rbc__stream_schema *stream = &c->writer->schema->streams[i];
    const rbc__batch_stream *state = &c->streams[i];
    if (stream->unsupported != NULL) {
        return RBC_OK;
    }
    if (state->num_sources == 0 && c->batch->num_episodes > 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "is missing: each stream that is declared is wanted");
    }
    if (state->row_lengths != NULL) {
        if (!stream->is_ragged) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "row_lengths: wanted of ragged streams alone");
        }
        RBC__TRY(
            want_ints(&state->row_lengths->samples, c->total_steps, "row_lengths", "a step", err));
    } else if (stream->is_ragged && stream->times < 0 && !state->is_times) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "row_lengths: are missing: it is ragged, without stamps of its own");
    }
    if (state->stamps != NULL) {
        if (!state->is_times || state->is_late) {
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT,
                "stamps: wanted of streams that are the times of others and no Column");
        }
        RBC__TRY(want_ints(&state->stamps->first_ns, c->batch->num_episodes, "first stamps",
                           each_episode, err));
        return want_ints(&state->stamps->last_ns, c->batch->num_episodes, "last stamps",
                         each_episode, err);
    }
    if (state->is_times && !state->is_late && c->batch->num_episodes > 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stamps: are missing: wanted are the first and last of each episode, or "
                         "a Column");
    }
    return RBC_OK;
}

static rbc_status check_index(const rbc__batch_call *c, int32_t stream, rbc_error *err) {
    return stream >= 0 && stream < c->writer->schema->num_streams
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream: found number %" PRId32,
                           stream);
}

rbc_status rbc__batch_fail_stream(const rbc__batch_call *c, int32_t stream, int64_t e,
                                  rbc_status status, rbc_error *err) {
    const char *name = c->writer->schema->streams[stream].name;
    return e < 0 ? rbc__fail_within(err, status, "stream '%s'", name)
                 : rbc__fail_within(err, status, "stream '%s', episode %" PRId64, name, e);
}

rbc_status rbc__batch_check_streams(rbc__batch_call *c, rbc_error *err) {
    const rbc__batch *batch = c->batch;
    const rbc__schema *schema = c->writer->schema;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        if (schema->streams[i].times >= 0) {
            c->streams[schema->streams[i].times].is_times = true;
        }
    }
    for (int64_t i = 0; i < batch->num_sources; ++i) {
        const rbc__batch_source *source = &batch->sources[i];
        RBC__TRY(check_index(c, source->stream, err));
        rbc__batch_stream *state = &c->streams[source->stream];
        const rbc_status status = check_source(c->writer, source, batch->num_episodes, err);
        if (status != RBC_OK) {
            return rbc__batch_fail_stream(c, source->stream, -1, status, err);
        }
        if (state->num_sources++ == 0) {
            state->first_source = i;
        }
        state->is_late = state->num_sources == 1 && source->kind == RBC__BATCH_COLUMN;
        if (state->first_source + state->num_sources != i + 1 ||
            (state->num_sources > 1 &&
             ((source->count.data == NULL || source[-1].count.data == NULL)))) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "count: is missing: wanted of each of several runs");
            return rbc__batch_fail_stream(c, source->stream, -1, RBC_ERROR_INVALID_ARGUMENT, err);
        }
    }
    for (int64_t i = 0; i < batch->num_row_lengths; ++i) {
        RBC__TRY(check_index(c, batch->row_lengths[i].stream, err));
        c->streams[batch->row_lengths[i].stream].row_lengths = &batch->row_lengths[i];
    }
    for (int64_t i = 0; i < batch->num_stamps; ++i) {
        RBC__TRY(check_index(c, batch->stamps[i].stream, err));
        c->streams[batch->stamps[i].stream].stamps = &batch->stamps[i];
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc_status status = check_stream(c, i, err);
        if (status != RBC_OK) {
            return rbc__batch_fail_stream(c, i, -1, status, err);
        }
    }
    return RBC_OK;
}

rbc_status rbc__batch_check_episodes(rbc__batch_call *c, rbc_error *err) {
    const rbc__batch *batch = c->batch;
    const rbc__batch_writer *writer = c->writer;
    RBC__TRY(want_ints(&batch->num_steps, batch->num_episodes, "num_steps", each_episode, err));
    RBC__TRY(check_ints(&batch->record, batch->num_episodes, "record", each_episode, err));
    RBC__TRY(check_ints(&batch->offset, batch->num_episodes, "offset", each_episode, err));
    RBC__TRY(check_ints(&batch->bytes, batch->num_episodes, "bytes", each_episode, err));
    if (writer->file_bytes >= 0 &&
        batch->num_episodes > writer->file_bytes - writer->num_episodes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found %" PRId64
                         " episodes, wanted at most one a byte of the part's file, "
                         "which has %" PRId64 "; parts declared with stamp= are no files",
                         writer->num_episodes + batch->num_episodes, writer->file_bytes);
    }
    for (int64_t e = 0; e < batch->num_episodes; ++e) {
        const int64_t steps = rbc__ints_at(&batch->num_steps, e, 0);
        const int64_t record = rbc__ints_at(&batch->record, e, 0);
        const int64_t offset = rbc__ints_at(&batch->offset, e, -1);
        const int64_t bytes = rbc__ints_at(&batch->bytes, e, 0);
        if (steps < 0 || record < 0 || !rbc__add_size(c->total_steps, steps, &c->total_steps)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "episode %" PRId64 ": found %" PRId64 " steps in record %" PRId64
                             ", wanted 0 or more",
                             e, steps, record);
        }
        if (offset == -1 && bytes == 0) {
            continue;
        }
        int64_t blob_bytes;
        rbc_status status = rbc__batch_blob_bytes(writer, 0, &blob_bytes, "offset", err);
        if (status == RBC_OK) {
            status = rbc__batch_check_range(offset, bytes, blob_bytes, "offset and bytes", err);
        }
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "episode %" PRId64, e);
        }
    }
    return RBC_OK;
}
