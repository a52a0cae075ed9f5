#include "loader/device_maker.h"

#include <stdlib.h>
#include <string.h>

#include "codec/jpeg_batch.h"
#include "core/error.h"
#include "core/monotonic.h"
#include "loader/device_numbers.h"
#include "loader/device_voxels.h"
#include "loader/slot.h"

enum {
    ALIGNMENT = 256,
    /* Of what is decoded at once: memory of the device, about, and results made on the host. */
    MOST_DEVICE_BYTES = 128 << 20,
    MOST_HOST_BYTES = 8 << 20,
    /* Images made on the host that are copied at once. */
    COPIED_AT_ONCE = 4,
    /* Bytes of the device for each of an image's samples: coefficients, planes, pixels. */
    BYTES_A_SAMPLE = 4,
};

/* What is made with one spec of decoded images: items [first, first + count). */
typedef struct group {
    const rbc__image_spec *spec;
    int64_t first, count;
} group;

typedef struct device_maker {
    rbc__maker base;
    const rbc__backend *device;
    int32_t device_id;
    rbc__pipe *pipe;
    rbc__pace *pace;
    rbc_jpeg_dct dct;
    /* ---- of what is decoded at once; [room] each ---- */
    int64_t room;
    rbc__jpeg_image *images; /* decoded on the device, those behind num_images for their memory */
    int64_t num_images, images_room;
    int64_t *pixels;        /* by image: offset of its pixels, or -1: they go where the job says */
    int64_t *image_of;      /* by job: number of its image, or -1: it is done on the host */
    rbc__image_draw *draws; /* by job */
    rbc__image_item *items;
    group *groups;
    int64_t num_groups;
    rbc__pipe_memory memory;
    int64_t results; /* in the pinned memory: where results made on the host begin */
    uint8_t *valid;  /* on the device; the host's copy begins the pinned memory */
    _Alignas(16) unsigned char kept[RBC__JPEG_KEPT_BYTES];
} device_maker;

