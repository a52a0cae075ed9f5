#include "fuzz.h"

#include <stdlib.h>

static uint8_t drained;

void fuzz_require(bool condition) {
    if (!condition) {
        abort();
    }
}

void fuzz_drain(const void *data, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i++) {
        drained ^= ((const uint8_t *)data)[i];
    }
}
