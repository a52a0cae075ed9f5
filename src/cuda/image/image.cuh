/* What the threads of the kernels of images do between two barriers, for nvcc and, in tests, for a C
 * compiler. */
#ifndef RBC_CUDA_IMAGE_CUH
#define RBC_CUDA_IMAGE_CUH

#include "cuda/image/image_params.h"
#include "image/arithmetic.h"

#ifdef __CUDACC__
#include "cuda/common/launch.cuh"
#define UNROLL     _Pragma("unroll")
#define ALIGNED_16 __align__(16)
#else
#include <stdbool.h>
#define INLINE static inline
#define UNROLL
#define ALIGNED_16
#endif

/* ---- axes ---- */

INLINE void axis_set(const image_axis *axis, int32_t i, int32_t first, int32_t taps) {
    const int32_t at = axis->is_reversed ? axis->count - 1 - i : i;
    axis->first[at] = first;
    axis->taps[at] = taps;
}

/* All of an axis on which each pixel is the nearest one: positions are added up one by one. */
INLINE void axis_add_up(const image_axis *axis) {
    const double scale = (double)(axis->end - axis->begin) / axis->count;
    double sum = axis->begin + scale * 0.5;
    for (int32_t i = 0; i < axis->count; ++i) {
        axis_set(axis, i, rbc__image_lesser((int32_t)sum, axis->end - 1), 1);
        axis->weights[i] = INT32_C(1) << RBC__IMAGE_WEIGHT_BITS;
        sum += scale;
    }
}

/* Pixel i of the result along an axis of any other kind. */
INLINE void axis_fill(const image_axis *axis, uint32_t is_cubic, int32_t i) {
    const int32_t at = axis->is_reversed ? axis->count - 1 - i : i;
    if (axis->kind != IMAGE_FILTERED) {
        const double scale = (double)(axis->end - axis->begin) / axis->count;
        const int32_t first = axis->kind == IMAGE_TAKEN
                                  ? axis->begin + i
                                  : (int32_t)(scale * (i + 0.5) + axis->begin);
        axis_set(axis, i, rbc__image_lesser(first, axis->end - 1), 1);
        axis->weights[at] = INT32_C(1) << RBC__IMAGE_WEIGHT_BITS;
        return;
    }
    const rbc__image_scale scale =
        rbc__image_scale_of((int32_t)is_cubic, axis->begin, axis->end, axis->size, axis->count);
    const rbc__image_taps taps = rbc__image_taps_of(&scale, i);
    const double sum = rbc__image_weights_sum(&scale, &taps);
    axis_set(axis, i, taps.first, taps.count);
    for (int32_t j = 0; j < taps.count; ++j) {
        axis->weights[(int64_t)j * axis->count + at] =
            rbc__image_whole_weight(rbc__image_weight(&scale, &taps, j), sum);
    }
}

/* What a thread of a block of an item does for its axes. */
INLINE void axes_fill(const image_launch *p, const image_item *item, uint32_t block,
                      uint32_t thread) {
    const int32_t i = (int32_t)(block * IMAGE_AXIS_THREADS + thread);
    if (i == 0 && item->grey != 0) {
        *item->grey = 0;
    }
    UNROLL
    for (int a = 0; a < 2; ++a) {
        const image_axis *axis = &item->axes[a];
        if (axis->kind != IMAGE_NEAREST && i < axis->count) {
            axis_fill(axis, p->is_cubic, i);
        } else if (axis->kind == IMAGE_NEAREST && i == 0) {
            axis_add_up(axis);
        }
    }
}

/* ---- a tile of the result ---- */

typedef struct image_tile {
    const image_item *item;
    const image_axis *axes[2]; /* of the first pass, of the second */
    int32_t begin[2];          /* of the result, along these */
    int32_t count[2];          /* 0: there is no such tile */
    int32_t from, to;          /* pixels of the image along the second that the tile comes from */
} image_tile;