static int64_t aligned(int64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Whether all that a job does is to clear. */
static bool is_cleared(const rbc__decode_job *job) {
    return job->is_nothing && !job->is_nan;
}

/* Of pinned memory, where the job is done on the host. */
static int64_t bytes_here(const rbc__decode_job *job) {
    return is_cleared(job) ? 0 : aligned(job->bytes);
}

static const rbc__pipe_ops *pipe_of(const device_maker *m) {
    return m->device->pipe;
}

/* ---- what the device decodes -------------------------------------------------------------------
 */

static bool make_room(device_maker *m, int64_t count) {
    if (count <= m->room) {
        return true;
    }
    const size_t room = (size_t)count + (size_t)count / 2;
    free(m->pixels);
    free(m->image_of);
    free(m->draws);
    free(m->items);
    free(m->groups);
    m->room = 0;
    m->pixels = malloc(room * sizeof *m->pixels);
    m->image_of = malloc(room * sizeof *m->image_of);
    m->draws = malloc(room * sizeof *m->draws);
    m->items = malloc(room * sizeof *m->items);
    m->groups = malloc(room * sizeof *m->groups);
    /* They may have grown before, where the others did not. */
    const size_t had = (size_t)m->images_room;
    rbc__jpeg_image *images = room > had ? realloc(m->images, room * sizeof *images) : m->images;
    if (images != NULL && room > had) {
        m->images = images;
        memset(images + had, 0, (room - had) * sizeof *images);
        m->images_room = (int64_t)room;
    }
    if (m->pixels == NULL || m->image_of == NULL || m->draws == NULL || m->items == NULL ||
        m->groups == NULL || images == NULL) {
        return false;
    }
    m->room = (int64_t)room;
    return true;
}

/* Whether the size found is one that the job takes. */
static bool is_of_size(const rbc__decode_job *job, const rbc__image_shape *found) {
    const bool is_free = job->made != NULL && !rbc__image_spec_keeps_size(job->made);
    return is_free || (found->height == job->shape.height && found->width == job->shape.width);
}

/* Reads the header of a job's image into `image`: whether the device decodes it. */
static bool is_plain(const rbc__decode_job *job, rbc__jpeg_image *image, rbc__image_draw *draw) {
    rbc__image_shape found;
    const int64_t channels = job->shape.channels;
    if (!job->is_there || job->is_nothing || job->is_pixels || job->is_ros ||
        job->shape.bits != 8 || (channels != 1 && channels != 3) ||
        !rbc__jpeg_codec.matches(job->encoded, job->num_bytes) ||
        rbc__jpeg_check(job->encoded, job->num_bytes, NULL, &found, NULL) != RBC_OK ||
        !is_of_size(job, &found) ||
        (job->made != NULL && rbc__image_draw_for(job->made, job->key, found.height, found.width,
                                                  "", draw, NULL) != RBC_OK) ||
        rbc__jpeg_header_read(job->encoded, job->num_bytes, &image->header, NULL) != RBC_OK ||
        !image->header.is_plain) {
        return false;
    }
    image->bytes = job->encoded;
    image->num_bytes = job->num_bytes;
    image->height = found.height;
    image->width = found.width;
    image->channels = channels;
    image->status = RBC_OK;
    image->out = NULL;
    return true;
}

/* Neighbours often want the image before once more, for something else to be made of it. */
static bool is_same(const rbc__jpeg_image *image, const rbc__decode_job *job,
                    rbc__image_draw *draw) {
    const rbc__image_shape found = {.height = image->height, .width = image->width};
    return job->made != NULL && image->bytes == job->encoded &&
           image->num_bytes == job->num_bytes && image->channels == job->shape.channels &&
           job->shape.bits == 8 && !job->is_ros && is_of_size(job, &found) &&
           rbc__image_draw_for(job->made, job->key, found.height, found.width, "", draw, NULL) ==
               RBC_OK;
}

/* The jobs from `first` on that are done at once, on the host where the device is not to; returns the
 * number behind them. */
static int64_t choose(device_maker *m, rbc__decode_job *jobs, int64_t first, int64_t count) {
    int64_t device_bytes = 0;
    int64_t host_bytes = 0;
    int64_t i = first;
    m->num_images = 0;
    for (; i < count; ++i) {
        rbc__decode_job *job = &jobs[i];
        const int64_t last = m->num_images - 1;
        rbc__jpeg_image *image = &m->images[m->num_images];
        int64_t *own = &m->image_of[i - first];
        *own = -1;
        if (!job->is_there) {
            continue;
        }
        if (last >= 0 && m->pixels[last] >= 0 &&
            is_same(&m->images[last], job, &m->draws[i - first])) {
            job->is_reused = true;
            *own = last;
            continue;
        }
        const bool is_there = !m->base.is_on_host && is_plain(job, image, &m->draws[i - first]);
        const int64_t samples = is_there ? image->height * image->width * 3 : 0;
        device_bytes += aligned(samples * BYTES_A_SAMPLE + 2 * (int64_t)job->num_bytes);
        host_bytes += is_there ? 0 : bytes_here(job);
        if (i > first && (device_bytes > MOST_DEVICE_BYTES || host_bytes > MOST_HOST_BYTES)) {
            break;
        }
        if (is_there) {
            m->pixels[m->num_images] = job->made != NULL ? 0 : -1;
            *own = m->num_images++;
        }
    }
    return i;
}

/* ---- on the device -----------------------------------------------------------------------------
 */

/* Puts the images that others are made of in order of what is made of them. */
static void group_items(device_maker *m, const rbc__decode_job *jobs, int64_t count) {
    int64_t num_items = 0;
    m->num_groups = 0;
    for (int64_t i = 0; i < count; ++i) {
        const rbc__image_spec *spec = m->image_of[i] >= 0 ? jobs[i].made : NULL;
        bool is_known = spec == NULL;
        for (int64_t g = 0; g < m->num_groups && !is_known; ++g) {
            is_known = m->groups[g].spec == spec;
        }
        if (is_known) {
            continue;
        }
        group *own = &m->groups[m->num_groups++];
        *own = (group){.spec = spec, .first = num_items};
        for (int64_t k = i; k < count; ++k) {
            if (m->image_of[k] < 0 || jobs[k].made != spec) {
                continue;
            }
            const rbc__jpeg_image *image = &m->images[m->image_of[k]];
            m->items[num_items++] = (rbc__image_item){
                .row_stride_bytes = image->width * image->channels,
                .height = (int32_t)image->height,
                .width = (int32_t)image->width,
                .draw = m->draws[k],
                .out = jobs[k].dst,
            };
        }
        own->count = num_items - own->first;
    }
}

/* Says where pixels are, as group_items() has put the items. */
static void find_pixels(device_maker *m, const rbc__decode_job *jobs, int64_t count) {
    for (int64_t g = 0; g < m->num_groups; ++g) {
        int64_t at = m->groups[g].first;
        for (int64_t k = 0; k < count; ++k) {
            if (m->image_of[k] >= 0 && jobs[k].made == m->groups[g].spec) {
                m->items[at++].pixels = m->images[m->image_of[k]].out;
            }
        }
    }
}

static rbc__image_job image_job(const device_maker *m, const group *g) {
    return (rbc__image_job){
        .spec = g->spec, .items = m->items + g->first, .count = g->count, .pipe = m->pipe};
}

static rbc__jpeg_job jpeg_job(device_maker *m) {
    return (rbc__jpeg_job){.images = m->images,
                           .count = m->num_images,
                           .dct = m->dct,
                           .kept = m->kept,
                           .pipe = m->pipe};
}

/* Memory for all of it, and who is where in it. */
static rbc_status lay_out(device_maker *m, const rbc__decode_job *jobs, int64_t count,
                          rbc__jpeg_job *decoding, uint64_t *made_bytes, rbc_error *err) {
    int64_t host_bytes = aligned(m->num_images);
    int64_t device_bytes = 0;
    int64_t largest = 0;
    m->results = host_bytes;
    memset(m->kept, 0, sizeof m->kept);
    if (m->num_images > 0) {
        RBC__TRY(m->device->decode_jpeg_workspace_bytes(decoding, &decoding->workspace_bytes, err));
    }
    *made_bytes = 0;
    for (int64_t g = 0; g < m->num_groups; ++g) {
        const rbc__image_job job = image_job(m, &m->groups[g]);
        const uint64_t bytes = m->device->image_workspace_bytes(&job);
        *made_bytes = bytes > *made_bytes ? bytes : *made_bytes;
    }
    device_bytes = aligned((int64_t)decoding->workspace_bytes) + aligned((int64_t)*made_bytes) +
                   aligned(m->num_images);
    for (int64_t i = 0; i < m->num_images; ++i) {
        if (m->pixels[i] >= 0) {
            m->pixels[i] = device_bytes;
            device_bytes += aligned((int64_t)rbc__jpeg_image_bytes(&m->images[i]));
        }
    }
    for (int64_t i = 0; i < count; ++i) {
        host_bytes += m->image_of[i] < 0 && jobs[i].is_there ? bytes_here(&jobs[i]) : 0;
        largest = m->image_of[i] >= 0 && jobs[i].bytes > largest ? jobs[i].bytes : largest;
    }
    host_bytes = host_bytes < m->results + largest ? m->results + largest : host_bytes;
    RBC__TRY(pipe_of(m)->reserve(m->pipe, host_bytes, device_bytes, &m->memory, err));
    decoding->workspace = (char *)m->memory.device;
    m->valid = m->memory.device + aligned((int64_t)decoding->workspace_bytes) +
               aligned((int64_t)*made_bytes);
    decoding->valid = m->valid;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t at = m->image_of[i];
        if (at >= 0) {
            m->images[at].out =
                m->pixels[at] >= 0 ? (char *)m->memory.device + m->pixels[at] : (char *)jobs[i].dst;
        }
    }
    return RBC_OK;
}

