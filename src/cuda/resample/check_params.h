/* What a launch that checks time stamps passes; read by the host and the device compiler. */
#ifndef RBC_CUDA_KERNELS_CHECK_PARAMS_H
#define RBC_CUDA_KERNELS_CHECK_PARAMS_H

#include <stdint.h>

#define CHECK_NOTHING (~UINT64_C(0))
#define CHECK_WIDE    (CHECK_NOTHING - 1) /* the ends of a row are too far apart */

enum { CHECK_THREADS = 256 };

/* Stamp i of batch row b that is wrong makes *found at most b * row_keys + first_key + i. */
typedef struct check_launch {
    const char *times;
    int64_t batch_stride, stride;
    const char *lengths; /* NULL: count everywhere */
    int64_t lengths_stride;
    int64_t batch, count;
    uint64_t row_keys, first_key;
    unsigned long long *found;
    uint32_t lengths_are_i64;
    uint32_t time_type;
    uint32_t are_targets; /* in any order, and infinite if they like */
    uint32_t unused;      /* no holes: launches are compared by their bytes */
} check_launch;

#endif
