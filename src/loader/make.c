/* Stages 7 to 9: what has been read becomes the fields of a batch. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/utf8.h"
#include "loader/rows.h"
#include "loader/vector.h"

/* Jobs that are searched for an image that is decoded already: neighbours share theirs. */
#define SAME_IMAGE_JOBS 64

void rbc__deliver_nothing(const rbc__window_spec *window, uint8_t *dst) {
    rbc__put_nothing(window->dtype, window->outside == RBC_OUTSIDE_NAN, window->target_bytes, dst);
}

/* What the request failed at. */
static void take_failures(rbc__rows *rows) {
    if (rbc__request_num_failures(rows->request) == 0) {
        return;
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        int32_t rank;
        const rbc_error *problem = rbc__request_failure(rows->request, (int32_t)i, &rank);
        if (problem != NULL) {
            rbc__row_fail(&rows->rows[i], rank, problem);
        }
    }
}

static rbc_status no_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the jobs of a batch");
}

static const char *blob_name(const rbc__rows *rows, int64_t blob, char *buffer, size_t bytes) {
    rbc__store *store = rows->params.requests.store;
    return store->ops->name(store, blob, buffer, bytes);
}

/* ---- images -------------------------------------------------------------------------------------
 */

static bool same_shape(const rbc__image_shape *a, const rbc__image_shape *b) {
    return a->height == b->height && a->width == b->width && a->channels == b->channels &&
           a->bits == b->bits && a->is_first == b->is_first;
}

/* Whether two jobs of one image give the same. */
static bool is_made_alike(const rbc__decode_job *job, const rbc__window_spec *window,
                          uint64_t key) {
    if (window->made != NULL || job->made != NULL) {
        return job->made == window->made && (job->key == key || !job->made->is_random);
    }
    return same_shape(&job->shape, &window->image);
}

/* An earlier job of the same image into the same pixels, or -1. */
static int64_t same_image(const rbc__list_of_jobs *jobs, const rbc__sample *sample,
                          const rbc__window_spec *window, bool is_there, uint64_t key) {
    const int64_t last = jobs->num_decode - 1;
    for (int64_t i = last; i >= 0 && last - i < SAME_IMAGE_JOBS; --i) {
        const rbc__decode_job *job = &jobs->decode[i];
        if (job->encoded == sample->bytes && job->num_bytes == sample->num_bytes &&
            job->is_ros == (sample->encoding == RBC__ENCODING_ROS) &&
            job->pixels == sample->stored && job->is_there == is_there &&
            is_made_alike(job, window, key)) {
            return i;
        }
    }
    return -1;
}

/* Of the image that element `i` of a window is. */
static uint64_t key_of(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                       int64_t i) {
    const char *name = rows->params.spec->fields[window->value_field].name;
    return rbc_image_key(rows->params.order.seed, row->epoch,
                         rbc__episodes_id(rows->params.episodes, row->episode_at), row->tick,
                         (rbc_image_share)window->made->params.share, name, i);
}

/* No image, on the batch's device. */
static rbc__decode_job nothing_of(const rbc__window_spec *window, uint8_t *dst) {
    return (rbc__decode_job){.made = window->made,
                             .dst = dst,
                             .bytes = window->target_bytes,
                             .is_there = true,
                             .is_nothing = true,
                             .is_nan = window->outside == RBC_OUTSIDE_NAN};
}

