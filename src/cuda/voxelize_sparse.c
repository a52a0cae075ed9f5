/* Cuts a sparse voxelization into launches; kernels/sparse_params.h says how it goes. */
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "cuda/kernels/sparse_params.h"
#include "cuda/ops.h"

_Static_assert(sizeof(sparse_launch) <= 4096, "kernel parameters of every device");

enum {
    ALIGNMENT = 256,
    MIN_TILE = 512, /* points */
    MANY_BLOCKS_PER_MULTIPROCESSOR = 8,
    BOUNDS_BLOCKS = 128, /* of a cloud, at most */
    BOUNDS_POINTS = 2048,
    CLEAR_CHUNKS = 8, /* of 16 bytes, by a thread */
};

static int64_t divide_up(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

static uint32_t bits_up_to(uint32_t greatest) {
    return greatest == 0 ? 0 : 32 - (uint32_t)__builtin_clz(greatest);
}

static bool is_first_seen(const rbc__voxelize_sparse_job *job) {
    return job->preset == RBC_VOXEL_PRESET_MMCV || job->preset == RBC_VOXEL_PRESET_SPCONV;
}

static bool needs_order(const rbc__voxelize_sparse_job *job) {
    return job->features != NULL || job->voxels != NULL || job->point_indices != NULL;
}

/* ---- from points to cells ------------------------------------------------------------------- */

static float limit_f32(int64_t cells) {
    const float limit = (float)cells;
    return (double)limit < (double)cells ? nextafterf(limit, INFINITY) : limit;
}

static void set_limit(sparse_map *map, int axis, int64_t cells) {
    map->limit[axis] = (double)cells;
    map->limit32[axis] = limit_f32(cells);
}

/* All that does not come from the cloud itself. */
static void describe_map(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const bool is_narrow = is_first_seen(job);
    sparse_map *map = &launch->map;
    launch->rule = job->preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE ? SPARSE_TRUNC
                   : job->preset == RBC_VOXEL_PRESET_KAOLIN        ? SPARSE_ROUND
                                                                   : SPARSE_FLOOR;
    launch->is_f64 =
        job->cloud.point_dtype == RBC__F64 || job->preset == RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE;
    launch->origin_from_cloud = job->origin_from_cloud;
    launch->scale_from_cloud = job->preset == RBC_VOXEL_PRESET_KAOLIN && job->scale == 0;
    for (int axis = 0; axis < 3; ++axis) {
        const float size = (float)job->voxel_size[axis];
        map->origin32[axis] = (float)job->origin[axis];
        map->origin[axis] =
            is_narrow || !launch->is_f64 ? (double)map->origin32[axis] : job->origin[axis];
        map->size32[axis] = size;
        map->size[axis] = is_narrow ? (double)size : job->voxel_size[axis];
        set_limit(map, axis, INT64_C(1) << 31);
        if (launch->rule == SPARSE_TRUNC) {
            map->size32[axis] = 1 / size;
            map->size[axis] = 1 / job->voxel_size[axis];
            map->extra[axis] = job->upper[axis];
            map->extra32[axis] = (float)job->upper[axis];
        } else if (launch->rule == SPARSE_ROUND) {
            map->size32[axis] = (float)job->scale;
            map->size[axis] = job->scale;
            map->extra[axis] = (double)(job->grid[axis] - 1);
            map->extra32[axis] = (float)map->extra[axis];
            set_limit(map, axis, job->grid[axis]);
        } else if (job->grid[axis] > 0) {
            set_limit(map, axis, job->grid[axis]);
        } else {
            map->extra[axis] = -0x1.fffffffcp30;
            map->extra32[axis] = -0x1.fffffep30F;
        }
        launch->half_voxel[axis] =
            job->preset == RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE ? job->voxel_size[axis] * 0.5 : 0.0;
    }
}

/* Cells along an axis: at least as many as there can be, 2^31 where nothing bounds them. */
static double cells_along(const rbc__voxelize_sparse_job *job, int axis) {
    if (job->preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE) {
        const double cells = (job->upper[axis] - job->origin[axis]) / job->voxel_size[axis];
        /* With room for the rounding of f32. */
        const double most = cells > 0 ? floor(cells * (1 + 0x1p-18)) + 2 : 2;
        return most < 0x1p31 ? most : 0x1p31;
    }
    return job->grid[axis] > 0 ? (double)job->grid[axis] : 0x1p32;
}

/* ---- sizes ---------------------------------------------------------------------------------- */

/* The bits of a voxel's key by place, at most. */
static uint32_t key_bits(const rbc__voxelize_sparse_job *job) {
    uint32_t bits = 0;
    for (int axis = 0; axis < 3; ++axis) {
        bits += bits_up_to((uint32_t)(cells_along(job, axis) - 1));
    }
    return bits > 0 ? bits : 1;
}

static void describe_table(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const uint64_t wanted = (uint64_t)job->cloud.num_points * 3 / 2;
    launch->slots = 64;
    while (launch->slots < wanted) {
        launch->slots *= 2;
    }
    double cells = 1;
    for (int axis = 0; axis < 3; ++axis) {
        const double along = cells_along(job, axis);
        cells *= along;
        launch->grid[axis] = along < 0x1p32 ? (uint32_t)along : 0;
    }
    launch->exact = cells < 0x1p32;
    launch->direct = cells <= (double)launch->slots;
    if (launch->direct) {
        launch->slots = ((uint64_t)cells + 1) & ~UINT64_C(1);
    }
    launch->wide = !launch->exact;
    launch->by_place.bits = launch->exact ? bits_up_to((uint32_t)(cells - 1)) : 0;
    if (launch->exact && launch->by_place.bits == 0) {
        launch->by_place.bits = 1;
    }
}

static void describe_tiles(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const int64_t n = job->cloud.num_points > 0 ? job->cloud.num_points : 1;
    int64_t tile = divide_up(n, SPARSE_MAX_TILES);
    tile = tile > MIN_TILE ? tile : MIN_TILE;
    launch->tile_points = divide_up(tile, SPARSE_THREADS) * SPARSE_THREADS;
    launch->tiles = (uint32_t)divide_up(n, launch->tile_points);
    launch->first_words = divide_up(job->cloud.num_points, 32);
    launch->max_starts =
        (job->max_voxels < job->cloud.num_points ? job->max_voxels : job->cloud.num_points) + 1;
    tile = divide_up(n, SPARSE_SORT_MAX_TILES);
    tile = divide_up(tile, SPARSE_SORT_TILE) * SPARSE_SORT_TILE;
    launch->by_place.of_voxels = 1;
    launch->by_place.tile_entries = launch->by_voxel.tile_entries = tile;
    launch->by_place.tiles = launch->by_voxel.tiles = (uint32_t)divide_up(n, tile);
}

/* ---- the workspace -------------------------------------------------------------------------- */

/* The next `count` items of each cloud; more bytes than there are come out as UINT64_MAX. */
static void *take(char *base, uint64_t *used, int64_t batch, uint64_t count, uint64_t item_bytes) {
    uint64_t bytes;
    char *at = base == NULL ? NULL : base + *used;
    if (__builtin_mul_overflow(count * item_bytes, (uint64_t)batch, &bytes) ||
        __builtin_add_overflow(bytes, ALIGNMENT - 1, &bytes) ||
        __builtin_add_overflow(*used, bytes & ~(uint64_t)(ALIGNMENT - 1), used)) {
        *used = UINT64_MAX;
    }
    return at;
}

/* Gives the launch its arrays; with a NULL base it only counts. Returns the bytes used. */
static uint64_t lay_out(const rbc__voxelize_sparse_job *job, char *base, sparse_launch *launch) {
    const int64_t batch = job->cloud.batch;
    const uint64_t n = (uint64_t)job->cloud.num_points;
    const bool sorts_voxels = !is_first_seen(job), sorts_points = needs_order(job);
    uint64_t used = 0;
    launch->states = take(base, &used, batch, 1, sizeof *launch->states);
    if (launch->origin_from_cloud || launch->scale_from_cloud) {
        launch->maps = take(base, &used, batch, 1, sizeof *launch->maps);
    }
    launch->table = take(base, &used, batch, launch->slots, 8);
    launch->slot_of = take(base, &used, batch, n, 4);
    launch->first_bits = take(base, &used, batch, (uint64_t)launch->first_words, 4);
    launch->tile_counts = take(base, &used, batch, launch->tiles, 4);
    if (sorts_voxels || sorts_points) {
        const uint64_t entry_bytes = sorts_voxels && launch->wide ? 16 : 8;
        uint32_t *bins =
            take(base, &used, batch, (uint64_t)launch->by_place.tiles * SPARSE_DIGITS, 4);
        for (int i = 0; i < 2; ++i) {
            void *buffer = take(base, &used, batch, n, entry_bytes);
            launch->by_place.buffers[i] = buffer;
            launch->by_voxel.buffers[i] = buffer;
        }
        launch->by_place.bins = launch->by_voxel.bins = bins;
    }
    if (sorts_points) {
        launch->starts = take(base, &used, batch, (uint64_t)launch->max_starts, 4);
    }
    return used;
}

static void describe_sizes(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    memset(launch, 0, sizeof *launch);
    describe_map(job, launch);
    describe_table(job, launch);
    describe_tiles(job, launch);
}

uint64_t rbc__cuda_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                   const rbc__voxelize_sparse_job *job) {
    (void)context;
    sparse_launch launch;
    describe_sizes(job, &launch);
    return lay_out(job, NULL, &launch);
}

