#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "layout/layout.h"
#include "layout/layout_code.h"

/* What is left of an encoded layout. */
typedef struct cursor {
    const uint8_t *data;
    uint64_t at, end;
} cursor;

static bool add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

static bool mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

static bool take(cursor *c, uint64_t limit, uint64_t *out) {
    return rbc__varint_read(c->data, c->end, &c->at, out) && *out <= limit;
}

static bool take_u32(cursor *c, uint64_t limit, uint32_t *out) {
    uint64_t value;
    if (!take(c, limit, &value)) {
        return false;
    }
    *out = (uint32_t)value;
    return true;
}

static bool take_byte(cursor *c, uint8_t *out) {
    if (c->at >= c->end) {
        return false;
    }
    *out = c->data[c->at++];
    return true;
}

/* A signed difference from `from`; the sum is no less than 0 and no more than `limit`. */
static bool take_from(cursor *c, uint64_t from, uint64_t limit, uint64_t *out) {
    uint64_t code;
    if (!rbc__varint_read(c->data, c->end, &c->at, &code)) {
        return false;
    }
    *out = from + rbc__zigzag_undo(code); /* modulo 2^64 */
    return *out <= limit;
}

static bool take_bytes(cursor *c, uint64_t bytes, const uint8_t **out) {
    if (bytes > c->end - c->at) {
        return false;
    }
    *out = c->data + c->at;
    c->at += bytes;
    return true;
}

static bool take_packing(cursor *c, rbc__packing *out) {
    bool ok = take_u32(c, RBC__PACKING_MAX_STEPS, &out->num_steps);
    for (uint32_t i = 0; ok && i < out->num_steps; ++i) {
        ok = take_u32(c, UINT32_MAX, &out->steps[i].kind) &&
             take_u32(c, UINT32_MAX, &out->steps[i].parameter);
    }
    return ok && rbc__packing_check(out, NULL) == RBC_OK;
}

static bool take_block(cursor *c, const rbc__layout *layout, uint64_t *before, rbc__block *out) {
    uint64_t end;
    return take_u32(c, INT32_MAX, &out->blob) && take_byte(c, &out->packing) &&
           out->packing < layout->num_packings && take_from(c, *before, INT64_MAX, &out->offset) &&
           take(c, INT64_MAX, &out->packed_bytes) &&
           take(c, RBC__LAYOUT_MAX_BLOCK_BYTES, &out->unpacked_bytes) &&
           add_u64(out->offset, out->packed_bytes, &end) && end <= INT64_MAX &&
           (*before = end, true);
}

bool rbc__layout_table_extent(const rbc__run *run, uint64_t *bytes) {
    const unsigned width = run->width;
    *bytes = 0;
    if (run->form != RBC__FORM_SPANS) {
        *bytes = rbc__load_uint(run->table + (run->count - 1) * width, width);
        return true;
    }
    for (uint64_t i = 0; i < run->count; ++i) {
        const uint8_t *entry = run->table + 2 * i * width;
        uint64_t end;
        if (!add_u64(rbc__load_uint(entry, width), rbc__load_uint(entry + width, width), &end)) {
            return false;
        }
        *bytes = end > *bytes ? end : *bytes;
    }
    return true;
}

/* The table of the run, and with it the bytes that it covers. */
static bool take_table(cursor *c, rbc__run *run) {
    const uint64_t numbers = run->form == RBC__FORM_SPANS ? 2 : 1;
    return take_byte(c, &run->width) && run->width >= 1 && run->width <= 8 && run->count > 0 &&
           run->count <= (c->end - c->at) / (numbers * run->width) &&
           take_bytes(c, run->count * numbers * run->width, &run->table) &&
           rbc__layout_table_extent(run, &run->bytes);
}

