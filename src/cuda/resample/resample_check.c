#include "cuda/resample/resample_check.h"

#include <stdio.h>

#include "core/bad_time.h"
#include "core/error.h"
#include "cuda/resample/check_params.h"
#include "cuda/runtime/recording.h"

enum { MAX_BLOCKS = 1024 };

static bool is_asked(const rbc__resample_source *source) {
    return (source->flags & RBC_CHECK_TIMES) != 0;
}

/* Keys count stamps in the order in which they are blamed: by batch row, by source, the targets
 * last. Each of these has as many keys as the longest; false where 64 bits do not hold them. */
static bool count_keys(const rbc__resample_job *job, int64_t *slot, int64_t *row) {
    int64_t longest = job->num_targets;
    for (int32_t s = 0; s < job->num_sources; ++s) {
        const int64_t count = job->sources[s].num_samples;
        longest = count > longest ? count : longest;
    }
    int64_t all;
    *slot = longest > 0 ? longest : 1;
    return rbc__mul_size(*slot, (int64_t)job->num_sources + 1, row) &&
           rbc__mul_size(*row, job->batch, &all);
}

static rbc_status launch_check(rbc__cuda_queue *queue, const check_launch *params, rbc_error *err) {
    const int64_t blocks = (params->batch * params->count + CHECK_THREADS - 1) / CHECK_THREADS;
    const rbc__cuda_shape shape = {
        .blocks = blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS,
        .blocks_y = 1,
        .threads = CHECK_THREADS,
    };
    return rbc__cuda_launch(queue, RBC__CUDA_times_check, shape, params, err);
}

static rbc_status launch_checks(rbc__cuda_queue *queue, const rbc__resample_job *job, int64_t slot,
                                int64_t row, CUdeviceptr found, rbc_error *err) {
    check_launch params = {
        .times = job->targets,
        .batch_stride = job->targets_batch_stride_bytes,
        .stride = job->targets_stride_bytes,
        .batch = job->batch,
        .count = job->num_targets,
        .row_keys = (uint64_t)row,
        .first_key = (uint64_t)(slot * job->num_sources),
        .found = (unsigned long long *)(uintptr_t)found,
        .time_type = (uint32_t)job->time_type,
        .are_targets = 1,
    };
    if (job->time_type != RBC__TIME_I64) {
        RBC__TRY(launch_check(queue, &params, err));
    }
    params.are_targets = 0;
    for (int32_t s = 0; s < job->num_sources; ++s) {
        const rbc__resample_source *source = &job->sources[s];
        if (!is_asked(source)) {
            continue;
        }
        params.times = source->times;
        params.batch_stride = source->times_batch_stride_bytes;
        params.stride = source->times_stride_bytes;
        params.lengths = source->lengths;
        params.lengths_stride = source->lengths_stride_bytes;
        params.lengths_are_i64 = source->lengths_are_i64;
        params.count = source->num_samples;
        params.first_key = (uint64_t)(slot * s);
        RBC__TRY(launch_check(queue, &params, err));
    }
    return RBC_OK;
}

/* Copies to the host and waits. */
static rbc_status fetch(rbc__cuda_queue *queue, void *to, const void *from, size_t bytes,
                        rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    RBC__TRY(rbc__cuda_flush(queue, err));
    CUresult result =
        driver->memcpy_dtoh_async(to, (CUdeviceptr)(uintptr_t)from, bytes, queue->stream);
    if (result == 0) {
        result = driver->stream_synchronize(queue->stream);
    }
    return result == 0 ? RBC_OK : rbc__cuda_fail(driver, result, err, "checking times");
}

