#include "ops/resample_sources.h"

#include <stdbool.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/params.h"

static bool are_of_this_header(const rbc_resample_source *given, int32_t count) {
    for (int32_t i = 0; i < count; ++i) {
        if (given[i].struct_size != sizeof *given) {
            return false;
        }
    }
    return true;
}

rbc_status rbc__resample_sources_read(const rbc_resample_source *given, int32_t count,
                                      rbc_resample_source **room, const rbc_resample_source **out,
                                      rbc_error *err) {
    *room = NULL;
    *out = given;
    if (given == NULL || are_of_this_header(given, count)) {
        return RBC_OK;
    }
    rbc_resample_source *copies = calloc((size_t)count, sizeof *copies);
    if (copies == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d sources", (int)count);
    }
    for (int32_t i = 0; i < count; ++i) {
        copies[i] = (rbc_resample_source)RBC_RESAMPLE_SOURCE_INIT;
        const rbc_status status =
            rbc__params_read_item(given, i, &copies[i], sizeof *copies, "sources", err);
        if (status != RBC_OK) {
            free(copies);
            return status;
        }
        copies[i].struct_size = sizeof *copies;
    }
    *room = copies;
    *out = copies;
    return RBC_OK;
}
