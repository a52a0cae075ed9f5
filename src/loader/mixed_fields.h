/* The fields of a batch that the datasets of a mixture fill alike. */
#ifndef RBC_LOADER_MIXED_FIELDS_H
#define RBC_LOADER_MIXED_FIELDS_H

#include "loader/batch_spec.h"

/* What one dataset makes of a sample. */
typedef struct rbc__mixed_spec {
    const char *name; /* of the dataset */
    rbc__batch_spec *spec;
    const char *const *absent; /* [num_absent] windows that others have and this one does not */
    int32_t num_absent;
} rbc__mixed_spec;

/* Gives all specs, each of which has its own fields, the fields of all of them at the same offsets,
 * and each the list of those that it lacks. INVALID_ARGUMENT naming field and datasets where two
 * have a field in other shapes or dtypes, one lacks a field and does not say so, or a slot would
 * not fit int64; OUT_OF_MEMORY. */
rbc_status rbc__mixed_fields_join(const rbc__mixed_spec *specs, int32_t count, rbc_error *err);

#endif
