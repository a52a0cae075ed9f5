#include <string.h>

#include "core/context.h"
#include "cpu/voxelize.h"

const rbc__voxel_kernels *rbc__voxel_kernels_for(const rbc_context *context) {
#ifdef __x86_64__
    if ((context->cpu_features & RBC_CPU_AVX512) != 0) {
        return &rbc__voxel_kernels_avx512;
    }
    if ((context->cpu_features & RBC_CPU_AVX2) != 0) {
        return &rbc__voxel_kernels_avx2;
    }
#endif
    (void)context;
    return &rbc__voxel_kernels_baseline;
}

int64_t rbc__cloud_length(const rbc__cloud *cloud, int64_t cloud_index) {
    if (cloud->lengths == NULL) {
        return cloud->num_points;
    }
    const void *at = cloud->lengths + cloud_index * cloud->lengths_stride_bytes;
    return cloud->lengths_are_i64 ? *(const int64_t *)at : *(const int32_t *)at;
}

static bool is_sum(rbc_voxel_reduce reduce) {
    return reduce == RBC_VOXEL_SUM || reduce == RBC_VOXEL_MEAN;
}

int64_t rbc__voxel_scratch_bytes(rbc__dtype feature_dtype, rbc_voxel_reduce reduce) {
    const int64_t wide = feature_dtype == RBC__F64 ? 2 : 1;
    return (is_sum(reduce) ? 8 : 4) * wide;
}

int64_t rbc__voxel_maximum_bytes(rbc__dtype feature_dtype, rbc_voxel_reduce reduce) {
    const int64_t wide = feature_dtype == RBC__F64 ? 2 : 1;
    return is_sum(reduce) ? 4 * wide : 0;
}

void rbc__voxel_scratch_clear(const rbc__cloud *cloud, rbc_voxel_reduce reduce, int64_t cells,
                              void *scratch, void *maxima) {
    const int64_t count = cells * cloud->num_features;
    const rbc__dtype dtype = cloud->feature_dtype;
    if (is_sum(reduce)) {
        memset(scratch, 0, (size_t)(count * rbc__voxel_scratch_bytes(dtype, reduce)));
        memset(maxima, 0, (size_t)(count * rbc__voxel_maximum_bytes(dtype, reduce)));
    } else if (dtype == RBC__F64) {
        for (int64_t i = 0; i < count; ++i) {
            ((int64_t *)scratch)[i] = INT64_MIN;
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            ((int32_t *)scratch)[i] = INT32_MIN;
        }
    }
}

void *rbc__workspace_take(char *base, uint64_t *used, uint64_t bytes) {
    void *at = base == NULL ? NULL : base + *used;
    *used = (*used + bytes + 63) & ~UINT64_C(63);
    return at;
}