/* Size and distance of even samples, and the bytes that they cover. */
static bool take_even(cursor *c, const rbc__layout_stream *stream, unsigned more, rbc__run *run) {
    uint64_t gap = 0;
    run->sample_bytes = stream->sample_bytes;
    if ((more & RBC__RUN_HAS_SIZE) && !take(c, INT64_MAX, &run->sample_bytes)) {
        return false;
    }
    if ((more & RBC__RUN_HAS_GAP) && !take(c, INT64_MAX, &gap)) {
        return false;
    }
    if (run->container == RBC__IN_ARRAY || run->container == RBC__IN_TRACK) {
        run->stride = 1;
        run->bytes = run->count;
        return true;
    }
    uint64_t all;
    run->stride = run->sample_bytes + gap;
    if (run->stride > INT64_MAX || !mul_u64(run->stride, run->count, &all) || all > INT64_MAX) {
        return false;
    }
    run->bytes = run->count > 0 ? all - gap : 0;
    return run->container != RBC__IN_LAYOUT || take_bytes(c, run->bytes, &run->table);
}

/* Where the run before ended. */
typedef struct position {
    uint8_t container;
    uint32_t number;
    uint64_t end;
} position;

static bool take_run(cursor *c, const rbc__layout *layout, const rbc__layout_stream *streams,
                     uint64_t origin, position *before, rbc__run *run) {
    static const rbc__layout_stream row_lengths = {8, RBC__ENCODING_PLAIN, RBC__I64};
    uint8_t flags = 0;
    uint8_t more = 0;
    if (!take_u32(c, UINT32_MAX, &run->id) || run->id >= 2 * (uint64_t)layout->num_streams ||
        !take_byte(c, &flags) || ((flags & RBC__RUN_HAS_MORE) && !take_byte(c, &more)) ||
        (more & ~RBC__RUN_MORE)) {
        return false;
    }
    const rbc__layout_stream *stream =
        run->id < layout->num_streams ? &streams[run->id] : &row_lengths;
    run->container = flags >> RBC__RUN_CONTAINER_SHIFT & 7;
    run->form = flags & 3;
    run->encoding = stream->encoding;
    run->dtype = stream->dtype;
    run->count = layout->num_steps;
    if (run->container >= RBC__NUM_CONTAINERS ||
        (run->form != RBC__FORM_EVEN && run->container > RBC__IN_BLOCK)) {
        return false;
    }
    const bool is_same = run->container == before->container;
    uint64_t number = is_same ? before->number : 0;
    if ((flags & RBC__RUN_HAS_NUMBER) && !take_from(c, number, INT32_MAX, &number)) {
        return false;
    }
    run->number = (uint32_t)number;
    if ((flags & RBC__RUN_HAS_COUNT) && !take(c, INT64_MAX / 2, &run->count)) {
        return false;
    }
    uint64_t from = 0;
    if (is_same && run->number == before->number) {
        from = before->end;
    } else if (run->container == RBC__IN_BLOB && run->number == 0) {
        from = origin;
    }
    if (run->container != RBC__IN_LAYOUT && !take_from(c, from, INT64_MAX, &run->offset)) {
        return false;
    }
    if ((more & RBC__RUN_HAS_ENCODING) &&
        (!take_byte(c, &run->encoding) || !take_byte(c, &run->dtype))) {
        return false;
    }
    if ((more & RBC__RUN_HAS_PACKING) &&
        (!take_byte(c, &run->packing) || run->packing > layout->num_packings)) {
        return false;
    }
    if (!rbc__encoding_has(run->encoding, run->dtype) ||
        !(run->form == RBC__FORM_EVEN ? take_even(c, stream, more, run) : take_table(c, run))) {
        return false;
    }
    uint64_t end;
    if (!add_u64(run->offset, run->bytes, &end) || end > INT64_MAX) {
        return false;
    }
    *before = (position){run->container, run->number, end};
    return run->container != RBC__IN_BLOCK ||
           (run->number < layout->num_blocks && end <= layout->blocks[run->number].unpacked_bytes);
}

