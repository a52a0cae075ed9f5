/* Many JPEGs: what is known of each, and decoding them on a pool's threads.
 * Interface of src/codec. */
#ifndef RBC_CODEC_JPEG_BATCH_H
#define RBC_CODEC_JPEG_BATCH_H

#include "codec/codec.h"
#include "codec/jpeg_header.h"
#include "core/pool.h"

/* As rbc__jpeg_codec.probe(), held to the limits of scans, too, as decoding is. */
rbc_status rbc__jpeg_check(const uint8_t *bytes, uint64_t num_bytes, const char *name,
                           rbc__image_shape *out, rbc_error *err);

/* The same of a plain image of one scan, of its header. */
rbc_status rbc__jpeg_check_header(const rbc__jpeg_header *header, rbc__image_shape *out,
                                  rbc_error *err);

typedef struct rbc__jpeg_image {
    const uint8_t *bytes; /* on the host; NULL where they are elsewhere alone: it is plain then */
    uint64_t num_bytes;
    uint64_t at; /* where they begin, elsewhere */
    rbc__jpeg_header header;
    int64_t height, width, channels; /* of the pixels wanted */
    rbc_status status;               /* not OK: it cannot be decoded, and `problem` says why */
    rbc_error *problem;              /* owned; NULL also where there was no memory for it */
    char *out;                       /* rows without gaps; set anew by every call */
} rbc__jpeg_image;

/* Extents must be within what probing allows. */
static inline size_t rbc__jpeg_image_bytes(const rbc__jpeg_image *image) {
    return (size_t)(image->height * image->width * image->channels);
}

/* The error of image number `index`, which could not be decoded. Where its header did not say so,
 * it is decoded once more to hear why. */
rbc_status rbc__jpeg_image_fail(const rbc__jpeg_image *image, int64_t index, rbc_jpeg_dct dct,
                                rbc_error *err);

typedef struct rbc__jpeg_task {
    const rbc__jpeg_image *image; /* whose status is OK */
    void *out;                    /* rows without gaps; zeros where it fails */
    rbc_status status;            /* written */
} rbc__jpeg_task;

/* Decodes all. OUT_OF_MEMORY where there was too little for one; damaged ones are no error. */
rbc_status rbc__jpeg_decode_all(rbc__pool *pool, rbc_jpeg_dct dct, rbc__jpeg_task *tasks,
                                int64_t count, rbc_error *err);

#endif