/* ---- the launch ----------------------------------------------------------------------------- */

static void describe(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const rbc__cloud *from = &job->cloud;
    describe_sizes(job, launch);
    (void)lay_out(job, job->workspace, launch);
    launch->cloud = (voxel_cloud){
        .points = from->points,
        .batch_stride = from->points_batch_stride_bytes,
        .point_stride = from->points_stride_bytes,
        .axis_stride = from->axis_stride_bytes,
        .lengths = from->lengths,
        .lengths_stride = from->lengths_stride_bytes,
        .num_points = from->num_points,
        .lengths_are_i64 = from->lengths_are_i64,
        .dtype = (uint32_t)from->point_dtype,
    };
    launch->batch = from->batch;
    launch->is_zyx = is_first_seen(job);
    launch->first_seen = is_first_seen(job);
    launch->z_first = job->preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE;
    launch->features = from->features;
    launch->features_batch_stride = from->features_batch_stride_bytes;
    launch->features_stride = from->features_stride_bytes;
    launch->feature_stride = from->feature_stride_bytes;
    launch->num_features = from->num_features;
    launch->feature_dtype = (uint32_t)from->feature_dtype;
    launch->reduce = (uint32_t)job->reduce;
    launch->max_points = job->max_points;
    launch->max_voxels = job->max_voxels;
    launch->coordinates = job->coordinates;
    launch->num_voxels = job->num_voxels;
    launch->counts = job->counts;
    launch->out_features = job->features;
    launch->voxels = job->voxels;
    launch->point_indices = job->point_indices;
    launch->point_to_voxel = job->point_to_voxel;
    launch->point_coordinates = job->point_coordinates;
    launch->dropped = (unsigned long long *)job->dropped;
    launch->origins = job->origins;
}

