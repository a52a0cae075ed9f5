/* What is taken from clouds as a whole; from points to the table of cells, and which points are the
 * first of theirs. */
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
    AT_ONCE = 4, /* points that a thread loads together */
};

/* ---- beginning ---- */

INLINE void begin_cloud(const sparse_launch *p, long long cloud) {
    sparse_state *state = p->states + cloud;
    unsigned cells = 1;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        state->least[axis] = ~0ull;
        state->greatest[axis] = 0;
        state->low[axis] = 0;
        state->extent[axis] = p->grid[axis];
        cells *= p->grid[axis];
        if (p->origins != 0) {
            p->origins[3 * cloud + axis] = p->map.origin[axis];
        }
    }
    state->key_bits = bits_up_to(cells); /* unless the box is to be found */
    state->num_voxels = 0;
    if (p->dropped != 0) {
        p->dropped[cloud] = 0;
    }
}

INLINE void fill(void *memory, unsigned long long bytes, unsigned word) {
    const unsigned long long thread = (unsigned long long)blockIdx.x * THREADS + threadIdx.x;
    const unsigned long long threads = (unsigned long long)gridDim.x * THREADS;
    const uint4 vec16 = make_uint4(word, word, word, word);
    unsigned *words = (unsigned *)memory;
    /* Words before and after the vectors. */
    unsigned long long before = (16 - (unsigned long long)memory % 16) % 16 / 4;
    before = before < bytes / 4 ? before : bytes / 4;
    const unsigned long long vec16s = (bytes / 4 - before) / 4;
    uint4 *aligned = (uint4 *)(words + before);
#pragma unroll 4
    for (unsigned long long i = thread; i < vec16s; i += threads) {
        aligned[i] = vec16;
    }
    const unsigned long long rest = before + vec16s * 4;
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
    fill(p.zeroed, p.zeroed_bytes, 0);
    if (p.table != 0) {
        fill(p.table, (unsigned long long)p.batch * p.slots * 8, SPARSE_NONE);
    }
    if (p.points == SPARSE_COUNTED) {
        fill(p.counts, (unsigned long long)p.batch * p.max_voxels * 4, 0);
    } else if (p.points == SPARSE_LISTED) {
        fill(p.lists, (unsigned long long)p.batch * p.max_voxels * p.max_points * 4, SPARSE_NONE);
    }
    for (unsigned long long cloud = thread; cloud < p.batch; cloud += threads) {
        begin_cloud(&p, (long long)cloud);
    }
}

/* ---- what is taken from the cloud ---- */

INLINE unsigned long long ordered(double value) {
    const unsigned long long bits = (unsigned long long)__double_as_longlong(value);
    return (bits >> 63) != 0 ? ~bits : bits | 1ull << 63;
}

INLINE double of_ordered(unsigned long long key) {
    const unsigned long long bits = (key >> 63) != 0 ? key & ~(1ull << 63) : ~key;
    return __longlong_as_double((long long)bits);
}

/* Extremes of the finite points that a thread sees, by axis. */
INLINE void see_f32(const sparse_launch *p, const cloud_block *at, long long length, double *least,
                    double *greatest) {
    const float inf = __uint_as_float(0x7f800000u);
    const long long step = (long long)at->blocks * THREADS;
    float low[3] = {inf, inf, inf};
    float high[3] = {-inf, -inf, -inf};
    for (long long i = (long long)at->block * THREADS + threadIdx.x; i < length;
         i += AT_ONCE * step) {
        point32 seen[AT_ONCE];
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            seen[u] = load_point(p, at->cloud, i + u * step < length ? i + u * step : i,
                                 (int)p->cloud.dtype);
        }
#pragma unroll
        for (int u = 0; u < AT_ONCE; ++u) {
            const float *v = seen[u].at;
            const int finite = fabsf(v[0]) < inf && fabsf(v[1]) < inf && fabsf(v[2]) < inf;
#pragma unroll
            for (int axis = 0; axis < 3; ++axis) {
                low[axis] = finite ? fminf(low[axis], v[axis]) : low[axis];
                high[axis] = finite ? fmaxf(high[axis], v[axis]) : high[axis];
            }
        }
    }
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        least[axis] = (double)low[axis];
        greatest[axis] = (double)high[axis];
    }
}

INLINE void see_f64(const sparse_launch *p, const cloud_block *at, long long length, double *least,
                    double *greatest) {
    const double inf = __longlong_as_double(0x7ff0000000000000ll);
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        least[axis] = inf;
        greatest[axis] = -inf;
    }
