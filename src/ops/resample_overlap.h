/* Outputs of resample and fuse have memory of their own. INVALID_ARGUMENT names both tensors. */
#ifndef RBC_OPS_RESAMPLE_OVERLAP_H
#define RBC_OPS_RESAMPLE_OVERLAP_H

#include <stdbool.h>

#include <robocache/robocache.h>

/* An output may not overlap an input, nor itself. The tensors were checked. */
rbc_status rbc__resample_check_output(const DLTensor *output, const char *name,
                                      const rbc_resample_source *sources, int32_t num_sources,
                                      bool is_fuse, const DLTensor *target_times, rbc_error *err);
/* Nor another output; valid and dt may be NULL. */
rbc_status rbc__resample_check_outputs(const DLTensor *out, const DLTensor *valid,
                                       const DLTensor *dt, rbc_error *err);
/* The values of `source` are a gradient to be written: it may overlap nothing, nor itself. */
rbc_status rbc__resample_check_gradient(const rbc_resample_source *source,
                                        const DLTensor *target_times, rbc_error *err);

#endif
