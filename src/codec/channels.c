#include "codec/channels.h"

#include <string.h>

static uint32_t sample_at(const uint8_t *pixel, int channel, int bits) {
    if (bits == 8) {
        return pixel[channel];
    }
    uint16_t value;
    memcpy(&value, pixel + 2 * channel, sizeof value);
    return value;
}

static void sample_put(uint8_t *pixel, int channel, int bits, uint32_t value) {
    if (bits == 8) {
        pixel[channel] = (uint8_t)value;
        return;
    }
    const uint16_t narrow = (uint16_t)value;
    memcpy(pixel + 2 * channel, &narrow, sizeof narrow);
}

/* ITU-R BT.601 luma, as a JPEG's own grey channel; the weights sum to 2^16. */
static uint32_t luma(const uint8_t *pixel, int bits) {
    const uint64_t sum = UINT64_C(19595) * sample_at(pixel, 0, bits) +
                         UINT64_C(38470) * sample_at(pixel, 1, bits) +
                         UINT64_C(7471) * sample_at(pixel, 2, bits);
    return (uint32_t)((sum + 32768) >> 16);
}

void rbc__channels_convert(const uint8_t *src, int src_channels, uint8_t *dst, int dst_channels,
                           int64_t width, int bits) {
    const int bytes = bits / 8;
    if (src_channels == dst_channels) {
        memcpy(dst, src, (size_t)(width * dst_channels * bytes));
        return;
    }
    for (int64_t x = 0; x < width; ++x) {
        const uint8_t *from = src + x * src_channels * bytes;
        uint8_t *to = dst + x * dst_channels * bytes;
        if (dst_channels >= 3) {
            memcpy(to, from, (size_t)(dst_channels * bytes));
            continue;
        }
        sample_put(to, 0, bits, luma(from, bits));
        if (dst_channels == 2) {
            sample_put(to, 1, bits, sample_at(from, 3, bits));
        }
    }
}
