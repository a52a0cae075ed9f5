/* Numbers for voxels: in the order of their first points, or by place. */
#include "sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
    AT_ONCE = 4, /* words whose first points are loaded together */
};

/* What is numbered. */
enum {
    ANY_POINTS = 0,
    PLAIN_POINTS = 1, /* in the order first seen, of a plain launch */
    CELLS = 2,        /* by_bits */
};

INLINE void name_voxel(const sparse_launch *p, long long cloud, unsigned point, unsigned number) {
    const unsigned slot = p->slot_of[cloud * p->cloud.num_points + point];
    p->table[(unsigned long long)cloud * p->slots + slot] =
        (unsigned long long)number << 32 | point;
}

INLINE void write_coordinates(const sparse_launch *p, long long cloud, const cell3 *cell,
                              unsigned number) {
    if (number < p->max_voxels) {
        put_coordinates(p, cell, p->coordinates + 3 * (cloud * p->max_voxels + number));
    }
}

/* A first point found: `number` is its rank among them. */
INLINE void take_first(const sparse_launch *p, const sparse_map *map, long long cloud,
                       unsigned point, unsigned number, int *low, int *high) {
    if (p->first_seen) {
        name_voxel(p, cloud, point, number);
        if (number < p->max_voxels) {
            const cell3 cell = cell_of(p, map, cloud, point, 0);
            write_coordinates(p, cloud, &cell, number);
        }
        return;
    }
    const cell3 cell = cell_of(p, map, cloud, point, 0);
    const long long at = cloud * p->cloud.num_points + number;
    if (p->wide) {
        ((int4 *)p->by_place.buffers[0])[at] =
            make_int4(cell.at[0], cell.at[1], cell.at[2], (int)point);
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            low[axis] = min(low[axis], cell.at[axis]);
            high[axis] = max(high[axis], cell.at[axis]);
        }
    } else {
        ((uint2 *)p->by_place.buffers[0])[at] = make_uint2(number_of_cell(p, &cell), point);
    }
}

/* The next word with bits among those that the lanes hold: the lane's bit in it, or
 * SPARSE_NONE. */
INLINE unsigned next_bit(unsigned *left, unsigned word, unsigned below, long long first,
                         unsigned *number) {
    const int lane = (int)threadIdx.x & 31;
    const int source = *left != 0 ? __ffs((int)*left) - 1 : 0;
    const unsigned theirs = *left != 0 ? __shfl_sync(0xffffffffu, word, source) : 0;
    *number =
        __shfl_sync(0xffffffffu, below, source) + (unsigned)__popc(theirs & ((1u << lane) - 1));
    *left &= *left - 1;
    return (theirs >> lane & 1) != 0 ? (unsigned)((first + source) * 32 + lane) : SPARSE_NONE;
}

/* First points of several words, in the order first seen and of f32. */
INLINE void name_plain(const sparse_launch *p, const sparse_map *map, long long cloud,
                       const unsigned *points, const unsigned *numbers) {
    const unsigned *slot_of = p->slot_of + cloud * p->cloud.num_points;
    unsigned long long *table = p->table + (unsigned long long)cloud * p->slots;
    unsigned slots[AT_ONCE];
    point32 loaded[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
        if (points[u] != SPARSE_NONE) {
            slots[u] = slot_of[points[u]];
            loaded[u] = load_point(p, cloud, points[u], POINT_F32);
        }
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
        if (points[u] != SPARSE_NONE) {
            table[slots[u]] = (unsigned long long)numbers[u] << 32 | points[u];
            const cell3 cell = cell_of_point32(map, &loaded[u], SPARSE_FLOOR);
            write_coordinates(p, cloud, &cell, numbers[u]);
        }
    }
}

