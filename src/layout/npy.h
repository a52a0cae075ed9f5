/* The header of a NumPy array as .npy files have it. */
#ifndef RBC_LAYOUT_NPY_H
#define RBC_LAYOUT_NPY_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "core/tensor.h"

#define RBC__NPY_MAX_DIMS 32

typedef struct rbc__npy {
    rbc__dtype dtype;
    bool is_swapped; /* big-endian */
    bool is_fortran; /* the first axis goes fastest */
    int32_t ndim;
    int64_t shape[RBC__NPY_MAX_DIMS];
    uint64_t offset, bytes; /* of the values */
} rbc__npy;

/* What a header says, whatever the dtype. */
typedef struct rbc__npy_header {
    char descr[64]; /* the dtype as NumPy writes it, "<f4" */
    bool is_fortran;
    int32_t ndim;
    int64_t shape[RBC__NPY_MAX_DIMS];
    uint64_t bytes; /* of the header; the values come behind it */
} rbc__npy_header;

/* FORMAT: no .npy array, or a header that is damaged or cut off; UNSUPPORTED: records. */
rbc_status rbc__npy_read_header(const uint8_t *data, uint64_t bytes, rbc__npy_header *out,
                                rbc_error *err);

/* FORMAT: no .npy array, or one that is cut off; UNSUPPORTED: objects, records, other dtypes. */
rbc_status rbc__npy_parse(const uint8_t *data, uint64_t bytes, rbc__npy *out, rbc_error *err);

/* FORMAT unless it holds just such a sample, in C order. */
rbc_status rbc__npy_check(const rbc__npy *npy, rbc__dtype dtype, int32_t ndim, const int64_t *shape,
                          rbc_error *err);

#endif
