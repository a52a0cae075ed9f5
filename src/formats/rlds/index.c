#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/framing.h"
#include "formats/rlds/measure.h"
#include "formats/rlds/metadata.h"
#include "formats/rlds/rlds.h"
#include "formats/rlds/tensor_proto.h"
#include "io/utf8.h"

#define PROGRESS_STEP_BYTES (UINT64_C(1) << 20)

/* What a record holds under one id. */
typedef struct found {
    bool exists;
    uint64_t offset, bytes; /* of the Feature message, in the payload */
} found;

/* State of one file's indexing. */
typedef struct indexer {
    const rbc__rlds *reader;
    rbc__measure measure;
    found *found;      /* [2 * leaves->count]: of leaf i, and of its row lengths at count + i */
    uint64_t *samples; /* [num_streams] */
    uint64_t num_steps;
    int64_t start_ns, end_ns;
    rbc__stamp_span *stamp_spans; /* [num_stamp_spans] */
    int32_t num_stamp_spans;
    rbc__layout_writer writer;
    rbc__bytes layout;
    char *metadata; /* of the record, as JSON; NULL: none */
    rbc__scratch task;
    rbc__scratch stamps;
} indexer;

static rbc_status note_feature(void *user, const rbc__feature *feature, rbc_error *err) {
    indexer *state = user;
    uint32_t id;
    (void)err;
    if (rbc__keys_find(&state->reader->keys, feature->key, feature->key_bytes, &id)) {
        state->found[id] = (found){true, feature->offset, feature->bytes};
    }
    return RBC_OK;
}

/* ---- samples and steps -------------------------------------------------------------------------
 */

/* Measures one stream. `*steps` is how many steps it speaks of, -1 where it does not say. */
static rbc_status measure_stream(indexer *state, int32_t stream, int64_t *steps, rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    const rbc__leaf *leaf = &leaves->items[stream];
    const uint32_t id = (uint32_t)stream;
    const found *values = &state->found[stream];
    const found *rows = &state->found[leaves->count + stream];
    uint64_t *samples = &state->samples[stream];
    uint64_t num_rows = 0;
    uint64_t total = 0;
    *steps = -1;
    *samples = 0;
    if (values->exists) {
        RBC__TRY(rbc__measure_values(&state->measure, leaf, id, values->offset, values->bytes,
                                     samples, err));
        *steps = leaf->elements > 0 ? (int64_t)*samples : -1;
    }
    if (!leaf->is_sequence || !rows->exists) {
        return RBC_OK;
    }
    RBC__TRY(rbc__measure_rows(&state->measure, leaf, (uint32_t)leaves->num_streams + id,
                               !rbc__leaf_is_ragged(leaf), rows->offset, rows->bytes, &num_rows,
                               &total, err));
    *steps = (int64_t)num_rows;
    if (!rbc__leaf_is_ragged(leaf)) {
        return RBC_OK;
    }
    if (leaf->elements > 0 && total != *samples) {
        return rbc__wire_fail(&state->measure.payload, rows->offset, err,
                              "the rows of stream '%s' have %" PRIu64 " samples together, but "
                              "%" PRIu64 " are there",
                              leaf->name, total, *samples);
    }
    *samples = total;
    return RBC_OK;
}

/* Samples of streams that take no bytes are there all the same. */
static void add_empty(indexer *state) {
    const rbc__leaves *leaves = &state->reader->leaves;
    for (int32_t i = 0; i < leaves->num_streams; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        const bool is_ragged = rbc__leaf_is_ragged(leaf);
        if (leaf->unsupported || leaf->elements != 0) {
            continue;
        }
        state->samples[i] = is_ragged ? state->samples[i] : state->num_steps;
        if (state->samples[i] > 0) {
            rbc__measure_nothing(&state->measure, (uint32_t)i, state->samples[i]);
        }
    }
}