/* Queues all that the device does. */
static rbc_status queue_all(device_maker *m, const rbc__decode_job *jobs, int64_t count,
                            rbc_error *err) {
    rbc__jpeg_job decoding = jpeg_job(m);
    uint64_t made_bytes;
    group_items(m, jobs, count);
    RBC__TRY(lay_out(m, jobs, count, &decoding, &made_bytes, err));
    if (m->num_images == 0) {
        return RBC_OK;
    }
    void *stream = pipe_of(m)->stream(m->pipe);
    pipe_of(m)->mark(m->pipe, RBC_GPU_COPY); /* until it is there, as the decoder says */
    RBC__TRY(m->device->decode_jpeg(m->base.context, &decoding, m->device_id, stream, err));
    find_pixels(m, jobs, count);
    pipe_of(m)->mark(m->pipe, m->num_groups > 0 ? RBC_GPU_IMAGE : RBC_GPU_DECODE);
    for (int64_t g = 0; g < m->num_groups; ++g) {
        rbc__image_job job = image_job(m, &m->groups[g]);
        job.workspace = (char *)m->memory.device + aligned((int64_t)decoding.workspace_bytes);
        job.workspace_bytes = made_bytes;
        RBC__TRY(m->device->image(m->base.context, &job, m->device_id, stream, err));
    }
    return pipe_of(m)->copy(m->pipe, m->memory.host, m->valid, m->num_images, err);
}