/* Image `i` of a window, encoded, or, `is_pixels`, as it is. */
static rbc_status add_image(rbc__rows *rows, int64_t row, int32_t w, int64_t i,
                            const rbc__sample *sample, bool is_pixels, uint8_t *dst,
                            rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const int64_t pick = rbc__rows_cell(rows, w, row)->picks[i];
    const uint64_t key = window->made != NULL ? key_of(rows, &rows->rows[row], window, i) : 0;
    const bool is_there =
        window->voxels == NULL && rows->params.spec->fields[window->value_field].is_there;
    const int64_t same = same_image(&rows->jobs, sample, window, is_there, key);
    if (same >= 0) {
        rbc__copy_job *copy = rbc__jobs_add_copy(&rows->jobs);
        if (copy == NULL) {
            return no_memory(err);
        }
        *copy =
            (rbc__copy_job){.from = same, .bytes = window->target_bytes, .window = w, .row = row};
        copy->dst = dst;
        return RBC_OK;
    }
    rbc__decode_job *job = rbc__jobs_add_decode(&rows->jobs);
    if (job == NULL) {
        return no_memory(err);
    }
    *job = (rbc__decode_job){
        .encoded = sample->bytes,
        .num_bytes = sample->num_bytes,
        .shape = window->image,
        .is_ros = sample->encoding == RBC__ENCODING_ROS,
        .pixels = sample->stored,
        .made = window->made,
        .key = key,
        .is_pixels = is_pixels,
        .dst = dst,
        .row_bytes = window->made == NULL ? window->target_bytes / window->image.height : 0,
        .bytes = window->target_bytes,
        .is_there = is_there,
        .stream = rows->params.spec->used[window->stream_at].schema->name,
        .window = w,
        .row = row,
        .pick = pick,
        .blob = sample->blob,
        .offset = sample->offset,
    };
    return RBC_OK;
}

/* No image for element `dst` of a window. */
static rbc_status add_nothing(rbc__rows *rows, int64_t row, int32_t w, uint8_t *dst,
                              rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    if (window->target_bytes == 0 || !rows->params.spec->fields[window->value_field].is_there) {
        rbc__deliver_nothing(window, dst);
        return RBC_OK;
    }
    rbc__decode_job *job = rbc__jobs_add_decode(&rows->jobs);
    if (job == NULL) {
        return no_memory(err);
    }
    *job = nothing_of(window, dst);
    job->window = w;
    job->row = row;
    return RBC_OK;
}

/* Says where frames go, which are decoded when the request is finished. */
static void put_frames(rbc__rows *rows, rbc_batch *batch) {
    const rbc__batch_spec *spec = rows->params.spec;
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const rbc__window_spec *window = &spec->windows[w];
        const bool has_frames =
            window->made == NULL && window->voxels == NULL &&
            !spec->fields[window->value_field].is_there &&
            spec->used[window->stream_at].schema->stored.encoding == RBC__ENCODING_FRAME;
        for (int64_t i = 0; has_frames && i < rows->num_rows; ++i) {
            const rbc__row *row = &rows->rows[i];
            const rbc__cell *cell = rbc__rows_cell(rows, w, i);
            uint8_t *dst = rbc__batch_row(batch, &spec->fields[window->value_field], row->index);
            for (int64_t k = 0; row->failed_rank > w && k < window->width; ++k) {
                if (cell->wants[k] != UINT32_MAX) {
                    rbc__request_put(rows->request, cell->wants[k], dst + k * window->target_bytes);
                }
            }
        }
    }
}

/* Adds what has to be decoded. */
static rbc_status add_images(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    const bool is_there = spec->fields[window->value_field].is_there;
    uint8_t *dst = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index);
    uint8_t *valid = rbc__batch_row(rows->batch, &spec->fields[window->valid_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        rbc__sample sample = {0};
        if (cell->wants[i] != UINT32_MAX) {
            rbc__request_get(rows->request, cell->wants[i], &sample);
        }
        valid[i] = valid[i] && sample.num_bytes > 0;
        if (sample.num_bytes == 0 || window->target_bytes == 0) {
            RBC__TRY(add_nothing(rows, row_at, w, dst, err));
        } else if (window->made != NULL || is_there) {
            const bool is_frame = sample.encoding == RBC__ENCODING_FRAME;
            RBC__TRY(add_image(rows, row_at, w, i, &sample, is_frame, dst, err));
        } else if (sample.encoding ==
                   RBC__ENCODING_FRAME) { /* decoded with its group, mostly to here */
            if (sample.bytes != dst) {
                memcpy(dst, sample.bytes, (size_t)window->target_bytes);
            }
        } else {
            RBC__TRY(add_image(rows, row_at, w, i, &sample, false, dst, err));
        }
    }
    return RBC_OK;
}

