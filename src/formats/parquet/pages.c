#include "formats/parquet/pages.h"

#include <inttypes.h>
#include <stdlib.h>

#include "core/error.h"
#include "formats/parquet/levels.h"
#include "formats/parquet/page_header.h"
#include "io/endian.h"
#include "io/source.h"
#include "layout/layout.h"

/* The bytes of a page in which values stand, and how they are told of. */
typedef struct body {
    const uint8_t *data;
    uint64_t bytes, pos;
    int64_t page;   /* -1: in the file */
    int64_t origin; /* what an offset in `data` is behind, there */
} body;

typedef struct scan {
    const rbc__parquet_chunk *chunk;
    const uint8_t *data;
    rbc__bytes *pages, *values;
    rbc__bytes dictionary; /* rbc__parquet_value */
    int64_t dictionary_values;
    int64_t rows; /* found so far */
    int64_t at;   /* in the chunk: of the page under way */
    rbc__unpacker *unpacker;
    rbc__scratch scratch;
    rbc_error *err;
} scan;

static rbc_status fail(const scan *s, const char *what, int64_t found, int64_t wanted) {
    return rbc__fail(s->err, RBC_ERROR_FORMAT,
                     "byte %" PRId64 ": page: found %s %" PRId64 ", wanted %" PRId64,
                     s->chunk->offset + s->at, what, found, wanted);
}

/* Unpacks [data, data + packed) of the chunk, and makes a page of it. */
static rbc_status unpack(scan *s, int64_t begin, int64_t packed, int64_t unpacked, body *out) {
    const rbc__packing *packing = &s->chunk->packing;
    RBC__TRY(rbc__packing_check_growth(packing, (size_t)packed, (size_t)unpacked, s->err));
    RBC__TRY(rbc__scratch_reserve(&s->scratch, (size_t)unpacked + 1, s->err));
    if (s->unpacker == NULL) {
        RBC__TRY(rbc__unpacker_create(&s->unpacker, s->err));
    }
    RBC__TRY(rbc__unpack(s->unpacker, packing, s->data + begin, (size_t)packed, s->scratch.data,
                         (size_t)unpacked, s->err));
    const rbc__parquet_page page = {s->chunk->offset + begin, packed, unpacked};
    *out = (body){.data = s->scratch.data,
                  .bytes = (uint64_t)unpacked,
                  .page = (int64_t)(s->pages->size / sizeof page)};
    rbc__bytes_append(s->pages, &page, sizeof page);
    return rbc__bytes_check(s->pages, s->err);
}

/* The bytes behind the header, from `skip` on: as they are, or unpacked. */
static rbc_status open_body(scan *s, const rbc__parquet_page_header *header, int64_t begin,
                            int64_t skip, body *out) {
    const int64_t packed = header->packed_bytes - skip;
    const int64_t unpacked = header->unpacked_bytes - skip;
    if (s->chunk->packing.num_steps == 0 || !header->is_compressed) {
        if (packed != unpacked) {
            return fail(s, "unpacked bytes", header->unpacked_bytes, header->packed_bytes);
        }
        *out = (body){.data = s->data + begin + skip,
                      .bytes = (uint64_t)packed,
                      .page = -1,
                      .origin = s->chunk->offset + begin + skip};
        return RBC_OK;
    }
    if (unpacked == 0) { /* some writers leave nothing, some an empty stream */
        *out = (body){.data = s->data + begin + skip, .page = -1};
        return RBC_OK;
    }
    const rbc_status status = unpack(s, begin + skip, packed, unpacked, out);
    return status == RBC_OK ? RBC_OK
                            : rbc__fail_within(s->err, status, "byte %" PRId64 ": page",
                                               s->chunk->offset + s->at);
}

/* The next value behind its size. */
static rbc_status next_plain(const scan *s, body *b, rbc__parquet_value *out) {
    if (b->bytes - b->pos < 4) {
        return fail(s, "bytes for a value's size", (int64_t)(b->bytes - b->pos), 4);
    }
    const uint32_t bytes = rbc__load_u32(b->data + b->pos);
    b->pos += 4;
    if (bytes > b->bytes - b->pos) {
        return fail(s, "bytes for a value", (int64_t)(b->bytes - b->pos), bytes);
    }
    *out = (rbc__parquet_value){b->page, b->origin + (int64_t)b->pos, bytes};
    b->pos += bytes;
    return RBC_OK;
}

