/* TFRecord framing: u64 length, u32 masked crc32c of the length, payload, u32 masked crc32c of the
 * payload; little-endian. */
#ifndef RBC_FORMATS_RLDS_FRAMING_H
#define RBC_FORMATS_RLDS_FRAMING_H

#include <robocache/robocache.h>

#include "io/source.h"
#include "io/whole.h"

#define RBC__TFRECORD_HEADER_BYTES 12
#define RBC__TFRECORD_FOOTER_BYTES 4

/* CRC-32C (Castagnoli) of `bytes`, and the same as TFRecord stores it. */
uint32_t rbc__crc32c(const void *data, uint64_t bytes);
uint32_t rbc__crc32c_masked(const void *data, uint64_t bytes);

typedef struct rbc__frame {
    uint64_t offset; /* of the payload */
    uint64_t bytes;  /* of the payload */
    uint64_t next;   /* offset of the next frame */
} rbc__frame;

/* Parses the frame at `offset`, which lies before the source's end, and checks its length field.
 * FORMAT when the header is cut short, its CRC is wrong or the payload reaches past the end. */
rbc_status rbc__frame_header(rbc__source *source, uint64_t offset, rbc__scratch *scratch,
                             rbc__frame *out, rbc_error *err);

/* The same at byte 0; a file that is none of TFRecords at all is named as what it is. */
rbc_status rbc__frame_first(rbc__source *source, rbc__scratch *scratch, rbc__frame *out,
                            rbc_error *err);

/* How a file that does not begin with a record is compressed as a whole, if it is. */
rbc_status rbc__frame_packed(rbc__source *source, rbc__whole *whole, rbc_error *err);

/* Checks the payload's CRC and points `payload` at it, as rbc__source_view() does. */
rbc_status rbc__frame_payload(rbc__source *source, const rbc__frame *frame, rbc__scratch *scratch,
                              const uint8_t **payload, rbc_error *err);

/* The 12 bytes before and the 4 bytes after a payload, for writing. */
void rbc__frame_make_header(uint64_t payload_bytes, uint8_t out[RBC__TFRECORD_HEADER_BYTES]);
void rbc__frame_make_footer(const void *payload, uint64_t bytes,
                            uint8_t out[RBC__TFRECORD_FOOTER_BYTES]);

#endif
