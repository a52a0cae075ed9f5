/* One pass of a stable sort by radix, least digit first: sparse_sort_count counts each tile's
 * digits, sparse_sort_pass moves its entries. Passes beyond a cloud's highest digit do nothing. */
#include "sparse.cuh"

enum {
    THREADS = SPARSE_SORT_THREADS,
    WARPS = THREADS / 32,
    DIGITS = SPARSE_DIGITS,
    GROUPS = THREADS / DIGITS, /* threads that share a digit */
};

INLINE unsigned bits_of_key(const sparse_launch *p, const sparse_sort *sort,
                            const sparse_state *state) {
    return sort->of_voxels ? place_bits(p, state) : bits_up_to(state->num_voxels);
}

/* A tile of a cloud's entries. */
typedef struct tile {
    const char *from;
    char *to;
    long long begin, end; /* entries; empty where there is nothing to do */
} tile;

INLINE tile tile_of_block(const sparse_launch *p, const sparse_sort *sort, const place *at,
                          int wide) {
    const sparse_state *state = p->states + at->cloud;
    const long long count =
        sort->of_voxels ? (long long)state->num_found : cloud_length(&p->cloud, at->cloud);
    const int entry_bytes = wide ? 16 : 8;
    const long long offset = at->cloud * p->cloud.num_points * entry_bytes;
    const unsigned pass = sort->shift / SPARSE_DIGIT_BITS;
    tile found;
    found.from = (const char *)sort->buffers[pass & 1] + offset;
    found.to = (char *)sort->buffers[~pass & 1] + offset;
    found.begin = at->block * sort->tile_entries;
    found.end = found.begin + sort->tile_entries < count ? found.begin + sort->tile_entries : count;
    if (sort->shift >= bits_of_key(p, sort, state)) {
        found.end = found.begin;
    }
    return found;
}

INLINE unsigned digit_of(uint4 key, unsigned shift) {
    const unsigned word = shift < 32 ? key.x : shift < 64 ? key.y : key.z;
    return word >> (shift & 31) & (DIGITS - 1);
}

INLINE uint4 load_entry(const char *from, long long i, int wide) {
    if (wide) {
        return ((const uint4 *)from)[i];
    }
    const uint2 entry = ((const uint2 *)from)[i];
    return make_uint4(entry.x, 0, 0, entry.y);
}

INLINE void store_entry(char *to, long long i, uint4 entry, int wide) {
    if (wide) {
        ((uint4 *)to)[i] = entry;
    } else {
        ((uint2 *)to)[i] = make_uint2(entry.x, entry.w);
    }
}

INLINE void count_digits(const sparse_launch *p, const sparse_sort *sort, int wide) {
    __shared__ unsigned bins[DIGITS];
    const place at = place_of_block(p);
    const tile own = tile_of_block(p, sort, &at, wide);
    if (threadIdx.x < DIGITS) {
        bins[threadIdx.x] = 0;
    }
    __syncthreads();
#pragma unroll 4
    for (long long i = own.begin + threadIdx.x; i < own.end; i += THREADS) {
        atomicAdd(&bins[digit_of(load_entry(own.from, i, wide), sort->shift)], 1u);
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) {
        sort->bins[(at.cloud * sort->tiles + at.block) * DIGITS + threadIdx.x] = bins[threadIdx.x];
    }
}

