/* A keyed pseudo-random permutation of [0, N), evaluated one index at a time in O(1) memory.
 *
 * A Feistel network permutes the integers of b bits, where 2^b is the smallest power of two that
 * holds N (at least 2^6); an image that is not below N is sent through again until one is, which
 * restricts the permutation to [0, N) ("cycle walking": Black and Rogaway, Ciphers with Arbitrary
 * Finite Domains, CT-RSA 2002). As 2^b < 2 N from N = 33 up, two passes are enough on average. The
 * two halves, of floor(b/2) and ceil(b/2) bits, take turns in being changed by a keyed hash of the
 * other, eight times; four such rounds with random functions are already indistinguishable from a
 * random permutation (Luby and Rackoff, SIAM J. Comput. 17, 1988), the others make up for small
 * halves. The keys are drawn from (seed, epoch) by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
 * This is for shuffling; it keeps no secrets. */
#ifndef RBC_LOADER_PERMUTATION_H
#define RBC_LOADER_PERMUTATION_H

#include <stdint.h>

#define RBC__PERMUTATION_ROUNDS 8

typedef struct rbc__permutation {
    uint64_t size;      /* N, at most 2^62 */
    uint32_t low_bits;  /* of the right half */
    uint32_t high_bits; /* of the left half */
    uint64_t keys[RBC__PERMUTATION_ROUNDS];
} rbc__permutation;

void rbc__permutation_init(rbc__permutation *out, uint64_t size, uint64_t seed, uint64_t epoch);

/* 64 bits drawn from three numbers. */
uint64_t rbc__permutation_hash(uint64_t seed, uint64_t epoch, uint64_t number);

/* Image of `index`, which is below `size`. */
uint64_t rbc__permutation_at(const rbc__permutation *permutation, uint64_t index);

#endif