static rbc_status blame(rbc__cuda_queue *queue, const rbc__resample_job *job, int64_t slot,
                        int64_t row, uint64_t key, rbc_error *err) {
    if (key == CHECK_WIDE) {
        return rbc__fail_wide_times(err);
    }
    const int64_t b = (int64_t)key / row;
    const int64_t s = ((int64_t)key - b * row) / slot;
    const int64_t i = (int64_t)key - b * row - s * slot;
    if (s == job->num_sources) {
        return rbc__fail_nan_target(job->targets_batch_stride_bytes == 0, b, i, err);
    }
    const rbc__resample_source *source = &job->sources[s];
    const char *times = source->times + b * source->times_batch_stride_bytes;
    char name[40] = "source_times";
    if (job->num_sources > 1) {
        (void)snprintf(name, sizeof name, "sources[%d].times", (int)s);
    }
    union {
        int64_t ns;
        double f64;
        float f32;
    } time = {0}, before = {0};
    const size_t bytes = job->time_type == RBC__TIME_F32 ? sizeof time.f32 : sizeof time.f64;
    RBC__TRY(fetch(queue, &time, times + i * source->times_stride_bytes, bytes, err));
    const double seconds = job->time_type == RBC__TIME_F32   ? (double)time.f32
                           : job->time_type == RBC__TIME_F64 ? time.f64
                                                             : 0.0;
    const bool is_finite = seconds - seconds == 0.0;
    if (is_finite) {
        RBC__TRY(fetch(queue, &before, times + (i - 1) * source->times_stride_bytes, bytes, err));
    }
    return rbc__fail_bad_time(&(rbc__bad_time){.name = name,
                                               .is_shared = source->times_batch_stride_bytes == 0,
                                               .row = b,
                                               .index = i,
                                               .dtype = job->time_type == RBC__TIME_I64 ? RBC__I64
                                                        : job->time_type == RBC__TIME_F64
                                                            ? RBC__F64
                                                            : RBC__F32,
                                               .time = &time,
                                               .before = is_finite ? &before : NULL},
                              err);
}

static rbc_status check_waiting(const rbc__cuda_queue *queue, rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    if (driver->mem_alloc_async == NULL || driver->mem_free_async == NULL ||
        driver->memset_d8_async == NULL) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "RBC_CHECK_TIMES (check_times): the CUDA driver (%d.%d) lacks "
                         "cuMemAllocAsync",
                         driver->version / 1000, driver->version % 1000 / 10);
    }
    int capturing = 0;
    const CUresult result = driver->stream_is_capturing(queue->stream, &capturing);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuStreamIsCapturing");
    }
    if (capturing != 0) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "RBC_CHECK_TIMES (check_times) waits for the stream, which is being "
                         "captured into a graph; wanted a stream that is not, or no check");
    }
    return RBC_OK;
}

static rbc_status check_all(rbc__cuda_queue *queue, const rbc__resample_job *job, rbc_error *err) {
    RBC__TRY(check_waiting(queue, err));
    int64_t slot;
    int64_t row;
    if (!count_keys(job, &slot, &row)) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "RBC_CHECK_TIMES (check_times): more than 2^63 stamps");
    }
    const rbc__cuda_driver *driver = queue->driver;
    CUdeviceptr found = 0;
    CUresult result = driver->mem_alloc_async(&found, sizeof(uint64_t), queue->stream);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuMemAllocAsync, for checking times");
    }
    /* What follows is no launch alone, so a recording of it cannot be replayed. */
    rbc__cuda_recording *recording = queue->recording;
    queue->recording = NULL;
    if (recording != NULL) {
        recording->has_gaps = true;
    }
    uint64_t key = CHECK_NOTHING;
    rbc_status status = RBC_OK;
    result = driver->memset_d8_async(found, 0xff, sizeof key, queue->stream);
    if (result != 0) {
        status = rbc__cuda_fail(driver, result, err, "cuMemsetD8Async, for checking times");
    }
    if (status == RBC_OK) {
        status = launch_checks(queue, job, slot, row, found, err);
    }
    if (status == RBC_OK) {
        status = fetch(queue, &key, (const void *)(uintptr_t)found, sizeof key, err);
    }
    queue->recording = recording;
    (void)driver->mem_free_async(found, queue->stream);
    return status == RBC_OK && key != CHECK_NOTHING ? blame(queue, job, slot, row, key, err)
                                                    : status;
}

rbc_status rbc__cuda_check_times(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                 rbc_error *err) {
    bool asked = false;
    for (int32_t s = 0; s < job->num_sources; ++s) {
        asked |= is_asked(&job->sources[s]);
    }
    if (!asked) {
        return RBC_OK;
    }
    /* Waiting is not part of what another thread may be capturing. */
    int mode = RBC__CU_CAPTURE_MODE_RELAXED;
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    const rbc_status status = check_all(queue, job, err);
    (void)queue->driver->thread_exchange_stream_capture_mode(&mode);
    return status;
}
