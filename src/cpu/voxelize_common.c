#include <math.h>

#include "core/context.h"
#include "cpu/voxelize.h"

const rbc__voxel_kernels *rbc__voxel_kernels_for(const rbc_context *context) {
#ifdef __x86_64__
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

double rbc__voxel_limit(int64_t cells, bool is_f64) {
    if (is_f64) {
        return (double)cells;
    }
    const float limit = (float)cells;
    return (double)limit < (double)cells ? (double)nextafterf(limit, INFINITY) : (double)limit;
}

void *rbc__workspace_take(char *base, uint64_t *used, uint64_t bytes) {
    void *at = base == NULL ? NULL : base + *used;
    *used = (*used + bytes + 63) & ~UINT64_C(63);
    return at;
}
