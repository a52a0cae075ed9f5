/* Resamples one source where device memory is the bound: as resample_rows.cu, in many small blocks.
 * Blocks in flight then lie close together in memory, and while some search others move data.
 *
 * So that a small block's search is short, it loads not all stamps but those around where its
 * targets would be if targets and samples were spread alike, in the same round trip as the targets;
 * several threads search for one target. Where that was the wrong place, and for stamps in no
 * order, the search goes on in global memory. */
#include "bracket.cuh"
#include "large_params.h"
#include "stage.cuh"

enum {
    IN_FLIGHT = 3,
};

/* A bracket in shared memory: samples, and the weight in the words of a double or in the first. */
typedef uint4 large_bracket;

INLINE large_bracket bracket_pack(const bracket *found, int dtype) {
    /* No weight is negative: one that is says that the sample itself is wanted. */
    const double weight = found->left == found->right ? -1.0 : found->weight;
    large_bracket packed;
    packed.x = (unsigned)found->left;
    packed.y = (unsigned)found->right;
    packed.z =
        dtype == VALUE_F64 ? (unsigned)__double2loint(weight) : __float_as_uint((float)weight);
    packed.w = dtype == VALUE_F64 ? (unsigned)__double2hiint(weight) : 0;
    return packed;
}

/* Number of the first `count` stamps of the clock that are at most `target`, by the lanes of a
 * group; all groups of the warp search at once. */
INLINE int search_by_lanes(const large_launch *p, const row_clock *clock, stamp target, int count,
                           int type, int whole) {
    const unsigned lanes = 1u << p->lanes_log;
    const unsigned in_warp = threadIdx.x & 31;
    const unsigned lane = in_warp & (lanes - 1);
    const unsigned group = (lanes == 32 ? 0xffffffffu : (1u << lanes) - 1) << (in_warp - lane);
    int begin = 0;
    while (__any_sync(0xffffffffu, count > 0)) {
        const int step = (int)((float)count * p->lanes_share) + 1;
        const int offset = (int)(lane + 1) * step - 1;
        const int right = offset < count &&
                          stamp_at_most(clock_at(clock, begin + offset, type, whole), target, type);
        const int passed = __popc(__ballot_sync(0xffffffffu, right) & group);
        const int left = count - passed * step;
        begin += passed * step;
        count = passed == (int)lanes || left < step - 1 ? left : step - 1;
    }
    return begin;
}

/* Stamps [clock->cache_first, clock->cache_end): those that the tile is likely to need. */
INLINE void guess_window(const large_launch *p, const tile *part, row_clock *clock) {
    const int length = (int)clock->length;
    const float half = 0.5f * (float)part->count;
    const int middle = (int)(((float)part->first + half) * p->samples_per_target);
    const int reach = (int)(half * p->samples_per_target) + (int)p->margin;
    const int first = middle > reach ? (middle - reach) & ~3 : 0;
    const int end = middle < length - reach - 3 ? (middle + reach + 3) & ~3 : length;
    clock->cache_first = first < length ? first : length;
    clock->cache_end = end - first <= (int)p->max_window ? end : clock->cache_first;
}