/* Adds what is to be made of images stored as numbers. */
static rbc_status add_pixels(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    uint8_t *dst = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        if (cell->pixels[i] == NULL) {
            RBC__TRY(add_nothing(rows, row_at, w, dst, err));
        } else {
            const rbc__sample sample = {.bytes = cell->pixels[i],
                                        .blob = rbc__blob_id(row->episode->parsed.part, 0)};
            RBC__TRY(add_image(rows, row_at, w, i, &sample, true, dst, err));
        }
    }
    return RBC_OK;
}

static void fail_image(rbc__rows *rows, int64_t row, int32_t window, const rbc__decode_job *job) {
    char name[1024];
    rbc_error problem;
    if (job->problem == NULL) {
        rbc__row_fail(&rows->rows[row], window, NULL);
        return;
    }
    problem = *job->problem;
    rbc__fail_within(&problem, problem.status, "%s: byte %llu: sample %lld",
                     blob_name(rows, job->blob, name, sizeof name), (unsigned long long)job->offset,
                     (long long)job->pick);
    rbc__row_fail(&rows->rows[row], window, &problem);
}

static void decode_images(rbc__rows *rows, rbc__maker *maker) {
    const rbc__list_of_jobs *jobs = &rows->jobs;
    const int64_t begin = rbc__timeline_enter(rbc__rows_timeline(rows), RBC_STAGE_DECODE);
    maker->ops->decode(maker, rows->batch, &rows->jobs);
    for (int64_t i = 0; i < jobs->num_decode; ++i) {
        const rbc__decode_job *job = &jobs->decode[i];
        if (!job->is_pixels && !job->is_reused && !job->is_nothing) {
            ++rows->stats.images_decoded;
            rows->stats.images_there += job->was_there;
            rows->stats.bytes_decoded += job->shape.height * job->shape.width *
                                         job->shape.channels * (job->shape.bits > 8 ? 2 : 1);
        }
        /* Of depth images make_grids() tells, in the order of their window. */
        const bool is_told =
            job->is_nothing || rows->params.spec->windows[job->window].voxels == NULL;
        if (job->status != RBC_OK && is_told) {
            fail_image(rows, job->row, job->window, job);
        }
    }
    for (int64_t i = 0; i < jobs->num_copy; ++i) {
        const rbc__copy_job *copy = &jobs->copy[i];
        const rbc__decode_job *from = &jobs->decode[copy->from];
        if (from->status != RBC_OK) {
            fail_image(rows, copy->row, copy->window, from);
        }
    }
    rows->stats.decode_ns += rbc__timeline_enter(rbc__rows_timeline(rows), RBC_STAGE_ALIGN) - begin;
}

/* ---- grids --------------------------------------------------------------------------------------
 */

