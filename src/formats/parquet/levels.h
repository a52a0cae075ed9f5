/* Small numbers as parquet stores them: runs of one number (RLE) among groups of eight, whose bits
 * are packed. Shared within src/formats/parquet. */
#ifndef RBC_FORMATS_PARQUET_LEVELS_H
#define RBC_FORMATS_PARQUET_LEVELS_H

#include <stdbool.h>

#include "io/bytes.h"

/* Zero-initialise but for the first four. */
typedef struct rbc__parquet_levels {
    const uint8_t *data;
    uint64_t pos, end;
    unsigned width; /* of a number in bits, 0 to 32 */
    uint64_t left;  /* numbers of the run under way */
    bool is_packed;
    uint64_t bit;   /* of the next number, from data[0] on */
    uint32_t value; /* of all of the run */
} rbc__parquet_levels;

static inline bool rbc__parquet_levels_run(rbc__parquet_levels *levels) {
    uint64_t head;
    if (!rbc__varint_read(levels->data, levels->end, &levels->pos, &head)) {
        return false;
    }
    levels->is_packed = (head & 1) != 0;
    levels->left = head >> 1;
    const uint64_t bytes = levels->is_packed ? levels->left : 1;
    const uint64_t unit = levels->is_packed ? levels->width : (levels->width + 7) / 8;
    if (unit != 0 && bytes > (levels->end - levels->pos) / unit) {
        return false;
    }
    if (levels->is_packed) {
        levels->bit = levels->pos * 8;
        levels->left = levels->left > UINT64_MAX / 8 ? UINT64_MAX : levels->left * 8;
    } else {
        levels->value = 0;
        for (unsigned i = 0; i < unit; ++i) {
            levels->value |= (uint32_t)levels->data[levels->pos + i] << (8 * i);
        }
    }
    levels->pos += bytes * unit;
    return true;
}

/* The next number; false: there is none. */
static inline bool rbc__parquet_levels_next(rbc__parquet_levels *levels, uint32_t *out) {
    while (levels->left == 0) {
        if (levels->pos == levels->end || !rbc__parquet_levels_run(levels)) {
            return false;
        }
    }
    --levels->left;
    if (!levels->is_packed) {
        *out = levels->value;
        return true;
    }
    uint64_t bits = 0;
    const uint64_t first = levels->bit / 8;
    const unsigned shift = (unsigned)(levels->bit % 8);
    for (unsigned i = 0; i * 8 < shift + levels->width; ++i) {
        bits |= (uint64_t)levels->data[first + i] << (8 * i);
    }
    levels->bit += levels->width;
    *out = (uint32_t)((bits >> shift) & ((UINT64_C(1) << levels->width) - 1));
    return true;
}

#endif