/* A tile's bits, in order; its warps have the stretches that sparse_flag gave them. */
INLINE void number_voxels(const sparse_launch *p, int kind) {
    __shared__ sparse_map map;
    __shared__ unsigned warp_sums[32];
    const place at = place_of_block(p);
    const int lane = (int)threadIdx.x & 31;
    const unsigned warp = threadIdx.x / 32;
    share_map(p, at.cloud, &map);
    unsigned before = 0;
    unsigned all = 0;
    for (unsigned tile = threadIdx.x; tile < p->tiles; tile += THREADS) {
        const unsigned count = p->tile_counts[at.cloud * p->tiles + tile];
        before += tile < at.block ? count : 0;
        all += count;
    }
    before = sum_over_block(before, warp_sums);
    all = sum_over_block(all, warp_sums);
    sparse_state *state = p->states + at.cloud;
    if (at.block == 0 && threadIdx.x == 0) {
        const unsigned kept = all < p->max_voxels ? all : (unsigned)p->max_voxels;
        state->num_found = all;
        state->num_voxels = kept;
        if (p->num_voxels != 0) {
            p->num_voxels[at.cloud] = (int)kept;
        }
    }
    const unsigned *bits = p->bits + at.cloud * p->bit_words;
    const long long words = p->tile_words / WARPS;
    const long long begin = at.block * p->tile_words + warp * words;
    unsigned own = 0;
    for (long long w = begin + lane; w < begin + words; w += 32) {
        own += w < p->bit_words ? (unsigned)__popc(bits[w]) : 0;
    }
    own = __reduce_add_sync(0xffffffffu, own);
    if (lane == 0) {
        warp_sums[warp] = own;
    }
    __syncthreads();
    for (unsigned w = 0; w < warp; ++w) {
        before += warp_sums[w];
    }
    int low[3] = {0x7fffffff, 0x7fffffff, 0x7fffffff};
    int high[3] = {-0x7fffffff - 1, -0x7fffffff - 1, -0x7fffffff - 1};
    for (long long first = begin; first < begin + words; first += 32) {
        const long long w = first + lane;
        const unsigned word = w < begin + words && w < p->bit_words ? bits[w] : 0;
        unsigned total;
        const unsigned below = before + sum_below((unsigned)__popc(word), &total);
        before += total;
        if (kind == CELLS && w < begin + words && w < p->bit_words) {
            p->word_starts[at.cloud * p->bit_words + w] = below;
        }
        unsigned left = __ballot_sync(0xffffffffu, word != 0);
        while (kind == PLAIN_POINTS && left != 0) {
            unsigned found[AT_ONCE];
            unsigned numbers[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; ++u) {
                found[u] = next_bit(&left, word, below, first, &numbers[u]);
            }
            name_plain(p, &map, at.cloud, found, numbers);
        }
        while (kind != PLAIN_POINTS && left != 0) {
            unsigned number;
            const unsigned found = next_bit(&left, word, below, first, &number);
            if (found == SPARSE_NONE) {
                continue;
            }
            if (kind == CELLS) {
                const cell3 cell = cell_of_number(p, found);
                write_coordinates(p, at.cloud, &cell, number);
            } else {
                take_first(p, &map, at.cloud, found, number, low, high);
            }
        }
    }
    if (kind != ANY_POINTS || p->first_seen || !p->wide) {
        return;
    }
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        low[axis] = __reduce_min_sync(0xffffffffu, low[axis]);
        high[axis] = __reduce_max_sync(0xffffffffu, high[axis]);
        if (lane == 0) {
            atomicMin(&state->low[axis], low[axis]);
            atomicMax(&state->high[axis], high[axis]);
        }
    }
}

#define KERNEL(name, kind)                                                                         \
    extern "C" __global__ void __launch_bounds__(THREADS)                                          \
        rbc__sparse_##name##_cuda(const __grid_constant__ sparse_launch p) {                       \
        launch_await();                                                                            \
        launch_release();                                                                          \
        number_voxels(&p, kind);                                                                   \
    }

KERNEL(number_any, ANY_POINTS)
KERNEL(number, PLAIN_POINTS)
KERNEL(number_cells, CELLS)

/* Coordinates become keys, no wider than the voxels are far apart. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_key_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const sparse_state *state = p.states + at.cloud;
    const unsigned i = at.block * THREADS + threadIdx.x;
    if (i >= state->num_found) {
        return;
    }
    uint4 *entries = (uint4 *)p.by_place.buffers[0] + at.cloud * p.cloud.num_points;
    const uint4 entry = entries[i];
    const unsigned offsets[3] = {entry.x - (unsigned)state->low[0],
                                 entry.y - (unsigned)state->low[1],
                                 entry.z - (unsigned)state->low[2]};
    unsigned __int128 key = 0;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        const int axis = p.z_first ? 2 - k : k;
        const unsigned range = (unsigned)state->high[axis] - (unsigned)state->low[axis];
        key = key << bits_up_to(range) | (p.z_first ? offsets[2 - k] : offsets[k]);
    }
    entries[i] = make_uint4((unsigned)key, (unsigned)(key >> 32), (unsigned)(key >> 64), entry.w);
}

/* After the sort: a voxel's rank is its number. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_rank_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ sparse_map map;
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const sparse_state *state = p.states + at.cloud;
    const unsigned i = at.block * THREADS + threadIdx.x;
    if (at.block * THREADS >= state->num_found) {
        return;
    }
    share_map(&p, at.cloud, &map);
    if (i >= state->num_found) {
        return;
    }
    const void *sorted = p.by_place.buffers[sorted_buffer(place_bits(&p, state))];
    const long long from = at.cloud * p.cloud.num_points + i;
    const unsigned point =
        p.wide ? ((const uint4 *)sorted)[from].w : ((const uint2 *)sorted)[from].y;
    name_voxel(&p, at.cloud, point, i);
    if (i < p.max_voxels) {
        const cell3 cell = cell_of(&p, &map, at.cloud, point, 0);
        write_coordinates(&p, at.cloud, &cell, i);
    }
}
