/* Cells of points, and the table of cells, for sparse voxelization. */
#ifndef RBC_CUDA_KERNELS_SPARSE_CUH
#define RBC_CUDA_KERNELS_SPARSE_CUH

#include "cloud.cuh"
#include "sparse_params.h"

#define SPARSE_NONE  0xffffffffu
#define SPARSE_EMPTY 0xffffffffffffffffull

/* Where a block stands: gridDim.x is a multiple of the number of clouds. */
typedef struct place {
    long long cloud;
    unsigned block, blocks; /* among those of the cloud */
} place;

INLINE place place_of_block(const sparse_launch *p) {
    place at;
    at.blocks = gridDim.x / (unsigned)p->batch;
    at.cloud = blockIdx.x / at.blocks;
    at.block = blockIdx.x % at.blocks;
    return at;
}

/* ---- cells ---------------------------------------------------------------------------------- */

typedef struct cell3 {
    int at[3];
    int inside;
} cell3;

/* The map of the block's cloud, in shared memory; ends with a barrier. */
INLINE void share_map(const sparse_launch *p, long long cloud, sparse_map *map) {
    const unsigned words = sizeof(sparse_map) / 4;
    const unsigned *from = (const unsigned *)(p->maps != 0 ? p->maps + cloud : &p->map);
    for (unsigned i = threadIdx.x; i < words; i += blockDim.x) {
        ((unsigned *)map)[i] = from[i];
    }
    __syncthreads();
}

INLINE const char *point_address(const voxel_cloud *cloud, long long batch, long long index) {
    return cloud->points + batch * cloud->batch_stride + index * cloud->point_stride;
}

/* floor(distance / size), the quotient rounded as IEEE says. A product with the reciprocal decides
 * unless it comes within four units in the last place of an integer, where the rounding of the
 * division would matter. */
INLINE float floor_quotient(float distance, float size, float inverse) {
    const float guess = __fmul_rn(distance, inverse);
    const float magnitude = fabsf(guess);
    if (fabsf(__fsub_rn(guess, rintf(guess))) > __fmul_rn(magnitude, 0x1p-21f) &&
        magnitude > 0x1p-100f) {
        return floorf(guess);
    }
    return floorf(__fdiv_rn(distance, size));
}

INLINE int cell_on_axis_f32(float p, const sparse_map *map, int axis, int rule, int *inside) {
    const float origin = map->origin32[axis];
    const float size = map->size32[axis];
    const float extra = map->extra32[axis];
    const float limit = map->limit32[axis];
    const float distance = __fsub_rn(p, origin);
    float q;
    if (rule == SPARSE_FLOOR) {
        q = floor_quotient(distance, size, map->inverse32[axis]);
        *inside &= q >= extra && q < limit;
    } else if (rule == SPARSE_TRUNC) {
        q = __fmul_rn(distance, size);
        *inside &= p >= origin && p <= extra && q < limit;
    } else {
        q = rintf(__fmul_rn(__fdiv_rn(distance, size), extra));
        *inside &= q >= 0.0f && q < limit;
    }
    return *inside ? (int)q : 0;
}

INLINE int cell_on_axis_f64(double p, const sparse_map *map, int axis, int rule, int *inside) {
    const double origin = map->origin[axis];
    const double size = map->size[axis];
    const double extra = map->extra[axis];
    const double limit = map->limit[axis];
    const double distance = __dsub_rn(p, origin);
    double q;
    if (rule == SPARSE_FLOOR) {
        q = floor(__ddiv_rn(distance, size));
        *inside &= q >= extra && q < limit;
    } else if (rule == SPARSE_TRUNC) {
        q = __dmul_rn(distance, size);
        *inside &= p >= origin && p <= extra && q < limit;
    } else {
        q = rint(__dmul_rn(__ddiv_rn(distance, size), extra));
        *inside &= q >= 0.0 && q < limit;
    }
    return *inside ? (int)q : 0;
}

typedef struct point32 {
    float at[3];
} point32;

INLINE point32 load_point(const sparse_launch *p, long long batch, long long index, int dtype) {
    const char *point = point_address(&p->cloud, batch, index);
    point32 loaded;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        loaded.at[axis] = load_f32(point + axis * p->cloud.axis_stride, dtype);
    }
    return loaded;
}

