/* The samples around a target where nothing but the values is asked for: no limits, no lengths, and
 * the end sample held outside. All stamps are in shared memory. */
#ifndef RBC_CUDA_KERNELS_BRACKET_CUH
#define RBC_CUDA_KERNELS_BRACKET_CUH

#include "chunk.cuh"
#include "clock.cuh"

/* right == left: sample `left` itself. */
typedef struct bracket {
    int left, right;
    double weight; /* of `right`; a float unless the values are f64 */
} bracket;

INLINE bracket bracket_find(const row_clock *clock, stamp target, int mode, int dtype, int type) {
    const int length = (int)clock->length;
    const int above = (int)clock_search(clock, target, 0, length, type, 1);
    bracket found;
    found.left = above > 0 ? above - 1 : (int)clock_newest(clock, 0, type, 1);
    found.right = found.left;
    found.weight = 0.0;
    if (above == 0 || above == length || mode == MODE_HOLD) {
        return found;
    }
    const stamp first = clock_at(clock, found.left, type, 1);
    const stamp second = clock_at(clock, above, type, 1);
    const stamp since = stamp_span(target, first, type);
    const int right = (int)clock_newest(clock, above, type, 1);
    if (stamp_equal(first, target, type)) {
        return found;
    }
    if (mode == MODE_NEAREST) {
        found.left =
            span_at_most(since, stamp_span(second, target, type), type) ? found.left : right;
        found.right = found.left;
        return found;
    }
    const stamp gap = stamp_span(second, first, type);
    found.right = right;
    /* One division in f32 rounds as one in f64 rounded to f32 does. */
    found.weight = type == CLOCK_F32 && dtype != VALUE_F64
                       ? (double)__fdiv_rn(stamp_f32(since), stamp_f32(gap))
                       : __ddiv_rn(span_f64(since, type), span_f64(gap, type));
    return found;
}

#endif
