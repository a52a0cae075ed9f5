#include "formats/rlds/parsed_episode.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "formats/rlds/values.h"
#include "io/endian.h"

rbc_status rbc__rlds_episode_open(const rbc__reader *reader, rbc__source *source,
                                  const rbc__episode_entry *entry, rbc__parsed_episode **out,
                                  rbc_error *err) {
    const rbc__rlds *rlds = (const rbc__rlds *)reader;
    const char *path = rbc__source_path(source);
    *out = NULL;
    if (entry->offset > rbc__source_bytes(source) ||
        entry->bytes > rbc__source_bytes(source) - entry->offset) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "%s: byte %" PRIu64 ": a record of %" PRIu64 " bytes was here when the "
                         "file was indexed, now the file ends at %" PRIu64,
                         path, entry->offset, entry->bytes, rbc__source_bytes(source));
    }
    const size_t num_ids = rbc__layout_num_ids(&rlds->leaves);
    const size_t spans_bytes = num_ids * sizeof(rbc__layout_span);
    rbc__parsed_episode *episode = malloc(sizeof *episode + spans_bytes + entry->layout_bytes);
    if (episode == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: byte %" PRIu64 ": no memory for it",
                         path, entry->offset);
    }
    rbc__layout_span *spans = (rbc__layout_span *)(episode + 1);
    uint8_t *layout = (uint8_t *)spans + spans_bytes;
    memset(spans, 0, spans_bytes);
    if (entry->layout_bytes > 0) {
        memcpy(layout, entry->layout, entry->layout_bytes);
    }
    *episode = (rbc__parsed_episode){.reader = rlds,
                                     .source = source,
                                     .index = entry->record,
                                     .offset = entry->offset,
                                     .bytes = entry->bytes,
                                     .spans = spans};
    rbc_status status =
        rbc__layout_decode(&rlds->leaves, rlds->fingerprint, layout, entry->layout_bytes,
                           entry->bytes, path, spans, &episode->num_steps, err);
    if (status == RBC_OK && episode->num_steps != (uint64_t)entry->num_steps) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s: byte %" PRIu64 ": the catalog gives the record %" PRId64
                           " steps, but places for %" PRIu64,
                           path, entry->offset, entry->num_steps, episode->num_steps);
    }
    if (status != RBC_OK) {
        free(episode);
        return status;
    }
    *out = episode;
    return RBC_OK;
}

void rbc__rlds_episode_close(rbc__parsed_episode **episode) {
    rbc__parsed_episode *closing = *episode;
    *episode = NULL;
    if (closing && closing->walked) {
        const uint32_t num_ids = rbc__layout_num_ids(&closing->reader->leaves);
        for (uint32_t i = 0; i < num_ids; ++i) {
            free(closing->walked[i]);
        }
        free(closing->walked);
    }
    free(closing);
}

rbc_status rbc__parsed_episode_view(rbc__parsed_episode *episode, uint64_t offset, uint64_t bytes,
                                    rbc__scratch *scratch, const uint8_t **out, rbc_error *err) {
    return rbc__source_view(episode->source, episode->offset + offset, bytes, scratch, out, err);
}

rbc_status rbc__parsed_episode_list(rbc__parsed_episode *episode, const rbc__layout_span *span,
                                    rbc__scratch *scratch, rbc__list *out, rbc_error *err) {
    const uint8_t *data;
    RBC__TRY(rbc__parsed_episode_view(episode, span->offset, span->bytes, scratch, &data, err));
    const rbc__wire wire = {.data = data,
                            .end = span->bytes,
                            .base = episode->offset + span->offset,
                            .path = rbc__source_path(episode->source)};
    return rbc__list_open(&wire, 0, span->bytes, out, err);
}

/* ---- checks ------------------------------------------------------------------------------------
 */

static rbc_status fail_stream(const rbc__parsed_episode *episode, const rbc__leaf *leaf,
                              uint64_t offset, rbc_error *err, const char *problem) {
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 ": stream '%s' of record %" PRId64 ": %s",
                     rbc__source_path(episode->source), episode->offset + offset, leaf->name,
                     episode->index, problem);
}

