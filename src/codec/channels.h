/* Rows of pixels with fewer channels than they were decoded with. Shared within src/codec. */
#ifndef RBC_CODEC_CHANNELS_H
#define RBC_CODEC_CHANNELS_H

#include <stdint.h>

/* One row as it is, or of RGB or RGBA to fewer channels: grey by ITU-R BT.601's luma, grey and alpha,
 * or RGB. `bits` a channel, 8 or 16 in native byte order. */
void rbc__channels_convert(const uint8_t *src, int src_channels, uint8_t *dst, int dst_channels,
                           int64_t width, int bits);

#endif
