#include "cpu/voxelize.h"

#include <stdatomic.h>
#include <string.h>

#include "core/context.h"
#include "core/pool.h"
#include "cpu/kernels/voxelize_features.h"

#define MAX_LANES    64
#define MAX_TILES    2048
#define MIN_SHIFT    6
#define PAGE_ENTRIES UINT32_C(64)

/* Bytes that are gone through at random while a tile is reduced: well inside a core's own cache. */
#define TILE_BYTES INT64_C(262144)

/* Feature rows up to this size travel with their points; larger ones are fetched when needed. */
#define MAX_COPIED_BYTES INT64_C(64)
/* ... and only so many, so that u32 numbers reach all elements of the copies. */
#define MAX_COPIED_ROWS (INT64_C(1) << 26)

/* Output is cleared in pieces that stay in the nearest cache until their cells are written. */
#define CLEAR_BYTES INT64_C(8192)

/* Elements below which another thread is not worth waking. */
#define LANE_WORK INT64_C(32768)

/* What is known of a point once it has been dealt out, after its cell within the tile (u32):
 * nothing, its number (u32), or its features as a row of f32 or f64, f64 aligned. */
typedef enum entry_kind { ENTRY_CELL, ENTRY_POINT, ENTRY_ROW } entry_kind;

/* How a job is cut up; depends on its sizes and the context alone. */
typedef struct tiling {
    int64_t cells; /* of a cloud's grid */
    int32_t shift; /* a tile has 2^shift cells */
    int64_t num_tiles;
    int64_t row_bytes; /* of a cell in the output */
    entry_kind kind;
    int64_t entry_bytes;
    int32_t num_lanes;
    bool is_shared;      /* all lanes work on one cloud, else each on its own */
    int64_t lane_points; /* most points a lane deals out */
    int64_t num_pages;
} tiling;

/* Points dealt out by one thread: per tile a chain of pages of entries. Page `s` is the first of
 * tile s; one more tile takes the dropped points and is never read. */
typedef struct lane {
    uint32_t *cursor; /* [num_tiles + 1]: where the tile's next entry goes */
    uint32_t *filled; /* [num_tiles + 1]: entries in its full pages */
    uint32_t *next;   /* [num_pages] */
    char *entries;    /* of all lanes one after the other */
    int32_t *counts;  /* these, too, only with features; of a tile's cells */
    uint32_t *ends;
    uint32_t *touched;
    uint32_t *order; /* [lane_points], of the first lane [N] when shared */
    uint32_t *bases; /* [num_tiles]: where in `order` a tile begins; of the first lane */
    uint32_t next_page;
    int64_t num_inside;
} lane;

typedef struct run {
    const rbc__voxelize_job *job;
    const rbc__voxel_kernels *kernels;
    tiling tiling;
    rbc__voxel_map map;
    lane lanes[MAX_LANES];
    int64_t cloud;     /* when shared */
    atomic_llong next; /* cloud or tile */
} run;

static void choose_tiles(tiling *p, int64_t cell_bytes) {
    p->shift = MIN_SHIFT;
    while (p->shift < 30 && (cell_bytes << (p->shift + 1)) <= TILE_BYTES) {
        ++p->shift;
    }
    while (p->num_lanes > 1 && p->is_shared && p->shift > MIN_SHIFT &&
           p->cells >> p->shift < 4 * (int64_t)p->num_lanes) {
        --p->shift;
    }
    while (p->shift < 31 && p->cells >> p->shift >= MAX_TILES) {
        ++p->shift;
    }
    p->num_tiles = ((p->cells - 1) >> p->shift) + 1;
}

