#include "voxel_helpers.h"

#include <math.h>

#define MAX_N 3000

typedef struct scene {
    int64_t batch, n, channels, max_voxels, max_points;
    tensor points, features, lengths;
    tensor coordinates, num_voxels, counts, reduced, voxels, point_indices, point_to_voxel;
    tensor point_coordinates, dropped, origins;
    bool has_lengths;
    rbc_voxelize_sparse_params params;
} scene;

static void scene_init(scene *s, rbc_voxel_preset preset, int64_t batch, int64_t n,
                       int64_t channels, int64_t max_voxels, int64_t max_points) {
    *s = (scene){.batch = batch,
                 .n = n,
                 .channels = channels,
                 .max_voxels = max_voxels,
                 .max_points = max_points};
    s->params = (rbc_voxelize_sparse_params)RBC_VOXELIZE_SPARSE_PARAMS_INIT;
    s->params.preset = preset;
    s->params.max_points = max_points;
    const int64_t k = max_points > 0 ? max_points : 1;
    tensor_init(&s->points, kDLFloat, 32, SHAPE(batch, n, 3));
    tensor_init(&s->features, kDLFloat, 32, SHAPE(batch, n, channels));
    tensor_init(&s->lengths, kDLInt, 64, SHAPE(batch));
    tensor_init(&s->coordinates, kDLInt, 32, SHAPE(batch, max_voxels, 3));
    tensor_init(&s->num_voxels, kDLInt, 32, SHAPE(batch));
    tensor_init(&s->counts, kDLInt, 32, SHAPE(batch, max_voxels));
    tensor_init(&s->reduced, kDLFloat, 32, SHAPE(batch, max_voxels, channels));
    tensor_init(&s->voxels, kDLFloat, 32, SHAPE(batch, max_voxels, k, channels));
    tensor_init(&s->point_indices, kDLInt, 32, SHAPE(batch, max_voxels, k));
    tensor_init(&s->point_to_voxel, kDLInt, 32, SHAPE(batch, n));
    tensor_init(&s->point_coordinates, kDLInt, 32, SHAPE(batch, n, 3));
    tensor_init(&s->dropped, kDLInt, 64, SHAPE(batch));
    tensor_init(&s->origins, kDLFloat, 64, SHAPE(batch, 3));
    for (int axis = 0; axis < 3; ++axis) {
        s->params.grid_size[axis] = 6 + axis;
        s->params.voxel_size[axis] = 0.25 + 0.05 * axis;
        s->params.origin[axis] = -0.9 - 0.1 * axis;
        s->params.upper[axis] = 0.9;
    }
    s->params.has_origin = preset == RBC_VOXEL_PRESET_MMCV || preset == RBC_VOXEL_PRESET_SPCONV ||
                           preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE;
}

static void scene_free(scene *s) {
    tensor *all[] = {&s->points,        &s->features,       &s->lengths, &s->coordinates,
                     &s->num_voxels,    &s->counts,         &s->reduced, &s->voxels,
                     &s->point_indices, &s->point_to_voxel, &s->dropped, &s->point_coordinates,
                     &s->origins};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
        tensor_free(all[i]);
    }
}

static void fill_random(scene *s, uint64_t seed) {
    uint64_t state = seed;
    float *points = s->points.memory, *features = s->features.memory;
    for (int64_t i = 0; i < 3 * s->batch * s->n; ++i) {
        points[i] = (float)random_between(&state, -1, 1);
        if (random_bits(&state) % 200 == 0) {
            points[i] = random_bits(&state) % 2 == 0 ? NAN : INFINITY;
        }
    }
    for (int64_t i = 0; i < s->channels * s->batch * s->n; ++i) {
        features[i] = (float)random_between(&state, -5, 5);
    }
}

static rbc_voxelize_sparse_outputs outputs_of(const scene *s) {
    rbc_voxelize_sparse_outputs o = RBC_VOXELIZE_SPARSE_OUTPUTS_INIT;
    o.coordinates = &s->coordinates.dl;
    o.num_voxels = &s->num_voxels.dl;
    o.counts = &s->counts.dl;
    o.features = &s->reduced.dl;
    o.voxels = s->max_points > 0 ? &s->voxels.dl : NULL;
    o.point_indices = s->max_points > 0 ? &s->point_indices.dl : NULL;
    o.point_to_voxel = &s->point_to_voxel.dl;
    o.point_coordinates = &s->point_coordinates.dl;
    o.dropped = &s->dropped.dl;
    o.origins = &s->origins.dl;
    return o;
}