static rbc_status unknown_encoding(const scan *s, int32_t encoding) {
    return rbc__fail(s->err, RBC_ERROR_UNSUPPORTED,
                     "byte %" PRId64 ": page: encoding %" PRId32
                     " found, wanted PLAIN (0) or RLE_DICTIONARY (8, 2)",
                     s->chunk->offset + s->at, encoding);
}

static rbc_status read_dictionary(scan *s, const rbc__parquet_page_header *header, body *b) {
    if (header->encoding != RBC__PARQUET_PLAIN &&
        header->encoding != RBC__PARQUET_PLAIN_DICTIONARY) {
        return unknown_encoding(s, header->encoding);
    }
    s->dictionary.size = 0;
    for (int32_t i = 0; i < header->num_values; ++i) {
        rbc__parquet_value value;
        RBC__TRY(next_plain(s, b, &value));
        rbc__bytes_append(&s->dictionary, &value, sizeof value);
    }
    s->dictionary_values = header->num_values;
    return rbc__bytes_check(&s->dictionary, s->err);
}

/* The next value that is a number of the dictionary. */
static rbc_status next_numbered(const scan *s, rbc__parquet_levels *numbers,
                                rbc__parquet_value *out) {
    uint32_t number;
    if (!rbc__parquet_levels_next(numbers, &number)) {
        return fail(s, "numbers of the dictionary up to row", s->rows, s->chunk->num_rows);
    }
    if (number >= s->dictionary_values) {
        return fail(s, "number", number, s->dictionary_values - 1);
    }
    *out = ((const rbc__parquet_value *)(const void *)s->dictionary.data)[number];
    return RBC_OK;
}

/* The rows of a page, whose values begin at b->pos. */
static rbc_status read_rows(scan *s, const rbc__parquet_page_header *header,
                            rbc__parquet_levels *levels, body *b) {
    rbc__parquet_levels numbers = {0};
    const bool is_plain = header->encoding == RBC__PARQUET_PLAIN;
    if (!is_plain && header->encoding != RBC__PARQUET_RLE_DICTIONARY &&
        header->encoding != RBC__PARQUET_PLAIN_DICTIONARY) {
        return unknown_encoding(s, header->encoding);
    }
    if (!is_plain && b->pos < b->bytes) {
        numbers = (rbc__parquet_levels){b->data, b->pos + 1, b->bytes, b->data[b->pos], 0, 0, 0, 0};
        if (numbers.width > 32) {
            return fail(s, "bits of a number", numbers.width, 32);
        }
    }
    for (int32_t i = 0; i < header->num_values; ++i) {
        uint32_t level = 0;
        rbc__parquet_value value = {-1, 0, 0};
        if (s->chunk->max_definition > 0 && !rbc__parquet_levels_next(levels, &level)) {
            return fail(s, "levels", i, header->num_values);
        }
        if (level > (uint32_t)s->chunk->max_definition) {
            return fail(s, "level", level, s->chunk->max_definition);
        }
        if (level == (uint32_t)s->chunk->max_definition) {
            RBC__TRY(is_plain ? next_plain(s, b, &value) : next_numbered(s, &numbers, &value));
        }
        rbc__bytes_append(s->values, &value, sizeof value);
        ++s->rows;
    }
    return rbc__bytes_check(s->values, s->err);
}

static unsigned bit_width(int32_t value) {
    return value == 0 ? 0 : 32U - (unsigned)__builtin_clz((unsigned)value);
}

/* Version 1: levels stand before the values, packed with them. */
static rbc_status read_data_page(scan *s, const rbc__parquet_page_header *header, body *b) {
    rbc__parquet_levels levels = {0};
    if (s->chunk->max_definition > 0) {
        if (header->level_encoding != RBC__PARQUET_RLE) {
            return rbc__fail(s->err, RBC_ERROR_UNSUPPORTED,
                             "byte %" PRId64 ": page: levels in encoding %" PRId32
                             " found, wanted RLE (3)",
                             s->chunk->offset + s->at, header->level_encoding);
        }
        if (b->bytes < 4 || rbc__load_u32(b->data) > b->bytes - 4) {
            return fail(s, "bytes for levels", (int64_t)b->bytes,
                        b->bytes < 4 ? 4 : 4 + (int64_t)rbc__load_u32(b->data));
        }
        b->pos = 4 + (uint64_t)rbc__load_u32(b->data);
        levels = (rbc__parquet_levels){b->data, 4, b->pos, bit_width(s->chunk->max_definition),
                                       0,       0, 0,      0};
    }
    return read_rows(s, header, &levels, b);
}

