#include <math.h>
#include <string.h>

#include "core/half.h"
#include "core/trig.h"
#include "cpu/kernels/isa.h"
#include "cpu/kernels/resample.h"

/* Storage type S, type computed in C, and the ways between them. */
#define LOAD_f32(item)    (item)
#define STORE_f32(value)  (value)
#define LOAD_f64(item)    (item)
#define STORE_f64(value)  (value)
#define LOAD_f16(item)    rbc__f32_of_f16(item)
#define STORE_f16(value)  rbc__f16_of_f32(value)
#define LOAD_bf16(item)   rbc__f32_of_bf16(item)
#define STORE_bf16(value) rbc__bf16_of_f32(value)

/* Calls row(out, a, ...) for contiguous channels with constant strides, so that the compiler sees
 * them, and for any others. */
#define IS_PACKED(rows, S)                                                                         \
    ((rows)->channel_stride_bytes == (int64_t)sizeof(S) &&                                         \
     (rows)->out_channel_stride_bytes == (int64_t)sizeof(S))

#define SAMPLE(rows, S, index) ((const S *)((rows)->values + (index) * (rows)->sample_stride_bytes))
#define OUTPUT(rows, S, j)     ((S *)((rows)->out + (j) * (rows)->out_target_stride_bytes))
#define INLINE                 static inline __attribute__((always_inline))
#define STEP(S, stride_bytes)  ((stride_bytes) / (int64_t)sizeof(S))

/* Targets skip samples, which the processor does not foresee, so far samples are asked for this
 * many bytes ahead. Near ones are there sooner than it takes to ask. */
#define AHEAD_BYTES INT64_C(8192)

static inline int64_t targets_ahead(int64_t row_bytes) {
    const int64_t count = AHEAD_BYTES / (2 * row_bytes) + 1;
    return count < RBC__TILE - 1 ? count : RBC__TILE - 1;
}

static inline void expect(const char *begin, int64_t num_bytes) {
    const char *const end = begin + num_bytes;
    for (const char *line = begin - (uintptr_t)begin % 64; line < end; line += 64) {
        __builtin_prefetch(line, 0, 2);
    }
}

static inline void expect_both(const rbc__resample_rows *rows, const rbc__brackets *brackets,
                               int64_t j, int64_t row_bytes) {
    const int64_t left = brackets->left[j], right = brackets->right[j];
    const char *row = rows->values + left * rows->sample_stride_bytes;
    if (right == left + 1 && row_bytes == rows->sample_stride_bytes) {
        expect(row, 2 * row_bytes);
    } else {
        expect(row, row_bytes);
        expect(rows->values + right * rows->sample_stride_bytes, row_bytes);
    }
}

