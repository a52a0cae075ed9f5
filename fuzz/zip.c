/* Fuzzes the directory of zip archives: members lie within the bytes. An input is an archive. */
#include "fuzz.h"

#include <string.h>

#include "io/zip.h"

static void require_refusal(rbc_status status, const rbc_error *err) {
    fuzz_require(status == RBC_ERROR_FORMAT || status == RBC_ERROR_UNSUPPORTED);
    fuzz_require(strncmp(err->message, "archive", 7) == 0);
}

static void read_members(rbc__source *source, const rbc__zip *zip, const uint8_t *data,
                         size_t size) {
    rbc_error err;
    rbc_status status;
    rbc__zip_member member;
    uint64_t at = 0;
    while (rbc__zip_next(zip, source, &at, &member, &status, &err)) {
        uint64_t offset;
        fuzz_require(at <= zip->directory_bytes);
        fuzz_drain(member.name, member.name_bytes);
        status = rbc__zip_locate(source, zip, &member, &offset, &err);
        if (status != RBC_OK) {
            require_refusal(status, &err);
            continue;
        }
        fuzz_require(offset <= size && member.packed_bytes <= size - offset);
        fuzz_drain(data + offset, member.packed_bytes);
    }
    if (status != RBC_OK) {
        require_refusal(status, &err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__source *source;
    rbc_error err;
    rbc__zip zip = {0};
    if (rbc__source_from_memory(data, size, "archive", &source, &err) != RBC_OK) {
        return 0;
    }
    const rbc_status status = rbc__zip_read(source, &zip, &err);
    if (status == RBC_OK) {
        fuzz_require(zip.num_members <= size && zip.directory_bytes <= size);
        read_members(source, &zip, data, size);
    } else {
        require_refusal(status, &err);
    }
    rbc__zip_free(&zip);
    rbc__source_close(&source);
    return 0;
}
