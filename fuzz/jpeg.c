/* Fuzzes images that begin as JPEGs do. */
#include "image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_image(data, size);
    return 0;
}
