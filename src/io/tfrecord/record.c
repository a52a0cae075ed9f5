#include "io/tfrecord/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "io/tfrecord/values.h"

rbc_status rbc__rlds_record_open(const rbc__reader *reader, rbc__source *source,
                                 const rbc__episode_record *episode, rbc__record **out,
                                 rbc_error *err) {
    const rbc__rlds *rlds = (const rbc__rlds *)reader;
    const char *path = rbc__source_path(source);
    *out = NULL;
    if (episode->offset > rbc__source_bytes(source) ||
        episode->bytes > rbc__source_bytes(source) - episode->offset) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %" PRIu64 ": a record of %" PRIu64 " bytes was here when the "
                         "file was indexed, now the file ends at %" PRIu64,
                         path, episode->offset, episode->bytes, rbc__source_bytes(source));
    }
    const size_t num_ids = rbc__layout_num_ids(&rlds->leaves);
    const size_t places_bytes = num_ids * sizeof(rbc__place);
    rbc__record *record = malloc(sizeof *record + places_bytes + episode->layout_bytes);
    if (record == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: byte %" PRIu64 ": no memory for it",
                         path, episode->offset);
    }
    rbc__place *places = (rbc__place *)(record + 1);
    uint8_t *layout = (uint8_t *)places + places_bytes;
    memset(places, 0, places_bytes);
    if (episode->layout_bytes > 0) {
        memcpy(layout, episode->layout, episode->layout_bytes);
    }
    *record = (rbc__record){.reader = rlds,
                            .source = source,
                            .index = episode->record,
                            .offset = episode->offset,
                            .bytes = episode->bytes,
                            .places = places};
    rbc_status status =
        rbc__layout_decode(&rlds->leaves, rlds->fingerprint, layout, episode->layout_bytes,
                           episode->bytes, path, places, &record->num_steps, err);
    if (status == RBC_OK && record->num_steps != (uint64_t)episode->num_steps) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s: byte %" PRIu64 ": the catalog gives the record %" PRId64
                           " steps, but places for %" PRIu64,
                           path, episode->offset, episode->num_steps, record->num_steps);
    }
    if (status != RBC_OK) {
        free(record);
        return status;
    }
    *out = record;
    return RBC_OK;
}

void rbc__rlds_record_close(rbc__record **record) {
    rbc__record *closing = *record;
    *record = NULL;
    if (closing && closing->walked) {
        const uint32_t num_ids = rbc__layout_num_ids(&closing->reader->leaves);
        for (uint32_t i = 0; i < num_ids; ++i) {
            free(closing->walked[i]);
        }
        free(closing->walked);
    }
    free(closing);
}

rbc_status rbc__record_view(rbc__record *record, uint64_t offset, uint64_t bytes,
                            rbc__scratch *scratch, const uint8_t **out, rbc_error *err) {
    return rbc__source_view(record->source, record->offset + offset, bytes, scratch, out, err);
}

rbc_status rbc__record_list(rbc__record *record, const rbc__place *place, rbc__scratch *scratch,
                            rbc__list *out, rbc_error *err) {
    const uint8_t *data;
    RBC__TRY(rbc__record_view(record, place->offset, place->bytes, scratch, &data, err));
    const rbc__wire wire = {.data = data,
                            .end = place->bytes,
                            .base = record->offset + place->offset,
                            .path = rbc__source_path(record->source)};
    return rbc__list_open(&wire, 0, place->bytes, out, err);
}

/* ---- checks ------------------------------------------------------------------------------------
 */

static rbc_status fail_stream(const rbc__record *record, const rbc__leaf *leaf, uint64_t offset,
                              rbc_error *err, const char *problem) {
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     rbc__source_path(record->source), record->offset + offset, leaf->name,
                     record->index, problem);
}

static rbc_status find_leaf(const rbc__record *record, int32_t stream, const rbc__leaf **leaf,
                            rbc_error *err) {
    const rbc__leaves *leaves = &record->reader->leaves;
    *leaf = NULL;
    if (stream < 0 || stream >= leaves->num_streams) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream %d: there are %d streams", stream,
                         leaves->num_streams);
    }
    *leaf = &leaves->items[stream];
    if ((*leaf)->unsupported) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "stream '%s' cannot be read: %s",
                         (*leaf)->name, (*leaf)->unsupported);
    }
    return RBC_OK;
}

