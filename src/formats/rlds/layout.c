#include "formats/rlds/layout.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "formats/rlds/wire.h"
#include "io/endian.h"

enum { LAYOUT_VERSION = 1, FIXED_BYTES = 5 };

static bool add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

static bool mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

static uint64_t elements_of(const rbc__leaves *leaves, uint32_t id) {
    return id < (uint32_t)leaves->count ? (uint64_t)leaves->items[id].elements : 1;
}

static bool is_ragged_values(const rbc__leaves *leaves, uint32_t id) {
    return id < (uint32_t)leaves->num_streams && rbc__leaf_is_ragged(&leaves->items[id]);
}

static int compare_spans(const void *a, const void *b) {
    const rbc__layout_span *left = a;
    const rbc__layout_span *right = b;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

rbc_status rbc__layout_encode(const rbc__leaves *leaves, uint32_t fingerprint, uint64_t num_steps,
                              rbc__layout_span *spans, size_t count, const rbc__bytes *tables,
                              rbc__bytes *out, rbc_error *err) {
    if (count > 0) {
        qsort(spans, count, sizeof *spans, compare_spans);
    }
    rbc__bytes_byte(out, LAYOUT_VERSION);
    rbc__bytes_fixed(out, fingerprint, 4);
    rbc__bytes_varint(out, num_steps);
    uint64_t end = 0;
    for (size_t i = 0; i < count; ++i) {
        const rbc__layout_span *span = &spans[i];
        if (span->form == RBC__FORM_NONE) {
            continue;
        }
        rbc__bytes_varint(out, span->id);
        rbc__bytes_byte(out, (uint8_t)(span->form | span->parameter << 4));
        if (is_ragged_values(leaves, span->id)) {
            rbc__bytes_varint(out, span->samples);
        }
        rbc__bytes_varint(out, span->offset - end);
        if (span->form == RBC__FORM_ENTRIES) {
            rbc__bytes_varint(out, span->entry_bytes);
        } else if (span->form == RBC__FORM_WALK) {
            rbc__bytes_varint(out, span->bytes);
        } else if (span->form == RBC__FORM_INDEX) {
            rbc__bytes_append(out, tables->data + span->table_at,
                              (size_t)(span->samples * span->parameter));
        } else if (span->form == RBC__FORM_SPANS) {
            rbc__bytes_append(out, tables->data + span->table_at,
                              (size_t)(2 * span->samples * span->parameter));
        }
        end = span->offset + span->bytes;
    }
    return rbc__bytes_check(out, err);
}

/* Sets `bytes` and `table` of a span whose form, parameter and samples are set, and steps over
 * what the form stores. */
static bool decode_form(const uint8_t *layout, uint64_t end, uint64_t *at, uint64_t elements,
                        rbc__layout_span *span) {
    const unsigned parameter = span->parameter;
    uint64_t values;
    switch (span->form) {
    case RBC__FORM_VALUES:
        return parameter < RBC__NUM_DTYPES && mul_u64(span->samples, elements, &values) &&
               mul_u64(values, (uint64_t)rbc__dtype_bytes((rbc__dtype)parameter), &span->bytes);
    case RBC__FORM_VARINTS:
        return parameter >= 1 && parameter <= 10 && mul_u64(span->samples, elements, &values) &&
               mul_u64(values, parameter, &span->bytes);
    case RBC__FORM_ENTRIES:
        return rbc__varint_read(layout, end, at, &span->entry_bytes) &&
               add_u64(span->entry_bytes, 1 + rbc__varint_size(span->entry_bytes), &values) &&
               mul_u64(span->samples, values, &span->bytes);
    case RBC__FORM_WALK:
        return rbc__varint_read(layout, end, at, &span->bytes);
    case RBC__FORM_INDEX:
    case RBC__FORM_SPANS:
        break;
    default:
        return false;
    }
    const uint64_t numbers = span->form == RBC__FORM_INDEX ? 1 : 2;
    if (parameter < 1 || parameter > 8 || span->samples == 0 ||
        span->samples > (end - *at) / (numbers * parameter)) {
        return false;
    }
    span->table = layout + *at;
    *at += span->samples * numbers * parameter;
    const uint8_t *last = layout + *at - numbers * parameter;
    span->bytes = rbc__load_uint(last, parameter);
    return numbers == 1 ||
           add_u64(span->bytes, rbc__load_uint(last + parameter, parameter), &span->bytes);
}

rbc_status rbc__layout_decode(const rbc__leaves *leaves, uint32_t fingerprint,
                              const uint8_t *layout, size_t layout_bytes, uint64_t record_bytes,
                              const char *name, rbc__layout_span *spans, uint64_t *num_steps,
                              rbc_error *err) {
    const uint32_t num_ids = rbc__layout_num_ids(leaves);
    uint64_t at = FIXED_BYTES;
    uint64_t before = 0;
    if (layout_bytes < FIXED_BYTES + 1 || layout[0] != LAYOUT_VERSION) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: its entry in the catalog is of another version", name);
    }
    if (rbc__load_u32(layout + 1) != fingerprint) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: its entry in the catalog was made with another features.json; index "
                         "the dataset again",
                         name);
    }
    bool ok = rbc__varint_read(layout, layout_bytes, &at, num_steps) && *num_steps <= INT64_MAX / 2;
    while (ok && at < layout_bytes) {
        uint64_t id;
        uint64_t gap;
        ok = rbc__varint_read(layout, layout_bytes, &at, &id) && id < num_ids &&
             at < layout_bytes && spans[id].form == RBC__FORM_NONE;
        if (!ok) {
            break;
        }
        rbc__layout_span *span = &spans[id];
        span->id = (uint32_t)id;
        span->parameter = layout[at] >> 4;
        span->form = layout[at++] & 15;
        span->samples = *num_steps;
        ok = (!is_ragged_values(leaves, span->id) ||
              rbc__varint_read(layout, layout_bytes, &at, &span->samples)) &&
             span->samples <= INT64_MAX / 2 && rbc__varint_read(layout, layout_bytes, &at, &gap) &&
             add_u64(before, gap, &span->offset) &&
             decode_form(layout, layout_bytes, &at, elements_of(leaves, span->id), span) &&
             add_u64(span->offset, span->bytes, &before) && before <= record_bytes;
    }
    if (!ok) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 " of its entry in the catalog: the entry is damaged",
                         name, at);
    }
    return RBC_OK;
}

bool rbc__layout_span_sample(const rbc__layout_span *span, uint64_t sample, uint64_t *offset,
                             uint64_t *bytes) {
    const unsigned width = span->parameter;
    uint64_t begin;
    uint64_t end;
    if (span->form == RBC__FORM_INDEX) {
        begin = sample > 0 ? rbc__load_uint(span->table + (sample - 1) * width, width) : 0;
        end = rbc__load_uint(span->table + sample * width, width);
    } else {
        const uint8_t *entry = span->table + 2 * sample * width;
        begin = rbc__load_uint(entry, width);
        if (!add_u64(begin, rbc__load_uint(entry + width, width), &end)) {
            return false;
        }
    }
    *offset = span->offset + begin;
    *bytes = end - begin;
    return begin <= end && end <= span->bytes;
}

bool rbc__entry_size(uint64_t bytes, uint64_t *entry_bytes) {
    for (unsigned header = 2; header <= 11 && header <= bytes; ++header) {
        *entry_bytes = bytes - header;
        if (rbc__varint_size(*entry_bytes) == header - 1) {
            return true;
        }
    }
    return false;
}