/* Measures all streams; they must agree on the number of steps. */
static rbc_status measure_streams(indexer *state, rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    const rbc__wire *payload = &state->measure.payload;
    const rbc__leaf *first = NULL;
    bool any = false;
    state->num_steps = 0;
    for (int32_t i = 0; i < leaves->num_streams; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        int64_t steps;
        if (leaf->unsupported) {
            continue;
        }
        RBC__TRY(measure_stream(state, i, &steps, err));
        any = any || state->found[i].exists;
        if (steps < 0) {
            continue;
        }
        if (first == NULL) {
            first = leaf;
            state->num_steps = (uint64_t)steps;
        } else if ((uint64_t)steps != state->num_steps) {
            return rbc__wire_fail(payload, state->found[i].offset, err,
                                  "stream '%s' has %" PRId64 " steps, but stream '%s' has %" PRIu64,
                                  leaf->name, steps, first->name, state->num_steps);
        }
    }
    if (!any) {
        return rbc__wire_fail(payload, 0, err,
                              "none of the %d streams of the dataset is in the "
                              "record",
                              leaves->num_streams);
    }
    for (int32_t i = 0; i < leaves->num_streams; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        const bool is_ragged = rbc__leaf_is_ragged(leaf);
        const bool exists =
            is_ragged ? state->found[leaves->count + i].exists : state->found[i].exists;
        if (!exists && leaf->unsupported == NULL && state->num_steps > 0 && leaf->elements != 0) {
            return rbc__wire_fail(payload, 0, err,
                                  "the record has no feature '%s%s', which features.json declares",
                                  leaf->key, is_ragged ? "/ragged_row_lengths_0" : "");
        }
    }
    return RBC_OK;
}

static rbc_status measure_metadata(indexer *state, rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    for (int32_t i = leaves->num_streams; i < leaves->count; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        const found *at = &state->found[i];
        const bool may_miss = leaf->unsupported || leaf->is_sequence || leaf->elements <= 0 ||
                              leaf->storage == RBC__STORED_TENSOR;
        if (at->exists) {
            RBC__TRY(rbc__measure_metadata(&state->measure, leaf, at->offset, at->bytes, err));
        } else if (!may_miss) {
            return rbc__wire_fail(&state->measure.payload, 0, err,
                                  "the record has no feature '%s', which features.json declares",
                                  leaf->key);
        }
    }
    return RBC_OK;
}

static rbc_status make_metadata(indexer *state, rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    rbc__metadata *metadata;
    if (leaves->count == leaves->num_streams) {
        return RBC_OK;
    }
    RBC__TRY(rbc__metadata_create(&metadata, err));
    rbc_status status = RBC_OK;
    for (int32_t i = leaves->num_streams; i < leaves->count && status == RBC_OK; ++i) {
        const found *at = &state->found[i];
        if (at->exists) {
            status = rbc__metadata_add(metadata, &state->measure.payload, &leaves->items[i],
                                       at->offset, at->bytes, err);
        }
    }
    if (status == RBC_OK) {
        status = rbc__metadata_text(metadata, &state->metadata, err);
    }
    rbc__metadata_destroy(&metadata);
    return status;
}

/* ---- stamps ------------------------------------------------------------------------------------
 */

/* Checks the stamps in stream `times`, which belong to stream `stream`. */
static rbc_status check_stamps(indexer *state, int32_t stream, int32_t times, rbc__stamp_span *span,
                               rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    const rbc__wire *payload = &state->measure.payload;
    const char *name = leaves->items[times].name;
    const uint64_t samples = state->samples[times];
    const found *at = &state->found[times];
    rbc__list list;
    if (samples != state->samples[stream]) {
        return rbc__wire_fail(payload, at->offset, err,
                              "stream '%s' has %" PRIu64 " stamps, but '%s' has %" PRIu64
                              " samples",
                              name, samples, leaves->items[stream].name, state->samples[stream]);
    }
    if (samples == 0 || !at->exists) {
        return RBC_OK;
    }
    RBC__TRY(rbc__scratch_reserve(&state->stamps, (size_t)samples * sizeof(int64_t), err));
    int64_t *stamps = (int64_t *)(void *)state->stamps.data;
    RBC__TRY(rbc__list_open(payload, at->offset, at->bytes, &list, err));
    RBC__TRY(rbc__list_ints(&list, stamps, samples, err));
    for (uint64_t i = 1; i < samples; ++i) {
        if (stamps[i] < stamps[i - 1]) {
            return rbc__wire_fail(payload, at->offset, err,
                                  "the stamps of stream '%s' go back at sample %" PRIu64
                                  ": %" PRId64 " after %" PRId64,
                                  name, i, stamps[i], stamps[i - 1]);
        }
    }
    span->num_samples = (int64_t)samples;
    span->first_ns = stamps[0];
    span->last_ns = stamps[samples - 1];
    return RBC_OK;
}

static void widen_episode(indexer *state, const rbc__stamp_span *span) {
    const bool is_first = state->end_ns < state->start_ns;
    if (is_first || span->first_ns < state->start_ns) {
        state->start_ns = span->first_ns;
    }
    if (is_first || span->last_ns > state->end_ns) {
        state->end_ns = span->last_ns;
    }
}

