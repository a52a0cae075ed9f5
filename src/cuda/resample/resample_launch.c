#include "cuda/resample/resample_launch.h"

_Static_assert(CLOCK_I64 == (int)RBC__TIME_I64 && CLOCK_F64 == (int)RBC__TIME_F64 &&
                   CLOCK_F32 == (int)RBC__TIME_F32,
               "time types");
_Static_assert(MODE_LINEAR == (int)RBC_RESAMPLE_LINEAR && MODE_MIN == (int)RBC_RESAMPLE_MIN,
               "resample modes");
_Static_assert(OUTSIDE_HOLD == (int)RBC_OUTSIDE_HOLD &&
                   OUTSIDE_EXTRAPOLATE == (int)RBC_OUTSIDE_EXTRAPOLATE,
               "outside policies");
_Static_assert(sizeof(resample_launch_runs) <= 4096, "kernel parameters of every device");

enum {
    BRACKET_BYTES = 15 * 1024, /* shared memory for samples and weights */
    CACHE_BYTES = 32 * 1024,   /* and for stamps */
    LARGE_TILE_BYTES = 128 * 1024,
};

int64_t rbc__cuda_stamp_bytes(rbc__time_type type) {
    return type == RBC__TIME_F32 ? 4 : 8;
}

uint32_t rbc__cuda_value_of(rbc__dtype dtype) {
    static const uint32_t values[RBC__NUM_DTYPES] = {
        [RBC__F32] = VALUE_F32,   [RBC__F64] = VALUE_F64, [RBC__F16] = VALUE_F16,
        [RBC__BF16] = VALUE_BF16, [RBC__U8] = VALUE_U8,   [RBC__I8] = VALUE_I8,
        [RBC__I16] = VALUE_I16,   [RBC__I32] = VALUE_I32, [RBC__I64] = VALUE_I64,
        [RBC__BOOL] = VALUE_U8,   [RBC__U16] = VALUE_U16, [RBC__U32] = VALUE_U32,
        [RBC__U64] = VALUE_U64,
    };
    return values[dtype];
}

bool rbc__cuda_skips_missing(rbc__dtype dtype, const rbc__resample_source *source) {
    return (source->flags & RBC_NAN_IS_MISSING) != 0 && rbc__dtype_is_float(dtype);
}

int64_t rbc__cuda_num_columns(const rbc__resample_job *job) {
    int64_t columns = 0;
    for (int32_t i = 0; i < job->num_sources; ++i) {
        columns += job->sources[i].num_channels;
    }
    return columns;
}

void rbc__cuda_divide_by(uint32_t divisor, uint32_t *magic, uint32_t *shift) {
    uint32_t log = 0;
    while ((UINT64_C(1) << log) < divisor) {
        ++log;
    }
    *magic = divisor > 0 ? (uint32_t)((UINT64_C(1) << (31 + log)) / divisor + 1) : 0;
    *shift = 31 + log;
}

void rbc__cuda_set_row_slices(resample_launch *launch, uint32_t slices) {
    launch->row_slices = slices;
    rbc__cuda_divide_by(slices, &launch->row_magic, &launch->row_shift);
}

void rbc__cuda_set_tile(resample_launch *launch, int64_t tile) {
    launch->tile = (uint32_t)tile;
    launch->num_tiles = (uint32_t)((launch->num_targets + tile - 1) / tile);
}

/* 16 bytes of the NaN of a dtype. */
static void set_nan(resample_launch *launch, rbc__dtype dtype) {
    const int64_t bytes = rbc__dtype_bytes(dtype);
    uint64_t word = rbc__dtype_nan(dtype);
    for (int64_t at = bytes; at < (int64_t)sizeof word; at += bytes) {
        word |= rbc__dtype_nan(dtype) << 8 * at;
    }
    for (int i = 0; i < 4; ++i) {
        launch->nan_words[i] = (uint32_t)(word >> 32 * (i & 1));
    }
}

static uint32_t mode_bits(const rbc__resample_source *source) {
    uint32_t bits = 0;
    for (int32_t i = 0; i < source->num_runs; ++i) {
        bits |= 1u << source->runs[i].mode;
    }
    return bits;
}

