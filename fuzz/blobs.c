/* Fuzzes the names of a part's files, which a catalog holds: no path leads out of the folder. An
 * input is groups of names as they are encoded. */
#include "fuzz.h"

#include <string.h>

#include "layout/blobs.h"

/* Each part of a path that stays inside is a name: neither empty nor "." nor "..". */
static void require_inside(const char *path) {
    fuzz_require(path[0] != '\0');
    for (const char *part = path; part != NULL;) {
        const char *slash = strchr(part, '/');
        const size_t length = slash != NULL ? (size_t)(slash - part) : strlen(part);
        fuzz_require(length > 0 && !(length == 1 && part[0] == '.') &&
                     !(length == 2 && part[0] == '.' && part[1] == '.'));
        part = slash != NULL ? slash + 1 : NULL;
    }
}

static void use_path(const rbc__blobs *blobs, uint64_t number) {
    const uint64_t count = rbc__blobs_count(blobs);
    char *path;
    int64_t size;
    rbc_error err;
    const rbc_status status = rbc__blobs_path(blobs, (uint32_t)number, &path, &size, &err);
    fuzz_require((status == RBC_OK) == (number >= 1 && number <= count));
    if (status == RBC_OK) {
        require_inside(path);
        fuzz_require(size >= -1);
    } else {
        fuzz_require(path == NULL && status == RBC_ERROR_FORMAT);
    }
    free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__blobs *blobs;
    rbc_error err;
    if (rbc__blobs_parse(data, size, "fuzz", &blobs, &err) != RBC_OK) {
        fuzz_require(blobs == NULL && strncmp(err.message, "fuzz: byte ", 11) == 0);
        return 0;
    }
    const uint64_t count = rbc__blobs_count(blobs);
    fuzz_require(count < RBC__COLUMN_BLOB);
    for (uint64_t i = 0; i < 8; ++i) {
        use_path(blobs, i);
        use_path(blobs, count + 1 - (i <= count ? i : 0));
        use_path(blobs, 1 + count / 8 * i);
    }
    use_path(blobs, RBC__COLUMN_BLOB);
    free(blobs);
    return 0;
}
