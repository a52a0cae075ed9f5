/* Resampling of one channel (or quaternion) as robocache/resample.h describes it, slowly and in double. */
#ifndef RBC_TESTS_RESAMPLE_REFERENCE_H
#define RBC_TESTS_RESAMPLE_REFERENCE_H

#include <stdbool.h>

#include <robocache/robocache.h>

enum { MAX_SAMPLES = 512 };

typedef struct reference_series {
    int64_t num_samples;
    int64_t times[MAX_SAMPLES];
    double values[MAX_SAMPLES][4];
    int width; /* 1, or 4 for a quaternion */
    bool missing;
    rbc_resample_mode mode;
    rbc_outside outside;
    int64_t max_gap, tolerance; /* negative: none */
} reference_series;

typedef struct reference_result {
    double values[4];
    bool valid;
    int64_t dt;
} reference_result;

/* `begin` is where the interval of a reduction begins, exclusive. */
reference_result reference_resample(const reference_series *series, int64_t target, int64_t begin);

#endif
