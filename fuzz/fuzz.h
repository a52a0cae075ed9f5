/* What every fuzz target needs. */
#ifndef RBC_FUZZ_FUZZ_H
#define RBC_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A finding where it does not hold. */
static inline void fuzz_require(bool condition) {
    if (!condition) {
        abort();
    }
}

/* Every byte is looked at, so that the sanitizers see it. */
void fuzz_drain(const void *data, uint64_t bytes);

#endif
