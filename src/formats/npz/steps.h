/* Archives of NumPy arrays, one a step, in files that are numbered: episode_0000123.npz.
 *
 * Of each step some arrays are copied, which are small, and of the others it is told where they
 * lie, packed as zip packs. */
#ifndef RBC_FORMATS_NPZ_STEPS_H
#define RBC_FORMATS_NPZ_STEPS_H

#include "core/tensor.h"

#define RBC__NPZ_MAX_KEYS 256
/* Digits in a file's name. */
#define RBC__NPZ_MAX_DIGITS 18

/* One array of each step, the member "<name>.npy". Row i of what is filled is of file i. */
typedef struct rbc__npz_key {
    const char *name;
    /* Copied: [n] samples of `shape`, native byte order, C order. NULL: it is located only. */
    uint8_t *values;
    rbc__dtype dtype;
    int32_t ndim;
    const int64_t *shape;
    /* Located: [n] each, of the member with its header, as RBC__PACKING_ZIP undoes it. */
    int64_t *offsets, *bytes;
} rbc__npz_key;

typedef struct rbc__npz_steps {
    const char *begin, *end; /* of the files' paths: before and behind the number */
    int32_t digits;          /* of the number at least, with zeros before it */
    int64_t first, count;    /* of the numbers */
    const rbc__npz_key *keys;
    int32_t num_keys;
    int64_t *file_bytes; /* [n], filled */
} rbc__npz_steps;

/* Goes through the files in order. On failure *num_done says how many of them were gone through,
 * and the message names the file that was not. FORMAT: an archive or a member of it is damaged, a
 * key is missing or there twice, what is to be copied has another shape or dtype. UNSUPPORTED:
 * packed by another method than deflate, encrypted. IO, OUT_OF_MEMORY. */
rbc_status rbc__npz_read_steps(const rbc__npz_steps *steps, int64_t *num_done, rbc_error *err);

#endif
