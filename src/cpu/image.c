#include "cpu/image.h"

#include <string.h>

#include "core/context.h"
#include "cpu/kernels/image.h"
#include "cpu/voxelize.h"

extern const rbc__image_kernels rbc__image_kernels_baseline, rbc__image_kernels_avx2,
    rbc__image_kernels_avx512;

static const rbc__image_kernels *kernels_for(const rbc_context *context) {
#ifdef __x86_64__
    if ((context->cpu_features & RBC_CPU_AVX512) != 0) {
        return &rbc__image_kernels_avx512;
    }
    if ((context->cpu_features & RBC_CPU_AVX2) != 0) {
        return &rbc__image_kernels_avx2;
    }
#endif
    (void)context;
    return &rbc__image_kernels_baseline;
}

/* Pixels between two steps. */
typedef struct pixels {
    const uint8_t *at;
    int64_t stride;
    int32_t height, width;
} pixels;

/* One image on its way; `made` and `spare` are memory for pixels, which the steps take in turn. */
typedef struct run {
    const rbc__image_spec *spec;
    const rbc__image_item *item;
    const rbc__image_kernels *kernels;
    int32_t pixel_bytes;
    rbc__image_axis across, down;
    uint8_t *oriented, *passed, *block, *resized;
} run;

static bool has_alpha(const rbc__image_spec *spec) {
    return spec->channels == 2 || spec->channels == 4;
}

static bool is_resized(const rbc__image_draw *draw) {
    return draw->right - draw->left != draw->width || draw->bottom - draw->top != draw->height;
}

/* Alpha is multiplied into a copy of the image. */
static bool is_multiplied(const rbc__image_spec *spec, const rbc__image_draw *draw) {
    return has_alpha(spec) && spec->stored == RBC__U8 && is_resized(draw) &&
           spec->filter != RBC_IMAGE_FILTER_NEAREST;
}

static int64_t max_taps(const rbc__image_spec *spec, int32_t span, int32_t count) {
    return spec->filter == RBC_IMAGE_FILTER_NEAREST
               ? 1
               : rbc__image_axis_taps(spec->filter, span, count);
}

/* ---- memory -------------------------------------------------------------------------------------
 */

static void lay_axis(rbc__image_axis *axis, const rbc__image_spec *spec, int32_t span,
                     int32_t count, char *base, uint64_t *used) {
    const uint64_t bytes = (uint64_t)count * sizeof(int32_t);
    axis->first = rbc__workspace_take(base, used, bytes);
    axis->taps = rbc__workspace_take(base, used, bytes);
    axis->weights = rbc__workspace_take(base, used, bytes * (uint64_t)max_taps(spec, span, count));
}

/* Where the steps of one image have their memory; `base` NULL: how much that is. */
static uint64_t lay_out(run *r, char *base) {
    const rbc__image_item *item = r->item;
    const rbc__image_draw *draw = &item->draw;
    const uint64_t pixel = (uint64_t)r->pixel_bytes;
    const uint64_t area = (uint64_t)item->height * (uint64_t)item->width;
    const int64_t side = item->height > item->width ? item->height : item->width;
    const int64_t out_side = draw->height > draw->width ? draw->height : draw->width;
    uint64_t used = 0;
    lay_axis(&r->across, r->spec, draw->right - draw->left, draw->width, base, &used);
    lay_axis(&r->down, r->spec, draw->bottom - draw->top, draw->height, base, &used);
    r->oriented = NULL;
    if (r->spec->params.orient != RBC_IMAGE_AS_STORED || is_multiplied(r->spec, draw)) {
        r->oriented = rbc__workspace_take(base, &used, area * pixel);
    }
    r->resized =
        rbc__workspace_take(base, &used, (uint64_t)draw->height * (uint64_t)draw->width * pixel);
    if (r->spec->filter != RBC_IMAGE_FILTER_NEAREST) {
        r->passed = rbc__workspace_take(base, &used, (uint64_t)(side * out_side) * pixel);
        r->block = rbc__workspace_take(
            base, &used, (uint64_t)rbc__image_block_bytes(side, draw->width, r->spec->channels));
    }
    return used;
}

static run run_of(const rbc__image_job *job, const rbc__image_item *item) {
    return (run){.spec = job->spec,
                 .item = item,
                 .pixel_bytes = job->spec->channels * (int32_t)rbc__dtype_bytes(job->spec->stored)};
}