resample_source rbc__cuda_describe_source(rbc__dtype dtype, const rbc__resample_source *from,
                                          int64_t first_column, int64_t slice_bytes) {
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
        .num_samples32 = (uint32_t)rbc__min64(from->num_samples, INT32_MAX),
        .num_samples = from->num_samples,
        .max_gap = {from->max_gap_ns, from->max_gap},
        .tolerance = {from->tolerance_ns, from->tolerance},
        .out_begin = (uint32_t)(begin * slice_bytes),
        .out_end = (uint32_t)((begin + from->num_channels) * slice_bytes),
        .lengths_are_i64 = from->lengths_are_i64,
        .outside = (uint32_t)from->outside,
        .mode = from->num_runs > 0 ? (uint32_t)from->runs[0].mode : MODE_HOLD,
        .modes = mode_bits(from),
        .nan_is_missing = rbc__cuda_skips_missing(dtype, from),
    };
}

resample_launch rbc__cuda_describe_job(const rbc__resample_job *job) {
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
        .num_targets32 = (uint32_t)rbc__min64(job->num_targets, INT32_MAX),
        .time_type = (uint32_t)job->time_type,
        .num_sources = (uint32_t)job->num_sources,
        .element_bytes = (uint32_t)rbc__dtype_bytes(job->dtype),
    };
    set_nan(&launch, job->dtype);
    return launch;
}

uint32_t rbc__cuda_share_cache(resample_source *sources, int32_t count, rbc__time_type type) {
    uint32_t used = 0;
    for (int32_t i = 0; i < count; ++i) {
        const int64_t left = (CACHE_BYTES - (int64_t)used) / (count - i);
        const int64_t wanted =
            rbc__min64(sources[i].num_samples, CACHE_BYTES) * rbc__cuda_stamp_bytes(type);
        const int64_t bytes =
            rbc__min64((wanted + RBC__CUDA_VEC16_BYTES - 1) & ~INT64_C(15), left & ~INT64_C(15));
        sources[i].cache_begin = used;
        sources[i].cache_capacity = (uint32_t)(bytes / rbc__cuda_stamp_bytes(type));
        used += (uint32_t)bytes;
    }
    return used;
}

/* Targets of one block. Small jobs: a vector or two for each thread, on all multiprocessors. Larger
 * ones: as many blocks as run at once, so that none waits for its turn. Large ones: many turns of
 * tiles large enough that finding their samples costs little. */
int64_t rbc__cuda_choose_tile(const rbc__resample_job *job, int32_t multiprocessors, int64_t row,
                              int64_t cached_bytes, int64_t bracket_bytes, int64_t least_bytes) {
    const int64_t total = job->batch * job->num_targets * row;
    const int64_t at_once = (int64_t)multiprocessors * RBC__CUDA_BLOCKS_AT_ONCE;
    int64_t tile;
    if (total / at_once > RBC__CUDA_SMALL_TILE_BYTES &&
        total / at_once <= RBC__CUDA_ONE_TURN_BYTES && job->batch <= at_once) {
        const int64_t tiles = at_once / job->batch;
        tile = (job->num_targets + tiles - 1) / tiles;
    } else {
        const int64_t share = total / multiprocessors;
        int64_t bytes =
            total / at_once > RBC__CUDA_SMALL_TILE_BYTES
                ? LARGE_TILE_BYTES
                : rbc__min64(rbc__max64(share, least_bytes), RBC__CUDA_SMALL_TILE_BYTES);
        bytes = rbc__max64(bytes, rbc__min64(2 * cached_bytes, share));
        tile = bytes / row;
    }
    tile = rbc__min64(rbc__max64(tile, 1), job->num_targets);
    tile = rbc__min64(rbc__min64(tile, RESAMPLE_MAX_TILE),
                      rbc__max64(BRACKET_BYTES / (bracket_bytes * job->num_sources), 1));
    /* Even tiles: the last one of a row is not much smaller than the others. */
    const int64_t tiles = (job->num_targets + tile - 1) / tile;
    return (job->num_targets + tiles - 1) / tiles;
}

int64_t rbc__cuda_granule(const rbc__resample_job *job) {
    const int64_t bytes = rbc__dtype_bytes(job->dtype);
    int64_t all = rbc__cuda_num_columns(job) * bytes | (int64_t)(uintptr_t)job->out;
    if (job->batch > 1) {
        all |= job->out_batch_stride_bytes;
    }
    for (int32_t i = 0; i < job->num_sources; ++i) {
        const rbc__resample_source *source = &job->sources[i];
        all |= source->num_channels * bytes | (int64_t)(uintptr_t)source->values;
        all |= job->batch > 1 ? source->batch_stride_bytes : 0;
        all |= source->num_samples > 1 ? source->sample_stride_bytes : 0;
    }
    int64_t granule = RBC__CUDA_VEC16_BYTES;
    while (all % granule != 0) {
        granule /= 2;
    }
    return granule;
}