/* ---- on the host -------------------------------------------------------------------------------
 */

/* Queues copies of what jobs [first, end) have made on the host, which begins at `at`; returns where that
 * ends. */
static rbc_status copy_made(device_maker *m, const rbc__decode_job *jobs, int64_t first,
                            int64_t end, uint8_t **at, rbc_error *err) {
    pipe_of(m)->mark(m->pipe, RBC_GPU_COPY);
    for (int64_t i = first; i < end; ++i) {
        const rbc__decode_job *job = &jobs[i];
        if (!job->is_there || m->image_of[i] >= 0) {
            continue;
        }
        if (is_cleared(job)) {
            RBC__TRY(pipe_of(m)->clear(m->pipe, job->dst, job->bytes, err));
        } else if (job->status == RBC_OK) {
            RBC__TRY(pipe_of(m)->copy(m->pipe, job->dst, *at, job->bytes, err));
        }
        *at += bytes_here(job);
    }
    pipe_of(m)->mark(m->pipe, RBC__GPU_NONE);
    return RBC_OK;
}

/* Makes on the host what the device does not, and copies some of it at a time: so that copies are timed,
 * which takes longer than a small one, and do not wait for all. */
static rbc_status run_others(device_maker *m, rbc__decode_job *jobs, int64_t count,
                             rbc_error *err) {
    const rbc__decode_job *before = NULL;
    uint8_t *made = m->memory.host + m->results;
    uint8_t *copied = made;
    int64_t num_decoded = 0;
    int64_t decode_ns = 0; /* of making alone: while threads begin the driver keeps calls waiting */
    int64_t num_made = 0;
    int64_t first = 0;
    pipe_of(m)->mark(m->pipe, RBC__GPU_NONE);
    for (int64_t i = 0; i < count; ++i) {
        rbc__decode_job *job = &jobs[i];
        rbc_error problem;
        if (!job->is_there || m->image_of[i] >= 0) {
            continue;
        }
        const int64_t begin_ns = rbc__now_ns();
        if (!is_cleared(job) && rbc__maker_run(&m->base, job, &before, made, &problem) != RBC_OK) {
            rbc__decode_job_fail(job, &problem);
        }
        decode_ns += rbc__now_ns() - begin_ns;
        made += bytes_here(job);
        num_decoded += !job->is_nothing && !job->is_pixels;
        if (++num_made % COPIED_AT_ONCE == 0) {
            RBC__TRY(copy_made(m, jobs, first, i + 1, &copied, err));
            first = i + 1;
        }
    }
    if (num_made % COPIED_AT_ONCE != 0) {
        RBC__TRY(copy_made(m, jobs, first, count, &copied, err));
    }
    if (m->base.is_on_host) {
        rbc__pace_worked(m->pace, num_decoded, decode_ns);
    }
    return RBC_OK;
}

/* Decodes on the host what the device has refused. */
static rbc_status run_again(device_maker *m, rbc__decode_job *job, rbc_error *err) {
    const rbc__decode_job *before = NULL;
    uint8_t *at = m->memory.host + m->results;
    rbc_error problem;
    if (rbc__maker_run(&m->base, job, &before, at, &problem) != RBC_OK) {
        rbc__decode_job_fail(job, &problem);
        return RBC_OK;
    }
    pipe_of(m)->mark(m->pipe, RBC_GPU_COPY);
    RBC__TRY(pipe_of(m)->copy(m->pipe, job->dst, at, job->bytes, err));
    return pipe_of(m)->wait(m->pipe, err);
}