/* ---- the whole ----------------------------------------------------------------------------------
 */

/* Bytes of each part of a parsed layout, in its one allocation. */
typedef struct room {
    size_t runs, first, blocks, packings, encoded, total;
} room;

static room room_for(const rbc__layout *layout, size_t encoded_bytes) {
    room r;
    r.runs = sizeof *layout;
    r.blocks = r.runs + layout->num_runs * sizeof(rbc__run);
    r.packings = r.blocks + layout->num_blocks * sizeof(rbc__block);
    r.first = r.packings + layout->num_packings * sizeof(rbc__packing);
    r.encoded = r.first + (2 * (size_t)layout->num_streams + 1) * sizeof(uint32_t);
    r.total = r.encoded + encoded_bytes;
    return r;
}

/* Sorts runs by id, keeping the order of those of one, and counts their samples. */
static bool sort_runs(rbc__layout *layout, rbc__run *runs, uint32_t *first_run) {
    const uint32_t num_ids = 2 * layout->num_streams;
    bool is_sorted = true;
    for (uint32_t i = 0; i < layout->num_runs; ++i) {
        ++first_run[runs[i].id + 1];
        is_sorted = is_sorted && (i == 0 || runs[i - 1].id <= runs[i].id);
    }
    for (uint32_t id = 0; id < num_ids; ++id) {
        first_run[id + 1] += first_run[id];
    }
    if (!is_sorted) {
        rbc__run *copy = malloc(layout->num_runs * sizeof *copy + num_ids * sizeof(uint32_t));
        if (copy == NULL) {
            return false;
        }
        uint32_t *next = (uint32_t *)(void *)(copy + layout->num_runs);
        memcpy(copy, runs, layout->num_runs * sizeof *copy);
        memcpy(next, first_run, num_ids * sizeof *next);
        for (uint32_t i = 0; i < layout->num_runs; ++i) {
            runs[next[copy[i].id]++] = copy[i];
        }
        free(copy);
    }
    return true;
}

static bool count_samples(const rbc__layout *layout, rbc__run *runs) {
    for (uint32_t id = 0; id < 2 * layout->num_streams; ++id) {
        uint64_t samples = 0;
        for (uint32_t i = layout->first_run[id]; i < layout->first_run[id + 1]; ++i) {
            runs[i].first = samples;
            if (!add_u64(samples, runs[i].count, &samples) || samples > INT64_MAX / 2) {
                return false;
            }
        }
    }
    return true;
}

static rbc_status damaged(const char *name, const cursor *c, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: byte %" PRIu64 " of its entry in the catalog: the entry is damaged", name,
                     c->at);
}