static uint64_t num_samples(const rbc__record *record, const rbc__leaf *leaf, int32_t stream) {
    return rbc__leaf_is_ragged(leaf) ? record->places[stream].samples : record->num_steps;
}

static rbc_status check_range(const rbc__record *record, const rbc__leaf *leaf, int32_t stream,
                              int64_t first, int64_t count, rbc_error *err) {
    const uint64_t samples = num_samples(record, leaf, stream);
    if (first < 0 || count < 0 || (uint64_t)first > samples ||
        (uint64_t)count > samples - (uint64_t)first) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "samples [%" PRId64 ", %" PRId64 ") of stream '%s': it has %" PRIu64,
                         first, first > INT64_MAX - count ? INT64_MAX : first + count, leaf->name,
                         samples);
    }
    return RBC_OK;
}

/* ---- what a WALK has found ----------------------------------------------------------------------
 */

static rbc_status new_walked(rbc__record *record, uint32_t id, uint64_t bytes, void **out,
                             rbc_error *err) {
    if (record->walked == NULL) {
        record->walked =
            calloc(rbc__layout_num_ids(&record->reader->leaves), sizeof *record->walked);
    }
    *out = record->walked && bytes <= SIZE_MAX / 2 ? malloc(bytes > 0 ? (size_t)bytes : 1) : NULL;
    if (!*out) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                         "%s: byte %" PRIu64 ": %" PRIu64 " bytes for the values of a stream",
                         rbc__source_path(record->source),
                         record->offset + record->places[id].offset, bytes);
    }
    return RBC_OK;
}

/* Values of a numeric stream, converted; malloc'ed into `*out`. */
static rbc_status walk_numbers(rbc__record *record, const rbc__leaf *leaf, uint32_t id,
                               rbc__dtype dtype, uint64_t values, rbc__scratch *scratch,
                               rbc_error *err) {
    const rbc__place *place = &record->places[id];
    const bool is_int = !rbc__dtype_is_float(dtype);
    rbc__list list;
    void *converted;
    void *plain = NULL;
    int64_t misfit;
    RBC__TRY(rbc__record_list(record, place, scratch, &list, err));
    /* A value takes a byte at least: more cannot be there, and are not allocated. */
    if (list.kind != (is_int ? RBC__LIST_INT64 : RBC__LIST_FLOAT) || values > place->bytes) {
        return fail_stream(record, leaf, place->offset, err, "its list has changed");
    }
    RBC__TRY(new_walked(record, id, values * (uint64_t)rbc__dtype_bytes(dtype), &converted, err));
    rbc_status status = new_walked(record, id, values * 8, &plain, err);
    if (status == RBC_OK) {
        status = is_int ? rbc__list_ints(&list, plain, values, err)
                        : rbc__list_floats(&list, plain, values, err);
    }
    if (status == RBC_OK && !is_int) {
        rbc__values_from_f32(plain, values, dtype, converted);
    } else if (status == RBC_OK &&
               !rbc__values_from_ints(plain, values, dtype, converted, &misfit)) {
        status = fail_stream(record, leaf, place->offset, err,
                             "it holds a value that its dtype cannot hold");
    }
    free(plain);
    if (status != RBC_OK) {
        free(converted);
        return status;
    }
    record->walked[id] = converted;
    return RBC_OK;
}

/* Offset and bytes of each entry of a text stream. */
static rbc_status walk_entries(rbc__record *record, const rbc__leaf *leaf, uint32_t id,
                               rbc_error *err) {
    const rbc__place *place = &record->places[id];
    rbc__scratch scratch = {0};
    rbc__list list;
    rbc__chunk chunk;
    bool more = true;
    uint64_t done = 0;
    void *spans = NULL;
    rbc_status status = rbc__record_list(record, place, &scratch, &list, err);
    if (status == RBC_OK && (list.kind != RBC__LIST_BYTES || place->samples > place->bytes)) {
        status = fail_stream(record, leaf, place->offset, err, "its list has changed");
    }
    if (status == RBC_OK) {
        status = new_walked(record, id, place->samples * 16, &spans, err);
    }
    while (status == RBC_OK && more) {
        status = rbc__list_next(&list, &chunk, &more, err);
        if (status == RBC_OK && more && done < place->samples) {
            const uint64_t span[2] = {place->offset + chunk.offset, chunk.bytes};
            memcpy((uint8_t *)spans + 16 * done, span, sizeof span);
        }
        done += more;
    }
    rbc__scratch_free(&scratch);
    if (status == RBC_OK && done != place->samples) {
        status = fail_stream(record, leaf, place->offset, err, "its list has changed");
    }
    if (status != RBC_OK) {
        free(spans);
        return status;
    }
    record->walked[id] = spans;
    return RBC_OK;
}

