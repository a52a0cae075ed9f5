/* Sparse voxelization of one cloud after the other.
 *
 * Points get their coordinates, go to partitions by a hash of them, and within its partition each
 * finds the first point with the same coordinates. Those first points, gone through in order, are
 * the voxels as first seen; sorting gives the ascending order. Partitions are independent and keep
 * the order of points, so that how they are spread over threads does not show. */
#include <string.h>

#include "core/context.h"
#include "cpu/kernels/voxelize_features.h"
#include "cpu/voxelize_sparse.h"

#define MAX_LANES 64

/* Points of a partition, which with its table should stay in a core's cache. */
#define PARTITION_POINTS INT64_C(8192)

/* Feature rows up to this size travel with their points: reading them where they lie would miss the
 * caches, and the TLB, once for each row. */
#define MAX_ROW_BYTES INT64_C(64)

/* Points below which another thread is not worth waking. */
#define LANE_POINTS INT64_C(8192)

/* ---- Memory ---- */

static int32_t lanes_for(const rbc_context *context, int64_t points) {
    const int64_t threads = rbc__pool_num_threads(context->pool);
    const int64_t useful = points / LANE_POINTS + 1;
    const int64_t lanes = useful < threads ? useful : threads;
    return (int32_t)(lanes < MAX_LANES ? lanes : MAX_LANES);
}

/* Whether each lane takes clouds of its own, and how many lanes there are. */
static bool lanes_take_clouds(const rbc_context *context, const rbc__voxelize_sparse_job *job,
                              int32_t *num_lanes) {
    const int64_t all = job->cloud.num_points * job->cloud.batch;
    *num_lanes = lanes_for(context, all);
    if (job->cloud.batch >= 2 * (int64_t)*num_lanes) {
        return true;
    }
    *num_lanes = lanes_for(context, job->cloud.num_points);
    return false;
}

/* Of a row that travels, else 0. */
static int64_t carried_row_bytes(const rbc__cloud *cloud) {
    if (cloud->num_features < 1 || cloud->num_features > MAX_ROW_BYTES ||
        !rbc__features_are_direct(cloud)) {
        return 0;
    }
    const int64_t row_bytes = cloud->num_features * rbc__float_bytes(cloud->feature_dtype);
    return row_bytes <= MAX_ROW_BYTES ? row_bytes : 0;
}

/* Gives a work its arrays; with a NULL base it only counts. Returns the bytes used. */
static uint64_t lay_out(const rbc__voxelize_sparse_job *job, char *base, int32_t num_lanes,
                        rbc__sparse_work *w) {
    const uint64_t n = (uint64_t)job->cloud.num_points;
    uint64_t used = 0;
    w->lanes = rbc__workspace_take(base, &used, (uint64_t)num_lanes * sizeof *w->lanes);
    w->xyz = rbc__workspace_take(base, &used, n * 12);
    w->entries = rbc__workspace_take(base, &used, n * sizeof *w->entries);
    w->table = rbc__workspace_take(base, &used, n * 16);
    w->voxels = rbc__workspace_take(base, &used, n * sizeof *w->voxels);
    w->leader = rbc__workspace_take(base, &used, n * 4);
    w->is_first = rbc__workspace_take(base, &used, n);
    w->number = rbc__workspace_take(base, &used, n * 4);
    w->counts = rbc__workspace_take(base, &used, n * 4);
    w->ends = rbc__workspace_take(base, &used, n * 4);
    w->order = rbc__workspace_take(base, &used, n * 4);
    w->listed = rbc__workspace_take(base, &used, n * 4);
    w->rows = rbc__workspace_take(base, &used, n * (uint64_t)carried_row_bytes(&job->cloud));
    return used;
}

uint64_t rbc__cpu_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                  const rbc__voxelize_sparse_job *job) {
    int32_t num_lanes;
    const bool takes_clouds = lanes_take_clouds(context, job, &num_lanes);
    rbc__sparse_work w;
    return takes_clouds ? lay_out(job, NULL, 1, &w) * (uint64_t)num_lanes
                        : lay_out(job, NULL, num_lanes, &w);
}

/* ---- From points to coordinates ---- */

void rbc__sparse_run_parts(rbc__sparse_work *w, int64_t num_parts, rbc__pool_part_fn part) {
    atomic_store_explicit(&w->next, 0, memory_order_relaxed);
    if (w->pool != NULL) {
        rbc__pool_run(w->pool, num_parts, part, w);
        return;
    }
    for (int64_t i = 0; i < num_parts; ++i) {
        part(w, i);
    }
}