static rbc_status run(rbc_context *context, const scene *s, rbc_error *err) {
    const rbc_voxelize_sparse_outputs outputs = outputs_of(s);
    uint64_t bytes = 0;
    const rbc_status status = rbc_voxelize_sparse_workspace(context, &s->points.dl, &s->features.dl,
                                                            &s->params, &outputs, &bytes, err);
    if (status != RBC_OK) {
        return status;
    }
    tensor workspace;
    tensor_init(&workspace, kDLUInt, 8, SHAPE((int64_t)bytes));
    const rbc_status result = rbc_voxelize_sparse(context, &s->points.dl, &s->features.dl,
                                                  s->has_lengths ? &s->lengths.dl : NULL,
                                                  &s->params, &outputs, &workspace.dl, NULL, err);
    tensor_free(&workspace);
    return result;
}

/* ---- A naive reference ---- */

static bool locate(const scene *s, const float *p, const double *origin, double scale,
                   int64_t *at) {
    const rbc_voxelize_sparse_params *q = &s->params;
    for (int axis = 0; axis < 3; ++axis) {
        const float o = (float)origin[axis], v = (float)q->voxel_size[axis];
        double cell;
        bool inside;
        switch (q->preset) {
        case RBC_VOXEL_PRESET_OPEN3D_VOXELIZE:
            inside = p[axis] >= o && p[axis] <= (float)q->upper[axis];
            cell = (double)truncf((p[axis] - o) * (1 / v));
            break;
        case RBC_VOXEL_PRESET_OPEN3D_DOWN_SAMPLE:
            cell = floor(((double)p[axis] - origin[axis]) / q->voxel_size[axis]);
            inside = fabs(cell) < 2147483648.0;
            break;
        case RBC_VOXEL_PRESET_KAOLIN:
            cell = (double)rintf(((p[axis] - o) / (float)scale) * (float)(q->grid_size[axis] - 1));
            inside = cell >= 0 && cell < (double)q->grid_size[axis];
            break;
        default: {
            const float difference = p[axis] - o;
            cell = (double)floorf(difference / v);
            inside = q->grid_size[axis] == 0 ? fabs(cell) < 2147483648.0
                                             : cell >= 0 && cell < (double)q->grid_size[axis];
            break;
        }
        }
        if (!inside) {
            return false;
        }
        at[axis] = (int64_t)cell;
    }
    return true;
}

static int compare_ascending(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    for (int axis = 0; axis < 3; ++axis) {
        if (x[axis] != y[axis]) {
            return x[axis] < y[axis] ? -1 : 1;
        }
    }
    return 0;
}

static int compare_z_first(const void *a, const void *b) {
    const int64_t *x = a, *y = b;
    for (int axis = 2; axis >= 0; --axis) {
        if (x[axis] != y[axis]) {
            return x[axis] < y[axis] ? -1 : 1;
        }
    }
    return 0;
}

