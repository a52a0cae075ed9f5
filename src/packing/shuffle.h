/* Bytes and bits of elements back in their places; `in` and `out` lie apart. */
#ifndef RBC_PACKING_SHUFFLE_H
#define RBC_PACKING_SHUFFLE_H

#include <stddef.h>
#include <stdint.h>

/* First bytes of all elements of `width` bytes, then second bytes, and so on. Bytes behind the last
 * whole element are copied. */
void rbc__unshuffle_bytes(const uint8_t *in, uint8_t *out, size_t num_bytes, size_t width);

/* First bits (the lowest of the first byte) of all `count` elements, then second bits, and so on;
 * the count is a multiple of 8. */
void rbc__unshuffle_bits(const uint8_t *in, uint8_t *out, size_t count, size_t width);

#endif