/* An earlier job of the same points into the same grid, or -1. */
static int64_t same_grid(const rbc__list_of_jobs *jobs, const rbc__voxel_spec *spec,
                         const uint8_t *source, int64_t num_points) {
    const int64_t last = jobs->num_voxel - 1;
    for (int64_t i = last; i >= 0 && last - i < SAME_IMAGE_JOBS; --i) {
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
    out->decode = same_image(&rows->jobs, sample, window, false, 0);
    if (out->decode < 0) {
        const rbc__voxel_spec *voxels = window->voxels;
        uint8_t *pixels =
            rbc__arena_take(&rows->arena, (size_t)(voxels->num_points * voxels->point_bytes));
        if (pixels == NULL) {
            return no_memory(err);
        }
        out->decode = rows->jobs.num_decode;
        RBC__TRY(add_image(rows, row, w, i, sample, false, pixels, err));
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
        return add_nothing(rows, row_at, w, dst, err);
    }
    job.points = job.source;
    job.same = same_grid(&rows->jobs, job.spec, job.source, job.num_points);
    if (cell->pixels == NULL && sample.encoding != RBC__ENCODING_FRAME) {
        RBC__TRY(add_depth(rows, row_at, w, i, &sample, &job, err));
    }
    rbc__voxel_job *added = rbc__jobs_add_voxel(&rows->jobs);
    if (added == NULL) {
        return no_memory(err);
    }
    *added = job;
    return RBC_OK;
}

static rbc_status add_grids(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
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

static void make_grids(rbc__rows *rows, rbc__maker *maker) {
    rbc__list_of_jobs *jobs = &rows->jobs;
    for (int64_t i = 0; i < jobs->num_voxel; ++i) {
        rbc__voxel_job *job = &jobs->voxel[i];
        const rbc__decode_job *decode = job->decode >= 0 ? &jobs->decode[job->decode] : NULL;
        if (decode != NULL && decode->status != RBC_OK) {
            job->status = decode->status;
            fail_image(rows, job->row, job->window, decode);
        }
    }
    maker->ops->voxelize(maker, rows->batch, jobs->voxel, jobs->num_voxel);
    for (int64_t i = 0; i < jobs->num_voxel; ++i) {
        const rbc__voxel_job *job = &jobs->voxel[i];
        if (job->status != RBC_OK) {
            rbc__row_fail(&rows->rows[job->row], job->window, job->problem);
        }
    }
}

/* ---- text ---------------------------------------------------------------------------------------
 */

static rbc_status put_texts(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__field_spec *field = &spec->fields[window->value_field];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    for (int64_t i = 0; i < window->width; ++i) {
        rbc__sample text = {0};
        uint64_t bad_at = 0;
        if (cell->wants[i] != UINT32_MAX) {
            rbc__request_get(rows->request, cell->wants[i], &text);
        }
        if (!rbc__utf8_check(text.bytes, text.num_bytes, &bad_at)) {
            char name[1024];
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: byte %llu: stream '%s': sample %lld is not UTF-8",
                             blob_name(rows, text.blob, name, sizeof name),
                             (unsigned long long)(text.offset + bad_at),
                             spec->used[window->stream_at].schema->name, (long long)cell->picks[i]);
        }
        RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                     row->index * field->row_elements + i, text.bytes,
                                     text.num_bytes, err));
    }
    return RBC_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

/* Values that were read around those taken. */
static void copy_picks(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                       const rbc__cell *cell) {
    const int64_t bytes = window->target_bytes;
    uint8_t *dst =
        rbc__batch_row(rows->batch, &rows->params.spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += bytes) {
        if (cell->picks[i] < 0) {
            rbc__deliver_nothing(window, dst);
        } else {
            memcpy(dst, cell->values + (cell->picks[i] - cell->begin) * bytes, (size_t)bytes);
        }
    }
}

/* The same of a window that is not plain. */
static void put_picks(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                      const rbc__cell *cell) {
    const int64_t bytes = rbc__vector_stored_bytes(window);
    uint8_t *dst =
        rbc__batch_row(rows->batch, &rows->params.spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        const int64_t pick = cell->picks[i];
        rbc__vector_put(window, pick < 0 ? NULL : cell->values + (pick - cell->begin) * bytes, dst);
    }
}

static uint8_t *valid_of(const rbc__rows *rows, const rbc__row *row, const rbc__window_spec *window,
                         const rbc__cell *cell) {
    return cell->valid != NULL
               ? cell->valid
               : rbc__batch_row(rows->batch, &rows->params.spec->fields[window->valid_field],
                                row->index);
}

static rbc_status add_alignment(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    uint8_t *out = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index) +
                   window->begin_bytes;
    uint8_t *valid = valid_of(rows, row, window, cell);
    int64_t out_bytes = window->target_bytes;
    if (window->has_reduction || window->dtype != window->stored) {
        /* Of reductions the targets at which intervals begin have rows too, which are left behind. */
        const size_t num_targets = (size_t)rbc__window_num_targets(window);
        out_bytes = rbc__vector_stored_bytes(window);
        out = rbc__arena_take(&rows->arena, num_targets * ((size_t)out_bytes + 1));
        if (out == NULL) {
            return no_memory(err);
        }
        valid = window->has_reduction ? out + num_targets * (size_t)out_bytes : valid;
    }
    rbc__align_job *job = rbc__jobs_add_align(&rows->jobs);
    if (job == NULL) {
        return no_memory(err);
    }
    job->window = w;
    job->row = row_at;
    rbc__choose_job(window, cell, spec->used[window->stream_at].sample_bytes, out, out_bytes, valid,
                    job);
    return RBC_OK;
}

