#include <string.h>

#include "core/error.h"
#include "cuda/kernels/resample_params.h"
#include "cuda/ops.h"

_Static_assert(CLOCK_I64 == (int)RBC__TIME_I64 && CLOCK_F64 == (int)RBC__TIME_F64 &&
                   CLOCK_F32 == (int)RBC__TIME_F32,
               "time types");
_Static_assert(MODE_LINEAR == (int)RBC_RESAMPLE_LINEAR && MODE_MIN == (int)RBC_RESAMPLE_MIN,
               "resample modes");
_Static_assert(OUTSIDE_HOLD == (int)RBC_OUTSIDE_HOLD &&
                   OUTSIDE_EXTRAPOLATE == (int)RBC_OUTSIDE_EXTRAPOLATE,
               "outside policies");
_Static_assert(RBC__F32 == 0 && RBC__F64 == 1 && RBC__F16 == 2 && RBC__BF16 == 3,
               "kernels of one kind are listed in this order");
_Static_assert(sizeof(resample_launch_runs) <= 4096, "kernel parameters of every device");

enum {
    BRACKET_BYTES = 15 * 1024, /* shared memory for samples and weights */
    CACHE_BYTES = 32 * 1024,   /* and for stamps */
    CHUNK_BYTES = 16,
    MAX_ROW_BYTES = 1 << 22, /* so that offsets in a tile are 31-bit */
    THREADS = 256,
    BLOCKS_AT_ONCE = 4, /* on a multiprocessor */
    SMALL_TILE_BYTES = 2 * THREADS * CHUNK_BYTES,
    LARGE_TILE_BYTES = 128 * 1024,
    ONE_TURN_BYTES = 192 * 1024,
    LARGE_THREADS = 512,
};

static int64_t at_least(int64_t value, int64_t least) {
    return value > least ? value : least;
}

static int64_t at_most(int64_t value, int64_t most) {
    return value < most ? value : most;
}

static int64_t stamp_bytes(rbc__time_type type) {
    return type == RBC__TIME_F32 ? 4 : 8;
}

static bool skips_missing(const rbc__resample_job *job, const rbc__resample_source *source) {
    return (source->flags & RBC_NAN_IS_MISSING) != 0 && rbc__dtype_is_float(job->dtype);
}

static int64_t num_columns(const rbc__resample_job *job) {
    int64_t columns = 0;
    for (int32_t i = 0; i < job->num_sources; ++i) {
        columns += job->sources[i].num_channels;
    }
    return columns;
}

/* ---- describing a job to the kernels -------------------------------------------------------- */

static void set_divisor(resample_launch *launch, uint32_t units) {
    uint32_t log = 0;
    while ((UINT64_C(1) << log) < units) {
        ++log;
    }
    launch->row_units = units;
    launch->row_magic = (uint32_t)((UINT64_C(1) << (31 + log)) / units + 1);
    launch->row_shift = 31 + log;
}

static void set_tile(resample_launch *launch, int64_t tile) {
    launch->tile = (uint32_t)tile;
    launch->num_tiles = (uint32_t)((launch->num_targets + tile - 1) / tile);
}

static void set_nan(resample_launch *launch, rbc__dtype dtype) {
    for (int i = 0; i < 4; ++i) {
        launch->nan_words[i] = dtype == RBC__F32                   ? 0x7fc00000u
                               : dtype == RBC__F16                 ? 0x7e007e00u
                               : dtype == RBC__BF16                ? 0x7fc07fc0u
                               : dtype == RBC__F64 && (i & 1) == 1 ? 0x7ff80000u
                                                                   : 0u;
    }
}

static uint32_t mode_bits(const rbc__resample_source *source) {
    uint32_t bits = 0;
    for (int32_t i = 0; i < source->num_runs; ++i) {
        bits |= 1u << source->runs[i].mode;
    }
    return bits;
}

