/* Gathering rows of an array from its chunks. */
#ifndef RBC_LAYOUT_ARRAY_COPY_H
#define RBC_LAYOUT_ARRAY_COPY_H

#include "layout/array.h"

/* Copies what chunk `index` has of rows [first, first + count). `piece` is the bytes of
 * rbc__array_piece_of() out of the unpacked chunk; `rows` is C order [count, shape[1], ...], of
 * which what other chunks have is left as it is. */
void rbc__array_copy(const rbc__array *array, int64_t index, int64_t first, int64_t count,
                     const uint8_t *piece, uint8_t *rows);

/* The same for an absent chunk. */
void rbc__array_fill(const rbc__array *array, int64_t index, int64_t first, int64_t count,
                     uint8_t *rows);

#endif