static void cloud_origin(const scene *s, const float *points, int64_t length, double *origin,
                         double *scale) {
    const rbc_voxelize_sparse_params *q = &s->params;
    double least[3] = {HUGE_VAL, HUGE_VAL, HUGE_VAL};
    double greatest[3] = {-HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    for (int64_t i = 0; i < length; ++i) {
        const float *p = points + 3 * i;
        if (isfinite(p[0]) && isfinite(p[1]) && isfinite(p[2])) {
            for (int axis = 0; axis < 3; ++axis) {
                least[axis] = fmin(least[axis], (double)p[axis]);
                greatest[axis] = fmax(greatest[axis], (double)p[axis]);
            }
        }
    }
    *scale = q->scale;
    for (int axis = 0; axis < 3; ++axis) {
        origin[axis] = q->origin[axis];
        if (!q->has_origin && q->preset == RBC_VOXEL_PRESET_ROBOCACHE) {
            origin[axis] = -(double)q->grid_size[axis] * q->voxel_size[axis] / 2;
        } else if (!q->has_origin) {
            const bool is_kaolin = q->preset == RBC_VOXEL_PRESET_KAOLIN;
            origin[axis] = least[axis] - (is_kaolin ? 0 : q->voxel_size[axis] / 2);
        }
        if (q->scale == 0) {
            *scale = fmax(*scale, (double)((float)greatest[axis] - (float)origin[axis]));
        }
    }
}

static void check_voxel(const scene *s, int64_t b, int64_t v, const int64_t *at,
                        const int64_t *cells) {
    const int64_t row = b * s->max_voxels + v;
    const bool is_zyx =
        s->params.preset == RBC_VOXEL_PRESET_MMCV || s->params.preset == RBC_VOXEL_PRESET_SPCONV;
    const float *features = (const float *)s->features.memory + b * s->n * s->channels;
    int64_t count = 0;
    long double sums[8] = {0};
    double extreme[8] = {0};
    for (int axis = 0; axis < 3; ++axis) {
        assert_int_equal(((const int32_t *)s->coordinates.memory)[3 * row + axis],
                         at == NULL ? -1 : at[is_zyx ? 2 - axis : axis]);
    }
    for (int64_t i = 0; at != NULL && i < s->n; ++i) {
        const int64_t *cell = cells + 4 * i;
        if (cell[3] == 0 || compare_ascending(cell, at) != 0) {
            continue;
        }
        assert_int_equal(((const int32_t *)s->point_to_voxel.memory)[b * s->n + i], v);
        if (s->max_points > 0 && count == s->max_points) {
            continue;
        }
        for (int64_t c = 0; c < s->channels; ++c) {
            const double value = (double)features[i * s->channels + c];
            sums[c] += (long double)value;
            const bool is_more =
                s->params.reduce == RBC_VOXEL_MIN ? value < extreme[c] : value > extreme[c];
            extreme[c] = count == 0 || is_more ? value : extreme[c];
            if (s->max_points > 0) {
                assert_true(
                    (double)((const float *)s->voxels
                                 .memory)[(row * s->max_points + count) * s->channels + c] ==
                    value);
            }
        }
        if (s->max_points > 0) {
            assert_int_equal(
                ((const int32_t *)s->point_indices.memory)[row * s->max_points + count], i);
        }
        ++count;
    }
    assert_int_equal(((const int32_t *)s->counts.memory)[row], count);
    for (int64_t c = 0; c < s->channels; ++c) {
        const double found = (double)((const float *)s->reduced.memory)[row * s->channels + c];
        double wanted = extreme[c];
        if (s->params.reduce == RBC_VOXEL_SUM || s->params.reduce == RBC_VOXEL_MEAN) {
            const int64_t divisor = s->params.reduce == RBC_VOXEL_SUM || count == 0 ? 1 : count;
            wanted = (double)sums[c] / (double)divisor;
        }
        assert_true(fabs(found - wanted) <= fabs(wanted) * 0x1p-23);
    }
    for (int64_t k = count; k < s->max_points; ++k) {
        assert_int_equal(((const int32_t *)s->point_indices.memory)[row * s->max_points + k], -1);
        for (int64_t c = 0; c < s->channels; ++c) {
            const int64_t place = (row * s->max_points + k) * s->channels + c;
            assert_true(((const float *)s->voxels.memory)[place] == 0);
        }
    }
}

static void check_cloud(const scene *s, int64_t b) {
    static int64_t cells[4 * MAX_N], voxels[3 * MAX_N];
    const float *points = (const float *)s->points.memory + 3 * b * s->n;
    const int64_t length = s->has_lengths ? ((const int64_t *)s->lengths.memory)[b] : s->n;
    const bool is_zyx =
        s->params.preset == RBC_VOXEL_PRESET_MMCV || s->params.preset == RBC_VOXEL_PRESET_SPCONV;
    double origin[3], scale;
    int64_t num_voxels = 0, dropped = 0;
    cloud_origin(s, points, length, origin, &scale);
    for (int64_t i = 0; i < s->n; ++i) {
        int64_t *cell = cells + 4 * i;
        cell[3] = i < length && locate(s, points + 3 * i, origin, scale, cell);
        dropped += i < length && cell[3] == 0;
        bool is_new = cell[3] != 0;
        for (int64_t v = 0; is_new && v < num_voxels; ++v) {
            is_new = compare_ascending(cell, voxels + 3 * v) != 0;
        }
        if (is_new) {
            memcpy(voxels + 3 * num_voxels++, cell, 3 * sizeof *cell);
        }
        for (int axis = 0; axis < 3; ++axis) {
            assert_int_equal(
                ((const int32_t *)s->point_coordinates.memory)[3 * (b * s->n + i) + axis],
                cell[3] == 0 ? -1 : cell[is_zyx ? 2 - axis : axis]);
        }
    }
    if (s->params.preset == RBC_VOXEL_PRESET_OPEN3D_VOXELIZE) {
        qsort(voxels, (size_t)num_voxels, 3 * sizeof *voxels, compare_z_first);
    } else if (!is_zyx) {
        qsort(voxels, (size_t)num_voxels, 3 * sizeof *voxels, compare_ascending);
    }
    num_voxels = num_voxels < s->max_voxels ? num_voxels : s->max_voxels;
    assert_int_equal(((const int32_t *)s->num_voxels.memory)[b], num_voxels);
    assert_int_equal(((const int64_t *)s->dropped.memory)[b], dropped);
    int64_t mapped = 0, wanted_mapped = 0;
    for (int64_t i = 0; i < s->n; ++i) {
        const int32_t v = ((const int32_t *)s->point_to_voxel.memory)[b * s->n + i];
        assert_in_range(v + 1, 0, num_voxels);
        mapped += v >= 0;
        for (int64_t w = 0; cells[4 * i + 3] != 0 && w < num_voxels; ++w) {
            wanted_mapped += compare_ascending(cells + 4 * i, voxels + 3 * w) == 0;
        }
    }
    assert_int_equal(mapped, wanted_mapped);
    for (int64_t v = 0; v < s->max_voxels; ++v) {
        check_voxel(s, b, v, v < num_voxels ? voxels + 3 * v : NULL, cells);
    }
}

static void every_preset_matches_a_naive_reference(void **state) {
    (void)state;
    const struct {
        int64_t batch, n, channels, max_voxels, max_points;
    } sizes[] = {
        {1, 1, 1, 1, 1},      {1, 700, 3, 2000, 0}, {3, 400, 4, 50, 5}, {2, 0, 2, 4, 3},
        {1, 2500, 1, 100, 2}, {9, 120, 5, 130, 1},  {2, 300, 2, 0, 0},  {0, 10, 2, 4, 3},
    };
    const size_t num_sizes = sizeof sizes / sizeof *sizes;
    for (size_t i = 0; i < num_sizes * 6 * 2; ++i) {
        const size_t size = i % num_sizes;
        const rbc_voxel_preset preset = (rbc_voxel_preset)(i / num_sizes % 6);
        scene s;
        scene_init(&s, preset, sizes[size].batch, sizes[size].n, sizes[size].channels,
                   sizes[size].max_voxels, sizes[size].max_points);
        fill_random(&s, i);
        s.params.reduce = (rbc_voxel_reduce)(RBC_VOXEL_SUM + i % 4);
        if (i / num_sizes >= 6) {
            s.has_lengths = true;
            for (int64_t b = 0; b < s.batch; ++b) {
                ((int64_t *)s.lengths.memory)[b] = s.n * (b + 1) / (s.batch + 1);
            }
            if (preset == RBC_VOXEL_PRESET_ROBOCACHE) {
                memset(s.params.grid_size, 0, sizeof s.params.grid_size);
            }
            s.params.has_origin = 1;
            s.params.scale = 1.7;
        }
        rbc_context *context = context_of(2, feature_masks[i % 3]);
        assert_ok(run(context, &s, err));
        for (int64_t b = 0; b < s.batch; ++b) {
            check_cloud(&s, b);
        }
        rbc_context_destroy(&context);
        scene_free(&s);
    }
}

/* ---- Invariance ---- */

static void threads_do_not_show(void **state) {
    (void)state;
    for (int preset = 0; preset < 6; ++preset) {
        scene s;
        scene_init(&s, (rbc_voxel_preset)preset, 1, 60000, 3, 40000, 4);
        for (int axis = 0; axis < 3; ++axis) {
            s.params.voxel_size[axis] = 0.05;
            s.params.grid_size[axis] = 36;
        }
        fill_random(&s, 5);
        tensor *outputs[] = {&s.coordinates,   &s.num_voxels,     &s.counts, &s.reduced,
                             &s.point_indices, &s.point_to_voxel, &s.voxels, &s.origins};
        void *wanted[8] = {0};
        for (int32_t threads = 1; threads <= 7; threads += 3) {
            rbc_context *context = context_of(threads, feature_masks[threads % 3]);
            assert_ok(run(context, &s, err));
            for (size_t i = 0; i < 8; ++i) {
                const size_t bytes =
                    (size_t)tensor_elements(outputs[i]) * outputs[i]->dl.dtype.bits / 8;
                if (wanted[i] == NULL) {
                    wanted[i] = malloc(bytes);
                    memcpy(wanted[i], outputs[i]->memory, bytes);
                }
                assert_memory_equal(outputs[i]->memory, wanted[i], bytes);
            }
            rbc_context_destroy(&context);
        }
        for (size_t i = 0; i < 8; ++i) {
            free(wanted[i]);
        }
        scene_free(&s);
    }
}

static void ascending_voxels_do_not_depend_on_the_order_of_points(void **state) {
    (void)state;
    scene s;
    scene_init(&s, RBC_VOXEL_PRESET_ROBOCACHE, 1, 2000, 2, 600, 0);
    fill_random(&s, 11);
    rbc_context *context = context_of(2, UINT64_MAX);
    assert_ok(run(context, &s, err));
    const size_t bytes = (size_t)tensor_elements(&s.reduced) * 4;
    void *wanted = malloc(bytes);
    memcpy(wanted, s.reduced.memory, bytes);
    float *p = s.points.memory, *f = s.features.memory;
    for (int64_t i = 0; i < s.n / 2; ++i) {
        const int64_t j = s.n - 1 - i;
        for (int axis = 0; axis < 3; ++axis) {
            const float kept = p[3 * i + axis];
            p[3 * i + axis] = p[3 * j + axis];
            p[3 * j + axis] = kept;
        }
        for (int c = 0; c < 2; ++c) {
            const float kept = f[2 * i + c];
            f[2 * i + c] = f[2 * j + c];
            f[2 * j + c] = kept;
        }
    }
    assert_ok(run(context, &s, err));
    assert_memory_equal(s.reduced.memory, wanted, bytes);
    free(wanted);
    rbc_context_destroy(&context);
    scene_free(&s);
}

/* ---- Particular cases ---- */

/* Points of one voxel meet from far apart and negative cells are floored, not truncated. */
static void unbounded_cells_may_be_negative_and_large(void **state) {
    (void)state;
    scene s;
    scene_init(&s, RBC_VOXEL_PRESET_ROBOCACHE, 1, 6, 1, 6, 0);
    memset(s.params.grid_size, 0, sizeof s.params.grid_size);
    for (int axis = 0; axis < 3; ++axis) {
        s.params.origin[axis] = 0;
        s.params.voxel_size[axis] = 0.5;
    }
    s.params.has_origin = 1;
    const float points[6][3] = {{-0.25f, 0, 0},   {1e6f, -1e6f, 0}, {1e30f, 0, 0},
                                {-0.5f, 0.1f, 0}, {1e6f, -1e6f, 0}, {0, 0, -1.1e9f}};
    memcpy(s.points.memory, points, sizeof points);
    memset(s.features.memory, 0, 24);
    rbc_context *context = context_of(1, UINT64_MAX);
    assert_ok(run(context, &s, err));
    const int32_t wanted[4][3] = {{-1, 0, 0}, {2000000, -2000000, 0}, {-1, -1, -1}, {-1, -1, -1}};
    assert_int_equal(*(int32_t *)s.num_voxels.memory, 2);
    assert_int_equal(*(int64_t *)s.dropped.memory, 2);
    assert_memory_equal(s.coordinates.memory, wanted, sizeof wanted);
    assert_int_equal(((int32_t *)s.counts.memory)[0], 2);
    check_cloud(&s, 0);
    rbc_context_destroy(&context);
    scene_free(&s);
}

/* The example in kaolin's documentation of pointclouds_to_voxelgrids. */
static void kaolin_fills_the_diagonal(void **state) {
    (void)state;
    scene s;
    scene_init(&s, RBC_VOXEL_PRESET_KAOLIN, 1, 3, 1, 4, 0);
    const float points[3][3] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}};
    const int32_t wanted[4][3] = {{0, 0, 0}, {1, 1, 1}, {2, 2, 2}, {-1, -1, -1}};
    memcpy(s.points.memory, points, sizeof points);
    memset(s.features.memory, 0, 12);
    for (int axis = 0; axis < 3; ++axis) {
        s.params.grid_size[axis] = 3;
    }
    rbc_context *context = context_of(1, UINT64_MAX);
    assert_ok(run(context, &s, err));
    assert_memory_equal(s.coordinates.memory, wanted, sizeof wanted);
    rbc_context_destroy(&context);
    scene_free(&s);
}

