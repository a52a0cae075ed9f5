/* First stage of every resample kernel: the stamps of a tile's sources into shared memory, then one
 * thread per (source, target) finds the bracket. */
#ifndef RBC_CUDA_KERNELS_STAGE_CUH
#define RBC_CUDA_KERNELS_STAGE_CUH

#include "clock.cuh"

/* The part of the output that a block makes: targets [first, first + count) of batch row `batch`. */
typedef struct tile {
    long long batch;
    long long first;
    int count;
} tile;

INLINE tile tile_of_block(const resample_launch *launch) {
    tile found;
    const unsigned block = blockIdx.x;
    const unsigned batch = block / launch->num_tiles;
    const unsigned index = block - batch * launch->num_tiles;
    found.batch = batch;
    found.first = (long long)index * launch->tile;
    const long long left = launch->num_targets - found.first;
    found.count = (int)(left < (long long)launch->tile ? left : (long long)launch->tile);
    return found;
}

INLINE stamp target_at(const resample_launch *launch, long long batch, long long target, int type) {
    return stamp_load(launch->targets + batch * launch->targets_batch_stride +
                          target * launch->targets_stride,
                      type);
}

INLINE row_clock clock_of_row(const resample_source *source, long long batch, const char *cache) {
    row_clock clock;
    clock.global = source->times + batch * source->times_batch_stride;
    clock.stride = source->times_stride;
    clock.cache = cache;
    clock.length = row_length(source, batch);
    clock.cache_first = 0;
    clock.cache_end = 0;
    return clock;
}

/* Copies stamps [first, first + count) into shared memory. */
INLINE void cache_stamps(const row_clock *clock, char *cache, long long first, int count,
                         int type) {
    const char *from = clock->global + first * clock->stride;
    const int bytes = stamp_bytes(type);
    const int contiguous = clock->stride == bytes;
    if (contiguous && (((unsigned long long)from | (unsigned)(count * bytes)) & 15) == 0) {
        const int chunks = count * bytes / 16;
#pragma unroll 4
        for (int i = (int)threadIdx.x; i < chunks; i += (int)blockDim.x) {
            ((uint4 *)cache)[i] = __ldg((const uint4 *)from + i);
        }
        return;
    }
#pragma unroll 4
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        stamp_store(cache + i * bytes, stamp_load(from + i * clock->stride, type), type);
    }
}

/* For a row too long for the cache: bounds of the samples that the tile's targets can touch. The
 * first warp of each pair searches for the least, the second for the greatest target. */
INLINE void find_window(const resample_launch *launch, const row_clock *clock, const tile *part,
                        long long *window, int type) {
    const int warp = (int)(threadIdx.x >> 5);
    if (warp < 2) {
        const int lane = (int)(threadIdx.x & 31);
        stamp end = target_at(launch, part->batch, part->first, type);
        for (int i = lane; i < part->count; i += 32) {
            const stamp other = target_at(launch, part->batch, part->first + i, type);
            const int below = stamp_at_most(other, end, type);
            end = below == (warp == 0) ? other : end;
        }
        for (int distance = 16; distance > 0; distance >>= 1) {
            const stamp other = __shfl_xor_sync(0xffffffffu, end, distance);
            const int below = stamp_at_most(other, end, type);
            end = below == (warp == 0) ? other : end;
        }
        /* Lanes may disagree where targets are NaN; the first one's word counts. */
        end = __shfl_sync(0xffffffffu, end, 0);
        const long long above = clock_search_warp(clock, end, type);
        if (lane == 0) {
            window[warp] = warp == 0 ? (above > 0 ? above - 1 : 0)
                                     : (above < clock->length ? above + 1 : clock->length);
        }
    }
    __syncthreads();
}

/* Caches the stamps of all sources. windows: [num_sources][2] in shared memory. */
INLINE void cache_clocks(const resample_launch *launch, const resample_source *sources,
                         int num_sources, const tile *part, char *shared, long long (*windows)[2],
                         int type) {
    for (int k = 0; k < num_sources; ++k) {
        const resample_source *source = &sources[k];
        char *cache = shared + source->cache_begin;
        const row_clock clock = clock_of_row(source, part->batch, cache);
        long long first = 0;
        long long end = clock.length;
        if (end > (long long)source->cache_capacity) {
            find_window(launch, &clock, part, windows[k], type);
            first = windows[k][0];
            end = windows[k][1];
            if (first >= end || end - first > (long long)source->cache_capacity) {
                end = first;
            }
        }
        if (threadIdx.x == 0) {
            windows[k][0] = first;
            windows[k][1] = end;
        }
        cache_stamps(&clock, cache, first, (int)(end - first), type);
    }
}

/* Finds the bracket of one target in one source, and writes `valid` and `dt`. */
INLINE bracket find_bracket(const resample_launch *launch, const resample_source *source, int k,
                            const tile *part, int target, stamp time, char *shared,
                            long long (*windows)[2], int type) {
    row_clock clock = clock_of_row(source, part->batch, shared + source->cache_begin);
    const int whole = clock.length <= (long long)source->cache_capacity;
    clock.cache_first = windows[k][0];
    clock.cache_end = windows[k][1];
    const bracket found = whole ? clock_bracket(&clock, source, time, type, 1)
                                : clock_bracket(&clock, source, time, type, 0);
    return found;
}

INLINE void write_valid(const resample_launch *launch, long long batch, long long target, int k,
                        int valid) {
    if (launch->valid != 0) {
        launch->valid[batch * launch->valid_batch_stride + target * launch->valid_target_stride +
                      k * launch->valid_source_stride] = (char)valid;
    }
}

/* Target minus the stamp of the sample used by the first channel's mode. */
INLINE void write_dt(const resample_launch *launch, const resample_source *source,
                     const bracket *found, long long batch, long long target, stamp time,
                     int type) {
    if (launch->dt == 0) {
        return;
    }
    stamp difference = type == CLOCK_I64   ? 0x7fffffffffffffffLL
                       : type == CLOCK_F64 ? 0x7ff8000000000000LL
                                           : 0x7fc00000LL;
    if (found->first >= 0) {
        long long used = found->nearest;
        if (source->mode == MODE_HOLD && found->inside) {
            used = found->first;
        }
        const stamp used_time = used == found->second ? found->second_time : found->first_time;
        difference = stamp_minus(time, used_time, type);
    }
    stamp_store(launch->dt + batch * launch->dt_batch_stride + target * launch->dt_target_stride,
                difference, type);
}

#endif