static tiling tiling_of(const rbc_context *context, const rbc__voxelize_job *job) {
    const rbc__cloud *cloud = &job->cloud;
    const int64_t features = cloud->num_features;
    const int64_t batch = cloud->batch > 0 ? cloud->batch : 1;
    const bool is_f64 = cloud->feature_dtype == RBC__F64;
    tiling p = {.cells = job->grid[0] * job->grid[1] * job->grid[2]};
    if (features == 0) {
        p.kind = ENTRY_CELL;
        p.entry_bytes = 4;
        p.row_bytes = job->reduce == RBC_VOXEL_OCCUPANCY ? 1 : 4;
    } else {
        const int64_t copied_bytes = features * (is_f64 ? 8 : 4);
        const bool is_small = features <= MAX_COPIED_BYTES && copied_bytes <= MAX_COPIED_BYTES;
        p.kind = is_small && cloud->num_points <= MAX_COPIED_ROWS ? ENTRY_ROW : ENTRY_POINT;
        p.entry_bytes = p.kind == ENTRY_POINT ? 8 : copied_bytes + (is_f64 ? 8 : 4);
        p.row_bytes = features * rbc__dtype_bytes(cloud->feature_dtype);
    }

    const int64_t work = cloud->num_points * (3 + features) + p.cells * p.row_bytes / 4;
    const int64_t threads = rbc__pool_num_threads(context->pool);
    const int64_t useful = work / LANE_WORK * batch + 1;
    p.num_lanes = (int32_t)(useful < threads ? useful : threads);
    p.num_lanes = p.num_lanes < MAX_LANES ? p.num_lanes : MAX_LANES;
    p.is_shared = batch < 4 * (int64_t)p.num_lanes;
    /* Two numbers for a cell, and what a cell has of points on average. */
    const int64_t density = cloud->num_points / p.cells < 4 ? cloud->num_points * 4 / p.cells : 16;
    choose_tiles(&p, features == 0 ? 4 : 8 + density * p.entry_bytes / 8);

    const int64_t share = p.is_shared ? p.num_lanes : 1;
    const int64_t ranges = (cloud->num_points + RBC__VOXEL_RANGE - 1) / RBC__VOXEL_RANGE;
    p.lane_points = (ranges + share - 1) / share * RBC__VOXEL_RANGE;
    p.num_pages = p.num_tiles + 1 + p.lane_points / PAGE_ENTRIES;
    return p;
}

/* Lays out the lanes in the workspace; with a NULL base it only counts. Returns the bytes used. */
static uint64_t lay_out(const rbc__voxelize_job *job, const tiling *p, char *base, lane *lanes) {
    const uint64_t tiles = (uint64_t)p->num_tiles, tile_cells = UINT64_C(1) << p->shift;
    const uint64_t pages = (uint64_t)p->num_pages;
    const uint64_t arena_bytes = pages * PAGE_ENTRIES * (uint64_t)p->entry_bytes;
    uint64_t used = 0;
    char *entries = rbc__workspace_take(base, &used, arena_bytes * (uint64_t)p->num_lanes);
    for (int32_t i = 0; i < p->num_lanes; ++i) {
        lane l = {.entries = entries == NULL ? NULL : entries + (uint64_t)i * arena_bytes};
        l.cursor = rbc__workspace_take(base, &used, (tiles + 1) * 4);
        l.filled = rbc__workspace_take(base, &used, (tiles + 1) * 4);
        l.next = rbc__workspace_take(base, &used, pages * 4);
        if (p->kind != ENTRY_CELL) {
            const bool has_order = i == 0 || !p->is_shared;
            l.counts = rbc__workspace_take(base, &used, tile_cells * 4);
            l.ends = rbc__workspace_take(base, &used, tile_cells * 4);
            l.touched = rbc__workspace_take(base, &used, (tile_cells + 1) * 4);
            l.order = rbc__workspace_take(base, &used,
                                          has_order ? (uint64_t)job->cloud.num_points * 4 : 0);
            l.bases = rbc__workspace_take(base, &used, has_order ? tiles * 4 : 0);
        }
        if (lanes != NULL) {
            lanes[i] = l;
        }
    }
    return used;
}

uint64_t rbc__cpu_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job) {
    const tiling p = tiling_of(context, job);
    return lay_out(job, &p, NULL, NULL);
}

/* ---- Dealing out ---- */

/* Pages of a chain lie far apart, which no hardware foresees. */
#define EXPECT(begin, bytes, write)                                                                \
    for (int64_t expected = 0; expected < (bytes); expected += 64) {                               \
        __builtin_prefetch((begin) + expected, write);                                             \
    }

