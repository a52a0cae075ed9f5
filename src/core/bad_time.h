/* The message about a time stamp that may not be, the same from every backend. */
#ifndef RBC_CORE_BAD_TIME_H
#define RBC_CORE_BAD_TIME_H

#include "core/tensor.h"

typedef struct rbc__bad_time {
    const char *name; /* of the argument: "source_times" */
    bool is_shared;   /* one row of stamps for the whole batch */
    int64_t row, index;
    rbc__dtype dtype;   /* RBC__I64, RBC__F64 or RBC__F32 */
    const void *time;   /* in host memory */
    const void *before; /* its predecessor, which is later; NULL: the time is not finite */
} rbc__bad_time;

/* INVALID_ARGUMENT, saying which stamp it is, what it is and what was wanted. */
rbc_status rbc__fail_bad_time(const rbc__bad_time *found, rbc_error *err);

/* The same for a target time, which may be anything but NaN. */
rbc_status rbc__fail_nan_target(bool is_shared, int64_t row, int64_t index, rbc_error *err);

/* The same for a row whose ends are too far apart. */
rbc_status rbc__fail_wide_times(rbc_error *err);

#endif
