/* What turning depth images into points passes to its kernels; read by the host and the device
 * compiler. Shared within src/cuda/depth. */
#ifndef RBC_CUDA_DEPTH_PARAMS_H
#define RBC_CUDA_DEPTH_PARAMS_H

#include <stdint.h>

enum {
    DEPTH_EACH_THREADS = 128,
    DEPTH_PACK_THREADS = 256,
    DEPTH_PIXELS = 4, /* of a thread at once, side by side */
    DEPTH_PACK_TILE = DEPTH_PACK_THREADS * DEPTH_PIXELS,
};

enum {
    DEPTH_U16 = 0,
    DEPTH_F32 = 1,
    DEPTH_F64 = 2,
};

/* First what all kernels read, side by side. */
typedef struct depth_launch {
    const char *depth;
    const char *intrinsics;
    float *points;   /* [batch, pixels, 3] */
    uint32_t pixels; /* of an image, below 2^31 */
    uint32_t width;
    float scale, low, high, offset;
    uint32_t blocks; /* of an image */
    uint32_t batch;
    int64_t batch_stride, row_stride, column_stride; /* bytes, as all strides here */
    int64_t intrinsics_stride[3];                    /* image (0: shared), row, column */
    const char *pose;                                /* NULL: identity */
    int64_t pose_stride[3];
    uint32_t dtype;
    uint32_t intrinsics_are_f64, pose_is_f64;
    uint32_t flat;  /* pixels follow each other without gaps */
    uint32_t whole; /* four pixels are of one row and lie in 8 or 16 bytes at a multiple of that */
    uint32_t aligned; /* each image's points are at a multiple of 16 */
    int32_t *lengths; /* [batch]: valid points first; NULL: each pixel in its place */
    int64_t share;    /* pixels of a block that packs, a multiple of DEPTH_PACK_TILE */
} depth_launch;

#endif
