#include "loader/permutation.h"

#include "core/hash.h"

#define MIN_BITS 6U

static uint64_t draw(uint64_t *state) {
    *state += RBC__GOLDEN;
    return rbc__mix64(*state);
}

uint64_t rbc__permutation_hash(uint64_t seed, uint64_t epoch, uint64_t number) {
    return rbc__mix64(rbc__mix64(rbc__mix64(seed + RBC__GOLDEN) ^ epoch) + number);
}

void rbc__permutation_init(rbc__permutation *out, uint64_t size, uint64_t seed, uint64_t epoch) {
    uint32_t bits = MIN_BITS;
    while (bits < 62 && (UINT64_C(1) << bits) < size) {
        ++bits;
    }
    out->size = size;
    out->low_bits = bits - bits / 2;
    out->high_bits = bits / 2;
    uint64_t state =
        rbc__mix64(seed) ^ rbc__mix64(rbc__mix64(epoch) + UINT64_C(0xd1b54a32d192ed03));
    for (int i = 0; i < RBC__PERMUTATION_ROUNDS; ++i) {
        out->keys[i] = draw(&state);
    }
}

uint64_t rbc__permutation_at(const rbc__permutation *permutation, uint64_t index) {
    const uint32_t low_bits = permutation->low_bits;
    const uint64_t low_mask = (UINT64_C(1) << low_bits) - 1;
    const uint64_t high_mask = (UINT64_C(1) << permutation->high_bits) - 1;
    uint64_t low = index & low_mask;
    uint64_t high = index >> low_bits;
    uint64_t image;
    do {
        for (int i = 0; i < RBC__PERMUTATION_ROUNDS; i += 2) {
            high ^= rbc__mix64(low + permutation->keys[i]) & high_mask;
            low ^= rbc__mix64(high + permutation->keys[i + 1]) & low_mask;
        }
        image = (high << low_bits) | low;
    } while (image >= permutation->size);
    return image;
}