INLINE image_tile tile_of(const image_item *item, uint32_t block) {
    image_tile tile;
    tile.item = item;
    tile.axes[0] = &item->axes[item->first_pass];
    tile.axes[1] = &item->axes[1 - item->first_pass];
    const uint32_t along = (uint32_t)(tile.axes[0]->count + IMAGE_TILE - 1) / IMAGE_TILE;
    tile.begin[0] = (int32_t)(block % along) * IMAGE_TILE;
    tile.begin[1] = (int32_t)(block / along) * IMAGE_TILE;
    UNROLL
    for (int a = 0; a < 2; ++a) {
        const int32_t rest = tile.axes[a]->count - tile.begin[a];
        tile.count[a] = rest < 0 ? 0 : rest < IMAGE_TILE ? rest : IMAGE_TILE;
    }
    tile.from = 0;
    tile.to = 0;
    if (tile.count[1] > 0) {
        const image_axis *then = tile.axes[1];
        const int32_t last = tile.begin[1] + tile.count[1] - 1;
        const int32_t a = then->first[tile.begin[1]];
        const int32_t b = then->first[last];
        tile.from = rbc__image_lesser(a, b);
        tile.to = rbc__image_greater(a + then->taps[tile.begin[1]], b + then->taps[last]);
    }
    return tile;
}

/* Where a pixel along the second axis comes from: its first pixel of the image, how many, and the
 * first of their weights; 0 where there are fewer. */
typedef struct image_row {
    int32_t first, taps;
    int32_t unused[2];
    int32_t held[IMAGE_HELD];
} ALIGNED_16 image_row;

/* What the threads of a block share. */
typedef struct image_shared {
    uint32_t words[IMAGE_CHUNK * IMAGE_TILE];
    image_row rows[IMAGE_TILE];
} image_shared;

/* The first weights of pixel `own` of an axis; 0 where there are fewer taps. */
INLINE void hold_weights(const image_axis *axis, int32_t own, int32_t taps,
                         int32_t held[IMAGE_HELD]) {
    UNROLL
    for (int k = 0; k < IMAGE_HELD; ++k) {
        held[k] = k < taps ? axis->weights[(int64_t)k * axis->count + own] : 0;
    }
}

INLINE void rows_fill(const image_tile *tile, uint32_t thread, image_row *rows) {
    if ((int32_t)thread < tile->count[1]) {
        const image_axis *axis = tile->axes[1];
        const int32_t own = tile->begin[1] + (int32_t)thread;
        image_row row = {0};
        row.first = axis->first[own];
        row.taps = axis->taps[own];
        hold_weights(axis, own, row.taps, row.held);
        rows[thread] = row;
    }
}

/* Adds a pixel to sums, its colours multiplied by alpha where that is asked for. */
INLINE void add_pixel(const image_tile *tile, uint32_t channels, const uint8_t *at, int32_t weight,
                      int32_t sums[IMAGE_CHANNELS]) {
    int32_t values[IMAGE_CHANNELS];
    UNROLL
    for (uint32_t c = 0; c < IMAGE_CHANNELS; ++c) {
        values[c] = c < channels ? at[c] : 0;
    }
    if (channels % 2 == 0 && tile->item->is_multiplied) {
        const uint32_t alpha = at[channels - 1];
        UNROLL
        for (uint32_t c = 0; c + 1 < IMAGE_CHANNELS; ++c) {
            if (c + 1 < channels) {
                values[c] = (int32_t)rbc__image_times_alpha((uint32_t)values[c], alpha);
            }
        }
    }
    UNROLL
    for (int c = 0; c < IMAGE_CHANNELS; ++c) {
        sums[c] += values[c] * weight;
    }
}

/* The first pass over a chunk: words[j][i] is pixel i of the tile's result in line `start` + j of
 * the image, a channel a byte. */
INLINE void pass_first(const image_tile *tile, uint32_t channels, int32_t start, uint32_t thread,
                       uint32_t *words) {
    const image_axis *axis = tile->axes[0];
    const int32_t i = (int32_t)(thread % 32);
    if (i >= tile->count[0]) {
        return;
    }
    const int32_t own = tile->begin[0] + i;
    const int32_t taps = axis->taps[own];
    const int64_t step = axis->step;
    const int64_t line_step = tile->axes[1]->step;
    const int32_t lines = rbc__image_lesser(IMAGE_CHUNK, tile->to - start);
    int32_t held[IMAGE_HELD];
    hold_weights(axis, own, taps, held);
    const int32_t begin = (int32_t)(thread / 32);
    const uint8_t *at = tile->item->pixels + axis->first[own] * step + (start + begin) * line_step;
    for (int32_t j = begin; j < lines; j += IMAGE_WARPS, at += IMAGE_WARPS * line_step) {
        int32_t sums[IMAGE_CHANNELS];
        UNROLL
        for (int c = 0; c < IMAGE_CHANNELS; ++c) {
            sums[c] = RBC__IMAGE_HALF_WEIGHT;
        }
        UNROLL
        for (int k = 0; k < IMAGE_HELD; ++k) { /* those that there are not weigh 0 */
            add_pixel(tile, channels, at + rbc__image_lesser(k, taps - 1) * step, held[k], sums);
        }
        for (int32_t k = IMAGE_HELD; k < taps; ++k) {
            add_pixel(tile, channels, at + k * step, axis->weights[(int64_t)k * axis->count + own],
                      sums);
        }
        uint32_t word = 0;
        UNROLL
        for (uint32_t c = 0; c < IMAGE_CHANNELS; ++c) {
            word |= c < channels ? (uint32_t)rbc__image_of_sum(sums[c]) << (8 * c) : 0;
        }
        words[j * IMAGE_TILE + i] = word;
    }
}

