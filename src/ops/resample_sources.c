#include "ops/resample_sources.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

rbc_status rbc__resample_sources_read(const rbc_resample_source *given, int32_t count,
                                      rbc_resample_source **room, const rbc_resample_source **out,
                                      rbc_error *err) {
    *room = NULL;
    *out = given;
    if (given == NULL || count < 1 || given->struct_size == sizeof *given) {
        return RBC_OK;
    }
    const size_t bytes = given->struct_size;
    if (bytes < sizeof bytes || bytes > sizeof *given || bytes % _Alignof(rbc_resample_source)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "struct_size is %zu; wanted %zu (use RBC_RESAMPLE_SOURCE_INIT)", bytes,
                         sizeof *given);
    }
    rbc_resample_source *copies = calloc((size_t)count, sizeof *copies);
    if (copies == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d sources", (int)count);
    }
    const char *at = (const char *)given;
    for (int32_t i = 0; i < count; ++i, at += bytes) {
        copies[i] = (rbc_resample_source)RBC_RESAMPLE_SOURCE_INIT;
        memcpy(&copies[i], at, bytes);
        if (copies[i].struct_size != bytes) {
            const size_t found = copies[i].struct_size;
            free(copies);
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "sources[%d].struct_size is %zu; wanted %zu as the first has", (int)i,
                             found, bytes);
        }
        copies[i].struct_size = sizeof *copies;
    }
    *room = copies;
    *out = copies;
    return RBC_OK;
}
