/* The keys by which points are sorted, and a pass of the sort: each digit of a key moves the
 * entries from one buffer to the other, stably and least digit first, in one launch. Passes beyond
 * a cloud's highest digit do nothing. */
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_SORT_THREADS,
    WARPS = THREADS / 32,
    ITEMS = SPARSE_SORT_ITEMS,
    TILE = SPARSE_SORT_TILE,
    DIGITS = SPARSE_DIGITS,
    PASSES = SPARSE_WORD_PASSES,
    AT_ONCE = 4, /* points that a thread makes keys of together */
    WINDOW = 8,  /* tiles that are looked back at together */
};

/* What keys are of. */
enum {
    SIMPLE_KEYS = 0, /* of a simple launch */
    GENERIC_KEYS = 1,
    VOXEL_NUMBERS = 2,
};

INLINE unsigned digit_of(unsigned key, unsigned pass) {
    return key >> pass % PASSES * SPARSE_DIGIT_BITS & (DIGITS - 1);
}

INLINE unsigned *digits_of_pass(const sparse_launch *p, long long cloud, unsigned pass) {
    return p->sort.digits + (cloud * p->sort.passes + pass) * DIGITS;
}

INLINE uint2 *entries_before(const sparse_launch *p, long long cloud, unsigned pass) {
    return (uint2 *)p->sort.entries[pass & 1] + cloud * p->cloud.num_points;
}

/* ---- keys ---- */

/* The entry of a point: the word of its key that begins with digit `pass`. What is said of points
 * one by one is written on the way. */
INLINE uint2 make_entry(const sparse_launch *p, const cell_box *box, const cloud_block *at,
                        const cell3 *cell, unsigned point) {
    const unsigned pass = p->sort.pass;
    if (pass == 0 && p->point_coordinates != 0) {
        put_coordinates(p, cell,
                        p->point_coordinates + 3 * (at->cloud * p->cloud.num_points + point));
    }
    return make_uint2(
        box->bits > 32 ? word_of_key(box, cell, pass / PASSES) : key_in_box(box, cell), point);
}

/* The same of points by voxel. */
INLINE uint2 make_voxel_entry(const sparse_launch *p, long long cloud, long long i) {
    const unsigned voxel = voxel_of(p, cloud, i);
    return make_uint2(voxel == SPARSE_NONE ? p->states[cloud].num_voxels : voxel, (unsigned)i);
}

/* Makes the entries i, i + THREADS and so on up to AT_ONCE of them. */
INLINE void make_entries(const sparse_launch *p, const sparse_map *map, const cell_box *box,
                         const cloud_block *at, long long first, long long length, int kind,
                         uint2 *made, unsigned *missing) {
    const uint2 *entries = entries_before(p, at->cloud, p->sort.pass);
    const int is_f64 = kind == GENERIC_KEYS && p->cloud.dtype == POINT_F64;
    unsigned points[AT_ONCE];
    point32 loaded[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE && kind != VOXEL_NUMBERS; ++u) {
        const long long i = first + u * THREADS;
        points[u] = SPARSE_NONE;
        if (i < length) {
            points[u] = p->sort.pass == 0 ? (unsigned)i : entries[i].y;
        }
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE && kind != VOXEL_NUMBERS; ++u) {
        if (points[u] != SPARSE_NONE && !is_f64) {
            loaded[u] = load_point(p, at->cloud, points[u],
                                   kind == SIMPLE_KEYS ? POINT_F32 : (int)p->cloud.dtype);
        }
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
        const long long i = first + u * THREADS;
        if (i >= length) {
            break;
        }
        if (kind == VOXEL_NUMBERS) {
            made[u] = make_voxel_entry(p, at->cloud, i);
            continue;
        }
        const cell3 cell = is_f64 ? cell_of(p, map, at->cloud, points[u], 0)
                                  : cell_of_loaded(p, map, &loaded[u], kind == SIMPLE_KEYS);
        *missing += (unsigned)!cell.inside;
        made[u] = make_entry(p, box, at, &cell, points[u]);
    }
}

/* Points after a cloud's last are nowhere. */
INLINE void pad_coordinates(const sparse_launch *p, const cloud_block *at, long long length) {
    const long long total = p->cloud.num_points;
    for (long long i = length + (long long)at->block * THREADS + threadIdx.x; i < total;
         i += (long long)at->blocks * THREADS) {
        const cell3 none = {{0, 0, 0}, 0};
        put_coordinates(p, &none, p->point_coordinates + 3 * (at->cloud * total + i));
    }
}