static rbc_status read_page(scan *s, const rbc__parquet_page_header *header, int64_t begin) {
    body b;
    if (header->type == RBC__PARQUET_INDEX_PAGE) {
        return RBC_OK;
    }
    if (header->type == RBC__PARQUET_DICTIONARY_PAGE) {
        RBC__TRY(open_body(s, header, begin, 0, &b));
        return read_dictionary(s, header, &b);
    }
    if (header->num_values > s->chunk->num_rows - s->rows) {
        return fail(s, "rows up to", s->rows + header->num_values, s->chunk->num_rows);
    }
    if (header->type == RBC__PARQUET_DATA_PAGE) {
        RBC__TRY(open_body(s, header, begin, 0, &b));
        return read_data_page(s, header, &b);
    }
    const int64_t skip = (int64_t)header->definition_bytes + header->repetition_bytes;
    if (skip > header->packed_bytes || skip > header->unpacked_bytes) {
        return fail(s, "bytes of levels", skip, header->packed_bytes);
    }
    RBC__TRY(open_body(s, header, begin, skip, &b));
    rbc__parquet_levels levels = {.data = s->data + begin,
                                  .pos = (uint64_t)header->repetition_bytes,
                                  .end = (uint64_t)skip,
                                  .width = bit_width(s->chunk->max_definition)};
    return read_rows(s, header, &levels, &b);
}

static rbc_status read_pages(scan *s) {
    while (s->rows < s->chunk->num_rows) {
        rbc__parquet_page_header header;
        size_t header_bytes;
        const rbc_status status = rbc__parquet_page_header_read(
            s->data + s->at, (size_t)(s->chunk->bytes - s->at), &header, &header_bytes, s->err);
        if (status != RBC_OK) {
            return rbc__fail_within(s->err, status, "byte %" PRId64 ": page",
                                    s->chunk->offset + s->at);
        }
        const int64_t begin = s->at + (int64_t)header_bytes;
        if (header.packed_bytes > s->chunk->bytes - begin) {
            return fail(s, "bytes left of the column", s->chunk->bytes - begin,
                        header.packed_bytes);
        }
        RBC__TRY(read_page(s, &header, begin));
        s->at = begin + header.packed_bytes;
    }
    return RBC_OK;
}

rbc_status rbc__parquet_find_values(const rbc__parquet_chunk *chunk, const uint8_t *data,
                                    rbc__bytes *pages, rbc__bytes *values, rbc_error *err) {
    if (chunk->offset < 0 || chunk->bytes < 0 || chunk->bytes > INT64_MAX - chunk->offset ||
        chunk->num_rows < 0 || chunk->num_rows > RBC__PARQUET_MAX_ROWS ||
        chunk->max_definition < 0 || chunk->max_definition > INT16_MAX) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "column of %" PRId64 " bytes at %" PRId64 ": found %" PRId64
                         " rows of level %" PRId32 ", wanted at most %" PRId64,
                         chunk->bytes, chunk->offset, chunk->num_rows, chunk->max_definition,
                         RBC__PARQUET_MAX_ROWS);
    }
    scan s = {.chunk = chunk, .data = data, .pages = pages, .values = values, .err = err};
    const rbc_status status = read_pages(&s);
    rbc__bytes_free(&s.dictionary);
    rbc__scratch_free(&s.scratch);
    rbc__unpacker_destroy(&s.unpacker);
    return status;
}

rbc_status rbc__parquet_scan(const char *path, const rbc__parquet_chunk *chunk, rbc__bytes *pages,
                             rbc__bytes *values, rbc_error *err) {
    rbc__source *source;
    RBC__TRY(rbc__source_open(path, RBC__SOURCE_MAP, &source, err));
    const uint8_t *data;
    rbc__scratch scratch = {0};
    rbc_status status = RBC_OK;
    if (chunk->offset < 0 || chunk->bytes < 0) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s: column: found byte %" PRId64 ", %" PRId64 " bytes", path,
                           chunk->offset, chunk->bytes);
    }
    if (status == RBC_OK) {
        status = rbc__source_view(source, (uint64_t)chunk->offset, (uint64_t)chunk->bytes, &scratch,
                                  &data, err);
    }
    if (status == RBC_OK) {
        status = rbc__parquet_find_values(chunk, data, pages, values, err);
        if (status != RBC_OK && status != RBC_ERROR_OUT_OF_MEMORY) {
            rbc__fail_within(err, status, "%s", path);
        }
        const rbc_status checked = rbc__source_check(source, status == RBC_OK ? err : NULL);
        status = status == RBC_OK ? checked : status;
    }
    rbc__scratch_free(&scratch);
    rbc__source_close(&source);
    return status;
}
