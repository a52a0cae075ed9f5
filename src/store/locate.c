/* From samples to ranges and blocks. */
#include <inttypes.h>
#include <string.h>

#include "core/error.h"
#include "layout/values.h"
#include "store/locate.h"

/* Records that are further apart are read one by one. */
#define MAX_RECORD_BYTES ((uint64_t)2 * RBC__MAX_FIELD_BYTES)
#define MAX_RANGE_BYTES  ((uint64_t)64 << 20)

/* Samples with little between them are read as one range. */
static bool is_dense(uint64_t extent, uint64_t wanted) {
    return extent <= wanted + wanted / 4;
}

static rbc_status find_stream(const rbc__request *request, const rbc__parsed_episode *parsed,
                              int32_t stream, bool is_numeric, rbc__located_stream *out,
                              rbc_error *err) {
    const rbc__schema *schema = request->params.schema;
    if (stream < 0 || stream >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream %d: there are %d streams", stream,
                         schema->num_streams);
    }
    *out = (rbc__located_stream){.parsed = parsed,
                                 .schema = &schema->streams[stream],
                                 .stream = stream,
                                 .id = (uint32_t)stream,
                                 .dtype = schema->streams[stream].dtype,
                                 .map = rbc__stream_map(&schema->streams[stream]),
                                 .elements = 1};
    if (out->schema->unsupported) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s",
                         out->schema->name, out->schema->unsupported);
    }
    if (rbc__stream_has_numbers(out->schema) != is_numeric) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         is_numeric ? "stream '%s' holds images or text, not numbers"
                                    : "stream '%s' holds numbers, not images or text",
                         out->schema->name);
    }
    for (int32_t i = 0; is_numeric && i < out->schema->ndim; ++i) {
        int64_t elements = 0;
        if (out->schema->shape[i] < 0 ||
            !rbc__mul_size((int64_t)out->elements, out->schema->shape[i], &elements)) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "stream '%s' cannot be read: an extent of its shape is not declared",
                             out->schema->name);
        }
        out->elements = (uint64_t)elements;
    }
    return RBC_OK;
}

static rbc_status check_samples(const rbc__located_stream *s, int64_t first, int64_t count,
                                rbc_error *err) {
    const uint64_t samples = rbc__layout_num_samples(s->parsed->layout, s->id);
    if (first < 0 || count < 0 || (uint64_t)first > samples ||
        (uint64_t)count > samples - (uint64_t)first) {
        int64_t end;
        if (__builtin_add_overflow(first, count, &end)) {
            end = count > 0 ? INT64_MAX : INT64_MIN;
        }
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "samples [%" PRId64 ", %" PRId64 ") of stream '%s': it has %" PRIu64,
                         first, end, s->schema->name, samples);
    }
    return RBC_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

bool rbc__located_is_as_stored(const rbc__located_stream *s, const rbc__run *run) {
    return (run->encoding == RBC__ENCODING_PLAIN || run->encoding == RBC__ENCODING_PIXELS) &&
           run->dtype == (uint8_t)s->dtype && run->packing == 0 && s->map == NULL;
}

bool rbc__located_can_be_read(const rbc__located_stream *s, const rbc__run *run) {
    if (run->encoding == RBC__ENCODING_CLOUD) {
        return s->schema->fields.count > 0 && s->elements == s->schema->fields.count &&
               (s->dtype == RBC__F32 || s->dtype == RBC__F64);
    }
    const rbc__encoding encoding = (rbc__encoding)run->encoding;
    const rbc__dtype stored = (rbc__dtype)run->dtype;
    return s->map != NULL ? rbc__values_can_map(encoding, stored, s->dtype)
                          : rbc__values_can(encoding, stored, s->dtype);
}

rbc_status rbc__want_even(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                          uint64_t sample, uint64_t offset, uint64_t bytes, uint64_t stride,
                          uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t extent = stride * (count - 1) + bytes;
    const uint64_t out_bytes = count * s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    const bool is_direct = run->container == RBC__IN_BLOB && rbc__located_is_as_stored(s, run) &&
                           stride == bytes && extent == out_bytes;
    rbc__want *want = rbc__located_add_want(request, s, run, RBC__WANT_VALUES, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    want->first = (int64_t)sample;
    want->bytes = bytes;
    want->stride = stride;
    want->count = count;
    want->dst = dst;
    want->blob_offset = run->container == RBC__IN_BLOB ? offset : 0;
    uint32_t index = 0;
    if (run->container == RBC__IN_LAYOUT) {
        want->source = RBC__FROM_LAYOUT;
        want->data = run->table + offset;
        return RBC_OK;
    }
    const size_t want_index = request->wants.count - 1;
    rbc_status status;
    if (run->container == RBC__IN_BLOCK) {
        want->source = RBC__FROM_BLOCK;
        want->offset = offset;
        want->blob_offset = s->parsed->layout->blocks[run->number].offset;
        want->blob = rbc__blob_id(s->parsed->part, s->parsed->layout->blocks[run->number].blob);
        status = rbc__located_add_block(request, s, run, &index, err);
    } else {
        want->source = RBC__FROM_RANGE;
        status = rbc__request_add_range(request, want->blob, offset, extent, is_direct ? dst : NULL,
                                        &index, err);
    }
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, want_index)->index = index;
    return RBC_OK;
}