typedef struct run {
    rbc__cuda_queue *queue;
    sparse_launch launch;
    rbc_error *err;
} run;

/* `blocks` for each cloud. */
static rbc_status start(run *r, rbc__cuda_kernel kernel, int64_t blocks, uint32_t threads) {
    const rbc__cuda_shape shape = {
        .blocks = blocks * r->launch.batch,
        .blocks_y = 1,
        .threads = threads,
    };
    return rbc__cuda_launch(r->queue, kernel, shape, &r->launch, r->err);
}

static rbc_status start_each(run *r, rbc__cuda_kernel kernel, int64_t items, int64_t per_block) {
    return start(r, kernel, divide_up(items, per_block), SPARSE_THREADS);
}

static rbc_status clear(run *r) {
    const int64_t chunks = (int64_t)(r->launch.slots / 2) * r->launch.batch;
    const int64_t wanted = divide_up(chunks, (int64_t)SPARSE_THREADS * CLEAR_CHUNKS);
    const int64_t most = (int64_t)r->queue->multiprocessors * MANY_BLOCKS_PER_MULTIPROCESSOR;
    const rbc__cuda_shape shape = {
        .blocks = wanted < most ? wanted : most,
        .blocks_y = 1,
        .threads = SPARSE_THREADS,
    };
    return rbc__cuda_launch(r->queue, RBC__CUDA_sparse_clear, shape, &r->launch, r->err);
}

static rbc_status look_at_clouds(run *r) {
    if (r->launch.maps == NULL) {
        return RBC_OK;
    }
    const int64_t wanted = divide_up(r->launch.cloud.num_points, BOUNDS_POINTS);
    RBC__TRY(start(r, RBC__CUDA_sparse_bounds, wanted < BOUNDS_BLOCKS ? wanted : BOUNDS_BLOCKS,
                   SPARSE_THREADS));
    const rbc__cuda_shape shape = {
        .blocks = divide_up(r->launch.batch, SPARSE_THREADS),
        .blocks_y = 1,
        .threads = SPARSE_THREADS,
    };
    return rbc__cuda_launch(r->queue, RBC__CUDA_sparse_map, shape, &r->launch, r->err);
}

