/* Checksums that lie behind the data. */
#include <isa-l/crc.h>
#include <string.h>

#include "packing/method.h"

/* Reduced modulo 65535 to 16 bits, 0 only where the sum is. */
static uint32_t fold(uint64_t sum) {
    while (sum > UINT16_MAX) {
        sum = (sum & UINT16_MAX) + (sum >> 16);
    }
    return (uint32_t)sum;
}

static uint32_t swapped(uint64_t halfword) {
    return __builtin_bswap16((uint16_t)halfword);
}

/* Of big-endian 16-bit words. Sums modulo 65535 of words in the other order are those with their
 * bytes in the other order. */
static uint32_t fletcher32(const uint8_t *at, size_t num_bytes) {
    enum { MOST_WORDS = 1 << 20 }; /* the second sum stays below 2^57 + 2^37 */
    uint64_t first = 0;
    uint64_t second = 0;
    size_t num_words = num_bytes / 2;
    while (num_words > 0) {
        size_t part = num_words < MOST_WORDS ? num_words : MOST_WORDS;
        num_words -= part;
        for (; part > 0; --part, at += 2) {
            uint16_t word;
            memcpy(&word, at, sizeof word);
            first += word;
            second += first;
        }
        first = fold(first);
        second = fold(second);
    }
    if (num_bytes % 2 == 1) {
        first = fold(first + *at);
        second = fold(second + first);
    }
    return swapped(second) << 16 | swapped(first);
}

static uint32_t read_stored(const rbc__undoing *undoing) {
    uint32_t stored;
    memcpy(&stored, undoing->in + undoing->in_bytes - 4, sizeof stored);
    return stored;
}

static rbc_status fail_sum(const rbc__undoing *undoing, uint32_t found, rbc_error *err) {
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT,
                             "the sum of %zu bytes is %08x, wanted %08x as stored behind them",
                             undoing->in_bytes - 4, found, read_stored(undoing));
}

rbc_status rbc__undo_fletcher32(rbc__undoing *undoing, rbc_error *err) {
    const uint32_t stored = read_stored(undoing);
    const uint32_t found = fletcher32(undoing->in, undoing->in_bytes - 4);
    /* HDF5 before 1.6.3 wrote both halves with their bytes swapped. */
    const uint32_t early = swapped(found >> 16) << 16 | swapped(found & UINT16_MAX);
    return stored == found || stored == early ? RBC_OK : fail_sum(undoing, found, err);
}

rbc_status rbc__undo_crc32c(rbc__undoing *undoing, rbc_error *err) {
    uint32_t crc = UINT32_MAX; /* ISA-L leaves the inversions before and after to its caller */
    for (size_t at = 0; at < undoing->in_bytes - 4;) {
        const size_t left = undoing->in_bytes - 4 - at;
        const int part = left > (1U << 30) ? 1 << 30 : (int)left;
        crc = crc32_iscsi((unsigned char *)(uintptr_t)(undoing->in + at), part, crc);
        at += (size_t)part;
    }
    return ~crc == read_stored(undoing) ? RBC_OK : fail_sum(undoing, ~crc, err);
}