/* What the device has refused is decoded on the host, which says why, and has the last word. */
static rbc_status settle(device_maker *m, rbc__decode_job *jobs, int64_t count, rbc_error *err) {
    const uint8_t *valid = m->memory.host;
    for (int64_t i = 0; i < count; ++i) {
        const bool was_tried = m->image_of[i] >= 0;
        if (was_tried && valid[m->image_of[i]] != 0) {
            jobs[i].was_there = true;
            jobs[i].shape.height = m->images[m->image_of[i]].height;
            jobs[i].shape.width = m->images[m->image_of[i]].width;
        } else if (was_tried) {
            RBC__TRY(run_again(m, &jobs[i], err));
        }
    }
    return RBC_OK;
}

/* ---- the maker ---------------------------------------------------------------------------------
 */

static rbc_status run(device_maker *m, rbc__decode_job *jobs, int64_t count, rbc_error *err) {
    rbc_status status = queue_all(m, jobs, count, err);
    if (status == RBC_OK) {
        status = run_others(m, jobs, count, err);
    }
    const rbc_status waited = pipe_of(m)->wait(m->pipe, status == RBC_OK ? err : NULL);
    RBC__TRY(status == RBC_OK ? waited : status);
    return settle(m, jobs, count, err);
}

static rbc_status copy_all(device_maker *m, const rbc__list_of_jobs *jobs, rbc_error *err) {
    bool has_any = false;
    for (int64_t i = 0; i < jobs->num_copy; ++i) {
        const rbc__copy_job *copy = &jobs->copy[i];
        const rbc__decode_job *from = &jobs->decode[copy->from];
        if (from->status == RBC_OK && from->is_there) {
            pipe_of(m)->mark(m->pipe, RBC_GPU_COPY);
            RBC__TRY(pipe_of(m)->copy(m->pipe, copy->dst, from->dst, copy->bytes, err));
            has_any = true;
        } else if (from->status == RBC_OK) {
            memcpy(copy->dst, from->dst, (size_t)copy->bytes);
        }
    }
    return has_any ? pipe_of(m)->wait(m->pipe, err) : RBC_OK;
}

static rbc_status decode_there(device_maker *m, rbc_batch *batch, rbc__list_of_jobs *jobs,
                               rbc_error *err) {
    if (!make_room(m, jobs->num_decode)) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the images of a batch");
    }
    RBC__TRY(rbc__batch_follow(batch, m->pipe, err));
    for (int64_t first = 0; first < jobs->num_decode;) {
        rbc__decode_job *from = jobs->decode + first;
        const int64_t end = choose(m, jobs->decode, first, jobs->num_decode);
        RBC__TRY(run(m, from, end - first, err));
        first = end;
    }
    return copy_all(m, jobs, err);
}

static void decode(rbc__maker *maker, rbc_batch *batch, rbc__list_of_jobs *jobs) {
    device_maker *m = (device_maker *)(void *)maker;
    const rbc__decode_job *before = NULL;
    rbc_error problem;
    bool has_any = false;
    for (int64_t i = 0; i < jobs->num_decode; ++i) {
        rbc__decode_job *job = &jobs->decode[i];
        has_any = has_any || job->is_there;
        if (!job->is_there && rbc__maker_run(maker, job, &before, job->dst, &problem) != RBC_OK) {
            rbc__decode_job_fail(job, &problem);
        }
    }
    rbc_status status = RBC_OK;
    if (has_any) {
        status = pipe_of(m)->enter(m->pipe, &problem);
    }
    if (has_any && status == RBC_OK) {
        status = decode_there(m, batch, jobs, &problem);
        pipe_of(m)->leave(m->pipe);
    } else if (!has_any) {
        status = copy_all(m, jobs, &problem);
    }
    for (int64_t i = 0; i < jobs->num_decode && status != RBC_OK; ++i) {
        if (jobs->decode[i].is_there && jobs->decode[i].status == RBC_OK) {
            rbc__decode_job_fail(&jobs->decode[i], &problem);
        }
    }
}

