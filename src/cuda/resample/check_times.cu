/* Looks for time stamps that may not be: not finite, less than the one before, or a row whose ends
 * are further apart than a difference of stamps can be. */
#include "cuda/resample/check_times_params.h"
#include "cuda/resample/clock.cuh"

INLINE long long row_count(const check_times_launch *p, long long batch) {
    if (p->lengths == 0) {
        return p->count;
    }
    const char *at = p->lengths + batch * p->lengths_stride;
    const long long length = p->lengths_are_i64 ? *(const long long *)at : *(const int *)at;
    return length < 0 ? 0 : length < p->count ? length : p->count;
}

INLINE int is_finite(stamp time, int type) {
    return type == CLOCK_I64   ? 1
           : type == CLOCK_F64 ? stamp_f64(time) - stamp_f64(time) == 0.0
                               : stamp_f32(time) - stamp_f32(time) == 0.0f;
}

INLINE int is_nan(stamp time, int type) {
    return !stamp_equal(time, time, type);
}

INLINE int is_wrong(const char *row, long long stride, long long i, long long count, int type) {
    const stamp time = stamp_load(row + i * stride, type);
    if (!is_finite(time, type)) {
        return 1;
    }
    if (i == 0) {
        return 0;
    }
    return !stamp_at_most(stamp_load(row + (i - 1) * stride, type), time, type) ||
           (i == count - 1 && !is_finite(stamp_since(time, stamp_load(row, type), type), type));
}

INLINE void check_times(const check_times_launch *p, int type) {
    const long long all = p->batch * p->count;
    for (long long at = (long long)blockIdx.x * blockDim.x + threadIdx.x; at < all;
         at += (long long)gridDim.x * blockDim.x) {
        const long long batch = at / p->count;
        const long long i = at - batch * p->count;
        const char *row = p->times + batch * p->batch_stride;
        const long long count = row_count(p, batch);
        if (i < count && (p->are_targets ? is_nan(stamp_load(row + i * p->stride, type), type)
                                         : is_wrong(row, p->stride, i, count, type))) {
            *p->is_wrong = 1;
        }
    }
}

extern "C" __global__ void __launch_bounds__(CHECK_THREADS)
    rbc__check_times_cuda(const __grid_constant__ check_times_launch p) {
    launch_await();
    launch_release();
    if (p.time_type == CLOCK_F32) {
        check_times(&p, CLOCK_F32);
    } else if (p.time_type == CLOCK_F64) {
        check_times(&p, CLOCK_F64);
    } else {
        check_times(&p, CLOCK_I64);
    }
}
