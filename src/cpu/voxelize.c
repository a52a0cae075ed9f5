#include "cpu/voxelize.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "core/context.h"
#include "core/pool.h"

#define MAX_LANES     64
#define MAX_SLABS     2048
#define MIN_SHIFT     6
#define BLOCK_ENTRIES UINT32_C(64)

/* Bytes of a slab, all that is touched while it is reduced: well inside a core's own cache. */
#define SLAB_BYTES INT64_C(262144)

/* Elements below which another thread is not worth waking. */
#define LANE_WORK INT64_C(32768)

/* How a job is cut up; depends on its sizes and the context alone. */
typedef struct plan {
    int64_t cells; /* of a cloud's grid */
    int32_t shift; /* a slab has 2^shift cells */
    int64_t num_slabs;
    int64_t row_bytes; /* of a cell in the output */
    int32_t num_lanes;
    bool is_shared;      /* all lanes work on one cloud, else each on its own */
    int64_t lane_points; /* most points a lane deals out */
    int64_t num_blocks;
} plan;

/* Points dealt out by one thread: per slab a chain of blocks of entries. Block `s` is the first of
 * slab s; one more slab takes the dropped points and is never read. */
typedef struct lane {
    uint32_t *cursor; /* [num_slabs + 1]: where the slab's next entry goes */
    uint32_t *next;   /* [num_blocks] */
    void *entries;    /* u32 cells, or rbc__voxel_entry with features */
    int32_t *counts;
    uint32_t *touched;
    void *scratch, *maxima;
    uint32_t next_block;
    int64_t num_inside;
} lane;

typedef struct run {
    const rbc__voxelize_job *job;
    const rbc__voxel_kernels *kernels;
    plan plan;
    rbc__voxel_map map;
    lane lanes[MAX_LANES];
    int64_t cloud;     /* when shared */
    atomic_llong next; /* cloud or slab */
} run;

static plan plan_of(const rbc_context *context, const rbc__voxelize_job *job) {
    const rbc__cloud *cloud = &job->cloud;
    const int64_t features = cloud->num_features;
    plan p = {.cells = job->grid[0] * job->grid[1] * job->grid[2]};
    int64_t touched_bytes;
    if (features > 0) {
        p.row_bytes = features * rbc__dtype_bytes(cloud->feature_dtype);
        touched_bytes = p.row_bytes + 8 +
                        features * (rbc__voxel_scratch_bytes(cloud->feature_dtype, job->reduce) +
                                    rbc__voxel_maximum_bytes(cloud->feature_dtype, job->reduce));
    } else {
        p.row_bytes = job->reduce == RBC_VOXEL_OCCUPANCY ? 1 : 4;
        touched_bytes = 4;
    }

    const int64_t work = cloud->num_points * (3 + features) + p.cells * p.row_bytes / 4;
    const int64_t threads = rbc__pool_num_threads(context->pool);
    const int64_t wanted = (cloud->batch < 1 ? 1 : cloud->batch) * (work / LANE_WORK + 1);
    const int64_t useful = work * cloud->batch < LANE_WORK ? 1 : wanted;
    p.num_lanes = (int32_t)(useful < threads ? useful : threads);
    p.num_lanes = p.num_lanes < MAX_LANES ? p.num_lanes : MAX_LANES;
    p.is_shared = cloud->batch < 4 * (int64_t)p.num_lanes;

    p.shift = MIN_SHIFT;
    while (p.shift < 30 && (touched_bytes << (p.shift + 1)) <= SLAB_BYTES) {
        ++p.shift;
    }
    while (p.num_lanes > 1 && p.is_shared && p.shift > MIN_SHIFT &&
           p.cells >> p.shift < 4 * (int64_t)p.num_lanes) {
        --p.shift;
    }
    while (p.shift < 31 && p.cells >> p.shift >= MAX_SLABS) {
        ++p.shift;
    }
    p.num_slabs = ((p.cells - 1) >> p.shift) + 1;
    const int64_t share = p.is_shared ? p.num_lanes : 1;
    const int64_t tiles = (cloud->num_points + RBC__VOXEL_TILE - 1) / RBC__VOXEL_TILE;
    p.lane_points = (tiles + share - 1) / share * RBC__VOXEL_TILE;
    p.num_blocks = p.num_slabs + 1 + p.lane_points / BLOCK_ENTRIES;
    return p;
}

