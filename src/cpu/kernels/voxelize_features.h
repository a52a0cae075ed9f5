/* Reading feature rows of any float dtype and stride. Interface of src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_VOXELIZE_FEATURES_H
#define RBC_CPU_KERNELS_VOXELIZE_FEATURES_H

#include "backend.h"
#include "core/half.h"

#define RBC__FEATURE_RUN INT64_C(64)

/* f64 features as f64, all others as f32. */
typedef union rbc__feature_row {
    float f32[RBC__FEATURE_RUN];
    double f64[RBC__FEATURE_RUN];
} rbc__feature_row;

static inline int64_t rbc__float_bytes(rbc__dtype dtype) {
    return dtype == RBC__F64 ? 8 : dtype == RBC__F32 ? 4 : 2;
}

/* Whether rows are contiguous f32 or f64 at a constant distance, so that they need no loading. */
static inline bool rbc__features_are_direct(const rbc__cloud *cloud) {
    return (cloud->feature_dtype == RBC__F32 || cloud->feature_dtype == RBC__F64) &&
           cloud->feature_row == INT64_MAX &&
           (cloud->feature_stride_bytes == rbc__float_bytes(cloud->feature_dtype) ||
            cloud->num_features == 1);
}

static inline const char *rbc__feature_address(const rbc__cloud *cloud, int64_t cloud_index,
                                               int64_t point) {
    const char *base = cloud->features + cloud_index * cloud->features_batch_stride_bytes;
    if (cloud->feature_row == INT64_MAX) {
        return base + point * cloud->features_stride_bytes;
    }
    return base + point / cloud->feature_row * cloud->features_row_stride_bytes +
           point % cloud->feature_row * cloud->features_stride_bytes;
}

/* Channels [first, first + n) of a point, n <= RBC__FEATURE_RUN. */
static inline void rbc__load_features(const rbc__cloud *cloud, int64_t cloud_index, int64_t point,
                                      int64_t first, int64_t n, rbc__feature_row *out) {
    const int64_t stride = cloud->feature_stride_bytes;
    const char *from = rbc__feature_address(cloud, cloud_index, point) + first * stride;
    for (int64_t f = 0; f < n; ++f) {
        const void *at = from + f * stride;
        switch (cloud->feature_dtype) {
        case RBC__F64:
            out->f64[f] = *(const double *)at;
            break;
        case RBC__F16:
            out->f32[f] = rbc__f32_of_f16(*(const uint16_t *)at);
            break;
        case RBC__BF16:
            out->f32[f] = rbc__f32_of_bf16(*(const uint16_t *)at);
            break;
        default:
            out->f32[f] = *(const float *)at;
            break;
        }
    }
}

#endif
