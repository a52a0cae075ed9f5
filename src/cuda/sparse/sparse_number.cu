/* Numbers for voxels: in the order of their first points, or of their keys. */
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
    AT_ONCE = 4, /* words whose first points are loaded together */
    ITEMS = SPARSE_RUN_ITEMS,
};

/* ---- first seen ---- */

INLINE void write_coordinates(const sparse_launch *p, long long cloud, const cell3 *cell,
                              unsigned number) {
    if (number < p->max_voxels) {
        put_coordinates(p, cell, p->coordinates + 3 * (cloud * p->max_voxels + number));
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

/* First points of several words that are kept: `numbers` are their ranks among all. */
INLINE void name_points(const sparse_launch *p, const sparse_map *map, long long cloud,
                        const unsigned *points, const unsigned *numbers, int simple) {
    point32 loaded[AT_ONCE];
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
        if (simple && points[u] != SPARSE_NONE) {
            loaded[u] = load_point(p, cloud, points[u], POINT_F32);
        }
    }
#pragma unroll
    for (int u = 0; u < AT_ONCE; ++u) {
        if (points[u] != SPARSE_NONE) {
            const cell3 cell = simple ? cell_of_point32(map, &loaded[u], SPARSE_FLOOR)
                                      : cell_of(p, map, cloud, points[u], 0);
            write_coordinates(p, cloud, &cell, numbers[u]);
        }
    }
}

/* A tile's bits, in order; its warps have the stretches that sparse_flag gave them. */
INLINE void number_voxels(const sparse_launch *p, int simple) {
    __shared__ sparse_map map;
    __shared__ unsigned warp_sums[32];
    const cloud_block at = cloud_block_of(p);
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
    before = block_sum(before, warp_sums);
    all = block_sum(all, warp_sums);
    sparse_state *state = p->states + at.cloud;
    if (at.block == 0 && threadIdx.x == 0) {
        const unsigned kept = all < p->max_voxels ? all : (unsigned)p->max_voxels;
        state->num_voxels = kept;
        state->key_bits = bits_up_to(kept);
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
    for (long long first = begin; first < begin + words; first += 32) {
        const long long w = first + lane;
        const unsigned word = w < begin + words && w < p->bit_words ? bits[w] : 0;
        unsigned total;
        const unsigned below = before + warp_sum_before((unsigned)__popc(word), &total);
        before += total;
        if (w < begin + words && w < p->bit_words) {
            p->word_starts[at.cloud * p->bit_words + w] = below;
        }
        unsigned left = __ballot_sync(0xffffffffu, word != 0 && below < p->max_voxels);
        while (left != 0) {
            unsigned found[AT_ONCE];
            unsigned numbers[AT_ONCE];
#pragma unroll
            for (int u = 0; u < AT_ONCE; ++u) {
                found[u] = next_bit(&left, word, below, first, &numbers[u]);
            }
            name_points(p, &map, at.cloud, found, numbers, simple);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_number_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    number_voxels(&p, 1);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_number_generic_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    number_voxels(&p, 0);
}

/* ---- by key ---- */

/* What is known of an entry from itself and the one before it. */
enum {
    INSIDE = 1, /* its point is in a voxel */
    HEAD = 2,   /* and the first of it */
    END = 4,    /* there are no more voxels from here on */
};

INLINE int flags_of(int inside, int was_inside, int differs) {
    return inside ? INSIDE | (was_inside && !differs ? 0 : HEAD) : was_inside ? END : 0;
}

/* Of keys that have several words: the points are looked at again. */
static __device__ __noinline__ int flags_of_points(const sparse_launch *p, const sparse_map *map,
                                                   long long cloud, unsigned point,
                                                   unsigned before) {
    const cell3 none = {{0, 0, 0}, 0};
    const cell3 own = point != SPARSE_NONE ? cell_of(p, map, cloud, point, 0) : none;
    const cell3 other = before != SPARSE_NONE ? cell_of(p, map, cloud, before, 0) : none;
    return flags_of(own.inside, other.inside,
                    own.at[0] != other.at[0] || own.at[1] != other.at[1] ||
                        own.at[2] != other.at[2]);
}

static __device__ __noinline__ cell3 cell_of_entry(const sparse_launch *p, const sparse_map *map,
                                                   long long cloud, unsigned point) {
    return cell_of(p, map, cloud, point, 0);
}

/* What all tiles before have, by the lanes of a warp. */
INLINE unsigned sum_of_chain(const unsigned *chain, int tile) {
    const int lane = (int)threadIdx.x & 31;
    unsigned before = 0;
    for (int at = tile - 1; at >= 0;) {
        const unsigned seen = lane <= at ? chain_look(chain + at - lane) : 1u << 31;
        const unsigned unknown = __ballot_sync(0xffffffffu, seen == 0);
        const unsigned ended = __ballot_sync(0xffffffffu, chain_has_ended(seen));
        const int usable = unknown == 0 ? 32 : __ffs((int)unknown) - 1;
        const int end = ended == 0 ? 32 : __ffs((int)ended) - 1;
        before +=
            __reduce_add_sync(0xffffffffu, lane < usable && lane <= end ? chain_count(seen) : 0);
        at = end < usable ? -1 : at - usable;
    }
    return before;
}

/* Writes what an entry says of its voxel and its point; `number` counts the voxels up to it. */
INLINE void tell_entry(const sparse_launch *p, const sparse_map *map, const cell_box *box,
                       long long cloud, uint2 entry, int flags, unsigned number, long long i) {
    if (p->point_to_voxel != 0 && entry.y != SPARSE_NONE) {
        p->point_to_voxel[cloud * p->cloud.num_points + entry.y] =
            (flags & INSIDE) != 0 && number <= p->max_voxels ? (int)number - 1 : -1;
    }
    if ((flags & HEAD) != 0 && number <= p->max_voxels + 1) {
        p->starts[cloud * (p->rows + 1) + number - 1] = (unsigned)i;
        if (number <= p->max_voxels) {
            const cell3 cell =
                box->bits > 32 ? cell_of_entry(p, map, cloud, entry.y) : cell_of_key(box, entry.x);
            write_coordinates(p, cloud, &cell, number - 1);
        }
    }
    if ((flags & END) != 0) {
        const unsigned kept = number < p->max_voxels ? number : (unsigned)p->max_voxels;
        p->states[cloud].num_voxels = kept;
        if (p->num_voxels != 0) {
            p->num_voxels[cloud] = (int)kept;
        }
        if (number <= p->max_voxels) {
            p->starts[cloud * (p->rows + 1) + number] = (unsigned)i;
        }
    }
}

/* Sorted points: runs of the same key are voxels. Entries are looked at up to the one after the
 * last. */
extern "C" __global__ void __launch_bounds__(THREADS, 4)
    rbc__sparse_run_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ sparse_map map;
    __shared__ unsigned warp_sums[WARPS];
    __shared__ unsigned chain_sum;
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const int lane = (int)threadIdx.x & 31;
    const unsigned warp = threadIdx.x / 32;
    const cell_box box = box_of_cloud(&p, at.cloud, 0);
    const unsigned nowhere = box.extent[0] * box.extent[1] * box.extent[2];
    const uint2 *sorted = sorted_entries(&p, at.cloud);
    const long long length = cloud_length(&p.cloud, at.cloud);
    const long long first = (long long)at.block * SPARSE_RUN_TILE + warp * (32 * ITEMS) + lane;
    uint2 entries[ITEMS];
    uint2 before = make_uint2(nowhere, SPARSE_NONE);
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        const long long i = first + 32 * j;
        entries[j] = i < length ? sorted[i] : make_uint2(nowhere, SPARSE_NONE);
    }
    if (lane == 0 && first > 0 && first <= length) {
        before = sorted[first - 1];
    }
    share_map(&p, at.cloud, &map);
    int flags[ITEMS];
    unsigned numbers[ITEMS];
    unsigned sum = 0;
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        uint2 other;
        other.x = __shfl_up_sync(0xffffffffu, entries[j].x, 1);
        other.y = __shfl_up_sync(0xffffffffu, entries[j].y, 1);
        other = lane == 0 ? before : other;
        before.x = __shfl_sync(0xffffffffu, entries[j].x, 31);
        before.y = __shfl_sync(0xffffffffu, entries[j].y, 31);
        flags[j] = box.bits > 32 ? flags_of_points(&p, &map, at.cloud, entries[j].y, other.y)
                                 : flags_of(entries[j].x != nowhere, other.x != nowhere,
                                            entries[j].x != other.x);
        /* Nothing before the first entry is a voxel either. */
        flags[j] |= first + 32 * j == 0 && flags[j] == 0 ? END : 0;
        const unsigned heads = __ballot_sync(0xffffffffu, (flags[j] & HEAD) != 0);
        numbers[j] = sum + (unsigned)__popc(heads & (0xffffffffu >> (31 - lane)));
        sum += (unsigned)__popc(heads);
    }
    if (lane == 0) {
        warp_sums[warp] = sum;
    }
    __syncthreads();
    unsigned below = 0;
    unsigned all = 0;
#pragma unroll
    for (unsigned w = 0; w < WARPS; ++w) {
        below += w < warp ? warp_sums[w] : 0;
        all += warp_sums[w];
    }
    if (warp == 0) {
        unsigned *chain = p.run_chain + at.cloud * p.run_tiles;
        if (lane == 0) {
            chain_tell(chain + at.block, all);
        }
        const unsigned sum_before = sum_of_chain(chain, (int)at.block);
        if (lane == 0) {
            chain_end(chain + at.block, sum_before + all);
            chain_sum = sum_before;
        }
    }
    __syncthreads();
    below += chain_sum;
#pragma unroll
    for (int j = 0; j < ITEMS; ++j) {
        const long long i = first + 32 * j;
        if (i >= length && i < p.cloud.num_points) {
            entries[j].y = (unsigned)i; /* a point after the cloud's last */
        }
        tell_entry(&p, &map, &box, at.cloud, entries[j], flags[j], below + numbers[j], i);
    }
}
