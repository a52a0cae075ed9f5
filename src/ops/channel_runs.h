/* Which mode each channel of a source is resampled in. */
#ifndef RBC_OPS_CHANNEL_RUNS_H
#define RBC_OPS_CHANNEL_RUNS_H

#include "backend.h"

/* "linear", "hold", ...; NULL for what is none of rbc_resample_mode. */
const char *rbc__mode_name(rbc_resample_mode mode);

/* What a caller says of the channels. */
typedef struct rbc__channel_modes {
    const char *groups_name; /* of the groups, in messages */
    const char *prefix;      /* of `mode` and `outside`, in messages: "sources[1]." */
    rbc_resample_mode mode;  /* of channels in no group */
    rbc_outside outside;
    const rbc_channel_group *groups; /* in any order */
    int32_t num_groups;
    rbc__dtype dtype;
    int64_t num_channels;
} rbc__channel_modes;

/* No more than this many runs come of it. Groups beyond the channels are refused later. */
int64_t rbc__max_runs(const rbc__channel_modes *modes);

/* Runs that cover all channels in order, groups and what lies between them, a slerp run quaternion
 * by quaternion; one without channels where there are none. `runs` has room for rbc__max_runs().
 * INVALID_ARGUMENT: groups that overlap or reach beyond the channels, a mode that the dtype, the
 * width or `outside` does not go with. */
rbc_status rbc__make_runs(const rbc__channel_modes *modes, rbc__channel_run *runs,
                          int32_t *num_runs, rbc_error *err);

#endif
