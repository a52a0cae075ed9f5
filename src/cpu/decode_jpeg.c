#include "cpu/decode_jpeg.h"

#include <stdlib.h>
#include <string.h>

#include "core/context.h"
#include "core/error.h"

rbc_status rbc__cpu_decode_jpeg_workspace_bytes(const rbc__jpeg_job *job, uint64_t *bytes,
                                                rbc_error *err) {
    (void)job;
    (void)err;
    *bytes = 0;
    return RBC_OK;
}

static rbc_status report(const rbc__jpeg_job *job, const rbc__jpeg_task *tasks, rbc_error *err) {
    const rbc__jpeg_task *task = tasks;
    for (int64_t i = 0; i < job->count; ++i) {
        const bool was_tried = job->images[i].status == RBC_OK;
        const bool is_whole = was_tried && task->status == RBC_OK;
        if (job->valid != NULL) {
            job->valid[i] = is_whole;
        } else if (!is_whole) {
            return rbc__jpeg_image_fail(&job->images[i], i, job->dct, err);
        }
        task += was_tried;
    }
    return RBC_OK;
}

rbc_status rbc__cpu_decode_jpeg(rbc_context *context, const rbc__jpeg_job *job, int32_t device_id,
                                void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    rbc__jpeg_task *tasks = calloc((size_t)job->count + 1, sizeof *tasks);
    if (tasks == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "JPEG: no memory for %lld images",
                         (long long)job->count);
    }
    int64_t count = 0;
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__jpeg_image *image = &job->images[i];
        if (image->status == RBC_OK) {
            tasks[count++] = (rbc__jpeg_task){.image = image, .out = image->out};
        } else if (image->out != NULL) {
            memset(image->out, 0, rbc__jpeg_image_bytes(image));
        }
    }
    rbc_status status = rbc__jpeg_decode_all(context->pool, job->dct, tasks, count, err);
    if (status == RBC_OK) {
        status = report(job, tasks, err);
    }
    free(tasks);
    return status;
}
