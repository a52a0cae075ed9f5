#include "core/bad_time.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/error.h"

enum { TEXT_BYTES = 48 };

/* "[3, 7]", or "[7]" for times that the batch shares. */
static const char *place(char *buffer, bool is_shared, int64_t row, int64_t index) {
    if (is_shared) {
        (void)snprintf(buffer, TEXT_BYTES, "[%" PRId64 "]", index);
    } else {
        (void)snprintf(buffer, TEXT_BYTES, "[%" PRId64 ", %" PRId64 "]", row, index);
    }
    return buffer;
}

static const char *time_text(char *buffer, rbc__dtype dtype, const void *time) {
    if (dtype == RBC__I64) {
        (void)snprintf(buffer, TEXT_BYTES, "%" PRId64, *(const int64_t *)time);
    } else if (dtype == RBC__F64) {
        (void)snprintf(buffer, TEXT_BYTES, "%.17g", *(const double *)time);
    } else {
        (void)snprintf(buffer, TEXT_BYTES, "%.9g", (double)*(const float *)time);
    }
    return buffer;
}

rbc_status rbc__fail_bad_time(const rbc__bad_time *found, rbc_error *err) {
    char at[TEXT_BYTES], at_before[TEXT_BYTES], value[TEXT_BYTES], value_before[TEXT_BYTES];
    place(at, found->is_shared, found->row, found->index);
    time_text(value, found->dtype, found->time);
    if (found->before == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s%s is %s; wanted a finite time",
                         found->name, at, value);
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "%s%s is %s, less than %s%s, which is %s; wanted times that do not decrease",
                     found->name, at, value, found->name,
                     place(at_before, found->is_shared, found->row, found->index - 1),
                     time_text(value_before, found->dtype, found->before));
}

rbc_status rbc__fail_nan_target(bool is_shared, int64_t row, int64_t index, rbc_error *err) {
    char at[TEXT_BYTES];
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "target_times%s is NaN; wanted a time",
                     place(at, is_shared, row, index));
}

rbc_status rbc__fail_wide_times(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "the first and last source time are further apart than their type can hold");
}
