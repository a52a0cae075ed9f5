/* The samples around a target where nothing but the values is asked for: no limits, no lengths, and
 * the end sample held outside. */
#ifndef RBC_CUDA_SIMPLE_BRACKET_CUH
#define RBC_CUDA_SIMPLE_BRACKET_CUH

#include "cuda/common/vec16.cuh"
#include "cuda/resample/clock.cuh"

/* right == left: sample `left` itself. */
typedef struct simple_bracket {
    int left, right;
    double weight; /* of `right`; a float unless the values are f64 */
} simple_bracket;

/* `above`: the number of stamps at most `target`. `whole`: all stamps are in shared memory. */
INLINE simple_bracket simple_bracket_at(const row_clock *clock, stamp target, long long above,
                                        int mode, int dtype, int type, int whole) {
    const long long length = clock->length;
    simple_bracket found;
    found.left = (int)(above > 0 ? above - 1 : clock_newest(clock, 0, type, whole));
    found.right = found.left;
    found.weight = 0.0;
    if (above == 0 || above == length || mode == MODE_HOLD) {
        return found;
    }
    const stamp first = clock_at(clock, found.left, type, whole);
    const stamp second = clock_at(clock, above, type, whole);
    const stamp since = stamp_since(target, first, type);
    const int right = (int)clock_newest(clock, above, type, whole);
    if (stamp_equal(first, target, type)) {
        return found;
    }
    if (mode == MODE_NEAREST) {
        found.left =
            since_at_most(since, stamp_since(second, target, type), type) ? found.left : right;
        found.right = found.left;
        return found;
    }
    const stamp gap = stamp_since(second, first, type);
    found.right = right;
    /* One division in f32 rounds as one in f64 rounded to f32 does. */
    found.weight = type == CLOCK_F32 && dtype != VALUE_F64
                       ? (double)__fdiv_rn(stamp_f32(since), stamp_f32(gap))
                       : __ddiv_rn(since_f64(since, type), since_f64(gap, type));
    return found;
}

/* All stamps are in shared memory. */
INLINE simple_bracket simple_bracket_find(const row_clock *clock, stamp target, int mode, int dtype,
                                          int type) {
    return simple_bracket_at(clock, target, clock_search(clock, target, 0, clock->length, type, 1),
                             mode, dtype, type, 1);
}

#endif
