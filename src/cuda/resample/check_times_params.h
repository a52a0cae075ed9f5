/* What a launch that checks time stamps passes; read by the host and the device compiler.
 * Shared within src/cuda/resample. */
#ifndef RBC_CUDA_CHECK_TIMES_PARAMS_H
#define RBC_CUDA_CHECK_TIMES_PARAMS_H

#include <stdint.h>

enum { CHECK_THREADS = 256 };

typedef struct check_times_launch {
    const char *times;
    int64_t batch_stride, stride;
    const char *lengths; /* NULL: count everywhere */
    int64_t lengths_stride;
    int64_t batch, count;
    uint32_t *is_wrong; /* set to 1 where a stamp may not be */
    uint32_t lengths_are_i64;
    uint32_t time_type;
    uint32_t are_targets; /* in any order, and infinite if they like */
    uint32_t unused;      /* no holes: launches are compared by their bytes */
} check_times_launch;

#endif
