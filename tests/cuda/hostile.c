/* The kernels must stay within their tensors whatever these hold; every tensor is an allocation of
 * its own, so that compute-sanitizer sees the first byte beside it. Outputs are written whole, and
 * the same on each run, on the way of plain launches and on that of graphs. */
#include "hostile.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arrays.h"
#include "gpu.h"

enum { BATCH = 3, SAMPLES = 70, TARGETS = 50, CHANNELS = 8, RUNS = 4 };

static const int64_t bad_lengths[] = {-1, INT64_MIN, INT64_MAX, INT32_MIN, INT32_MAX, 71, 1 << 20};

/* What a stamp or a coordinate may be at worst, in any order. */
static double bad_number(int kind) {
    const double numbers[] = {NAN,     INFINITY, -INFINITY, DBL_MAX, -DBL_MAX,
                              DBL_MIN, -0.0,     1e30,      0.5,     -1e-30};
    return kind == 0 ? numbers[(int)(uniform() * COUNT(numbers))] : uniform() * 2 - 0.5;
}

static void fill_badly(array *a, int kind) {
    const size_t count = a->bytes / item_bytes(a->host.dtype);
    for (size_t i = 0; i < count; ++i) {
        const double number = bad_number(kind);
        if (a->host.dtype.code == kDLInt) {
            const int64_t extreme = uniform() < 0.5 ? INT64_MIN : INT64_MAX;
            ((int64_t *)a->data)[i] = kind == 0 ? extreme : (int64_t)(number * 1e9);
        } else if (a->host.dtype.bits == 64) {
            ((double *)a->data)[i] = number;
        } else {
            ((float *)a->data)[i] = (float)number;
        }
    }
}

/* Runs `call` on poisoned outputs, one poison after the other: what comes back is always the same,
 * so nothing of the poison is left. */
static void check_outputs(rbc_status (*call)(const void *, rbc_error *), const void *arguments,
                          array *const *outputs, size_t count) {
    for (size_t k = 0; k < count; ++k) {
        char *first = malloc(outputs[k]->bytes);
        char *again = malloc(outputs[k]->bytes);
        assert_non_null(first);
        assert_non_null(again);
        for (int run = 0; run < RUNS; ++run) {
            gpu_fill(outputs[k]->device.data, run % 2 ? 0x5a : 0xa5, outputs[k]->bytes);
            rbc_error err;
            check(call(arguments, &err), &err);
            gpu_read(run == 0 ? first : again, outputs[k]->device.data, outputs[k]->bytes);
            assert_true(run == 0 || memcmp(first, again, outputs[k]->bytes) == 0);
        }
        free(first);
        free(again);
    }
}

/* ---- resample ---- */

typedef struct resample_arguments {
    rbc_resample_source source;
    const DLTensor *targets, *out, *valid, *dt;
} resample_arguments;

static rbc_status resample(const void *memory, rbc_error *err) {
    const resample_arguments *a = memory;
    return rbc_resample(context, &a->source, a->targets, a->out, a->valid, a->dt, NULL, err);
}

static void run_resample(const DLDataType *times_dtype, int kind, int64_t length, int mode) {
    array values = array_new(f32, 3, (int64_t[]){BATCH, SAMPLES, CHANNELS});
    array times = array_new(*times_dtype, 2, (int64_t[]){BATCH, SAMPLES});
    array targets = array_new(*times_dtype, 2, (int64_t[]){BATCH, TARGETS});
    array lengths = array_new(i64, 1, (int64_t[]){BATCH});
    array out = array_new(f32, 3, (int64_t[]){BATCH, TARGETS, CHANNELS});
    array valid = array_new(u8, 2, (int64_t[]){BATCH, TARGETS});
    array dt = array_new(*times_dtype, 2, (int64_t[]){BATCH, TARGETS});
    fill(&values, 4, 0);
    fill_badly(&times, kind);
    fill_badly(&targets, kind);
    for (int b = 0; b < BATCH; ++b) {
        ((int64_t *)lengths.data)[b] = b == 1 ? 5 : length;
    }
    array *all[] = {&values, &times, &targets, &lengths, &out, &valid, &dt};
    for (size_t i = 0; i < COUNT(all); ++i) {
        to_device(all[i], i < 4);
    }
    resample_arguments a = {RBC_RESAMPLE_SOURCE_INIT, &targets.device, &out.device, NULL, NULL};
    a.source.values = &values.device;
    a.source.times = &times.device;
    a.source.lengths = &lengths.device;
    a.source.mode = (rbc_resample_mode)mode;
    check_outputs(resample, &a, (array *const[]){&out}, 1);
    a.source.outside = RBC_OUTSIDE_ZERO;
    a.source.tolerance = 0.1;
    a.valid = &valid.device;
    a.dt = &dt.device;
    check_outputs(resample, &a, (array *const[]){&out, &valid, &dt}, 3);
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]->data);
    }
    gpu_free_all();
}

