/* Each operation on a CUDA device against the same call on the CPU, to the bit. Small sizes, so
 * that the tools of compute-sanitizer go through all kernels in seconds. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "adjoint.h"
#include "arrays.h"
#include "gpu.h"
#include "hostile.h"
#include "sparse.h"

rbc_context *context;

/* ---- resample and fuse ---- */

typedef struct resample_case {
    const DLDataType *values, *times;
    int64_t batch, samples, targets, channels;
    rbc_resample_mode mode;
    rbc_outside outside;
    double max_gap, tolerance;
    int with_lengths, with_outputs, nan_is_missing;
} resample_case;

static void run_resample(const resample_case *c) {
    array values = array_new(*c->values, 3, (int64_t[]){c->batch, c->samples, c->channels});
    array times = array_new(*c->times, 2, (int64_t[]){c->batch, c->samples});
    array targets = array_new(*c->times, 2, (int64_t[]){c->batch, c->targets});
    array lengths = array_new(i32, 1, (int64_t[]){c->batch});
    array out = array_new(*c->values, 3, (int64_t[]){c->batch, c->targets, c->channels});
    array valid = array_new(u8, 2, (int64_t[]){c->batch, c->targets});
    array dt = array_new(*c->times, 2, (int64_t[]){c->batch, c->targets});
    fill(&values, 4, 0);
    if (c->nan_is_missing) {
        for (size_t i = 0; i < values.bytes / 4; i += 3) {
            ((float *)values.data)[i] = NAN;
        }
    }
    fill_times(&times, c->batch, c->samples, 0, 1);
    fill_times(&targets, c->batch, c->targets, -0.1, 1.1);
    for (int64_t b = 0; b < c->batch; ++b) {
        ((int32_t *)lengths.data)[b] = (int32_t)(b % (c->samples + 1));
    }
    array *all[] = {&values, &times, &targets, &lengths, &out, &valid, &dt};
    for (size_t i = 0; i < COUNT(all); ++i) {
        to_device(all[i], i < 4);
    }
    for (int on_device = 0; on_device < 2; ++on_device) {
        rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
        source.values = on_device ? &values.device : &values.host;
        source.times = on_device ? &times.device : &times.host;
        if (c->with_lengths) {
            source.lengths = on_device ? &lengths.device : &lengths.host;
        }
        source.mode = c->mode;
        source.outside = c->outside;
        const double unit = c->times == &i64 ? 1e9 : 1;
        source.max_gap = c->max_gap > 0 ? c->max_gap * unit : -1;
        source.tolerance = c->tolerance > 0 ? c->tolerance * unit : -1;
        source.flags = c->nan_is_missing ? RBC_NAN_IS_MISSING : 0;
        rbc_error err;
        check(rbc_resample(context, &source, on_device ? &targets.device : &targets.host,
                           on_device ? &out.device : &out.host,
                           !c->with_outputs ? NULL
                           : on_device      ? &valid.device
                                            : &valid.host,
                           !c->with_outputs ? NULL
                           : on_device      ? &dt.device
                                            : &dt.host,
                           NULL, &err),
              &err);
    }
    assert_same(&out);
    if (c->with_outputs) {
        assert_same(&valid);
        assert_same(&dt);
    }
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]->data);
    }
    gpu_free_all();
}

static void resample_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const DLDataType *const values[] = {&f32, &f64, &f16, &bf16};
    static const DLDataType *const times[] = {&i64, &f64, &f32};
    for (size_t v = 0; v < COUNT(values); ++v) {
        for (size_t t = 0; t < COUNT(times); ++t) {
            for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
                const int64_t channels = mode == RBC_RESAMPLE_SLERP ? 4 : 3 + 5 * (mode % 3);
                resample_case c = {
                    values[v],        times[t], 3, 40, 37, channels, (rbc_resample_mode)mode,
                    RBC_OUTSIDE_HOLD, 0,        0, 0,  0,  0};
                run_resample(&c);
                c.with_lengths = c.with_outputs = 1;
                c.outside = RBC_OUTSIDE_NAN;
                c.max_gap = 0.05;
                c.tolerance = 0.02;
                run_resample(&c);
                c.outside =
                    mode == RBC_RESAMPLE_LINEAR ? RBC_OUTSIDE_EXTRAPOLATE : RBC_OUTSIDE_ZERO;
                c.channels = mode == RBC_RESAMPLE_SLERP ? 4 : 16;
                run_resample(&c);
            }
        }
    }
}

