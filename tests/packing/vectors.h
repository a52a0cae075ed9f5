/* The packed blocks of vectors.bin, which make_vectors.py writes. */
#ifndef RBC_TESTS_PACKING_VECTORS_H
#define RBC_TESTS_PACKING_VECTORS_H

#include "packing/packing.h"

typedef struct vector {
    char name[64];
    rbc__packing packing;
    uint8_t *packed;
    size_t packed_bytes;
    uint8_t *unpacked;
    size_t unpacked_bytes;
} vector;

typedef struct vectors {
    vector *items;
    size_t count;
} vectors;

/* Fails the test where the file cannot be read. Each array is allocated to its size, so that the
 * sanitizers see what is read or written beyond. */
vectors vectors_load(void);
void vectors_free(vectors *loaded);

/* What compresses, and what does not, as in make_vectors.py. */
void fill_text(uint8_t *at, size_t num_bytes);
void fill_noise(uint8_t *at, size_t num_bytes);

#endif
