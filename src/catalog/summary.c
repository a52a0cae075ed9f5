#include "catalog/summary.h"

static size_t put(uint8_t *dst, uint64_t value) {
    size_t bytes = 0;
    while (value >= 0x80) {
        dst[bytes++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    dst[bytes++] = (uint8_t)value;
    return bytes;
}

static bool get(const uint8_t **at, const uint8_t *end, uint64_t *out) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) == 0) {
            *out = value;
            return true;
        }
    }
    return false;
}

/* Differences wrap around, so that any two stamps have one. Small ones of either sign are short. */
static uint64_t fold(int64_t from, int64_t to) {
    const uint64_t difference = (uint64_t)to - (uint64_t)from;
    return difference << 1 ^ (UINT64_C(0) - (difference >> 63));
}

static int64_t unfold(int64_t from, uint64_t folded) {
    return (int64_t)((uint64_t)from + (folded >> 1 ^ (UINT64_C(0) - (folded & 1))));
}

size_t rbc__summary_put(uint8_t *dst, const rbc__summary_entry *entry, int64_t previous_start_ns) {
    size_t bytes = put(dst, (uint64_t)entry->num_steps);
    bytes += put(dst + bytes, fold(previous_start_ns, entry->start_ns));
    bytes += put(dst + bytes, fold(entry->start_ns, entry->end_ns));
    return bytes;
}

bool rbc__summary_get(const uint8_t **at, const uint8_t *end, int64_t previous_start_ns,
                      rbc__summary_entry *out) {
    uint64_t steps;
    uint64_t start;
    uint64_t duration;
    if (!get(at, end, &steps) || !get(at, end, &start) || !get(at, end, &duration) ||
        steps > INT64_MAX) {
        return false;
    }
    out->num_steps = (int64_t)steps;
    out->start_ns = unfold(previous_start_ns, start);
    out->end_ns = unfold(out->start_ns, duration);
    return true;
}