int64_t rbc__sparse_share(const rbc__sparse_work *w, int64_t lane_index, int64_t n, int64_t *end) {
    const int64_t ranges = (n + RBC__VOXEL_RANGE - 1) / RBC__VOXEL_RANGE;
    const int64_t each = (ranges + w->num_lanes - 1) / w->num_lanes * RBC__VOXEL_RANGE;
    const int64_t first = lane_index * each < n ? lane_index * each : n;
    *end = n - first < each ? n : first + each;
    return first;
}

static void load_tile(const rbc__sparse_work *w, int64_t first, int64_t n,
                      rbc__voxel_range *range) {
    w->kernels->load(&w->job->cloud, w->cloud, first, n, range);
    if (w->is_f64 && w->job->cloud.point_dtype != RBC__F64) {
        for (int axis = 2; axis >= 0; --axis) {
            for (int64_t i = n - 1; i >= 0; --i) {
                range->f64[axis][i] = (double)range->f32[axis][i];
            }
        }
    }
}

static uint64_t hash_of(const int32_t *at) {
    const uint64_t xy = (uint64_t)(uint32_t)at[0] << 32 | (uint32_t)at[1];
    uint64_t h = (xy ^ (uint64_t)(uint32_t)at[2] * UINT64_C(0x9e3779b97f4a7c15)) *
                 UINT64_C(0xff51afd7ed558ccd);
    h ^= h >> 29;
    h *= UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 32;
}

static uint64_t partition_of(const rbc__sparse_work *w, uint64_t hash) {
    return w->partition_bits == 0 ? 0 : hash >> (64 - w->partition_bits);
}

/* Coordinates of a lane's points, and how many go to each partition. */
static void locate_part(void *job, int64_t index) {
    rbc__sparse_work *w = job;
    rbc__sparse_lane *l = &w->lanes[index];
    const int64_t total = w->job->cloud.num_points;
    int32_t *all_coordinates = w->job->point_coordinates;
    rbc__voxel_range range;
    int64_t end;
    l->num_inside = 0;
    memset(l->offsets, 0, sizeof l->offsets);
    const int64_t first = rbc__sparse_share(w, index, w->length, &end);
    for (int64_t i = first; i < end; i += RBC__VOXEL_RANGE) {
        const int64_t n = end - i < RBC__VOXEL_RANGE ? end - i : RBC__VOXEL_RANGE;
        load_tile(w, i, n, &range);
        l->num_inside += w->kernels->coordinates(&range, n, w->is_f64, &w->map, w->xyz + 3 * i);
        for (int64_t p = i; p < i + n; ++p) {
            const int32_t *at = w->xyz + 3 * p;
            l->offsets[partition_of(w, hash_of(at))] += at[0] != RBC__OUTSIDE;
            if (all_coordinates != NULL) {
                rbc__sparse_put_coordinates(w->job, at,
                                            all_coordinates + 3 * (w->cloud * total + p));
            }
        }
    }
    memset(w->is_first + first, 0, (size_t)(end - first));
    /* Points past the cloud's length. */
    for (int64_t p = index == 0 ? w->length : total; p < total; ++p) {
        if (all_coordinates != NULL) {
            memset(all_coordinates + 3 * (w->cloud * total + p), 0xff, 3 * sizeof(int32_t));
        }
    }
}

/* The size of a row is a constant to the caller where it matters. */
static inline void deal_points(const rbc__sparse_work *w, rbc__sparse_lane *l, int64_t first,
                               int64_t end, int64_t row_bytes) {
    const rbc__cloud *cloud = &w->job->cloud;
    for (int64_t p = first; p < end; ++p) {
        const int32_t *at = w->xyz + 3 * p;
        if (at[0] == RBC__OUTSIDE) {
            continue;
        }
        const uint32_t to = l->offsets[partition_of(w, hash_of(at))]++;
        w->entries[to] = (rbc__voxel){{at[0], at[1], at[2]}, (uint32_t)p};
        if (row_bytes > 0) {
            memcpy(w->rows + to * row_bytes, rbc__feature_address(cloud, w->cloud, p),
                   (size_t)row_bytes);
        }
    }
}