/* Columns count from `first_column` on, in units of `unit_bytes`. */
static resample_source describe(const rbc__resample_job *job, const rbc__resample_source *from,
                                int64_t first_column, int64_t unit_bytes) {
    const int64_t begin = from->out_channel - first_column;
    return (resample_source){
        .values = from->values,
        .batch_stride = from->batch_stride_bytes,
        .sample_stride = from->sample_stride_bytes,
        .channel_stride = from->channel_stride_bytes,
        .times = from->times,
        .times_batch_stride = from->times_batch_stride_bytes,
        .times_stride = from->times_stride_bytes,
        .lengths = from->lengths,
        .lengths_stride = from->lengths_stride_bytes,
        .num_samples32 = (uint32_t)at_most(from->num_samples, INT32_MAX),
        .num_samples = from->num_samples,
        .max_gap = {from->max_gap_ns, from->max_gap},
        .tolerance = {from->tolerance_ns, from->tolerance},
        .out_begin = (uint32_t)(begin * unit_bytes),
        .out_end = (uint32_t)((begin + from->num_channels) * unit_bytes),
        .lengths_are_i64 = from->lengths_are_i64,
        .outside = (uint32_t)from->outside,
        .mode = from->num_runs > 0 ? (uint32_t)from->runs[0].mode : MODE_HOLD,
        .modes = mode_bits(from),
        .nan_is_missing = skips_missing(job, from),
    };
}

static resample_launch describe_job(const rbc__resample_job *job) {
    resample_launch launch = {
        .targets = job->targets,
        .targets_batch_stride = job->targets_batch_stride_bytes,
        .targets_stride = job->targets_stride_bytes,
        .out = job->out,
        .out_batch_stride = job->out_batch_stride_bytes,
        .out_target_stride = job->out_target_stride_bytes,
        .out_channel_stride = job->out_channel_stride_bytes,
        .valid = job->valid,
        .valid_batch_stride = job->valid_batch_stride_bytes,
        .valid_target_stride = job->valid_target_stride_bytes,
        .valid_source_stride = job->valid_source_stride_bytes,
        .dt = job->dt,
        .dt_batch_stride = job->dt_batch_stride_bytes,
        .dt_target_stride = job->dt_target_stride_bytes,
        .num_targets = job->num_targets,
        .num_targets32 = (uint32_t)at_most(job->num_targets, INT32_MAX),
        .time_type = (uint32_t)job->time_type,
        .num_sources = (uint32_t)job->num_sources,
        .element_bytes = (uint32_t)rbc__dtype_bytes(job->dtype),
    };
    set_nan(&launch, job->dtype);
    return launch;
}

/* Gives each source its part of the shared memory for stamps; returns the bytes used. */
static uint32_t share_cache(resample_source *sources, int32_t count, rbc__time_type type) {
    uint32_t used = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int64_t left = (CACHE_BYTES - (int64_t)used) / (count - i);
        const int64_t wanted = at_most(sources[i].num_samples, CACHE_BYTES) * stamp_bytes(type);
        const int64_t bytes =
            at_most((wanted + CHUNK_BYTES - 1) & ~INT64_C(15), left & ~INT64_C(15));
        sources[i].cache_begin = used;
        sources[i].cache_capacity = (uint32_t)(bytes / stamp_bytes(type));
        used += (uint32_t)bytes;
    }
    return used;
}

/* ---- whole rows ----------------------------------------------------------------------------- */

/* Whether the kernels that move whole rows can do the job. */
static bool moves_rows(const rbc__resample_job *job) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = num_columns(job) * bytes;
    if (job->num_sources > RESAMPLE_MAX_SOURCES || row > MAX_ROW_BYTES ||
        (job->out_channel_stride_bytes != bytes && num_columns(job) > 1) ||
        (job->out_target_stride_bytes != row && job->num_targets > 1)) {
        return false;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        if (source->num_runs != 1 || source->runs[0].mode > RBC_RESAMPLE_NEAREST ||
            skips_missing(job, source) || source->num_channels == 0 ||
            (source->channel_stride_bytes != bytes && source->num_channels > 1)) {
            return false;
        }
    }
    return true;
}

