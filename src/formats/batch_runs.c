/* The runs that the arrays of a batch make up: few, and in the form that takes the least. */
#include <inttypes.h>

#include "core/error.h"
#include "formats/batch_state.h"

uint64_t rbc__batch_sample_bytes(const rbc__stream_schema *stream) {
    int64_t bytes = rbc__dtype_bytes(rbc__stream_column_dtype(stream));
    for (int32_t i = 0; i < stream->ndim; ++i) {
        if (stream->shape[i] < 0 || !rbc__mul_size(bytes, stream->shape[i], &bytes)) {
            return 0;
        }
    }
    return (uint64_t)bytes;
}

/* ---- even runs ----------------------------------------------------------------------------------
 */

void rbc__batch_flush(rbc__batch_writer *writer) {
    if (writer->has_run) {
        rbc__layout_add_run(&writer->layout, &writer->run);
        writer->has_run = false;
    }
}

/* The distance of samples if `next` went on where `run` ends; 0: it does not. Rows of arrays and
 * frames of tracks follow each other in a run. */
static uint64_t common_stride(const rbc__run *run, const rbc__run *next) {
    const uint64_t least = next->sample_bytes > 0 ? next->sample_bytes : 1;
    const bool are_bytes = next->container != RBC__IN_ARRAY && next->container != RBC__IN_TRACK;
    if (next->id != run->id || next->container != run->container || next->number != run->number ||
        next->packing != run->packing || next->encoding != run->encoding ||
        next->dtype != run->dtype || next->sample_bytes != run->sample_bytes ||
        next->offset < run->offset) {
        return 0;
    }
    const uint64_t stride = run->count > 1    ? run->stride
                            : next->count > 1 ? next->stride
                                              : next->offset - run->offset;
    const bool fits = stride >= least && (are_bytes || stride == 1) &&
                      (next->count == 1 || next->stride == stride) &&
                      next->offset - run->offset == stride * run->count;
    return fits ? stride : 0;
}

/* Adds a run of evenly spaced samples, with the one before as one where that can be. */
static void put_even(rbc__batch_writer *writer, const rbc__run *next) {
    const uint64_t stride = writer->has_run ? common_stride(&writer->run, next) : 0;
    if (next->count == 0) {
        return;
    }
    if (stride > 0) {
        writer->run.stride = stride;
        writer->run.count += next->count;
        return;
    }
    rbc__batch_flush(writer);
    writer->run = *next;
    writer->has_run = true;
}

/* ---- checks that sources share ------------------------------------------------------------------
 */

static const rbc__stream_schema *schema_of(const rbc__batch_writer *writer,
                                           const rbc__batch_source *source) {
    return &writer->schema->streams[source->stream];
}

/* A run of the source's stream, in what `blob` and `block` name; `*limit`: bytes that it has. */
static rbc_status begin_run(rbc__batch_writer *writer, const rbc__batch_source *source,
                            int64_t blob, int64_t block, rbc__run *run, int64_t *limit,
                            rbc_error *err) {
    const rbc__layout_stream *stored = &writer->stored[source->stream];
    *run = (rbc__run){.id = (uint32_t)source->stream,
                      .container = RBC__IN_BLOB,
                      .encoding = source->has_encoding ? source->encoding : stored->encoding,
                      .dtype = source->has_encoding ? source->stored : stored->dtype};
    if (block == -1) {
        run->number = (uint32_t)blob;
        return rbc__batch_blob_bytes(writer, blob, limit, "blob", err);
    }
    if (rbc__ints_given(&source->blob) && blob != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found blob %" PRId64 " and block %" PRId64 ", wanted one of them", blob,
                         block);
    }
    run->container = RBC__IN_BLOCK;
    RBC__TRY(rbc__batch_layout_block(writer, block, &run->number, err));
    *limit = (int64_t)((rbc__batch_block *)(void *)writer->blocks.data)[block].block.unpacked_bytes;
    return RBC_OK;
}

