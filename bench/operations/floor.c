/* What memory allows a resampling: the same bytes with nothing to find out. Plain loops, which
 * bench/ops.py times beside the library on one thread. */
#include <stdint.h>

#if defined(__x86_64__) && !defined(__clang__)
#define EVERY_ISA __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define EVERY_ISA
#endif

void floor_blend(const float *values, const int64_t *left, const float *weights, float *out,
                 int64_t batch, int64_t samples, int64_t targets, int64_t channels);
void floor_stream(const float *values, float *out, int64_t batch, int64_t samples, int64_t targets,
                  int64_t channels);

/* Blends rows left and left + 1 where all brackets and weights are given. */
EVERY_ISA void floor_blend(const float *values, const int64_t *left, const float *weights,
                           float *restrict out, int64_t batch, int64_t samples, int64_t targets,
                           int64_t channels) {
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t j = b * targets; j < (b + 1) * targets; ++j) {
            const float *from = values + (b * samples + left[j]) * channels, *to = from + channels;
            float *row = out + j * channels;
            for (int64_t c = 0; c < channels; ++c) {
                row[c] = from[c] + weights[j] * (to[c] - from[c]);
            }
        }
    }
}

/* Adds up runs of source rows: each row of source and output once, in the order of memory. */
EVERY_ISA void floor_stream(const float *values, float *restrict out, int64_t batch,
                            int64_t samples, int64_t targets, int64_t channels) {
    for (int64_t b = 0; b < batch; ++b) {
        for (int64_t j = 0; j < targets; ++j) {
            float *row = out + (b * targets + j) * channels;
            for (int64_t c = 0; c < channels; ++c) {
                row[c] = 0.0f;
            }
            for (int64_t s = j * samples / targets; s < (j + 1) * samples / targets; ++s) {
                const float *from = values + (b * samples + s) * channels;
                for (int64_t c = 0; c < channels; ++c) {
                    row[c] += from[c];
                }
            }
        }
    }
}