static void finish_alignment(rbc__rows *rows, const rbc__align_job *job) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[job->window];
    rbc__row *row = &rows->rows[job->row];
    uint8_t *out = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index);
    const rbc__cell *cell = rbc__rows_cell(rows, job->window, job->row);
    uint8_t *valid = valid_of(rows, row, window, cell);
    const uint8_t *is_pad =
        rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row->index);
    const size_t bytes = (size_t)window->target_bytes;
    if (job->status != RBC_OK) {
        char name[1024];
        rbc_error problem;
        if (job->problem != NULL) {
            problem = *job->problem;
            rbc__fail_within(
                &problem, problem.status, "%s: stream '%s'",
                blob_name(rows, rbc__blob_id(row->episode->parsed.part, 0), name, sizeof name),
                spec->used[window->stream_at].schema->name);
        }
        rbc__row_fail(row, job->window, job->problem != NULL ? &problem : NULL);
        return;
    }
    for (int64_t i = 0; window->has_reduction && i < window->width; ++i) {
        valid[i] = (uint8_t)job->job.valid[rbc__window_target_index(window, i)];
    }
    for (int64_t i = 0; (window->has_reduction || !window->is_plain) && i < window->width; ++i) {
        const uint8_t *made = (const uint8_t *)job->job.out + rbc__window_target_index(window, i) *
                                                                  job->job.out_target_stride_bytes;
        if (window->is_plain) {
            memcpy(out + (size_t)i * bytes, made, bytes);
        } else {
            rbc__vector_put(window, cell->begin < cell->end ? made : NULL, out + (size_t)i * bytes);
        }
    }
    for (int64_t i = 0; i < window->width && window->is_plain && rbc__window_fills(window); ++i) {
        if (is_pad[i]) {
            valid[i] = 0;
            rbc__deliver_nothing(window, out + (size_t)i * bytes);
        }
    }
}

/* ---- the stages ---------------------------------------------------------------------------------
 */

static rbc_status make_cell(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const rbc__used_stream *used = &rows->params.spec->used[window->stream_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    if (window->voxels != NULL) {
        return add_grids(rows, row_at, w, err);
    }
    if (cell->pixels != NULL) {
        return add_pixels(rows, row_at, w, err);
    }
    if (cell->wants != NULL) {
        return used->schema->kind == RBC_STREAM_TEXT ? put_texts(rows, row_at, w, err)
                                                     : add_images(rows, row_at, w, err);
    }
    if (cell->picks == NULL) {
        return add_alignment(rows, row_at, w, err);
    }
    if (!window->is_plain) {
        put_picks(rows, &rows->rows[row_at], window, cell);
    } else if (cell->values != NULL) {
        copy_picks(rows, &rows->rows[row_at], window, cell);
    }
    return RBC_OK;
}

/* Once all parts of the vector that begins at window `head` are there. */
static void finish_vector(rbc__rows *rows, int64_t row_at, int32_t head) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[head];
    const rbc__row *row = &rows->rows[row_at];
    uint8_t *out = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index);
    uint8_t *valid = rbc__batch_row(rows->batch, &spec->fields[window->valid_field], row->index);
    const uint8_t *is_pad =
        rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row->index);
    if (row->failed_rank < head + window->num_parts) {
        return;
    }
    for (int64_t i = 0; i < window->width; ++i) {
        for (int32_t part = 0; window->num_parts > 1 && part < window->num_parts; ++part) {
            const bool is_valid = rbc__rows_cell(rows, head + part, row_at)->valid[i] != 0;
            valid[i] = is_valid && (part == 0 || valid[i]);
        }
        if (rbc__window_fills(window) && (is_pad[i] || !valid[i])) {
            valid[i] = 0;
            rbc__deliver_nothing(window, out + i * window->target_bytes);
        }
    }
}

