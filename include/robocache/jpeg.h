/* JPEGs to pixels, many a call, on the CPU or on a GPU. */
#ifndef ROBOCACHE_JPEG_H
#define ROBOCACHE_JPEG_H

#include <robocache/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a JPEG's frequencies become pixels. Accurate is what libjpeg-turbo, and with it Pillow,
 * OpenCV and torchvision, do unless told otherwise; fast is what TensorFlow does. Each is the same
 * to the bit as theirs where the library has the same version. */
typedef enum rbc_jpeg_dct {
    RBC_JPEG_DCT_DEFAULT = 0, /* of a dataset: accurate; of a loader: that of its dataset */
    RBC_JPEG_DCT_ACCURATE = 1,
    RBC_JPEG_DCT_FAST = 2,
} rbc_jpeg_dct;

/* Encoded images whose headers were read: what rbc_decode_jpeg() decodes. Not changed by decoding,
 * which may be done any number of times, by one thread at a time. */
typedef struct rbc_jpeg_batch rbc_jpeg_batch;

typedef struct rbc_jpeg_params {
    size_t struct_size;
    int64_t height, width; /* that every image must have; 0, 0: whatever it has */
    int32_t channels;      /* 1: grey, 3: RGB, whatever the image is; 0: as many as it has */
    rbc_jpeg_dct dct;
} rbc_jpeg_params;

#define RBC_JPEG_PARAMS_INIT                                                                       \
    {.struct_size = sizeof(rbc_jpeg_params),                                                       \
     .height = 0,                                                                                  \
     .width = 0,                                                                                   \
     .channels = 0,                                                                                \
     .dct = RBC_JPEG_DCT_DEFAULT}

/* Reads the headers of `count` streams, bytes[i] of num_bytes[i] in host memory, on the context's
 * threads. The bytes are borrowed for as long as the batch lives. What is wrong with an image is no
 * error here: rbc_jpeg_batch_info() and rbc_decode_jpeg() say it. INVALID_ARGUMENT, OUT_OF_MEMORY.
 */
RBC_API rbc_status rbc_jpeg_batch_create(rbc_context *context, const void *const *bytes,
                                         const uint64_t *num_bytes, int64_t count,
                                         const rbc_jpeg_params *params, rbc_jpeg_batch **out,
                                         rbc_error *err);
/* The same of image i being data[offsets[i]:offsets[i + 1]] of a contiguous tensor u8 [N]; `offsets`
 * are [count + 1], on the host. `data` may be on a CUDA device: then the call waits for `stream`,
 * outputs must be on that device, and the streams are decoded where they lie, so that they must stay
 * as they are until that is done. What is not for the kernels, or has more than 1 KB before its data,
 * is copied to the host. Also UNSUPPORTED: `stream` is being captured. DEVICE. */
RBC_API rbc_status rbc_jpeg_batch_create_from(rbc_context *context, const DLTensor *data,
                                              const int64_t *offsets, int64_t count,
                                              const rbc_jpeg_params *params, void *stream,
                                              rbc_jpeg_batch **out, rbc_error *err);
RBC_API void rbc_jpeg_batch_destroy(rbc_jpeg_batch **batch);
RBC_API int64_t rbc_jpeg_batch_size(const rbc_jpeg_batch *batch);

typedef struct rbc_jpeg_info {
    int64_t height, width; /* 0 where no header could be read */
    int32_t channels;      /* of the pixels wanted */
    rbc_status status;     /* OK: worth decoding; else why not: FORMAT, UNSUPPORTED; NOT_FOUND for
                              an index outside the batch */
    int32_t on_cpu;        /* libjpeg-turbo decodes it whatever the backend */
} rbc_jpeg_info;
RBC_API void rbc_jpeg_batch_info(const rbc_jpeg_batch *batch, int64_t index, rbc_jpeg_info *out);

/* Bytes of scratch memory that rbc_decode_jpeg() needs for tensors on `device`. */
RBC_API rbc_status rbc_decode_jpeg_workspace(rbc_context *context, rbc_jpeg_batch *batch,
                                             DLDevice device, uint64_t *bytes, rbc_error *err);

/* Decodes a batch. Pixels are those of libjpeg-turbo with smooth upsampling, to the bit, on every
 * backend; EXIF orientation is not applied. An image of which the library would warn is damaged.
 *  outs      one tensor u8 [B, height, width, channels] or B tensors u8 [height, width, channels],
 *            all on one device, contiguous; an image that cannot be decoded becomes zeros
 *  valid     [B] bool or u8: whether each could be; or NULL: then the first that could not is the
 *            error of the call, which on CUDA waits for the stream and is UNSUPPORTED while that is
 *            captured
 *  workspace u8 of at least rbc_decode_jpeg_workspace() bytes, 16-byte aligned, same device; may be
 *            NULL where that is 0
 * On CUDA streams on the host are copied when the call is made, and kernels decode sequential
 * Huffman-coded images of 8 bits. Others (progressive, arithmetic, with markers out of order) are
 * decoded by the context's threads during the call, and copied. A captured call decodes
 * the same streams when it is replayed. INVALID_ARGUMENT, FORMAT, UNSUPPORTED, OUT_OF_MEMORY,
 * DEVICE. */
RBC_API rbc_status rbc_decode_jpeg(rbc_context *context, rbc_jpeg_batch *batch,
                                   const DLTensor *const *outs, int64_t num_outs,
                                   const DLTensor *valid, const DLTensor *workspace, void *stream,
                                   rbc_error *err);

#ifdef __cplusplus
}
#endif
#endif