static rbc_status voxelize_there(device_maker *m, rbc_batch *batch, const rbc__voxel_job *jobs,
                                 int64_t count, rbc_error *err) {
    RBC__TRY(pipe_of(m)->enter(m->pipe, err));
    rbc_status status = rbc__batch_follow(batch, m->pipe, err);
    if (status == RBC_OK) {
        status = rbc__device_voxelize(m->device, m->device_id, m->pipe, m->base.context, jobs,
                                      count, err);
    }
    if (status != RBC_OK) { /* nothing is queued any more that uses the pipe's memory */
        (void)pipe_of(m)->wait(m->pipe, NULL);
    }
    pipe_of(m)->leave(m->pipe);
    return status;
}

static void voxelize(rbc__maker *maker, rbc_batch *batch, rbc__voxel_job *jobs, int64_t count) {
    rbc_error problem;
    if (voxelize_there((device_maker *)(void *)maker, batch, jobs, count, &problem) == RBC_OK) {
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        if (jobs[i].status == RBC_OK) {
            rbc__voxel_job_fail(&jobs[i], &problem);
        }
    }
}

static rbc_status align_there(rbc__maker *maker, rbc_batch *batch, const rbc__align_item *items,
                              int64_t count, rbc_error *err) {
    device_maker *m = (device_maker *)(void *)maker;
    RBC__TRY(pipe_of(m)->enter(m->pipe, err));
    rbc_status status = rbc__batch_follow(batch, m->pipe, err);
    if (status == RBC_OK) {
        status =
            rbc__device_align(m->device, m->device_id, m->pipe, m->base.context, items, count, err);
    }
    if (status != RBC_OK) { /* as above */
        (void)pipe_of(m)->wait(m->pipe, NULL);
    }
    pipe_of(m)->leave(m->pipe);
    return status;
}

static rbc_status await_there(rbc__maker *maker, rbc_error *err) {
    device_maker *m = (device_maker *)(void *)maker;
    RBC__TRY(pipe_of(m)->enter(m->pipe, err));
    const rbc_status status = pipe_of(m)->wait(m->pipe, err);
    pipe_of(m)->leave(m->pipe);
    return status;
}

static void destroy(rbc__maker *maker) {
    device_maker *m = (device_maker *)(void *)maker;
    if (m->pipe != NULL) {
        pipe_of(m)->destroy(m->pipe);
    }
    for (int64_t i = 0; i < m->images_room; ++i) {
        rbc__jpeg_header_free(&m->images[i].header);
    }
    free(m->images);
    free(m->pixels);
    free(m->image_of);
    free(m->draws);
    free(m->items);
    free(m->groups);
    rbc__maker_clear(maker);
    free(m);
}

static const rbc__maker_ops device_ops = {decode,      voxelize,    rbc__maker_align,
                                          align_there, await_there, destroy};

rbc_status rbc__device_maker_create(DLDevice device, const rbc_device_allocator *allocator,
                                    rbc_jpeg_dct jpeg_dct, rbc__pace *pace, rbc__maker **out,
                                    rbc_error *err) {
    device_maker *m = calloc(1, sizeof *m);
    *out = NULL;
    if (m == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a worker");
    }
    m->base.ops = &device_ops;
    m->device_id = device.device_id;
    m->pace = pace;
    m->dct = jpeg_dct;
    rbc_status status = rbc__maker_init(&m->base, jpeg_dct, true, err);
    if (status == RBC_OK) {
        status = rbc__backend_for(device, &m->device, err);
    }
    if (status == RBC_OK) {
        status = pipe_of(m)->create(device.device_id, allocator, &m->pipe, err);
    }
    if (status != RBC_OK) {
        destroy(&m->base);
        return status;
    }
    *out = &m->base;
    return RBC_OK;
}

void rbc__device_maker_count(const rbc__maker *maker, int64_t *host_bytes, int64_t *device_bytes) {
    *host_bytes = *device_bytes = 0;
    if (maker != NULL && maker->ops == &device_ops) {
        const device_maker *m = (const device_maker *)(const void *)maker;
        pipe_of(m)->count(m->pipe, host_bytes, device_bytes);
    }
}

void rbc__device_maker_add_times(const rbc__maker *maker, int64_t *gpu_ns) {
    if (maker != NULL && maker->ops == &device_ops) {
        const device_maker *m = (const device_maker *)(const void *)maker;
        pipe_of(m)->add_times(m->pipe, gpu_ns);
    }
}
