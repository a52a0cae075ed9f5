#include "fuzz.h"

static uint8_t drained;

void fuzz_drain(const void *data, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; ++i) {
        drained ^= ((const uint8_t *)data)[i];
    }
}
