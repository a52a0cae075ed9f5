/* How the bytes of a sample mean values. The numbers are stored in catalogs: none is ever given
 * another meaning. */
#ifndef RBC_LAYOUT_ENCODING_H
#define RBC_LAYOUT_ENCODING_H

#include <stdbool.h>

#include <robocache/robocache.h>

typedef enum rbc__encoding {
    RBC__ENCODING_PLAIN = 0,   /* numbers of the stored dtype, C order, little-endian */
    RBC__ENCODING_SWAPPED = 1, /* the same, big-endian */
    RBC__ENCODING_VARINT = 2,  /* integers, a protobuf varint each */
    RBC__ENCODING_NPY = 3,     /* a NumPy array with its header, of the stream's shape and dtype */
    RBC__ENCODING_TEXT = 4,    /* UTF-8 */
    RBC__ENCODING_STRING = 5,  /* int32: number of a text of the catalog; -1: none */
    RBC__ENCODING_IMAGE = 6,   /* JPEG, PNG or JPEG XL, as its first bytes say */
    RBC__ENCODING_PIXELS = 7,  /* height x width x channels of the stored dtype, C order */
    RBC__ENCODING_FRAME = 8,   /* number of a frame of a track */
    RBC__ENCODING_ROS = 9,     /* an image's rows; its dtype is an rbc__ros_pixels */
    RBC__ENCODING_CLOUD = 10,  /* fields of a point, as the stream says (fields.h) */
    RBC__NUM_ENCODINGS
} rbc__encoding;

/* "plain"; NULL for what is none. */
const char *rbc__encoding_name(uint32_t encoding);
/* UNSUPPORTED, naming all that are known. */
rbc_status rbc__encoding_find(const char *name, rbc__encoding *out, rbc_error *err);

/* Whether a stored dtype is one of the encoding, and its name: "float32", "bgr8". */
bool rbc__encoding_has(uint32_t encoding, uint32_t stored);
const char *rbc__stored_name(uint32_t encoding, uint32_t stored);
/* UNSUPPORTED, INVALID_ARGUMENT: no such name is known. */
rbc_status rbc__stored_find(rbc__encoding encoding, const char *name, uint8_t *out, rbc_error *err);

#endif
