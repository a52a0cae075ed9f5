/* What the row kernels' first stage leaves for the second: for each source and target of a tile the
 * sample rows to blend and the weight. */
#ifndef RBC_CUDA_ROWS_CUH
#define RBC_CUDA_ROWS_CUH

#include "cuda/resample/simple_bracket.cuh"
#include "cuda/resample/tile.cuh"

enum {
    FILL_ZERO = 0,
    FILL_NAN = 1,
};

/* The sample row to the left of the target, as the address that column 0 of the output would have
 * in it, and the way from there to the row on the right, 0 for a copy. No `row`: `step` is a FILL.
 */
typedef struct row_pair {
    const char *row;
    long long step;
} row_pair;

/* weights: double for f64 values, else float. All are [num_sources][tile]. */
typedef struct tile_rows {
    row_pair *pairs;
    char *weights;
    unsigned tile;
} tile_rows;

INLINE tile_rows rows_in_shared(const resample_launch *launch, int num_sources, char *shared) {
    tile_rows rows;
    rows.pairs = (row_pair *)(shared + launch->brackets_begin);
    rows.weights = (char *)(rows.pairs + (unsigned)num_sources * launch->tile);
    rows.tile = launch->tile;
    return rows;
}

INLINE double row_weight(const tile_rows *rows, unsigned at, int dtype) {
    return dtype == VALUE_F64 ? ((const double *)rows->weights)[at]
                              : (double)((const float *)rows->weights)[at];
}

INLINE void set_row(const tile_rows *rows, unsigned at, row_pair pair, double weight, int dtype) {
    rows->pairs[at] = pair;
    if (dtype == VALUE_F64) {
        ((double *)rows->weights)[at] = weight;
    } else {
        ((float *)rows->weights)[at] = (float)weight;
    }
}

/* For sources without limits, lengths or outputs beside the values. */
INLINE void pair_simple(const row_clock *clock, const resample_source *source, long long batch,
                        stamp target, const tile_rows *rows, unsigned at, int dtype, int type) {
    const simple_bracket found = simple_bracket_find(clock, target, (int)source->mode, dtype, type);
    row_pair pair;
    pair.row = source->values + batch * source->batch_stride + found.left * source->sample_stride -
               source->out_begin;
    pair.step = (found.right - found.left) * source->sample_stride;
    set_row(rows, at, pair, found.weight, dtype);
}

INLINE void pair_generic(const resample_launch *launch, const row_clock *clock,
                         const resample_source *source, int k, const tile *part, long long target,
                         stamp time, const tile_rows *rows, unsigned at, int dtype, int type,
                         int whole) {
    bracket around = bracket_search(clock, time, type, whole);
    bracket_weigh(clock, source, time, &around, type, whole);
    const int mode = (int)source->mode;
    const int valid = bracket_is_valid(around.flags, mode);
    row_pair pair;
    pair.row = 0;
    pair.step = source->outside == OUTSIDE_NAN ? FILL_NAN : FILL_ZERO;
    if (around.flags != EMPTY && (valid || !fills_outside(source))) {
        const long long left = mode == MODE_LINEAR ? around.left : bracket_used(&around, mode);
        pair.row = source->values + part->batch * source->batch_stride +
                   left * source->sample_stride - source->out_begin;
        pair.step = mode == MODE_LINEAR ? (around.right - left) * source->sample_stride : 0;
    }
    set_row(rows, at, pair, around.weight, dtype);
    write_valid(launch, part->batch, target, k, valid);
    write_dt(launch, clock, around.flags == EMPTY ? -1 : bracket_used(&around, mode), part->batch,
             target, time, type);
}

INLINE void find_rows_of(const resample_launch *launch, const resample_source *sources,
                         int num_sources, const tile *part, const tile_rows *rows, char *shared,
                         long long (*windows)[2], int dtype, int type, int simple) {
    const int pairs = num_sources * part->count;
    const int thread = (int)threadIdx.x;
    /* The thread's first target is on its way while the stamps are. */
    stamp time = 0;
    if (thread < pairs) {
        const int k = num_sources == 1 ? 0 : thread / part->count;
        time = target_at(launch, part->batch, part->first + (thread - k * part->count), type);
    }
    cache_clocks(launch, sources, num_sources, part, shared, windows, type, simple);
    __syncthreads();
    for (int i = thread; i < pairs; i += (int)blockDim.x) {
        const int k = num_sources == 1 ? 0 : i / part->count;
        const int index = i - k * part->count;
        const resample_source *source = &sources[k];
        const long long target = part->first + index;
        const unsigned at = (unsigned)k * rows->tile + (unsigned)index;
        if (i != thread) {
            time = target_at(launch, part->batch, target, type);
        }
        row_clock clock = clock_of_row(source, part->batch, shared, type, simple);
        if (simple) {
            pair_simple(&clock, source, part->batch, time, rows, at, dtype, type);
        } else {
            const int whole = clock.length <= (long long)source->cache_capacity;
            if (!whole) {
                clock.cache_first = windows[k][0];
                clock.cache_end = windows[k][1];
            }
            pair_generic(launch, &clock, source, k, part, target, time, rows, at, dtype, type, 0);
        }
    }
}

/* The first stage: fills `rows`. Begins by waiting for the launch before. */
INLINE void find_rows(const resample_launch *launch, const resample_source *sources,
                      int num_sources, const tile *part, const tile_rows *rows, char *shared,
                      int dtype, int simple) {
    __shared__ long long windows[RESAMPLE_MAX_SOURCES][2];
    launch_await();
    launch_release();
    if (launch->time_type == CLOCK_F32) {
        find_rows_of(launch, sources, num_sources, part, rows, shared, windows, dtype, CLOCK_F32,
                     simple);
    } else if (launch->time_type == CLOCK_F64) {
        find_rows_of(launch, sources, num_sources, part, rows, shared, windows, dtype, CLOCK_F64,
                     simple);
    } else {
        find_rows_of(launch, sources, num_sources, part, rows, shared, windows, dtype, CLOCK_I64,
                     simple);
    }
    __syncthreads();
}

INLINE int source_of_column(const resample_source *sources, int num_sources, unsigned column) {
    int k = 0;
    for (int i = 0; i + 1 < num_sources; ++i) {
        k += column >= sources[i].out_end;
    }
    return k;
}

INLINE unsigned row_of(unsigned n, const resample_launch *launch) {
    return (unsigned)((unsigned long long)n * launch->row_magic >> launch->row_shift);
}

INLINE uint4 fill_vec16(const resample_launch *launch, long long fill) {
    return fill == FILL_NAN ? make_uint4(launch->nan_words[0], launch->nan_words[1],
                                         launch->nan_words[2], launch->nan_words[3])
                            : make_uint4(0, 0, 0, 0);
}

#endif