rbc_status rbc__layout_parse(const rbc__layout_stream *streams, uint32_t num_streams,
                             const uint8_t *encoded, size_t encoded_bytes, uint64_t origin,
                             const char *name, rbc__layout **out, rbc_error *err) {
    cursor c = {encoded, 1, encoded_bytes};
    rbc__layout head = {.num_streams = num_streams};
    *out = NULL;
    if (encoded_bytes < 1 || (encoded[0] & ~RBC__LAYOUT_HAS_BLOCKS) != RBC__LAYOUT_VERSION) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s: its entry in the catalog is of another version", name);
    }
    /* the least that each takes bounds what is allocated for it */
    const bool has_blocks = (encoded[0] & RBC__LAYOUT_HAS_BLOCKS) != 0;
    if (!take(&c, INT64_MAX / 2, &head.num_steps) ||
        (has_blocks && (!take_u32(&c, 255, &head.num_packings) ||
                        !take_u32(&c, encoded_bytes / 5, &head.num_blocks))) ||
        !take_u32(&c, encoded_bytes / 2, &head.num_runs)) {
        return damaged(name, &c, err);
    }
    const room r = room_for(&head, encoded_bytes);
    rbc__layout *layout = calloc(1, r.total);
    if (layout == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory for its layout", name);
    }
    uint8_t *base = (uint8_t *)layout;
    rbc__run *runs = (rbc__run *)(void *)(base + r.runs);
    rbc__block *blocks = (rbc__block *)(void *)(base + r.blocks);
    rbc__packing *packings = (rbc__packing *)(void *)(base + r.packings);
    uint32_t *first_run = (uint32_t *)(void *)(base + r.first);
    *layout = head;
    layout->bytes = r.total;
    layout->runs = runs;
    layout->blocks = blocks;
    layout->packings = packings;
    layout->first_run = first_run;
    memcpy(base + r.encoded, encoded, encoded_bytes);
    c.data = base + r.encoded; /* tables point into the copy */
    bool ok = true;
    uint64_t block_end = 0;
    position before = {.end = origin};
    for (uint32_t i = 0; ok && i < head.num_packings; ++i) {
        ok = take_packing(&c, &packings[i]);
    }
    for (uint32_t i = 0; ok && i < head.num_blocks; ++i) {
        ok = take_block(&c, layout, &block_end, &blocks[i]);
    }
    for (uint32_t i = 0; ok && i < head.num_runs; ++i) {
        ok = take_run(&c, layout, streams, origin, &before, &runs[i]);
    }
    if (!ok || c.at != c.end || origin > INT64_MAX) {
        free(layout);
        return damaged(name, &c, err);
    }
    if (!sort_runs(layout, runs, first_run)) {
        free(layout);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory for its layout", name);
    }
    if (!count_samples(layout, runs)) {
        free(layout);
        return damaged(name, &c, err);
    }
    *out = layout;
    return RBC_OK;
}

/* ---- finding samples ----------------------------------------------------------------------------
 */

uint64_t rbc__layout_num_samples(const rbc__layout *layout, uint32_t id) {
    const uint32_t end = layout->first_run[id + 1];
    if (end == layout->first_run[id]) {
        return 0;
    }
    return layout->runs[end - 1].first + layout->runs[end - 1].count;
}

const rbc__run *rbc__layout_find(const rbc__layout *layout, uint32_t id, uint64_t sample) {
    uint32_t low = layout->first_run[id];
    uint32_t high = layout->first_run[id + 1];
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (layout->runs[middle].first <= sample) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return &layout->runs[low];
}

/* The sample in `whole` bytes of a tag, a size and the sample; false when no size gives that sum. */
static bool unframe(uint64_t whole, uint64_t *bytes) {
    for (unsigned header = 2; header <= 11 && header <= whole; ++header) {
        *bytes = whole - header;
        if (rbc__varint_size(*bytes) == header - 1) {
            return true;
        }
    }
    return false;
}

bool rbc__run_sample(const rbc__run *run, uint64_t sample, uint64_t *offset, uint64_t *bytes) {
    const uint64_t i = sample - run->first;
    const unsigned width = run->width;
    uint64_t begin = 0;
    uint64_t end = 0;
    if (run->form == RBC__FORM_EVEN) {
        *offset = run->offset + i * run->stride;
        *bytes = run->sample_bytes;
        return true;
    }
    if (run->form != RBC__FORM_SPANS) {
        begin = i > 0 ? rbc__load_uint(run->table + (i - 1) * width, width) : 0;
        end = rbc__load_uint(run->table + i * width, width);
    } else {
        const uint8_t *entry = run->table + 2 * i * width;
        begin = rbc__load_uint(entry, width);
        if (!add_u64(begin, rbc__load_uint(entry + width, width), &end)) {
            return false;
        }
    }
    if (begin > end || end > run->bytes) {
        return false;
    }
    *bytes = end - begin;
    if (run->form == RBC__FORM_FRAMED && !unframe(end - begin, bytes)) {
        return false;
    }
    *offset = run->offset + end - *bytes;
    return true;
}