static void partition_part(void *job, int64_t index) {
    rbc__sparse_work *w = job;
    rbc__sparse_lane *l = &w->lanes[index];
    int64_t end;
    const int64_t first = rbc__sparse_share(w, index, w->length, &end);
    switch (w->has_rows ? carried_row_bytes(&w->job->cloud) : 0) {
    case 0:
        deal_points(w, l, first, end, 0);
        break;
    case 12:
        deal_points(w, l, first, end, 12);
        break;
    case 24:
        deal_points(w, l, first, end, 24);
        break;
    default:
        deal_points(w, l, first, end, carried_row_bytes(&w->job->cloud));
        break;
    }
}

/* From how many points each lane has for each partition to where they go. */
static void locate_partitions(rbc__sparse_work *w) {
    uint32_t sum = 0;
    for (int64_t p = 0; p < INT64_C(1) << w->partition_bits; ++p) {
        w->begins[p] = sum;
        for (int32_t i = 0; i < w->num_lanes; ++i) {
            const uint32_t count = w->lanes[i].offsets[p];
            w->lanes[i].offsets[p] = sum;
            sum += count;
        }
    }
    w->begins[INT64_C(1) << w->partition_bits] = sum;
}

/* ---- From coordinates to voxels ---- */

static bool same_cell(const rbc__voxel *a, const rbc__voxel *b) {
    return a->at[0] == b->at[0] && a->at[1] == b->at[1] && a->at[2] == b->at[2];
}

/* Finds the first entry of each entry's voxel, by a table of entries (plus one) with open
 * addressing, which has room for twice as many as there are. */
static void find_leaders(rbc__sparse_work *w, int64_t partition) {
    const uint32_t begin = w->begins[partition], end = w->begins[partition + 1];
    uint64_t slots = 1;
    while (slots < 2 * (uint64_t)(end - begin)) {
        slots *= 2;
    }
    uint32_t *table = w->table + 4 * (uint64_t)begin;
    if (begin != end) {
        memset(table, 0, slots * sizeof *table);
    }
    for (uint32_t i = begin; i < end; ++i) {
        uint64_t slot = hash_of(w->entries[i].at) & (slots - 1);
        while (table[slot] != 0 && !same_cell(&w->entries[table[slot] - 1], &w->entries[i])) {
            slot = (slot + 1) & (slots - 1);
        }
        if (table[slot] == 0) {
            table[slot] = i + 1;
            w->is_first[w->entries[i].point] = 1;
        }
        w->leader[i] = table[slot] - 1;
    }
}

/* Turns leaders into voxel numbers and counts, and lists the voxels; numbers from M on stay,
 * uncounted and not listed. */
static void number_points(rbc__sparse_work *w, int64_t partition) {
    int32_t *point_to_voxel = w->job->point_to_voxel;
    uint32_t *listed = w->listed + w->begins[partition], num_listed = 0;
    for (uint32_t i = w->begins[partition]; i < w->begins[partition + 1]; ++i) {
        const uint32_t point = w->entries[i].point;
        const bool is_first = w->leader[i] == i;
        const uint32_t number = is_first ? w->number[point] : w->leader[w->leader[i]];
        w->leader[i] = number;
        if (number < w->num_voxels) {
            listed[num_listed] = number;
            num_listed += is_first;
            ++w->counts[number];
            if (point_to_voxel != NULL) {
                point_to_voxel[w->cloud * w->job->cloud.num_points + point] = (int32_t)number;
            }
        }
    }
    w->num_listed[partition] = num_listed;
}

static void order_points(rbc__sparse_work *w, int64_t partition) {
    uint32_t at = w->begins[partition];
    for (uint32_t k = 0; k < w->num_listed[partition]; ++k) {
        const uint32_t voxel = w->listed[w->begins[partition] + k];
        w->ends[voxel] = at;
        at += (uint32_t)w->counts[voxel];
    }
    for (uint32_t i = w->begins[partition]; i < w->begins[partition + 1]; ++i) {
        if (w->leader[i] < w->num_voxels) {
            w->order[w->ends[w->leader[i]]++] = w->has_rows ? i : w->entries[i].point;
        }
    }
    rbc__sparse_reduce(w, partition);
}

static void each_partition(rbc__sparse_work *w, void (*f)(rbc__sparse_work *w, int64_t partition)) {
    for (;;) {
        const int64_t p = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed);
        if (p >= INT64_C(1) << w->partition_bits) {
            return;
        }
        f(w, p);
    }
}

static void leaders_part(void *job, int64_t index) {
    (void)index;
    each_partition(job, find_leaders);
}

static void numbers_part(void *job, int64_t index) {
    (void)index;
    each_partition(job, number_points);
}

static void order_part(void *job, int64_t index) {
    (void)index;
    each_partition(job, order_points);
}

