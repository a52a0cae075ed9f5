#include "io/utf8.h"

/* Bytes of the sequence that `lead` begins, 0 when it begins none, and the range its second byte
 * must be in. */
static unsigned sequence_bytes(uint8_t lead, uint8_t *low, uint8_t *high) {
    *low = 0x80;
    *high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 2;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        *low = lead == 0xe0 ? 0xa0 : 0x80;
        *high = lead == 0xed ? 0x9f : 0xbf;
        return 3;
    }
    if (lead >= 0xf0 && lead <= 0xf4) {
        *low = lead == 0xf0 ? 0x90 : 0x80;
        *high = lead == 0xf4 ? 0x8f : 0xbf;
        return 4;
    }
    return 0;
}

bool rbc__utf8_check(const uint8_t *bytes, uint64_t num_bytes, uint64_t *bad_at) {
    uint64_t at = 0;
    while (at < num_bytes) {
        const uint8_t lead = bytes[at];
        if (lead >= 1 && lead < 0x80) {
            ++at;
            continue;
        }
        uint8_t low;
        uint8_t high;
        const unsigned length = sequence_bytes(lead, &low, &high);
        *bad_at = at;
        if (length == 0 || length > num_bytes - at || bytes[at + 1] < low || bytes[at + 1] > high) {
            return false;
        }
        for (unsigned i = 2; i < length; ++i) {
            if ((bytes[at + i] & 0xc0) != 0x80) {
                return false;
            }
        }
        at += length;
    }
    return true;
}
