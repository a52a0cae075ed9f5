#include "cuda/image/layout.h"

#include <string.h>

#include "cuda/common/arithmetic.h"

enum { ALIGNMENT = 16 };

static uint64_t take(uint64_t *used, uint64_t bytes) {
    const uint64_t at = *used;
    *used += (uint64_t)rbc__round_up((int64_t)bytes, ALIGNMENT);
    return at;
}

static bool is_resized(const rbc__image_draw *draw) {
    return draw->right - draw->left != draw->width || draw->bottom - draw->top != draw->height;
}

static bool waits_for_grey(const rbc__image_spec *spec, const rbc__image_draw *draw) {
    return spec->stored == RBC__U8 && draw->contrast != RBC__IMAGE_ONE_FACTOR;
}

static uint32_t kind_of(const rbc__image_spec *spec, const rbc__image_draw *draw, bool changes) {
    if (spec->filter == RBC_IMAGE_FILTER_NEAREST && is_resized(draw)) {
        return spec->stored == RBC__U16 ? IMAGE_NEAREST_U16 : IMAGE_NEAREST;
    }
    return spec->filter != RBC_IMAGE_FILTER_NEAREST && changes ? IMAGE_FILTERED : IMAGE_TAKEN;
}

/* All of an axis but where it lies. */
static image_axis axis_of(const rbc__image_spec *spec, const rbc__image_draw *draw, int which,
                          const rbc__image_orientation *o) {
    const bool is_across = which == IMAGE_ACROSS;
    image_axis axis = {
        .begin = is_across ? draw->left : draw->top,
        .end = is_across ? draw->right : draw->bottom,
        .size = is_across ? o->width : o->height,
        .count = is_across ? draw->width : draw->height,
        .is_reversed = is_across && draw->is_flipped,
    };
    axis.kind = kind_of(spec, draw, axis.end - axis.begin != axis.count);
    return axis;
}

static uint64_t axis_entries(const rbc__image_spec *spec, const image_axis *axis) {
    const int64_t taps =
        axis->kind == IMAGE_FILTERED
            ? rbc__image_axis_taps(spec->filter, axis->end - axis->begin, axis->count)
            : 1;
    return (uint64_t)axis->count * (uint64_t)(taps + 2);
}

static uint32_t greater(uint32_t most, int64_t blocks) {
    return blocks > (int64_t)most ? (uint32_t)blocks : most;
}

void rbc__image_layout_measure(const rbc__image_job *job, rbc__image_layout *out) {
    const rbc__image_spec *spec = job->spec;
    uint64_t axes_bytes = 0;
    uint64_t made_bytes = 0;
    *out = (rbc__image_layout){0};
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__image_item *item = &job->items[i];
        const rbc__image_draw *draw = &item->draw;
        const rbc__image_orientation o =
            rbc__image_oriented(spec->params.orient, item->height, item->width);
        const int64_t tiles =
            rbc__divide_up(draw->height, IMAGE_TILE) * rbc__divide_up(draw->width, IMAGE_TILE);
        const int64_t pixels = (int64_t)draw->height * draw->width;
        for (int a = 0; a < 2; ++a) {
            const image_axis axis = axis_of(spec, draw, a, &o);
            (void)take(&axes_bytes, axis_entries(spec, &axis) * sizeof(int32_t));
            out->axis_blocks =
                greater(out->axis_blocks, rbc__divide_up(axis.count, IMAGE_AXIS_THREADS));
        }
        if (waits_for_grey(spec, draw)) {
            (void)take(&made_bytes, (uint64_t)pixels * sizeof(uint32_t));
            out->has_contrast = true;
        }
        out->tile_blocks = greater(out->tile_blocks, tiles);
        out->pixel_blocks = greater(out->pixel_blocks, rbc__divide_up(pixels, IMAGE_THREADS));
    }
    const uint64_t count = (uint64_t)job->count;
    (void)take(&out->description_bytes, count * sizeof(image_item));
    out->table = take(&out->description_bytes, spec->has_table ? sizeof spec->table : 0);
    (void)take(&out->bytes, out->description_bytes);
    out->axes = take(&out->bytes, axes_bytes);
    out->grey = take(&out->bytes, out->has_contrast ? count * sizeof(int64_t) : 0);
    out->made = take(&out->bytes, made_bytes);
}

