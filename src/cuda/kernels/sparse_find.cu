/* From points to the table of cells, and which points are the first of theirs. */
#include "sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
};

/* ---- beginning ------------------------------------------------------------------------------ */

INLINE void begin_cloud(const sparse_launch *p, long long cloud) {
    sparse_state *state = p->states + cloud;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        state->least[axis] = ~0ull;
        state->greatest[axis] = 0;
        state->low[axis] = 0x7fffffff;
        state->high[axis] = -0x7fffffff - 1;
        if (p->origins != 0) {
            p->origins[3 * cloud + axis] = p->map.origin[axis];
        }
    }
    state->num_found = 0;
    state->num_voxels = 0;
    if (p->dropped != 0) {
        p->dropped[cloud] = 0;
    }
}

INLINE void fill(void *memory, unsigned long long bytes, unsigned word) {
    const unsigned long long thread = (unsigned long long)blockIdx.x * THREADS + threadIdx.x;
    const unsigned long long threads = (unsigned long long)gridDim.x * THREADS;
    const uint4 chunk = make_uint4(word, word, word, word);
    unsigned *words = (unsigned *)memory;
    /* Words before and after the chunks. */
    unsigned long long before = (16 - (unsigned long long)memory % 16) % 16 / 4;
    before = before < bytes / 4 ? before : bytes / 4;
    const unsigned long long chunks = (bytes / 4 - before) / 4;
    uint4 *aligned = (uint4 *)(words + before);
#pragma unroll 4
    for (unsigned long long i = thread; i < chunks; i += threads) {
        aligned[i] = chunk;
    }
    const unsigned long long rest = before + chunks * 4;
    if (thread < before) {
        words[thread] = word;
    } else if (thread - before < bytes / 4 - rest) {
        words[rest + thread - before] = word;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_clear_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const unsigned long long thread = (unsigned long long)blockIdx.x * THREADS + threadIdx.x;
    const unsigned long long threads = (unsigned long long)gridDim.x * THREADS;
    if (p.by_bits) {
        fill(p.bits, (unsigned long long)p.batch * p.bit_words * 4, 0);
    } else {
        fill(p.table, (unsigned long long)p.batch * p.slots * 8, SPARSE_NONE);
    }
    if (p.points == SPARSE_COUNTED) {
        fill(p.counts, (unsigned long long)p.batch * p.max_voxels * 4, 0);
    } else if (p.points == SPARSE_LISTED) {
        fill(p.lists, (unsigned long long)p.batch * p.max_voxels * p.max_points * 4, SPARSE_NONE);
    } else if (p.points == SPARSE_RANKED) {
        fill(p.tallies, (unsigned long long)p.batch * p.rows * 4, 0);
    }
    for (unsigned long long cloud = thread; cloud < p.batch; cloud += threads) {
        begin_cloud(&p, (long long)cloud);
    }
}

/* ---- what is taken from the cloud ----------------------------------------------------------- */

INLINE unsigned long long ordered(double value) {
    const unsigned long long bits = (unsigned long long)__double_as_longlong(value);
    return (bits >> 63) != 0 ? ~bits : bits | 1ull << 63;
}

INLINE double of_ordered(unsigned long long key) {
    const unsigned long long bits = (key >> 63) != 0 ? key & ~(1ull << 63) : ~key;
    return __longlong_as_double((long long)bits);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_bounds_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned long long extremes[6];
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long length = cloud_length(&p.cloud, at.cloud);
    if (threadIdx.x < 6) {
        extremes[threadIdx.x] = threadIdx.x < 3 ? ~0ull : 0;
    }
    __syncthreads();
    unsigned long long least[3] = {~0ull, ~0ull, ~0ull};
    unsigned long long greatest[3] = {0, 0, 0};
    for (long long i = (long long)at.block * THREADS + threadIdx.x; i < length;
         i += (long long)at.blocks * THREADS) {
        const char *point = point_address(&p.cloud, at.cloud, i);
        double value[3];
        int finite = 1;
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            const char *address = point + axis * p.cloud.axis_stride;
            value[axis] = p.cloud.dtype == POINT_F64
                              ? *(const double *)address
                              : (double)load_f32(address, (int)p.cloud.dtype);
            finite &= fabs(value[axis]) <= 1.7976931348623157e308;
        }
#pragma unroll
        for (int axis = 0; axis < 3 && finite; ++axis) {
            /* There is one zero. */
            const unsigned long long key = ordered(value[axis] + 0.0);
            least[axis] = key < least[axis] ? key : least[axis];
            greatest[axis] = key > greatest[axis] ? key : greatest[axis];
        }
    }
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        for (int distance = 16; distance > 0; distance >>= 1) {
            const unsigned long long low = __shfl_xor_sync(0xffffffffu, least[axis], distance);
            const unsigned long long high = __shfl_xor_sync(0xffffffffu, greatest[axis], distance);
            least[axis] = low < least[axis] ? low : least[axis];
            greatest[axis] = high > greatest[axis] ? high : greatest[axis];
        }
        if ((threadIdx.x & 31) == 0) {
            atomicMin(&extremes[axis], least[axis]);
            atomicMax(&extremes[3 + axis], greatest[axis]);
        }
    }
    __syncthreads();
    sparse_state *state = p.states + at.cloud;
    if (threadIdx.x < 3) {
        atomicMin((unsigned long long *)&state->least[threadIdx.x], extremes[threadIdx.x]);
    } else if (threadIdx.x < 6) {
        atomicMax((unsigned long long *)&state->greatest[threadIdx.x - 3], extremes[threadIdx.x]);
    }
}