/* The largest power of two up to 16 that divides all addresses, strides and boundaries of rows. */
static int64_t granule_of(const rbc__resample_job *job) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    int64_t all = num_columns(job) * bytes | (int64_t)(uintptr_t)job->out;
    if (job->batch > 1) {
        all |= job->out_batch_stride_bytes;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        all |= source->num_channels * bytes | (int64_t)(uintptr_t)source->values;
        all |= job->batch > 1 ? source->batch_stride_bytes : 0;
        all |= source->num_samples > 1 ? source->sample_stride_bytes : 0;
    }
    int64_t granule = CHUNK_BYTES;
    while (all % granule != 0) {
        granule /= 2;
    }
    return granule;
}

/* Whether the kernels with the fewest instructions will do: no lengths, no outputs beside the
 * values, end samples held, so that limits do not matter, and all stamps in shared memory. */
static bool is_plain(const rbc__resample_job *job, const resample_source *sources) {
    if (job->valid != NULL || job->dt != NULL) {
        return false;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        if (source->outside != RBC_OUTSIDE_HOLD || source->lengths != NULL ||
            source->num_samples == 0 || source->num_samples > (int64_t)sources[i].cache_capacity ||
            source->times_stride_bytes != stamp_bytes(job->time_type)) {
            return false;
        }
    }
    return true;
}

/* Targets of one block. Small jobs: a chunk or two for each thread, on all multiprocessors. Larger
 * ones: as many blocks as run at once, so that none waits for its turn. Large ones: many turns of
 * tiles large enough that finding their samples costs little. */
static int64_t choose_tile(const rbc__resample_job *job, int32_t multiprocessors, int64_t row,
                           int64_t cached_bytes, int64_t bracket_bytes, int64_t least_bytes) {
    const int64_t total = job->batch * job->num_targets * row;
    const int64_t at_once = (int64_t)multiprocessors * BLOCKS_AT_ONCE;
    int64_t tile;
    if (total / at_once > SMALL_TILE_BYTES && total / at_once <= ONE_TURN_BYTES &&
        job->batch <= at_once) {
        const int64_t tiles = at_once / job->batch;
        tile = (job->num_targets + tiles - 1) / tiles;
    } else {
        const int64_t share = total / multiprocessors;
        int64_t bytes = total / at_once > SMALL_TILE_BYTES
                            ? LARGE_TILE_BYTES
                            : at_most(at_least(share, least_bytes), SMALL_TILE_BYTES);
        bytes = at_least(bytes, at_most(2 * cached_bytes, share));
        tile = bytes / row;
    }
    tile = at_most(at_least(tile, 1), job->num_targets);
    tile = at_most(at_most(tile, RESAMPLE_MAX_TILE),
                   at_least(BRACKET_BYTES / (bracket_bytes * job->num_sources), 1));
    /* Even tiles: the last one of a row is not much smaller than the others. */
    const int64_t tiles = (job->num_targets + tile - 1) / tile;
    return (job->num_targets + tiles - 1) / tiles;
}

static rbc__cuda_kernel packed_kernel(rbc__dtype dtype, int64_t granule, bool plain) {
    int kernel = RBC__CUDA_pack_copy_1;
    switch (dtype) {
    case RBC__F32:
        kernel = granule == 8 ? RBC__CUDA_pack_f32_8 : RBC__CUDA_pack_f32_4;
        break;
    case RBC__F64:
        kernel = RBC__CUDA_pack_f64_8;
        break;
    case RBC__F16:
        kernel = granule == 8   ? RBC__CUDA_pack_f16_8
                 : granule == 4 ? RBC__CUDA_pack_f16_4
                                : RBC__CUDA_pack_f16_2;
        break;
    case RBC__BF16:
        kernel = granule == 8   ? RBC__CUDA_pack_bf16_8
                 : granule == 4 ? RBC__CUDA_pack_bf16_4
                                : RBC__CUDA_pack_bf16_2;
        break;
    default:
        kernel = granule == 8   ? RBC__CUDA_pack_copy_8
                 : granule == 4 ? RBC__CUDA_pack_copy_4
                 : granule == 2 ? RBC__CUDA_pack_copy_2
                                : RBC__CUDA_pack_copy_1;
        break;
    }
    /* The kernel for anything but plain sources comes right after its plain twin. */
    return (rbc__cuda_kernel)(kernel + (plain ? 0 : 1));
}