static rbc_status check_count(int64_t count, rbc_error *err) {
    if (count < 0 || count > INT32_MAX * INT64_C(1024)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "count: found %" PRId64 ", wanted a number of samples from 0", count);
    }
    return RBC_OK;
}

/* ---- rows ---------------------------------------------------------------------------------------
 */

/* Run `i` of the source's arrays. */
static rbc_status add_rows_run(rbc__batch_writer *writer, const rbc__batch_source *source,
                               int64_t i, int64_t count, rbc_error *err) {
    rbc__run run;
    int64_t limit;
    int64_t extent;
    const int64_t bytes = (int64_t)writer->stored[source->stream].sample_bytes;
    const int64_t offset = rbc__ints_at(&source->offset, i, 0);
    const int64_t stride = rbc__ints_at(&source->stride, i, bytes);
    if (count == 0) {
        return RBC_OK;
    }
    RBC__TRY(begin_run(writer, source, rbc__ints_at(&source->blob, i, 0),
                       rbc__ints_at(&source->block, i, -1), &run, &limit, err));
    if (stride < bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stride: found %" PRId64 ", wanted the %" PRId64
                         " bytes of a sample or more",
                         stride, bytes);
    }
    if (!rbc__mul_size(stride, count - 1, &extent) || !rbc__add_size(extent, bytes, &extent)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "count and stride: found %" PRId64 " samples %" PRId64
                         " bytes apart, wanted sizes within int64",
                         count, stride);
    }
    RBC__TRY(rbc__batch_check_range(offset, extent, limit, "offset", err));
    run.offset = (uint64_t)offset;
    run.count = (uint64_t)count;
    run.sample_bytes = (uint64_t)bytes;
    run.stride = (uint64_t)stride;
    put_even(writer, &run);
    return RBC_OK;
}

/* ---- pieces -------------------------------------------------------------------------------------
 */

int64_t rbc__batch_num_pieces(const rbc__batch_source *source) {
    const rbc__ints *const each[] = {&source->offset, &source->bytes, &source->blob,
                                     &source->block};
    for (size_t i = 0; i < sizeof each / sizeof each[0]; ++i) {
        if (rbc__ints_given(each[i]) && each[i]->length != RBC__INTS_ALL) {
            return each[i]->length;
        }
    }
    return RBC__INTS_ALL;
}

/* Pieces [first, end) of a source, which lie in one container. */
typedef struct pieces {
    const rbc__batch_source *source;
    int64_t first, end;
} pieces;

static int64_t offset_at(const pieces *p, int64_t i) {
    return rbc__ints_at(&p->source->offset, i, 0);
}

static int64_t bytes_at(const pieces *p, int64_t i) {
    return rbc__ints_at(&p->source->bytes, i, 0);
}

/* Of one size and evenly apart. */
static bool are_even(const pieces *p) {
    const int64_t bytes = bytes_at(p, p->first);
    const int64_t stride =
        p->end - p->first > 1 ? offset_at(p, p->first + 1) - offset_at(p, p->first) : bytes;
    bool ok = stride >= (bytes > 0 ? bytes : 1) || p->end - p->first == 1;
    for (int64_t i = p->first + 1; ok && i < p->end; ++i) {
        ok = bytes_at(p, i) == bytes && offset_at(p, i) - offset_at(p, i - 1) == stride;
    }
    return ok;
}

/* One behind the other. */
static bool are_dense(const pieces *p) {
    bool ok = true;
    for (int64_t i = p->first + 1; ok && i < p->end; ++i) {
        ok = offset_at(p, i) == offset_at(p, i - 1) + bytes_at(p, i - 1);
    }
    return ok;
}

static void put_dense(rbc__batch_writer *writer, const pieces *p, rbc__run *run) {
    const int64_t first = offset_at(p, p->first);
    run->form = RBC__FORM_ENDS;
    run->offset = (uint64_t)first;
    run->width = (uint8_t)rbc__layout_width(
        (uint64_t)(offset_at(p, p->end - 1) + bytes_at(p, p->end - 1) - first));
    writer->table.size = 0;
    for (int64_t i = p->first; i < p->end; ++i) {
        rbc__bytes_fixed(&writer->table, (uint64_t)(offset_at(p, i) + bytes_at(p, i) - first),
                         run->width);
    }
}