INLINE cell3 cell_of_point32(const sparse_map *map, const point32 *point, int rule) {
    cell3 cell;
    cell.inside = 1;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        cell.at[axis] = cell_on_axis_f32(point->at[axis], map, axis, rule, &cell.inside);
    }
    return cell;
}

/* `plain` is what the launch says, or 0. */
INLINE cell3 cell_of(const sparse_launch *p, const sparse_map *map, long long batch,
                     long long index, int plain) {
    const int dtype = plain ? POINT_F32 : (int)p->cloud.dtype;
    const int rule = plain ? SPARSE_FLOOR : (int)p->rule;
    if (plain || !p->is_f64) {
        const point32 point = load_point(p, batch, index, dtype);
        return cell_of_point32(map, &point, rule);
    }
    const char *point = point_address(&p->cloud, batch, index);
    cell3 cell;
    cell.inside = 1;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        const char *address = point + axis * p->cloud.axis_stride;
        const double value =
            dtype == POINT_F64 ? *(const double *)address : (double)load_f32(address, dtype);
        cell.at[axis] = cell_on_axis_f64(value, map, axis, rule, &cell.inside);
    }
    return cell;
}

/* Bits of the numbers up to `greatest`. */
INLINE unsigned bits_up_to(unsigned greatest) {
    return 32 - (unsigned)__clz((int)greatest);
}

/* Bits of the keys of a cloud's voxels by place. */
INLINE unsigned place_bits(const sparse_launch *p, const sparse_state *state) {
    unsigned bits = p->by_place.bits;
#pragma unroll
    for (int axis = 0; axis < 3 && p->wide; ++axis) {
        bits += bits_up_to((unsigned)state->high[axis] - (unsigned)state->low[axis]);
    }
    return bits;
}

/* Which of a sort's buffers has the result. */
INLINE int sorted_buffer(unsigned bits) {
    return (int)((bits + SPARSE_DIGIT_BITS - 1) / SPARSE_DIGIT_BITS & 1);
}

/* The points kept of a voxel: `count` of them, `stride` words apart. */
typedef struct point_list {
    const unsigned *points;
    int stride;
    int count;
} point_list;

