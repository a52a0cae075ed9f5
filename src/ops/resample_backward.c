#include "core/error.h"
#include "core/params.h"
#include "ops/operands.h"
#include "ops/resample_job.h"
#include "ops/resample_overlap.h"

static rbc_status check_linear(const rbc__resample_source *source, rbc_error *err) {
    static const char *const names[] = {"linear", "hold", "nearest", "cubic", "slerp",
                                        "angle",  "mean", "max",     "min"};
    if ((source->flags & RBC_NAN_IS_MISSING) != 0) {
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "source.flags: RBC_NAN_IS_MISSING has no adjoint");
    }
    for (int32_t i = 0; i < source->num_runs; ++i) {
        const rbc_resample_mode mode = source->runs[i].mode;
        if (mode == RBC_RESAMPLE_SLERP || mode == RBC_RESAMPLE_MAX || mode == RBC_RESAMPLE_MIN) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "mode %s has no adjoint; wanted linear, hold, nearest, cubic, angle "
                             "or mean",
                             names[mode]);
        }
    }
    return RBC_OK;
}

rbc_status rbc_resample_backward(rbc_context *context, const rbc_resample_source *source,
                                 const DLTensor *target_times, const DLTensor *grad_out,
                                 const DLTensor *grad_values, void *stream, rbc_error *err) {
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "context is NULL");
    }
    rbc_resample_source adjoint = RBC_RESAMPLE_SOURCE_INIT;
    RBC__TRY(rbc__params_read(source, &adjoint, sizeof adjoint, "source", err));
    adjoint.struct_size = sizeof adjoint;
    adjoint.values = grad_values;
    rbc__resample_request request;
    rbc_status status = rbc__resample_request_init(&request, false, &adjoint, 1, target_times,
                                                   grad_out, NULL, NULL, err);
    if (status == RBC_OK && request.job.dtype != RBC__F32 && request.job.dtype != RBC__F64) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "grad_out: dtype %s found, wanted float32 or float64",
                           rbc__dtype_name(request.job.dtype));
    }
    if (status == RBC_OK) {
        status = rbc__resample_check_gradient(&adjoint, target_times, err);
    }
    if (status == RBC_OK) {
        status = check_linear(&request.sources[0], err);
    }
    const rbc__backend *backend = NULL;
    if (status == RBC_OK) {
        status = rbc__backend_for(request.device, &backend, err);
    }
    if (status == RBC_OK && backend->resample_backward == NULL) {
        status = rbc__fail(err, RBC_ERROR_UNSUPPORTED, "backend %s has no adjoint of resample",
                           backend->name);
    }
    if (status == RBC_OK) {
        status = backend->resample_backward(context, &request.job, request.device.device_id, stream,
                                            err);
    }
    rbc__resample_request_free(&request);
    return status;
}
