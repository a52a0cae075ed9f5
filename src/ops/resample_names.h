/* What the arguments of a source are called in messages. */
#ifndef RBC_OPS_RESAMPLE_NAMES_H
#define RBC_OPS_RESAMPLE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

/* Those of the first eight sources are at hand, so that the usual call formats nothing. */
typedef struct rbc__resample_names {
    const char *values, *times, *lengths, *channels, *prefix;
    char text[5][40];
} rbc__resample_names;

/* Of source `index` of a fuse, or of the one source of a resample. `n` must not move. */
void rbc__resample_names_set(rbc__resample_names *n, bool is_fuse, int32_t index);

#endif