static uint32_t new_page(lane *l, const tiling *p, int64_t tile, uint32_t position) {
    if (tile == p->num_tiles) {
        return position - PAGE_ENTRIES;
    }
    const int64_t page_bytes = (int64_t)PAGE_ENTRIES * p->entry_bytes;
    const uint32_t page = l->next_page++;
    EXPECT(l->entries + (int64_t)page * page_bytes, page_bytes, 1)
    l->next[position / PAGE_ENTRIES - 1] = page;
    l->filled[tile] += PAGE_ENTRIES;
    return page * PAGE_ENTRIES;
}

/* The entry of a tile's next point, for the caller to fill. */
static inline char *new_entry(lane *l, const tiling *p, int64_t tile, int64_t entry_bytes) {
    const uint32_t position = l->cursor[tile];
    const uint32_t after = position + 1;
    l->cursor[tile] = after % PAGE_ENTRIES == 0 ? new_page(l, p, tile, after) : after;
    return l->entries + (int64_t)position * entry_bytes;
}

/* `wide` cells are int64. */
static inline int64_t cell_at(const void *cells, int64_t i, bool wide) {
    return wide ? ((const int64_t *)cells)[i] : ((const int32_t *)cells)[i];
}

static inline void deal_cells(lane *l, const tiling *p, const void *cells, int64_t n, bool wide) {
    const int64_t mask = (INT64_C(1) << p->shift) - 1;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t cell = cell_at(cells, i, wide);
        *(uint32_t *)(void *)new_entry(l, p, cell >> p->shift, 4) = (uint32_t)(cell & mask);
    }
}

static inline void deal_points(lane *l, const tiling *p, const void *cells, int64_t n, bool wide,
                               int64_t first) {
    const int64_t mask = (INT64_C(1) << p->shift) - 1;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t cell = cell_at(cells, i, wide);
        uint32_t *entry = (uint32_t *)(void *)new_entry(l, p, cell >> p->shift, 8);
        entry[0] = (uint32_t)(cell & mask);
        entry[1] = (uint32_t)(first + i);
    }
}

/* Rows that lie ready; their size is a constant to the caller where it matters. */
static inline void deal_rows(lane *l, const tiling *p, const void *cells, int64_t n, bool wide,
                             const char *rows, int64_t stride, int64_t item_bytes,
                             int64_t features) {
    const int64_t mask = (INT64_C(1) << p->shift) - 1;
    const int64_t row_bytes = features * item_bytes;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t cell = cell_at(cells, i, wide);
        char *entry = new_entry(l, p, cell >> p->shift, item_bytes + row_bytes);
        *(uint32_t *)(void *)entry = (uint32_t)(cell & mask);
        memcpy(entry + item_bytes, rows + i * stride, (size_t)row_bytes);
    }
}

static void deal_loaded_rows(const run *r, lane *l, const void *cells, int64_t n, bool wide,
                             int64_t cloud, int64_t first) {
    const tiling *p = &r->tiling;
    const int64_t mask = (INT64_C(1) << p->shift) - 1;
    const int64_t features = r->job->cloud.num_features;
    const int64_t item_bytes = r->job->cloud.feature_dtype == RBC__F64 ? 8 : 4;
    rbc__feature_row row;
    for (int64_t i = 0; i < n; ++i) {
        const int64_t cell = cell_at(cells, i, wide);
        char *entry = new_entry(l, p, cell >> p->shift, p->entry_bytes);
        rbc__load_features(&r->job->cloud, cloud, first + i, 0, features, &row);
        *(uint32_t *)(void *)entry = (uint32_t)(cell & mask);
        memcpy(entry + item_bytes, &row, (size_t)(features * item_bytes));
    }
}