static rbc_status find_leaf(const rbc__parsed_episode *episode, int32_t stream,
                            const rbc__leaf **leaf, rbc_error *err) {
    const rbc__leaves *leaves = &episode->reader->leaves;
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

static uint64_t num_samples(const rbc__parsed_episode *episode, const rbc__leaf *leaf,
                            int32_t stream) {
    return rbc__leaf_is_ragged(leaf) ? episode->spans[stream].samples : episode->num_steps;
}

static rbc_status check_range(const rbc__parsed_episode *episode, const rbc__leaf *leaf,
                              int32_t stream, int64_t first, int64_t count, rbc_error *err) {
    const uint64_t samples = num_samples(episode, leaf, stream);
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

static rbc_status new_walked(rbc__parsed_episode *episode, uint32_t id, uint64_t bytes, void **out,
                             rbc_error *err) {
    if (episode->walked == NULL) {
        episode->walked =
            calloc(rbc__layout_num_ids(&episode->reader->leaves), sizeof *episode->walked);
    }
    *out = episode->walked && bytes <= SIZE_MAX / 2 ? malloc(bytes > 0 ? (size_t)bytes : 1) : NULL;
    if (!*out) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                         "%s: byte %" PRIu64 ": %" PRIu64 " bytes for the values of a stream",
                         rbc__source_path(episode->source),
                         episode->offset + episode->spans[id].offset, bytes);
    }
    return RBC_OK;
}

/* Values of a numeric stream, converted; malloc'ed into `*out`. */
static rbc_status walk_numbers(rbc__parsed_episode *episode, const rbc__leaf *leaf, uint32_t id,
                               rbc__dtype dtype, uint64_t values, rbc__scratch *scratch,
                               rbc_error *err) {
    const rbc__layout_span *span = &episode->spans[id];
    const bool is_int = !rbc__dtype_is_float(dtype);
    rbc__list list;
    void *converted;
    void *plain = NULL;
    int64_t misfit;
    RBC__TRY(rbc__parsed_episode_list(episode, span, scratch, &list, err));
    /* A value takes a byte at least: more cannot be there, and are not allocated. */
    if (list.kind != (is_int ? RBC__LIST_INT64 : RBC__LIST_FLOAT) || values > span->bytes) {
        return fail_stream(episode, leaf, span->offset, err, "its list has changed");
    }
    RBC__TRY(new_walked(episode, id, values * (uint64_t)rbc__dtype_bytes(dtype), &converted, err));
    rbc_status status = new_walked(episode, id, values * 8, &plain, err);
    if (status == RBC_OK) {
        status = is_int ? rbc__list_ints(&list, plain, values, err)
                        : rbc__list_floats(&list, plain, values, err);
    }
    if (status == RBC_OK && !is_int) {
        rbc__values_from_f32(plain, values, dtype, converted);
    } else if (status == RBC_OK &&
               !rbc__values_from_ints(plain, values, dtype, converted, &misfit)) {
        status = fail_stream(episode, leaf, span->offset, err,
                             "it holds a value that its dtype cannot hold");
    }
    free(plain);
    if (status != RBC_OK) {
        free(converted);
        return status;
    }
    episode->walked[id] = converted;
    return RBC_OK;
}

/* Offset and bytes of each entry of a text stream. */
static rbc_status walk_entries(rbc__parsed_episode *episode, const rbc__leaf *leaf, uint32_t id,
                               rbc_error *err) {
    const rbc__layout_span *span = &episode->spans[id];
    rbc__scratch scratch = {0};
    rbc__list list;
    rbc__chunk chunk;
    bool more = true;
    uint64_t done = 0;
    void *entries = NULL;
    rbc_status status = rbc__parsed_episode_list(episode, span, &scratch, &list, err);
    if (status == RBC_OK && (list.kind != RBC__LIST_BYTES || span->samples > span->bytes)) {
        status = fail_stream(episode, leaf, span->offset, err, "its list has changed");
    }
    if (status == RBC_OK) {
        status = new_walked(episode, id, span->samples * 16, &entries, err);
    }
    while (status == RBC_OK && more) {
        status = rbc__list_next(&list, &chunk, &more, err);
        if (status == RBC_OK && more && done < span->samples) {
            const uint64_t entry[2] = {span->offset + chunk.offset, chunk.bytes};
            memcpy((uint8_t *)entries + 16 * done, entry, sizeof entry);
        }
        done += more;
    }
    rbc__scratch_free(&scratch);
    if (status == RBC_OK && done != span->samples) {
        status = fail_stream(episode, leaf, span->offset, err, "its list has changed");
    }
    if (status != RBC_OK) {
        free(entries);
        return status;
    }
    episode->walked[id] = entries;
    return RBC_OK;
}