/* Where the tile's first entry of each digit goes. */
INLINE void place_digits(const sparse_launch *p, const sparse_sort *sort, const place *at,
                         unsigned *bases) {
    __shared__ unsigned before[GROUPS][DIGITS];
    __shared__ unsigned all[GROUPS][DIGITS];
    __shared__ unsigned warp_sums[DIGITS / 32];
    const unsigned digit = threadIdx.x % DIGITS;
    const unsigned group = threadIdx.x / DIGITS;
    const unsigned *bins = sort->bins + at->cloud * sort->tiles * DIGITS + digit;
    unsigned own_before = 0;
    unsigned own_all = 0;
#pragma unroll 8
    for (unsigned t = group; t < sort->tiles; t += GROUPS) {
        const unsigned count = bins[t * DIGITS];
        own_before += t < at->block ? count : 0;
        own_all += count;
    }
    before[group][digit] = own_before;
    all[group][digit] = own_all;
    __syncthreads();
    unsigned below = 0;
    if (threadIdx.x < DIGITS) {
        own_before = 0;
        own_all = 0;
        for (int g = 0; g < GROUPS; ++g) {
            own_before += before[g][digit];
            own_all += all[g][digit];
        }
        unsigned total;
        below = sum_below(own_all, &total);
        if ((threadIdx.x & 31) == 0) {
            warp_sums[threadIdx.x / 32] = total;
        }
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) {
        for (unsigned w = 0; w < threadIdx.x / 32; ++w) {
            below += warp_sums[w];
        }
        bases[digit] = below + own_before;
    }
    __syncthreads();
}

INLINE void move_entries(const sparse_launch *p, const sparse_sort *sort, int wide) {
    __shared__ unsigned bases[DIGITS];
    __shared__ unsigned warp_bases[WARPS][DIGITS];
    const int items = wide ? 4 : 8;
    const place at = place_of_block(p);
    const tile own = tile_of_block(p, sort, &at, wide);
    if (own.begin >= own.end) {
        return;
    }
    place_digits(p, sort, &at, bases);
    const unsigned lane = threadIdx.x & 31;
    const unsigned below = (1u << lane) - 1;
    unsigned *counts = warp_bases[threadIdx.x / 32];
    for (long long round = own.begin; round < own.end; round += items * THREADS) {
        const long long first = round + (long long)(threadIdx.x / 32) * (items * 32) + lane;
        uint4 entries[8];
        unsigned digits[8];
        unsigned ranks[8];
        for (unsigned d = lane; d < DIGITS; d += 32) {
            counts[d] = 0;
        }
        __syncwarp();
#pragma unroll
        for (int j = 0; j < items; ++j) {
            const int exists = first + 32 * j < own.end;
            if (exists) {
                entries[j] = load_entry(own.from, first + 32 * j, wide);
            }
            digits[j] = exists ? digit_of(entries[j], sort->shift) : (unsigned)DIGITS;
        }
#pragma unroll
        for (int j = 0; j < items; ++j) {
            const unsigned same = __match_any_sync(0xffffffffu, digits[j]);
            const unsigned seen = digits[j] < DIGITS ? counts[digits[j]] : 0;
            ranks[j] = seen + (unsigned)__popc(same & below);
            __syncwarp();
            if ((same & below) == 0 && digits[j] < DIGITS) {
                counts[digits[j]] = seen + (unsigned)__popc(same);
            }
            __syncwarp();
        }
        __syncthreads();
        if (threadIdx.x < DIGITS) {
            unsigned next = bases[threadIdx.x];
#pragma unroll 8
            for (int w = 0; w < WARPS; ++w) {
                const unsigned count = warp_bases[w][threadIdx.x];
                warp_bases[w][threadIdx.x] = next;
                next += count;
            }
            bases[threadIdx.x] = next;
        }
        __syncthreads();
#pragma unroll
        for (int j = 0; j < items; ++j) {
            if (digits[j] < DIGITS) {
                store_entry(own.to, counts[digits[j]] + ranks[j], entries[j], wide);
            }
        }
        __syncthreads();
    }
}

#define KERNELS(suffix, sort, wide)                                                                \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        rbc__sparse_count_##suffix##_cuda(const __grid_constant__ sparse_launch p) {               \
        launch_await();                                                                            \
        launch_release();                                                                          \
        count_digits(&p, &p.sort, wide);                                                           \
    }                                                                                              \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        rbc__sparse_move_##suffix##_cuda(const __grid_constant__ sparse_launch p) {                \
        launch_await();                                                                            \
        launch_release();                                                                          \
        move_entries(&p, &p.sort, wide);                                                           \
    }

KERNELS(places, by_place, 0)
KERNELS(wide_places, by_place, 1)
KERNELS(points, by_voxel, 0)