/* Lays out the lanes in the workspace; with a NULL base it only counts. Returns the bytes used. */
static uint64_t lay_out(const rbc__voxelize_job *job, const plan *p, char *base, lane *lanes) {
    const uint64_t features = (uint64_t)job->cloud.num_features;
    const uint64_t slab_cells = UINT64_C(1) << p->shift;
    const uint64_t blocks = (uint64_t)p->num_blocks;
    const uint64_t entry_bytes = features > 0 ? sizeof(rbc__voxel_entry) : sizeof(uint32_t);
    uint64_t used = 0;
    for (int32_t i = 0; i < p->num_lanes; ++i) {
        lane l = {0};
        l.cursor = rbc__workspace_take(base, &used, ((uint64_t)p->num_slabs + 1) * 4);
        l.next = rbc__workspace_take(base, &used, blocks * 4);
        l.entries = rbc__workspace_take(base, &used, blocks * BLOCK_ENTRIES * entry_bytes);
        if (features > 0) {
            l.counts = rbc__workspace_take(base, &used, slab_cells * 4);
            l.touched = rbc__workspace_take(base, &used, (slab_cells + 1) * 4);
            const rbc__dtype dtype = job->cloud.feature_dtype;
            const uint64_t channels = slab_cells * features;
            l.scratch = rbc__workspace_take(
                base, &used, channels * (uint64_t)rbc__voxel_scratch_bytes(dtype, job->reduce));
            l.maxima = rbc__workspace_take(
                base, &used, channels * (uint64_t)rbc__voxel_maximum_bytes(dtype, job->reduce));
        }
        if (lanes != NULL) {
            lanes[i] = l;
        }
    }
    return used;
}

uint64_t rbc__cpu_voxelize_workspace_bytes(rbc_context *context, const rbc__voxelize_job *job) {
    const plan p = plan_of(context, job);
    return lay_out(job, &p, NULL, NULL);
}

/* ---- Dealing out ---- */

static uint32_t new_block(lane *l, int64_t slab, int64_t num_slabs, uint32_t position) {
    if (slab == num_slabs) {
        return position - BLOCK_ENTRIES;
    }
    const uint32_t block = l->next_block++;
    l->next[position / BLOCK_ENTRIES - 1] = block;
    return block * BLOCK_ENTRIES;
}

#define DEFINE_DEAL(name, integer, entry, make_entry)                                              \
    static void name(lane *l, const plan *p, const integer *cells, int64_t first, int64_t n) {     \
        const int32_t shift = p->shift;                                                            \
        const integer mask = (integer)((INT64_C(1) << shift) - 1);                                 \
        entry *entries = l->entries;                                                               \
        for (int64_t i = 0; i < n; ++i) {                                                          \
            const integer slab = cells[i] >> shift;                                                \
            const uint32_t cell = (uint32_t)(cells[i] & mask);                                     \
            const uint64_t point = (uint64_t)(first + i);                                          \
            uint32_t position = l->cursor[slab];                                                   \
            entries[position] = make_entry;                                                        \
            if (++position % BLOCK_ENTRIES == 0) {                                                 \
                position = new_block(l, slab, p->num_slabs, position);                             \
            }                                                                                      \
            l->cursor[slab] = position;                                                            \
            (void)point;                                                                           \
        }                                                                                          \
    }

DEFINE_DEAL(deal_cells, int32_t, uint32_t, cell)
DEFINE_DEAL(deal_cells64, int64_t, uint32_t, cell)
DEFINE_DEAL(deal_points, int32_t, rbc__voxel_entry, (point << 32 | cell))
DEFINE_DEAL(deal_points64, int64_t, rbc__voxel_entry, (point << 32 | cell))

static void deal_tile(const run *r, lane *l, int64_t cloud, int64_t first, int64_t n) {
    union {
        int32_t i32[RBC__VOXEL_TILE];
        int64_t i64[RBC__VOXEL_TILE];
    } cells;
    rbc__voxel_tile tile;
    const rbc__voxel_kernels *k = r->kernels;
    const bool is_f64 = r->job->cloud.point_dtype == RBC__F64;
    const bool has_features = r->job->cloud.num_features > 0;
    k->load(&r->job->cloud, cloud, first, n, &tile);
    if (r->map.outside <= INT32_MAX) {
        l->num_inside += (is_f64 ? k->cells_f64 : k->cells_f32)(&tile, n, &r->map, cells.i32);
        (has_features ? deal_points : deal_cells)(l, &r->plan, cells.i32, first, n);
    } else {
        l->num_inside += (is_f64 ? k->cells64_f64 : k->cells64_f32)(&tile, n, &r->map, cells.i64);
        (has_features ? deal_points64 : deal_cells64)(l, &r->plan, cells.i64, first, n);
    }
}

