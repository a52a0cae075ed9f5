/* The part of the gradient that a block of the adjoint makes, and the targets that matter to it. */
#ifndef RBC_CUDA_ADJOINT_CUH
#define RBC_CUDA_ADJOINT_CUH

#include "cuda/resample/adjoint_params.h"
#include "cuda/resample/target_samples.cuh"
#include "cuda/resample/tile.cuh"

/* Samples [first, end) of batch row `batch` are the block's, [own_first, own_end) of them the
 * thread's, in one channel. */
typedef struct adjoint_part {
    long long batch, channel;
    long long first, end;
    long long own_first, own_end;
    int is_mine;
} adjoint_part;

INLINE adjoint_part part_of_block(const adjoint_launch *p) {
    const long long num_samples = p->source.num_samples;
    const unsigned index = blockIdx.x / p->stretch_blocks;
    const unsigned stretch_block = blockIdx.x - index * p->stretch_blocks;
    const unsigned group = threadIdx.x / p->width;
    adjoint_part part;
    part.batch = index / p->channel_blocks;
    part.channel = (long long)(index - (unsigned)part.batch * p->channel_blocks) * p->width +
                   (threadIdx.x - group * p->width);
    part.first = (long long)stretch_block * p->groups * p->stretch;
    part.end = part.first + p->groups * p->stretch;
    part.own_first = part.first + group * p->stretch;
    part.own_end =
        part.own_first + p->stretch < num_samples ? part.own_first + p->stretch : num_samples;
    part.is_mine =
        group < p->groups && part.channel < p->num_channels && part.own_first < part.own_end;
    return part;
}

/* The row's stamps, in shared memory where they fit. Every thread of the block calls it. */
INLINE row_clock cached_clock(const resample_source *source, long long batch, char *shared,
                              int type) {
    row_clock clock = clock_of_row(source, batch, shared, type, 0);
    const int cached = clock.length <= (long long)source->cache_capacity;
    if (cached) {
        cache_stamps(&clock, shared + source->cache_begin, 0, (int)clock.length, 0, type);
    }
    clock.cache_end = cached ? clock.length : 0;
    __syncthreads();
    return clock;
}

/* Targets that can have a share in samples [first, end) are in [range[0], range[1]): all, unless
 * they are in order, which is returned. Every thread of the block calls it. */
INLINE int find_targets(const resample_launch *launch, const row_clock *clock, long long batch,
                        long long first, long long end, long long *range, int type) {
    int sorted = 1;
    for (long long j = threadIdx.x; j + 1 < launch->num_targets; j += blockDim.x) {
        sorted &= stamp_at_most(target_at(launch, batch, j, type),
                                target_at(launch, batch, j + 1, type), type);
    }
    sorted = __syncthreads_and(sorted);
    const int warp = (int)(threadIdx.x >> 5);
    if (warp < 2) {
        row_clock targets;
        targets.global = launch->targets + batch * launch->targets_batch_stride;
        targets.stride = launch->targets_stride;
        targets.length = launch->num_targets;
        long long edge = first;
        /* Cubic tangents reach two stamps beyond the samples around a target; one more, because
         * the search is for the last of equal targets. */
        for (int steps = 0; steps < 3 && warp == 0 && edge >= 0; ++steps) {
            edge = clock_before(clock, edge, type, 0);
        }
        if (warp == 1) {
            edge = end - 1;
            for (int steps = 0; steps < 2 && edge < clock->length; ++steps) {
                edge = clock_newest(clock, edge, type, 0) + 1;
            }
        }
        const int all = !sorted || edge < 0 || edge >= clock->length;
        const long long found =
            all ? 0 : clock_search_warp(&targets, clock_at(clock, edge, type, 0), type);
        if ((threadIdx.x & 31) == 0) {
            range[warp] = !all                                    ? found + warp
                          : warp == 0 || launch->num_targets == 0 ? 0
                                                                  : launch->num_targets;
            if (range[warp] > launch->num_targets) {
                range[warp] = launch->num_targets;
            }
        }
    }
    __syncthreads();
    return sorted;
}

#endif