static void long_rows_are_searched_in_parts(void **unused) {
    (void)unused;
    run_resample(&(resample_case){&f32, &i64, 2, 9000, 300, 8, RBC_RESAMPLE_LINEAR,
                                  RBC_OUTSIDE_HOLD, 0, 0, 0, 1, 0});
    run_resample(&(resample_case){&f32, &f32, 2, 20000, 70, 3, RBC_RESAMPLE_CUBIC, RBC_OUTSIDE_HOLD,
                                  0, 0, 1, 1, 0});
    run_resample(&(resample_case){&f32, &f64, 1, 1, 5, 8, RBC_RESAMPLE_LINEAR, RBC_OUTSIDE_HOLD, 0,
                                  0, 0, 0, 0});
    run_resample(&(resample_case){&f32, &f64, 2, 0, 5, 8, RBC_RESAMPLE_LINEAR, RBC_OUTSIDE_NAN, 0,
                                  0, 0, 1, 0});
}

static void missing_samples_are_skipped(void **unused) {
    (void)unused;
    for (int mode = RBC_RESAMPLE_LINEAR; mode <= RBC_RESAMPLE_MIN; ++mode) {
        run_resample(&(resample_case){&f32, &f64, 2, 30, 41, mode == RBC_RESAMPLE_SLERP ? 4 : 5,
                                      (rbc_resample_mode)mode, RBC_OUTSIDE_NAN, 0.2, 0.1, 0, 1, 1});
    }
}

static void fuse_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const int64_t widths[][3] = {
        {16, 32, 8}, {4, 8, 12}, {5, 1, 3}, {7, 2, 9}, {128, 128, 128}};
    for (size_t w = 0; w < COUNT(widths); ++w) {
        array values[3], times[3];
        /* Many wide rows: then samples that few targets use are not fetched ahead. */
        const int64_t batch = widths[w][0] > 100 ? 60 : 3, num_targets = 50;
        int64_t width = 0;
        for (int k = 0; k < 3; ++k) {
            values[k] = array_new(bf16, 3, (int64_t[]){batch, 70 - 20 * k, widths[w][k]});
            times[k] = array_new(f32, 2, (int64_t[]){batch, 70 - 20 * k});
            fill(&values[k], 4, 0);
            fill_times(&times[k], batch, 70 - 20 * k, 0, 1);
            to_device(&values[k], 1);
            to_device(&times[k], 1);
            width += widths[w][k];
        }
        array targets = array_new(f32, 2, (int64_t[]){batch, num_targets});
        array out = array_new(bf16, 3, (int64_t[]){batch, num_targets, width});
        array valid = array_new(u8, 3, (int64_t[]){batch, num_targets, 3});
        fill_times(&targets, batch, num_targets, -0.1, 1.1);
        to_device(&targets, 1);
        to_device(&out, 0);
        to_device(&valid, 0);
        for (int pass = 0; pass < 4; ++pass) {
            const int on_device = pass & 1, with_valid = pass >> 1;
            rbc_resample_source sources[3];
            for (int k = 0; k < 3; ++k) {
                sources[k] = (rbc_resample_source)RBC_RESAMPLE_SOURCE_INIT;
                sources[k].values = on_device ? &values[k].device : &values[k].host;
                sources[k].times = on_device ? &times[k].device : &times[k].host;
                sources[k].mode = (rbc_resample_mode)k;
            }
            rbc_error err;
            check(rbc_fuse(context, sources, 3, on_device ? &targets.device : &targets.host,
                           on_device ? &out.device : &out.host,
                           !with_valid ? NULL
                           : on_device ? &valid.device
                                       : &valid.host,
                           NULL, &err),
                  &err);
            if (on_device) {
                assert_same(&out);
            }
        }
        assert_same(&valid);
        for (int k = 0; k < 3; ++k) {
            free(values[k].data);
            free(times[k].data);
        }
        free(targets.data);
        free(out.data);
        free(valid.data);
        gpu_free_all();
    }
}

/* ---- voxelize ---- */

typedef struct voxel_case {
    const DLDataType *points, *features;
    int64_t batch, num_points, channels;
    int64_t grid[3];
    double spread;
    rbc_voxel_reduce reduce;
} voxel_case;

/* How points lie; but at random they are f32. */
enum { AT_RANDOM, IN_ORDER, MOSTLY_AT_ZERO };

