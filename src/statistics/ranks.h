/* The values of one channel by rank, in bounded memory.
 *
 * They come as keys: unsigned integers that are in the order of the values. Keys of up to 16 bits
 * are counted, each on its own. Wider ones fill buffers of RBC__RANKS_BUFFER keys, which are sorted:
 * a buffer of level l stands for 2^l values a key. Two buffers of a level are merged into one of the
 * next, of every second key: the even ones and the odd ones by turns, so that what one merge adds
 * to a rank the next takes away. A merge of level l moves no rank by more than 2^l values; of n
 * values, in L levels, none is off by more than n * (L / 2 + 1) / (2 * RBC__RANKS_BUFFER).
 *
 * The result depends on the keys and their order alone. */
#ifndef RBC_STATISTICS_RANKS_H
#define RBC_STATISTICS_RANKS_H

#include <robocache/robocache.h>

#define RBC__RANKS_BUFFER 65536

/* Values that stand for others in a list by rank, at most: a rank is off by n / 2 of them more. */
#define RBC__RANKS_KEPT 16384

typedef struct rbc__ranks rbc__ranks;

/* `bits` of a key: 8, 16, or 64 for all that are wider. */
rbc_status rbc__ranks_create(int32_t bits, rbc__ranks **out, rbc_error *err);
void rbc__ranks_destroy(rbc__ranks **handle);

/* OUT_OF_MEMORY: nothing can be added any more. */
rbc_status rbc__ranks_add(rbc__ranks *ranks, const uint64_t *keys, int64_t count, rbc_error *err);

/* Values in ascending order, each with how many values there are up to it and with it. */
typedef struct rbc__ranked {
    int64_t num_values;
    double *values; /* [num_values], ascending */
    int64_t *up_to; /* [num_values], ascending; the last is the number of all */
    double error;   /* of a rank, as a share of all; 0: exact */
} rbc__ranked;

void rbc__ranked_free(rbc__ranked *ranked);

typedef double (*rbc__key_value_fn)(uint64_t key);

/* The list of what was added. */
rbc_status rbc__ranks_list(const rbc__ranks *ranks, rbc__key_value_fn value_of, rbc__ranked *out,
                           rbc_error *err);
/* The list of all values of several, in their order. Empty ones are allowed. */
rbc_status rbc__ranked_merge(const rbc__ranked *const *parts, int64_t num_parts, rbc__ranked *out,
                             rbc_error *err);

/* The value at rank `rank`, from 0 to below the number of all. */
double rbc__ranked_at(const rbc__ranked *ranked, int64_t rank);

#endif
