#include <string.h>

#include "cpu/kernels/resample.h"

#define DEFINE_COPY(bits)                                                                          \
    static void copy_##bits(const rbc__resample_rows *rows, const int64_t *pick,                   \
                            const uint8_t *kind, uint64_t fill) {                                  \
        typedef uint##bits##_t S;                                                                  \
        const int64_t n = rows->num_channels;                                                      \
        const bool packed = rows->channel_stride_bytes == (int64_t)sizeof(S) &&                    \
                            rows->out_channel_stride_bytes == (int64_t)sizeof(S);                  \
        const int64_t step = rows->channel_stride_bytes / (int64_t)sizeof(S);                      \
        const int64_t out_step = rows->out_channel_stride_bytes / (int64_t)sizeof(S);              \
        for (int64_t j = 0; j < rows->num_targets; ++j) {                                          \
            S *out = (S *)(rows->out + j * rows->out_target_stride_bytes);                         \
            if (kind[j] == RBC__ROW_COPY) {                                                        \
                const S *in = (const S *)(rows->values + pick[j] * rows->sample_stride_bytes);     \
                if (packed) {                                                                      \
                    memcpy(out, in, (size_t)n * sizeof(S));                                        \
                } else {                                                                           \
                    for (int64_t c = 0; c < n; ++c) {                                              \
                        out[c * out_step] = in[c * step];                                          \
                    }                                                                              \
                }                                                                                  \
            } else if (kind[j] == RBC__ROW_FILL) {                                                 \
                for (int64_t c = 0; c < n; ++c) {                                                  \
                    out[c * out_step] = (S)fill;                                                   \
                }                                                                                  \
            }                                                                                      \
        }                                                                                          \
    }

DEFINE_COPY(8)
DEFINE_COPY(16)
DEFINE_COPY(32)
DEFINE_COPY(64)

const rbc__copy_fn rbc__resample_copy[4] = {copy_8, copy_16, copy_32, copy_64};