static rbc_status check_all_stamps(indexer *state, rbc_error *err) {
    const rbc__schema *schema = &state->reader->schema;
    state->start_ns = 0;
    state->end_ns = -1;
    state->num_stamp_spans = 0;
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const int32_t times = schema->streams[i].times;
        if (times < 0) {
            continue;
        }
        rbc__stamp_span *span = &state->stamp_spans[state->num_stamp_spans++];
        *span = (rbc__stamp_span){.times = times, .last_ns = -1};
        RBC__TRY(check_stamps(state, i, times, span, err));
        if (span->num_samples > 0 && schema->streams[i].is_reference) {
            widen_episode(state, span);
        }
    }
    return RBC_OK;
}

/* ---- the task ----------------------------------------------------------------------------------
 */

/* The first string of `leaf` that is not empty; `*bytes` 0 when there is none. */
static rbc_status first_text(const indexer *state, int32_t leaf, uint64_t *offset, uint64_t *bytes,
                             rbc_error *err) {
    const rbc__wire *payload = &state->measure.payload;
    const found *at = &state->found[leaf];
    rbc__list list;
    rbc__chunk chunk;
    bool more = true;
    *bytes = 0;
    if (!at->exists) {
        return RBC_OK;
    }
    RBC__TRY(rbc__list_open(payload, at->offset, at->bytes, &list, err));
    if (state->reader->leaves.items[leaf].storage == RBC__STORED_TENSOR) {
        rbc__tensor_proto tensor;
        rbc__wire_field string = {0};
        RBC__TRY(rbc__list_next(&list, &chunk, &more, err));
        if (!more) {
            return RBC_OK;
        }
        RBC__TRY(rbc__tensor_proto_parse(payload, chunk.offset, chunk.bytes, &tensor, err));
        while (more && *bytes == 0) {
            RBC__TRY(rbc__tensor_proto_next_string(&tensor.message, &string, &more, err));
            *offset = string.offset;
            *bytes = more ? string.bytes : 0;
        }
        return RBC_OK;
    }
    while (more && *bytes == 0) {
        RBC__TRY(rbc__list_next(&list, &chunk, &more, err));
        *offset = more ? chunk.offset : 0;
        *bytes = more ? chunk.bytes : 0;
    }
    return RBC_OK;
}

static rbc_status find_task(indexer *state, rbc_error *err) {
    const rbc__rlds *reader = state->reader;
    uint64_t offset = 0;
    uint64_t bytes = 0;
    for (int32_t i = 0; i < reader->num_task_leaves && bytes == 0; ++i) {
        const int32_t leaf = reader->task_leaves[i];
        uint64_t bad_at;
        RBC__TRY(first_text(state, leaf, &offset, &bytes, err));
        if (bytes > 0 && !rbc__utf8_check(state->measure.payload.data + offset, bytes, &bad_at)) {
            return rbc__wire_fail(&state->measure.payload, offset + bad_at, err,
                                  "the text of '%s' is not UTF-8", reader->leaves.items[leaf].name);
        }
    }
    RBC__TRY(rbc__scratch_reserve(&state->task, (size_t)bytes + 1, err));
    if (bytes > 0) {
        memcpy(state->task.data, state->measure.payload.data + offset, (size_t)bytes);
    }
    state->task.data[bytes] = '\0';
    return RBC_OK;
}

/* ---- records and files -------------------------------------------------------------------------
 */

static rbc_status index_record(indexer *state, rbc_error *err) {
    const rbc__leaves *leaves = &state->reader->leaves;
    memset(state->found, 0, 2 * (size_t)leaves->count * sizeof *state->found);
    memset(state->samples, 0, (size_t)leaves->num_streams * sizeof *state->samples);
    rbc__measure_begin(&state->measure);
    state->layout.size = 0;
    free(state->metadata);
    state->metadata = NULL;
    RBC__TRY(rbc__example_walk(&state->measure.payload, note_feature, state, err));
    RBC__TRY(measure_streams(state, err));
    RBC__TRY(measure_metadata(state, err));
    RBC__TRY(check_all_stamps(state, err));
    RBC__TRY(find_task(state, err));
    RBC__TRY(make_metadata(state, err));
    add_empty(state);
    rbc__layout_begin(&state->writer, state->num_steps, state->measure.payload.base);
    RBC__TRY(rbc__measure_finish(&state->measure, &state->writer, err));
    return rbc__layout_end(&state->writer, &state->layout, err);
}

/* A problem is reported, and indexing goes on when the sink says so. */
static rbc_status report(const rbc__index_sink *sink, rbc__source *source, int64_t record,
                         const rbc_error *problem, rbc_error *err) {
    RBC__TRY(rbc__source_check_unchanged(source, err));
    if (problem->status != RBC_ERROR_FORMAT) {
        return rbc__pass_on(problem, err);
    }
    return sink->damaged(sink->user, record, problem, err);
}

