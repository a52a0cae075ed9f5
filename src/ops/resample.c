#include <stdlib.h>

#include "core/error.h"
#include "ops/resample_job.h"
#include "ops/resample_sources.h"

static rbc_status run(rbc_context *context, bool is_fuse, const rbc_resample_source *given,
                      int32_t num_sources, const DLTensor *target_times, const DLTensor *out,
                      const DLTensor *valid, const DLTensor *dt, void *stream, rbc_error *err) {
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
    }
    rbc_resample_source *room = NULL;
    const rbc_resample_source *sources = given;
    RBC__TRY(rbc__resample_sources_read(given, num_sources, &room, &sources, err));
    rbc__resample_request request;
    rbc_status status = rbc__resample_request_init(&request, is_fuse, sources, num_sources,
                                                   target_times, out, valid, dt, err);
    if (status == RBC_OK) {
        const rbc__backend *backend;
        status = rbc__backend_for(request.device, &backend, err);
        if (status == RBC_OK && request.job.batch > 0 && request.job.num_targets > 0) {
            status =
                backend->resample(context, &request.job, request.device.device_id, stream, err);
        }
    }
    rbc__resample_request_free(&request);
    free(room);
    return status;
}

rbc_status rbc_resample(rbc_context *context, const rbc_resample_source *source,
                        const DLTensor *target_times, const DLTensor *out, const DLTensor *valid,
                        const DLTensor *dt, void *stream, rbc_error *err) {
    return run(context, false, source, 1, target_times, out, valid, dt, stream, err);
}

rbc_status rbc_fuse(rbc_context *context, const rbc_resample_source *sources, int32_t num_sources,
                    const DLTensor *target_times, const DLTensor *out, const DLTensor *valid,
                    void *stream, rbc_error *err) {
    return run(context, true, sources, num_sources, target_times, out, valid, NULL, stream, err);
}