/* ---- numbers -----------------------------------------------------------------------------------
 */

static rbc_status read_varints(rbc__record *record, const rbc__leaf *leaf, uint64_t offset,
                               uint64_t bytes, uint64_t values, uint32_t stride, rbc__dtype dtype,
                               void *dst, rbc__scratch *scratch, rbc_error *err) {
    const uint8_t *src;
    int64_t misfit;
    bool damaged;
    RBC__TRY(rbc__record_view(record, offset, bytes, scratch, &src, err));
    if (rbc__values_from_varints(src, bytes, values, stride, dtype, dst, &misfit, &damaged)) {
        return RBC_OK;
    }
    if (damaged) {
        return fail_stream(record, leaf, offset, err, "its values are not where they were");
    }
    char problem[96];
    (void)snprintf(problem, sizeof problem, "it holds %" PRId64 ", which is no %s", misfit,
                   rbc__dtype_name(dtype));
    return fail_stream(record, leaf, offset, err, problem);
}

/* Bytes entries of one sample each, or runs of varints of one sample each. */
static rbc_status read_samples(rbc__record *record, const rbc__leaf *leaf, const rbc__place *place,
                               uint64_t first, uint64_t count, uint8_t *dst, rbc__scratch *scratch,
                               rbc_error *err) {
    const uint64_t elements = (uint64_t)leaf->elements;
    const uint64_t sample_bytes = elements * (uint64_t)rbc__dtype_bytes(leaf->dtype);
    for (uint64_t i = first; i < first + count; i++, dst += sample_bytes) {
        uint64_t offset;
        uint64_t bytes;
        if (place->form == RBC__FORM_ENTRIES) {
            const uint64_t header = 1 + rbc__varint_size(place->entry_bytes);
            bytes = place->entry_bytes;
            offset = place->offset + i * (header + bytes) + header;
        } else if (!rbc__place_sample(place, i, &offset, &bytes)) {
            return fail_stream(record, leaf, place->offset, err, "its index is damaged");
        }
        if (leaf->list == RBC__LIST_INT64) {
            RBC__TRY(read_varints(record, leaf, offset, bytes, elements, 0, leaf->dtype, dst,
                                  scratch, err));
        } else if (bytes != sample_bytes) {
            return fail_stream(record, leaf, offset, err, "a sample does not have its size");
        } else {
            RBC__TRY(rbc__source_read(record->source, record->offset + offset, bytes, dst, err));
        }
    }
    return RBC_OK;
}

/* `id` is the stream's, or that of its row lengths. */
static rbc_status read_numbers(rbc__record *record, const rbc__leaf *leaf, uint32_t id,
                               uint64_t elements, rbc__dtype dtype, uint64_t first, uint64_t count,
                               void *dst, rbc__scratch *scratch, rbc_error *err) {
    const rbc__place *place = &record->places[id];
    const uint64_t size = (uint64_t)rbc__dtype_bytes(dtype);
    const uint64_t skip = first * elements;
    const uint64_t values = count * elements;
    if (values == 0) {
        return RBC_OK;
    }
    if (place->samples > UINT64_MAX / 16 / elements) {
        return fail_stream(record, leaf, place->offset, err, "its entry in the catalog is damaged");
    }
    switch (place->form) {
    case RBC__FORM_VALUES:
        if (place->parameter == dtype) {
            return rbc__source_read(record->source, record->offset + place->offset + skip * size,
                                    values * size, dst, err);
        }
        if (place->parameter == RBC__F32 && rbc__dtype_is_float(dtype)) {
            const uint8_t *src;
            RBC__TRY(
                rbc__record_view(record, place->offset + skip * 4, values * 4, scratch, &src, err));
            rbc__values_from_f32(src, values, dtype, dst);
            return RBC_OK;
        }
        break;
    case RBC__FORM_VARINTS:
        if (!rbc__dtype_is_float(dtype)) {
            const uint32_t stride = place->parameter;
            return read_varints(record, leaf, place->offset + skip * stride, values * stride,
                                values, stride, dtype, dst, scratch, err);
        }
        break;
    case RBC__FORM_ENTRIES:
    case RBC__FORM_INDEX:
    case RBC__FORM_SPANS:
        if (id < (uint32_t)record->reader->leaves.count &&
            (leaf->list != RBC__LIST_INT64 || place->form == RBC__FORM_INDEX)) {
            return read_samples(record, leaf, place, first, count, dst, scratch, err);
        }
        break;
    case RBC__FORM_WALK:
        if (record->walked == NULL || record->walked[id] == NULL) {
            RBC__TRY(
                walk_numbers(record, leaf, id, dtype, place->samples * elements, scratch, err));
        }
        memcpy(dst, (const uint8_t *)record->walked[id] + skip * size, (size_t)(values * size));
        return RBC_OK;
    default:
        break;
    }
    return fail_stream(record, leaf, place->offset, err, "its entry in the catalog is damaged");
}

