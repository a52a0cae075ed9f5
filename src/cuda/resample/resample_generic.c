#include "core/error.h"
#include "cuda/resample/resample_launch.h"

static rbc__cuda_kernel generic_kernel(rbc__dtype dtype, uint32_t *integer) {
    static const rbc__cuda_kernel kernels[RBC__NUM_DTYPES] = {
        RBC__CUDA_VALUES_OF(resample_generic, integer)};
    *integer = rbc__cuda_value_of(dtype);
    return kernels[dtype];
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

/* What one launch takes of a job: the parts of some of its sources. */
typedef struct part {
    rbc__resample_source sources[RESAMPLE_MAX_SOURCES];
    int32_t first, count; /* whose sources */
    bool continues;       /* the first one's earlier channels were in the launch before */
} part;

/* Where the next part begins. */
typedef struct progress {
    int32_t source, run;
} progress;

/* Runs [run, run + count) of a source as a source of their own. */
static rbc__resample_source runs_of_source(const rbc__resample_source *from, int32_t run,
                                           int32_t count, rbc__channel_run *runs) {
    rbc__resample_source taken = *from;
    const int64_t begin = count > 0 ? from->runs[run].begin : 0;
    for (int32_t r = 0; r < count; ++r) {
        runs[r] = from->runs[run + r];
        runs[r].begin -= begin;
        runs[r].end -= begin;
    }
    taken.values += begin * from->channel_stride_bytes;
    taken.out_channel += begin;
    taken.num_channels = count > 0 ? runs[count - 1].end : 0;
    taken.runs = runs;
    taken.num_runs = count;
    return taken;
}

/* Takes runs from `at` on until a launch has no room for more. */
static part take(const rbc__resample_job *job, progress *at, rbc__channel_run *runs) {
    part taken = {.first = at->source, .continues = at->run > 0};
    int32_t room = RESAMPLE_MAX_RUNS;
    while (at->source < job->num_sources && taken.count < RESAMPLE_MAX_SOURCES && room > 0) {
        const rbc__resample_source *from = &job->sources[at->source];
        const int32_t left = from->num_runs - at->run;
        const int32_t count = left < room ? left : room;
        taken.sources[taken.count++] =
            runs_of_source(from, at->run, count, runs + (RESAMPLE_MAX_RUNS - room));
        room -= count;
        if (count < left) {
            at->run += count;
            break;
        }
        *at = (progress){.source = at->source + 1};
    }
    return taken;
}

static rbc_status launch_part(rbc__cuda_queue *queue, const rbc__resample_job *whole,
                              const part *taken, rbc_error *err) {
    rbc__resample_job job = *whole;
    job.sources = taken->sources;
    job.num_sources = taken->count;
    const int64_t first_column = job.sources[0].out_channel;
    const int64_t columns = rbc__cuda_num_columns(&job);
    if (columns == 0 && job.valid == NULL && job.dt == NULL) {
        return RBC_OK;
    }
    if (columns > RBC__CUDA_MAX_ROW_BYTES) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "%lld channels; CUDA takes up to %d",
                         (long long)columns, RBC__CUDA_MAX_ROW_BYTES);
    }
    if (taken->continues) {
        job.dt = NULL; /* of the source's first channel */
    }
    resample_launch_runs params = {0}; /* also what no run uses: launches are compared */
    params.launch = rbc__cuda_describe_job(&job);
    params.launch.out += first_column * job.out_channel_stride_bytes;
    params.launch.continues = taken->continues;
    if (params.launch.valid != NULL) {
        params.launch.valid += taken->first * job.valid_source_stride_bytes;
    }
    for (int32_t i = 0; i < job.num_sources; ++i) {
        params.sources[i] = rbc__cuda_describe_source(job.dtype, &job.sources[i], first_column, 1);
        describe_runs(&job.sources[i], (uint32_t)i, params.sources[i].out_begin, &params);
    }
    const uint32_t cached = rbc__cuda_share_cache(params.sources, job.num_sources, job.time_type);
    const int64_t tile = rbc__cuda_choose_tile(
        &job, queue->multiprocessors, rbc__max64(columns, 1) * rbc__dtype_bytes(job.dtype), cached,
        RESAMPLE_TARGET_BYTES, RBC__CUDA_SMALL_TILE_BYTES / 4);
    rbc__cuda_set_tile(&params.launch, tile);
    rbc__cuda_set_row_slices(&params.launch, (uint32_t)columns);
    params.launch.brackets_begin = cached;
    const rbc__cuda_kernel kernel = generic_kernel(job.dtype, &params.launch.integer);
    const rbc__cuda_shape shape = {
        .blocks = job.batch * params.launch.num_tiles,
        .blocks_y = 1,
        .threads = RBC__CUDA_THREADS,
        .shared_bytes = cached + (uint32_t)(job.num_sources * tile * RESAMPLE_TARGET_BYTES),
    };
    return rbc__cuda_launch(queue, kernel, shape, &params, err);
}

rbc_status rbc__cuda_launch_generic(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                    rbc_error *err) {
    progress at = {0, 0};
    while (at.source < job->num_sources) {
        rbc__channel_run runs[RESAMPLE_MAX_RUNS];
        const part taken = take(job, &at, runs);
        RBC__TRY(launch_part(queue, job, &taken, err));
    }
    return RBC_OK;
}
