/* Both passes of resizing, over vectors of neighbours that have the same weights: the bytes of a row
 * in the second pass, and in the first the rows of a block that is turned for it. */
#include <string.h>

#include "cpu/kernels/image_isa.h"
#include "cpu/kernels/image_lanes.h"

#define ROWS RBC__IMAGE_ROWS

#define HALF RBC__IMAGE_HALF_WEIGHT

/* 16 rows of 16 bytes, rows[i], become 16 columns, in each 16 bytes of the vectors: four times each
 * byte of the first half is put before that of the second, which moves a byte from [row][column] to
 * [column][row]. */
static inline void turn(wide a[16]) {
    wide b[16];
    for (int32_t round = 0; round < 4; ++round) {
        for (int32_t i = 0; i < 8; ++i) {
            b[2 * i] = wide_low(a[i], a[i + 8]);
            b[2 * i + 1] = wide_high(a[i], a[i + 8]);
        }
        for (int32_t i = 0; i < 16; ++i) {
            a[i] = b[i];
        }
    }
}

/* Rows of `bytes` to columns of 16; rows that are not there repeat the last. */
static void turn_rows(const uint8_t *src, int64_t stride, int32_t rows, int64_t bytes,
                      uint8_t *columns) {
    wide a[16];
    for (int64_t at = 0; at < bytes; at += WIDE) {
        const int64_t left = bytes - at;
        for (int32_t r = 0; r < ROWS; ++r) {
            const uint8_t *row = src + (r < rows ? r : rows - 1) * stride + at;
            if (left >= WIDE) {
                memcpy(&a[r], row, WIDE);
            } else {
                a[r] = (wide){0};
                memcpy(&a[r], row, (size_t)left);
            }
        }
        turn(a);
        for (int32_t r = 0; r < ROWS; ++r) {
            wide_scatter(a[r], columns + (at + r) * ROWS, 16 * ROWS);
        }
    }
}

/* Columns of 16 to rows of `bytes`. */
static void turn_columns(const uint8_t *columns, int64_t bytes, int32_t rows, uint8_t *dst,
                         int64_t stride) {
    wide a[16];
    for (int64_t at = 0; at < bytes; at += WIDE) {
        const int64_t left = bytes - at < WIDE ? bytes - at : WIDE;
        for (int32_t r = 0; r < ROWS; ++r) {
            a[r] = wide_gather(columns + (at + r) * ROWS, 16 * ROWS);
        }
        turn(a);
        if (left == WIDE && rows == ROWS) {
            for (int32_t r = 0; r < ROWS; ++r) {
                memcpy(dst + r * stride + at, &a[r], WIDE);
            }
            continue;
        }
        for (int32_t r = 0; r < rows; ++r) {
            memcpy(dst + r * stride + at, &a[r], (size_t)left);
        }
    }
}

/* `together` channels share the loads of weights. */
static inline void sum_columns(const uint8_t *columns, int32_t channels, int32_t together,
                               const int32_t *weights, int32_t taps, uint8_t *out) {
    lanes sums[RBC__IMAGE_MAX_CHANNELS][ROWS / LANES];
    for (int32_t c = 0; c < together; ++c) {
        for (int32_t v = 0; v < ROWS / LANES; ++v) {
            sums[c][v] = (lanes){0} + HALF;
        }
    }
    for (int32_t j = 0; j < taps; ++j) {
        for (int32_t c = 0; c < together; ++c) {
            const uint8_t *column = columns + (j * channels + c) * ROWS;
            for (int32_t v = 0; v < ROWS / LANES; ++v) {
                sums[c][v] += lanes_load(column + v * LANES) * weights[j];
            }
        }
    }
    for (int32_t c = 0; c < together; ++c) {
        for (int32_t v = 0; v < ROWS / LANES; ++v) {
            lanes_store(sums[c][v] >> RBC__IMAGE_WEIGHT_BITS, out + c * ROWS + v * LANES);
        }
    }
}

static int32_t most_taps(const rbc__image_axis *axis) {
    int32_t most = 0;
    for (int32_t i = 0; i < axis->count; ++i) {
        most = axis->taps[i] > most ? axis->taps[i] : most;
    }
    return most;
}

void RBC__KERNEL(image_across)(const uint8_t *src, int64_t src_stride, int32_t rows,
                               int32_t channels, const rbc__image_axis *axis, uint8_t *dst,
                               int64_t dst_stride, uint8_t *block) {
    int32_t first;
    int32_t end;
    rbc__image_span(axis, &first, &end);
    const int64_t bytes_in = (int64_t)(end - first) * channels;
    uint8_t *made = block + (bytes_in + RBC__IMAGE_TURNED) * ROWS;
    turn_rows(src + (int64_t)first * channels, src_stride, rows, bytes_in, block);
    const int32_t most = most_taps(axis);
    for (int32_t i = 0; i < axis->count; ++i) {
        /* Weights behind the taps are 0: loops of one length are foreseen by the processor. */
        const bool has_most = axis->first[i] + most <= end;
        const int32_t taps = has_most ? most : axis->taps[i];
        const uint8_t *columns = block + (int64_t)(axis->first[i] - first) * channels * ROWS;
        const int32_t *weights = axis->weights + (int64_t)i * axis->max_taps;
        uint8_t *out = made + (int64_t)i * channels * ROWS;
        if (channels == 3) {
            sum_columns(columns, 3, 3, weights, taps, out);
        } else {
            for (int32_t c = 0; c < channels; ++c) {
                sum_columns(columns + c * ROWS, channels, 1, weights, taps, out + c * ROWS);
            }
        }
    }
    turn_columns(made, (int64_t)axis->count * channels, rows, dst, dst_stride);
}

#define VECTORS 4

void RBC__KERNEL(image_down)(const uint8_t *src, int64_t src_stride, const int32_t *weights,
                             int32_t taps, int64_t bytes, uint8_t *dst) {
    int64_t at = 0;
    for (; at + VECTORS * LANES <= bytes; at += VECTORS * LANES) {
        lanes sums[VECTORS];
        for (int32_t v = 0; v < VECTORS; ++v) {
            sums[v] = (lanes){0} + HALF;
        }
        for (int32_t j = 0; j < taps; ++j) {
            const uint8_t *row = src + j * src_stride + at;
            for (int32_t v = 0; v < VECTORS; ++v) {
                sums[v] += lanes_load(row + v * LANES) * weights[j];
            }
        }
        for (int32_t v = 0; v < VECTORS; ++v) {
            lanes_store(sums[v] >> RBC__IMAGE_WEIGHT_BITS, dst + at + v * LANES);
        }
    }
    for (; at < bytes; ++at) {
        int32_t sum = HALF;
        for (int32_t j = 0; j < taps; ++j) {
            sum += src[j * src_stride + at] * weights[j];
        }
        dst[at] = (uint8_t)rbc__image_of_sum(sum);
    }
}