static void put_spans(rbc__batch_writer *writer, const pieces *p, rbc__run *run) {
    int64_t first = offset_at(p, p->first);
    int64_t largest = 0;
    for (int64_t i = p->first; i < p->end; ++i) {
        first = offset_at(p, i) < first ? offset_at(p, i) : first;
    }
    for (int64_t i = p->first; i < p->end; ++i) {
        const int64_t offset = offset_at(p, i) - first;
        largest = offset > largest ? offset : largest;
        largest = bytes_at(p, i) > largest ? bytes_at(p, i) : largest;
    }
    run->form = RBC__FORM_SPANS;
    run->offset = (uint64_t)first;
    run->width = (uint8_t)rbc__layout_width((uint64_t)largest);
    writer->table.size = 0;
    for (int64_t i = p->first; i < p->end; ++i) {
        rbc__bytes_fixed(&writer->table, (uint64_t)(offset_at(p, i) - first), run->width);
        rbc__bytes_fixed(&writer->table, (uint64_t)bytes_at(p, i), run->width);
    }
}

/* Adds the pieces as one run. */
static rbc_status put_pieces(rbc__batch_writer *writer, const pieces *p, rbc__run run,
                             rbc_error *err) {
    run.count = (uint64_t)(p->end - p->first);
    /* numbers of a sample that is one of several of one size are taken to be of one size, too */
    if (run.encoding != RBC__ENCODING_VARINT && are_even(p)) {
        run.offset = (uint64_t)offset_at(p, p->first);
        run.sample_bytes = (uint64_t)bytes_at(p, p->first);
        run.stride =
            run.count > 1 ? (uint64_t)(offset_at(p, p->first + 1)) - run.offset : run.sample_bytes;
        put_even(writer, &run);
        return RBC_OK;
    }
    rbc__batch_flush(writer);
    if (are_dense(p)) {
        put_dense(writer, p, &run);
    } else {
        put_spans(writer, p, &run);
    }
    RBC__TRY(rbc__bytes_check(&writer->table, err));
    run.table = writer->table.data;
    rbc__layout_add_run(&writer->layout, &run);
    return RBC_OK;
}

static rbc_status check_piece(const rbc__batch_writer *writer, const pieces *p, int64_t i,
                              int64_t limit, rbc_error *err) {
    const rbc__layout_stream *stored = &writer->stored[p->source->stream];
    const int64_t bytes = bytes_at(p, i);
    RBC__TRY(rbc__batch_check_range(offset_at(p, i), bytes, limit, "offset and bytes", err));
    if (p->source->packing == 0 && stored->sample_bytes > 0 &&
        (uint64_t)bytes != stored->sample_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "bytes: found %" PRId64 ", wanted the %" PRIu64 " of a sample", bytes,
                         stored->sample_bytes);
    }
    return RBC_OK;
}

static rbc_status add_pieces(rbc__batch_writer *writer, const rbc__batch_source *source,
                             rbc__batch_progress *progress, int64_t count, rbc_error *err) {
    pieces p = {source, progress->samples, progress->samples};
    const int64_t end = progress->samples + count;
    rbc__run run;
    uint8_t packing = 0;
    const int64_t found = rbc__batch_num_pieces(source);
    if (found != RBC__INTS_ALL && end > found) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found %" PRId64 " pieces in all, wanted %" PRId64
                         " up to the end of the episode",
                         found, end);
    }
    if (source->packing != 0) {
        RBC__TRY(rbc__batch_layout_packing(writer, source->packing, &packing, err));
        ++packing;
    }
    while (p.first < end) {
        int64_t limit;
        const int64_t blob = rbc__ints_at(&source->blob, p.first, 0);
        const int64_t block = rbc__ints_at(&source->block, p.first, -1);
        rbc_status status = begin_run(writer, source, blob, block, &run, &limit, err);
        p.end = p.first;
        while (status == RBC_OK && p.end < end && rbc__ints_at(&source->blob, p.end, 0) == blob &&
               rbc__ints_at(&source->block, p.end, -1) == block) {
            status = check_piece(writer, &p, p.end, limit, err);
            p.end += status == RBC_OK;
        }
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "piece %" PRId64, p.end);
        }
        run.packing = packing;
        RBC__TRY(put_pieces(writer, &p, run, err));
        p.first = p.end;
    }
    return RBC_OK;
}

