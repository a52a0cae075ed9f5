/* What the threads of a block do to align numbers, before and after its barrier, for nvcc and, in
 * tests, for a C compiler. */
#ifndef RBC_CUDA_ALIGN_CUH
#define RBC_CUDA_ALIGN_CUH

#include "cuda/align/align_params.h"
#include "cuda/resample/make_value.cuh"

INLINE unsigned align_count(const align_item *to, align_tile part) {
    const unsigned left = to->count - part.first;
    return left < ALIGN_TILE ? left : ALIGN_TILE;
}

/* Finds the samples around the targets of the block's elements. */
INLINE void align_find(const align_item *to, align_tile part, unsigned thread,
                       target_samples *found) {
    row_clock clock;
    clock.global = to->source.times;
    clock.stride = to->source.times_stride;
    clock.cache = 0;
    clock.cache_first = clock.cache_end = 0;
    clock.length = to->source.num_samples;
    row_targets targets;
    targets.first = to->targets;
    targets.stride = stamp_bytes(CLOCK_I64);
    targets.count = to->num_targets;
    for (unsigned i = thread; i < align_count(to, part); i += ALIGN_THREADS) {
        find_samples(&targets, &to->source, &clock, to->first + (part.first + i) * to->step,
                     &found[i], CLOCK_I64);
    }
}

INLINE int is_signed(int dtype) {
    return dtype >= VALUE_I8 && dtype <= VALUE_I64;
}

/* The bits of an integer that 64 have. */
INLINE item align_extend(item bits, int dtype) {
    const int spare = 64 - 8 * item_bytes(dtype);
    return is_signed(dtype) ? (item)((long long)(bits << spare) >> spare) : bits;
}

INLINE double align_widen(item bits, int dtype) {
    return is_float(dtype)    ? item_f64(bits, dtype)
           : is_signed(dtype) ? (double)(long long)align_extend(bits, dtype)
                              : (double)bits;
}

/* What becomes of a value on its way to the output: another dtype, a scale and an offset. */
INLINE item align_convert(const align_item *to, item bits, unsigned column, int stored) {
    const int dtype = (int)to->dtype;
    if (stored == dtype && to->scale == 0 && to->offset == 0) {
        return bits;
    }
    if (!is_float(dtype)) {
        return align_extend(bits, stored);
    }
    double value = align_widen(bits, stored);
    if (to->scale != 0) {
        value = value * to->scale[column];
    }
    if (to->offset != 0) {
        value = value + to->offset[column];
    }
    return item_of_f64(value, dtype);
}

INLINE item align_value(const align_item *to, const target_samples *found, unsigned column,
                        int stored) {
    const resample_run *run = run_of_column(to->runs, to->num_runs, column);
    const int mode = (int)run->mode;
    const int component = mode == MODE_SLERP ? (int)(column - run->begin) & 3 : 0;
    const char *channel = to->source.values + column * to->source.channel_stride;
    channel_view view;
    view.values = channel - component * to->source.channel_stride;
    view.sample_stride = to->source.sample_stride;
    view.channel_stride = to->source.channel_stride;
    view.channels = mode == MODE_SLERP ? 4 : 1;
    int valid = 1;
    const item value = make_value(&to->source, found, &view, channel, component, mode,
                                  item_nan(stored), stored, &valid);
    return align_convert(to, value, column, stored);
}

/* Makes the values of the block's elements. */
INLINE void align_put(const align_item *to, align_tile part, unsigned thread,
                      const target_samples *found, int stored) {
    const int dtype = (int)to->dtype;
    const unsigned columns = to->columns;
    const unsigned count = columns > 0 ? align_count(to, part) : 0;
    /* Rows and columns that a thread goes on by, so that it divides but once. */
    const unsigned down = count > 0 ? ALIGN_THREADS / columns : 0;
    const unsigned across = ALIGN_THREADS - down * columns;
    unsigned index = count > 0 ? thread / columns : 0;
    unsigned column = thread - index * columns;
    while (index < count) {
        const unsigned element = part.first + index;
        const int is_nothing = to->nothing != 0 && to->nothing[element] != 0;
        item value = 0;
        if (is_nothing || found[index].around.flags == EMPTY) {
            value = to->is_nan ? item_nan(dtype) : 0;
        } else if (column < to->channels) {
            value = align_value(to, &found[index], column, stored);
        }
        char *row = to->out + element * to->out_stride;
        item_store(row + (long long)column * item_bytes(dtype), value, dtype);
        index += down;
        column += across;
        if (column >= columns) {
            column -= columns;
            ++index;
        }
    }
}

/* A case for each dtype that is computed with. */
INLINE void align_put_any(const align_item *to, align_tile part, unsigned thread,
                          const target_samples *found) {
    switch (to->stored) {
    case VALUE_F32:
        align_put(to, part, thread, found, VALUE_F32);
        break;
    case VALUE_F64:
        align_put(to, part, thread, found, VALUE_F64);
        break;
    case VALUE_F16:
        align_put(to, part, thread, found, VALUE_F16);
        break;
    case VALUE_BF16:
        align_put(to, part, thread, found, VALUE_BF16);
        break;
    default:
        align_put(to, part, thread, found, (int)to->stored);
    }
}

#endif
