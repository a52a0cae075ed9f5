/* Cells of points, and the table of cells, for sparse voxelization. */
#ifndef RBC_CUDA_SPARSE_CUH
#define RBC_CUDA_SPARSE_CUH

#include "cuda/common/scan.cuh"
#include "cuda/sparse/sparse_params.h"
#include "cuda/voxelize/point_cells.cuh"

#define SPARSE_NONE  0xffffffffu
#define SPARSE_EMPTY 0xffffffffffffffffull

/* Where a block stands: gridDim.x is a multiple of the number of clouds. */
typedef struct cloud_block {
    long long cloud;
    unsigned block, blocks; /* among those of the cloud */
} cloud_block;

INLINE cloud_block cloud_block_of(const sparse_launch *p) {
    cloud_block at;
    at.blocks = gridDim.x / (unsigned)p->batch;
    at.cloud = blockIdx.x / at.blocks;
    at.block = blockIdx.x % at.blocks;
    return at;
}

/* ---- cells ---- */

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

/* The cell along an axis that a coordinate is in, wherever that is. */
INLINE float quotient_f32(float p, const sparse_map *map, int axis, int rule) {
    const float size = map->size32[axis];
    const float distance = __fsub_rn(p, map->origin32[axis]);
    return rule == SPARSE_FLOOR   ? floor_quotient(distance, size, map->inverse32[axis])
           : rule == SPARSE_TRUNC ? truncf(__fmul_rn(distance, size))
                                  : rintf(__fmul_rn(__fdiv_rn(distance, size), map->extra32[axis]));
}

INLINE double quotient_f64(double p, const sparse_map *map, int axis, int rule) {
    const double size = map->size[axis];
    const double distance = __dsub_rn(p, map->origin[axis]);
    return rule == SPARSE_FLOOR   ? floor(__ddiv_rn(distance, size))
           : rule == SPARSE_TRUNC ? trunc(__dmul_rn(distance, size))
                                  : rint(__dmul_rn(__ddiv_rn(distance, size), map->extra[axis]));
}

INLINE int cell_on_axis_f32(float p, const sparse_map *map, int axis, int rule, int *inside) {
    const float extra = map->extra32[axis];
    const float q = quotient_f32(p, map, axis, rule);
    *inside &=
        q < map->limit32[axis] && (rule == SPARSE_FLOOR   ? q >= extra
                                   : rule == SPARSE_TRUNC ? p >= map->origin32[axis] && p <= extra
                                                          : q >= 0.0f);
    return *inside ? (int)q : 0;
}

INLINE int cell_on_axis_f64(double p, const sparse_map *map, int axis, int rule, int *inside) {
    const double extra = map->extra[axis];
    const double q = quotient_f64(p, map, axis, rule);
    *inside &=
        q < map->limit[axis] && (rule == SPARSE_FLOOR   ? q >= extra
                                 : rule == SPARSE_TRUNC ? p >= map->origin[axis] && p <= extra
                                                        : q >= 0.0);
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

INLINE cell3 cell_of_point64(const sparse_map *map, const double *point, int rule) {
    cell3 cell;
    cell.inside = 1;
#pragma unroll
    for (int axis = 0; axis < 3; ++axis) {
        cell.at[axis] = cell_on_axis_f64(point[axis], map, axis, rule, &cell.inside);
    }
    return cell;
}

/* `simple` is what the launch says, or 0 (here and below). */
INLINE cell3 cell_of_loaded(const sparse_launch *p, const sparse_map *map, const point32 *point,
                            int simple) {
    const int rule = simple ? SPARSE_FLOOR : (int)p->rule;
    if (simple || !p->is_f64) {
        return cell_of_point32(map, point, rule);
    }
    const double wide[3] = {(double)point->at[0], (double)point->at[1], (double)point->at[2]};
    return cell_of_point64(map, wide, rule);
}

INLINE cell3 cell_of(const sparse_launch *p, const sparse_map *map, long long batch,
                     long long index, int simple) {
    if (!simple && p->cloud.dtype == POINT_F64) {
        const char *point = point_address(&p->cloud, batch, index);
        double wide[3];
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            wide[axis] = *(const double *)(point + axis * p->cloud.axis_stride);
        }
        return cell_of_point64(map, wide, (int)p->rule);
    }
    const point32 point = load_point(p, batch, index, simple ? POINT_F32 : (int)p->cloud.dtype);
    return cell_of_loaded(p, map, &point, simple);
}

/* Bits of the numbers up to `greatest`. */
INLINE unsigned bits_up_to(unsigned greatest) {
    return 32 - (unsigned)__clz((int)greatest);
}

/* Which of the sort's buffers has the result. */
INLINE int sorted_buffer(unsigned bits) {
    return (int)((bits + SPARSE_DIGIT_BITS - 1) / SPARSE_DIGIT_BITS & 1);
}

INLINE const uint2 *sorted_entries(const sparse_launch *p, long long cloud) {
    const int buffer = sorted_buffer(p->states[cloud].key_bits);
    return (const uint2 *)p->sort.entries[buffer] + cloud * p->cloud.num_points;
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
    found.points = &sorted_entries(p, cloud)[begin].y;
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

/* ---- keys of cells ---- */

/* The box of a cloud's cells, its axes in the order that keys ascend. */
typedef struct cell_box {
    unsigned low[3], extent[3];
    unsigned bits; /* of keys and of the number of all, which is the key of no cell */
    int z_first;
} cell_box;

INLINE cell_box box_of_cloud(const sparse_launch *p, long long cloud, int simple) {
    const sparse_state *state = p->states + cloud;
    cell_box box;
    box.z_first = simple ? 0 : (int)p->z_first;
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        box.low[k] = (unsigned)(box.z_first ? state->low[2 - k] : state->low[k]);
        box.extent[k] = box.z_first ? state->extent[2 - k] : state->extent[k];
    }
    box.bits = state->key_bits;
    return box;
}

