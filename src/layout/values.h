/* From numbers as they are stored to the stream's dtype. */
#ifndef RBC_LAYOUT_VALUES_H
#define RBC_LAYOUT_VALUES_H

#include <stdbool.h>

#include "core/tensor.h"
#include "layout/encoding.h"

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

double rbc__values_from_f16(uint16_t bits);

/* `count` numbers of `dtype` at `src`, of any alignment, to float64. */
void rbc__values_widen(const uint8_t *src, uint64_t count, rbc__dtype dtype, double *dst);

/* How numbers that are stored mean values: value = scale * stored + offset. */
typedef struct rbc__value_map {
    double scale, offset; /* finite; scale is not 0 */
} rbc__value_map;

/* Whether numbers stored so can become numbers of `dtype`. */
bool rbc__values_can(rbc__encoding encoding, rbc__dtype stored, rbc__dtype dtype);
/* The same by a map: any number becomes float32 or float64. `stored` is then also the integer dtype
 * that varints are of. */
bool rbc__values_can_map(rbc__encoding encoding, rbc__dtype stored, rbc__dtype dtype);

typedef enum rbc__values_result {
    RBC__VALUES_OK = 0,
    RBC__VALUES_MISFIT = 1,  /* one is not of the dtype: it is `*misfit` */
    RBC__VALUES_DAMAGED = 2, /* they do not make up the bytes */
} rbc__values_result;

/* `count` numbers, stored as `encoding` and `stored` say, which make up the `bytes` at `src`; a
 * combination that rbc__values_can(). With `is_even` varints are all of one size. */
rbc__values_result rbc__values_read(rbc__encoding encoding, rbc__dtype stored, const uint8_t *src,
                                    uint64_t bytes, uint64_t count, bool is_even, rbc__dtype dtype,
                                    void *dst, int64_t *misfit);

/* The same with a map, of a combination that rbc__values_can_map(). Values are computed in float64
 * and rounded once. */
rbc__values_result rbc__values_read_mapped(rbc__encoding encoding, rbc__dtype stored,
                                           const uint8_t *src, uint64_t bytes, uint64_t count,
                                           bool is_even, const rbc__value_map *map,
                                           rbc__dtype dtype, void *dst, int64_t *misfit);

#endif
