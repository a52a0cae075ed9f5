/* Pixels as ROS messages have them: rows that may be padded, channels in several orders, and either
 * byte order. What they are is known beside them. Interface of src/codec.
 *
 * Grey, depth and mosaics (bayer_*) are one channel, delivered as it is stored, or three times
 * where three are wanted. Colour is delivered as RGB or RGBA; alpha that is not wanted is left
 * out. */
#ifndef RBC_CODEC_ROS_IMAGE_H
#define RBC_CODEC_ROS_IMAGE_H

#include "codec/codec.h"

/* The numbers are stored in catalogs: none is ever given another meaning. */
typedef enum rbc__ros_pixels {
    RBC__ROS_MONO8 = 0, /* mono8, 8UC1, bayer_*8 */
    RBC__ROS_RGB8 = 1,  /* rgb8, 8UC3 */
    RBC__ROS_BGR8 = 2,
    RBC__ROS_RGBA8 = 3, /* rgba8, 8UC4 */
    RBC__ROS_BGRA8 = 4,
    RBC__ROS_MONO16 = 5, /* mono16, 16UC1, bayer_*16 */
    RBC__ROS_RGB16 = 6,  /* rgb16, 16UC3 */
    RBC__ROS_BGR16 = 7,
    RBC__ROS_RGBA16 = 8, /* rgba16, 16UC4 */
    RBC__ROS_BGRA16 = 9,
    RBC__ROS_NUM_ORDERS = 10,
    RBC__ROS_BIG_ENDIAN = 16, /* added to those of 16 bits */
} rbc__ros_pixels;

/* "bgr8"; ">mono16" where the bytes are big-endian. NULL for what is none. */
const char *rbc__ros_pixels_name(uint32_t pixels);
/* By any of ROS's names, with ">" before it where is_bigendian. UNSUPPORTED, naming all that are
 * known. */
rbc_status rbc__ros_pixels_find(const char *name, uint8_t *out, rbc_error *err);

/* Whether such pixels can be delivered as channels of so many bits. */
bool rbc__ros_pixels_can(uint32_t pixels, int64_t channels, int32_t bits);

/* To `dst`, rows `row_stride_bytes` apart, of a shape that rbc__ros_pixels_can(). The bytes are
 * want->height rows of one size, at least that of their pixels: FORMAT where they are not. */
rbc_status rbc__ros_image_decode(uint32_t pixels, const uint8_t *bytes, uint64_t num_bytes,
                                 const char *name, const rbc__image_shape *want, void *dst,
                                 int64_t row_stride_bytes, rbc_error *err);

#endif