static void put_i64(const rbc__rows *rows, const rbc__row *row, int32_t field, int64_t value) {
    memcpy(rbc__batch_row(rows->batch, &rows->params.spec->fields[field], row->index), &value,
           sizeof value);
}

/* A field of a stream that the dataset lacks. */
static rbc_status put_absent(rbc__rows *rows, const rbc__row *row, const rbc__field_spec *field,
                             rbc_error *err) {
    if (field->text_index < 0) {
        if (!field->is_there) {
            memset(rbc__batch_row(rows->batch, field, row->index), 0, (size_t)field->row_bytes);
        }
        return RBC_OK;
    }
    for (int64_t i = 0; i < field->row_elements; ++i) {
        RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                     row->index * field->row_elements + i, "", 0, err));
    }
    return RBC_OK;
}

/* What is said of each row, whether it could be made or not. */
static void put_facts(rbc__rows *rows, rbc__row *row) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    rbc_status status = RBC_OK;
    const char *task = row->episode != NULL ? row->episode->task : "";
    const uint64_t task_bytes = row->episode != NULL ? row->episode->task_bytes : 0;
    put_i64(rows, row, spec->index_field, row->episode_at);
    put_i64(rows, row, spec->id_field, rbc__episodes_id(rows->params.episodes, row->episode_at));
    put_i64(rows, row, spec->step_field, row->tick);
    put_i64(rows, row, spec->time_field, row->tick_ns);
    status = rbc__batch_put_text(rows->batch, rows->text_arena,
                                 spec->fields[spec->task_field].text_index, row->index, task,
                                 task_bytes, &problem);
    if (status == RBC_OK && spec->dataset_field >= 0) {
        const char *name = rows->params.name;
        put_i64(rows, row, spec->number_field, rows->params.number);
        status = rbc__batch_put_text(rows->batch, rows->text_arena,
                                     spec->fields[spec->dataset_field].text_index, row->index, name,
                                     strlen(name), &problem);
    }
    for (int32_t i = 0; i < spec->num_absent && status == RBC_OK; ++i) {
        status = put_absent(rows, row, &spec->fields[spec->absent[i]], &problem);
    }
    if (status != RBC_OK) {
        rbc__row_fail(row, spec->num_windows, &problem);
    }
}

/* What was fetched before there was a batch to go to. */
static void move_to_batch(rbc__rows *rows, rbc_batch *batch) {
    const rbc__batch_spec *spec = rows->params.spec;
    rows->batch = batch;
    for (int32_t f = 0; f < rows->num_aside; ++f) {
        const rbc__field_spec *field = &spec->fields[f];
        for (int64_t i = 0; rows->aside[f] != NULL && i < rows->num_rows; ++i) {
            memcpy(rbc__batch_row(batch, field, rows->rows[i].index),
                   rows->aside[f] + i * field->row_bytes, (size_t)field->row_bytes);
        }
    }
}

/* Images of streams that the dataset lacks, where they are made on the batch's device. */
static rbc_status add_absent(rbc__rows *rows, int64_t row_at, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    for (int32_t i = 0; i < spec->num_absent; ++i) {
        const rbc__field_spec *field = &spec->fields[spec->absent[i]];
        rbc__decode_job *job = field->is_there ? rbc__jobs_add_decode(&rows->jobs) : NULL;
        if (job != NULL) {
            job->dst = rbc__batch_row(rows->batch, field, rows->rows[row_at].index);
            job->bytes = field->row_bytes;
            job->is_there = job->is_nothing = true;
            job->window = spec->num_windows;
            job->row = row_at;
        } else if (field->is_there) {
            return no_memory(err);
        }
    }
    return RBC_OK;
}