static rbc__cuda_kernel row_kernel(rbc__dtype dtype, bool plain, bool one, bool large) {
    const int value = dtype <= RBC__BF16 ? (int)dtype : 4;
    const int first = !plain  ? RBC__CUDA_fuse_any_f32
                      : !one  ? RBC__CUDA_fuse_f32
                      : large ? RBC__CUDA_resample_large_f32
                              : RBC__CUDA_resample_f32;
    return (rbc__cuda_kernel)(first + value);
}

static rbc_status launch_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                              rbc_error *err) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    const int64_t row = num_columns(job) * bytes;
    const int64_t granule = granule_of(job);
    const bool aligned = granule == CHUNK_BYTES;
    resample_launch_many many;
    many.launch = describe_job(job);
    for (int32_t i = 0; i < job->num_sources; ++i) {
        many.sources[i] = describe(job, &job->sources[i], 0, bytes);
    }
    const uint32_t cached = share_cache(many.sources, job->num_sources, job->time_type);
    const int64_t tile =
        choose_tile(job, queue->multiprocessors, row, cached, RESAMPLE_ROW_PAIR_BYTES,
                    aligned ? SMALL_TILE_BYTES / 4 : SMALL_TILE_BYTES / 3);
    set_tile(&many.launch, tile);
    many.launch.brackets_begin = cached;
    set_divisor(&many.launch, (uint32_t)(aligned ? row / CHUNK_BYTES : row));
    const bool plain = is_plain(job, many.sources);
    const bool one = aligned && plain && job->num_sources == 1;
    const bool large = job->batch * job->num_targets * row >
                       (int64_t)ONE_TURN_BYTES * BLOCKS_AT_ONCE * queue->multiprocessors;
    const rbc__cuda_kernel kernel = aligned ? row_kernel(job->dtype, plain, one, large)
                                            : packed_kernel(job->dtype, granule, plain);
    const uint32_t threads = one && large                              ? LARGE_THREADS
                             : tile * row <= THREADS / 2 * CHUNK_BYTES ? THREADS / 2
                                                                       : THREADS;
    const rbc__cuda_shape shape = {
        .blocks = job->batch * many.launch.num_tiles,
        .blocks_y = 1,
        .threads = threads,
        .shared_bytes = cached + (uint32_t)(job->num_sources * tile * RESAMPLE_ROW_PAIR_BYTES),
    };
    if (one) {
        const resample_launch_one single = {many.launch, {many.sources[0]}};
        return rbc__cuda_launch(queue, kernel, shape, &single, err);
    }
    return rbc__cuda_launch(queue, kernel, shape, &many, err);
}

/* ---- any mode ------------------------------------------------------------------------------- */

static rbc__cuda_kernel any_kernel(rbc__dtype dtype, uint32_t *integer) {
    static const uint32_t integers[RBC__NUM_DTYPES] = {
        [RBC__U8] = VALUE_U8,   [RBC__I8] = VALUE_I8,   [RBC__I16] = VALUE_I16,
        [RBC__I32] = VALUE_I32, [RBC__I64] = VALUE_I64, [RBC__BOOL] = VALUE_U8,
        [RBC__U16] = VALUE_U16, [RBC__U32] = VALUE_U32, [RBC__U64] = VALUE_U64,
    };
    *integer = integers[dtype];
    return dtype <= RBC__BF16 ? (rbc__cuda_kernel)(RBC__CUDA_resample_any_f32 + (int)dtype)
                              : RBC__CUDA_resample_any_integer;
}

/* Sources [first, *end) with all their runs fit in one launch. */
static rbc_status take_sources(const rbc__resample_job *job, int32_t first, int32_t *end,
                               rbc_error *err) {
    int32_t runs = 0;
    int32_t i = first;
    for (; i < job->num_sources && i - first < RESAMPLE_MAX_SOURCES; ++i) {
        if (job->sources[i].num_runs > RESAMPLE_MAX_RUNS) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "source %d has %d channel groups; CUDA takes up to %d", (int)i,
                             (int)job->sources[i].num_runs, RESAMPLE_MAX_RUNS);
        }
        runs += job->sources[i].num_runs;
        if (runs > RESAMPLE_MAX_RUNS) {
            break;
        }
    }
    *end = i;
    return RBC_OK;
}

