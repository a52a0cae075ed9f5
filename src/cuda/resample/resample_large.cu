/* Resamples one source where device memory is the bound: as resample_rows.cu, in many small blocks.
 * Blocks in flight then lie close together in memory, and while some search others move data.
 *
 * So that a small block's search is short, it loads not all stamps but those around where its
 * targets would be if targets and samples were spread alike, in the same round trip as the targets.
 * Where that was the wrong place, and for stamps in no order, it searches again in global memory,
 * several threads for one target.
 *
 * A thread makes the same columns of targets side by side, so that a row which two of them need is
 * in the L1 cache the second time: what bounds the kernel is the traffic between the halves of the
 * L2 cache. */
#include "cuda/resample/large_params.h"
#include "cuda/resample/simple_bracket.cuh"

enum {
    IN_FLIGHT = LARGE_IN_FLIGHT,
};

/* A bracket in shared memory: bytes from sample 0 to the samples' rows, and the weight in the words
 * of a double or in the first. */
typedef uint4 large_bracket;

/* The part of the output that a block makes, targets [first, first + count) of batch row `batch`,
 * and the stamps [begin, end) that it has in shared memory. */
typedef struct large_tile {
    unsigned batch;
    int first, count;
    int begin, end;
} large_tile;

/* `first`: the sample that the bracket counts from. */
INLINE large_bracket bracket_pack(const large_launch *p, const simple_bracket *found, int first,
                                  int dtype) {
    /* No weight is negative: one that is says that the sample itself is wanted. */
    const double weight = found->left == found->right ? -1.0 : found->weight;
    large_bracket packed;
    packed.x = (unsigned)(first + found->left) * p->sample_stride;
    packed.y = (unsigned)(first + found->right) * p->sample_stride;
    packed.z =
        dtype == VALUE_F64 ? (unsigned)__double2loint(weight) : __float_as_uint((float)weight);
    packed.w = dtype == VALUE_F64 ? (unsigned)__double2hiint(weight) : 0;
    return packed;
}

INLINE unsigned divided(unsigned n, unsigned magic, unsigned shift) {
    return (unsigned)((unsigned long long)n * magic >> shift);
}

INLINE large_tile tile_of_block(const large_launch *p) {
    large_tile part;
    const int num_samples = (int)p->num_samples;
    const int reach = (int)p->reach;
    part.batch = divided(blockIdx.x, p->tiles_magic, p->tiles_shift);
    const unsigned index = blockIdx.x - part.batch * p->num_tiles;
    part.first = (int)(index * p->tile);
    const int left = (int)p->num_targets - part.first;
    part.count = left < (int)p->tile ? left : (int)p->tile;
    const int middle = (int)(((float)index + 0.5f) * p->samples_per_tile);
    const int begin = middle > reach ? (middle - reach) & ~3 : 0;
    const int end = middle < num_samples - reach ? middle + reach : num_samples;
    part.begin = begin < end ? begin : end;
    part.end = reach > 0 ? end : part.begin;
    return part;
}

INLINE stamp target_of(const large_launch *p, const large_tile *part, int index, int type) {
    return stamp_load(p->targets + part->batch * p->targets_batch_stride +
                          (part->first + index) * p->targets_stride,
                      type);
}

INLINE void cache_window(const large_launch *p, const large_tile *part, char *shared, int type) {
    const int bytes = stamp_bytes(type);
    const char *from =
        p->times + part->batch * p->times_batch_stride + (long long)part->begin * bytes;
    if (p->are_vec16s) {
        const int vec16s = ((part->end - part->begin) * bytes + 15) / 16;
#pragma unroll 1
        for (int i = (int)threadIdx.x; i < vec16s; i += (int)blockDim.x) {
            ((uint4 *)shared)[i] = __ldg((const uint4 *)from + i);
        }
    } else {
#pragma unroll 1
        for (int i = (int)threadIdx.x; i < part->end - part->begin; i += (int)blockDim.x) {
            stamp_store(shared + i * bytes, stamp_load(from + i * bytes, type), type);
        }
    }
}

/* Number of the stamps of the clock that are at most `target`, by the lanes of a group; all groups
 * of the warp search at once. `count`: all stamps, or 0 for a group that looks for nothing. */
INLINE int search_by_lanes(const large_launch *p, const row_clock *clock, stamp target, int count,
                           int type) {
    const unsigned lanes = 1u << p->lanes_log;
    const unsigned in_warp = threadIdx.x & 31;
    const unsigned lane = in_warp & (lanes - 1);
    const unsigned group = (lanes == 32 ? 0xffffffffu : (1u << lanes) - 1) << (in_warp - lane);
    int begin = 0;
    while (__any_sync(0xffffffffu, count > 0)) {
        const int step = (int)((float)count * p->lanes_share) + 1;
        const int offset = (int)(lane + 1) * step - 1;
        const int right =
            offset < count && stamp_at_most(clock_at(clock, begin + offset, type, 0), target, type);
        const int passed = __popc(__ballot_sync(0xffffffffu, right) & group);
        const int left = count - passed * step;
        begin += passed * step;
        count = passed == (int)lanes || left < step - 1 ? left : step - 1;
    }
    return begin;
}