#define DEFINE_LINEAR(type, S, C)                                                                  \
    INLINE void linear_row_##type(S *restrict out, const S *restrict a, const S *restrict b,       \
                                  C weight, int64_t n, int64_t step, int64_t out_step) {           \
        for (int64_t c = 0; c < n; ++c) {                                                          \
            const C from = LOAD_##type(a[c * step]);                                               \
            const C to = LOAD_##type(b[c * step]);                                                 \
            out[c * out_step] = STORE_##type(from + weight * (to - from));                         \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    INLINE void linear_rows_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets,  \
                                   int64_t n, int64_t step, int64_t out_step) {                    \
        const int64_t row_bytes = n * (int64_t)sizeof(S), count = rows->num_targets;               \
        const int64_t ahead = targets_ahead(row_bytes);                                            \
        for (int64_t j = 0; rows->is_far && j < ahead && j < count; ++j) {                         \
            expect_both(rows, brackets, j, row_bytes);                                             \
        }                                                                                          \
        for (int64_t j = 0; j < count; ++j) {                                                      \
            if (rows->is_far && j + ahead < count) {                                               \
                expect_both(rows, brackets, j + ahead, row_bytes);                                 \
            }                                                                                      \
            if (brackets->kind[j] == RBC__ROW_BLEND) {                                             \
                linear_row_##type(OUTPUT(rows, S, j), SAMPLE(rows, S, brackets->left[j]),          \
                                  SAMPLE(rows, S, brackets->right[j]), (C)brackets->weight[j], n,  \
                                  step, out_step);                                                 \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void linear_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets) {     \
        const int64_t n = rows->num_channels;                                                      \
        if (!IS_PACKED(rows, S)) {                                                                 \
            linear_rows_##type(rows, brackets, n, STEP(S, rows->channel_stride_bytes),             \
                               STEP(S, rows->out_channel_stride_bytes));                           \
        } else if (n == 8) {                                                                       \
            linear_rows_##type(rows, brackets, 8, 1, 1);                                           \
        } else if (n == 16) {                                                                      \
            linear_rows_##type(rows, brackets, 16, 1, 1);                                          \
        } else if (n == 32) {                                                                      \
            linear_rows_##type(rows, brackets, 32, 1, 1);                                          \
        } else if (n == 64) {                                                                      \
            linear_rows_##type(rows, brackets, 64, 1, 1);                                          \
        } else {                                                                                   \
            linear_rows_##type(rows, brackets, n, 1, 1);                                           \
        }                                                                                          \
    }

#define DEFINE_CUBIC(type, S, C)                                                                   \
    static inline void cubic_row_##type(S *restrict out, const S *restrict p, const S *restrict a, \
                                        const S *restrict b, const S *restrict q, C before,        \
                                        C middle, C after, int64_t n, int64_t step,                \
                                        int64_t out_step) {                                        \
        for (int64_t c = 0; c < n; ++c) {                                                          \
            const C v0 = LOAD_##type(a[c * step]), v1 = LOAD_##type(b[c * step]);                  \
            const C rise = middle * (v1 - v0);                                                     \
            const C bend = before * (v0 - LOAD_##type(p[c * step])) +                              \
                           after * (LOAD_##type(q[c * step]) - v1);                                \
            out[c * out_step] = STORE_##type(v0 + (rise + bend));                                  \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void cubic_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets) {      \
        const bool packed = IS_PACKED(rows, S);                                                    \
        for (int64_t j = 0; j < rows->num_targets; ++j) {                                          \
            if (brackets->kind[j] != RBC__ROW_BLEND) {                                             \
                continue;                                                                          \
            }                                                                                      \
            S *out = OUTPUT(rows, S, j);                                                           \
            const S *p = SAMPLE(rows, S, brackets->previous[j]);                                   \
            const S *a = SAMPLE(rows, S, brackets->left[j]);                                       \
            const S *b = SAMPLE(rows, S, brackets->right[j]);                                      \
            const S *q = SAMPLE(rows, S, brackets->next[j]);                                       \
            const C before = (C)brackets->before[j], middle = (C)brackets->middle[j],              \
                    after = (C)brackets->after[j];                                                 \
            if (packed) {                                                                          \
                cubic_row_##type(out, p, a, b, q, before, middle, after, rows->num_channels, 1,    \
                                 1);                                                               \
            } else {                                                                               \
                cubic_row_##type(out, p, a, b, q, before, middle, after, rows->num_channels,       \
                                 STEP(S, rows->channel_stride_bytes),                              \
                                 STEP(S, rows->out_channel_stride_bytes));                         \
            }                                                                                      \
        }                                                                                          \
    }

/* The largest values at or below pi; float's nearest to pi lies above it. */
#define PI_f64  3.141592653589793
#define PI_f32  3.14159250f
#define PI_f16  PI_f32
#define PI_bf16 PI_f32

#define DEFINE_ANGLE(type, S, C)                                                                   \
    static inline void angle_row_##type(S *restrict out, const S *restrict a, const S *restrict b, \
                                        double weight, int64_t n, int64_t step,                    \
                                        int64_t out_step) {                                        \
        for (int64_t c = 0; c < n; ++c) {                                                          \
            const double from = LOAD_##type(a[c * step]), to = LOAD_##type(b[c * step]);           \
            const double angle = rbc__wrap(from + weight * rbc__wrap(to - from));                  \
            C wrapped = (C)angle;                                                                  \
            wrapped = wrapped > PI_##type ? PI_##type : wrapped;                                   \
            wrapped = wrapped <= -(C)3.141592653589793 ? PI_##type : wrapped;                      \
            out[c * out_step] = STORE_##type(wrapped);                                             \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void angle_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets) {      \
        for (int64_t j = 0; j < rows->num_targets; ++j) {                                          \
            if (brackets->kind[j] == RBC__ROW_BLEND) {                                             \
                angle_row_##type(OUTPUT(rows, S, j), SAMPLE(rows, S, brackets->left[j]),           \
                                 SAMPLE(rows, S, brackets->right[j]), brackets->weight[j],         \
                                 rows->num_channels, STEP(S, rows->channel_stride_bytes),          \
                                 STEP(S, rows->out_channel_stride_bytes));                         \
            }                                                                                      \
        }                                                                                          \
    }

/* Leaves the results, of unit length, in `a`. Of the two arcs the shorter is taken: b is negated
 * where its dot product with a is negative, so that a and -a count as the same rotation, and where
 * it is zero b stays as it is. The half angle comes from atan2(|a - b|, |a + b|), which is accurate
 * for all angles; below 1e-8 the chord is the arc to the last place. */