static rbc_status index_frame(indexer *state, rbc__source *source, const rbc__frame *frame,
                              int64_t record, const rbc__index_sink *sink, rbc__scratch *scratch,
                              rbc_error *err) {
    rbc_error problem;
    const uint8_t *payload;
    rbc_status status = rbc__frame_payload(source, frame, scratch, &payload, &problem);
    if (status == RBC_OK) {
        state->measure.payload = (rbc__wire){.data = payload,
                                             .end = frame->bytes,
                                             .base = frame->offset,
                                             .path = rbc__source_path(source)};
        status = index_record(state, &problem);
    }
    if (rbc__source_check(source, err) != RBC_OK) {
        return RBC_ERROR_IO;
    }
    if (status != RBC_OK) {
        return report(sink, source, record, &problem, err);
    }
    const rbc__episode_entry entry = {.record = record,
                                      .offset = (int64_t)frame->offset,
                                      .bytes = (int64_t)frame->bytes,
                                      .num_steps = (int64_t)state->num_steps,
                                      .start_ns = state->start_ns,
                                      .end_ns = state->end_ns,
                                      .spans = state->stamp_spans,
                                      .num_spans = state->num_stamp_spans,
                                      .task = (const char *)state->task.data,
                                      .metadata = state->metadata,
                                      .layout = state->layout.data,
                                      .layout_bytes = state->layout.size};
    return sink->episode(sink->user, &entry, err);
}

static rbc_status index_frames(indexer *state, rbc__source *source, int64_t num_records,
                               const rbc__index_sink *sink, rbc__scratch *scratch, rbc_error *err) {
    const uint64_t end = rbc__source_bytes(source);
    uint64_t at = 0;
    uint64_t told = 0;
    int64_t record = 0;
    rbc_error problem;
    /* A file may be empty where that was declared. */
    for (; at < end || (at == 0 && num_records < 0); ++record) {
        rbc__frame frame;
        const rbc_status status = at == 0
                                      ? rbc__frame_first(source, scratch, &frame, &problem)
                                      : rbc__frame_header(source, at, scratch, &frame, &problem);
        if (status != RBC_OK) {
            /* Where the next record begins is not known: the file ends here. */
            return report(sink, source, record, &problem, err);
        }
        RBC__TRY(index_frame(state, source, &frame, record, sink, scratch, err));
        at = frame.next;
        rbc__source_release_before(source, at);
        if (at - told >= PROGRESS_STEP_BYTES || at == end) {
            told = at;
            if (sink->progress(sink->user, at) != 0) {
                return rbc__fail(err, RBC_ERROR_CANCELLED,
                                 "%s: byte %" PRIu64 ": indexing was stopped",
                                 rbc__source_path(source), at);
            }
        }
    }
    if (num_records >= 0 && record != num_records) {
        rbc__fail(&problem, RBC_ERROR_FORMAT,
                  "%s: byte %" PRIu64 ": the file ends after %" PRId64
                  " records, dataset_info.json wants %" PRId64 "%s",
                  rbc__source_path(source), end, record, num_records,
                  record < num_records ? ": download the file again" : "");
        return report(sink, source, record, &problem, err);
    }
    return RBC_OK;
}

rbc_status rbc__rlds_index(const rbc__rlds *reader, rbc__source *source, int64_t num_records,
                           const rbc__index_sink *sink, rbc_error *err) {
    const size_t num_leaves = (size_t)reader->leaves.count;
    indexer state = {
        .reader = reader,
        .found = calloc(2 * num_leaves + 1, sizeof(found)),
        .samples = calloc(num_leaves + 1, sizeof(uint64_t)),
        .stamp_spans = calloc(num_leaves + 1, sizeof(rbc__stamp_span)),
        .writer = {.streams = reader->stored, .num_streams = (uint32_t)reader->leaves.num_streams}};
    rbc__scratch scratch = {0};
    rbc_status status;
    if (state.found && state.samples && state.stamp_spans) {
        status = index_frames(&state, source, num_records, sink, &scratch, err);
    } else {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to index it",
                           rbc__source_path(source));
    }
    rbc__scratch_free(&scratch);
    rbc__scratch_free(&state.task);
    rbc__scratch_free(&state.stamps);
    rbc__bytes_free(&state.layout);
    rbc__layout_writer_free(&state.writer);
    free(state.metadata);
    rbc__measure_free(&state.measure);
    free(state.samples);
    free(state.stamp_spans);
    free(state.found);
    return status;
}
