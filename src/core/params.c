#include "core/params.h"

#include <string.h>

#include "core/error.h"

rbc_status rbc__params_read(const void *given, void *known, size_t known_bytes, const char *name,
                            rbc_error *err) {
    if (given == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s is NULL", name);
    }
    size_t bytes;
    memcpy(&bytes, given, sizeof bytes);
    if (bytes < sizeof bytes || bytes > known_bytes) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s.struct_size is %zu; wanted 1 to %zu: begin with its initialiser", name,
                         bytes, known_bytes);
    }
    memcpy(known, given, bytes);
    return RBC_OK;
}
