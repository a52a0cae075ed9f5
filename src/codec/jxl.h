/* JPEG XL by libjxl: images of one frame, and chunks of arrays that are an image's frames.
 * Interface of src/codec. */
#ifndef RBC_CODEC_JXL_H
#define RBC_CODEC_JXL_H

#include <stddef.h>

#include "codec/codec.h"

/* All frames, one behind the other, as [frame, height, width, channels] of 8 bits, or of 16 in native
 * byte order, as the image has them. More than `room` bytes are RBC_END without a message, for they
 * may be tried again with more; *out_bytes is how many there are. FORMAT, UNSUPPORTED,
 * OUT_OF_MEMORY; messages do not say where. */
rbc_status rbc__jxl_frames(const uint8_t *bytes, uint64_t num_bytes, uint8_t *dst, size_t room,
                           size_t *out_bytes, rbc_error *err);

#endif
