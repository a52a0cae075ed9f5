/* Grids of rows, of clouds and depth images. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"

/* An earlier job of the same points into the same grid, or -1. */
static int64_t same_grid(const rbc__list_of_jobs *jobs, const rbc__voxel_spec *spec,
                         const uint8_t *source, int64_t num_points) {
    const int64_t last = jobs->num_voxel - 1;
    for (int64_t i = last; i >= 0 && last - i < RBC__SAME_JOBS; --i) {
        const rbc__voxel_job *job = &jobs->voxel[i];
        if (job->source == source && job->num_points == num_points && job->spec == spec) {
            return i;
        }
    }
    return -1;
}

/* Of an encoded image that is to be decoded: number of the job, and where its pixels will be. */
static rbc_status add_depth(rbc__rows *rows, int64_t row, int32_t w, int64_t i,
                            const rbc__sample *sample, rbc__voxel_job *out, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    out->decode =
        rbc__same_image(rows, w, rbc__rows_cell(rows, w, row)->picks[i], sample, false, 0);
    if (out->decode < 0) {
        const rbc__voxel_spec *voxels = window->voxels;
        uint8_t *pixels =
            rbc__arena_take(&rows->arena, (size_t)(voxels->num_points * voxels->point_bytes));
        if (pixels == NULL) {
            return rbc__no_job_memory(err);
        }
        out->decode = rows->jobs.num_decode;
        RBC__TRY(rbc__add_image(rows, row, w, i, sample, false, pixels, err));
        rows->jobs.decode[out->decode].row_bytes = voxels->depth.row_stride_bytes;
    }
    out->points = rows->jobs.decode[out->decode].dst;
    return RBC_OK;
}

static rbc_status add_grid(rbc__rows *rows, int64_t row_at, int32_t w, int64_t i, uint8_t *dst,
                           int64_t *dropped, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    rbc__voxel_job job = {.spec = window->voxels,
                          .num_points = window->voxels->num_points,
                          .out = dst,
                          .dropped = dropped,
                          .decode = -1,
                          .window = w,
                          .row = row_at};
    rbc__sample sample = {0};
    if (cell->pixels != NULL) {
        job.source = cell->pixels[i];
        job.num_points =
            job.source != NULL && cell->num_points != NULL ? cell->num_points[i] : job.num_points;
    } else if (cell->wants[i] != UINT32_MAX) {
        rbc__request_get(rows->request, cell->wants[i], &sample);
        job.source = sample.num_bytes > 0 ? sample.bytes : NULL;
        uint8_t *valid = rbc__batch_row(rows->batch, &spec->fields[window->valid_field],
                                        rows->rows[row_at].index);
        valid[i] = valid[i] && sample.num_bytes > 0;
    }
    if (job.source == NULL) {
        *dropped = 0;
        return rbc__add_nothing(rows, row_at, w, dst, err);
    }
    job.points = job.source;
    job.same = same_grid(&rows->jobs, job.spec, job.source, job.num_points);
    if (cell->pixels == NULL && sample.encoding != RBC__ENCODING_FRAME) {
        RBC__TRY(add_depth(rows, row_at, w, i, &sample, &job, err));
    }
    rbc__voxel_job *added = rbc__jobs_add_voxel(&rows->jobs);
    if (added == NULL) {
        return rbc__no_job_memory(err);
    }
    *added = job;
    return RBC_OK;
}

rbc_status rbc__add_grids(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const int64_t row = rows->rows[row_at].index;
    uint8_t *dst = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row);
    uint8_t *dropped = rbc__batch_row(rows->batch, &spec->fields[window->dropped_field], row);
    for (int64_t i = 0; i < window->width; ++i) {
        RBC__TRY(add_grid(rows, row_at, w, i, dst + i * window->target_bytes,
                          (int64_t *)(void *)dropped + i, err));
    }
    return RBC_OK;
}

void rbc__make_grids(rbc__rows *rows, rbc__maker *maker) {
    rbc__list_of_jobs *jobs = &rows->jobs;
    for (int64_t i = 0; i < jobs->num_voxel; ++i) {
        rbc__voxel_job *job = &jobs->voxel[i];
        const rbc__decode_job *decode = job->decode >= 0 ? &jobs->decode[job->decode] : NULL;
        if (decode != NULL && decode->status != RBC_OK) {
            job->status = decode->status;
            rbc__fail_image(rows, job->row, job->window, 0, decode);
        }
    }
    maker->ops->voxelize(maker, rows->batch, jobs->voxel, jobs->num_voxel);
    for (int64_t i = 0; i < jobs->num_voxel; ++i) {
        const rbc__voxel_job *job = &jobs->voxel[i];
        if (job->status != RBC_OK) {
            rbc__row_fail(&rows->rows[job->row], job->window, 0, job->problem);
        }
    }
}