INLINE int count_listed(const unsigned *list, int limit) {
    int low = 0;
    int high = limit;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (list[middle] == SPARSE_NONE) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

INLINE point_list points_of_voxel(const sparse_launch *p, long long cloud, long long voxel) {
    point_list found;
    if (p->points == SPARSE_LISTED) {
        found.points = p->lists + (cloud * p->max_voxels + voxel) * p->max_points;
        found.stride = 1;
        found.count = count_listed(found.points, (int)p->max_points);
        return found;
    }
    const unsigned *starts = p->starts + cloud * (p->rows + 1) + voxel;
    const unsigned begin = starts[0];
    const long long count = (long long)starts[1] - begin;
    found.count = (int)(count < p->max_points ? count : p->max_points);
    if (p->points == SPARSE_RANKED) {
        found.points = p->order + cloud * p->cloud.num_points + begin;
        found.stride = 1;
        return found;
    }
    const int buffer = sorted_buffer(bits_up_to(p->states[cloud].num_voxels));
    const uint2 *order = (const uint2 *)p->by_voxel.buffers[buffer];
    found.points = &(order + cloud * p->cloud.num_points + begin)->y;
    found.stride = 2;
    return found;
}

INLINE void put_coordinates(const sparse_launch *p, const cell3 *cell, int *out) {
    const int first = p->is_zyx ? cell->at[2] : cell->at[0];
    const int last = p->is_zyx ? cell->at[0] : cell->at[2];
    out[0] = cell->inside ? first : -1;
    out[1] = cell->inside ? cell->at[1] : -1;
    out[2] = cell->inside ? last : -1;
}

/* ---- the table ------------------------------------------------------------------------------ */

INLINE unsigned long long mix(unsigned long long key) {
    key *= 0xff51afd7ed558ccdull;
    key ^= key >> 32;
    key *= 0xc4ceb9fe1a85ec53ull;
    return key ^ key >> 29;
}

/* The place of a cell of the grid among all, ascending as voxels do. */
INLINE unsigned number_of_cell(const sparse_launch *p, const cell3 *cell) {
    const unsigned x = (unsigned)cell->at[0];
    const unsigned z = (unsigned)cell->at[2];
    const unsigned first = p->z_first ? z : x;
    const unsigned last = p->z_first ? x : z;
    return (first * p->grid[1] + (unsigned)cell->at[1]) * p->grid[p->z_first ? 0 : 2] + last;
}

INLINE cell3 cell_of_number(const sparse_launch *p, unsigned number) {
    const unsigned row = p->z_first ? p->grid[0] : p->grid[2];
    const unsigned above = number / row;
    const unsigned last = number - above * row;
    const unsigned first = above / p->grid[1];
    const cell3 cell = {{(int)(p->z_first ? last : first), (int)(above - first * p->grid[1]),
                         (int)(p->z_first ? first : last)},
                        1};
    return cell;
}

/* Upper half: what tells cells apart, or nearly; lower half: where to begin to look. */
INLINE unsigned long long key_of_cell(const sparse_launch *p, const cell3 *cell, int plain) {
    if (plain || p->exact) {
        const unsigned number = number_of_cell(p, cell);
        const unsigned begin =
            p->direct ? number : (unsigned)(mix(number) >> 32) & (unsigned)(p->slots - 1);
        return (unsigned long long)number << 32 | begin;
    }
    const unsigned long long xy =
        (unsigned long long)(unsigned)cell->at[0] << 32 | (unsigned)cell->at[1];
    const unsigned long long hash = mix(mix(xy) ^ (unsigned)cell->at[2] * 0x9e3779b97f4a7c15ull);
    /* No entry looks empty: a first point is below 2^31. */
    return (hash & 0xffffffff00000000ull) | ((unsigned)hash & (unsigned)(p->slots - 1));
}

INLINE int is_cell_of(const sparse_launch *p, const sparse_map *map, long long batch,
                      unsigned point, const cell3 *cell) {
    const cell3 other = cell_of(p, map, batch, point, 0);
    return other.at[0] == cell->at[0] && other.at[1] == cell->at[1] && other.at[2] == cell->at[2];
}

/* The slot of the point's cell, which is taken if there is none yet. */
INLINE unsigned find_slot(const sparse_launch *p, const sparse_map *map, long long batch,
                          unsigned point, const cell3 *cell, int plain) {
    unsigned long long *table = p->table + (unsigned long long)batch * p->slots;
    const unsigned long long key = key_of_cell(p, cell, plain);
    const unsigned long long own = (key & 0xffffffff00000000ull) | point;
    unsigned slot = (unsigned)key;
    for (;;) {
        /* SPARSE_NONE, the last of 2^32 slots, is not used. */
        slot = slot == SPARSE_NONE ? 0 : slot;
        unsigned long long entry = *(volatile unsigned long long *)&table[slot];
        if (entry == SPARSE_EMPTY) {
            entry = atomicCAS(&table[slot], SPARSE_EMPTY, own);
            if (entry == SPARSE_EMPTY) {
                return slot;
            }
        }
        if (entry >> 32 == key >> 32 &&
            (plain || p->exact || is_cell_of(p, map, batch, (unsigned)entry, cell))) {
            if ((unsigned)entry > point) {
                atomicMin(&table[slot], own);
            }
            return slot;
        }
        slot = (slot + 1) & (unsigned)(p->slots - 1);
    }
}

/* ---- sums over a block ---------------------------------------------------------------------- */

/* The sum over all threads, which all get; `warp_sums` has 32 places. */
INLINE unsigned sum_over_block(unsigned value, unsigned *warp_sums) {
    const unsigned warps = blockDim.x / 32;
    value = __reduce_add_sync(0xffffffffu, value);
    if ((threadIdx.x & 31) == 0) {
        warp_sums[threadIdx.x / 32] = value;
    }
    __syncthreads();
    unsigned sum = 0;
    for (unsigned w = 0; w < warps; ++w) {
        sum += warp_sums[w];
    }
    __syncthreads();
    return sum;
}

/* The sum over the lanes below this one. */
INLINE unsigned sum_below(unsigned value, unsigned *total) {
    const int lane = (int)threadIdx.x & 31;
    unsigned inclusive = value;
#pragma unroll
    for (int distance = 1; distance < 32; distance <<= 1) {
        const unsigned other = __shfl_up_sync(0xffffffffu, inclusive, distance);
        inclusive += lane >= distance ? other : 0;
    }
    *total = __shfl_sync(0xffffffffu, inclusive, 31);
    return inclusive - value;
}

#endif