/* Gives an axis its memory. */
static void lay_axis(image_axis *axis, const rbc__image_spec *spec, unsigned char *axes,
                     uint64_t *used) {
    axis->first =
        (int32_t *)(void *)(axes + take(used, axis_entries(spec, axis) * sizeof(int32_t)));
    axis->taps = axis->first + axis->count;
    axis->weights = axis->taps + axis->count;
}

void rbc__image_layout_describe(const rbc__image_job *job, const rbc__image_layout *layout,
                                unsigned char *base, unsigned char *out) {
    const rbc__image_spec *spec = job->spec;
    const int64_t pixel = spec->channels * rbc__dtype_bytes(spec->stored);
    image_item *items = (image_item *)(void *)out;
    int64_t *grey = (int64_t *)(void *)(base + layout->grey);
    uint64_t axes_used = 0;
    uint64_t made_used = 0;
    for (int64_t i = 0; i < job->count; ++i) {
        const rbc__image_item *from = &job->items[i];
        const rbc__image_draw *draw = &from->draw;
        const rbc__image_orientation o =
            rbc__image_oriented(spec->params.orient, from->height, from->width);
        const int64_t row = from->row_stride_bytes;
        image_item item = {
            .pixels = (const uint8_t *)from->pixels + o.y0 * row + o.x0 * pixel,
            .out = from->out,
            .first_pass =
                rbc__image_columns_first(draw, o.height, o.width) ? IMAGE_DOWN : IMAGE_ACROSS,
            .is_multiplied = spec->stored == RBC__U8 && spec->channels % 2 == 0 &&
                             is_resized(draw) && spec->filter != RBC_IMAGE_FILTER_NEAREST,
            .brightness = draw->brightness,
            .contrast = draw->contrast,
            .saturation = draw->saturation,
            .hue = draw->hue,
        };
        for (int a = 0; a < 2; ++a) {
            item.axes[a] = axis_of(spec, draw, a, &o);
            lay_axis(&item.axes[a], spec, base + layout->axes, &axes_used);
        }
        item.axes[IMAGE_DOWN].step = o.yy * row + o.xy * pixel;
        item.axes[IMAGE_ACROSS].step = o.yx * row + o.xx * pixel;
        if (waits_for_grey(spec, draw)) {
            const uint64_t bytes = (uint64_t)draw->height * (uint64_t)draw->width * 4;
            item.made = (uint32_t *)(void *)(base + layout->made + take(&made_used, bytes));
            item.grey = grey + i;
        }
        items[i] = item;
    }
    if (spec->has_table) {
        memcpy(out + layout->table, &spec->table, sizeof spec->table);
    }
}

image_launch rbc__image_layout_launch(const rbc__image_job *job, const rbc__image_layout *layout,
                                      const unsigned char *description, uint32_t blocks) {
    const rbc__image_spec *spec = job->spec;
    return (image_launch){
        .items = (const image_item *)(const void *)description,
        .table = spec->has_table ? description + layout->table : NULL,
        .count = (uint32_t)job->count,
        .blocks = blocks,
        .channels = (uint32_t)spec->channels,
        .value_bytes = (uint32_t)rbc__dtype_bytes(spec->dtype),
        .pixel_bytes = (uint32_t)(spec->channels * rbc__dtype_bytes(spec->stored)),
        .is_cubic = spec->filter == RBC_IMAGE_FILTER_BICUBIC,
        .has_colour = spec->has_colour,
        .channels_first = spec->params.channels_first != 0,
    };
}