rbc_status rbc__rlds_read(rbc__record *record, int32_t stream, int64_t first, int64_t count,
                          void *dst, rbc__scratch *scratch, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(record, stream, &leaf, err));
    if (leaf->kind != RBC_STREAM_NUMERIC) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' holds images or text, not numbers", leaf->name);
    }
    RBC__TRY(check_range(record, leaf, stream, first, count, err));
    return read_numbers(record, leaf, (uint32_t)stream, (uint64_t)leaf->elements, leaf->dtype,
                        (uint64_t)first, (uint64_t)count, dst, scratch, err);
}

rbc_status rbc__rlds_count(rbc__record *record, int32_t stream, int64_t *samples,
                           int64_t *row_lengths, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(record, stream, &leaf, err));
    *samples = (int64_t)num_samples(record, leaf, stream);
    if (row_lengths == NULL) {
        return RBC_OK;
    }
    if (!rbc__leaf_is_ragged(leaf)) {
        for (uint64_t i = 0; i < record->num_steps; ++i) {
            row_lengths[i] = 1;
        }
        return RBC_OK;
    }
    const uint32_t id = (uint32_t)(record->reader->leaves.count + stream);
    rbc__scratch scratch = {0};
    const rbc_status status = read_numbers(record, leaf, id, 1, RBC__I64, 0, record->num_steps,
                                           row_lengths, &scratch, err);
    rbc__scratch_free(&scratch);
    return status;
}

/* ---- images and text ---------------------------------------------------------------------------
 */

rbc_status rbc__rlds_locate(rbc__record *record, int32_t stream, int64_t sample, uint64_t *offset,
                            uint64_t *bytes, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(record, stream, &leaf, err));
    if (leaf->kind == RBC_STREAM_NUMERIC) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' holds numbers, not images or text", leaf->name);
    }
    RBC__TRY(check_range(record, leaf, stream, sample, 1, err));
    const rbc__place *place = &record->places[stream];
    const uint64_t i = (uint64_t)sample;
    bool ok = false;
    if (place->form == RBC__FORM_ENTRIES) {
        const uint64_t header = 1 + rbc__varint_size(place->entry_bytes);
        *bytes = place->entry_bytes;
        *offset = place->offset + i * (header + *bytes) + header;
        ok = true;
    } else if (place->form == RBC__FORM_INDEX) {
        uint64_t whole;
        ok = rbc__place_sample(place, i, offset, &whole) && rbc__entry_size(whole, bytes);
        *offset += ok ? whole - *bytes : 0;
    } else if (place->form == RBC__FORM_SPANS) {
        ok = rbc__place_sample(place, i, offset, bytes);
    } else if (place->form == RBC__FORM_WALK) {
        if (record->walked == NULL || record->walked[stream] == NULL) {
            RBC__TRY(walk_entries(record, leaf, (uint32_t)stream, err));
        }
        const uint8_t *span = (const uint8_t *)record->walked[stream] + 16 * i;
        *offset = rbc__load_u64(span);
        *bytes = rbc__load_u64(span + 8);
        ok = true;
    }
    if (!ok) {
        return fail_stream(record, leaf, place->offset, err, "its entry in the catalog is damaged");
    }
    *offset += record->offset;
    return RBC_OK;
}
