/* Cuts a sparse voxelization into launches; kernels/sparse_params.h says how it goes. */
#include <math.h>
#include <string.h>

#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/ops.h"
#include "cuda/sparse/sparse_params.h"
#include "cuda/voxelize/voxelize_tiling.h"

_Static_assert(sizeof(sparse_launch) <= 4096, "kernel parameters of every device");

enum {
    ALIGNMENT = 256,
    MIN_TILE = 512, /* points */
    MANY_BLOCKS_PER_MULTIPROCESSOR = 8,
    BOUNDS_BLOCKS_PER_MULTIPROCESSOR = 4,
    BOUNDS_POINTS = 1024,
    CLEAR_BYTES = 128,  /* by a thread */
    LISTED_POINTS = 64, /* points kept of a voxel that may be listed one by one */
    LISTED_PER_POINT = 16,
};

static uint32_t bits_up_to(uint32_t greatest) {
    return greatest == 0 ? 0 : 32 - (uint32_t)__builtin_clz(greatest);
}

static bool is_first_seen(const rbc__voxelize_sparse_job *job) {
    return job->preset == RBC_VOXEL_PRESET_MMCV || job->preset == RBC_VOXEL_PRESET_SPCONV;
}

/* What is done with the points of a voxel. */
static uint32_t choose_points(const rbc__voxelize_sparse_job *job) {
    const bool lists = job->voxels != NULL || job->point_indices != NULL;
    if (!is_first_seen(job)) {
        return SPARSE_SORTED;
    }
    if (!lists && job->features == NULL) {
        return job->counts != NULL ? SPARSE_COUNTED : SPARSE_IGNORED;
    }
    return job->max_points <= LISTED_POINTS &&
                   (lists ||
                    job->max_voxels * job->max_points <= job->cloud.num_points * LISTED_PER_POINT)
               ? SPARSE_LISTED
               : SPARSE_SORTED;
}

