/* A slab that has too many points for shared memory: what its cells of several points are is left
 * to the next kernel, whose blocks share them; rows of the others are written. */
#ifndef RBC_CUDA_KERNELS_OVERFULL_CUH
#define RBC_CUDA_KERNELS_OVERFULL_CUH

#include "cuda/voxelize/places.cuh"

#define NO_POINT 0xffffffffu
#define ALONE    0x80000000u /* in `cells`: not a cell of several points */

/* Of a block. `cells` counts points, then says where the next of a cell's is among those of all the
 * slab's cells of several. */
typedef struct overfull {
    unsigned *cells;
    unsigned *firsts; /* of cells of one point that point, else anything, NO_POINT at last */
    unsigned *points; /* of cells of several */
} overfull;

/* Adds one to the cell of each of a chunk's first `left` entries; what was there is the entry's
 * rank, `otherwise` that of entries past them. A chunk of one cell, as crowds have, adds once. */
INLINE void add_to_cells(unsigned *cells, const unsigned *words, int left, unsigned *ranks,
                         unsigned otherwise) {
    const unsigned differ = (words[0] ^ words[1]) | (words[0] ^ words[2]) | (words[0] ^ words[3]);
    if (left >= 4 && differ >> VOXEL_INDEX_BITS == 0) {
        const unsigned rank = atomicAdd(&cells[cell_of_entry(words[0])], 4u);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            ranks[j] = rank + (unsigned)j;
        }
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        ranks[j] = j < left ? atomicAdd(&cells[cell_of_entry(words[j])], 1u) : otherwise;
    }
}

INLINE void count_entries(void *block, unsigned first, uint4 chunk, int left) {
    const overfull *made = (const overfull *)block;
    const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
    unsigned ranks[4];
    add_to_cells(made->cells, words, left, ranks, 1);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if (ranks[j] == 0) {
            made->firsts[cell_of_entry(words[j])] =
                first + (words[j] & ((1u << VOXEL_INDEX_BITS) - 1));
        }
    }
}

INLINE void list_entries(void *block, unsigned first, uint4 chunk, int left) {
    const overfull *made = (const overfull *)block;
    const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
    unsigned at[4];
    add_to_cells(made->cells, words, left, at, ALONE);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if ((at[j] & ALONE) == 0) {
            made->points[at[j]] = first + (words[j] & ((1u << VOXEL_INDEX_BITS) - 1));
        }
    }
}

/* Every entry of the slab is counted, or listed; a barrier is passed last. */
INLINE void use_entries(const voxel_reduce_launch *p, const slab *part, overfull *made,
                        int counting) {
    for (unsigned base = 0; base < num_tasks(&p->deal); base += TASKS * blockDim.x) {
        task tasks[TASKS];
        load_tasks(&p->deal, part, base, TASKS, 4, tasks);
        use_tasks(&p->deal, part, tasks, base, TASKS, 4, counting ? count_entries : list_entries,
                  made);
    }
    __syncthreads();
}

/* What cells of several points need: points, cells of few, of many. */
typedef struct needs {
    unsigned points, few, many;
} needs;

/* What the threads before this one need; `used`, zero at first, gets what all do. */
INLINE needs sum_before(needs mine, unsigned *used) {
    const int lane = (int)threadIdx.x & 31;
    const needs inclusive = {warp_scan(mine.points), warp_scan(mine.few), warp_scan(mine.many)};
    needs base = {0, 0, 0};
    if (lane == 31) {
        base.points = atomicAdd(&used[0], inclusive.points);
        base.few = atomicAdd(&used[1], inclusive.few);
        base.many = atomicAdd(&used[2], inclusive.many);
    }
    needs before;
    before.points = __shfl_sync(0xffffffffu, base.points, 31) + inclusive.points - mine.points;
    before.few = __shfl_sync(0xffffffffu, base.few, 31) + inclusive.few - mine.few;
    before.many = __shfl_sync(0xffffffffu, base.many, 31) + inclusive.many - mine.many;
    return before;
}

INLINE void add_needs(needs *all, unsigned count) {
    all->points += count > 1 ? count : 0;
    all->few += count > 1 && count <= FEW_OF_CELL;
    all->many += count > FEW_OF_CELL && count <= MANY_OF_CELL;
}

/* A cell of too many points for one block is one of the crowds. */
INLINE void leave_crowd(const voxel_left *left, const voxel_several *cell, unsigned num_features) {
    const unsigned crowd = atomicAdd(&left->used[LEFT_CROWDS], 1u);
    const unsigned parts = (cell->count + CROWD_POINTS - 1) / CROWD_POINTS;
    const unsigned first = atomicAdd(&left->used[LEFT_PARTS], parts);
    left->crowds[crowd] = *cell;
    left->looked[crowd] = 0;
    left->finished[crowd] = 0;
    for (unsigned i = 0; i < parts; ++i) {
        const voxel_part part = {crowd, i};
        left->parts[first + i] = part;
    }
    for (unsigned k = 0; k < num_features; ++k) {
        const voxel_state none = {0, 0, 0, 0};
        left->states[(unsigned long long)crowd * num_features + k] = none;
    }
}

