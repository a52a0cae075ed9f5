#include "io/tfrecord/layout.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "io/endian.h"
#include "io/tfrecord/wire.h"

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

static int compare_places(const void *a, const void *b) {
    const rbc__place *left = a;
    const rbc__place *right = b;
    return (left->offset > right->offset) - (left->offset < right->offset);
}

rbc_status rbc__layout_encode(const rbc__leaves *leaves, uint32_t fingerprint, uint64_t num_steps,
                              rbc__place *places, size_t count, const rbc__bytes *tables,
                              rbc__bytes *out, rbc_error *err) {
    if (count > 0) {
        qsort(places, count, sizeof *places, compare_places);
    }
    rbc__bytes_byte(out, LAYOUT_VERSION);
    rbc__bytes_fixed(out, fingerprint, 4);
    rbc__bytes_varint(out, num_steps);
    uint64_t end = 0;
    for (size_t i = 0; i < count; ++i) {
        const rbc__place *place = &places[i];
        if (place->form == RBC__FORM_NONE) {
            continue;
        }
        rbc__bytes_varint(out, place->id);
        rbc__bytes_byte(out, (uint8_t)(place->form | place->parameter << 4));
        if (is_ragged_values(leaves, place->id)) {
            rbc__bytes_varint(out, place->samples);
        }
        rbc__bytes_varint(out, place->offset - end);
        if (place->form == RBC__FORM_ENTRIES) {
            rbc__bytes_varint(out, place->entry_bytes);
        } else if (place->form == RBC__FORM_WALK) {
            rbc__bytes_varint(out, place->bytes);
        } else if (place->form == RBC__FORM_INDEX) {
            rbc__bytes_append(out, tables->data + place->table_at,
                              (size_t)(place->samples * place->parameter));
        } else if (place->form == RBC__FORM_SPANS) {
            rbc__bytes_append(out, tables->data + place->table_at,
                              (size_t)(2 * place->samples * place->parameter));
        }
        end = place->offset + place->bytes;
    }
    return rbc__bytes_check(out, err);
}

/* Sets `bytes` and `table` of a place whose form, parameter and samples are set, and steps over
 * what the form stores. */
static bool decode_form(const uint8_t *layout, uint64_t end, uint64_t *at, uint64_t elements,
                        rbc__place *place) {
    const unsigned parameter = place->parameter;
    uint64_t values;
    switch (place->form) {
    case RBC__FORM_VALUES:
        return parameter < RBC__NUM_DTYPES && mul_u64(place->samples, elements, &values) &&
               mul_u64(values, (uint64_t)rbc__dtype_bytes((rbc__dtype)parameter), &place->bytes);
    case RBC__FORM_VARINTS:
        return parameter >= 1 && parameter <= 10 && mul_u64(place->samples, elements, &values) &&
               mul_u64(values, parameter, &place->bytes);
    case RBC__FORM_ENTRIES:
        return rbc__varint_read(layout, end, at, &place->entry_bytes) &&
               add_u64(place->entry_bytes, 1 + rbc__varint_size(place->entry_bytes), &values) &&
               mul_u64(place->samples, values, &place->bytes);
    case RBC__FORM_WALK:
        return rbc__varint_read(layout, end, at, &place->bytes);
    case RBC__FORM_INDEX:
    case RBC__FORM_SPANS:
        break;
    default:
        return false;
    }
    const uint64_t numbers = place->form == RBC__FORM_INDEX ? 1 : 2;
    if (parameter < 1 || parameter > 8 || place->samples == 0 ||
        place->samples > (end - *at) / (numbers * parameter)) {
        return false;
    }
    place->table = layout + *at;
    *at += place->samples * numbers * parameter;
    const uint8_t *last = layout + *at - numbers * parameter;
    place->bytes = rbc__load_uint(last, parameter);
    return numbers == 1 ||
           add_u64(place->bytes, rbc__load_uint(last + parameter, parameter), &place->bytes);
}

rbc_status rbc__layout_decode(const rbc__leaves *leaves, uint32_t fingerprint,
                              const uint8_t *layout, size_t layout_bytes, uint64_t record_bytes,
                              const char *name, rbc__place *places, uint64_t *num_steps,
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
             at < layout_bytes && places[id].form == RBC__FORM_NONE;
        if (!ok) {
            break;
        }
        rbc__place *place = &places[id];
        place->id = (uint32_t)id;
        place->parameter = layout[at] >> 4;
        place->form = layout[at++] & 15;
        place->samples = *num_steps;
        ok = (!is_ragged_values(leaves, place->id) ||
              rbc__varint_read(layout, layout_bytes, &at, &place->samples)) &&
             place->samples <= INT64_MAX / 2 && rbc__varint_read(layout, layout_bytes, &at, &gap) &&
             add_u64(before, gap, &place->offset) &&
             decode_form(layout, layout_bytes, &at, elements_of(leaves, place->id), place) &&
             add_u64(place->offset, place->bytes, &before) && before <= record_bytes;
    }
    if (!ok) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: byte %" PRIu64 " of its entry in the catalog: the entry is damaged",
                         name, at);
    }
    return RBC_OK;
}

bool rbc__place_sample(const rbc__place *place, uint64_t sample, uint64_t *offset,
                       uint64_t *bytes) {
    const unsigned width = place->parameter;
    uint64_t begin;
    uint64_t end;
    if (place->form == RBC__FORM_INDEX) {
        begin = sample > 0 ? rbc__load_uint(place->table + (sample - 1) * width, width) : 0;
        end = rbc__load_uint(place->table + sample * width, width);
    } else {
        const uint8_t *span = place->table + 2 * sample * width;
        begin = rbc__load_uint(span, width);
        if (!add_u64(begin, rbc__load_uint(span + width, width), &end)) {
            return false;
        }
    }
    *offset = place->offset + begin;
    *bytes = end - begin;
    return begin <= end && end <= place->bytes;
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
