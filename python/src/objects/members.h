/* The datasets that a loader draws from, as Python gives them: read from tuples. */
#ifndef RBC_PYTHON_MEMBERS_H
#define RBC_PYTHON_MEMBERS_H

#include "objects/objects.h"

/* Memory of one window's arrays. */
typedef struct window_memory {
    int32_t *ticks;
    int64_t *offsets_ns;
    rbc_channel_group *groups;
    rbc_image_params image;
    rbc_future future;
    rbc_voxels voxels;
    rbc_voxelize_params grid;
    rbc_depth_params depth;
    double intrinsics[9], pose[12];
} window_memory;

/* Memory of what one dataset has; the texts are borrowed from Python. */
typedef struct member_memory {
    rbc_window *windows; /* [num_windows] */
    window_memory *of_windows;
    int32_t num_windows;
    const char **clock, **require;
} member_memory;

typedef struct members {
    rbc_mixture_member *items; /* [count] */
    member_memory *memory;
    int32_t count;
} members;

/* Reads a list of (name or None, selection, weight, windows, rate_hz, clock, require), of which all
 * stay as long. False with an exception set; what was read is freed in any case by members_free().
 */
bool members_read(module_state *state, PyObject *list, members *out);
void members_free(members *read);

#endif