/* ---- arrays and tracks --------------------------------------------------------------------------
 */

static rbc_status check_rows(int64_t first, int64_t count, int64_t limit, const char *what,
                             rbc_error *err) {
    if (first < 0 || first > limit || count > limit - first) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "first and count: found %" PRId64 " %s from %" PRId64
                         " on, wanted within its %" PRId64,
                         count, what, first, limit);
    }
    return RBC_OK;
}

static rbc_status add_array_run(rbc__batch_writer *writer, const rbc__batch_source *source,
                                int64_t first, int64_t count, rbc_error *err) {
    const rbc__layout_stream *stored = &writer->stored[source->stream];
    const rbc__batch_array *array =
        (const rbc__batch_array *)(const void *)writer->arrays.data + source->number;
    RBC__TRY(check_rows(first, count, array->num_rows, "rows", err));
    rbc__run run = {.id = (uint32_t)source->stream,
                    .container = RBC__IN_ARRAY,
                    .encoding = stored->encoding,
                    .dtype = stored->dtype,
                    .number = array->number,
                    .offset = (uint64_t)first,
                    .count = (uint64_t)count,
                    .stride = 1};
    if (array->is_contiguous) {
        run.container = RBC__IN_BLOB;
        run.number = array->blob;
        run.sample_bytes = run.stride = (uint64_t)array->row_bytes;
        run.offset = (uint64_t)(array->offset + first * array->row_bytes);
    }
    put_even(writer, &run);
    return RBC_OK;
}

/* One run of rows or of an array, by its number in the arrays of the source. */
static rbc_status add_run(rbc__batch_writer *writer, const rbc__batch_source *source, int64_t i,
                          int64_t count, rbc_error *err) {
    RBC__TRY(check_count(count, err));
    return source->kind == RBC__BATCH_ROWS
               ? add_rows_run(writer, source, i, count, err)
               : add_array_run(writer, source, rbc__ints_at(&source->offset, i, 0), count, err);
}

static rbc_status add_runs(rbc__batch_writer *writer, const rbc__batch_source *source,
                           rbc__batch_progress *progress, int64_t e, int64_t wanted,
                           int64_t *samples, rbc_error *err) {
    if (!rbc__ints_given(&source->episode)) {
        *samples = rbc__ints_at(&source->count, e, wanted);
        return add_run(writer, source, e, *samples, err);
    }
    *samples = 0;
    for (; progress->runs < source->episode.length; ++progress->runs) {
        const int64_t r = progress->runs;
        const int64_t count = rbc__ints_at(&source->count, r, 0);
        if (source->episode.data[r] != e) {
            if (source->episode.data[r] < e) {
                return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                 "episode: found %" PRId64 " at run %" PRId64
                                 ", wanted them in order from 0",
                                 source->episode.data[r], r);
            }
            break;
        }
        const rbc_status status = add_run(writer, source, r, count, err);
        if (status != RBC_OK) {
            return rbc__fail_within(err, status, "run %" PRId64, r);
        }
        *samples += count;
    }
    return RBC_OK;
}

static rbc_status add_frames(rbc__batch_writer *writer, const rbc__batch_source *source, int64_t e,
                             int64_t count, rbc_error *err) {
    const int64_t *frames = (const int64_t *)(const void *)writer->frames.data;
    const int64_t first = rbc__ints_at(&source->offset, e, 0);
    RBC__TRY(check_rows(first, count, frames[source->number], "frames", err));
    const rbc__run run = {.id = (uint32_t)source->stream,
                          .container = RBC__IN_TRACK,
                          .encoding = writer->stored[source->stream].encoding,
                          .dtype = writer->stored[source->stream].dtype,
                          .number = (uint32_t)source->number,
                          .offset = (uint64_t)first,
                          .count = (uint64_t)count,
                          .stride = 1};
    put_even(writer, &run);
    return RBC_OK;
}

