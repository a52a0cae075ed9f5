#include "formats/parquet/page_header.h"

#include <inttypes.h>

#include "core/error.h"
#include "io/bytes.h"

/* Structs in structs; a header has two. */
#define MAX_DEPTH 8

/* Thrift's types, as the compact protocol numbers them. */
enum {
    STOP = 0,
    IS_TRUE = 1,
    IS_FALSE = 2,
    BYTE = 3,
    I16 = 4,
    I32 = 5,
    I64 = 6,
    DOUBLE = 7,
    BINARY = 8,
    LIST = 9,
    SET = 10,
    MAP = 11,
    STRUCT = 12,
};

typedef struct reader {
    const uint8_t *data;
    uint64_t end, pos;
    rbc_error *err;
} reader;

static rbc_status fail(const reader *r, const char *what) {
    return rbc__fail(r->err, RBC_ERROR_FORMAT, "byte %" PRIu64 " of a page's header: %s", r->pos,
                     what);
}

static rbc_status read_byte(reader *r, uint8_t *out) {
    if (r->pos == r->end) {
        return fail(r, "found its end, wanted more");
    }
    *out = r->data[r->pos++];
    return RBC_OK;
}

static rbc_status read_varint(reader *r, uint64_t *out) {
    return rbc__varint_read(r->data, r->end, &r->pos, out)
               ? RBC_OK
               : fail(r, "found no varint of at most 10 bytes");
}

static rbc_status pass(reader *r, uint64_t bytes) {
    if (bytes > r->end - r->pos) {
        return fail(r, "found a value that reaches past the end");
    }
    r->pos += bytes;
    return RBC_OK;
}

/* A field's number and type; STOP ends the struct. */
static rbc_status read_field(reader *r, int32_t *number, uint8_t *type) {
    uint8_t byte = 0;
    RBC__TRY(read_byte(r, &byte));
    *type = byte & 15;
    if (*type == STOP) {
        return RBC_OK;
    }
    if (byte >> 4 != 0) {
        *number += byte >> 4;
        return RBC_OK;
    }
    uint64_t value = 0;
    RBC__TRY(read_varint(r, &value));
    if (value >> 1 > INT16_MAX) {
        return fail(r, "found a field's number beyond 16 bits");
    }
    *number = (int32_t)(value >> 1);
    return (value & 1) == 0 ? RBC_OK : fail(r, "found a field's number below 0");
}

static rbc_status skip(reader *r, uint8_t type, bool in_list, int depth);

static rbc_status skip_items(reader *r, uint64_t count, const uint8_t types[2], int num_types,
                             int depth) {
    /* each takes a byte at least, so that a count ends with the header */
    if (count > r->end - r->pos) {
        return fail(r, "found more items than bytes");
    }
    for (uint64_t i = 0; i < count; ++i) {
        for (int t = 0; t < num_types; ++t) {
            RBC__TRY(skip(r, types[t], true, depth));
        }
    }
    return RBC_OK;
}

static rbc_status skip_list(reader *r, int depth) {
    uint8_t byte = 0;
    RBC__TRY(read_byte(r, &byte));
    uint64_t count = byte >> 4;
    if (count == 15) {
        RBC__TRY(read_varint(r, &count));
    }
    const uint8_t types[2] = {byte & 15, 0};
    return skip_items(r, count, types, 1, depth);
}

static rbc_status skip_map(reader *r, int depth) {
    uint64_t count = 0;
    RBC__TRY(read_varint(r, &count));
    if (count == 0) {
        return RBC_OK;
    }
    uint8_t byte = 0;
    RBC__TRY(read_byte(r, &byte));
    const uint8_t types[2] = {byte >> 4, byte & 15};
    return skip_items(r, count, types, 2, depth);
}

static rbc_status skip_struct(reader *r, int depth) {
    int32_t number = 0;
    uint8_t type = STOP;
    for (;;) {
        RBC__TRY(read_field(r, &number, &type));
        if (type == STOP) {
            return RBC_OK;
        }
        RBC__TRY(skip(r, type, false, depth));
    }
}