/* Whether even samples, which are not packed, can be as large as the run says. */
static bool has_its_size(const rbc__located_stream *s, const rbc__run *run) {
    const uint64_t bytes = run->sample_bytes;
    if (run->encoding == RBC__ENCODING_CLOUD) {
        return bytes == rbc__fields_extent(&s->schema->fields);
    }
    if (run->encoding == RBC__ENCODING_NPY) {
        return bytes <= RBC__MAX_SAMPLE_BYTES;
    }
    if (run->encoding == RBC__ENCODING_VARINT) {
        return s->elements > 0 && bytes % s->elements == 0 && bytes / s->elements <= 10;
    }
    return bytes == s->elements * (uint64_t)rbc__dtype_bytes((rbc__dtype)run->dtype);
}

/* Records with what lies between them are read as one, in ranges of at most some MiB. */
static rbc_status want_points(rbc__request *request, const rbc__located_stream *s,
                              const rbc__run *run, uint64_t first, uint64_t offset, uint64_t count,
                              uint8_t *dst, rbc_error *err) {
    const uint64_t out_bytes = s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    const uint64_t most = MAX_RANGE_BYTES / (run->stride > 0 ? run->stride : 1);
    while (count > 0) {
        const uint64_t part = count < most ? count : most;
        RBC__TRY(rbc__want_even(request, s, run, first, offset, run->sample_bytes, run->stride,
                                part, dst, err));
        first += part;
        offset += part * run->stride;
        dst += part * out_bytes;
        count -= part;
    }
    return RBC_OK;
}

/* Samples [first, first + count) of the stream, all of the run. */
static rbc_status want_run(rbc__request *request, const rbc__located_stream *s, const rbc__run *run,
                           uint64_t first, uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t out_bytes = s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    if (run->container == RBC__IN_ARRAY) {
        return rbc__want_rows(request, s, run, first, run->offset + (first - run->first), count,
                              dst, err);
    }
    if (run->container == RBC__IN_TRACK || !rbc__located_can_be_read(s, run)) {
        return rbc__located_fail(request, s, run, err, "its entry in the catalog is damaged");
    }
    const uint64_t base = run->container == RBC__IN_LAYOUT ? 0 : run->offset;
    if (run->form == RBC__FORM_EVEN) {
        const uint64_t offset = base + (first - run->first) * run->stride;
        if (run->packing == 0 && !has_its_size(s, run)) {
            return rbc__located_fail(request, s, run, err, "a sample does not have its size");
        }
        if (run->packing == 0 && run->encoding == RBC__ENCODING_CLOUD &&
            run->stride <= MAX_RECORD_BYTES) {
            return want_points(request, s, run, first, offset, count, dst, err);
        }
        if (run->packing == 0 &&
            is_dense(run->stride * (count - 1) + run->sample_bytes, run->sample_bytes * count)) {
            return rbc__want_even(request, s, run, first, offset, run->sample_bytes, run->stride,
                                  count, dst, err);
        }
    }
    for (uint64_t i = 0; i < count; i++, dst += out_bytes) {
        uint64_t offset;
        uint64_t bytes;
        if (!rbc__run_sample(run, first + i, &offset, &bytes) || bytes > RBC__MAX_SAMPLE_BYTES) {
            return rbc__located_fail(request, s, run, err, "its index is damaged");
        }
        offset -= run->container == RBC__IN_LAYOUT ? run->offset : 0;
        RBC__TRY(rbc__want_even(request, s, run, first + i, offset, bytes, bytes, 1, dst, err));
    }
    return RBC_OK;
}

static rbc_status want_values(rbc__request *request, const rbc__located_stream *s, uint64_t first,
                              uint64_t count, uint8_t *dst, rbc_error *err) {
    const uint64_t out_bytes = s->elements * (uint64_t)rbc__dtype_bytes(s->dtype);
    if (s->elements == 0) {
        return RBC_OK;
    }
    while (count > 0) {
        const rbc__run *run = rbc__layout_find(s->parsed->layout, s->id, first);
        const uint64_t left = run->first + run->count - first;
        const uint64_t part = count < left ? count : left;
        RBC__TRY(want_run(request, s, run, first, part, dst, err));
        first += part;
        count -= part;
        dst += part * out_bytes;
    }
    return RBC_OK;
}