static inline void deal_tile(const run *r, lane *l, const void *cells, int64_t n, bool wide,
                             int64_t cloud, int64_t first) {
    const tiling *p = &r->tiling;
    const rbc__cloud *c = &r->job->cloud;
    if (p->kind == ENTRY_CELL) {
        deal_cells(l, p, cells, n, wide);
    } else if (p->kind == ENTRY_POINT) {
        deal_points(l, p, cells, n, wide, first);
    } else if (!rbc__features_are_direct(c)) {
        deal_loaded_rows(r, l, cells, n, wide, cloud, first);
    } else {
        const char *rows = rbc__feature_address(c, cloud, first);
        const int64_t stride = c->features_stride_bytes;
        const int64_t item_bytes = rbc__float_bytes(c->feature_dtype);
        if (c->num_features == 8 && item_bytes == 4) {
            deal_rows(l, p, cells, n, wide, rows, stride, 4, 8);
        } else {
            deal_rows(l, p, cells, n, wide, rows, stride, item_bytes, c->num_features);
        }
    }
}

static void deal(const run *r, lane *l, int64_t cloud, int64_t first, int64_t end) {
    const rbc__voxel_kernels *k = r->kernels;
    const bool is_f64 = r->job->cloud.point_dtype == RBC__F64;
    union {
        int32_t i32[RBC__VOXEL_RANGE];
        int64_t i64[RBC__VOXEL_RANGE];
    } cells;
    rbc__voxel_range range;
    l->next_page = (uint32_t)r->tiling.num_tiles + 1;
    l->num_inside = 0;
    for (int64_t s = 0; s <= r->tiling.num_tiles; ++s) {
        l->cursor[s] = (uint32_t)s * PAGE_ENTRIES;
        l->filled[s] = 0;
    }
    for (int64_t i = first; i < end; i += RBC__VOXEL_RANGE) {
        const int64_t n = end - i < RBC__VOXEL_RANGE ? end - i : RBC__VOXEL_RANGE;
        k->load(&r->job->cloud, cloud, i, n, &range);
        if (r->map.outside <= INT32_MAX) {
            l->num_inside += (is_f64 ? k->cells_f64 : k->cells_f32)(&range, n, &r->map, cells.i32);
            deal_tile(r, l, cells.i32, n, false, cloud, i);
        } else {
            l->num_inside +=
                (is_f64 ? k->cells64_f64 : k->cells64_f32)(&range, n, &r->map, cells.i64);
            deal_tile(r, l, cells.i64, n, true, cloud, i);
        }
    }
}

/* Once lanes [begin, end) have dealt out n points: what was dropped, and where tiles begin. */
static void join(const run *r, lane *begin, const lane *end, int64_t cloud, int64_t n) {
    int64_t num_inside = 0;
    for (const lane *l = begin; l < end; ++l) {
        num_inside += l->num_inside;
    }
    if (r->job->dropped != NULL) {
        r->job->dropped[cloud] = n - num_inside;
    }
    uint32_t base = 0;
    for (int64_t s = 0; r->tiling.kind != ENTRY_CELL && s < r->tiling.num_tiles; ++s) {
        begin->bases[s] = base;
        for (const lane *l = begin; l < end; ++l) {
            base += l->filled[s] + l->cursor[s] % PAGE_ENTRIES;
        }
    }
}

/* ---- Reducing ---- */

typedef void (*page_fn)(void *target, const char *entries, int64_t n);

/* Calls `f` for each page of entries that lanes [begin, end) have for a tile. */
static void each_page(const tiling *p, const lane *begin, const lane *end, int64_t tile, page_fn f,
                      void *target) {
    const int64_t page_bytes = (int64_t)PAGE_ENTRIES * p->entry_bytes;
    for (const lane *l = begin; l < end; ++l) {
        const uint32_t last = l->cursor[tile] / PAGE_ENTRIES;
        uint32_t page = (uint32_t)tile;
        while (page != last) {
            const uint32_t next = l->next[page];
            EXPECT(l->entries + (int64_t)next * page_bytes, page_bytes, 0)
            f(target, l->entries + (int64_t)page * page_bytes, PAGE_ENTRIES);
            page = next;
        }
        f(target, l->entries + (int64_t)page * page_bytes, l->cursor[tile] % PAGE_ENTRIES);
    }
}

static void count_page(void *target, const char *entries, int64_t n) {
    int32_t *counts = target;
    const uint32_t *cells = (const uint32_t *)(const void *)entries;
    for (int64_t i = 0; i < n; ++i) {
        ++counts[cells[i]];
    }
}

