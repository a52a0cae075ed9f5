#include "formats/format.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/error.h"

static const struct {
    const rbc__format *ops;
    const char *looked_for;
} readers[] = {
    {&rbc__rlds_format, "features.json, dataset_info.json or *.tfrecord*"},
};

rbc_status rbc__format_find(const char *path, const rbc__format **out, rbc_error *err) {
    *out = NULL;
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? rbc__fail(err, RBC_ERROR_NOT_FOUND, "%s: there is no such file or folder",
                               path)
                   : rbc__fail_errno(err, errno, "%s: cannot be looked at", path);
    }
    const size_t count = sizeof readers / sizeof readers[0];
    for (size_t i = 0; i < count; ++i) {
        if (readers[i].ops->probe(path)) {
            *out = readers[i].ops;
            return RBC_OK;
        }
    }
    rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%s (looked for %s)", readers[0].ops->format,
              readers[0].looked_for);
    for (size_t i = 1; i < count; ++i) {
        rbc__fail_within(err, RBC_ERROR_UNSUPPORTED, "%s (looked for %s)", readers[i].ops->format,
                         readers[i].looked_for);
    }
    return rbc__fail_within(err, RBC_ERROR_UNSUPPORTED,
                            "%s: no reader knows what is there; the formats are", path);
}