static void deal(const run *r, lane *l, int64_t cloud, int64_t first, int64_t end) {
    l->next_block = (uint32_t)r->plan.num_slabs + 1;
    l->num_inside = 0;
    for (int64_t s = 0; s <= r->plan.num_slabs; ++s) {
        l->cursor[s] = (uint32_t)s * BLOCK_ENTRIES;
    }
    for (int64_t i = first; i < end; i += RBC__VOXEL_TILE) {
        const int64_t left = end - i;
        deal_tile(r, l, cloud, i, left < RBC__VOXEL_TILE ? left : RBC__VOXEL_TILE);
    }
}

/* ---- Reducing ---- */

typedef void (*block_fn)(void *target, const void *entries, int64_t n);

/* Calls `f` for each block of entries that lanes [begin, end) have for a slab. */
static void each_block(const lane *begin, const lane *end, int64_t slab, int64_t entry_bytes,
                       block_fn f, void *target) {
    for (const lane *l = begin; l < end; ++l) {
        const uint32_t last = l->cursor[slab] / BLOCK_ENTRIES;
        uint32_t block = (uint32_t)slab;
        for (;; block = l->next[block]) {
            const char *entries =
                (const char *)l->entries + (int64_t)block * (int64_t)BLOCK_ENTRIES * entry_bytes;
            if (block == last) {
                f(target, entries, l->cursor[slab] % BLOCK_ENTRIES);
                break;
            }
            f(target, entries, BLOCK_ENTRIES);
        }
    }
}

static void count_block(void *target, const void *entries, int64_t n) {
    int32_t *counts = target;
    const uint32_t *cells = entries;
    for (int64_t i = 0; i < n; ++i) {
        ++counts[cells[i]];
    }
}

static void occupy_block(void *target, const void *entries, int64_t n) {
    uint8_t *occupied = target;
    const uint32_t *cells = entries;
    for (int64_t i = 0; i < n; ++i) {
        occupied[cells[i]] = 1;
    }
}

typedef struct slab_call {
    const rbc__voxel_kernels *kernels;
    rbc__voxel_slab slab;
} slab_call;

static void first_block(void *target, const void *entries, int64_t n) {
    slab_call *call = target;
    call->kernels->slab_first(&call->slab, entries, n);
}

static void add_block(void *target, const void *entries, int64_t n) {
    slab_call *call = target;
    call->kernels->slab_add(&call->slab, entries, n);
}

static void mark_block(void *target, const void *entries, int64_t n) {
    slab_call *call = target;
    call->kernels->slab_mark_nonfinite(&call->slab, entries, n);
}

/* Clears and fills a slab; `own` lends scratch, lanes [begin, end) have the points. */
static void reduce_slab(const run *r, const lane *own, const lane *begin, const lane *end,
                        int64_t cloud, int64_t slab) {
    const rbc__voxelize_job *job = r->job;
    const int64_t first = slab << r->plan.shift;
    const int64_t left = r->plan.cells - first;
    const int64_t full = INT64_C(1) << r->plan.shift;
    const int64_t cells = left < full ? left : full;
    const int64_t at = cloud * r->plan.cells + first;
    char *out = job->out + at * r->plan.row_bytes;
    int32_t *counts = job->counts != NULL ? job->counts + at : own->counts;
    memset(out, 0, (size_t)(cells * r->plan.row_bytes));
    if (counts != NULL) {
        memset(counts, 0, (size_t)cells * sizeof *counts);
    }
    if (job->cloud.num_features == 0) {
        if (job->reduce == RBC_VOXEL_OCCUPANCY) {
            each_block(begin, end, slab, sizeof(uint32_t), occupy_block, out);
        } else {
            each_block(begin, end, slab, sizeof(uint32_t), count_block, out);
        }
        if (counts != NULL) {
            each_block(begin, end, slab, sizeof(uint32_t), count_block, counts);
        }
        return;
    }
    slab_call call = {
        .kernels = r->kernels,
        .slab =
            {
                .cloud = &job->cloud,
                .cloud_index = cloud,
                .reduce = job->reduce,
                .scratch = own->scratch,
                .maxima = own->maxima,
                .counts = counts,
                .touched = own->touched,
                .out = out,
            },
    };
    each_block(begin, end, slab, sizeof(rbc__voxel_entry), first_block, &call);
    if (job->reduce == RBC_VOXEL_SUM || job->reduce == RBC_VOXEL_MEAN) {
        each_block(begin, end, slab, sizeof(rbc__voxel_entry), add_block, &call);
    }
    r->kernels->slab_finish(&call.slab);
    if (call.slab.has_special) {
        each_block(begin, end, slab, sizeof(rbc__voxel_entry), mark_block, &call);
        r->kernels->slab_mend_nonfinite(&call.slab);
    }
}