/* Lets points lie as those of ordered clouds, along x, or of padded ones. */
static void arrange(array *points, const voxel_case *c, int lie) {
    float *at = points->data;
    for (int64_t i = 0; i < c->batch * c->num_points; i++, at += 3) {
        if (lie == IN_ORDER) {
            at[0] = (float)((double)(i % c->num_points) / (double)c->num_points - 0.5);
        } else if (lie == MOSTLY_AT_ZERO && i % 3 != 0) {
            at[0] = at[1] = at[2] = 0;
        }
    }
}

static void run_uneven(const voxel_case *c, int lie, int with_counts) {
    const int has_features = c->reduce >= RBC_VOXEL_SUM;
    const DLDataType dtype = has_features                       ? *c->features
                             : c->reduce == RBC_VOXEL_OCCUPANCY ? u8
                                                                : i32;
    const int64_t x = c->grid[0], y = c->grid[1], z = c->grid[2];
    array points = array_new(*c->points, 3, (int64_t[]){c->batch, c->num_points, 3});
    array features = array_new(*c->features, 3, (int64_t[]){c->batch, c->num_points, c->channels});
    array lengths = array_new(i32, 1, (int64_t[]){c->batch});
    array out = array_new(dtype, has_features ? 5 : 4,
                          (int64_t[]){c->batch, x, y, z, has_features ? c->channels : 1});
    array counts = array_new(i32, 4, (int64_t[]){c->batch, x, y, z});
    array dropped = array_new(i64, 1, (int64_t[]){c->batch});
    fill(&points, c->spread, 0);
    if (lie != AT_RANDOM) {
        arrange(&points, c, lie);
    }
    fill(&features, 8, 0);
    for (int64_t b = 0; b < c->batch; ++b) {
        ((int32_t *)lengths.data)[b] = (int32_t)(c->num_points - b);
    }
    array *all[] = {&points, &features, &lengths, &out, &counts, &dropped};
    for (size_t i = 0; i < COUNT(all); ++i) {
        to_device(all[i], i < 3);
    }
    for (int on_device = 0; on_device < 2; ++on_device) {
        rbc_voxelize_params params = RBC_VOXELIZE_PARAMS_INIT;
        params.reduce = c->reduce;
        for (int axis = 0; axis < 3; ++axis) {
            params.grid_size[axis] = c->grid[axis];
            params.voxel_size[axis] = 1.0 / (double)c->grid[axis];
        }
        const DLTensor *given = !has_features ? NULL
                                : on_device   ? &features.device
                                              : &features.host;
        const DLTensor *cloud = on_device ? &points.device : &points.host;
        uint64_t bytes = 0;
        rbc_error err;
        check(rbc_voxelize_workspace(context, cloud, given, &params, &bytes, &err), &err);
        array workspace = array_new(u8, 1, (int64_t[]){(int64_t)bytes});
        to_device(&workspace, 0);
        check(rbc_voxelize(context, cloud, given, on_device ? &lengths.device : &lengths.host,
                           &params, on_device ? &out.device : &out.host,
                           !with_counts ? NULL
                           : on_device  ? &counts.device
                                        : &counts.host,
                           on_device ? &dropped.device : &dropped.host,
                           on_device ? &workspace.device : &workspace.host, NULL, &err),
              &err);
        free(workspace.data);
    }
    assert_same(&out);
    if (with_counts) {
        assert_same(&counts);
    }
    assert_same(&dropped);
    for (size_t i = 0; i < COUNT(all); ++i) {
        free(all[i]->data);
    }
    gpu_free_all();
}

static void run_voxelize(const voxel_case *c, int with_counts) {
    run_uneven(c, AT_RANDOM, with_counts);
}

static void voxelize_gives_the_bits_of_the_cpu(void **unused) {
    (void)unused;
    static const DLDataType *const features[] = {&f32, &f64, &bf16};
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
        for (size_t f = 0; f < COUNT(features); ++f) {
            for (int64_t channels = 3; channels <= 8; channels += 5) {
                run_voxelize(&(voxel_case){&f32,
                                           features[f],
                                           2,
                                           3000,
                                           channels,
                                           {7, 9, 11},
                                           1.2,
                                           (rbc_voxel_reduce)reduce},
                             1);
            }
        }
        run_voxelize(
            &(voxel_case){&f64, &f32, 1, 5000, 4, {33, 20, 17}, 1.1, (rbc_voxel_reduce)reduce}, 1);
    }
}