INLINE void find_brackets(const large_launch *p, const tile *part, char *shared, int dtype,
                          int type) {
    const resample_launch *launch = &p->launch;
    large_bracket *brackets = (large_bracket *)(shared + launch->brackets_begin);
    row_clock clock = clock_of_row(&p->source, part->batch, shared, type, 1);
    guess_window(p, part, &clock);
    const int at_once = LARGE_THREADS >> p->lanes_log;
    const int mine = (int)(threadIdx.x >> p->lanes_log);
    const int mode = (int)p->source.mode;
    stamp time = 0;
    if (mine < part->count) {
        time = target_at(launch, part->batch, part->first + mine, type);
    }
    row_clock window = clock;
    window.length = clock.cache_end - clock.cache_first;
    cache_stamps(&clock, shared, clock.cache_first, (int)window.length, 0, type);
    const int from_begin = clock.cache_first == 0;
    const int to_end = clock.cache_end == clock.length;
    __syncthreads();
    for (int base = 0; base < part->count; base += at_once) {
        const int j = base + mine;
        const int is_mine = j < part->count;
        if (is_mine && base > 0) {
            time = target_at(launch, part->batch, part->first + j, type);
        }
        const int above =
            search_by_lanes(p, &window, time, is_mine ? (int)window.length : 0, type, 1);
        bracket found = {0, 0, 0.0};
        int elsewhere = is_mine && window.length == 0;
        if (is_mine && window.length > 0) {
            found = bracket_at(&window, time, above, mode, dtype, type, 1);
            elsewhere = !((above > 0 || from_begin) && (found.right + 1 < window.length || to_end));
            found.left += (int)clock.cache_first;
            found.right += (int)clock.cache_first;
        }
        if (__any_sync(0xffffffffu, elsewhere)) {
            const int again =
                search_by_lanes(p, &clock, time, elsewhere ? (int)clock.length : 0, type, 0);
            if (elsewhere) {
                found = bracket_at(&clock, time, again, mode, dtype, type, 0);
            }
        }
        if (is_mine && (threadIdx.x & ((1u << p->lanes_log) - 1)) == 0) {
            brackets[j] = bracket_pack(&found, dtype);
        }
    }
    __syncthreads();
}

/* Both samples are loaded whether they differ or not, so that a thread's loads are all on their way
 * before the first is waited for. Stores go the plain way, on which the L2 cache gathers them. */
INLINE void write_rows(const large_launch *p, const tile *part, const char *shared, int dtype) {
    const resample_launch *launch = &p->launch;
    const large_bracket *brackets = (const large_bracket *)(shared + launch->brackets_begin);
    const char *values = p->source.values + part->batch * p->source.batch_stride;
    const unsigned long long stride = p->sample_stride32;
    char *out = launch->out + part->batch * launch->out_batch_stride +
                part->first * launch->out_target_stride;
    const unsigned chunks = (unsigned)part->count * launch->row_units;
    const int blends = dtype != VALUE_COPY && p->source.mode == MODE_LINEAR;
    for (unsigned base = threadIdx.x; base < chunks; base += IN_FLIGHT * LARGE_THREADS) {
        uint4 a[IN_FLIGHT];
        uint4 b[IN_FLIGHT];
        float w32[IN_FLIGHT];
        double w64[IN_FLIGHT];
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned chunk = base + u * LARGE_THREADS;
            if (chunk < chunks) {
                const unsigned row =
                    (unsigned)((unsigned long long)chunk * launch->row_magic >> launch->row_shift);
                const large_bracket found = brackets[row];
                const char *column = values + (chunk - row * launch->row_units) * 16;
                w32[u] = __uint_as_float(found.z);
                w64[u] = __hiloint2double((int)found.w, (int)found.z);
                a[u] = __ldg((const uint4 *)(column + found.x * stride));
                if (blends) {
                    b[u] = __ldg((const uint4 *)(column + found.y * stride));
                }
            }
        }
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
            const unsigned chunk = base + u * LARGE_THREADS;
            if (chunk < chunks) {
                const double weight = dtype == VALUE_F64 ? w64[u] : (double)w32[u];
                const int differ = dtype == VALUE_F64 ? w64[u] >= 0.0 : w32[u] >= 0.0f;
                *(uint4 *)(out + (unsigned long long)chunk * 16) =
                    blends && differ ? lerp_chunk(a[u], b[u], weight, dtype) : a[u];
            }
        }
    }
}

INLINE void resample_large(const large_launch *p, int dtype, int type) {
    extern __shared__ __align__(16) char shared[];
    const tile part = tile_of_block(&p->launch);
    launch_await();
    launch_release();
    find_brackets(p, &part, shared, dtype, type);
    write_rows(p, &part, shared, dtype);
}

#define KERNEL(suffix, dtype)                                                                      \
    extern "C" __global__ void __launch_bounds__(LARGE_THREADS, LARGE_BLOCKS)                      \
        rbc__resample_large_##suffix##_cuda(const __grid_constant__ large_launch p) {              \
        if (p.launch.time_type == CLOCK_F32) {                                                     \
            resample_large(&p, dtype, CLOCK_F32);                                                  \
        } else if (p.launch.time_type == CLOCK_F64) {                                              \
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
