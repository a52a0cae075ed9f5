#include <math.h>

#include "core/context.h"
#include "core/pool.h"
#include "cpu/voxelize.h"

/* Pixels of one part. */
#define PART_PIXELS (INT64_C(64) * RBC__VOXEL_RANGE)

typedef struct run {
    const rbc__depth_job *job;
    const rbc__voxel_kernels *kernels;
    rbc__cloud cloud;
    int64_t parts_per_image;
} run;

static void in_place(const rbc__voxel_range *range, int64_t n, float *points) {
    for (int64_t i = 0; i < n; ++i) {
        points[3 * i] = range->f32[0][i];
        points[3 * i + 1] = range->f32[1][i];
        points[3 * i + 2] = range->f32[2][i];
    }
}

static int64_t packed(const rbc__voxel_range *range, int64_t n, float *points) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (!isnan(range->f32[2][i])) {
            points[3 * count] = range->f32[0][i];
            points[3 * count + 1] = range->f32[1][i];
            points[3 * count + 2] = range->f32[2][i];
            ++count;
        }
    }
    return count;
}

/* A stretch of an image, every pixel in its place. */
static void each_part(void *job, int64_t index) {
    const run *r = job;
    const int64_t image = index / r->parts_per_image, total = r->cloud.num_points;
    const int64_t first = index % r->parts_per_image * PART_PIXELS;
    const int64_t end = total - first < PART_PIXELS ? total : first + PART_PIXELS;
    rbc__voxel_range range;
    for (int64_t i = first; i < end; i += RBC__VOXEL_RANGE) {
        const int64_t n = end - i < RBC__VOXEL_RANGE ? end - i : RBC__VOXEL_RANGE;
        r->kernels->load(&r->cloud, image, i, n, &range);
        in_place(&range, n, r->job->points + 3 * (image * total + i));
    }
}

/* A whole image, valid points first. */
static void pack_part(void *job, int64_t image) {
    const run *r = job;
    const int64_t total = r->cloud.num_points;
    float *points = r->job->points + 3 * image * total;
    int64_t count = 0;
    rbc__voxel_range range;
    for (int64_t i = 0; i < total; i += RBC__VOXEL_RANGE) {
        const int64_t n = total - i < RBC__VOXEL_RANGE ? total - i : RBC__VOXEL_RANGE;
        r->kernels->load(&r->cloud, image, i, n, &range);
        count += packed(&range, n, points + 3 * count);
    }
    r->job->lengths[image] = (int32_t)count;
    for (int64_t i = 3 * count; i < 3 * total; ++i) {
        points[i] = NAN;
    }
}

rbc_status rbc__cpu_depth_to_points(rbc_context *context, const rbc__depth_job *job,
                                    int32_t device_id, void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    (void)err;
    const int64_t total = job->source.height * job->source.width;
    run r = {
        .job = job,
        .kernels = rbc__voxel_kernels_for(context),
        .cloud = {.batch = job->batch,
                  .num_points = total,
                  .point_dtype = RBC__F32,
                  .depth = &job->source},
        .parts_per_image = (total + PART_PIXELS - 1) / PART_PIXELS,
    };
    if (job->lengths != NULL) {
        rbc__pool_run(context->pool, job->batch, pack_part, &r);
    } else {
        rbc__pool_run(context->pool, job->batch * r.parts_per_image, each_part, &r);
    }
    return RBC_OK;
}
