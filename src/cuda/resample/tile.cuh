/* First stage of the resample kernels: the tile of a block, and the stamps of its sources in shared
 * memory. */
#ifndef RBC_CUDA_TILE_CUH
#define RBC_CUDA_TILE_CUH

#include "cuda/resample/bracket.cuh"

enum {
    SOURCES_AT_ONCE = 4, /* whose first stamps are loaded before any is stored */
};

/* The part of the output that a block makes: targets [first, first + count) of batch row `batch`.
 */
typedef struct tile {
    long long batch;
    long long first;
    int count;
} tile;

INLINE tile tile_of_block(const resample_launch *launch) {
    tile found;
    const unsigned block = blockIdx.x;
    const unsigned batch = launch->num_tiles == 1 ? block : block / launch->num_tiles;
    const unsigned index = block - batch * launch->num_tiles;
    found.batch = batch;
    found.first = (long long)index * launch->tile;
    const long long left = launch->num_targets - found.first;
    found.count = (int)(left < (long long)launch->tile ? left : (long long)launch->tile);
    return found;
}

INLINE row_targets targets_of_row(const resample_launch *launch, long long batch) {
    row_targets targets;
    targets.first = launch->targets + batch * launch->targets_batch_stride;
    targets.stride = launch->targets_stride;
    targets.count = launch->num_targets;
    return targets;
}

INLINE stamp target_at(const resample_launch *launch, long long batch, long long target, int type) {
    return stamp_load(launch->targets + batch * launch->targets_batch_stride +
                          target * launch->targets_stride,
                      type);
}

/* Copies stamps [first, first + count) into shared memory, from the thread's `done`-th on. */
INLINE void cache_stamps(const row_clock *clock, char *cache, long long first, int count, int done,
                         int type) {
    const char *from = clock->global + first * clock->stride;
    const int bytes = stamp_bytes(type);
    if (done == 0 && clock->stride == bytes &&
        (((unsigned long long)from | (unsigned)(count * bytes)) & 15) == 0) {
        const int vec16s = count * bytes / 16;
#pragma unroll 4
        for (int i = (int)threadIdx.x; i < vec16s; i += (int)blockDim.x) {
            ((uint4 *)cache)[i] = __ldg((const uint4 *)from + i);
        }
        return;
    }
#pragma unroll 4
    for (int i = (int)threadIdx.x + done * (int)blockDim.x; i < count; i += (int)blockDim.x) {
        stamp_store(cache + i * bytes, stamp_load(from + i * clock->stride, type), type);
    }
}

/* Upper bound of `target` in global memory by a whole warp: 33 parts a step. */
INLINE long long clock_search_warp(const row_clock *clock, stamp target, int type) {
    const int lane = (int)(threadIdx.x & 31);
    long long begin = 0;
    long long count = clock->length;
    while (count > 0) {
        const long long step = (count + 32) / 33;
        const long long probe = begin + (lane + 1) * step - 1;
        const int right =
            probe < begin + count &&
            stamp_at_most(stamp_load(clock->global + probe * clock->stride, type), target, type);
        const int passed = __popc(__ballot_sync(0xffffffffu, right));
        const long long left = count - passed * step;
        begin += passed * step;
        count = passed == 32 || left < step - 1 ? left : step - 1;
    }
    return begin;
}

/* For a row too long for the cache: bounds of the samples that the tile's targets can touch. One
 * warp searches for the least, another for the greatest target. */
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

INLINE row_clock clock_of_row(const resample_source *source, long long batch, char *shared,
                              int type, int simple) {
    row_clock clock;
    clock.global = source->times + batch * source->times_batch_stride;
    clock.stride = simple ? stamp_bytes(type) : source->times_stride;
    clock.cache = shared + source->cache_begin;
    clock.cache_first = 0;
    clock.length = simple ? (long long)source->num_samples32 : row_length(source, batch);
    clock.cache_end = clock.length;
    return clock;
}

/* Caches the stamps of all sources, or with rows too long for that those around the tile's targets,
 * [windows[k][0], windows[k][1]); nothing where even these are too many. `simple`: none is. */
INLINE void cache_clocks(const resample_launch *launch, const resample_source *sources,
                         int num_sources, const tile *part, char *shared, long long (*windows)[2],
                         int type, int simple) {
    int done = 0;
    if (num_sources > 1) {
        stamp heads[SOURCES_AT_ONCE];
        row_clock clocks[SOURCES_AT_ONCE];
        const int thread = (int)threadIdx.x;
#pragma unroll
        for (int k = 0; k < SOURCES_AT_ONCE; ++k) {
            if (k < num_sources) {
                clocks[k] = clock_of_row(&sources[k], part->batch, shared, type, simple);
                if (clocks[k].length <= (long long)sources[k].cache_capacity &&
                    thread < clocks[k].length) {
                    heads[k] = stamp_load(clocks[k].global + thread * clocks[k].stride, type);
                }
            }
        }
#pragma unroll
        for (int k = 0; k < SOURCES_AT_ONCE; ++k) {
            if (k < num_sources && clocks[k].length <= (long long)sources[k].cache_capacity &&
                thread < clocks[k].length) {
                stamp_store(shared + sources[k].cache_begin + thread * stamp_bytes(type), heads[k],
                            type);
            }
        }
        done = 1;
    }
    for (int k = 0; k < num_sources; ++k) {
        const resample_source *source = &sources[k];
        const row_clock clock = clock_of_row(source, part->batch, shared, type, simple);
        char *cache = shared + source->cache_begin;
        if (simple || clock.length <= (long long)source->cache_capacity) {
            if (done == 0 || k >= SOURCES_AT_ONCE || clock.length > (long long)blockDim.x) {
                cache_stamps(&clock, cache, 0, (int)clock.length, k < SOURCES_AT_ONCE ? done : 0,
                             type);
            }
            if (!simple && threadIdx.x == 0) {
                windows[k][0] = 0;
                windows[k][1] = clock.length;
            }
            continue;
        }
        find_window(launch, &clock, part, windows[k], type);
        const long long first = windows[k][0];
        const long long end = windows[k][1];
        if (end - first <= (long long)source->cache_capacity) {
            cache_stamps(&clock, cache, first, (int)(end - first), 0, type);
        } else {
            __syncthreads();
            if (threadIdx.x == 0) {
                windows[k][1] = first;
            }
        }
    }
}

INLINE void write_valid(const resample_launch *launch, long long batch, long long target, int k,
                        int valid) {
    if (launch->valid != 0) {
        launch->valid[batch * launch->valid_batch_stride + target * launch->valid_target_stride +
                      k * launch->valid_source_stride] = (char)valid;
    }
}

/* Target minus the stamp of the sample used; `used` negative: there is none. */
INLINE void write_dt(const resample_launch *launch, const row_clock *clock, long long used,
                     long long batch, long long target, stamp time, int type) {
    if (launch->dt != 0) {
        const stamp distance = used < 0
                                   ? no_distance(type)
                                   : stamp_difference(time, clock_at(clock, used, type, 0), type);
        stamp_store(launch->dt + batch * launch->dt_batch_stride +
                        target * launch->dt_target_stride,
                    distance, type);
    }
}

#endif
