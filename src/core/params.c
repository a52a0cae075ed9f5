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
                         "%s.struct_size is %zu; wanted %zu to %zu: begin with its initialiser",
                         name, bytes, sizeof bytes, known_bytes);
    }
    memcpy(known, given, bytes);
    return RBC_OK;
}

rbc_status rbc__params_read_item(const void *array, int32_t index, void *known, size_t known_bytes,
                                 const char *name, rbc_error *err) {
    size_t stride, bytes;
    memcpy(&stride, array, sizeof stride);
    if (stride < sizeof stride || stride > known_bytes || stride % _Alignof(size_t) != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s[0].struct_size is %zu; wanted %zu to %zu, a multiple of %zu: begin "
                         "with its initialiser",
                         name, stride, sizeof stride, known_bytes, _Alignof(size_t));
    }
    const char *item = (const char *)array + (size_t)index * stride;
    memcpy(&bytes, item, sizeof bytes);
    if (bytes != stride) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s[%d].struct_size is %zu; wanted %zu as %s[0] has", name, (int)index,
                         bytes, stride, name);
    }
    memcpy(known, item, stride);
    return RBC_OK;
}