/* ---- numbers -----------------------------------------------------------------------------------
 */

static rbc_status read_varints(rbc__parsed_episode *episode, const rbc__leaf *leaf, uint64_t offset,
                               uint64_t bytes, uint64_t values, uint32_t stride, rbc__dtype dtype,
                               void *dst, rbc__scratch *scratch, rbc_error *err) {
    const uint8_t *src;
    int64_t misfit;
    bool damaged;
    RBC__TRY(rbc__parsed_episode_view(episode, offset, bytes, scratch, &src, err));
    if (rbc__values_from_varints(src, bytes, values, stride, dtype, dst, &misfit, &damaged)) {
        return RBC_OK;
    }
    if (damaged) {
        return fail_stream(episode, leaf, offset, err, "its values are not where they were");
    }
    char problem[96];
    (void)snprintf(problem, sizeof problem, "it holds %" PRId64 ", which is no %s", misfit,
                   rbc__dtype_name(dtype));
    return fail_stream(episode, leaf, offset, err, problem);
}

/* Bytes entries of one sample each, or runs of varints of one sample each. */
static rbc_status read_samples(rbc__parsed_episode *episode, const rbc__leaf *leaf,
                               const rbc__layout_span *span, uint64_t first, uint64_t count,
                               uint8_t *dst, rbc__scratch *scratch, rbc_error *err) {
    const uint64_t elements = (uint64_t)leaf->elements;
    const uint64_t sample_bytes = elements * (uint64_t)rbc__dtype_bytes(leaf->dtype);
    for (uint64_t i = first; i < first + count; i++, dst += sample_bytes) {
        uint64_t offset;
        uint64_t bytes;
        if (span->form == RBC__FORM_ENTRIES) {
            const uint64_t header = 1 + rbc__varint_size(span->entry_bytes);
            bytes = span->entry_bytes;
            offset = span->offset + i * (header + bytes) + header;
        } else if (!rbc__layout_span_sample(span, i, &offset, &bytes)) {
            return fail_stream(episode, leaf, span->offset, err, "its index is damaged");
        }
        if (leaf->list == RBC__LIST_INT64) {
            RBC__TRY(read_varints(episode, leaf, offset, bytes, elements, 0, leaf->dtype, dst,
                                  scratch, err));
        } else if (bytes != sample_bytes) {
            return fail_stream(episode, leaf, offset, err, "a sample does not have its size");
        } else {
            RBC__TRY(rbc__source_read(episode->source, episode->offset + offset, bytes, dst, err));
        }
    }
    return RBC_OK;
}

/* `id` is the stream's, or that of its row lengths. */
static rbc_status read_numbers(rbc__parsed_episode *episode, const rbc__leaf *leaf, uint32_t id,
                               uint64_t elements, rbc__dtype dtype, uint64_t first, uint64_t count,
                               void *dst, rbc__scratch *scratch, rbc_error *err) {
    const rbc__layout_span *span = &episode->spans[id];
    const uint64_t size = (uint64_t)rbc__dtype_bytes(dtype);
    const uint64_t skip = first * elements;
    const uint64_t values = count * elements;
    if (values == 0) {
        return RBC_OK;
    }
    if (span->samples > UINT64_MAX / 16 / elements) {
        return fail_stream(episode, leaf, span->offset, err, "its entry in the catalog is damaged");
    }
    switch (span->form) {
    case RBC__FORM_VALUES:
        if (span->parameter == dtype) {
            return rbc__source_read(episode->source, episode->offset + span->offset + skip * size,
                                    values * size, dst, err);
        }
        if (span->parameter == RBC__F32 && rbc__dtype_is_float(dtype)) {
            const uint8_t *src;
            RBC__TRY(rbc__parsed_episode_view(episode, span->offset + skip * 4, values * 4, scratch,
                                              &src, err));
            rbc__values_from_f32(src, values, dtype, dst);
            return RBC_OK;
        }
        break;
    case RBC__FORM_VARINTS:
        if (!rbc__dtype_is_float(dtype)) {
            const uint32_t stride = span->parameter;
            return read_varints(episode, leaf, span->offset + skip * stride, values * stride,
                                values, stride, dtype, dst, scratch, err);
        }
        break;
    case RBC__FORM_ENTRIES:
    case RBC__FORM_INDEX:
    case RBC__FORM_SPANS:
        if (id < (uint32_t)episode->reader->leaves.count &&
            (leaf->list != RBC__LIST_INT64 || span->form == RBC__FORM_INDEX)) {
            return read_samples(episode, leaf, span, first, count, dst, scratch, err);
        }
        break;
    case RBC__FORM_WALK:
        if (episode->walked == NULL || episode->walked[id] == NULL) {
            RBC__TRY(
                walk_numbers(episode, leaf, id, dtype, span->samples * elements, scratch, err));
        }
        memcpy(dst, (const uint8_t *)episode->walked[id] + skip * size, (size_t)(values * size));
        return RBC_OK;
    default:
        break;
    }
    return fail_stream(episode, leaf, span->offset, err, "its entry in the catalog is damaged");
}