static void tell_dropped(const run *r, int64_t cloud, int64_t n, int32_t num_lanes,
                         const lane *lanes) {
    if (r->job->dropped == NULL) {
        return;
    }
    r->job->dropped[cloud] = n;
    for (int32_t i = 0; i < num_lanes; ++i) {
        r->job->dropped[cloud] -= lanes[i].num_inside;
    }
}

static void clear_scratch(const run *r, const lane *l) {
    if (l->scratch != NULL) {
        rbc__voxel_scratch_clear(&r->job->cloud, r->job->reduce, INT64_C(1) << r->plan.shift,
                                 l->scratch, l->maxima);
    }
}

/* ---- Parts of the job ---- */

static void deal_part(void *job, int64_t index) {
    run *r = job;
    const int64_t length = rbc__cloud_length(&r->job->cloud, r->cloud);
    const int64_t first = index * r->plan.lane_points;
    const int64_t end = first + r->plan.lane_points;
    deal(r, &r->lanes[index], r->cloud, first, end < length ? end : length);
}

static void reduce_part(void *job, int64_t index) {
    run *r = job;
    const lane *end = r->lanes + r->plan.num_lanes;
    clear_scratch(r, &r->lanes[index]);
    for (;;) {
        const int64_t slab = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (slab >= r->plan.num_slabs) {
            return;
        }
        reduce_slab(r, &r->lanes[index], r->lanes, end, r->cloud, slab);
    }
}

static void clouds_part(void *job, int64_t index) {
    run *r = job;
    lane *l = &r->lanes[index];
    clear_scratch(r, l);
    for (;;) {
        const int64_t cloud = atomic_fetch_add_explicit(&r->next, 1, memory_order_relaxed);
        if (cloud >= r->job->cloud.batch) {
            return;
        }
        const int64_t n = rbc__cloud_length(&r->job->cloud, cloud);
        deal(r, l, cloud, 0, n);
        tell_dropped(r, cloud, n, 1, l);
        for (int64_t slab = 0; slab < r->plan.num_slabs; ++slab) {
            reduce_slab(r, l, l, l + 1, cloud, slab);
        }
    }
}

/* The least number of the points' type that is not below the integer. */
static double limit_of(int64_t cells, bool is_f64) {
    if (is_f64) {
        return (double)cells;
    }
    const float limit = (float)cells;
    return (double)limit < (double)cells ? (double)nextafterf(limit, INFINITY) : (double)limit;
}

rbc_status rbc__cpu_voxelize(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                             void *stream, rbc_error *err) {
    (void)device_id;
    (void)stream;
    (void)err;
    const bool is_f64 = job->cloud.point_dtype == RBC__F64;
    run r = {.job = job, .kernels = rbc__voxel_kernels_for(context), .plan = plan_of(context, job)};
    const plan *p = &r.plan;
    lay_out(job, p, job->workspace, r.lanes);
    for (int axis = 0; axis < 3; ++axis) {
        r.map.origin[axis] = job->origin[axis];
        r.map.size[axis] = job->voxel_size[axis];
        r.map.limit[axis] = limit_of(job->grid[axis], is_f64);
    }
    r.map.stride[0] = job->grid[1] * job->grid[2];
    r.map.stride[1] = job->grid[2];
    r.map.outside = p->num_slabs << p->shift;
    if (!p->is_shared) {
        rbc__pool_run(context->pool, p->num_lanes, clouds_part, &r);
        return RBC_OK;
    }
    for (r.cloud = 0; r.cloud < job->cloud.batch; ++r.cloud) {
        rbc__pool_run(context->pool, p->num_lanes, deal_part, &r);
        tell_dropped(&r, r.cloud, rbc__cloud_length(&job->cloud, r.cloud), p->num_lanes, r.lanes);
        atomic_store_explicit(&r.next, 0, memory_order_relaxed);
        rbc__pool_run(context->pool, p->num_lanes, reduce_part, &r);
    }
    return RBC_OK;
}