void rbc__rows_make(rbc__rows *rows, rbc__maker *maker, rbc_batch *batch, int32_t text_arena,
                    const atomic_bool *cancel) {
    const rbc__batch_spec *spec = rows->params.spec;
    rbc_error problem;
    rows->text_arena = text_arena;
    put_frames(rows, batch);
    rbc__request_finish(rows->request, cancel);
    take_failures(rows);
    if (rows->batch != batch) {
        move_to_batch(rows, batch);
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        for (int64_t i = 0; i < rows->num_rows; ++i) {
            if (rows->rows[i].failed_rank > w && make_cell(rows, i, w, &problem) != RBC_OK) {
                rbc__row_fail(&rows->rows[i], w, &problem);
            }
        }
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        if (add_absent(rows, i, &problem) != RBC_OK) {
            rbc__row_fail(&rows->rows[i], spec->num_windows, &problem);
        }
    }
    if (rows->jobs.num_decode > 0) {
        decode_images(rows, maker);
    }
    if (rows->jobs.num_voxel > 0) {
        make_grids(rows, maker);
    }
    if (rows->jobs.num_align > 0) {
        maker->ops->align(maker, rows->jobs.align, rows->jobs.num_align);
        for (int64_t i = 0; i < rows->jobs.num_align; ++i) {
            finish_alignment(rows, &rows->jobs.align[i]);
        }
    }
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        for (int64_t i = 0; i < rows->num_rows && !spec->windows[w].is_plain; ++i) {
            if (spec->windows[w].head == w) {
                finish_vector(rows, i, w);
            }
        }
    }
    for (int64_t i = 0; i < rows->num_rows; ++i) {
        put_facts(rows, &rows->rows[i]);
    }
}

/* No image at all targets of a window of a row, on the batch's device. */
static rbc_status mask_there(rbc__rows *rows, const rbc__window_spec *window, int64_t row,
                             rbc__maker *maker, rbc_error *err) {
    const rbc__field_spec *field = &rows->params.spec->fields[window->value_field];
    rbc__list_of_jobs jobs = {0};
    rbc_status status = RBC_OK;
    for (int64_t k = 0; k < window->width && status == RBC_OK; ++k) {
        rbc__decode_job *job = rbc__jobs_add_decode(&jobs);
        if (job == NULL) {
            status = no_memory(err);
        } else {
            *job = nothing_of(window,
                              rbc__batch_row(rows->batch, field, row) + k * window->target_bytes);
        }
    }
    if (status == RBC_OK) {
        maker->ops->decode(maker, rows->batch, &jobs);
    }
    for (int64_t k = 0; k < jobs.num_decode && status == RBC_OK; ++k) {
        status = jobs.decode[k].status;
        if (status != RBC_OK && jobs.decode[k].problem != NULL && err != NULL) {
            *err = *jobs.decode[k].problem;
        } else if (status != RBC_OK) {
            status = no_memory(err);
        }
    }
    rbc__jobs_free(&jobs);
    return status;
}

rbc_status rbc__rows_mask(rbc__rows *rows, int64_t i, rbc__maker *maker, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const int64_t row = rows->rows[i].index;
    for (int32_t w = 0; w < spec->num_windows; ++w) {
        const rbc__window_spec *window = &spec->windows[w];
        const rbc__field_spec *field = &spec->fields[window->value_field];
        memset(rbc__batch_row(rows->batch, &spec->fields[window->pad_field], row), 0,
               (size_t)window->width);
        memset(rbc__batch_row(rows->batch, &spec->fields[window->valid_field], row), 0,
               (size_t)window->width);
        if (window->lengths_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->lengths_field], row), 0,
                   (size_t)window->width * sizeof(int64_t));
        }
        if (window->dropped_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->dropped_field], row), 0,
                   (size_t)window->width * sizeof(int64_t));
        }
        if (window->future_field >= 0) {
            memset(rbc__batch_row(rows->batch, &spec->fields[window->future_field], row), 0,
                   sizeof(int64_t));
        }
        if (field->is_there) {
            RBC__TRY(mask_there(rows, window, row, maker, err));
            continue;
        }
        for (int64_t k = 0; k < window->width; ++k) {
            if (field->text_index < 0) {
                rbc__deliver_nothing(window, rbc__batch_row(rows->batch, field, row) +
                                                 k * window->target_bytes);
            } else {
                RBC__TRY(rbc__batch_put_text(rows->batch, rows->text_arena, field->text_index,
                                             row * field->row_elements + k, "", 0, err));
            }
        }
    }
    return RBC_OK;
}