static void occupy_page(void *target, const char *entries, int64_t n) {
    uint8_t *occupied = target;
    const uint32_t *cells = (const uint32_t *)(const void *)entries;
    for (int64_t i = 0; i < n; ++i) {
        occupied[cells[i]] = 1;
    }
}

/* Brings the points of a tile into the order of their cells. */
typedef struct grouping {
    int64_t entry_bytes;
    entry_kind kind;
    int32_t row_shift; /* rows are counted in units of 2^row_shift bytes, that of an element */
    const char *base;
    int32_t *counts;
    uint32_t *ends;
    uint32_t *order;
} grouping;

static void group_count(void *target, const char *entries, int64_t n) {
    const grouping *g = target;
    for (int64_t i = 0; i < n; ++i) {
        ++g->counts[*(const uint32_t *)(const void *)(entries + i * g->entry_bytes)];
    }
}

static void group_order(void *target, const char *entries, int64_t n) {
    const grouping *g = target;
    for (int64_t i = 0; i < n; ++i) {
        const uint32_t *entry = (const uint32_t *)(const void *)(entries + i * g->entry_bytes);
        const char *row = entries + i * g->entry_bytes + (1 << g->row_shift);
        g->order[g->ends[entry[0]]++] =
            g->kind == ENTRY_POINT ? entry[1] : (uint32_t)((row - g->base) >> g->row_shift);
    }
}

/* From counts to where each cell's points begin; returns the number of cells that have some. */
static int64_t scan(const int32_t *counts, int64_t cells, uint32_t *begins, uint32_t *touched) {
    uint32_t sum = 0;
    int64_t num_touched = 0;
    for (int64_t c = 0; c < cells; ++c) {
        const uint32_t count = (uint32_t)counts[c];
        begins[c] = sum;
        sum += count;
        touched[num_touched] = (uint32_t)c;
        num_touched += count != 0;
    }
    return num_touched;
}

static void reduce_features(const run *r, const lane *own, const lane *begin, const lane *end,
                            int64_t cloud, int64_t tile, int64_t cells, char *out,
                            int32_t *counts) {
    const rbc__cloud *c = &r->job->cloud;
    const tiling *p = &r->tiling;
    const bool is_copied = p->kind == ENTRY_ROW, is_direct = rbc__features_are_direct(c);
    grouping g = {
        .entry_bytes = p->entry_bytes,
        .kind = p->kind,
        .row_shift = c->feature_dtype == RBC__F64 ? 3 : 2,
        .base = r->lanes[0].entries,
        .counts = counts,
        .ends = own->ends,
        .order = begin->order + begin->bases[tile],
    };
    each_page(p, begin, end, tile, group_count, &g);
    const int64_t num_touched = scan(counts, cells, own->ends, own->touched);
    each_page(p, begin, end, tile, group_order, &g);

    const rbc__voxel_rows rows = {
        .reduce = r->job->reduce,
        .num_features = c->num_features,
        .dtype = c->feature_dtype,
        .base = is_copied   ? g.base
                : is_direct ? rbc__feature_address(c, cloud, 0)
                            : NULL,
        .row_stride_bytes = is_copied ? 1 << g.row_shift : c->features_stride_bytes,
        .cloud = is_copied || is_direct ? NULL : c,
        .cloud_index = cloud,
    };
    const int64_t piece = CLEAR_BYTES / p->row_bytes + 1;
    int64_t t = 0;
    for (int64_t first = 0; first < cells; first += piece) {
        const int64_t after = first + piece < cells ? first + piece : cells;
        memset(out + first * p->row_bytes, 0, (size_t)((after - first) * p->row_bytes));
        const int64_t t_first = t;
        while (t < num_touched && own->touched[t] < after) {
            ++t;
        }
        const rbc__voxel_groups groups = {
            .order = g.order,
            .ends = own->ends,
            .counts = counts,
            .cells = own->touched + t_first,
            .num_cells = t - t_first,
            .out = out,
        };
        rbc__voxel_reduce(&rows, &groups);
    }
}