/* Makes a word of the keys and counts its digits. */
INLINE void make_keys(const sparse_launch *p, int kind) {
    __shared__ sparse_map map;
    __shared__ unsigned counts[PASSES][DIGITS];
    __shared__ unsigned warp_sums[32];
    const cloud_block at = cloud_block_of(p);
    const unsigned pass = p->sort.pass;
    const cell_box box = box_of_cloud(p, at.cloud, kind == SIMPLE_KEYS);
    if (pass * SPARSE_DIGIT_BITS >= box.bits && pass > 0) {
        return;
    }
    const unsigned left = box.bits - pass * SPARSE_DIGIT_BITS;
    for (unsigned i = threadIdx.x; i < PASSES * DIGITS; i += THREADS) {
        counts[0][i] = 0;
    }
    share_map(p, at.cloud, &map);
    const long long length = cloud_length(&p->cloud, at.cloud);
    uint2 *entries = entries_before(p, at.cloud, pass);
    unsigned missing = 0;
    for (int j = 0; j < ITEMS; j += AT_ONCE) {
        const long long first = (long long)at.block * TILE + j * THREADS + threadIdx.x;
        uint2 made[AT_ONCE];
        make_entries(p, &map, &box, &at, first, length, kind, made, &missing);
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            const long long i = first + u * THREADS;
            if (i >= length) {
                break;
            }
            entries[i] = made[u];
#pragma unroll
            for (unsigned k = 0; k < PASSES; ++k) {
                if (k * SPARSE_DIGIT_BITS < left) {
                    atomicAdd(&counts[k][digit_of(made[u].x, k)], 1u);
                }
            }
        }
    }
    if (kind != VOXEL_NUMBERS && pass == 0) {
        if (p->point_coordinates != 0) {
            pad_coordinates(p, &at, length);
        }
        if (p->dropped != 0) {
            missing = block_sum(missing, warp_sums);
            if (threadIdx.x == 0 && missing != 0) {
                atomicAdd(&p->dropped[at.cloud], (unsigned long long)missing);
            }
        }
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < PASSES * DIGITS; i += THREADS) {
        if (counts[0][i] != 0) {
            atomicAdd(&digits_of_pass(p, at.cloud, pass)[i], counts[0][i]);
        }
    }
}

#define KERNEL(name, kind)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        rbc__sparse_##name##_cuda(const __grid_constant__ sparse_launch p) {                       \
        launch_await();                                                                            \
        launch_release();                                                                          \
        make_keys(&p, kind);                                                                       \
    }

KERNEL(key, SIMPLE_KEYS)
KERNEL(key_generic, GENERIC_KEYS)
KERNEL(key_voxels, VOXEL_NUMBERS)

/* ---- a pass ---- */

/* The lanes of the warp whose digit is the same; where there is none it is DIGITS. Votes about one
 * bit after the other. */
INLINE unsigned lanes_with(unsigned digit) {
    unsigned same = __ballot_sync(0xffffffffu, digit < DIGITS);
#pragma unroll
    for (int bit = 0; bit < SPARSE_DIGIT_BITS; ++bit) {
        const unsigned is_set = digit >> bit & 1;
        same &= __ballot_sync(0xffffffffu, is_set) ^ (is_set - 1);
    }
    return same;
}

/* The lane's position among the entries of its warp that have its digit; `counts` are the warp's.
 */
INLINE void rank_entries(const unsigned *digits, unsigned short *counts, unsigned *ranks) {
    const unsigned lane = threadIdx.x & 31;
    const unsigned below = (1u << lane) - 1;
    unsigned same[ITEMS];
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        same[j] = lanes_with(digits[j]);
    }
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        const int exists = digits[j] < DIGITS;
        const unsigned seen = exists ? counts[digits[j]] : 0;
        ranks[j] = seen + (unsigned)__popc(same[j] & below);
        __syncwarp();
        if (exists && (same[j] & below) == 0) {
            counts[digits[j]] = (unsigned short)(seen + (unsigned)__popc(same[j]));
        }
        __syncwarp();
    }
}