/* The key of a cell among all of the box; `bits` of it up to 32. */
INLINE unsigned key_in_box(const cell_box *box, const cell3 *cell) {
    const unsigned first = (unsigned)(box->z_first ? cell->at[2] : cell->at[0]) - box->low[0];
    const unsigned second = (unsigned)cell->at[1] - box->low[1];
    const unsigned third = (unsigned)(box->z_first ? cell->at[0] : cell->at[2]) - box->low[2];
    return cell->inside ? (first * box->extent[1] + second) * box->extent[2] + third
                        : box->extent[0] * box->extent[1] * box->extent[2];
}

/* A word of such a key that has more. */
INLINE unsigned word_of_key(const cell_box *box, const cell3 *cell, unsigned word) {
    const unsigned first = (unsigned)(box->z_first ? cell->at[2] : cell->at[0]) - box->low[0];
    const unsigned second = (unsigned)cell->at[1] - box->low[1];
    const unsigned third = (unsigned)(box->z_first ? cell->at[0] : cell->at[2]) - box->low[2];
    const unsigned long long row = (unsigned long long)first * box->extent[1] + second;
    const unsigned long long rows = (unsigned long long)box->extent[0] * box->extent[1];
    const unsigned __int128 key = (unsigned __int128)(cell->inside ? row : rows) * box->extent[2] +
                                  (cell->inside ? third : 0);
    return (unsigned)(key >> 32 * word);
}

/* The cell of a key of up to 32 bits. */
INLINE cell3 cell_of_key(const cell_box *box, unsigned key) {
    const unsigned row = key / box->extent[2];
    const int third = (int)(key - row * box->extent[2] + box->low[2]);
    const int first = (int)(row / box->extent[1] + box->low[0]);
    const int second = (int)(row % box->extent[1] + box->low[1]);
    const cell3 cell = {{box->z_first ? third : first, second, box->z_first ? first : third}, 1};
    return cell;
}

/* ---- the table ---- */

INLINE unsigned long long mix(unsigned long long key) {
    key *= 0xff51afd7ed558ccdull;
    key ^= key >> 32;
    key *= 0xc4ceb9fe1a85ec53ull;
    return key ^ key >> 29;
}

/* The number of a cell of the grid, where that is exact. */
INLINE unsigned number_of_cell(const sparse_launch *p, const cell3 *cell) {
    return ((unsigned)cell->at[0] * p->grid[1] + (unsigned)cell->at[1]) * p->grid[2] +
           (unsigned)cell->at[2];
}

/* Upper half: what tells cells apart, or nearly; lower half: where to begin to look. */
INLINE unsigned long long key_of_cell(const sparse_launch *p, const cell3 *cell, int simple) {
    if (simple || p->exact) {
        const unsigned number = number_of_cell(p, cell);
        const unsigned begin =
            p->is_dense ? number : (unsigned)(mix(number) >> 32) & (unsigned)(p->slots - 1);
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
                          unsigned point, const cell3 *cell, int simple) {
    unsigned long long *table = p->table + (unsigned long long)batch * p->slots;
    const unsigned long long key = key_of_cell(p, cell, simple);
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
            (simple || p->exact || is_cell_of(p, map, batch, (unsigned)entry, cell))) {
            if ((unsigned)entry > point) {
                atomicMin(&table[slot], own);
            }
            return slot;
        }
        slot = (slot + 1) & (unsigned)(p->slots - 1);
    }
}

/* The number of the voxel that a point is in, or SPARSE_NONE: how many first points there are
 * before the first one of its cell. */
INLINE unsigned voxel_of(const sparse_launch *p, long long cloud, long long i) {
    const unsigned slot = p->slot_of[cloud * p->cloud.num_points + i];
    if (slot == SPARSE_NONE) {
        return SPARSE_NONE;
    }
    const unsigned first = (unsigned)p->table[(unsigned long long)cloud * p->slots + slot];
    const long long word = cloud * p->bit_words + first / 32;
    const unsigned number =
        p->word_starts[word] + (unsigned)__popc(p->bits[word] & ((1u << first % 32) - 1));
    return number < p->max_voxels ? number : SPARSE_NONE;
}

/* ---- what tiles tell each other ---- */

/* Tiles of a chain sum up what those before them have, without waiting for one launch to end. A
 * word of each is 0 at first, then tells how many it has and at last how many there are up to its
 * end. Blocks begin in the order of their index, so that those before are under way. */
INLINE void chain_tell(unsigned *word, unsigned own) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(word), "r"(own + 1) : "memory");
}

INLINE void chain_end(unsigned *word, unsigned up_to) {
    asm volatile("st.relaxed.gpu.global.u32 [%0], %1;" ::"l"(word), "r"(up_to | 1u << 31)
                 : "memory");
}

INLINE unsigned chain_look(const unsigned *word) {
    unsigned seen;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(seen) : "l"(word) : "memory");
    return seen;
}

INLINE int chain_has_ended(unsigned seen) {
    return (int)(seen >> 31);
}

/* What a word that is not 0 tells. */
INLINE unsigned chain_count(unsigned seen) {
    return chain_has_ended(seen) ? seen & 0x7fffffffu : seen - 1;
}

/* ---- sums over a block ---- */

#endif
