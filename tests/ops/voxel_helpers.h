/* Tensors, random numbers and a naive reference for the voxelization tests. */
#ifndef RBC_TESTS_UNIT_VOXEL_HELPERS_H
#define RBC_TESTS_UNIT_VOXEL_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/hash.h"
#include "robocache/robocache.h"

/* A contiguous host tensor that owns its data; freed by tensor_free(). */
typedef struct tensor {
    DLTensor dl;
    int64_t shape[6];
    int64_t strides[6];
    void *memory;
} tensor;

static inline int64_t tensor_elements(const tensor *t) {
    int64_t count = 1;
    for (int i = 0; i < t->dl.ndim; ++i) {
        count *= t->shape[i];
    }
    return count;
}

static inline void tensor_init(tensor *t, uint8_t code, uint8_t bits, int ndim,
                               const int64_t *shape) {
    *t = (tensor){0};
    int64_t stride = 1;
    for (int i = ndim - 1; i >= 0; --i) {
        t->shape[i] = shape[i];
        t->strides[i] = stride;
        stride *= shape[i];
    }
    const size_t bytes = (size_t)stride * bits / 8 + 64;
    t->memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(t->memory);
    memset(t->memory, 0xa5, bytes);
    t->dl = (DLTensor){
        .data = t->memory,
        .device = {kDLCPU, 0},
        .ndim = ndim,
        .dtype = {code, bits, 1},
        .shape = t->shape,
        .strides = t->strides,
    };
}

static inline void tensor_free(tensor *t) {
    free(t->memory);
    *t = (tensor){0};
}

#define SHAPE(...)                                                                                 \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]) {                 \
        __VA_ARGS__                                                                                \
    }

static inline uint64_t random_bits(uint64_t *state) {
    return rbc__mix64(*state += RBC__GOLDEN);
}

static inline double random_between(uint64_t *state, double low, double high) {
    return low + (high - low) * ((double)(random_bits(state) >> 11) * 0x1p-53);
}

static inline rbc_context *context_of(int32_t threads, uint64_t features) {
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = threads;
    params.cpu_features = features;
    rbc_context *context = NULL;
    rbc_error err;
    assert_int_equal(rbc_context_create(&params, &context, &err), RBC_OK);
    return context;
}

/* The instruction sets to compare; those that are missing fall back and are compared all the same.
 */
static const uint64_t feature_masks[] = {RBC_CPU_BASELINE, RBC_CPU_AVX2, UINT64_MAX};

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        rbc_error assert_err = {0};                                                                \
        rbc_error *err = &assert_err;                                                              \
        const rbc_status assert_status = (call);                                                   \
        if (assert_status != RBC_OK) {                                                             \
            fail_msg("%s: %s", rbc_status_name(assert_status), assert_err.message);                \
        }                                                                                          \
    } while (0)

/* The call must fail with a message that holds `text`. */
#define assert_refused(call, text)                                                                 \
    do {                                                                                           \
        rbc_error assert_err = {0};                                                                \
        rbc_error *err = &assert_err;                                                              \
        assert_int_equal((call), RBC_ERROR_INVALID_ARGUMENT);                                      \
        if (strstr(assert_err.message, (text)) == NULL) {                                          \
            fail_msg("'%s' is not in '%s'", (text), assert_err.message);                           \
        }                                                                                          \
    } while (0)

#endif