rbc_status rbc__rlds_read(rbc__parsed_episode *episode, int32_t stream, int64_t first,
                          int64_t count, void *dst, rbc__scratch *scratch, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(episode, stream, &leaf, err));
    if (leaf->kind != RBC_STREAM_NUMERIC) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' holds images or text, not numbers", leaf->name);
    }
    RBC__TRY(check_range(episode, leaf, stream, first, count, err));
    return read_numbers(episode, leaf, (uint32_t)stream, (uint64_t)leaf->elements, leaf->dtype,
                        (uint64_t)first, (uint64_t)count, dst, scratch, err);
}

rbc_status rbc__rlds_count(rbc__parsed_episode *episode, int32_t stream, int64_t *samples,
                           int64_t *row_lengths, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(episode, stream, &leaf, err));
    *samples = (int64_t)num_samples(episode, leaf, stream);
    if (row_lengths == NULL) {
        return RBC_OK;
    }
    if (!rbc__leaf_is_ragged(leaf)) {
        for (uint64_t i = 0; i < episode->num_steps; ++i) {
            row_lengths[i] = 1;
        }
        return RBC_OK;
    }
    const uint32_t id = (uint32_t)(episode->reader->leaves.count + stream);
    rbc__scratch scratch = {0};
    const rbc_status status = read_numbers(episode, leaf, id, 1, RBC__I64, 0, episode->num_steps,
                                           row_lengths, &scratch, err);
    rbc__scratch_free(&scratch);
    return status;
}

/* ---- images and text ---------------------------------------------------------------------------
 */

rbc_status rbc__rlds_locate(rbc__parsed_episode *episode, int32_t stream, int64_t sample,
                            uint64_t *offset, uint64_t *bytes, rbc_error *err) {
    const rbc__leaf *leaf;
    RBC__TRY(find_leaf(episode, stream, &leaf, err));
    if (leaf->kind == RBC_STREAM_NUMERIC) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' holds numbers, not images or text", leaf->name);
    }
    RBC__TRY(check_range(episode, leaf, stream, sample, 1, err));
    const rbc__layout_span *span = &episode->spans[stream];
    const uint64_t i = (uint64_t)sample;
    bool ok = false;
    if (span->form == RBC__FORM_ENTRIES) {
        const uint64_t header = 1 + rbc__varint_size(span->entry_bytes);
        *bytes = span->entry_bytes;
        *offset = span->offset + i * (header + *bytes) + header;
        ok = true;
    } else if (span->form == RBC__FORM_INDEX) {
        uint64_t whole;
        ok = rbc__layout_span_sample(span, i, offset, &whole) && rbc__entry_size(whole, bytes);
        *offset += ok ? whole - *bytes : 0;
    } else if (span->form == RBC__FORM_SPANS) {
        ok = rbc__layout_span_sample(span, i, offset, bytes);
    } else if (span->form == RBC__FORM_WALK) {
        if (episode->walked == NULL || episode->walked[stream] == NULL) {
            RBC__TRY(walk_entries(episode, leaf, (uint32_t)stream, err));
        }
        const uint8_t *entry = (const uint8_t *)episode->walked[stream] + 16 * i;
        *offset = rbc__load_u64(entry);
        *bytes = rbc__load_u64(entry + 8);
        ok = true;
    }
    if (!ok) {
        return fail_stream(episode, leaf, span->offset, err, "its entry in the catalog is damaged");
    }
    *offset += episode->offset;
    return RBC_OK;
}
