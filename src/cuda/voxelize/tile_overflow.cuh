/* A tile that has too many points for shared memory. Rows of cells of one point and of none are
 * written here; cells of several points are deferred to the next kernel, whose blocks share them.
 */
#ifndef RBC_CUDA_TILE_OVERFLOW_CUH
#define RBC_CUDA_TILE_OVERFLOW_CUH

#include "cuda/voxelize/tile_sort.cuh"

#define NO_POINT 0xffffffffu
#define ALONE    0x80000000u /* in `cells`: not a cell of several points */

/* Of a block. */
typedef struct overflow {
    /* cells[c]: points of cell c in the first pass; after number_positions() the next free index of
     * `points`, or ALONE. */
    unsigned *cells;
    unsigned *firsts; /* firsts[c]: the point of cell c if it has one, else NO_POINT in the end */
    unsigned *points; /* of the tile's cells of several points, cell by cell */
} overflow;

/* Adds one to the cell of each of a vector's first `left` entries; what was there is the entry's
 * rank, `otherwise` that of entries past them. A vector of one cell, as huge cells have, adds once.
 */
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

INLINE void count_entries(void *block, unsigned first, uint4 vec16, int left) {
    const overflow *memory = (const overflow *)block;
    const unsigned words[4] = {vec16.x, vec16.y, vec16.z, vec16.w};
    unsigned ranks[4];
    add_to_cells(memory->cells, words, left, ranks, 1);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if (ranks[j] == 0) {
            memory->firsts[cell_of_entry(words[j])] =
                first + (words[j] & ((1u << VOXEL_INDEX_BITS) - 1));
        }
    }
}

INLINE void list_entries(void *block, unsigned first, uint4 vec16, int left) {
    const overflow *memory = (const overflow *)block;
    const unsigned words[4] = {vec16.x, vec16.y, vec16.z, vec16.w};
    unsigned at[4];
    add_to_cells(memory->cells, words, left, at, ALONE);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        if ((at[j] & ALONE) == 0) {
            memory->points[at[j]] = first + (words[j] & ((1u << VOXEL_INDEX_BITS) - 1));
        }
    }
}

/* Every entry of the tile is counted, or listed; a barrier is passed last. */
INLINE void use_entries(const voxel_reduce_launch *p, const cell_tile *part, overflow *memory,
                        int counting) {
    for (unsigned base = 0; base < num_tasks(&p->deal); base += TASKS * blockDim.x) {
        task tasks[TASKS];
        load_tasks(&p->deal, part, base, TASKS, 4, tasks);
        use_tasks(&p->deal, part, tasks, base, TASKS, 4, counting ? count_entries : list_entries,
                  memory);
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

/* A cell of too many points for one block is one of the huge cells. */
INLINE void defer_huge(const voxel_deferred *deferred, const voxel_deferred_cell *cell,
                       unsigned num_features) {
    const unsigned huge = atomicAdd(&deferred->used[DEFERRED_HUGE], 1u);
    const unsigned parts = (cell->count + PART_POINTS - 1) / PART_POINTS;
    const unsigned first = atomicAdd(&deferred->used[DEFERRED_PARTS], parts);
    deferred->huge[huge] = *cell;
    deferred->looked[huge] = 0;
    deferred->finished[huge] = 0;
    for (unsigned i = 0; i < parts; ++i) {
        const voxel_part part = {huge, i};
        deferred->parts[first + i] = part;
    }
    for (unsigned k = 0; k < num_features; ++k) {
        const voxel_state none = {0, 0, 0, 0};
        deferred->states[(unsigned long long)huge * num_features + k] = none;
    }
}

/* Counted, the thread's cells need this much. */
INLINE needs needs_of_thread(const voxel_reduce_launch *p, const cell_tile *part,
                             const overflow *memory) {
    needs mine = {0, 0, 0};
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned count = memory->cells[cell];
        add_needs(&mine, count);
        if (p->counts != 0) {
            p->counts[part->out_cell + cell] = (int)count;
        }
    }
    return mine;
}

/* Cells of several points get positions, the thread's from `position` on. */
INLINE void number_positions(const cell_tile *part, const overflow *memory, unsigned position) {
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned count = memory->cells[cell];
        memory->cells[cell] = count > 1 ? position : ALONE;
        position += count > 1 ? count : 0;
        memory->firsts[cell] = count == 1 ? memory->firsts[cell] : NO_POINT;
    }
}

