/* From numbers as they lie in a record to the stream's dtype. */
#ifndef RBC_FORMATS_RLDS_VALUES_H
#define RBC_FORMATS_RLDS_VALUES_H

#include <stdbool.h>

#include "core/tensor.h"

/* `count` float32 values at `src`, of any alignment, to float dtype `dtype`, rounded to nearest. */
void rbc__values_from_f32(const uint8_t *src, uint64_t count, rbc__dtype dtype, void *dst);

/* `count` integers to integer or bool dtype `dtype`. False when one does not fit; it is then
 * `*misfit`. For uint64 the bits are taken as they are; bool is whether the number is not zero. */
bool rbc__values_from_ints(const int64_t *src, uint64_t count, rbc__dtype dtype, void *dst,
                           int64_t *misfit);

/* Decodes `count` varints at `src`, which make up exactly `bytes`, as rbc__values_from_ints(). With
 * `stride` > 0 each has that many bytes. False also when they do not: `*misfit` is then 0 and
 * `*damaged` true. */
bool rbc__values_from_varints(const uint8_t *src, uint64_t bytes, uint64_t count, uint32_t stride,
                              rbc__dtype dtype, void *dst, int64_t *misfit, bool *damaged);

#endif