/* The sums of the second pass, of the pixels that a thread has. */
typedef struct image_sums {
    int32_t of[IMAGE_OWN][IMAGE_CHANNELS];
} image_sums;

INLINE void sums_begin(image_sums *sums) {
    UNROLL
    for (int o = 0; o < IMAGE_OWN; ++o) {
        UNROLL
        for (int c = 0; c < IMAGE_CHANNELS; ++c) {
            sums->of[o][c] = RBC__IMAGE_HALF_WEIGHT;
        }
    }
}

INLINE void add_word(uint32_t channels, uint32_t word, int32_t weight,
                     int32_t sums[IMAGE_CHANNELS]) {
    UNROLL
    for (uint32_t c = 0; c < IMAGE_CHANNELS; ++c) {
        if (c < channels) {
            sums[c] += (int32_t)(word >> (8 * c) & 255) * weight;
        }
    }
}

/* The second pass over a chunk. */
INLINE void pass_second(const image_tile *tile, uint32_t channels, int32_t start, uint32_t thread,
                        const image_shared *shared, image_sums *sums) {
    const image_axis *axis = tile->axes[1];
    const int32_t i = (int32_t)(thread % 32);
    const int32_t lines = rbc__image_lesser(IMAGE_CHUNK, tile->to - start);
    UNROLL
    for (int o = 0; o < IMAGE_OWN; ++o) {
        const int32_t in_tile = (int32_t)(thread / 32) + o * IMAGE_WARPS;
        if (in_tile >= tile->count[1]) {
            continue;
        }
        const image_row row = shared->rows[in_tile];
        const int32_t first = row.first - start; /* line of the chunk; may be before it */
        UNROLL
        for (int k = 0; k < IMAGE_HELD; ++k) {
            const int32_t line = first + k;
            const bool is_here = line >= 0 && line < lines;
            add_word(channels, shared->words[(is_here ? line : 0) * IMAGE_TILE + i],
                     is_here ? row.held[k] : 0, sums->of[o]);
        }
        const int32_t end = rbc__image_lesser(row.taps, lines - first);
        for (int32_t k = rbc__image_greater(IMAGE_HELD, -first); k < end; ++k) {
            const int64_t at = (int64_t)k * axis->count + tile->begin[1] + in_tile;
            add_word(channels, shared->words[(first + k) * IMAGE_TILE + i], axis->weights[at],
                     sums->of[o]);
        }
    }
}

/* ---- colours and values ---- */

INLINE void change_colours(const image_item *item, uint32_t channels, int32_t centre,
                           int32_t v[IMAGE_CHANNELS]) {
    const bool is_grey = channels < 3;
    UNROLL
    for (int c = 0; c < 3; ++c) {
        if (c == 0 || !is_grey) {
            v[c] = rbc__image_blend(v[c], 0, item->brightness);
            v[c] = item->contrast == RBC__IMAGE_ONE_FACTOR
                       ? v[c]
                       : rbc__image_blend(v[c], centre, item->contrast);
        }
    }
    if (!is_grey && item->saturation != RBC__IMAGE_ONE_FACTOR) {
        rbc__image_saturate(&v[0], &v[1], &v[2], item->saturation);
    }
    if (!is_grey && item->hue != 0) {
        rbc__image_turn_hue(&v[0], &v[1], &v[2], item->hue);
    }
}

/* Of a pixel's values after brightness. */
INLINE int64_t grey_of(const image_item *item, uint32_t channels, const int32_t v[IMAGE_CHANNELS]) {
    int32_t bright[3];
    UNROLL
    for (int c = 0; c < 3; ++c) {
        bright[c] = rbc__image_blend(v[c], 0, item->brightness);
    }
    return channels < 3 ? (int64_t)bright[0] * 65536
                        : rbc__image_grey(bright[0], bright[1], bright[2]);
}