static rbc_status skip(reader *r, uint8_t type, bool in_list, int depth) {
    uint64_t value = 0;
    if (depth == MAX_DEPTH) {
        return fail(r, "found too many structs in each other");
    }
    switch (type) {
    case IS_TRUE:
    case IS_FALSE:
        return in_list ? pass(r, 1) : RBC_OK;
    case BYTE:
        return pass(r, 1);
    case I16:
    case I32:
    case I64:
        return read_varint(r, &value);
    case DOUBLE:
        return pass(r, 8);
    case BINARY:
        RBC__TRY(read_varint(r, &value));
        return pass(r, value);
    case LIST:
    case SET:
        return skip_list(r, depth + 1);
    case MAP:
        return skip_map(r, depth + 1);
    case STRUCT:
        return skip_struct(r, depth + 1);
    default:
        return fail(r, "found a type that Thrift has not");
    }
}

/* A number that is at least 0. */
static rbc_status read_count(reader *r, uint8_t type, int32_t *out) {
    uint64_t value = 0;
    if (type != I32) {
        return fail(r, "found another type, wanted i32");
    }
    RBC__TRY(read_varint(r, &value));
    if ((value & 1) != 0 || value >> 1 > INT32_MAX) {
        return fail(r, "found a number below 0 or beyond 32 bits");
    }
    *out = (int32_t)(value >> 1);
    return RBC_OK;
}

/* DataPageHeader, DictionaryPageHeader or DataPageHeaderV2. */
static rbc_status read_kind(reader *r, int32_t kind, rbc__parquet_page_header *out) {
    int32_t number = 0;
    uint8_t type = STOP;
    const bool is_second = kind == RBC__PARQUET_DATA_PAGE_V2;
    for (;;) {
        RBC__TRY(read_field(r, &number, &type));
        if (type == STOP) {
            return RBC_OK;
        }
        if (number == 1) {
            RBC__TRY(read_count(r, type, &out->num_values));
        } else if (number == (is_second ? 4 : 2)) {
            RBC__TRY(read_count(r, type, &out->encoding));
        } else if (number == 3 && kind == RBC__PARQUET_DATA_PAGE) {
            RBC__TRY(read_count(r, type, &out->level_encoding));
        } else if (number == 5 && is_second) {
            RBC__TRY(read_count(r, type, &out->definition_bytes));
        } else if (number == 6 && is_second) {
            RBC__TRY(read_count(r, type, &out->repetition_bytes));
        } else if (number == 7 && is_second && (type == IS_TRUE || type == IS_FALSE)) {
            out->is_compressed = type == IS_TRUE;
        } else {
            RBC__TRY(skip(r, type, false, 1));
        }
    }
}

static rbc_status read_header(reader *r, rbc__parquet_page_header *out) {
    int32_t number = 0;
    uint8_t type = STOP;
    unsigned found = 0;
    int32_t kind = -1;
    for (;;) {
        RBC__TRY(read_field(r, &number, &type));
        if (type == STOP) {
            break;
        }
        if (number >= 1 && number <= 3) {
            int32_t *const fields[] = {&out->type, &out->unpacked_bytes, &out->packed_bytes};
            RBC__TRY(read_count(r, type, fields[number - 1]));
            found |= 1U << number;
        } else if (number >= 5 && number <= 8 && type == STRUCT && kind < 0) {
            static const int32_t kinds[] = {RBC__PARQUET_DATA_PAGE, RBC__PARQUET_INDEX_PAGE,
                                            RBC__PARQUET_DICTIONARY_PAGE,
                                            RBC__PARQUET_DATA_PAGE_V2};
            kind = kinds[number - 5];
            RBC__TRY(read_kind(r, kind, out));
        } else {
            RBC__TRY(skip(r, type, false, 0));
        }
    }
    if (found != 14 || kind != out->type) {
        return fail(r, "found no type, sizes and header of that type");
    }
    return RBC_OK;
}

rbc_status rbc__parquet_page_header_read(const uint8_t *data, size_t bytes,
                                         rbc__parquet_page_header *out, size_t *header_bytes,
                                         rbc_error *err) {
    reader r = {.data = data, .end = bytes, .err = err};
    *out = (rbc__parquet_page_header){
        .type = -1, .level_encoding = RBC__PARQUET_RLE, .is_compressed = true};
    RBC__TRY(read_header(&r, out));
    *header_bytes = (size_t)r.pos;
    return RBC_OK;
}
