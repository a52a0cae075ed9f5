#include "cpu/kernels/depth.h"

#include <math.h>

typedef struct camera {
    float fx, fy, cx, cy;
    float scale, low, high, offset;
    float pose[3][4];
} camera;

static float element(const char *base, bool is_f64) {
    return is_f64 ? (float)*(const double *)(const void *)base : *(const float *)(const void *)base;
}

static camera camera_of(const rbc__depth_source *source, int64_t image) {
    const int64_t *step = source->intrinsics_stride_bytes;
    const char *k = source->intrinsics + image * step[0];
    const bool is_f64 = source->intrinsics_are_f64;
    camera out = {
        .fx = element(k, is_f64),
        .fy = element(k + step[1] + step[2], is_f64),
        .cx = element(k + 2 * step[2], is_f64),
        .cy = element(k + step[1] + 2 * step[2], is_f64),
        .scale = (float)source->depth_scale,
        .low = (float)source->min_depth,
        .high = (float)source->max_depth,
        .offset = (float)source->pixel_offset,
    };
    step = source->pose_stride_bytes;
    for (int64_t i = 0; source->pose != NULL && i < 12; ++i) {
        const char *at = source->pose + image * step[0] + i / 4 * step[1] + i % 4 * step[2];
        out.pose[i / 4][i % 4] = element(at, source->pose_is_f64);
    }
    return out;
}

#define LOAD_DEPTH(stored)                                                                         \
    for (int64_t i = 0; i < n; ++i) {                                                              \
        z[i] = (float)*(const stored *)(const void *)(pixels + i * stride) * scale;                \
    }

static void load(const rbc__depth_source *source, const char *pixels, int64_t n, float scale,
                 float *restrict z) {
    const int64_t stride = source->column_stride_bytes;
    if (source->dtype == RBC__U16 && stride == 2) {
        const uint16_t *restrict packed = (const uint16_t *)(const void *)pixels;
        for (int64_t i = 0; i < n; ++i) {
            z[i] = (float)packed[i] * scale;
        }
    } else if (source->dtype == RBC__U16) {
        LOAD_DEPTH(uint16_t)
    } else if (source->dtype == RBC__F32) {
        LOAD_DEPTH(float)
    } else {
        LOAD_DEPTH(double)
    }
}

static void project(const camera *c, int64_t row, int64_t column, int64_t n, float *restrict x,
                    float *restrict y, float *restrict z) {
    const float v = (((float)row + c->offset) - c->cy) / c->fy;
    const float fx = c->fx, cx = c->cx, offset = c->offset, low = c->low, high = c->high;
    const int32_t first = (int32_t)column;
    for (int32_t i = 0; i < (int32_t)n; ++i) {
        const float u = (((float)(first + i) + offset) - cx) / fx;
        const int valid = (z[i] > low) & (z[i] <= high);
        const float depth = valid != 0 ? z[i] : NAN;
        x[i] = u * depth;
        y[i] = v * depth;
        z[i] = depth;
    }
}

static void move(const camera *c, int64_t n, float *restrict x, float *restrict y,
                 float *restrict z) {
    const float(*m)[4] = c->pose;
    for (int64_t i = 0; i < n; ++i) {
        const float px = x[i], py = y[i], pz = z[i];
        x[i] = ((m[0][0] * px + m[0][1] * py) + m[0][2] * pz) + m[0][3];
        y[i] = ((m[1][0] * px + m[1][1] * py) + m[1][2] * pz) + m[1][3];
        z[i] = ((m[2][0] * px + m[2][1] * py) + m[2][2] * pz) + m[2][3];
    }
}

void RBC__KERNEL(depth_points)(const rbc__depth_source *source, int64_t image, int64_t first,
                               int64_t n, float *x, float *y, float *z) {
    const camera c = camera_of(source, image);
    int64_t row = first / source->width, column = first % source->width;
    while (n > 0) {
        const int64_t left = source->width - column;
        const int64_t run = left < n ? left : n;
        const char *pixels = source->depth + image * source->batch_stride_bytes +
                             row * source->row_stride_bytes + column * source->column_stride_bytes;
        load(source, pixels, run, c.scale, z);
        project(&c, row, column, run, x, y, z);
        if (source->pose != NULL) {
            move(&c, run, x, y, z);
        }
        x += run;
        y += run;
        z += run;
        n -= run;
        column = 0;
        ++row;
    }
}