void hostile_times_and_lengths_stay_inside(void **unused) {
    (void)unused;
    const DLDataType *const times[] = {&i64, &f64, &f32};
    for (size_t t = 0; t < COUNT(times); ++t) {
        for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
            run_resample(times[t], 0, SAMPLES, mode);
            run_resample(times[t], 1, bad_lengths[(size_t)mode % COUNT(bad_lengths)], mode);
        }
    }
    for (size_t i = 0; i < COUNT(bad_lengths); ++i) {
        run_resample(&f32, 1, bad_lengths[i], RBC_RESAMPLE_LINEAR);
        run_resample(&i64, 1, bad_lengths[i], RBC_RESAMPLE_CUBIC);
    }
}

/* ---- voxelize ---- */

typedef struct voxelize_arguments {
    const DLTensor *points, *features, *lengths, *out, *counts, *dropped, *workspace;
    rbc_voxelize_params params;
} voxelize_arguments;

static rbc_status voxelize(const void *memory, rbc_error *err) {
    const voxelize_arguments *a = memory;
    return rbc_voxelize(context, a->points, a->features, a->lengths, &a->params, a->out, a->counts,
                        a->dropped, a->workspace, NULL, err);
}

static void run_voxelize(rbc_voxel_reduce reduce, int64_t size, int64_t length) {
    const int64_t n = 500;
    const int reduces = reduce >= RBC_VOXEL_SUM;
    array points = array_new(f32, 3, (int64_t[]){BATCH, n, 3});
    array features = array_new(f32, 3, (int64_t[]){BATCH, n, 4});
    array lengths = array_new(i64, 1, (int64_t[]){BATCH});
    array out = array_new(reduces                         ? f32
                          : reduce == RBC_VOXEL_OCCUPANCY ? u8
                                                          : i32,
                          reduces ? 5 : 4, (int64_t[]){BATCH, size, size, size, 4});
    array counts = array_new(i32, 4, (int64_t[]){BATCH, size, size, size});
    array dropped = array_new(i64, 1, (int64_t[]){BATCH});
    fill_badly(&points, 1);
    for (size_t i = 0; i < points.bytes / 4; i += 7) {
        ((float *)points.data)[i] = (float)bad_number(0);
    }
    fill_badly(&features, 1);
    for (int b = 0; b < BATCH; ++b) {
        ((int64_t *)lengths.data)[b] = b == 1 ? 5 : length;
    }
    array *all[] = {&points, &features, &lengths, &out, &counts, &dropped};
    for (size_t i = 0; i < COUNT(all); ++i) {
        to_device(all[i], i < 3);
    }
    voxelize_arguments a = {.points = &points.device,
                            .features = reduces ? &features.device : NULL,
                            .lengths = &lengths.device,
                            .out = &out.device,
                            .counts = &counts.device,
                            .dropped = &dropped.device,
                            .params = RBC_VOXELIZE_PARAMS_INIT};
    a.params.reduce = reduce;
    for (int axis = 0; axis < 3; ++axis) {
        a.params.grid_size[axis] = size;
        a.params.voxel_size[axis] = 1.0 / (double)size;
    }
    uint64_t bytes = 0;
    rbc_error err;
    check(rbc_voxelize_workspace(context, a.points, a.features, &a.params, &bytes, &err), &err);
    array workspace = array_new(u8, 1, (int64_t[]){(int64_t)bytes});
    to_device(&workspace, 0);
    a.workspace = bytes > 0 ? &workspace.device : NULL;
    check_outputs(voxelize, &a, (array *const[]){&out, &counts, &dropped}, 3);
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]->data);
    }
    free(workspace.data);
    gpu_free_all();
}

void hostile_clouds_stay_inside(void **unused) {
    (void)unused;
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
        for (size_t i = 0; i < COUNT(bad_lengths); ++i) {
            run_voxelize((rbc_voxel_reduce)reduce, i % 2 ? 4 : 9, bad_lengths[i]);
        }
    }
    run_voxelize(RBC_VOXEL_COUNT, 48, 500);
    run_voxelize(RBC_VOXEL_OCCUPANCY, 48, INT64_MAX);
}