/* ---- from points to cells ---- */

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
        const float inverse = 1 / size;
        map->inverse32[axis] = isnormal(inverse) ? inverse : NAN;
        set_limit(map, axis, INT64_C(1) << 31);
        if (launch->rule == SPARSE_TRUNC) {
            map->size32[axis] = inverse;
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

/* ---- sizes ---- */

/* The bits of the number of cells, at most. */
static uint32_t key_bits(double cells) {
    int exponent;
    (void)frexp(cells * (1 + 0x1p-50), &exponent);
    return exponent < 96 ? (uint32_t)exponent : 96;
}

static void describe_cells(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const double n = (double)job->cloud.num_points;
    double cells = 1;
    for (int axis = 0; axis < 3; ++axis) {
        const double along = cells_along(job, axis);
        cells *= along;
        launch->grid[axis] = along < 0x1p32 ? (uint32_t)along : 0;
    }
    launch->exact = cells < 0x1p32 - 1;
    launch->simple =
        launch->rule == SPARSE_FLOOR && !launch->is_f64 && job->cloud.point_dtype == RBC__F32;
    if (!launch->first_seen) {
        launch->sort.passes = (uint32_t)rbc__divide_up(key_bits(cells), SPARSE_DIGIT_BITS);
        return;
    }
    launch->sort.passes =
        (uint32_t)rbc__divide_up(bits_up_to((uint32_t)launch->rows), SPARSE_DIGIT_BITS);
    launch->slots = 64;
    while ((double)launch->slots < n * 1.5) {
        launch->slots *= 2;
    }
    launch->is_dense = cells <= (double)launch->slots;
    if (launch->is_dense) {
        launch->slots = ((uint64_t)cells + 1) & ~UINT64_C(1);
    }
}

/* Items of a tile, where there are as many tiles as blocks keep busy. */
static int64_t tile_of(int64_t items, int64_t least, int64_t multiple) {
    const int64_t tile = rbc__divide_up(items, SPARSE_MAX_TILES);
    return rbc__round_up(rbc__max64(tile, least), multiple);
}

static void describe_tiles(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const int64_t n = job->cloud.num_points;
    launch->bit_words = rbc__divide_up(n, 32);
    launch->tile_words = tile_of(launch->bit_words, MIN_TILE / 32, SPARSE_THREADS / 32);
    launch->tiles = (uint32_t)rbc__divide_up(launch->bit_words, launch->tile_words);
    launch->tiles = launch->tiles > 0 ? launch->tiles : 1;
    launch->sort.tiles = (uint32_t)rbc__divide_up(n, SPARSE_SORT_TILE);
    launch->run_tiles = (uint32_t)rbc__divide_up(n + 1, SPARSE_RUN_TILE);
}

/* ---- the workspace ---- */

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

static void lay_out_sort(const rbc__voxelize_sparse_job *job, char *base, uint64_t *used,
                         sparse_launch *launch) {
    const int64_t batch = job->cloud.batch;
    const uint64_t n = (uint64_t)job->cloud.num_points, passes = launch->sort.passes;
    const uint64_t begin = *used;
    launch->sort.digits = take(base, used, batch, passes * SPARSE_DIGITS, 4);
    launch->zeroed = (char *)launch->sort.digits;
    launch->sort.chains =
        take(base, used, batch, passes * launch->sort.tiles, SPARSE_DIGITS * sizeof(uint32_t));
    if (!launch->first_seen) {
        launch->run_chain = take(base, used, batch, launch->run_tiles, 4);
    }
    launch->zeroed_bytes = *used - begin;
    for (int i = 0; i < 2; ++i) {
        launch->sort.entries[i] = take(base, used, batch, n, 8);
    }
    launch->starts = take(base, used, batch, (uint64_t)launch->rows + 1, 4);
}

/* Gives the launch its arrays; with a NULL base it only counts. Returns the bytes used. */
static uint64_t lay_out(const rbc__voxelize_sparse_job *job, char *base, sparse_launch *launch) {
    const int64_t batch = job->cloud.batch;
    const uint64_t n = (uint64_t)job->cloud.num_points;
    uint64_t used = 0;
    launch->states = take(base, &used, batch, 1, sizeof *launch->states);
    if (launch->origin_from_cloud || launch->scale_from_cloud) {
        launch->maps = take(base, &used, batch, 1, sizeof *launch->maps);
    }
    if (launch->first_seen) {
        launch->table = take(base, &used, batch, launch->slots, 8);
        launch->bits = take(base, &used, batch, (uint64_t)launch->bit_words, 4);
        launch->word_starts = take(base, &used, batch, (uint64_t)launch->bit_words, 4);
        launch->tile_counts = take(base, &used, batch, launch->tiles, 4);
        launch->slot_of = take(base, &used, batch, n, 4);
    }
    if (launch->points == SPARSE_SORTED) {
        lay_out_sort(job, base, &used, launch);
    } else if (launch->points == SPARSE_LISTED) {
        launch->lists = (uint32_t *)(void *)job->point_indices;
        if (launch->lists == NULL) {
            const uint64_t items = (uint64_t)job->max_voxels * (uint64_t)job->max_points;
            launch->lists = take(base, &used, batch, items, 4);
        }
    }
    return used;
}

static void describe_sizes(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    memset(launch, 0, sizeof *launch);
    launch->first_seen = is_first_seen(job);
    launch->points = choose_points(job);
    launch->rows =
        job->max_voxels < job->cloud.num_points ? job->max_voxels : job->cloud.num_points;
    describe_map(job, launch);
    describe_cells(job, launch);
    describe_tiles(job, launch);
}

uint64_t rbc__cuda_voxelize_sparse_workspace_bytes(rbc_context *context,
                                                   const rbc__voxelize_sparse_job *job) {
    (void)context;
    sparse_launch launch;
    describe_sizes(job, &launch);
    return lay_out(job, NULL, &launch);
}

/* ---- the launch ---- */

static void describe(const rbc__voxelize_sparse_job *job, sparse_launch *launch) {
    const rbc__cloud *from = &job->cloud;
    describe_sizes(job, launch);
    (void)lay_out(job, job->workspace, launch);
    launch->cloud = rbc__voxel_cloud_of(from);
    launch->batch = from->batch;
    launch->is_zyx = launch->first_seen;
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
    return start(r, kernel, rbc__divide_up(items, per_block), SPARSE_THREADS);
}

static rbc_status clear(run *r) {
    const sparse_launch *launch = &r->launch;
    double bytes = (double)launch->slots * 8 + (double)launch->zeroed_bytes;
    bytes += launch->points == SPARSE_COUNTED ? (double)launch->max_voxels * 4
             : launch->points == SPARSE_LISTED
                 ? (double)(launch->max_voxels * launch->max_points) * 4
                 : 0;
    const double wanted = bytes * (double)launch->batch / (SPARSE_THREADS * CLEAR_BYTES) + 1;
    const int64_t most = (int64_t)r->queue->multiprocessors * MANY_BLOCKS_PER_MULTIPROCESSOR;
    const rbc__cuda_shape shape = {
        .blocks = wanted < (double)most ? (int64_t)wanted : most,
        .blocks_y = 1,
        .threads = SPARSE_THREADS,
    };
    return rbc__cuda_launch(r->queue, RBC__CUDA_sparse_clear, shape, launch, r->err);
}

/* Maps, and boxes of cells, that come from the clouds. */
static rbc_status look_at_clouds(run *r) {
    if (r->launch.maps == NULL && (r->launch.first_seen || r->launch.exact)) {
        return RBC_OK;
    }
    const int64_t wanted = rbc__divide_up(r->launch.cloud.num_points, BOUNDS_POINTS);
    const int64_t most = (int64_t)r->queue->multiprocessors * BOUNDS_BLOCKS_PER_MULTIPROCESSOR;
    RBC__TRY(start(r, RBC__CUDA_sparse_bounds, wanted < most ? wanted : most, SPARSE_THREADS));
    const rbc__cuda_shape shape = {
        .blocks = rbc__divide_up(r->launch.batch, SPARSE_THREADS),
        .blocks_y = 1,
        .threads = SPARSE_THREADS,
    };
    return rbc__cuda_launch(r->queue, RBC__CUDA_sparse_map, shape, &r->launch, r->err);
}

/* Sorts points by keys that `key` makes, a word after the other. */
static rbc_status sort(run *r, rbc__cuda_kernel key) {
    sparse_sort *which = &r->launch.sort;
    for (which->pass = 0; which->pass < which->passes; ++which->pass) {
        if (which->pass % SPARSE_WORD_PASSES == 0) {
            RBC__TRY(start(r, key, which->tiles, SPARSE_SORT_THREADS));
        }
        RBC__TRY(start(r, RBC__CUDA_sparse_pass, which->tiles, SPARSE_SORT_THREADS));
    }
    return RBC_OK;
}

static rbc_status find_by_key(run *r) {
    RBC__TRY(sort(r, r->launch.simple ? RBC__CUDA_sparse_key : RBC__CUDA_sparse_key_generic));
    return start(r, RBC__CUDA_sparse_run, r->launch.run_tiles, SPARSE_THREADS);
}

static rbc_status find_first_seen(run *r, const rbc__voxelize_sparse_job *job) {
    const int64_t n = job->cloud.num_points;
    const uint32_t points = r->launch.points;
    RBC__TRY(start_each(r,
                        r->launch.simple && r->launch.exact ? RBC__CUDA_sparse_insert
                                                            : RBC__CUDA_sparse_insert_generic,
                        n, SPARSE_THREADS));
    RBC__TRY(start(r, RBC__CUDA_sparse_flag, r->launch.tiles, SPARSE_THREADS));
    RBC__TRY(start(r, r->launch.simple ? RBC__CUDA_sparse_number : RBC__CUDA_sparse_number_generic,
                   r->launch.tiles, SPARSE_THREADS));
    if (job->point_to_voxel != NULL || points == SPARSE_LISTED || points == SPARSE_COUNTED) {
        RBC__TRY(start_each(r, RBC__CUDA_sparse_assign, n, SPARSE_THREADS));
    }
    if (points == SPARSE_SORTED) {
        RBC__TRY(sort(r, RBC__CUDA_sparse_key_voxels));
        RBC__TRY(start_each(r, RBC__CUDA_sparse_start, n, SPARSE_THREADS));
    }
    return RBC_OK;
}

static rbc_status copy_features(run *r, const rbc__voxelize_sparse_job *job) {
    const rbc__cloud *cloud = &job->cloud;
    const bool vec16s = job->voxels != NULL && rbc__voxel_rows_are_vec16s(cloud, job->voxels);
    const int64_t bytes = rbc__dtype_bytes(cloud->feature_dtype);
    const int64_t slices = job->voxels == NULL ? 1
                           : vec16s            ? cloud->num_features * bytes / 16
                                               : cloud->num_features;
    if (job->voxels == NULL && r->launch.points == SPARSE_LISTED) {
        return RBC_OK; /* the indices are listed in their output */
    }
    return start_each(r, vec16s ? RBC__CUDA_sparse_copy : RBC__CUDA_sparse_copy_generic,
                      job->max_voxels * job->max_points * slices, SPARSE_THREADS);
}

static rbc_status reduce_features(run *r, const rbc__voxelize_sparse_job *job) {
    /* [sums][type] */
    static const rbc__cuda_kernel values[2][RBC__NUM_DTYPES] = {
        {RBC__CUDA_FLOATS_OF(sparse_extreme_generic)}, {RBC__CUDA_FLOATS_OF(sparse_sum_generic)}};
    static const rbc__cuda_kernel by_vec16[2][RBC__NUM_DTYPES] = {
        {[RBC__F32] = RBC__CUDA_sparse_extreme_f32,
         [RBC__F16] = RBC__CUDA_sparse_extreme_f16,
         [RBC__BF16] = RBC__CUDA_sparse_extreme_bf16},
        {[RBC__F32] = RBC__CUDA_sparse_sum_f32,
         [RBC__F16] = RBC__CUDA_sparse_sum_f16,
         [RBC__BF16] = RBC__CUDA_sparse_sum_bf16}};
    static const rbc__cuda_kernel threes[2] = {RBC__CUDA_sparse_extreme_three_f32,
                                               RBC__CUDA_sparse_sum_three_f32};
    const rbc__cloud *cloud = &job->cloud;
    const rbc__dtype dtype = cloud->feature_dtype;
    const bool vec16s = dtype != RBC__F64 && rbc__voxel_rows_are_vec16s(cloud, job->features);
    const bool three =
        dtype == RBC__F32 && cloud->num_features == 3 && cloud->feature_stride_bytes == 4;
    const bool sums = job->reduce == RBC_VOXEL_SUM || job->reduce == RBC_VOXEL_MEAN;
    const rbc__cuda_kernel kernel = three    ? threes[sums]
                                    : vec16s ? by_vec16[sums][dtype]
                                             : values[sums][dtype];
    const int64_t slices = three    ? 1
                           : vec16s ? cloud->num_features * rbc__dtype_bytes(dtype) / 16
                                    : cloud->num_features;
    return start_each(r, kernel, job->max_voxels * slices, SPARSE_REDUCE_SHARE);
}

static rbc_status write_voxels(run *r, const rbc__voxelize_sparse_job *job) {
    RBC__TRY(start_each(r, RBC__CUDA_sparse_rows, job->max_voxels, SPARSE_THREADS));
    if (job->point_indices != NULL || job->voxels != NULL) {
        RBC__TRY(copy_features(r, job));
    }
    return job->features != NULL ? reduce_features(r, job) : RBC_OK;
}

static rbc_status run_all(run *r, const rbc__voxelize_sparse_job *job) {
    RBC__TRY(clear(r));
    RBC__TRY(look_at_clouds(r));
    RBC__TRY(r->launch.first_seen ? find_first_seen(r, job) : find_by_key(r));
    return write_voxels(r, job);
}

rbc_status rbc__cuda_voxelize_sparse(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                     int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)context;
    if (job->cloud.batch == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, cu_stream, &queue, err));
    run r = {.queue = &queue, .err = err};
    describe(job, &r.launch);
    return rbc__cuda_leave(&queue, run_all(&r, job));
}