/* Lists the voxels in the preset's order and tells each one's first point its number. */
static void number_voxels(rbc__sparse_work *w) {
    const rbc__voxelize_sparse_job *job = w->job;
    rbc__voxel *voxels = (rbc__voxel *)(void *)w->table;
    int64_t n = 0;
    for (int64_t p = 0; p < w->length; ++p) {
        const int32_t *at = w->xyz + 3 * p;
        if (w->is_first[p] != 0) {
            voxels[n++] = (rbc__voxel){{at[0], at[1], at[2]}, (uint32_t)p};
        }
    }
    if (!rbc__sparse_is_first_seen(job)) {
        voxels =
            rbc__voxels_sort(voxels, w->voxels, n, job->preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE);
    }
    for (int64_t v = 0; v < n; ++v) {
        w->number[voxels[v].point] = (uint32_t)v;
    }
    w->num_voxels = n < job->max_voxels ? n : job->max_voxels;
    w->found = voxels;
}

/* ---- A cloud ---- */

static void voxelize_cloud(rbc__sparse_work *w, int64_t cloud) {
    const rbc__voxelize_sparse_job *job = w->job;
    const int64_t total = job->cloud.num_points;
    w->cloud = cloud;
    w->length = rbc__cloud_length(&job->cloud, cloud);
    w->partition_bits = 0;
    while (1 << w->partition_bits < RBC__SPARSE_PARTITIONS &&
           w->length >> w->partition_bits > PARTITION_POINTS) {
        ++w->partition_bits;
    }
    if (job->point_to_voxel != NULL) {
        memset(job->point_to_voxel + cloud * total, 0xff, (size_t)total * sizeof(int32_t));
    }
    w->has_rows = job->features != NULL && job->voxels == NULL && job->point_indices == NULL &&
                  carried_row_bytes(&job->cloud) > 0;
    rbc__sparse_choose_map(w);
    rbc__sparse_run_parts(w, w->num_lanes, locate_part);
    int64_t num_inside = 0;
    for (int32_t i = 0; i < w->num_lanes; ++i) {
        num_inside += w->lanes[i].num_inside;
    }
    if (job->dropped != NULL) {
        job->dropped[cloud] = w->length - num_inside;
    }
    locate_partitions(w);
    rbc__sparse_run_parts(w, w->num_lanes, partition_part);
    rbc__sparse_run_parts(w, w->num_lanes, leaders_part);
    number_voxels(w);
    if (job->num_voxels != NULL) {
        job->num_voxels[cloud] = (int32_t)w->num_voxels;
    }
    memset(w->counts, 0, (size_t)w->num_voxels * sizeof *w->counts);
    rbc__sparse_run_parts(w, w->num_lanes, numbers_part);
    if (rbc__sparse_needs_order(job)) {
        rbc__sparse_run_parts(w, w->num_lanes, order_part);
    }
    rbc__sparse_write(w);
}

typedef struct clouds {
    rbc__sparse_work *works;
    atomic_llong next;
} clouds;

static void clouds_part(void *job, int64_t index) {
    clouds *c = job;
    for (;;) {
        const int64_t cloud = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);
        if (cloud >= c->works[index].job->cloud.batch) {
            return;
        }
        voxelize_cloud(&c->works[index], cloud);
    }
}

rbc_status rbc__cpu_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                    int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    (void)err;
    rbc__sparse_work works[MAX_LANES];
    int32_t num_lanes;
    const bool takes_clouds = lanes_take_clouds(context, job, &num_lanes);
    const int32_t num_works = takes_clouds ? num_lanes : 1;
    char *base = job->workspace;
    for (int32_t i = 0; i < num_works; ++i) {
        works[i] = (rbc__sparse_work){
            .job = job,
            .kernels = rbc__voxel_kernels_for(context),
            .pool = takes_clouds ? NULL : context->pool,
            .num_lanes = takes_clouds ? 1 : num_lanes,
            .is_f64 = job->cloud.point_dtype == RBC__F64 ||
                      job->preset == RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE,
        };
        base += lay_out(job, base, works[i].num_lanes, &works[i]);
    }
    if (takes_clouds) {
        clouds c = {.works = works};
        rbc__pool_run(context->pool, num_works, clouds_part, &c);
        return RBC_OK;
    }
    for (int64_t cloud = 0; cloud < job->cloud.batch; ++cloud) {
        voxelize_cloud(&works[0], cloud);
    }
    return RBC_OK;
}
