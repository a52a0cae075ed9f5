#include "cuda/resample/check_times.h"

#include <stdlib.h>

#include "core/error.h"
#include "cuda/common/arithmetic.h"
#include "cuda/resample/check_times_params.h"
#include "cuda/runtime/capture.h"

enum { MAX_BLOCKS = 1024 };

static bool is_asked(const rbc__resample_source *source) {
    return (source->flags & RBC_CHECK_TIMES) != 0;
}

static rbc_status launch_check(rbc__cuda_queue *queue, const check_times_launch *params,
                               rbc_error *err) {
    const rbc__cuda_shape shape = {
        .blocks =
            rbc__min64(rbc__divide_up(params->batch * params->count, CHECK_THREADS), MAX_BLOCKS),
        .blocks_y = 1,
        .threads = CHECK_THREADS,
    };
    return rbc__cuda_launch(queue, RBC__CUDA_check_times, shape, params, err);
}

static rbc_status launch_checks(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                CUdeviceptr is_wrong, rbc_error *err) {
    check_times_launch params = {
        .times = job->targets,
        .batch_stride = job->targets_batch_stride_bytes,
        .stride = job->targets_stride_bytes,
        .batch = job->batch,
        .count = job->num_targets,
        .is_wrong = (uint32_t *)(uintptr_t)is_wrong,
        .time_type = (uint32_t)job->time_type,
        .are_targets = 1,
    };
    if (job->time_type != RBC__TIME_I64) {
        RBC__TRY(launch_check(queue, &params, err));
    }
    params.are_targets = 0;
    for (int32_t s = 0; s < job->num_sources; ++s) {
        const rbc__resample_source *source = &job->sources[s];
        if (is_asked(source)) {
            params.times = source->times;
            params.batch_stride = source->times_batch_stride_bytes;
            params.stride = source->times_stride_bytes;
            params.lengths = source->lengths;
            params.lengths_stride = source->lengths_stride_bytes;
            params.lengths_are_i64 = source->lengths_are_i64;
            params.count = source->num_samples;
            RBC__TRY(launch_check(queue, &params, err));
        }
    }
    return RBC_OK;
}

/* Copies to the host and waits. */
static rbc_status fetch(rbc__cuda_queue *queue, void *to, const void *from, size_t bytes,
                        rbc_error *err) {
    const rbc__cuda_driver *driver = queue->driver;
    RBC__TRY(rbc__cuda_flush(queue, err));
    CUresult result =
        driver->memcpy_dtoh_async(to, (CUdeviceptr)(uintptr_t)from, bytes, queue->cu_stream);
    if (result == 0) {
        result = driver->stream_synchronize(queue->cu_stream);
    }
    return result == 0 ? RBC_OK : rbc__cuda_fail(driver, result, err, "checking times");
}

/* A copy on the host of [batch, count] items, of which `*at` is the first, laid out as on the
 * device. `*at` then points into `*copy`, which is the caller's to free(). */
static rbc_status fetch_rows(rbc__cuda_queue *queue, const char **at, int64_t batch, int64_t count,
                             int64_t batch_stride, int64_t stride, int64_t item_bytes, void **copy,
                             rbc_error *err) {
    if (*at == NULL || batch == 0 || count == 0) {
        return RBC_OK;
    }
    const int64_t along = (count - 1) * stride;
    const int64_t across = (batch - 1) * batch_stride;
    const int64_t below = rbc__min64(along, 0) + rbc__min64(across, 0);
    const size_t bytes =
        (size_t)(rbc__max64(along, 0) + rbc__max64(across, 0) - below + item_bytes);
    *copy = malloc(bytes);
    if (*copy == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                         "checking times: no memory for %zu bytes of stamps", bytes);
    }
    RBC__TRY(fetch(queue, *copy, *at + below, bytes, err));
    *at = (const char *)*copy - below;
    return RBC_OK;
}

/* Fetches what the host looks at of a source: nothing where no check was asked for. */
static rbc_status fetch_source(rbc__cuda_queue *queue, int64_t batch, int64_t stamp_bytes,
                               rbc__resample_source *source, void *copies[2], rbc_error *err) {
    if (!is_asked(source)) {
        source->num_samples = 0;
        source->lengths = NULL;
    }
    RBC__TRY(fetch_rows(queue, &source->times, batch, source->num_samples,
                        source->times_batch_stride_bytes, source->times_stride_bytes, stamp_bytes,
                        &copies[0], err));
    return fetch_rows(queue, &source->lengths, batch, 1, source->lengths_stride_bytes, 0,
                      source->lengths_are_i64 ? 8 : 4, &copies[1], err);
}

/* A stamp is wrong: the host looks which is the first. */
static rbc_status report(rbc__cuda_queue *queue, const rbc__resample_job *job, rbc_error *err) {
    const size_t num_sources = (size_t)job->num_sources;
    rbc__resample_source *sources = malloc(num_sources * sizeof *sources);
    void **copies = calloc(2 * num_sources + 1, sizeof *copies);
    const int64_t stamp_bytes = job->time_type == RBC__TIME_F32 ? 4 : 8;
    rbc__resample_job here = *job;
    here.sources = sources;
    rbc_status status =
        sources == NULL || copies == NULL
            ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to check %zu sources", num_sources)
            : fetch_rows(queue, &here.targets, job->batch, job->num_targets,
                         job->targets_batch_stride_bytes, job->targets_stride_bytes, stamp_bytes,
                         &copies[2 * num_sources], err);
    for (size_t s = 0; status == RBC_OK && s < num_sources; ++s) {
        sources[s] = job->sources[s];
        status = fetch_source(queue, job->batch, stamp_bytes, &sources[s], copies + 2 * s, err);
    }
    if (status == RBC_OK) {
        status = rbc__report_bad_time(&here, err);
    }
    for (size_t i = 0; copies != NULL && i < 2 * num_sources + 1; ++i) {
        free(copies[i]);
    }
    free(copies);
    free(sources);
    return status;
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
    const CUresult result = driver->stream_is_capturing(queue->cu_stream, &capturing);
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
    const rbc__cuda_driver *driver = queue->driver;
    CUdeviceptr flag = 0;
    uint32_t is_wrong = 0;
    CUresult result = driver->mem_alloc_async(&flag, sizeof is_wrong, queue->cu_stream);
    if (result != 0) {
        return rbc__cuda_fail(driver, result, err, "cuMemAllocAsync, for checking times");
    }
    /* What follows is no launch alone, so a capture of it cannot be replayed. */
    rbc__cuda_capture *capture = queue->capture;
    queue->capture = NULL;
    if (capture != NULL) {
        capture->has_gaps = true;
    }
    rbc_status status = RBC_OK;
    result = driver->memset_d8_async(flag, 0, sizeof is_wrong, queue->cu_stream);
    if (result != 0) {
        status = rbc__cuda_fail(driver, result, err, "cuMemsetD8Async, for checking times");
    }
    if (status == RBC_OK) {
        status = launch_checks(queue, job, flag, err);
    }
    if (status == RBC_OK) {
        status = fetch(queue, &is_wrong, (const void *)(uintptr_t)flag, sizeof is_wrong, err);
    }
    (void)driver->mem_free_async(flag, queue->cu_stream);
    if (status == RBC_OK && is_wrong != 0) {
        status = report(queue, job, err);
    }
    queue->capture = capture;
    return status;
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
