#include <math.h>
#include <string.h>

#include "cpu/voxelize_sparse.h"

bool rbc__sparse_is_first_seen(const rbc__voxelize_sparse_job *job) {
    return job->preset == RBC_VOXEL_PRESET_MMCV || job->preset == RBC_VOXEL_PRESET_SPCONV;
}

void rbc__sparse_put_coordinates(const rbc__voxelize_sparse_job *job, const int32_t *at,
                                 int32_t *out) {
    const bool is_zyx = rbc__sparse_is_first_seen(job);
    for (int axis = 0; axis < 3; ++axis) {
        out[axis] = at[0] == RBC__OUTSIDE ? -1 : at[is_zyx ? 2 - axis : axis];
    }
}

static void bounds_part(void *job, int64_t index) {
    rbc__sparse_work *w = job;
    rbc__sparse_lane *l = &w->lanes[index];
    rbc__voxel_range range;
    int64_t end;
    const bool is_f64 = w->job->cloud.point_dtype == RBC__F64;
    for (int axis = 0; axis < 3; ++axis) {
        l->least[axis] = INFINITY;
        l->greatest[axis] = -INFINITY;
    }
    for (int64_t i = rbc__sparse_share(w, index, w->length, &end); i < end; i += RBC__VOXEL_RANGE) {
        const int64_t n = end - i < RBC__VOXEL_RANGE ? end - i : RBC__VOXEL_RANGE;
        w->kernels->load(&w->job->cloud, w->cloud, i, n, &range);
        w->kernels->bounds(&range, n, is_f64, l->least, l->greatest);
    }
}

static double own_difference(const rbc__sparse_work *w, double a, double b) {
    return w->job->cloud.point_dtype == RBC__F64 ? a - b : (double)((float)a - (float)b);
}

/* What the preset takes from the cloud itself. */
static void look_at_cloud(rbc__sparse_work *w, double *origin, double *scale) {
    const rbc__voxelize_sparse_job *job = w->job;
    const bool needs_scale = job->preset == RBC_VOXEL_PRESET_KAOLIN && job->scale == 0;
    memcpy(origin, job->origin, sizeof job->origin);
    *scale = job->scale;
    if (!job->origin_from_cloud && !needs_scale) {
        return;
    }
    rbc__sparse_run_parts(w, w->num_lanes, bounds_part);
    rbc__sparse_lane *all = &w->lanes[0];
    for (int axis = 0; axis < 3; ++axis) {
        for (int32_t i = 1; i < w->num_lanes; ++i) {
            all->least[axis] = fmin(all->least[axis], w->lanes[i].least[axis]);
            all->greatest[axis] = fmax(all->greatest[axis], w->lanes[i].greatest[axis]);
        }
        if (all->least[axis] > all->greatest[axis]) {
            all->least[axis] = 0;
            all->greatest[axis] = 0;
        }
        all->least[axis] += 0.0; /* -0 becomes the one zero, whichever came first */
        if (job->origin_from_cloud) {
            origin[axis] = job->preset == RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE
                               ? all->least[axis] - job->voxel_size[axis] * 0.5
                               : all->least[axis];
        }
        if (needs_scale) {
            *scale = fmax(*scale, own_difference(w, all->greatest[axis], origin[axis]));
        }
    }
}

static double narrow(double value, bool is_narrow) {
    return is_narrow ? (double)(float)value : value;
}

void rbc__sparse_choose_map(rbc__sparse_work *w) {
    const rbc__voxelize_sparse_job *job = w->job;
    const bool is_mmcv = rbc__sparse_is_first_seen(job);
    double origin[3], scale;
    look_at_cloud(w, origin, &scale);
    rbc__coordinate_map map = {.rule = RBC__FLOOR_QUOTIENT};
    for (int axis = 0; axis < 3; ++axis) {
        map.origin[axis] = narrow(origin[axis], is_mmcv || !w->is_f64);
        map.size[axis] = narrow(job->voxel_size[axis], is_mmcv);
        map.limit[axis] = 0x1p31;
        if (job->preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE) {
            map.rule = RBC__TRUNC_PRODUCT;
            map.extra[axis] = job->upper[axis];
        } else if (job->preset == RBC_VOXEL_PRESET_KAOLIN) {
            map.rule = RBC__ROUND_SCALED;
            map.size[axis] = scale;
            map.extra[axis] = (double)(job->grid[axis] - 1);
            map.limit[axis] = rbc__voxel_limit(job->grid[axis], w->is_f64);
        } else if (job->grid[axis] > 0) {
            map.limit[axis] = rbc__voxel_limit(job->grid[axis], w->is_f64);
        } else {
            map.extra[axis] = w->is_f64 ? -0x1.fffffffcp30 : -0x1.fffffep30;
        }
    }
    w->map = map;
    if (job->origins != NULL) {
        memcpy(job->origins + 3 * w->cloud, map.origin, sizeof map.origin);
    }
}