/* Clears and fills a tile; `own` lends scratch, lanes [begin, end) have the points. */
static void reduce_tile(const run *r, const lane *own, const lane *begin, const lane *end,
                        int64_t cloud, int64_t tile) {
    const rbc__voxelize_job *job = r->job;
    const tiling *p = &r->tiling;
    const int64_t first = tile << p->shift;
    const int64_t full = INT64_C(1) << p->shift;
    const int64_t cells = p->cells - first < full ? p->cells - first : full;
    const int64_t at = cloud * p->cells + first;
    char *out = job->out + at * p->row_bytes;
    const size_t counts_bytes = (size_t)cells * sizeof *job->counts;
    if (p->kind != ENTRY_CELL) {
        int32_t *counts = job->counts != NULL ? job->counts + at : own->counts;
        memset(counts, 0, counts_bytes);
        reduce_features(r, own, begin, end, cloud, tile, cells, out, counts);
        return;
    }
    memset(out, 0, (size_t)(cells * p->row_bytes));
    each_page(p, begin, end, tile, job->reduce == RBC_VOXEL_OCCUPANCY ? occupy_page : count_page,
              out);
    if (job->counts != NULL) {
        memset(job->counts + at, 0, counts_bytes);
        each_page(p, begin, end, tile, count_page, job->counts + at);
    }
}

/* ---- Parts of the job ---- */

static void deal_part(void *job, int64_t index) {
    run *r = job;
    const int64_t length = rbc__cloud_length(&r->job->cloud, r->cloud);
    const int64_t first = index * r->tiling.lane_points;
    const int64_t end = first + r->tiling.lane_points;
    deal(r, &r->lanes[index], r->cloud, first, end < length ? end : length);
}

static void reduce_part(void *job, int64_t index) {
    run *r = job;
    const lane *end = r->lanes + r->tiling.num_lanes;
    for (;;) {
        const int64_t tile = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (tile >= r->tiling.num_tiles) {
            return;
        }
        reduce_tile(r, &r->lanes[index], r->lanes, end, r->cloud, tile);
    }
}

static void clouds_part(void *job, int64_t index) {
    run *r = job;
    lane *l = &r->lanes[index];
    for (;;) {
        const int64_t cloud = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (cloud >= r->job->cloud.batch) {
            return;
        }
        const int64_t n = rbc__cloud_length(&r->job->cloud, cloud);
        deal(r, l, cloud, 0, n);
        join(r, l, l + 1, cloud, n);
        for (int64_t tile = 0; tile < r->tiling.num_tiles; ++tile) {
            reduce_tile(r, l, l, l + 1, cloud, tile);
        }
    }
}

rbc_status rbc__cpu_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                             void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    (void)err;
    const bool is_f64 = job->cloud.point_dtype == RBC__F64;
    run r = {
        .job = job, .kernels = rbc__voxel_kernels_for(context), .tiling = tiling_of(context, job)};
    const tiling *p = &r.tiling;
    lay_out(job, p, job->workspace, r.lanes);
    for (int axis = 0; axis < 3; ++axis) {
        r.map.origin[axis] = job->origin[axis];
        r.map.size[axis] = job->voxel_size[axis];
        r.map.limit[axis] = rbc__voxel_limit(job->grid[axis], is_f64);
    }
    r.map.stride[0] = job->grid[1] * job->grid[2];
    r.map.stride[1] = job->grid[2];
    r.map.outside = p->num_tiles << p->shift;
    if (!p->is_shared) {
        rbc__pool_run(context->pool, p->num_lanes, clouds_part, &r);
        return RBC_OK;
    }
    for (r.cloud = 0; r.cloud < job->cloud.batch; ++r.cloud) {
        rbc__pool_run(context->pool, p->num_lanes, deal_part, &r);
        join(&r, r.lanes, r.lanes + p->num_lanes, r.cloud, rbc__cloud_length(&job->cloud, r.cloud));
        atomic_store_explicit(&r.next, 0, memory_order_relaxed);
        rbc__pool_run(context->pool, p->num_lanes, reduce_part, &r);
    }
    return RBC_OK;
}
