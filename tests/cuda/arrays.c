#include "arrays.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gpu.h"

static uint64_t state;

double uniform(void) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 11) * 0x1p-53;
}

size_t item_bytes(DLDataType dtype) {
    return (size_t)dtype.bits / 8;
}

array array_new(DLDataType dtype, int ndim, const int64_t *shape) {
    array a = {.bytes = item_bytes(dtype)};
    for (int i = 0; i < ndim; ++i) {
        a.shape[i] = shape[i];
        a.bytes *= (size_t)shape[i];
    }
    a.data = calloc(a.bytes + 1, 1);
    assert_non_null(a.data);
    a.host = (DLTensor){.data = a.data, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = dtype};
    return a;
}

void to_device(array *a, int is_input) {
    a->host.shape = a->shape;
    a->device = a->host;
    a->device.device = (DLDevice){kDLCUDA, 0};
    a->device.data = gpu_new(is_input ? a->data : NULL, a->bytes);
}

const DLDataType f32 = {kDLFloat, 32, 1}, f64 = {kDLFloat, 64, 1}, f16 = {kDLFloat, 16, 1},
                 bf16 = {kDLBfloat, 16, 1}, i64 = {kDLInt, 64, 1}, i32 = {kDLInt, 32, 1},
                 u8 = {kDLUInt, 8, 1}, u16 = {kDLUInt, 16, 1};

void fill(array *a, double scale, double offset) {
    const size_t n = a->bytes / item_bytes(a->host.dtype);
    for (size_t i = 0; i < n; ++i) {
        const double value = (uniform() - 0.5) * scale + offset;
        if (a->host.dtype.code == kDLFloat && a->host.dtype.bits == 64) {
            ((double *)a->data)[i] = value;
        } else if (a->host.dtype.bits == 32 && a->host.dtype.code == kDLFloat) {
            ((float *)a->data)[i] = (float)value;
        } else if (a->host.dtype.code == kDLBfloat) {
            const float rounded = (float)value;
            uint32_t bits;
            memcpy(&bits, &rounded, sizeof bits);
            ((uint16_t *)a->data)[i] = (uint16_t)(bits >> 16);
        } else if (a->host.dtype.bits == 16) {
            /* Of either sign, from 2^-14 to 2. */
            ((uint16_t *)a->data)[i] = (uint16_t)(0x0400 + (state >> 40) % 0x3c00);
        } else {
            memset((char *)a->data + i * item_bytes(a->host.dtype), (int)(state >> 40) & 0x7f,
                   item_bytes(a->host.dtype));
        }
    }
}

static int compare_f64(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void fill_times(array *a, int64_t rows, int64_t n, double low, double high) {
    double *row = malloc(((size_t)n + 1) * sizeof *row);
    assert_non_null(row);
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t i = 0; i < n; ++i) {
            row[i] = low + (high - low) * floor(uniform() * 512) / 512;
        }
        qsort(row, (size_t)n, sizeof *row, compare_f64);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t at = r * n + i;
            if (a->host.dtype.code == kDLInt) {
                ((int64_t *)a->data)[at] = (int64_t)(row[i] * 1e9);
            } else if (a->host.dtype.bits == 64) {
                ((double *)a->data)[at] = row[i];
            } else {
                ((float *)a->data)[at] = (float)row[i];
            }
        }
    }
    free(row);
}

void assert_same(array *a) {
    void *got = malloc(a->bytes + 1);
    assert_non_null(got);
    gpu_read(got, a->device.data, a->bytes);
    assert_memory_equal(got, a->data, a->bytes);
    free(got);
}

void check(rbc_status status, const rbc_error *err) {
    if (status != RBC_OK) {
        fail_msg("%s", err->message);
    }
}
