/* What turning depth images into points passes to its kernels; read by the host and the device
 * compiler. */
#ifndef RBC_CUDA_KERNELS_DEPTH_PARAMS_H
#define RBC_CUDA_KERNELS_DEPTH_PARAMS_H

#include <stdint.h>

enum {
    DEPTH_THREADS = 256,
    DEPTH_PACK_THREADS = 1024,
};

enum {
    DEPTH_U16 = 0,
    DEPTH_F32 = 1,
    DEPTH_F64 = 2,
};

/* Points of depths up to this do not overflow where the camera is an ordinary one. */
#define DEPTH_PLAIN 0x1p30F

typedef struct depth_launch {
    const char *depth;
    int64_t batch_stride, row_stride, column_stride; /* bytes, as all strides here */
    const char *intrinsics;
    int64_t intrinsics_stride[3]; /* image (0: shared), row, column */
    const char *pose;             /* NULL: identity */
    int64_t pose_stride[3];
    int64_t batch;
    int64_t pixels; /* of an image, below 2^31 */
    uint32_t width;
    uint32_t dtype;
    uint32_t intrinsics_are_f64, pose_is_f64;
    uint32_t flat; /* rows follow each other without gaps */
    float scale, low, high, offset;
    uint32_t u16_first, u16_count; /* the u16 depths in range */
    uint32_t u16_plain;            /* all below DEPTH_PLAIN */
    int64_t share;                 /* pixels of a block that packs */
    float *points;                 /* [batch, pixels, 3] */
    int32_t *lengths;              /* [batch]: valid points first; NULL: each pixel in its place */
} depth_launch;

#endif
