/* Depth pixels to points, for the ISA being compiled. */
#ifndef RBC_CPU_KERNELS_DEPTH_H
#define RBC_CPU_KERNELS_DEPTH_H

#include "backend.h"
#include "cpu/kernels/isa.h"

/* Points of pixels [first, first + n) in row order; NaN where a pixel is invalid. */
void RBC__KERNEL(depth_points)(const rbc__depth_source *source, int64_t image, int64_t first,
                               int64_t n, float *x, float *y, float *z);

#endif
