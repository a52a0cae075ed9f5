#include "fake.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"
#include "fake_dataset.h"

uint64_t fake_hash(int64_t episode, int64_t stream, int64_t sample, int64_t element) {
    uint64_t x = (uint64_t)episode * 1000003 + (uint64_t)stream * 10007;
    return rbc__mix64((x + (uint64_t)sample) * RBC__GOLDEN + (uint64_t)element);
}

static double unit(uint64_t bits) {
    return (double)(bits >> 11) * 0x1p-53 * 2.0 - 1.0;
}

int64_t fake_num_steps(int64_t episode) {
    return episode % 7 == 3 ? 0 : 5 + episode * 13 % 37;
}

int64_t fake_id(int64_t episode) {
    return 1000 + 3 * episode;
}

int64_t fake_num_stamps(int64_t episode) {
    return fake_num_steps(episode) * 7 + 1;
}

int64_t *fake_stamps(int64_t episode) {
    const int64_t count = fake_num_stamps(episode);
    int64_t *times = malloc((size_t)count * sizeof *times);
    int64_t now = INT64_C(1700000000000000000) + episode * 1000000007;
    for (int64_t i = 0; i < count; ++i) {
        times[i] = now;
        const uint64_t bits = fake_hash(episode, -1, i, 0);
        now += bits % 8 == 0 ? 0 : (int64_t)(bits % 57142857);
    }
    return times;
}

static int64_t num_elements(int32_t stream) {
    static const int64_t counts[FAKE_NUM_STREAMS] = {7, 4, 1, 3, 1, 5, 0, 0, 3, 0};
    return counts[stream];
}

rbc__dtype fake_dtype(int32_t stream) {
    static const rbc__dtype dtypes[FAKE_NUM_STREAMS] = {RBC__F32, RBC__F64, RBC__I64, RBC__F32,
                                                        RBC__I64, RBC__F64, RBC__U8,  RBC__U8,
                                                        RBC__F32, RBC__U8};
    return dtypes[stream];
}

int64_t fake_sample_bytes(int32_t stream) {
    return num_elements(stream) * rbc__dtype_bytes(fake_dtype(stream));
}

static void put_value(int64_t episode, int32_t stream, int64_t sample, int64_t element, void *dst) {
    const uint64_t bits = fake_hash(episode, stream, sample, element);
    if (fake_dtype(stream) == RBC__I64) {
        const int64_t value = (int64_t)bits;
        memcpy(dst, &value, sizeof value);
    } else if (fake_dtype(stream) == RBC__F64) {
        double value = unit(bits);
        if (stream == FAKE_POSE && element < 4) {
            double norm = 0.0;
            for (int64_t i = 0; i < 4; ++i) {
                norm += pow(unit(fake_hash(episode, stream, sample, i)), 2.0);
            }
            value /= sqrt(norm);
        }
        memcpy(dst, &value, sizeof value);
    } else {
        const float value = (float)unit(bits);
        memcpy(dst, &value, sizeof value);
    }
}

void *fake_values(int64_t episode, int32_t stream, int64_t count) {
    if (stream == FAKE_IMU_TIME) {
        return fake_stamps(episode);
    }
    const int64_t elements = num_elements(stream);
    const int64_t bytes = rbc__dtype_bytes(fake_dtype(stream));
    char *values = malloc((size_t)(count * elements * bytes) + 1);
    for (int64_t i = 0; i < count * elements; ++i) {
        put_value(episode, stream, i / elements, i % elements, values + i * bytes);
    }
    return values;
}

int64_t fake_num_points(int64_t episode, int64_t step) {
    return (int64_t)(fake_hash(episode, FAKE_CLOUD, step, -1) % (FAKE_MAX_POINTS + 1));
}

bool fake_image_is_empty(int32_t stream, int64_t sample) {
    return stream == FAKE_IMAGE && sample % 5 == 4;
}

void fake_pixels(int64_t episode, int32_t stream, int64_t sample, uint8_t *dst) {
    for (int64_t i = 0; i < FAKE_IMAGE_BYTES; ++i) {
        dst[i] = fake_image_is_empty(stream, sample)
                     ? 0
                     : (uint8_t)fake_hash(episode, stream, sample, i / 3 * 3 + i % 2);
    }
}

void fake_note(int64_t episode, int64_t step, char *dst, size_t bytes) {
    dst[0] = '\0';
    if (step % 4 != 0) {
        snprintf(dst, bytes, "episode %lld, step %lld", (long long)episode, (long long)step);
    }
}