/* The cells of several points themselves, which say where their points end by now. */
INLINE void defer_cells(const voxel_reduce_launch *p, const cell_tile *part, const overflow *memory,
                        const needs *before, const unsigned *bases) {
    const voxel_deferred *deferred = &p->deferred;
    unsigned position = before->points;
    unsigned few = bases[DEFERRED_FEW] + before->few;
    unsigned many = deferred->room - 1 - (bases[DEFERRED_MANY] + before->many);
    for (int cell = (int)threadIdx.x; cell < part->cells; cell += (int)blockDim.x) {
        const unsigned end = memory->cells[cell];
        if ((end & ALONE) != 0) {
            continue;
        }
        const voxel_deferred_cell found = {
            bases[DEFERRED_POINTS] + position, end - position,
            ((unsigned)part->index << p->deal.cut.shift) + (unsigned)cell, (unsigned)part->batch};
        if (found.count > MANY_OF_CELL) {
            defer_huge(deferred, &found, p->num_features);
        } else {
            *(uint4 *)&deferred->cells[found.count <= FEW_OF_CELL ? few++ : many--] =
                make_uint4(found.first, found.count, found.cell, found.batch);
        }
        position = end;
    }
}

/* Writes the rows of cells of one point and of none. */
INLINE void write_rows(const voxel_reduce_launch *p, const cell_tile *part, const overflow *memory,
                       int dtype, int vector, int reduce) {
    const unsigned row_slices = slices_of_row(p, vector);
    const slice_at by = find_slice(blockDim.x, row_slices);
    slice_at at = find_slice(threadIdx.x, row_slices);
    while (at.cell < (unsigned)part->cells) {
        slice_at here[SLICES_AT_ONCE];
        values loaded[SLICES_AT_ONCE];
        unsigned points[SLICES_AT_ONCE];
        int wanted[SLICES_AT_ONCE];
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            here[k] = at;
            wanted[k] = at.cell < (unsigned)part->cells && (memory->cells[at.cell] & ALONE) != 0;
            points[k] = wanted[k] ? memory->firsts[at.cell] : NO_POINT;
            loaded[k].vec16 = make_uint4(0, 0, 0, 0);
            if (points[k] != NO_POINT) {
                loaded[k] = load_values(p, part->batch, points[k], at.slice, dtype, vector);
            }
            at = next_slice(at, by, row_slices);
        }
#pragma unroll
        for (int k = 0; k < SLICES_AT_ONCE; ++k) {
            if (wanted[k]) {
                write_slice(p, part->batch,
                            ((unsigned)part->index << p->deal.cut.shift) + here[k].cell,
                            here[k].slice, single_slice(loaded[k].vec16, dtype, vector, reduce),
                            dtype, vector);
            }
        }
    }
}

INLINE void reduce_overflow(const voxel_reduce_launch *p, unsigned *shared, int dtype, int vector,
                            int reduce) {
    __shared__ unsigned used[DEFERRED_HUGE], bases[DEFERRED_HUGE];
    const cell_tile part = tile_of_block(&p->deal.cut);
    const int tile_cells = 1 << p->deal.cut.shift;
    overflow memory = {shared, shared + tile_cells, 0};
    for (int i = (int)threadIdx.x; i < tile_cells; i += (int)blockDim.x) {
        memory.cells[i] = 0;
    }
    if (threadIdx.x < DEFERRED_HUGE) {
        used[threadIdx.x] = 0;
    }
    __syncthreads();
    use_entries(p, &part, &memory, 1);
    const needs mine = needs_of_thread(p, &part, &memory);
    const needs before = sum_before(mine, used);
    number_positions(&part, &memory, before.points);
    __syncthreads();
    if (threadIdx.x < DEFERRED_HUGE) {
        bases[threadIdx.x] = atomicAdd(&p->deferred.used[threadIdx.x], used[threadIdx.x]);
    }
    __syncthreads();
    memory.points = p->deferred.points + bases[DEFERRED_POINTS];
    use_entries(p, &part, &memory, 0);
    defer_cells(p, &part, &memory, &before, bases);
    write_rows(p, &part, &memory, dtype, vector, reduce);
}

#endif