INLINE void deliver_pixel(const image_launch *p, const image_item *item, uint32_t channels,
                          int64_t at, const int32_t v[IMAGE_CHANNELS]) {
    const int64_t total = (int64_t)item->axes[IMAGE_DOWN].count * item->axes[IMAGE_ACROSS].count;
    const int64_t step = p->channels_first ? total : 1;
    int64_t to = p->channels_first ? at : at * channels;
    UNROLL
    for (uint32_t c = 0; c < IMAGE_CHANNELS; ++c, to += step) {
        if (c >= channels) {
            break;
        }
        const uint32_t entry = c * 256 + (uint32_t)v[c];
        if (p->table == 0) {
            item->out[to] = (uint8_t)v[c];
        } else if (p->value_bytes == 4) {
            ((uint32_t *)(void *)item->out)[to] = ((const uint32_t *)(const void *)p->table)[entry];
        } else {
            ((uint16_t *)(void *)item->out)[to] = ((const uint16_t *)(const void *)p->table)[entry];
        }
    }
}

/* Puts down the pixels that a thread has: whole, or, where the contrast of the image hangs on all of
 * them, as words. Returns their grey then. */
INLINE int64_t tile_put(const image_launch *p, const image_tile *tile, uint32_t channels,
                        uint32_t thread, const image_sums *sums) {
    const image_item *item = tile->item;
    const int32_t i = (int32_t)(thread % 32);
    int64_t grey = 0;
    UNROLL
    for (int o = 0; o < IMAGE_OWN; ++o) {
        const int32_t in_tile = (int32_t)(thread / 32) + o * IMAGE_WARPS;
        if (i >= tile->count[0] || in_tile >= tile->count[1]) {
            continue;
        }
        const int64_t along = tile->begin[0] + i;
        const int64_t then = tile->begin[1] + in_tile;
        const int64_t at = item->first_pass == IMAGE_ACROSS
                               ? then * item->axes[IMAGE_ACROSS].count + along
                               : along * item->axes[IMAGE_ACROSS].count + then;
        int32_t v[IMAGE_CHANNELS];
        UNROLL
        for (int c = 0; c < IMAGE_CHANNELS; ++c) {
            v[c] = rbc__image_of_sum(sums->of[o][c]);
        }
        if (channels % 2 == 0 && item->is_multiplied) {
            const uint32_t alpha = (uint32_t)(channels == 2 ? v[1] : v[3]);
            UNROLL
            for (uint32_t c = 0; c + 1 < IMAGE_CHANNELS; ++c) {
                if (c + 1 < channels) {
                    v[c] = (int32_t)rbc__image_by_alpha((uint32_t)v[c], alpha);
                }
            }
        }
        if (item->made != 0) {
            item->made[at] =
                (uint32_t)v[0] | (uint32_t)v[1] << 8 | (uint32_t)v[2] << 16 | (uint32_t)v[3] << 24;
            grey += grey_of(item, channels, v);
            continue;
        }
        if (p->has_colour) {
            change_colours(item, channels, 0, v);
        }
        deliver_pixel(p, item, channels, at, v);
    }
    return grey;
}

/* Pixel `at` of a result that waited for its grey. */
INLINE void finish_pixel(const image_launch *p, const image_item *item, int64_t at) {
    const int64_t total = (int64_t)item->axes[IMAGE_DOWN].count * item->axes[IMAGE_ACROSS].count;
    if (item->made == 0 || at >= total) {
        return;
    }
    const uint32_t word = item->made[at];
    int32_t v[IMAGE_CHANNELS];
    UNROLL
    for (int c = 0; c < IMAGE_CHANNELS; ++c) {
        v[c] = (int32_t)(word >> (8 * c) & 255);
    }
    change_colours(item, p->channels, rbc__image_centre(*item->grey, total), v);
    deliver_pixel(p, item, p->channels, at, v);
}

/* Pixel `at` of a result of which nothing is computed: depth. */
INLINE void move_pixel(const image_launch *p, const image_item *item, int64_t at) {
    const image_axis *across = &item->axes[IMAGE_ACROSS];
    const image_axis *down = &item->axes[IMAGE_DOWN];
    if (at >= (int64_t)down->count * across->count) {
        return;
    }
    const uint8_t *from = item->pixels + down->first[at / across->count] * down->step +
                          across->first[at % across->count] * across->step;
    uint8_t *to = item->out + at * p->pixel_bytes;
    for (uint32_t i = 0; i < p->pixel_bytes; ++i) {
        to[i] = from[i];
    }
}

#endif