#pragma unroll 2
    for (long long i = (long long)at->block * THREADS + threadIdx.x; i < length;
         i += (long long)at->blocks * THREADS) {
        const char *point = point_address(&p->cloud, at->cloud, i);
        double v[3];
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            v[axis] = *(const double *)(point + axis * p->cloud.axis_stride);
        }
        const int finite = fabs(v[0]) < inf && fabs(v[1]) < inf && fabs(v[2]) < inf;
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            least[axis] = finite ? fmin(least[axis], v[axis]) : least[axis];
            greatest[axis] = finite ? fmax(greatest[axis], v[axis]) : greatest[axis];
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_bounds_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned long long extremes[6];
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const long long length = cloud_length(&p.cloud, at.cloud);
    if (threadIdx.x < 6) {
        extremes[threadIdx.x] = threadIdx.x < 3 ? ~0ull : 0;
    }
    __syncthreads();
    double low[3];
    double high[3];
    if (p.cloud.dtype == POINT_F64) {
        see_f64(&p, &at, length, low, high);
    } else {
        see_f32(&p, &at, length, low, high);
    }
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        /* There is one zero. */
        unsigned long long least = ordered(low[axis] + 0.0);
        unsigned long long greatest = ordered(high[axis] + 0.0);
        for (int distance = 16; distance > 0; distance >>= 1) {
            const unsigned long long less = __shfl_xor_sync(0xffffffffu, least, distance);
            const unsigned long long more = __shfl_xor_sync(0xffffffffu, greatest, distance);
            least = less < least ? less : least;
            greatest = more > greatest ? more : greatest;
        }
        if ((threadIdx.x & 31) == 0) {
            atomicMin(&extremes[axis], least);
            atomicMax(&extremes[3 + axis], greatest);
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

/* The cells of an axis that points of those extremes are in, or more. Cells ascend with the
 * coordinate, however it is rounded. */
INLINE void span_cells(const sparse_launch *p, const sparse_map *map, int axis, double least,
                       double greatest, int *low, unsigned *extent) {
    const int rule = (int)p->rule;
    const double first = rule == SPARSE_FLOOR && p->grid[axis] == 0 ? map->extra[axis] : 0.0;
    const double last = map->limit[axis] - 1;
    double from = p->is_f64 ? quotient_f64(least, map, axis, rule)
                            : (double)quotient_f32((float)least, map, axis, rule);
    double to = p->is_f64 ? quotient_f64(greatest, map, axis, rule)
                          : (double)quotient_f32((float)greatest, map, axis, rule);
    from = fmin(fmax(from, first), last);
    to = fmin(fmax(to, from), last);
    *low = (int)from;
    *extent = (unsigned)(to - from) + 1;
}

INLINE void fit_map(const sparse_launch *p, long long cloud, const double *least,
                    const double *greatest, sparse_map *map) {
    double scale = 0;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        const double origin =
            p->origin_from_cloud ? least[axis] - p->half_voxel[axis] : p->map.origin[axis];
        const double extent = p->is_f64 ? greatest[axis] - origin
                                        : (double)__fsub_rn((float)greatest[axis], (float)origin);
        scale = fmax(scale, extent);
        map->origin[axis] = p->is_f64 ? origin : (double)(float)origin;
        map->origin32[axis] = (float)origin;
        if (p->origins != 0) {
            p->origins[3 * cloud + axis] = map->origin[axis];
        }
    }
#pragma unroll
    for (int axis = 0; axis < 3 && p->scale_from_cloud; ++axis) {
        map->size[axis] = scale;
        map->size32[axis] = (float)scale; /* SPARSE_ROUND needs no inverse */
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
    sparse_state *state = p.states + cloud;
    const int some = state->least[0] <= state->greatest[0];
    double least[3];
    double greatest[3];
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        least[axis] = some ? of_ordered(state->least[axis]) : 0.0;
        greatest[axis] = some ? of_ordered(state->greatest[axis]) : 0.0;
    }
    sparse_map map = p.map;
    if (p.maps != 0) {
        fit_map(&p, cloud, least, greatest, &map);
        p.maps[cloud] = map;
    }
    if (p.exact) {
        return;
    }
    unsigned __int128 cells = 1;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        span_cells(&p, &map, axis, least[axis], greatest[axis], &state->low[axis],
                   &state->extent[axis]);
        cells *= state->extent[axis];
    }
    unsigned bits = 0;
    for (; cells >> 32 != 0; cells >>= 32) {
        bits += 32;
    }
    state->key_bits = bits + bits_up_to((unsigned)cells);
}

/* ---- the table ---- */

INLINE void insert_points(const sparse_launch *p, int simple) {
    __shared__ sparse_map map;
    __shared__ unsigned warp_sums[32];
    const cloud_block at = cloud_block_of(p);
    share_map(p, at.cloud, &map);
    const long long total = p->cloud.num_points;
    const long long length = cloud_length(&p->cloud, at.cloud);
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    cell3 cell = {{0, 0, 0}, 0};
    if (i < length) {
        cell = cell_of(p, &map, at.cloud, i, simple);
    }
    if (i < total) {
        const unsigned slot =
            cell.inside ? find_slot(p, &map, at.cloud, (unsigned)i, &cell, simple) : SPARSE_NONE;
        p->slot_of[at.cloud * total + i] = slot;
        if (p->point_coordinates != 0) {
            put_coordinates(p, &cell, p->point_coordinates + 3 * (at.cloud * total + i));
        }
    }
    if (p->dropped != 0) {
        const unsigned missing = block_sum(i < length && !cell.inside, warp_sums);
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
    rbc__sparse_insert_generic_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    insert_points(&p, 0);
}

/* A bit for each point that is the first of its cell, and how many a tile has. Each warp has a
 * stretch of its own. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_flag_cuda(const __grid_constant__ sparse_launch p) {
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const long long stretch = p.tile_words / WARPS;
    const long long begin = at.block * p.tile_words + threadIdx.x / 32 * stretch;
    const long long end = begin + stretch < p.bit_words ? begin + stretch : p.bit_words;
    const int lane = (int)threadIdx.x & 31;
    const long long total = p.cloud.num_points;
    const unsigned long long *table = p.table + (unsigned long long)at.cloud * p.slots;
    const unsigned *slot_of = p.slot_of + at.cloud * total;
    unsigned *bits = p.bits + at.cloud * p.bit_words;
    unsigned count = 0;
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
    count = block_sum(count, warp_sums);
    if (threadIdx.x == 0) {
        p.tile_counts[at.cloud * p.tiles + at.block] = count;
    }
}
