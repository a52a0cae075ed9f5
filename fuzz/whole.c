/* Fuzzes files that are compressed as a whole: what they hold comes in order, and they are unpacked
 * or refused, the same whoever asks. An input is such a file. */
#include "fuzz.h"

#include <string.h>

#include "io/whole.h"

typedef struct taken {
    uint64_t bytes, packed, max_packed, hash;
    uint64_t enough; /* bytes after which no more is taken */
} taken;

static rbc_status take(void *user, const uint8_t *data, size_t bytes, uint64_t packed,
                       rbc_error *err) {
    taken *t = user;
    (void)err;
    fuzz_require(packed >= t->packed && packed <= t->max_packed);
    t->packed = packed;
    t->bytes += bytes;
    for (size_t i = 0; i < bytes; ++i) {
        t->hash = (t->hash ^ data[i]) * UINT64_C(0x100000001b3);
    }
    return t->bytes >= t->enough ? RBC_END : RBC_OK;
}

static rbc_status unpack(const uint8_t *data, size_t size, rbc__whole whole, uint64_t enough,
                         taken *t) {
    rbc__source *source;
    rbc_error err = {0};
    *t = (taken){.max_packed = size, .enough = enough};
    fuzz_require(rbc__source_from_memory(data, size, "fuzz", &source, NULL) == RBC_OK);
    const rbc_status status = rbc__whole_unpack(source, whole, take, t, &err);
    if (status != RBC_OK && status != RBC_END) {
        fuzz_require(status == RBC_ERROR_FORMAT && strstr(err.message, "fuzz") != NULL);
    }
    int64_t least;
    fuzz_require(rbc__whole_size(source, whole, &least, &err) == RBC_OK ||
                 err.status == RBC_ERROR_FORMAT);
    rbc__source_close(&source);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const rbc__whole whole = rbc__whole_of(data, size);
    taken all;
    taken again;
    if (whole == RBC__WHOLE_PLAIN) {
        return 0;
    }
    fuzz_require(rbc__whole_name(whole) != NULL);
    const rbc_status status = unpack(data, size, whole, UINT64_MAX, &all);
    fuzz_require(unpack(data, size, whole, UINT64_MAX, &again) == status);
    fuzz_require(all.bytes == again.bytes && all.hash == again.hash);
    (void)unpack(data, size, whole, 1, &again); /* no more than the first window */
    fuzz_require(again.bytes <= all.bytes);
    return 0;
}