/* One thread a cloud. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_map_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const long long cloud = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (cloud >= p.batch) {
        return;
    }
    const sparse_state *state = p.states + cloud;
    sparse_map *map = p.maps + cloud;
    double scale = 0;
    *map = p.map;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        const int some = state->least[axis] <= state->greatest[axis];
        const double least = some ? of_ordered(state->least[axis]) : 0.0;
        const double greatest = some ? of_ordered(state->greatest[axis]) : 0.0;
        const double origin = p.origin_from_cloud ? least - p.half_voxel[axis] : p.map.origin[axis];
        const double extent =
            p.is_f64 ? greatest - origin : (double)__fsub_rn((float)greatest, (float)origin);
        scale = fmax(scale, extent);
        map->origin[axis] = p.is_f64 ? origin : (double)(float)origin;
        map->origin32[axis] = (float)origin;
        if (p.origins != 0) {
            p.origins[3 * cloud + axis] = map->origin[axis];
        }
    }
#pragma unroll
    for (int axis = 0; axis < 3 && p.scale_from_cloud; ++axis) {
        map->size[axis] = scale;
        map->size32[axis] = (float)scale; /* SPARSE_ROUND needs no inverse */
    }
}

/* ---- cells ---------------------------------------------------------------------------------- */

INLINE unsigned set_bit(const sparse_launch *p, long long cloud, const cell3 *cell) {
    const unsigned number = number_of_cell(p, cell);
    unsigned *word = p->bits + cloud * p->bit_words + number / 32;
    const unsigned bit = 1u << number % 32;
    /* An old value costs an atomic operation and nothing else. */
    if ((*word & bit) == 0) {
        atomicOr(word, bit);
    }
    return number;
}

INLINE void insert_points(const sparse_launch *p, int plain) {
    __shared__ sparse_map map;
    __shared__ unsigned warp_sums[32];
    const place at = place_of_block(p);
    share_map(p, at.cloud, &map);
    const long long total = p->cloud.num_points;
    const long long length = cloud_length(&p->cloud, at.cloud);
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    cell3 cell = {{0, 0, 0}, 0};
    if (i < length) {
        cell = cell_of(p, &map, at.cloud, i, plain);
    }
    if (i < total) {
        const unsigned slot = !cell.inside ? SPARSE_NONE
                              : p->by_bits
                                  ? set_bit(p, at.cloud, &cell)
                                  : find_slot(p, &map, at.cloud, (unsigned)i, &cell, plain);
        p->slot_of[at.cloud * total + i] = slot;
        if (p->point_coordinates != 0) {
            put_coordinates(p, &cell, p->point_coordinates + 3 * (at.cloud * total + i));
        }
    }
    if (p->dropped != 0) {
        const unsigned missing = sum_over_block(i < length && !cell.inside, warp_sums);
        if (threadIdx.x == 0 && missing != 0) {
            atomicAdd(&p->dropped[at.cloud], (unsigned long long)missing);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 6)
    rbc__sparse_insert_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    insert_points(&p, 1);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_insert_any_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    insert_points(&p, 0);
}

/* How many bits a tile has; without by_bits they are made here, one for each point that is the
 * first of its cell. Each warp has a stretch of its own. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_flag_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long stretch = p.tile_words / WARPS;
    const long long begin = at.block * p.tile_words + threadIdx.x / 32 * stretch;
    const long long end = begin + stretch < p.bit_words ? begin + stretch : p.bit_words;
    const int lane = (int)threadIdx.x & 31;
    unsigned *bits = p.bits + at.cloud * p.bit_words;
    unsigned count = 0;
    if (p.by_bits) {
#pragma unroll 4
        for (long long w = begin + lane; w < end; w += 32) {
            count += (unsigned)__popc(bits[w]);
        }
    } else {
        const long long total = p.cloud.num_points;
        const unsigned long long *table = p.table + (unsigned long long)at.cloud * p.slots;
        const unsigned *slot_of = p.slot_of + at.cloud * total;
#pragma unroll 4
        for (long long w = begin; w < end; ++w) {
            const long long i = w * 32 + lane;
            const unsigned slot = i < total ? slot_of[i] : SPARSE_NONE;
            const int is_first = slot != SPARSE_NONE && (unsigned)table[slot] == (unsigned)i;
            const unsigned word = __ballot_sync(0xffffffffu, is_first);
            if (lane == 0) {
                bits[w] = word;
            }
            count += (unsigned)is_first;
        }
    }
    count = sum_over_block(count, warp_sums);
    if (threadIdx.x == 0) {
        p.tile_counts[at.cloud * p.tiles + at.block] = count;
    }
}