uint64_t rbc__cpu_image_workspace_bytes(const rbc__image_job *job) {
    uint64_t most = 0;
    for (int64_t i = 0; i < job->count; ++i) {
        run r = run_of(job, &job->items[i]);
        const uint64_t bytes = lay_out(&r, NULL);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* ---- moving pixels ------------------------------------------------------------------------------
 */

#define MOVE(type)                                                                                 \
    for (int64_t x = 0; x < count; ++x) {                                                          \
        memcpy(to + x * (int64_t)sizeof(type), from + x * step, sizeof(type));                     \
    }

static void copy_pixels(const uint8_t *from, int64_t step, int64_t count, int32_t pixel_bytes,
                        uint8_t *to) {
    switch (pixel_bytes) {
    case 1:
        MOVE(uint8_t)
        break;
    case 2:
        MOVE(uint16_t)
        break;
    case 3:
        MOVE(uint8_t[3])
        break;
    default:
        MOVE(uint32_t)
        break;
    }
}

static pixels orient(const run *r) {
    const rbc__image_item *item = r->item;
    const pixels stored = {item->pixels, item->row_stride_bytes, item->height, item->width};
    if (r->spec->params.orient == RBC_IMAGE_AS_STORED) {
        return stored;
    }
    const rbc__image_orientation o =
        rbc__image_oriented(r->spec->params.orient, item->height, item->width);
    const int64_t pixel = r->pixel_bytes;
    const int64_t step = o.yx * stored.stride + o.xx * pixel;
    const pixels out = {r->oriented, o.width * pixel, o.height, o.width};
    for (int32_t y = 0; y < o.height; ++y) {
        const uint8_t *from = stored.at + (int64_t)(o.y0 + y * o.yy) * stored.stride +
                              (int64_t)(o.x0 + y * o.xy) * pixel;
        copy_pixels(from, step, o.width, r->pixel_bytes, r->oriented + y * out.stride);
    }
    return out;
}

/* ---- alpha --------------------------------------------------------------------------------------
 */

static pixels multiply_alpha(const run *r, const pixels *in) {
    const int32_t channels = r->spec->channels;
    const pixels out = {r->oriented, (int64_t)in->width * channels, in->height, in->width};
    for (int32_t y = 0; y < in->height; ++y) {
        const uint8_t *from = in->at + y * in->stride;
        uint8_t *to = r->oriented + y * out.stride;
        for (int32_t x = 0; x < in->width; ++x, from += channels, to += channels) {
            const uint32_t alpha = from[channels - 1];
            for (int32_t c = 0; c + 1 < channels; ++c) {
                to[c] = (uint8_t)rbc__image_times_alpha(from[c], alpha);
            }
            to[channels - 1] = (uint8_t)alpha;
        }
    }
    return out;
}

static void divide_alpha(uint8_t *at, int64_t count, int32_t channels) {
    for (int64_t i = 0; i < count; ++i, at += channels) {
        const uint32_t alpha = at[channels - 1];
        for (int32_t c = 0; c + 1 < channels; ++c) {
            at[c] = (uint8_t)rbc__image_by_alpha(at[c], alpha);
        }
    }
}

/* ---- resizing -----------------------------------------------------------------------------------
 */

static void pick(run *r, const pixels *in, uint8_t *out) {
    const rbc__image_draw *draw = &r->item->draw;
    const int64_t pixel = r->pixel_bytes;
    rbc__image_axis_nearest(&r->across, r->spec->stored, draw->left, draw->right, draw->width,
                            draw->is_flipped);
    rbc__image_axis_nearest(&r->down, r->spec->stored, draw->top, draw->bottom, draw->height,
                            false);
    for (int32_t y = 0; y < draw->height; ++y) {
        const uint8_t *row = in->at + r->down.first[y] * in->stride;
        for (int32_t x = 0; x < draw->width; ++x, out += pixel) {
            memcpy(out, row + r->across.first[x] * pixel, (size_t)pixel);
        }
    }
}

/* Copies the crop, mirrored where that is asked for. */
static void cut(const run *r, const pixels *in, uint8_t *out) {
    const rbc__image_draw *draw = &r->item->draw;
    const int64_t pixel = r->pixel_bytes;
    const int64_t bytes = draw->width * pixel;
    for (int32_t y = draw->top; y < draw->bottom; ++y, out += bytes) {
        const uint8_t *row = in->at + y * in->stride;
        if (draw->is_flipped) {
            copy_pixels(row + (draw->right - 1) * pixel, -pixel, draw->width, r->pixel_bytes, out);
        } else {
            memcpy(out, row + draw->left * pixel, (size_t)bytes);
        }
    }
}

/* Along the rows [top, bottom); mirrors. */
static void pass_rows(run *r, const pixels *in, int32_t top, int32_t bottom, uint8_t *out) {
    const int32_t channels = r->spec->channels;
    const int64_t stride = (int64_t)r->across.count * channels;
    for (int32_t y = top; y < bottom; y += RBC__IMAGE_ROWS) {
        const int32_t rows = bottom - y < RBC__IMAGE_ROWS ? bottom - y : RBC__IMAGE_ROWS;
        r->kernels->across(in->at + y * in->stride, in->stride, rows, channels, &r->across,
                           out + (y - top) * stride, stride, r->block);
    }
}

/* Along the columns, of rows of `bytes`. */
static void pass_columns(const run *r, const pixels *in, int64_t bytes, uint8_t *out) {
    const rbc__image_axis *axis = &r->down;
    for (int32_t y = 0; y < axis->count; ++y) {
        r->kernels->down(in->at + axis->first[y] * in->stride, in->stride,
                         axis->weights + (int64_t)y * axis->max_taps, axis->taps[y], bytes,
                         out + y * bytes);
    }
}

static void shift(rbc__image_axis *axis, int32_t by) {
    for (int32_t i = 0; i < axis->count; ++i) {
        axis->first[i] -= by;
    }
}

static void rows_then_columns(run *r, const pixels *in, uint8_t *out) {
    const int64_t bytes = (int64_t)r->across.count * r->spec->channels;
    int32_t top;
    int32_t bottom;
    rbc__image_span(&r->down, &top, &bottom);
    pass_rows(r, in, top, bottom, r->passed);
    shift(&r->down, top);
    const pixels passed = {r->passed, bytes, bottom - top, r->across.count};
    pass_columns(r, &passed, bytes, out);
}

static void columns_then_rows(run *r, const pixels *in, uint8_t *out) {
    const int32_t channels = r->spec->channels;
    int32_t left;
    int32_t right;
    rbc__image_span(&r->across, &left, &right);
    const int64_t bytes = (int64_t)(right - left) * channels;
    const pixels part = {in->at + (int64_t)left * channels, in->stride, in->height, right - left};
    pass_columns(r, &part, bytes, r->passed);
    shift(&r->across, left);
    const pixels passed = {r->passed, bytes, r->down.count, right - left};
    pass_rows(r, &passed, 0, r->down.count, out);
}

/* Along the columns alone: the crop's are taken out before, mirrored where that is asked for. */
static void columns_alone(const run *r, const pixels *in, uint8_t *out) {
    const rbc__image_draw *draw = &r->item->draw;
    const int64_t pixel = r->pixel_bytes;
    const int64_t bytes = draw->width * pixel;
    const int64_t first = draw->is_flipped ? draw->right - 1 : draw->left;
    int32_t top;
    int32_t bottom;
    rbc__image_span(&r->down, &top, &bottom);
    for (int32_t y = top; y < bottom; ++y) {
        copy_pixels(in->at + y * in->stride + first * pixel, draw->is_flipped ? -pixel : pixel,
                    draw->width, r->pixel_bytes, r->passed + (y - top) * bytes);
    }
    rbc__image_axis down = r->down;
    shift(&down, top);
    const pixels passed = {r->passed, bytes, bottom - top, draw->width};
    pass_columns(r, &passed, bytes, out);
}

static void filter(run *r, const pixels *in, uint8_t *out) {
    const rbc__image_draw *draw = &r->item->draw;
    const bool goes_across = draw->right - draw->left != draw->width;
    const bool goes_down = draw->bottom - draw->top != draw->height;
    rbc__image_axis_init(&r->across, r->spec->filter, draw->left, draw->right, in->width,
                         draw->width, draw->is_flipped);
    rbc__image_axis_init(&r->down, r->spec->filter, draw->top, draw->bottom, in->height,
                         draw->height, false);
    if (!goes_down) {
        pass_rows(r, in, draw->top, draw->bottom, out);
    } else if (!goes_across) {
        columns_alone(r, in, out);
    } else if (rbc__image_columns_first(draw, in->height, in->width)) {
        columns_then_rows(r, in, out);
    } else {
        rows_then_columns(r, in, out);
    }
}

static void resize(run *r, const pixels *in, uint8_t *out) {
    const rbc__image_draw *draw = &r->item->draw;
    if (!is_resized(draw)) {
        cut(r, in, out);
    } else if (r->spec->filter == RBC_IMAGE_FILTER_NEAREST) {
        pick(r, in, out);
    } else if (is_multiplied(r->spec, draw)) {
        const pixels multiplied = multiply_alpha(r, in);
        filter(r, &multiplied, out);
        divide_alpha(out, (int64_t)draw->height * draw->width, r->spec->channels);
    } else {
        filter(r, in, out);
    }
}

/* ---- colours and values -------------------------------------------------------------------------
 */

static int32_t centre_of_contrast(const run *r, int64_t count) {
    int64_t sums[RBC__IMAGE_MAX_CHANNELS] = {0};
    r->kernels->sums(r->resized, count, r->spec->channels, r->item->draw.brightness, sums);
    const int64_t grey = r->spec->channels < 3 ? sums[0] * 65536
                                               : 19595 * sums[0] + 38470 * sums[1] + 7471 * sums[2];
    return rbc__image_centre(grey, count);
}

/* Values of a tile, pixels [first, first + count) of `total`, to the result. */
static void deliver(const run *r, uint8_t planes[RBC__IMAGE_MAX_CHANNELS][RBC__IMAGE_TILE],
                    int64_t first, int32_t count, int64_t total) {
    const rbc__image_spec *spec = r->spec;
    const bool is_first = spec->params.channels_first != 0;
    const int64_t bytes = rbc__dtype_bytes(spec->dtype);
    const int64_t step = is_first ? 1 : spec->channels;
    uint8_t *out = r->item->out;
    for (int32_t c = 0; c < spec->channels; ++c) {
        uint8_t *to = out + (is_first ? c * total + first : first * spec->channels + c) * bytes;
        if (spec->has_table && step == 1 && r->kernels->normalise != NULL) {
            r->kernels->normalise(planes[c], count, spec->mean[c], spec->deviation[c], spec->dtype,
                                  to);
        } else if (spec->has_table) {
            const void *table =
                bytes == 4 ? (const void *)spec->table.f32[c] : (const void *)spec->table.half[c];
            r->kernels->look_up(planes[c], count, table, (int32_t)bytes, to, step);
        } else if (is_first) {
            memcpy(to, planes[c], (size_t)count);
        } else {
            for (int32_t i = 0; i < count; ++i) {
                to[i * step] = planes[c][i];
            }
        }
    }
}

static void finish(const run *r) {
    const rbc__image_draw *draw = &r->item->draw;
    const int32_t channels = r->spec->channels;
    const int64_t total = (int64_t)draw->height * draw->width;
    rbc__image_colours colours = {.brightness = draw->brightness,
                                  .contrast = draw->contrast,
                                  .saturation = draw->saturation,
                                  .hue = draw->hue};
    if (draw->contrast != RBC__IMAGE_ONE_FACTOR) {
        colours.centre = centre_of_contrast(r, total);
    }
    uint8_t planes[RBC__IMAGE_MAX_CHANNELS][RBC__IMAGE_TILE];
    for (int64_t at = 0; at < total; at += RBC__IMAGE_TILE) {
        const int32_t count =
            total - at < RBC__IMAGE_TILE ? (int32_t)(total - at) : RBC__IMAGE_TILE;
        r->kernels->colour(r->resized + at * channels, count, channels,
                           r->spec->has_colour ? &colours : NULL, planes);
        deliver(r, planes, at, count, total);
    }
}

/* Whether the result is what resizing gives. */
static bool ends_resized(const rbc__image_spec *spec) {
    return !spec->has_colour && !spec->has_table &&
           (spec->params.channels_first == 0 || spec->channels == 1);
}

rbc_status rbc__cpu_image(rbc_context *context, const rbc__image_job *job, int32_t device_id,
                          void *cu_stream, rbc_error *err) {
    (void)device_id;
    (void)cu_stream;
    (void)err;
    for (int64_t i = 0; i < job->count; ++i) {
        run r = run_of(job, &job->items[i]);
        r.kernels = kernels_for(context);
        (void)lay_out(&r, job->workspace);
        const pixels oriented = orient(&r);
        if (ends_resized(job->spec)) {
            resize(&r, &oriented, r.item->out);
        } else {
            resize(&r, &oriented, r.resized);
            finish(&r);
        }
    }
    return RBC_OK;
}