static void describe_runs(const rbc__resample_source *from, uint32_t source, uint32_t column,
                          resample_launch_runs *params) {
    params->sources[source].first_run = params->launch.num_runs;
    for (int32_t r = 0; r < from->num_runs; ++r) {
        params->runs[params->launch.num_runs++] = (resample_run){
            .begin = column + (uint32_t)from->runs[r].begin,
            .end = column + (uint32_t)from->runs[r].end,
            .mode = (uint32_t)from->runs[r].mode,
            .source = source,
        };
    }
    params->sources[source].end_run = params->launch.num_runs;
}

static rbc_status launch_any(rbc__cuda_queue *queue, const rbc__resample_job *whole, int32_t first,
                             int32_t end, rbc_error *err) {
    rbc__resample_job job = *whole;
    job.sources += first;
    job.num_sources = end - first;
    const int64_t first_column = job.sources[0].out_channel;
    const int64_t columns = num_columns(&job);
    if (columns == 0) {
        return RBC_OK;
    }
    if (columns > MAX_ROW_BYTES) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%lld channels; CUDA takes up to %d",
                         (long long)columns, MAX_ROW_BYTES);
    }
    resample_launch_runs params;
    params.launch = describe_job(&job);
    params.launch.out += first_column * job.out_channel_stride_bytes;
    if (params.launch.valid != NULL) {
        params.launch.valid += first * job.valid_source_stride_bytes;
    }
    for (int32_t i = 0; i < job.num_sources; ++i) {
        params.sources[i] = describe(&job, &job.sources[i], first_column, 1);
        describe_runs(&job.sources[i], (uint32_t)i, params.sources[i].out_begin, &params);
    }
    const uint32_t cached = share_cache(params.sources, job.num_sources, job.time_type);
    const int64_t tile =
        choose_tile(&job, queue->multiprocessors, columns * rbc__dtype_bytes(job.dtype), cached,
                    RESAMPLE_PLAN_BYTES, SMALL_TILE_BYTES / 4);
    set_tile(&params.launch, tile);
    set_divisor(&params.launch, (uint32_t)columns);
    params.launch.brackets_begin = cached;
    const rbc__cuda_kernel kernel = any_kernel(job.dtype, &params.launch.integer);
    const rbc__cuda_shape shape = {
        .blocks = job.batch * params.launch.num_tiles,
        .blocks_y = 1,
        .threads = THREADS,
        .shared_bytes = cached + (uint32_t)(job.num_sources * tile * RESAMPLE_PLAN_BYTES),
    };
    return rbc__cuda_launch(queue, kernel, shape, &params, err);
}

static rbc_status launch_groups(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                rbc_error *err) {
    for (int32_t first = 0; first < job->num_sources;) {
        int32_t end = first;
        RBC__TRY(take_sources(job, first, &end, err));
        RBC__TRY(launch_any(queue, job, first, end, err));
        first = end;
    }
    return RBC_OK;
}

/* Looking at the times would take a kernel of its own and a wait: better refused than left out. */
static rbc_status refuse_checks(const rbc__resample_job *job, rbc_error *err) {
    for (int32_t s = 0; s < job->num_sources; s++) {
        if ((job->sources[s].flags & RBC_CHECK_TIMES) != 0) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "RBC_CHECK_TIMES (check_times): times on a CUDA device are not "
                             "checked; check them on the CPU, or leave it out");
        }
    }
    return RBC_OK;
}

rbc_status rbc__cuda_resample(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                              void *stream, rbc_error *err) {
    (void)context;
    RBC__TRY(refuse_checks(job, err));
    if (job->batch == 0 || job->num_targets == 0 || num_columns(job) == 0) {
        return RBC_OK;
    }
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(device_id, stream, &queue, err));
    const rbc_status status =
        moves_rows(job) ? launch_rows(&queue, job, err) : launch_groups(&queue, job, err);
    return rbc__cuda_leave(&queue, status);
}