/* In all stamps of the row. A function of its own, so that the usual way keeps its registers. */
static __device__ __noinline__ void find_elsewhere(const large_launch *p, large_tile part,
                                                   large_bracket *brackets, int dtype, int type) {
    row_clock clock;
    clock.global = p->times + part.batch * p->times_batch_stride;
    clock.stride = stamp_bytes(type);
    clock.cache_first = clock.cache_end = 0;
    clock.length = p->num_samples;
    const int at_once = (int)(blockDim.x >> p->lanes_log);
    const int mine = (int)(threadIdx.x >> p->lanes_log);
    for (int base = 0; base < part.count; base += at_once) {
        const int j = base + mine;
        const int is_mine = j < part.count;
        const stamp time = is_mine ? target_of(p, &part, j, type) : 0;
        const int above = search_by_lanes(p, &clock, time, is_mine ? (int)p->num_samples : 0, type);
        if (is_mine && (threadIdx.x & ((1u << p->lanes_log) - 1)) == 0) {
            const simple_bracket found =
                simple_bracket_at(&clock, time, above, (int)p->mode, dtype, type, 0);
            brackets[j] = bracket_pack(p, &found, 0, dtype);
        }
    }
}

INLINE void find_brackets(const large_launch *p, const large_tile *part, char *shared,
                          large_bracket *brackets, int dtype, int type) {
    const int thread = (int)threadIdx.x;
    stamp time = 0;
    if (thread < part->count) {
        time = target_of(p, part, thread, type);
    }
    cache_window(p, part, shared, type);
    row_clock window;
    window.cache = shared;
    window.length = part->end - part->begin;
    __syncthreads();
    int missed = window.length == 0;
    for (int j = thread; !missed && j < part->count; j += (int)blockDim.x) {
        if (j != thread) {
            time = target_of(p, part, j, type);
        }
        const int above = (int)clock_search(&window, time, 0, window.length, type, 1);
        const simple_bracket found =
            simple_bracket_at(&window, time, above, (int)p->mode, dtype, type, 1);
        missed = !((above > 0 || part->begin == 0) &&
                   (found.right + 1 < window.length || part->end == (int)p->num_samples));
        brackets[j] = bracket_pack(p, &found, part->begin, dtype);
    }
    /* A thread makes IN_FLIGHT targets also where fewer are left; it does not store the others. */
    for (int j = part->count + thread; j < (int)p->num_brackets; j += (int)blockDim.x) {
        brackets[j] = make_uint4(0, 0, 0, 0);
    }
    if (__syncthreads_or(missed)) {
        find_elsewhere(p, *part, brackets, dtype, type);
        __syncthreads();
    }
}

INLINE uint4 vec16_if(int first, uint4 a, uint4 b) {
    return make_uint4(first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.w : b.w);
}

/* Both samples are loaded whether they differ or not, so that a thread's loads are all on their way
 * before the first is waited for. Stores go the ordinary way, on which the L2 cache gathers them.
 */
INLINE void write_column(const large_launch *p, const large_bracket *brackets, int count,
                         const char *values, char *out, int dtype, int blends) {
#pragma unroll 1
    for (int j = 0; j < count; j += IN_FLIGHT) {
        uint4 a[IN_FLIGHT];
        uint4 b[IN_FLIGHT];
        float w32[IN_FLIGHT];
        double w64[IN_FLIGHT];
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const large_bracket found = brackets[j + u];
            w32[u] = __uint_as_float(found.z);
            w64[u] = __hiloint2double((int)found.w, (int)found.z);
            a[u] = __ldg((const uint4 *)(values + found.x));
            if (blends) {
                b[u] = __ldg((const uint4 *)(values + found.y));
            }
        }
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            if (blends) {
                const int differ = dtype == VALUE_F64 ? w64[u] >= 0.0 : w32[u] >= 0.0f;
                const double weight = dtype == VALUE_F64 ? w64[u] : (double)w32[u];
                a[u] = vec16_if(differ, lerp_vec16(a[u], b[u], weight, dtype), a[u]);
            }
            if (j + u < count) {
                *(uint4 *)out = a[u];
            }
            out += p->out_target_stride;
        }
    }
}

INLINE void resample_large(const large_launch *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    large_bracket *brackets = (large_bracket *)(shared + p->brackets_begin);
    const large_tile part = tile_of_block(p);
    const unsigned group = divided(threadIdx.x, p->columns_magic, p->columns_shift);
    const int begin = (int)(group * p->targets_each);
    const int left = part.count - begin;
    const int count = left < (int)p->targets_each ? left : (int)p->targets_each;
    const char *values = p->values + part.batch * p->batch_stride;
    char *out =
        p->out + part.batch * p->out_batch_stride + (part.first + begin) * p->out_target_stride;
    launch_await();
    launch_release();
    find_brackets(p, &part, shared, brackets, dtype, type);
    for (unsigned column = threadIdx.x - group * p->columns; column < p->row_slices;
         column += p->columns) {
        const unsigned at = column * 16;
        if (dtype != VALUE_COPY && p->mode == MODE_LINEAR) {
            write_column(p, brackets + begin, count, values + at, out + at, dtype, 1);
        } else {
            write_column(p, brackets + begin, count, values + at, out + at, dtype, 0);
        }
    }
}

#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(LARGE_MAX_THREADS, LARGE_BLOCKS)                  \
        rbc__resample_large_##suffix##_cuda(const __grid_constant__ large_launch p) {              \
        if (p.time_type == CLOCK_F32) {                                                            \
            resample_large(&p, dtype, CLOCK_F32);                                                  \
        } else if (p.time_type == CLOCK_F64) {                                                     \
            resample_large(&p, dtype, CLOCK_F64);                                                  \
        } else {                                                                                   \
            resample_large(&p, dtype, CLOCK_I64);                                                  \
        }                                                                                          \
    }

KERNEL(f32, VALUE_F32)
KERNEL(f64, VALUE_F64)
KERNEL(f16, VALUE_F16)
KERNEL(bf16, VALUE_BF16)
KERNEL(copy, VALUE_COPY)