static rbc_status sort(run *r, sparse_sort *which, uint32_t bits, rbc__cuda_kernel count,
                       rbc__cuda_kernel move) {
    for (which->shift = 0; which->shift < bits; which->shift += SPARSE_DIGIT_BITS) {
        RBC__TRY(start(r, count, which->tiles, SPARSE_SORT_THREADS));
        RBC__TRY(start(r, move, which->tiles, SPARSE_SORT_THREADS));
    }
    return RBC_OK;
}

static rbc_status number_voxels(run *r, const rbc__voxelize_sparse_job *job) {
    const int64_t n = job->cloud.num_points;
    RBC__TRY(start(r, RBC__CUDA_sparse_number, r->launch.tiles, SPARSE_THREADS));
    if (r->launch.first_seen) {
        return RBC_OK;
    }
    if (r->launch.wide) {
        RBC__TRY(start_each(r, RBC__CUDA_sparse_key, n, SPARSE_THREADS));
        RBC__TRY(sort(r, &r->launch.by_place, key_bits(job), RBC__CUDA_sparse_count_wide_places,
                      RBC__CUDA_sparse_move_wide_places));
    } else {
        RBC__TRY(sort(r, &r->launch.by_place, r->launch.by_place.bits,
                      RBC__CUDA_sparse_count_places, RBC__CUDA_sparse_move_places));
    }
    return start_each(r, RBC__CUDA_sparse_rank, n, SPARSE_THREADS);
}

static rbc_status assign_points(run *r, const rbc__voxelize_sparse_job *job) {
    const int64_t n = job->cloud.num_points;
    if (job->point_to_voxel != NULL || job->counts != NULL || needs_order(job)) {
        RBC__TRY(start_each(r, RBC__CUDA_sparse_assign, n, SPARSE_THREADS));
    }
    if (!needs_order(job)) {
        return RBC_OK;
    }
    RBC__TRY(sort(r, &r->launch.by_voxel, bits_up_to((uint32_t)(r->launch.max_starts - 1)),
                  RBC__CUDA_sparse_count_points, RBC__CUDA_sparse_move_points));
    return start_each(r, RBC__CUDA_sparse_start, n, SPARSE_THREADS);
}

static rbc_status write_voxels(run *r, const rbc__voxelize_sparse_job *job) {
    const int64_t m = job->max_voxels;
    RBC__TRY(start_each(r, RBC__CUDA_sparse_rows, m, SPARSE_THREADS));
    if (job->point_indices != NULL || job->voxels != NULL) {
        RBC__TRY(start_each(r, RBC__CUDA_sparse_list, m, SPARSE_THREADS / 32));
    }
    if (job->features == NULL) {
        return RBC_OK;
    }
    static const int kernels[] = {
        [RBC__F32] = RBC__CUDA_sparse_sum_f32,
        [RBC__F64] = RBC__CUDA_sparse_sum_f64,
        [RBC__F16] = RBC__CUDA_sparse_sum_f16,
        [RBC__BF16] = RBC__CUDA_sparse_sum_bf16,
    };
    const bool sums = job->reduce == RBC_VOXEL_SUM || job->reduce == RBC_VOXEL_MEAN;
    const int kernel = kernels[job->cloud.feature_dtype] + (sums ? 0 : 1);
    return start_each(r, (rbc__cuda_kernel)kernel, m * job->cloud.num_features, SPARSE_THREADS);
}

static rbc_status run_all(run *r, const rbc__voxelize_sparse_job *job) {
    RBC__TRY(clear(r));
    RBC__TRY(look_at_clouds(r));
    RBC__TRY(start_each(r, RBC__CUDA_sparse_insert, job->cloud.num_points, SPARSE_THREADS));
    RBC__TRY(start(r, RBC__CUDA_sparse_flag, r->launch.tiles, SPARSE_THREADS));
    RBC__TRY(number_voxels(r, job));
    RBC__TRY(assign_points(r, job));
    return write_voxels(r, job);
}

rbc_status rbc__cuda_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                     int32_t device_id, void *stream, rbc_error *err) {
    (void)context;
    if (job->cloud.batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    run r = {.queue = &queue, .err = err};
    describe(job, &r.launch);
    return rbc__cuda_leave(&queue, run_all(&r, job));
}