rbc_status rbc__request_values(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t first, int64_t count, void *dst,
                               rbc_error *err) {
    rbc__located_stream s;
    RBC__TRY(find_stream(request, parsed, stream, true, &s, err));
    RBC__TRY(check_samples(&s, first, count, err));
    return want_values(request, &s, (uint64_t)first, (uint64_t)count, dst, err);
}

rbc_status rbc__request_row_lengths(rbc__request *request, const rbc__parsed_episode *parsed,
                                    int32_t stream, void *dst, rbc_error *err) {
    rbc__located_stream s;
    const rbc__schema *schema = request->params.schema;
    if (stream < 0 || stream >= schema->num_streams) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream %d: there are %d streams", stream,
                         schema->num_streams);
    }
    s = (rbc__located_stream){.parsed = parsed,
                              .schema = &schema->streams[stream],
                              .stream = stream,
                              .id = parsed->layout->num_streams + (uint32_t)stream,
                              .dtype = RBC__I64,
                              .elements = 1};
    RBC__TRY(check_samples(&s, 0, (int64_t)parsed->layout->num_steps, err));
    return want_values(request, &s, 0, parsed->layout->num_steps, dst, err);
}

/* ---- images and text ----------------------------------------------------------------------------
 */

rbc_status rbc__request_sample(rbc__request *request, const rbc__parsed_episode *parsed,
                               int32_t stream, int64_t sample, uint32_t *want_index,
                               rbc_error *err) {
    rbc__located_stream s;
    RBC__TRY(find_stream(request, parsed, stream, false, &s, err));
    RBC__TRY(check_samples(&s, sample, 1, err));
    const rbc__run *run = rbc__layout_find(parsed->layout, s.id, (uint64_t)sample);
    uint64_t offset;
    uint64_t bytes;
    if ((run->encoding == RBC__ENCODING_FRAME) != (run->container == RBC__IN_TRACK)) {
        return rbc__located_fail(request, &s, run, err, "its entry in the catalog is damaged");
    }
    if (run->container == RBC__IN_TRACK) {
        return rbc__want_frame(request, &s, run, sample, want_index, err);
    }
    if (run->container == RBC__IN_ARRAY) {
        return rbc__located_fail(request, &s, run, err, "its samples are not bytes of their own");
    }
    if (!rbc__run_sample(run, (uint64_t)sample, &offset, &bytes) || bytes > RBC__MAX_SAMPLE_BYTES) {
        return rbc__located_fail(request, &s, run, err, "its entry in the catalog is damaged");
    }
    const rbc__strings *strings = NULL;
    if (run->encoding == RBC__ENCODING_STRING) {
        rbc__cached_block *pin;
        if (bytes != sizeof(int32_t)) {
            return rbc__located_fail(request, &s, run, err,
                                     "the number of a text does not have its size");
        }
        RBC__TRY(rbc__objects_strings(request->params.objects, request->params.cache, parsed->part,
                                      &strings, &pin, err));
        RBC__TRY(rbc__request_keep(request, pin, err));
    }
    rbc__want *want = rbc__located_add_want(request, &s, run, RBC__WANT_SAMPLE, err);
    if (want == NULL) {
        return RBC_ERROR_OUT_OF_MEMORY;
    }
    *want_index = (uint32_t)request->wants.count - 1;
    want->first = sample;
    want->strings = strings;
    want->bytes = bytes;
    want->count = 1;
    want->blob_offset = offset;
    uint32_t index = 0;
    rbc_status status = RBC_OK;
    if (run->container == RBC__IN_LAYOUT) {
        want->data = run->table + offset;
        want->source = RBC__FROM_LAYOUT;
        want->blob_offset = 0;
    } else if (run->container == RBC__IN_BLOCK) {
        const rbc__block *block = &parsed->layout->blocks[run->number];
        want->source = RBC__FROM_BLOCK;
        want->offset = offset;
        want->blob = rbc__blob_id(parsed->part, block->blob);
        want->blob_offset = block->offset;
        status = rbc__located_add_block(request, &s, run, &index, err);
    } else if (bytes > 0) {
        want->source = RBC__FROM_RANGE;
        status = rbc__request_add_range(request, want->blob, offset, bytes, NULL, &index, err);
    }
    if (status != RBC_OK) {
        --request->wants.count;
        return status;
    }
    rbc__request_want(request, *want_index)->index = index;
    return RBC_OK;
}
