#include <string.h>

#include "core/half.h"
#include "cpu/kernels/isa.h"
#include "cpu/kernels/resample.h"

#define LOAD_f32(item)  (item)
#define LOAD_f64(item)  (item)
#define LOAD_f16(item)  rbc__f32_of_f16(item)
#define LOAD_bf16(item) rbc__f32_of_bf16(item)
#define LOAD_int(item)  (item)

#define STORE_f32(value)  ((float)(value))
#define STORE_f64(value)  (value)
#define STORE_f16(value)  rbc__f16_of_f32((float)(value))
#define STORE_bf16(value) rbc__bf16_of_f32((float)(value))

/* Sums in double whatever the dtype, sample after sample. */
#define DEFINE_MEAN(type, S)                                                                       \
    static void add_##type(rbc__resample_sums *sums, const rbc__resample_rows *rows,               \
                           const int64_t *index, int64_t count) {                                  \
        const int64_t step = rows->channel_stride_bytes / (int64_t)sizeof(S);                      \
        double *sum = sums->of.sum;                                                                \
        if (sums->count == 0) {                                                                    \
            memset(sum, 0, sizeof sums->of.sum);                                                   \
        }                                                                                          \
        for (int64_t i = 0; i < count; ++i) {                                                      \
            const S *in = (const S *)(rows->values + index[i] * rows->sample_stride_bytes);        \
            if (step == 1) {                                                                       \
                for (int64_t c = 0; c < rows->num_channels; ++c) {                                 \
                    sum[c] += (double)LOAD_##type(in[c]);                                          \
                }                                                                                  \
            } else {                                                                               \
                for (int64_t c = 0; c < rows->num_channels; ++c) {                                 \
                    sum[c] += (double)LOAD_##type(in[c * step]);                                   \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
        sums->count += count;                                                                      \
    }                                                                                              \
                                                                                                   \
    static void mean_##type(const rbc__resample_sums *sums, const rbc__resample_rows *rows,        \
                            int64_t target) {                                                      \
        const int64_t out_step = rows->out_channel_stride_bytes / (int64_t)sizeof(S);              \
        S *out = (S *)(rows->out + target * rows->out_target_stride_bytes);                        \
        const double count = (double)sums->count;                                                  \
        for (int64_t c = 0; c < rows->num_channels; ++c) {                                         \
            out[c * out_step] = STORE_##type(sums->of.sum[c] / count);                             \
        }                                                                                          \
    }

DEFINE_MEAN(f32, float)
DEFINE_MEAN(f64, double)
DEFINE_MEAN(f16, uint16_t)
DEFINE_MEAN(bf16, uint16_t)

/* The item itself is kept, so that the result is one of the samples to the bit. A NaN stays once it
 * is there: nothing compares greater or less. */
#define DEFINE_EXTREME(name, type, S, load, compare)                                               \
    static void name##_##type(rbc__resample_sums *sums, const rbc__resample_rows *rows,            \
                              const int64_t *index, int64_t count) {                               \
        const int64_t step = rows->channel_stride_bytes / (int64_t)sizeof(S);                      \
        S *best = (S *)(void *)sums->of.item;                                                      \
        for (int64_t i = 0; i < count; ++i) {                                                      \
            const S *in = (const S *)(rows->values + index[i] * rows->sample_stride_bytes);        \
            if (sums->count == 0) {                                                                \
                for (int64_t c = 0; c < rows->num_channels; ++c) {                                 \
                    best[c] = in[c * step];                                                        \
                }                                                                                  \
            } else {                                                                               \
                for (int64_t c = 0; c < rows->num_channels; ++c) {                                 \
                    const S item = in[c * step], so_far = best[c];                                 \
                    const bool is_nan = load(item) != load(item);                                  \
                    best[c] = load(item) compare load(so_far) || is_nan ? item : so_far;           \
                }                                                                                  \
            }                                                                                      \
            ++sums->count;                                                                         \
        }                                                                                          \
    }

#define DEFINE_EXTREMES(type, S, load)                                                             \
    DEFINE_EXTREME(max, type, S, load, >)                                                          \
    DEFINE_EXTREME(min, type, S, load, <)

DEFINE_EXTREMES(f32, float, LOAD_f32)
DEFINE_EXTREMES(f64, double, LOAD_f64)
DEFINE_EXTREMES(f16, uint16_t, LOAD_f16)
DEFINE_EXTREMES(bf16, uint16_t, LOAD_bf16)
DEFINE_EXTREMES(u8, uint8_t, LOAD_int)
DEFINE_EXTREMES(i8, int8_t, LOAD_int)
DEFINE_EXTREMES(i16, int16_t, LOAD_int)
DEFINE_EXTREMES(i32, int32_t, LOAD_int)
DEFINE_EXTREMES(i64, int64_t, LOAD_int)
DEFINE_EXTREMES(u16, uint16_t, LOAD_int)
DEFINE_EXTREMES(u32, uint32_t, LOAD_int)
DEFINE_EXTREMES(u64, uint64_t, LOAD_int)

#define DEFINE_WRITE(bits)                                                                         \
    static void write_##bits(const rbc__resample_sums *sums, const rbc__resample_rows *rows,       \
                             int64_t target) {                                                     \
        const int64_t out_step = rows->out_channel_stride_bytes / (bits / 8);                      \
        uint##bits##_t *out =                                                                      \
            (uint##bits##_t *)(rows->out + target * rows->out_target_stride_bytes);                \
        for (int64_t c = 0; c < rows->num_channels; ++c) {                                         \
            memcpy(out + c * out_step, (const char *)sums->of.item + c * (bits / 8), bits / 8);    \
        }                                                                                          \
    }

DEFINE_WRITE(8)
DEFINE_WRITE(16)
DEFINE_WRITE(32)
DEFINE_WRITE(64)

#define EVERY_DTYPE(name)                                                                          \
    {                                                                                              \
        [RBC__F32] = name##_f32,   [RBC__F64] = name##_f64, [RBC__F16] = name##_f16,               \
        [RBC__BF16] = name##_bf16, [RBC__U8] = name##_u8,   [RBC__I8] = name##_i8,                 \
        [RBC__I16] = name##_i16,   [RBC__I32] = name##_i32, [RBC__I64] = name##_i64,               \
        [RBC__BOOL] = name##_u8,   [RBC__U16] = name##_u16, [RBC__U32] = name##_u32,               \
        [RBC__U64] = name##_u64,                                                                   \
    }

const rbc__reduce_kernels RBC__KERNEL(resample_reduce) = {
    .add =
        {[RBC__F32] = add_f32, [RBC__F64] = add_f64, [RBC__F16] = add_f16, [RBC__BF16] = add_bf16},
    .mean = {[RBC__F32] = mean_f32,
             [RBC__F64] = mean_f64,
             [RBC__F16] = mean_f16,
             [RBC__BF16] = mean_bf16},
    .max = EVERY_DTYPE(max),
    .min = EVERY_DTYPE(min),
    .write = {write_8, write_16, write_32, write_64},
};