/* ---- columns ------------------------------------------------------------------------------------
 */

rbc_status rbc__batch_add_column(rbc__batch_writer *writer, uint32_t id, rbc__dtype dtype,
                                 uint64_t sample_bytes, const void *values, int64_t count,
                                 rbc_error *err) {
    uint64_t offset = 0;
    if (count == 0 || sample_bytes == 0) {
        return RBC_OK;
    }
    RBC__TRY(writer->sink->column(writer->sink->user, values, (size_t)count * sample_bytes, &offset,
                                  err));
    const bool is_string = id < (uint32_t)writer->schema->num_streams &&
                           writer->stored[id].encoding == RBC__ENCODING_STRING;
    const rbc__run run = {.id = id,
                          .container = RBC__IN_BLOB,
                          .encoding = is_string ? RBC__ENCODING_STRING : RBC__ENCODING_PLAIN,
                          .dtype = (uint8_t)dtype,
                          .number = RBC__COLUMN_BLOB,
                          .offset = offset,
                          .count = (uint64_t)count,
                          .sample_bytes = sample_bytes,
                          .stride = sample_bytes};
    put_even(writer, &run);
    return RBC_OK;
}

static rbc_status check_strings(const rbc__batch_writer *writer, const int32_t *numbers,
                                int64_t count, rbc_error *err) {
    for (int64_t i = 0; i < count; ++i) {
        if (numbers[i] < -1 || numbers[i] >= writer->num_strings) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "found the number %" PRId32
                             " of a text, wanted one of the part's %" PRId64 " strings, or -1",
                             numbers[i], writer->num_strings > 0 ? writer->num_strings : 0);
        }
    }
    return RBC_OK;
}

static rbc_status add_values(rbc__batch_writer *writer, const rbc__batch_source *source,
                             rbc__batch_progress *progress, int64_t count, rbc_error *err) {
    const rbc__stream_schema *stream = schema_of(writer, source);
    const bool is_string = stream->stored.encoding == RBC__ENCODING_STRING;
    const uint64_t sample_bytes = rbc__batch_sample_bytes(stream);
    if (count > source->num_values - progress->samples) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "found %" PRId64 " samples in the column, wanted %" PRId64
                         " up to the end of the episode",
                         source->num_values, progress->samples + count);
    }
    if (is_string) {
        RBC__TRY(
            check_strings(writer, (const int32_t *)source->values + progress->samples, count, err));
    }
    return rbc__batch_add_column(
        writer, (uint32_t)source->stream, rbc__stream_column_dtype(stream), sample_bytes,
        (const uint8_t *)source->values + (uint64_t)progress->samples * sample_bytes, count, err);
}

rbc_status rbc__batch_add_runs(rbc__batch_writer *writer, const rbc__batch_source *source,
                               rbc__batch_progress *progress, int64_t e, int64_t wanted,
                               int64_t *samples, rbc_error *err) {
    if (source->kind == RBC__BATCH_ARRAY || source->kind == RBC__BATCH_ROWS) {
        RBC__TRY(add_runs(writer, source, progress, e, wanted, samples, err));
    } else {
        *samples = rbc__ints_at(&source->count, e, wanted);
        RBC__TRY(check_count(*samples, err));
        switch (source->kind) {
        case RBC__BATCH_PIECES:
            RBC__TRY(add_pieces(writer, source, progress, *samples, err));
            break;
        case RBC__BATCH_FRAMES:
            RBC__TRY(add_frames(writer, source, e, *samples, err));
            break;
        default:
            RBC__TRY(add_values(writer, source, progress, *samples, err));
        }
    }
    progress->samples += *samples;
    return RBC_OK;
}
