/* The points that all segments have for one slab; see voxel_params.h. */
#ifndef RBC_CUDA_KERNELS_SLAB_CUH
#define RBC_CUDA_KERNELS_SLAB_CUH

#include "chunk.cuh"
#include "voxel_params.h"

enum {
    RUN_UNROLL = 4, /* entries that a thread loads before it uses the first */
};

typedef struct slab {
    long long batch;
    int index;
    int cells;          /* in it */
    long long out_cell; /* its first cell in the output of all clouds */
} slab;

INLINE slab slab_of_block(const voxel_deal *deal) {
    slab found;
    found.batch = blockIdx.y;
    found.index = (int)blockIdx.x;
    const long long begin = deal->first + ((long long)found.index << deal->shift);
    const long long left = deal->end - begin;
    found.cells = left < 1ll << deal->shift ? (int)left : 1 << deal->shift;
    found.out_cell = found.batch * deal->cells + begin;
    return found;
}

/* Where the thread stands among the runs of its slab's entries. `lanes` threads share a run. */
typedef struct run_reader {
    const unsigned *entries;
    const uint16_t *runs;
    int lane, lanes;
    int group, groups;
    int num_segments;
    unsigned segment_points;
    unsigned stride; /* of runs, from one segment to the next */
} run_reader;

INLINE run_reader read_runs(const voxel_deal *deal, const slab *part, unsigned lanes) {
    run_reader reader;
    const long long row = part->batch * deal->num_segments;
    reader.entries = deal->entries + row * deal->segment_points;
    reader.stride = deal->num_slabs + 1;
    reader.runs = deal->runs + row * reader.stride + part->index;
    reader.lanes = (int)lanes;
    reader.lane = (int)(threadIdx.x & (lanes - 1));
    reader.group = (int)(threadIdx.x / lanes);
    reader.groups = (int)(blockDim.x / lanes);
    reader.num_segments = (int)deal->num_segments;
    reader.segment_points = deal->segment_points;
    return reader;
}

/* Sums what the segments dropped. The first warp of each cloud's first slab does it. */
INLINE void write_dropped(const voxel_deal *deal, const slab *part, long long *dropped) {
    if (dropped == 0 || part->index != 0 || threadIdx.x >= 32) {
        return;
    }
    const unsigned *missing = deal->missing + part->batch * deal->num_segments;
    unsigned sum = 0; /* a cloud has fewer than 2^31 points */
    for (unsigned i = threadIdx.x; i < deal->num_segments; i += 32) {
        sum += missing[i];
    }
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (threadIdx.x == 0) {
        dropped[part->batch] = sum;
    }
}

INLINE int run_begin(const run_reader *reader, int segment) {
    return segment < reader->num_segments
               ? __ldg(reader->runs + (unsigned long long)segment * reader->stride)
               : 0;
}

INLINE int run_end(const run_reader *reader, int segment) {
    return segment < reader->num_segments
               ? __ldg(reader->runs + (unsigned long long)segment * reader->stride + 1)
               : 0;
}

/* For every entry of the slab, each by one thread: `cell` and `point`, its index in the cloud. */
#define FOR_EACH_ENTRY(reader, cell, point, body)                                                  \
    int next_begin_ = run_begin(reader, (reader)->group);                                          \
    int next_end_ = run_end(reader, (reader)->group);                                              \
    for (int g = (reader)->group; g < (reader)->num_segments; g += (reader)->groups) {             \
        const int begin_ = next_begin_;                                                            \
        const int end_ = next_end_;                                                                \
        next_begin_ = run_begin(reader, g + (reader)->groups);                                     \
        next_end_ = run_end(reader, g + (reader)->groups);                                         \
        const unsigned *from_ =                                                                    \
            (reader)->entries + (unsigned long long)g * (reader)->segment_points;                  \
        for (int i_ = begin_ + (reader)->lane; i_ < end_; i_ += RUN_UNROLL * (reader)->lanes) {    \
            unsigned loaded_[RUN_UNROLL];                                                          \
            _Pragma("unroll") for (int u_ = 0; u_ < RUN_UNROLL; ++u_) {                            \
                const int at_ = i_ + u_ * (reader)->lanes;                                         \
                loaded_[u_] = at_ < end_ ? __ldg(from_ + at_) : 0xffffffffu;                       \
            }                                                                                      \
            _Pragma("unroll") for (int u_ = 0; u_ < RUN_UNROLL; ++u_) {                            \
                if (i_ + u_ * (reader)->lanes < end_) {                                            \
                    const int cell = (int)(loaded_[u_] >> VOXEL_INDEX_BITS);                       \
                    const unsigned point = (unsigned)g * (reader)->segment_points +                \
                                           (loaded_[u_] & ((1u << VOXEL_INDEX_BITS) - 1));         \
                    (void)point;                                                                   \
                    body                                                                           \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#endif
