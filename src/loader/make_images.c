/* Images of rows, encoded or as pixels: jobs that decode them, or make others of them. */
#include "loader/make.h"

#include <string.h>

#include "core/error.h"

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

/* Samples that share their bytes are told apart: where they are damaged a message names one. */
int64_t rbc__same_image(const rbc__rows *rows, int32_t w, int64_t pick, const rbc__sample *sample,
                        bool is_there, uint64_t key) {
    const rbc__list_of_jobs *jobs = &rows->jobs;
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const char *stream = rows->params.spec->used[window->stream_at].schema->name;
    const int64_t last = jobs->num_decode - 1;
    for (int64_t i = last; i >= 0 && last - i < RBC__SAME_JOBS; --i) {
        const rbc__decode_job *job = &jobs->decode[i];
        if (job->encoded == sample->bytes && job->num_bytes == sample->num_bytes &&
            job->pick == pick && job->stream == stream &&
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

/* Nothing at one target, on the batch's device. */
static rbc__decode_job nothing_of(const rbc__window_spec *window, uint8_t *dst) {
    return (rbc__decode_job){.made = window->made,
                             .dst = dst,
                             .bytes = window->target_bytes,
                             .is_there = true,
                             .is_nothing = true,
                             .dtype = window->dtype,
                             .is_nan = window->outside == RBC_OUTSIDE_NAN};
}

/* Image `i` of a window, encoded, or, `is_pixels`, as it is. */
rbc_status rbc__add_image(rbc__rows *rows, int64_t row, int32_t w, int64_t i,
                          const rbc__sample *sample, bool is_pixels, uint8_t *dst, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    const int64_t pick = rbc__rows_cell(rows, w, row)->picks[i];
    const uint64_t key = window->made != NULL ? key_of(rows, &rows->rows[row], window, i) : 0;
    const bool is_there =
        window->voxels == NULL && rows->params.spec->fields[window->value_field].is_there;
    const int64_t same = rbc__same_image(rows, w, pick, sample, is_there, key);
    if (same >= 0) {
        rbc__copy_job *copy = rbc__jobs_add_copy(&rows->jobs);
        if (copy == NULL) {
            return rbc__no_job_memory(err);
        }
        *copy = (rbc__copy_job){
            .from = same, .bytes = window->target_bytes, .window = w, .row = row, .target = i};
        copy->dst = dst;
        return RBC_OK;
    }
    rbc__decode_job *job = rbc__jobs_add_decode(&rows->jobs);
    if (job == NULL) {
        return rbc__no_job_memory(err);
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
        .target = i,
        .pick = pick,
        .blob = sample->blob,
        .offset = sample->offset,
    };
    return RBC_OK;
}

/* No image for element `dst` of a window. */
rbc_status rbc__add_nothing(rbc__rows *rows, int64_t row, int32_t w, uint8_t *dst, rbc_error *err) {
    const rbc__window_spec *window = &rows->params.spec->windows[w];
    if (window->target_bytes == 0 || !rows->params.spec->fields[window->value_field].is_there) {
        rbc__deliver_nothing(window, dst);
        return RBC_OK;
    }
    rbc__decode_job *job = rbc__jobs_add_decode(&rows->jobs);
    if (job == NULL) {
        return rbc__no_job_memory(err);
    }
    *job = nothing_of(window, dst);
    job->window = w;
    job->row = row;
    return RBC_OK;
}

/* Says where frames go, which are decoded when the request is finished. */
void rbc__put_frames(rbc__rows *rows, rbc_batch *batch) {
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
rbc_status rbc__add_images(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
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
            RBC__TRY(rbc__add_nothing(rows, row_at, w, dst, err));
        } else if (window->made != NULL || is_there) {
            const bool is_frame = sample.encoding == RBC__ENCODING_FRAME;
            RBC__TRY(rbc__add_image(rows, row_at, w, i, &sample, is_frame, dst, err));
        } else if (sample.encoding ==
                   RBC__ENCODING_FRAME) { /* decoded with its group, mostly to here */
            if (sample.bytes != dst) {
                memcpy(dst, sample.bytes, (size_t)window->target_bytes);
            }
        } else {
            RBC__TRY(rbc__add_image(rows, row_at, w, i, &sample, false, dst, err));
        }
    }
    return RBC_OK;
}

/* Adds what is to be made of images stored as numbers. */
rbc_status rbc__add_pixels(rbc__rows *rows, int64_t row_at, int32_t w, rbc_error *err) {
    const rbc__batch_spec *spec = rows->params.spec;
    const rbc__window_spec *window = &spec->windows[w];
    const rbc__row *row = &rows->rows[row_at];
    const rbc__cell *cell = rbc__rows_cell(rows, w, row_at);
    uint8_t *dst = rbc__batch_row(rows->batch, &spec->fields[window->value_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        if (cell->pixels[i] == NULL) {
            RBC__TRY(rbc__add_nothing(rows, row_at, w, dst, err));
        } else {
            const rbc__sample sample = {.bytes = cell->pixels[i],
                                        .blob = rbc__blob_id(row->episode->parsed.part, 0)};
            RBC__TRY(rbc__add_image(rows, row_at, w, i, &sample, true, dst, err));
        }
    }
    return RBC_OK;
}

void rbc__fail_image(rbc__rows *rows, int64_t row, int32_t window, int64_t target,
                     const rbc__decode_job *job) {
    char name[1024];
    rbc_error problem;
    if (job->problem == NULL) {
        rbc__row_fail(&rows->rows[row], window, target, NULL);
        return;
    }
    problem = *job->problem;
    rbc__fail_within(&problem, problem.status, "%s: byte %llu: sample %lld",
                     rbc__rows_blob_name(rows, job->blob, name, sizeof name),
                     (unsigned long long)job->offset, (long long)job->pick);
    rbc__row_fail(&rows->rows[row], window, target, &problem);
}

void rbc__decode_images(rbc__rows *rows, rbc__maker *maker) {
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
        /* Of depth images rbc__make_grids() tells, in the order of their window. */
        const bool is_told =
            job->is_nothing || rows->params.spec->windows[job->window].voxels == NULL;
        if (job->status != RBC_OK && is_told) {
            rbc__fail_image(rows, job->row, job->window, job->target, job);
        }
    }
    for (int64_t i = 0; i < jobs->num_copy; ++i) {
        const rbc__copy_job *copy = &jobs->copy[i];
        const rbc__decode_job *from = &jobs->decode[copy->from];
        if (from->status != RBC_OK) {
            rbc__fail_image(rows, copy->row, copy->window, copy->target, from);
        }
    }
    rows->stats.decode_ns += rbc__timeline_enter(rbc__rows_timeline(rows), RBC_STAGE_ALIGN) - begin;
}

/* Images of streams that the dataset lacks, where they are made on the batch's device. */
rbc_status rbc__add_absent(rbc__rows *rows, int64_t row_at, rbc_error *err) {
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
            return rbc__no_job_memory(err);
        }
    }
    return RBC_OK;
}

/* Nothing at all targets of a window of a row, on the batch's device. */
rbc_status rbc__mask_there(rbc__rows *rows, const rbc__window_spec *window, int64_t row,
                           rbc__maker *maker, rbc_error *err) {
    const rbc__field_spec *field = &rows->params.spec->fields[window->value_field];
    rbc__list_of_jobs jobs = {0};
    rbc_status status = RBC_OK;
    for (int64_t k = 0; k < window->width && status == RBC_OK; ++k) {
        rbc__decode_job *job = rbc__jobs_add_decode(&jobs);
        if (job == NULL) {
            status = rbc__no_job_memory(err);
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
            status = rbc__no_job_memory(err);
        }
    }
    rbc__jobs_free(&jobs);
    return status;
}