/* Counted, the thread's cells need this much. */
INLINE needs needs_of_thread(const voxel_reduce_launch *p, const slab *part, const overfull *made) {
    needs mine = {0, 0, 0};
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned count = made->cells[cell];
        add_needs(&mine, count);
        if (p->counts != 0) {
            p->counts[part->out_cell + cell] = (int)count;
        }
    }
    return mine;
}

/* Cells of several points get places, the thread's from `place` on. */
INLINE void give_places(const slab *part, const overfull *made, unsigned place) {
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned count = made->cells[cell];
        made->cells[cell] = count > 1 ? place : ALONE;
        place += count > 1 ? count : 0;
        made->firsts[cell] = count == 1 ? made->firsts[cell] : NO_POINT;
    }
}

/* The cells of several points themselves, which say where their points end by now. */
INLINE void leave_cells(const voxel_reduce_launch *p, const slab *part, const overfull *made,
                        const needs *before, const unsigned *bases) {
    const voxel_left *left = &p->left;
    unsigned place = before->points;
    unsigned few = bases[LEFT_FEW] + before->few;
    unsigned many = left->room - 1 - (bases[LEFT_MANY] + before->many);
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned end = made->cells[cell];
        if ((end & ALONE) != 0) {
            continue;
        }
        const voxel_several found = {bases[LEFT_POINTS] + place, end - place,
                                     ((unsigned)part->index << p->deal.cut.shift) + (unsigned)cell,
                                     (unsigned)part->batch};
        if (found.count > MANY_OF_CELL) {
            leave_crowd(left, &found, p->num_features);
        } else {
            *(uint4 *)&left->cells[found.count <= FEW_OF_CELL ? few++ : many--] =
                make_uint4(found.first, found.count, found.cell, found.batch);
        }
        place = end;
    }
}

/* Writes the rows of cells of one point and of none. */
INLINE void write_rows(const voxel_reduce_launch *p, const slab *part, const overfull *made,
                       int dtype, int vector, int reduce) {
    const unsigned row_units = units_of_row(p, vector);
    const unit_at by = find_unit(blockDim.x, row_units);
    unit_at at = find_unit(threadIdx.x, row_units);
    while (at.cell < (unsigned)part->cells) {
        unit_at here[UNITS_AT_ONCE];
        values loaded[UNITS_AT_ONCE];
        unsigned points[UNITS_AT_ONCE];
        int wanted[UNITS_AT_ONCE];
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            here[k] = at;
            wanted[k] = at.cell < (unsigned)part->cells && (made->cells[at.cell] & ALONE) != 0;
            points[k] = wanted[k] ? made->firsts[at.cell] : NO_POINT;
            loaded[k].chunk = make_uint4(0, 0, 0, 0);
            if (points[k] != NO_POINT) {
                loaded[k] = load_values(p, part->batch, points[k], at.unit, dtype, vector);
            }
            at = next_unit(at, by, row_units);
        }
#pragma unroll
        for (int k = 0; k < UNITS_AT_ONCE; ++k) {
            if (wanted[k]) {
                write_unit(p, part->batch,
                           ((unsigned)part->index << p->deal.cut.shift) + here[k].cell,
                           here[k].unit, single_unit(loaded[k].chunk, dtype, vector, reduce), dtype,
                           vector);
            }
        }
    }
}

INLINE void reduce_overfull(const voxel_reduce_launch *p, unsigned *shared, int dtype, int vector,
                            int reduce) {
    __shared__ unsigned used[LEFT_CROWDS], bases[LEFT_CROWDS];
    const slab part = slab_of_block(&p->deal.cut);
    const int slab_cells = 1 << p->deal.cut.shift;
    overfull made = {shared, shared + slab_cells, 0};
    for (int i = (int)threadIdx.x; i < slab_cells; i += (int)blockDim.x) {
        made.cells[i] = 0;
    }
    if (threadIdx.x < LEFT_CROWDS) {
        used[threadIdx.x] = 0;
    }
    __syncthreads();
    use_entries(p, &part, &made, 1);
    const needs mine = needs_of_thread(p, &part, &made);
    const needs before = sum_before(mine, used);
    give_places(&part, &made, before.points);
    __syncthreads();
    if (threadIdx.x < LEFT_CROWDS) {
        bases[threadIdx.x] = atomicAdd(&p->left.used[threadIdx.x], used[threadIdx.x]);
    }
    __syncthreads();
    made.points = p->left.points + bases[LEFT_POINTS];
    use_entries(p, &part, &made, 0);
    leave_cells(p, &part, &made, &before, bases);
    write_rows(p, &part, &made, dtype, vector, reduce);
}

#endif