static void slerp_tile(double a[4][RBC__TILE], double b[4][RBC__TILE], const double *weight,
                       int64_t n) {
    for (int64_t j = 0; j < n; ++j) {
        const double ax = a[0][j], ay = a[1][j], az = a[2][j], aw = a[3][j];
        double bx = b[0][j], by = b[1][j], bz = b[2][j], bw = b[3][j];
        const double a_scale = 1.0 / sqrt(ax * ax + ay * ay + (az * az + aw * aw));
        double b_scale = 1.0 / sqrt(bx * bx + by * by + (bz * bz + bw * bw));
        const double dot = ax * bx + ay * by + (az * bz + aw * bw);
        b_scale = dot < 0.0 ? -b_scale : b_scale;
        const double px = ax * a_scale, py = ay * a_scale, pz = az * a_scale, pw = aw * a_scale;
        bx *= b_scale;
        by *= b_scale;
        bz *= b_scale;
        bw *= b_scale;
        const double dx = px - bx, dy = py - by, dz = pz - bz, dw = pw - bw;
        const double sx = px + bx, sy = py + by, sz = pz + bz, sw = pw + bw;
        const double chord = sqrt(dx * dx + dy * dy + (dz * dz + dw * dw));
        const double across = sqrt(sx * sx + sy * sy + (sz * sz + sw * sw));
        const double angle = 2.0 * rbc__atan_unit(chord / across);
        const double t = weight[j];
        const double sine = rbc__sin_quadrant(angle);
        const bool is_short = angle < 1e-8;
        const double divisor = is_short ? 1.0 : sine;
        const double from = (is_short ? 1.0 - t : rbc__sin_quadrant((1.0 - t) * angle)) / divisor;
        const double to = (is_short ? t : rbc__sin_quadrant(t * angle)) / divisor;
        a[0][j] = from * px + to * bx;
        a[1][j] = from * py + to * by;
        a[2][j] = from * pz + to * bz;
        a[3][j] = from * pw + to * bw;
    }
}

/* All rows of a tile at once, component by component, in double. */
#define DEFINE_SLERP(type, S, C)                                                                   \
    static void slerp_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets) {      \
        const int64_t step = STEP(S, rows->channel_stride_bytes);                                  \
        const int64_t out_step = STEP(S, rows->out_channel_stride_bytes);                          \
        const int64_t n = rows->num_targets;                                                       \
        double a[4][RBC__TILE], b[4][RBC__TILE];                                                   \
        for (int64_t j = 0; j < n; ++j) {                                                          \
            const bool blend = brackets->kind[j] == RBC__ROW_BLEND;                                \
            const S *from = SAMPLE(rows, S, blend ? brackets->left[j] : 0);                        \
            const S *to = SAMPLE(rows, S, blend ? brackets->right[j] : 0);                         \
            for (int c = 0; c < 4; ++c) {                                                          \
                a[c][j] = (double)LOAD_##type(from[c * step]);                                     \
                b[c][j] = (double)LOAD_##type(to[c * step]);                                       \
            }                                                                                      \
        }                                                                                          \
        slerp_tile(a, b, brackets->weight, n);                                                     \
        for (int64_t j = 0; j < n; ++j) {                                                          \
            if (brackets->kind[j] == RBC__ROW_BLEND) {                                             \
                S *out = OUTPUT(rows, S, j);                                                       \
                for (int c = 0; c < 4; ++c) {                                                      \
                    out[c * out_step] = STORE_##type((C)a[c][j]);                                  \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

#define SLACK_f32  RBC__UNIT_SLACK_F32
#define SLACK_f64  RBC__UNIT_SLACK_F64
#define SLACK_f16  RBC__UNIT_SLACK_F16
#define SLACK_bf16 RBC__UNIT_SLACK_BF16

#define DEFINE_UNIT(type, S, C)                                                                    \
    static void unit_##type(const rbc__resample_rows *rows, const rbc__brackets *brackets) {       \
        const int64_t step = STEP(S, rows->channel_stride_bytes);                                  \
        const int64_t out_step = STEP(S, rows->out_channel_stride_bytes);                          \
        for (int64_t j = 0; j < rows->num_targets; ++j) {                                          \
            if (brackets->kind[j] != RBC__ROW_COPY) {                                              \
                continue;                                                                          \
            }                                                                                      \
            const S *in = SAMPLE(rows, S, brackets->left[j]);                                      \
            S *out = OUTPUT(rows, S, j);                                                           \
            double q[4];                                                                           \
            for (int c = 0; c < 4; ++c) {                                                          \
                q[c] = (double)LOAD_##type(in[c * step]);                                          \
            }                                                                                      \
            const double scale = rbc__unit_scale(q[0], q[1], q[2], q[3], SLACK_##type);            \
            for (int c = 0; c < 4; ++c) {                                                          \
                out[c * out_step] = STORE_##type((C)(q[c] * scale));                               \
            }                                                                                      \
        }                                                                                          \
    }

#define DEFINE_ALL(type, S, C)                                                                     \
    DEFINE_LINEAR(type, S, C)                                                                      \
    DEFINE_CUBIC(type, S, C)                                                                       \
    DEFINE_ANGLE(type, S, C)                                                                       \
    DEFINE_SLERP(type, S, C)                                                                       \
    DEFINE_UNIT(type, S, C)

DEFINE_ALL(f32, float, float)
DEFINE_ALL(f64, double, double)
DEFINE_ALL(f16, uint16_t, float)
DEFINE_ALL(bf16, uint16_t, float)

#define FLOATS(name)                                                                               \
    {[RBC__F32] = name##_f32,                                                                      \
     [RBC__F64] = name##_f64,                                                                      \
     [RBC__F16] = name##_f16,                                                                      \
     [RBC__BF16] = name##_bf16}

const rbc__blend_kernels RBC__KERNEL(resample_blend) = {
    .linear = FLOATS(linear),
    .angle = FLOATS(angle),
    .cubic = FLOATS(cubic),
    .slerp = FLOATS(slerp),
    .unit = FLOATS(unit),
};
