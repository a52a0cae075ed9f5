/* Functions of the kernels of images, named for the ISA being compiled.
 * Shared within src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_IMAGE_ISA_H
#define RBC_CPU_KERNELS_IMAGE_ISA_H

#include "cpu/kernels/image.h"

void RBC__KERNEL(image_across)(const uint8_t *src, int64_t src_stride, int32_t rows,
                               int32_t channels, const rbc__image_axis *axis, uint8_t *dst,
                               int64_t dst_stride, uint8_t *block);
void RBC__KERNEL(image_down)(const uint8_t *src, int64_t src_stride, const int32_t *weights,
                             int32_t taps, int64_t bytes, uint8_t *dst);

#endif
