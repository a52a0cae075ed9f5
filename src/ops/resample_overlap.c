#include "ops/resample_overlap.h"

#include "core/error.h"
#include "core/tensor.h"
#include "ops/resample_names.h"

/* Whether a tensor has bytes of [begin, end). */
static bool reaches_into(const DLTensor *tensor, uintptr_t begin, uintptr_t end) {
    uintptr_t first, last;
    rbc__tensor_extent(tensor, &first, &last);
    return first < last && first < end && begin < last;
}

static rbc_status fail_overlap(const char *name, const char *other, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "%s and %s overlap in memory; wanted an output of its own", name, other);
}

static rbc_status check_apart(const DLTensor *output, const char *name, rbc_error *err) {
    if (!rbc__tensor_overlaps_itself(output)) {
        return RBC_OK;
    }
    char shape[256], strides[256];
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "%s of shape %s overlaps itself through its strides %s; wanted an element of "
                     "memory for each",
                     name, rbc__format_shape(shape, sizeof shape, output->ndim, output->shape),
                     rbc__format_shape(strides, sizeof strides, output->ndim, output->strides));
}

rbc_status rbc__resample_check_output(const DLTensor *output, const char *name,
                                      const rbc_resample_source *sources, int32_t num_sources,
                                      bool is_fuse, const DLTensor *target_times, rbc_error *err) {
    RBC__TRY(check_apart(output, name, err));
    uintptr_t begin, end;
    rbc__tensor_extent(output, &begin, &end);
    if (begin >= end) {
        return RBC_OK;
    }
    const char *found = reaches_into(target_times, begin, end) ? "target_times" : NULL;
    rbc__resample_names n;
    for (int32_t s = 0; s < num_sources && found == NULL; ++s) {
        const rbc_resample_source *source = &sources[s];
        const bool with_values = reaches_into(source->values, begin, end);
        const bool with_times = reaches_into(source->times, begin, end);
        if (with_values || with_times ||
            (source->lengths != NULL && reaches_into(source->lengths, begin, end))) {
            rbc__resample_names_set(&n, is_fuse, s);
            found = with_values ? n.values : with_times ? n.times : n.lengths;
        }
    }
    return found != NULL ? fail_overlap(name, found, err) : RBC_OK;
}

rbc_status rbc__resample_check_outputs(const DLTensor *out, const DLTensor *valid,
                                       const DLTensor *dt, rbc_error *err) {
    if (valid != NULL && rbc__tensors_overlap(valid, out)) {
        return fail_overlap("valid", "out", err);
    }
    if (dt != NULL && rbc__tensors_overlap(dt, out)) {
        return fail_overlap("dt", "out", err);
    }
    if (dt != NULL && valid != NULL && rbc__tensors_overlap(dt, valid)) {
        return fail_overlap("dt", "valid", err);
    }
    return RBC_OK;
}

rbc_status rbc__resample_check_gradient(const rbc_resample_source *source,
                                        const DLTensor *target_times, rbc_error *err) {
    const DLTensor *gradient = source->values;
    RBC__TRY(check_apart(gradient, "values", err));
    return rbc__tensors_overlap(gradient, source->times)
               ? fail_overlap("values", "source_times", err)
           : rbc__tensors_overlap(gradient, target_times)
               ? fail_overlap("values", "target_times", err)
           : source->lengths != NULL && rbc__tensors_overlap(gradient, source->lengths)
               ? fail_overlap("values", "lengths", err)
               : RBC_OK;
}
