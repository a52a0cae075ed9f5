/* From points to their voxels, and the points of each voxel. */
#include "sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
};

/* The number of the voxel that a point is in, or SPARSE_NONE. */
INLINE unsigned voxel_of(const sparse_launch *p, long long cloud, long long i) {
    const unsigned slot = p->slot_of[cloud * p->cloud.num_points + i];
    if (slot == SPARSE_NONE) {
        return SPARSE_NONE;
    }
    unsigned number;
    if (p->by_bits) {
        const long long word = cloud * p->bit_words + slot / 32;
        number = p->word_starts[word] + (unsigned)__popc(p->bits[word] & ((1u << slot % 32) - 1));
    } else {
        number = (unsigned)(p->table[(unsigned long long)cloud * p->slots + slot] >> 32);
    }
    return number < p->max_voxels ? number : SPARSE_NONE;
}

/* Puts a point among the first `limit` of its voxel. A place only ever goes down, and what it held
 * moves on to the next, so that in the end the list has the least of all that came, in order,
 * whatever the order they came in. */
INLINE void list_point(unsigned *list, int limit, unsigned point) {
    volatile unsigned *seen = list;
    int at = 0;
    if (seen[0] < point) {
        if (seen[limit - 1] < point) {
            return;
        }
        do {
            ++at;
        } while (at < limit && seen[at] < point);
    }
    for (; at < limit; ++at) {
        const unsigned held = atomicMin(&list[at], point);
        if (held == SPARSE_NONE) {
            return;
        }
        point = held > point ? held : point;
    }
}

/* Tells points their voxels, and voxels their points. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_assign_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long total = p.cloud.num_points;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= total) {
        return;
    }
    const long long row = at.cloud * total + i;
    const unsigned voxel = voxel_of(&p, at.cloud, i);
    if (p.point_to_voxel != 0) {
        p.point_to_voxel[row] = (int)voxel;
    }
    if (p.points == SPARSE_SORTED) {
        const unsigned key = voxel == SPARSE_NONE ? p.states[at.cloud].num_voxels : voxel;
        ((uint2 *)p.by_voxel.buffers[0])[row] = make_uint2(key, (unsigned)i);
        return;
    }
    if (p.points == SPARSE_RANKED) {
        p.slot_of[row] = voxel;
    }
    if (voxel == SPARSE_NONE) {
        return;
    }
    if (p.points == SPARSE_LISTED) {
        list_point(p.lists + (at.cloud * p.max_voxels + voxel) * p.max_points, (int)p.max_points,
                   (unsigned)i);
    } else if (p.points == SPARSE_RANKED) {
        p.ranks[row] = atomicAdd(&p.tallies[at.cloud * p.rows + voxel], 1u);
    } else if (p.points == SPARSE_COUNTED) {
        atomicAdd(&p.counts[at.cloud * p.max_voxels + voxel], 1);
    }
}

/* ---- ranked --------------------------------------------------------------------------------- */

/* A warp's stretch of rows. */
typedef struct stretch {
    const unsigned *tallies;
    long long begin, end;
} stretch;

INLINE stretch stretch_of_warp(const sparse_launch *p, const place *at) {
    const long long each = p->tile_rows / WARPS;
    stretch found;
    found.tallies = p->tallies + at->cloud * p->rows;
    found.begin = at->block * p->tile_rows + threadIdx.x / 32 * each;
    found.end = found.begin + each < p->rows ? found.begin + each : p->rows;
    return found;
}

INLINE unsigned sum_of_stretch(const stretch *own) {
    unsigned sum = 0;
#pragma unroll 4
    for (long long v = own->begin + (threadIdx.x & 31); v < own->end; v += 32) {
        sum += own->tallies[v];
    }
    return sum;
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_tally_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const stretch own = stretch_of_warp(&p, &at);
    const unsigned sum = sum_over_block(sum_of_stretch(&own), warp_sums);
    if (threadIdx.x == 0) {
        p.row_counts[at.cloud * p.row_tiles + at.block] = sum;
    }
}

/* Where each voxel's points begin in the order. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_begin_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const int lane = (int)threadIdx.x & 31;
    unsigned before = 0;
    for (unsigned tile = threadIdx.x; tile < at.block; tile += THREADS) {
        before += p.row_counts[at.cloud * p.row_tiles + tile];
    }
    before = sum_over_block(before, warp_sums);
    const stretch own = stretch_of_warp(&p, &at);
    const unsigned sum = __reduce_add_sync(0xffffffffu, sum_of_stretch(&own));
    if (lane == 0) {
        warp_sums[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    for (unsigned w = 0; w < threadIdx.x / 32; ++w) {
        before += warp_sums[w];
    }
    unsigned *starts = p.starts + at.cloud * (p.rows + 1);
    for (long long first = own.begin; first < own.end; first += 32) {
        const long long v = first + lane;
        unsigned total;
        const unsigned begin = before + sum_below(v < own.end ? own.tallies[v] : 0, &total);
        before += total;
        if (v < own.end) {
            starts[v] = begin;
        }
        if (v == p.rows - 1) {
            starts[p.rows] = before;
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_scatter_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long total = p.cloud.num_points;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    const unsigned voxel = i < total ? p.slot_of[at.cloud * total + i] : SPARSE_NONE;
    if (voxel != SPARSE_NONE) {
        const unsigned begin = p.starts[at.cloud * (p.rows + 1) + voxel];
        p.order[at.cloud * total + begin + p.ranks[at.cloud * total + i]] = (unsigned)i;
    }
}

/* ---- sorted --------------------------------------------------------------------------------- */

/* The same, from sorted entries; after them come the points of no voxel. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_start_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long length = cloud_length(&p.cloud, at.cloud);
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= length) {
        return;
    }
    const unsigned voxels = p.states[at.cloud].num_voxels;
    const uint2 *order = (const uint2 *)p.by_voxel.buffers[sorted_buffer(bits_up_to(voxels))] +
                         at.cloud * p.cloud.num_points;
    unsigned *starts = p.starts + at.cloud * (p.rows + 1);
    const unsigned voxel = order[i].x;
    if (i == 0 || order[i - 1].x != voxel) {
        starts[voxel] = (unsigned)i;
    }
    if (i == length - 1 && voxel < voxels) {
        starts[voxels] = (unsigned)length;
    }
}
