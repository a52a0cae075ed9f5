/* Fields of a batch, by name. */
#ifndef RBC_TESTS_LOADER_FIELDS_H
#define RBC_TESTS_LOADER_FIELDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <robocache/robocache.h>

static inline void expect_ok(rbc_status status, const rbc_error *error) {
    if (status != RBC_OK) {
        fail_msg("status %s: %s", rbc_status_name(status), error->message);
    }
}

/* The test fails where it is not there. */
static inline const rbc_field *field_of(const rbc_batch *batch, const char *name) {
    for (int32_t i = 0; i < rbc_batch_num_fields(batch); ++i) {
        if (strcmp(rbc_batch_field(batch, i)->name, name) == 0) {
            return rbc_batch_field(batch, i);
        }
    }
    fail_msg("no field '%s'", name);
    return NULL;
}

static inline const uint8_t *bytes_of(const rbc_batch *batch, const char *name) {
    return field_of(batch, name)->tensor.data;
}

static inline const int64_t *numbers_of(const rbc_batch *batch, const char *name) {
    return field_of(batch, name)->tensor.data;
}

static inline int64_t num_rows(const rbc_batch *batch) {
    return rbc_batch_field(batch, 0)->tensor.shape[0];
}

#endif