static void bad_arguments_are_named(void **state) {
    (void)state;
    rbc_context *context = context_of(1, UINT64_MAX);
    scene s;
    scene_init(&s, RBC_VOXEL_PRESET_MMCV, 1, 10, 2, 5, 3);
    fill_random(&s, 1);
    const rbc_voxelize_sparse_params good = s.params;
    s.params.has_origin = 0;
    assert_refused(run(context, &s, err), "origin is not given");
    s.params = good;
    s.params.grid_size[2] = 0;
    assert_refused(run(context, &s, err), "grid_size[2] is 0; preset mmcv wants 1");
    s.params = good;
    s.params.voxel_size[0] = -1;
    assert_refused(run(context, &s, err), "voxel_size[0] is -1");
    s.params = good;
    s.params.preset = (rbc_voxel_preset)17;
    assert_refused(run(context, &s, err), "preset is 17");
    s.params = good;
    s.params.reduce = RBC_VOXEL_OCCUPANCY;
    assert_refused(run(context, &s, err), "reduce is 0");
    s.params = good;
    s.params.max_points = -1;
    assert_refused(run(context, &s, err), "max_points is -1");
    s.params.max_points = 0;
    assert_refused(run(context, &s, err), "outputs.voxels wants a limit");
    s.params.max_points = 4;
    assert_refused(run(context, &s, err), "voxels has shape [1, 5, 3, 2]; wanted [1, 5, 4, 2]");
    s.params = good;
    s.params.preset = RBC_VOXEL_PRESET_ROBOCACHE;
    s.params.has_origin = 0;
    memset(s.params.grid_size, 0, sizeof s.params.grid_size);
    assert_refused(run(context, &s, err), "where the grid has no bounds");
    s.params = good;
    s.params.preset = RBC_VOXEL_PRESET_OPEN3D_VOXELIZE;
    s.params.upper[1] = NAN;
    assert_refused(run(context, &s, err), "upper[1]");
    s.params = good;
    s.coordinates.dl.dtype.bits = 64;
    assert_refused(run(context, &s, err), "coordinates is int64; wanted int32");
    s.coordinates.dl.dtype.bits = 32;
    rbc_voxelize_sparse_outputs outputs = outputs_of(&s);
    outputs.struct_size += 8;
    assert_refused(rbc_voxelize_sparse(context, &s.points.dl, &s.features.dl, NULL, &s.params,
                                       &outputs, NULL, NULL, err),
                   "outputs.struct_size");
    outputs = outputs_of(&s);
    assert_refused(rbc_voxelize_sparse(context, &s.points.dl, NULL, NULL, &s.params, &outputs, NULL,
                                       NULL, err),
                   "outputs.features needs them");
    assert_refused(rbc_voxelize_sparse(context, &s.points.dl, &s.features.dl, NULL, &s.params,
                                       &outputs, NULL, NULL, err),
                   "workspace is NULL");
    outputs.counts = outputs.num_voxels;
    assert_refused(rbc_voxelize_sparse(context, &s.points.dl, &s.features.dl, NULL, &s.params,
                                       &outputs, NULL, NULL, err),
                   "counts has shape [1]; wanted [1, 5]");
    assert_ok(run(context, &s, err));
    check_cloud(&s, 0);
    rbc_context_destroy(&context);
    scene_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset_matches_a_naive_reference),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(ascending_voxels_do_not_depend_on_the_order_of_points),
        cmocka_unit_test(unbounded_cells_may_be_negative_and_large),
        cmocka_unit_test(kaolin_fills_the_diagonal),
        cmocka_unit_test(bad_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