/* How many of a digit the tiles before have. */
INLINE unsigned count_before(const unsigned *chain, unsigned tile, unsigned digit) {
    unsigned before = 0;
    int at = (int)tile - 1;
    while (at >= 0) {
        unsigned seen[WINDOW];
#pragma unroll
        for (int k = 0; k < WINDOW; ++k) {
            seen[k] = chain_look(chain + (long long)max(at - k, 0) * DIGITS + digit);
        }
        int known = 1;
#pragma unroll
        for (int k = 0; k < WINDOW; ++k) {
            known &= seen[k] != 0;
            if (known && at >= 0) {
                before += chain_count(seen[k]);
                at = chain_has_ended(seen[k]) ? -1 : at - 1;
            }
        }
    }
    return before;
}

/* Sums over the digits below, of two counts at once. */
INLINE unsigned long long sum_below_digit(unsigned long long value, unsigned long long *sums) {
    const int lane = (int)threadIdx.x & 31;
    const unsigned long long inclusive = warp_scan64(value);
    if (lane == 31 && threadIdx.x < DIGITS) {
        sums[threadIdx.x / 32] = inclusive;
    }
    __syncthreads();
    unsigned long long before = inclusive - value;
#pragma unroll
    for (unsigned w = 0; w < DIGITS / 32; ++w) {
        before += w < threadIdx.x / 32 ? sums[w] : 0;
    }
    return before;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_pass_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ uint2 staged[TILE];
    __shared__ unsigned short counts[WARPS][DIGITS];
    __shared__ unsigned starts[DIGITS];
    __shared__ unsigned offsets[DIGITS];
    __shared__ unsigned long long sums[DIGITS / 32];
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const unsigned pass = p.sort.pass;
    if (pass * SPARSE_DIGIT_BITS >= p.states[at.cloud].key_bits) {
        return;
    }
    for (unsigned i = threadIdx.x; i < WARPS * DIGITS / 2; i += THREADS) {
        ((unsigned *)counts)[i] = 0;
    }
    const unsigned tile = at.block;
    const long long begin = (long long)tile * TILE;
    const long long left = cloud_length(&p.cloud, at.cloud) - begin;
    if (left <= 0) {
        return;
    }
    const unsigned count = left < TILE ? (unsigned)left : TILE;
    const unsigned warp = threadIdx.x / 32;
    const unsigned first = warp * (32 * ITEMS) + (threadIdx.x & 31);
    const uint2 *from = entries_before(&p, at.cloud, pass) + begin;
    uint2 entries[ITEMS];
    unsigned digits[ITEMS];
    unsigned ranks[ITEMS];
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        const int exists = first + 32 * j < count;
        entries[j] = exists ? from[first + 32 * j] : make_uint2(0, 0);
        digits[j] = exists ? digit_of(entries[j].x, pass) : (unsigned)DIGITS;
    }
    __syncthreads();
    rank_entries(digits, counts[warp], ranks);
    __syncthreads();
    const unsigned digit = threadIdx.x;
    unsigned *chain =
        p.sort.chains + (at.cloud * p.sort.passes + pass) * p.sort.tiles * (long long)DIGITS;
    unsigned own = 0;
    unsigned everywhere = 0;
    if (digit < DIGITS) {
#pragma unroll
        for (int w = 0; w < WARPS; ++w) {
            const unsigned in_warp = counts[w][digit];
            counts[w][digit] = (unsigned short)own;
            own += in_warp;
        }
        if (tile > 0) {
            chain_tell(chain + (long long)tile * DIGITS + digit, own);
        }
        everywhere = digits_of_pass(&p, at.cloud, pass)[digit];
    }
    const unsigned long long below =
        sum_below_digit((unsigned long long)everywhere << 32 | own, sums);
    if (digit < DIGITS) {
        starts[digit] = (unsigned)below;
    }
    __syncthreads();
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        if (digits[j] < DIGITS) {
            staged[starts[digits[j]] + counts[warp][digits[j]] + ranks[j]] = entries[j];
        }
    }
    if (digit < DIGITS) {
        const unsigned before = count_before(chain, tile, digit);
        chain_end(chain + (long long)tile * DIGITS + digit, before + own);
        offsets[digit] = (unsigned)(below >> 32) + before - (unsigned)below;
    }
    __syncthreads();
    uint2 *to = entries_before(&p, at.cloud, pass + 1);
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        const unsigned i = j * THREADS + threadIdx.x;
        if (i < count) {
            const uint2 entry = staged[i];
            to[offsets[digit_of(entry.x, pass)] + i] = entry;
        }
    }
}
