/* Fuzzes the check of text against a decoder that does what RFC 3629 says, one code point at a
 * time. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "io/utf8.h"

/* Bytes of the code point that begins here, 0 where there is none. */
static size_t decode(const uint8_t *bytes, size_t room) {
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 1}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t length = 1; length <= 4 && length <= room; ++length) {
        if ((bytes[0] & forms[length - 1].mask) != forms[length - 1].lead) {
            continue;
        }
        uint32_t point = bytes[0] & (uint8_t)~forms[length - 1].mask;
        for (size_t i = 1; i < length; ++i) {
            if ((bytes[i] & 0xC0) != 0x80) {
                return 0;
            }
            point = point << 6 | (bytes[i] & 0x3F);
        }
        return point >= forms[length - 1].least && point <= 0x10FFFF &&
                       !(point >= 0xD800 && point <= 0xDFFF)
                   ? length
                   : 0;
    }
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *bytes = malloc(size + (size == 0)); /* its very size, so that the sanitizers see it */
    fuzz_require(bytes != NULL);
    memcpy(bytes, data, size);
    size_t good = 0; /* bytes of the code points before the first bad one */
    for (size_t length; good < size && (length = decode(bytes + good, size - good)) > 0;) {
        good += length;
    }
    uint64_t bad_at = size;
    fuzz_require(rbc__utf8_check(bytes, size, &bad_at) == (good == size));
    fuzz_require(good == size || bad_at == good);
    free(bytes);
    return 0;
}
