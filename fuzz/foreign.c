/* Fuzzes the description of files that are not what their path says. The first byte of an input is
 * the room for it and whether plain text is foreign there. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "io/foreign.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    const size_t room = 1 + 3 * (size_t)(data[0] % 128);
    char *out = malloc(room); /* its very size, so that the sanitizers see its end */
    fuzz_require(out != NULL);
    if (rbc__foreign_describe(data + 1, size - 1, data[0] >= 128, out, room)) {
        fuzz_require(memchr(out, '\0', room) != NULL);
        fuzz_drain(out, strlen(out));
    }
    free(out);
    return 0;
}
