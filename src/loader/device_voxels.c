#include "loader/device_voxels.h"

#include <string.h>

#include "core/error.h"

/* What goes to the device at once, and comes from it, lies in the pinned memory of the pipe as in its
 * memory on the device, where the workspace follows:
 *   dropped [count] | lengths [count] | intrinsics, pose | points of each, `stride` apart */
enum {
    ALIGNMENT = 256,
    POINT_ALIGNMENT = 16, /* with which kernels read several points at once */
    MATRIX_DOUBLES = 9 + 12,
    /* Unless one takes more. */
    MOST_HOST_BYTES = 8 << 20,
    MOST_WORKSPACE_BYTES = 128 << 20,
};

/* Jobs of one window whose grids lie one behind the other. */
typedef struct group {
    const rbc__voxel_job *jobs;
    int64_t count;
    int64_t num_points; /* most of a job; at least 1 */
    int64_t stride;
    int64_t lengths, camera, points, bytes; /* where they begin, and all end */
} group;

static int64_t aligned(int64_t bytes, int64_t alignment) {
    return (bytes + alignment - 1) / alignment * alignment;
}

static void lay_out(group *g) {
    const rbc__voxel_spec *spec = g->jobs[0].spec;
    g->stride = aligned(g->num_points * spec->point_bytes, POINT_ALIGNMENT);
    g->lengths = aligned(g->count * (int64_t)sizeof(int64_t), ALIGNMENT);
    g->camera = g->lengths + aligned(g->count * (int64_t)sizeof(int32_t), ALIGNMENT);
    g->points = g->camera + aligned(MATRIX_DOUBLES * (int64_t)sizeof(double), ALIGNMENT);
    g->bytes = aligned(g->points + g->count * g->stride, ALIGNMENT);
}

/* The job of a group whose memory on the device begins at `at`. */
static rbc__voxelize_job job_of(const group *g, uint8_t *at, rbc__depth_source *depth) {
    const rbc__voxel_spec *spec = g->jobs[0].spec;
    char *memory = (char *)at;
    rbc__voxelize_job job = spec->job;
    rbc__cloud *cloud = &job.cloud;
    cloud->batch = g->count;
    cloud->num_points = g->num_points;
    if (spec->is_depth) {
        *depth = spec->depth;
        depth->depth = memory + g->points;
        depth->batch_stride_bytes = g->stride;
        depth->intrinsics = memory + g->camera;
        depth->pose =
            spec->depth.pose != NULL ? memory + g->camera + sizeof spec->intrinsics : NULL;
        cloud->depth = depth;
    } else {
        cloud->points = memory + g->points;
        cloud->points_batch_stride_bytes = g->stride;
        cloud->features = cloud->points + 3 * cloud->axis_stride_bytes;
        cloud->features_batch_stride_bytes = g->stride;
        cloud->lengths = memory + g->lengths;
        cloud->lengths_stride_bytes = sizeof(int32_t);
    }
    job.out = (char *)g->jobs[0].out;
    job.dropped = (int64_t *)(void *)memory;
    return job;
}

static bool goes_with(const rbc__voxel_job *before, const rbc__voxel_job *job) {
    return job->status == RBC_OK && job->spec == before->spec &&
           job->out == before->out + before->spec->grid_bytes;
}

/* As many of the jobs from the first on as go together. */
static group choose(const rbc__backend *device, rbc_context *context, const rbc__voxel_job *jobs,
                    int64_t count, uint64_t *workspace_bytes) {
    group g = {.jobs = jobs};
    rbc__depth_source depth;
    for (int64_t i = 0; i < count && (i == 0 || goes_with(&jobs[i - 1], &jobs[i])); ++i) {
        group more = g;
        more.count = i + 1;
        more.num_points = jobs[i].num_points > g.num_points ? jobs[i].num_points : g.num_points;
        more.num_points = more.num_points > 0 ? more.num_points : 1;
        lay_out(&more);
        if (i > 0 && more.bytes > MOST_HOST_BYTES) {
            break;
        }
        g = more;
    }
    for (;;) {
        const rbc__voxelize_job job = job_of(&g, NULL, &depth);
        *workspace_bytes = device->voxelize_workspace_bytes(context, &job);
        if (*workspace_bytes <= MOST_WORKSPACE_BYTES || g.count == 1) {
            return g;
        }
        g.count = (g.count + 1) / 2;
        lay_out(&g);
    }
}

static void fill(const group *g, uint8_t *host) {
    const rbc__voxel_spec *spec = g->jobs[0].spec;
    int32_t *lengths = (int32_t *)(void *)(host + g->lengths);
    memcpy(host + g->camera, spec->intrinsics, sizeof spec->intrinsics);
    memcpy(host + g->camera + sizeof spec->intrinsics, spec->pose, sizeof spec->pose);
    for (int64_t i = 0; i < g->count; ++i) {
        const rbc__voxel_job *job = &g->jobs[i];
        lengths[i] = (int32_t)job->num_points;
        if (job->num_points > 0) {
            memcpy(host + g->points + i * g->stride, job->points,
                   (size_t)(job->num_points * spec->point_bytes));
        }
    }
}

static rbc_status make(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                       rbc_context *context, const group *g, uint64_t workspace_bytes,
                       rbc_error *err) {
    const rbc__pipe_ops *ops = device->pipe;
    rbc__pipe_memory memory;
    rbc__depth_source depth;
    RBC__TRY(ops->reserve(pipe, g->bytes, g->bytes + (int64_t)workspace_bytes, &memory, err));
    fill(g, memory.host);
    ops->mark(pipe, RBC_GPU_COPY);
    RBC__TRY(ops->copy(pipe, memory.device + g->lengths, memory.host + g->lengths,
                       g->bytes - g->lengths, err));
    rbc__voxelize_job job = job_of(g, memory.device, &depth);
    job.workspace = (char *)memory.device + g->bytes;
    job.workspace_bytes = workspace_bytes;
    ops->mark(pipe, RBC_GPU_GRID);
    RBC__TRY(device->voxelize(context, &job, device_id, ops->stream(pipe), err));
    RBC__TRY(ops->copy(pipe, memory.host, memory.device, g->count * (int64_t)sizeof(int64_t), err));
    RBC__TRY(ops->wait(pipe, err));
    const int64_t *dropped = (const int64_t *)(const void *)memory.host;
    for (int64_t i = 0; i < g->count; ++i) {
        *g->jobs[i].dropped = dropped[i];
    }
    return RBC_OK;
}

rbc_status rbc__device_voxelize(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                                rbc_context *context, const rbc__voxel_job *jobs, int64_t count,
                                rbc_error *err) {
    for (int64_t first = 0; first < count;) {
        if (jobs[first].status != RBC_OK) {
            ++first;
            continue;
        }
        uint64_t workspace_bytes;
        const group g = choose(device, context, jobs + first, count - first, &workspace_bytes);
        RBC__TRY(make(device, device_id, pipe, context, &g, workspace_bytes, err));
        first += g.count;
    }
    return RBC_OK;
}