static void crowded_cells_are_reduced(void **unused) {
    (void)unused;
    run_voxelize(&(voxel_case){&f32, &f32, 1, 20000, 8, {64, 64, 64}, 0.03, RBC_VOXEL_MEAN}, 1);
    run_voxelize(&(voxel_case){&f32, &f64, 1, 20000, 2, {4, 4, 4}, 0.1, RBC_VOXEL_SUM}, 1);
    run_voxelize(&(voxel_case){&f32, &f32, 1, 20000, 8, {4, 4, 4}, 0.1, RBC_VOXEL_MAX}, 1);
    run_voxelize(&(voxel_case){&f32, &f32, 1, 0, 8, {4, 4, 4}, 0.1, RBC_VOXEL_MAX}, 1);
}

static void uneven_clouds_are_voxelized(void **unused) {
    (void)unused;
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
        for (int lie = IN_ORDER; lie <= MOSTLY_AT_ZERO; ++lie) {
            voxel_case c = {&f32, &f32, 1, 30001, 8, {40, 40, 40}, 0.9, (rbc_voxel_reduce)reduce};
            run_uneven(&c, lie, 1);
            c.features = &f64;
            c.channels = 3;
            c.batch = 2;
            c.grid[2] = 1;
            run_uneven(&c, lie, 0);
        }
    }
}

/* More points than are counted straight in any grid: dealt out, and for counts in a grid of 2^16
 * cells or more, straight all the same. */
static void many_points_are_counted(void **unused) {
    (void)unused;
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_COUNT; ++reduce) {
        for (int with_counts = 0; with_counts < 2; ++with_counts) {
            const rbc_voxel_reduce how = (rbc_voxel_reduce)reduce;
            run_voxelize(&(voxel_case){&f32, &f32, 2, 20000, 1, {33, 20, 17}, 1.2, how},
                         with_counts);
            run_voxelize(&(voxel_case){&f32, &f32, 1, 20000, 1, {5, 4, 3}, 0.5, how}, with_counts);
            run_voxelize(&(voxel_case){&f64, &f32, 1, 40001, 1, {50, 40, 41}, 1.1, how},
                         with_counts);
        }
    }
}

static int set_up(void **unused) {
    (void)unused;
    return rbc_context_create(NULL, &context, NULL) == RBC_OK ? 0 : -1;
}

static int tear_down(void **unused) {
    (void)unused;
    rbc_context_destroy(&context);
    return 0;
}

static void without_a_device_cuda_tensors_are_refused(void **unused) {
    (void)unused;
    float number = 0;
    int64_t shape[] = {1, 1, 1};
    DLTensor tensor = {
        .data = &number, .device = {kDLCUDA, 0}, .ndim = 3, .dtype = f32, .shape = shape};
    DLTensor stamps = tensor;
    stamps.ndim = 2;
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = &tensor;
    source.times = &stamps;
    float result = 0;
    DLTensor out = tensor;
    out.data = &result;
    rbc_error err;
    const rbc_status status = rbc_resample(context, &source, &stamps, &out, NULL, NULL, NULL, &err);
    assert_true(status == RBC_ERROR_UNSUPPORTED || status == RBC_ERROR_DEVICE);
    assert_non_null(strstr(err.message, "CUDA"));
}

int main(void) {
    const char *missing = gpu_missing();
    if (missing != NULL) {
        (void)printf("skipping what needs a device: %s\n", missing);
        const struct CMUnitTest tests[] = {
            cmocka_unit_test(without_a_device_cuda_tensors_are_refused),
        };
        return cmocka_run_group_tests(tests, set_up, tear_down);
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resample_gives_the_bits_of_the_cpu),
        cmocka_unit_test(long_rows_are_searched_in_parts),
        cmocka_unit_test(missing_samples_are_skipped),
        cmocka_unit_test(fuse_gives_the_bits_of_the_cpu),
        cmocka_unit_test(many_groups_give_the_bits_of_the_cpu),
        cmocka_unit_test(checked_times_are_blamed_as_on_the_cpu),
        cmocka_unit_test(adjoint_gives_the_bits_of_the_cpu),
        cmocka_unit_test(plain_adjoint_gives_the_bits_of_the_cpu),
        cmocka_unit_test(voxelize_gives_the_bits_of_the_cpu),
        cmocka_unit_test(crowded_cells_are_reduced),
        cmocka_unit_test(uneven_clouds_are_voxelized),
        cmocka_unit_test(many_points_are_counted),
        cmocka_unit_test(sparse_gives_the_bits_of_the_cpu),
        cmocka_unit_test(depth_gives_the_bits_of_the_cpu),
        cmocka_unit_test(hostile_times_and_lengths_stay_inside),
        cmocka_unit_test(hostile_clouds_stay_inside),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
