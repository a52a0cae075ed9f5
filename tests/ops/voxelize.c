#include "voxel_scene.h"

#include <math.h>
#include <stdio.h>

/* The cell of a point, or -1; in the points' own type. */
static int64_t cell_of(const scene *s, int64_t point) {
    int64_t cell = 0;
    for (int axis = 0; axis < 3; ++axis) {
        const int64_t size = s->params.grid_size[axis];
        const double voxel = s->params.voxel_size[axis];
        const double origin =
            s->params.has_origin ? s->params.origin[axis] : -(double)size * voxel / 2;
        const double p = get(&s->points, 3 * point + axis);
        double q;
        if (s->points.dl.dtype.bits == 64) {
            q = floor((p - origin) / voxel);
        } else {
            const float difference = (float)p - (float)origin;
            q = (double)floorf(difference / (float)voxel);
        }
        if (!(q >= 0 && q < (double)size)) {
            return -1;
        }
        cell = cell * size + (int64_t)q;
    }
    return cell;
}

static void check(const scene *s) {
    const int64_t clouds = s->batch == 0 ? 1 : s->batch;
    const int64_t cells = s->params.grid_size[0] * s->params.grid_size[1] * s->params.grid_size[2];
    const int64_t channels = s->channels;
    int32_t *counts = calloc((size_t)(cells + 1), sizeof *counts);
    long double *sums = calloc((size_t)(cells * channels + 1), sizeof *sums);
    double *extremes = calloc((size_t)(cells * channels + 1), sizeof *extremes);
    double *magnitudes = calloc((size_t)channels + 1, sizeof *magnitudes);
    for (int64_t b = 0; b < clouds; ++b) {
        const int64_t length = s->has_lengths ? ((const int32_t *)s->lengths.memory)[b] : s->n;
        int64_t dropped = 0;
        memset(counts, 0, (size_t)cells * sizeof *counts);
        memset(sums, 0, (size_t)(cells * channels) * sizeof *sums);
        memset(magnitudes, 0, (size_t)channels * sizeof *magnitudes);
        for (int64_t i = b * s->n; i < b * s->n + length; ++i) {
            const int64_t cell = cell_of(s, i);
            for (int64_t c = 0; c < channels; ++c) {
                magnitudes[c] = fmax(magnitudes[c], fabs(get(&s->features, i * channels + c)));
            }
            if (cell < 0) {
                ++dropped;
                continue;
            }
            for (int64_t c = 0; c < channels; ++c) {
                const double value = get(&s->features, i * channels + c);
                double *extreme = &extremes[cell * channels + c];
                sums[cell * channels + c] += (long double)value;
                const bool is_more =
                    s->params.reduce == RBC_VOXEL_MIN ? value < *extreme : value > *extreme;
                if (counts[cell] == 0 || is_more) {
                    *extreme = value;
                }
            }
            ++counts[cell];
        }
        assert_int_equal(((const int64_t *)s->dropped.memory)[b], dropped);
        assert_memory_equal((const int32_t *)s->counts.memory + b * cells, counts,
                            (size_t)cells * sizeof *counts);
        for (int64_t cell = 0; cell < cells; ++cell) {
            const int64_t at = b * cells + cell;
            if (s->params.reduce == RBC_VOXEL_OCCUPANCY) {
                assert_int_equal(((const uint8_t *)s->out.memory)[at], counts[cell] > 0);
            } else if (s->params.reduce == RBC_VOXEL_COUNT) {
                assert_int_equal(((const int32_t *)s->out.memory)[at], counts[cell]);
            }
            for (int64_t c = 0; s->params.reduce >= RBC_VOXEL_SUM && c < channels; ++c) {
                const double found = get(&s->out, at * channels + c);
                if (counts[cell] == 0) {
                    assert_true(found == 0 && !signbit(found));
                } else if (s->params.reduce >= RBC_VOXEL_MAX) {
                    assert_true(found == extremes[cell * channels + c]);
                } else {
                    const double divisor = s->params.reduce == RBC_VOXEL_MEAN ? counts[cell] : 1;
                    const double wanted = (double)sums[cell * channels + c] / divisor;
                    const bool is_f64 = s->out.dl.dtype.bits == 64;
                    const double tolerance = fabs(wanted) * (is_f64 ? 0x1p-52 : 0x1p-23) +
                                             magnitudes[c] * (is_f64 ? 0x1p-70 : 0x1p-42);
                    assert_true(fabs(found - wanted) <= tolerance);
                }
            }
        }
    }
    free(counts);
    free(sums);
    free(extremes);
    free(magnitudes);
}

/* ---- Against the reference ---- */

static void every_reduction_matches_a_naive_reference(void **state) {
    (void)state;
    const struct {
        int64_t batch, n, channels, grid[3];
    } sizes[] = {
        {0, 0, 1, {3, 2, 1}},        {0, 1, 1, {1, 1, 1}},         {0, 1000, 3, {5, 7, 11}},
        {3, 700, 8, {16, 3, 9}},     {0, 5000, 4, {40, 30, 20}},   {17, 130, 2, {4, 4, 4}},
        {2, 20000, 5, {64, 33, 40}}, {1, 600, 70, {3, 5, 2}},      {0, 3000, 1, {1, 300, 1}},
        {2, 513, 130, {2, 2, 3}},    {0, 60000, 1, {100, 90, 80}},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
            for (uint8_t bits = 32; bits <= 64; bits = (uint8_t)(bits + 32)) {
                scene s;
                scene_init(&s, sizes[i].batch, sizes[i].n, sizes[i].channels, bits,
                           (rbc_voxel_reduce)reduce, sizes[i].grid);
                fill_random(&s, 7 * i + (uint64_t)reduce);
                if (s.batch > 0 && i % 2 == 1) {
                    s.has_lengths = true;
                    for (int64_t b = 0; b < s.batch; ++b) {
                        ((int32_t *)s.lengths.memory)[b] = (int32_t)(s.n * b / s.batch);
                    }
                }
                rbc_context *context = context_of(2, feature_masks[i % 3]);
                assert_ok(run(context, &s, err));
                check(&s);
                rbc_context_destroy(&context);
                scene_free(&s);
            }
        }
    }
}

static size_t bytes_of(const tensor *t) {
    return (size_t)tensor_elements(t) * t->dl.dtype.bits / 8;
}

/* Swaps points (and their features) at random. */
static void shuffle(scene *s, uint64_t seed) {
    uint64_t state = seed;
    for (int64_t i = s->n - 1; i > 0; --i) {
        const int64_t j = (int64_t)(random_bits(&state) % (uint64_t)(i + 1));
        for (int axis = 0; axis < 3; ++axis) {
            const double kept = get(&s->points, 3 * i + axis);
            set(&s->points, 3 * i + axis, get(&s->points, 3 * j + axis));
            set(&s->points, 3 * j + axis, kept);
        }
        for (int64_t c = 0; c < s->channels; ++c) {
            const double kept = get(&s->features, s->channels * i + c);
            set(&s->features, s->channels * i + c, get(&s->features, s->channels * j + c));
            set(&s->features, s->channels * j + c, kept);
        }
    }
}

static void results_are_the_same_bits_for_any_order_threads_and_isa(void **state) {
    (void)state;
    for (int reduce = RBC_VOXEL_OCCUPANCY; reduce <= RBC_VOXEL_MIN; ++reduce) {
        for (uint8_t bits = 32; bits <= 64; bits = (uint8_t)(bits + 32)) {
            scene s;
            scene_init(&s, 0, 40000, 6, bits, (rbc_voxel_reduce)reduce,
                       (const int64_t[]){20, 10, 30});
            fill_random(&s, 99);
            void *wanted = NULL;
            const int32_t threads[] = {1, 2, 7};
            for (size_t t = 0; t < 9; ++t) {
                rbc_context *context = context_of(threads[t % 3], feature_masks[t / 3]);
                assert_ok(run(context, &s, err));
                if (wanted == NULL) {
                    wanted = malloc(bytes_of(&s.out));
                    memcpy(wanted, s.out.memory, bytes_of(&s.out));
                }
                assert_memory_equal(s.out.memory, wanted, bytes_of(&s.out));
                shuffle(&s, t);
                rbc_context_destroy(&context);
            }
            free(wanted);
            scene_free(&s);
        }
    }
}

static void a_cloud_gives_the_same_bits_alone_and_in_a_batch(void **state) {
    (void)state;
    const int64_t grid[3] = {9, 8, 7};
    scene s;
    scene_init(&s, 5, 900, 3, 32, RBC_VOXEL_MEAN, grid);
    fill_random(&s, 5);
    rbc_context *context = context_of(2, UINT64_MAX);
    assert_ok(run(context, &s, err));
    const int64_t cloud_bytes = 9 * 8 * 7 * 3 * 4;
    for (int64_t b = 0; b < 5; ++b) {
        scene alone;
        scene_init(&alone, 0, 900, 3, 32, RBC_VOXEL_MEAN, grid);
        memcpy(alone.points.memory, (float *)s.points.memory + b * 2700, 2700 * 4);
        memcpy(alone.features.memory, (float *)s.features.memory + b * 2700, 2700 * 4);
        assert_ok(run(context, &alone, err));
        assert_memory_equal(alone.out.memory, (char *)s.out.memory + b * cloud_bytes,
                            (size_t)cloud_bytes);
        scene_free(&alone);
    }
    rbc_context_destroy(&context);
    scene_free(&s);
}

/* ---- Particular cases ---- */

static void cells_are_half_open_and_x_is_the_slowest_axis(void **state) {
    (void)state;
    scene s;
    scene_init(&s, 0, 8, 1, 32, RBC_VOXEL_COUNT, (const int64_t[]){2, 3, 4});
    for (int axis = 0; axis < 3; ++axis) {
        s.params.voxel_size[axis] = 0.5;
        s.params.origin[axis] = -1;
    }
    s.params.has_origin = 1;
    const float points[8][3] = {
        {-1, -1, -1}, {-0.5f, -1, -1}, {-1, -0.5f, -1}, {-1, -1, -0.5f},
        {0, -1, -1},  {-1, 0.5f, -1},  {-1, -1, 1},     {-1.0000001f, -1, -1},
    };
    memcpy(s.points.memory, points, sizeof points);
    rbc_context *context = context_of(1, UINT64_MAX);
    assert_ok(run(context, &s, err));
    const int32_t *counts = s.out.memory;
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[12], 1);
    assert_int_equal(counts[4], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(*(int64_t *)s.dropped.memory, 4);
    check(&s);
    rbc_context_destroy(&context);
    scene_free(&s);
}

static void numbers_that_no_integer_holds_are_dropped(void **state) {
    (void)state;
    for (uint8_t bits = 32; bits <= 64; bits = (uint8_t)(bits + 32)) {
        scene s;
        scene_init(&s, 0, 8, 1, bits, RBC_VOXEL_COUNT, (const int64_t[]){4, 4, 4});
        const double values[8] = {3e38, -3e38, INFINITY, -INFINITY, NAN, 2147483648.0, -1e10, 1e20};
        for (int64_t i = 0; i < 8; ++i) {
            for (int axis = 0; axis < 3; ++axis) {
                set(&s.points, 3 * i + axis, axis == i % 3 ? values[i] : 0.0);
            }
        }
        for (size_t m = 0; m < 3; ++m) {
            rbc_context *context = context_of(1, feature_masks[m]);
            assert_ok(run(context, &s, err));
            assert_int_equal(*(int64_t *)s.dropped.memory, 8);
            check(&s);
            rbc_context_destroy(&context);
        }
        scene_free(&s);
    }
}

static void special_features_have_defined_results(void **state) {
    (void)state;
    const float inf = INFINITY;
    /* Pairs of features that meet in one cell, and what sum, mean, max and min are. */
    const float cases[][6] = {
        {NAN, 1, NAN, NAN, NAN, NAN},
        {inf, 1, inf, inf, inf, 1},
        {-inf, 1, -inf, -inf, 1, -inf},
        {inf, -inf, NAN, NAN, inf, -inf},
        {0.0f, -0.0f, 0.0f, 0.0f, 0, -0.0f},
        {-2, -5, -7, -3.5f, -2, -5},
        {inf, NAN, NAN, NAN, NAN, NAN},
        {1e-45f, 1e-45f, 3e-45f, 1e-45f, 1e-45f, 1e-45f},
        {3e38f, 3e38f, inf, 3e38f, 3e38f, 3e38f},
    };
    const size_t num_cases = sizeof cases / sizeof *cases;
    for (size_t run_index = 0; run_index < num_cases * 4 * 2 * 3 * 2; ++run_index) {
        const size_t i = run_index % num_cases, m = run_index / num_cases % 3;
        const int reduce = RBC_VOXEL_SUM + (int)(run_index / num_cases / 3 % 4);
        const size_t order = run_index / num_cases / 12 % 2;
        const uint8_t bits = run_index / num_cases / 24 == 0 ? 32 : 64;
        if (bits == 64 && i == num_cases - 1) {
            continue; /* the sum that overflows f32 */
        }
        scene s;
        scene_init(&s, 0, 3, 2, bits, (rbc_voxel_reduce)reduce, (const int64_t[]){2, 1, 1});
        const double points[9] = {-0.05, 0, 0, 0.05, 0, 0, 0.05, 0, 0};
        const float features[6] = {1, 2, cases[i][order], 4, cases[i][1 - order], 6};
        for (int64_t k = 0; k < 9; ++k) {
            set(&s.points, k, points[k]);
        }
        for (int64_t k = 0; k < 6; ++k) {
            set(&s.features, k, (double)features[k]);
        }
        rbc_context *context = context_of(1, feature_masks[m]);
        assert_ok(run(context, &s, err));
        assert_true(get(&s.out, 0) == 1 && get(&s.out, 1) == 2);
        const double wanted = (double)cases[i][reduce], found = get(&s.out, 2);
        if (isnan(wanted)) {
            uint64_t wide;
            uint32_t narrow;
            memcpy(&wide, (char *)s.out.memory + 2 * bits / 8, sizeof wide);
            memcpy(&narrow, (char *)s.out.memory + 2 * bits / 8, sizeof narrow);
            assert_true(bits == 64 ? wide == UINT64_C(0x7ff8000000000000) : narrow == 0x7fc00000);
        } else if (bits == 32 || isinf(wanted) || fabs(wanted) >= 1 || wanted == 0) {
            assert_true(found == wanted && signbit(found) == signbit(wanted));
        } else {
            assert_true(fabs(found - wanted) < 1e-45);
        }
        assert_true(isfinite(get(&s.out, 3)));
        rbc_context_destroy(&context);
        scene_free(&s);
    }
}

/* f16 and bf16 cover every point and feature conversion through exactly representable numbers. */
static void half_types_give_what_f32_gives(void **state) {
    (void)state;
    for (int is_bf16 = 0; is_bf16 < 2; ++is_bf16) {
        scene wide;
        scene_init(&wide, 0, 500, 3, 32, RBC_VOXEL_SUM, (const int64_t[]){8, 8, 8});
        for (int axis = 0; axis < 3; ++axis) {
            wide.params.voxel_size[axis] = 0.25;
        }
        tensor points, features, out;
        const uint8_t code = is_bf16 ? kDLBfloat : kDLFloat;
        tensor_init(&points, code, 16, SHAPE(500, 3));
        tensor_init(&features, code, 16, SHAPE(500, 3));
        tensor_init(&out, code, 16, SHAPE(8, 8, 8, 3));
        uint64_t seed = 3;
        for (int64_t i = 0; i < 3000; ++i) {
            /* k / 16 with |k| < 32: sign, exponent and mantissa worked out by hand */
            const int32_t k = (int32_t)(random_bits(&seed) % 63) - 31;
            const uint32_t magnitude = (uint32_t)abs(k);
            uint32_t half = k < 0 ? 0x8000 : 0;
            if (magnitude != 0) {
                const int log = 31 - __builtin_clz(magnitude);
                const int mantissa_bits = is_bf16 ? 7 : 10;
                const uint32_t mantissa = (magnitude ^ (1u << log)) << (mantissa_bits - log);
                const uint32_t exponent = (uint32_t)((is_bf16 ? 127 : 15) + log - 4);
                half |= exponent << mantissa_bits | mantissa;
            }
            tensor *narrow = i < 1500 ? &points : &features;
            tensor *full = i < 1500 ? &wide.points : &wide.features;
            ((uint16_t *)narrow->memory)[i % 1500] = (uint16_t)half;
            ((float *)full->memory)[i % 1500] = (float)k / 16;
        }
        rbc_context *context = context_of(1, UINT64_MAX);
        assert_ok(run(context, &wide, err));
        scene narrow = wide;
        narrow.points = points;
        narrow.features = features;
        narrow.out = out;
        /* structs were copied, so their shape pointers must follow */
        narrow.points.dl.shape = narrow.points.shape;
        narrow.points.dl.strides = narrow.points.strides;
        narrow.features.dl.shape = narrow.features.shape;
        narrow.features.dl.strides = narrow.features.strides;
        narrow.out.dl.shape = narrow.out.shape;
        narrow.out.dl.strides = narrow.out.strides;
        assert_ok(run(context, &narrow, err));
        for (int64_t i = 0; i < 8 * 8 * 8 * 3; ++i) {
            const uint16_t half = ((const uint16_t *)out.memory)[i];
            const int mantissa_bits = is_bf16 ? 7 : 10;
            const int exponent = (half & 0x7fff) >> mantissa_bits;
            const int mantissa = (half & ((1 << mantissa_bits) - 1)) | 1 << mantissa_bits;
            double value = exponent == 0
                               ? 0
                               : ldexp(mantissa, exponent - (is_bf16 ? 127 : 15) - mantissa_bits);
            value = half & 0x8000 ? -value : value;
            assert_true(value == get(&wide.out, i));
        }
        tensor_free(&points);
        tensor_free(&features);
        tensor_free(&out);
        rbc_context_destroy(&context);
        scene_free(&wide);
    }
}

/* Rows that are copied and rows that are fetched (20 channels), in the points' own type. */
static void strided_inputs_give_what_packed_ones_give(void **state) {
    (void)state;
    const struct {
        uint8_t bits;
        int64_t channels;
        rbc_voxel_reduce reduce;
    } cases[] = {{32, 3, RBC_VOXEL_MEAN},  {64, 3, RBC_VOXEL_SUM}, {32, 20, RBC_VOXEL_MAX},
                 {64, 20, RBC_VOXEL_MEAN}, {64, 9, RBC_VOXEL_MIN}, {32, 70, RBC_VOXEL_SUM}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const int64_t item = cases[i].bits / 8;
        scene s;
        scene_init(&s, 2, 300, cases[i].channels, cases[i].bits, cases[i].reduce,
                   (const int64_t[]){6, 5, 4});
        fill_random(&s, 8);
        rbc_context *context = context_of(1, feature_masks[i % 3]);
        assert_ok(run(context, &s, err));
        check(&s);
        void *wanted = malloc(bytes_of(&s.out));
        memcpy(wanted, s.out.memory, bytes_of(&s.out));
        /* Channels first: [B, C, N] seen as [B, N, C]. */
        tensor *moved[2] = {&s.points, &s.features};
        for (int m = 0; m < 2; ++m) {
            const int64_t channels = m == 0 ? 3 : s.channels, size = 300 * channels;
            char *packed = malloc(bytes_of(moved[m]));
            memcpy(packed, moved[m]->memory, bytes_of(moved[m]));
            for (int64_t k = 0; k < 2 * size; ++k) {
                const int64_t b = k / size, n = k % size / channels, c = k % channels;
                memcpy((char *)moved[m]->memory + (b * size + c * 300 + n) * item,
                       packed + k * item, (size_t)item);
            }
            moved[m]->strides[1] = 1;
            moved[m]->strides[2] = 300;
            free(packed);
        }
        assert_ok(run(context, &s, err));
        assert_memory_equal(s.out.memory, wanted, bytes_of(&s.out));
        free(wanted);
        rbc_context_destroy(&context);
        scene_free(&s);
    }
}

static void bad_arguments_are_named(void **state) {
    (void)state;
    rbc_context *context = context_of(1, UINT64_MAX);
    scene s;
    scene_init(&s, 2, 10, 3, 32, RBC_VOXEL_MEAN, (const int64_t[]){2, 2, 2});
    fill_random(&s, 1);
    const scene good = s;

    s.params.voxel_size[1] = 0;
    assert_refused(run(context, &s, err), "voxel_size[1] is 0");
    s.params.voxel_size[1] = 1e-300;
    assert_refused(run(context, &s, err), "voxel_size[1]");
    s.params = good.params;
    s.params.has_origin = 1;
    s.params.origin[2] = NAN;
    assert_refused(run(context, &s, err), "origin[2]");
    s.params = good.params;
    s.params.grid_size[0] = 0;
    assert_refused(run(context, &s, err), "grid_size[0] is 0");
    s.params.grid_size[0] = INT32_MAX;
    s.params.grid_size[1] = INT32_MAX;
    s.params.grid_size[2] = INT32_MAX;
    assert_refused(run(context, &s, err), "more than 2^63 - 1 bytes");
    s.params = good.params;
    s.params.grid_size[0] = 3;
    assert_refused(run(context, &s, err), "out has shape [2, 2, 2, 2, 3]; wanted [2, 3, 2, 2, 3]");
    s.params = good.params;
    s.params.struct_size = 0;
    assert_refused(run(context, &s, err), "struct_size is 0");
    s.params = good.params;
    s.params.reduce = RBC_VOXEL_COUNT;
    assert_refused(rbc_voxelize(context, &s.points.dl, &s.features.dl, NULL, &s.params, &s.out.dl,
                                NULL, NULL, NULL, NULL, err),
                   "features is given");
    s.params = good.params;
    assert_refused(rbc_voxelize(context, &s.points.dl, NULL, NULL, &s.params, &s.out.dl, NULL, NULL,
                                NULL, NULL, err),
                   "features is NULL");
    assert_refused(rbc_voxelize(context, &s.points.dl, &s.features.dl, NULL, &s.params, &s.out.dl,
                                NULL, NULL, NULL, NULL, err),
                   "workspace is NULL");
    assert_refused(rbc_voxelize(NULL, &s.points.dl, NULL, NULL, &s.params, &s.out.dl, NULL, NULL,
                                NULL, NULL, err),
                   "context");

    s.has_lengths = true;
    ((int32_t *)s.lengths.memory)[0] = 3;
    ((int32_t *)s.lengths.memory)[1] = 11;
    assert_refused(run(context, &s, err), "lengths[1] is 11; wanted 0 to 10");
    ((int32_t *)s.lengths.memory)[1] = -1;
    assert_refused(run(context, &s, err), "lengths[1] is -1");
    s.has_lengths = false;

    s.points.dl.dtype.code = kDLInt;
    assert_refused(run(context, &s, err), "points is int32");
    s.points.dl.dtype.code = kDLFloat;
    s.points.shape[2] = 4;
    assert_refused(run(context, &s, err), "points has shape [2, 10, 4]; wanted [any, any, 3]");
    s.points.shape[2] = 3;
    s.features.shape[1] = 9;
    assert_refused(run(context, &s, err), "features has shape [2, 9, 3]; wanted [2, 10, any]");
    s.features.shape[1] = 10;
    void *kept = s.out.dl.data;
    s.out.dl.data = s.counts.dl.data;
    assert_refused(run(context, &s, err), "overlaps");
    s.out.dl.data = kept;
    s.counts.dl.device.device_id = 1;
    assert_refused(run(context, &s, err), "one device");
    s.counts.dl.device.device_id = 0;
    s.out.strides[4] = 2;
    assert_refused(run(context, &s, err), "out has strides");
    s.out.strides[4] = 1;
    assert_ok(run(context, &s, err));
    check(&s);
    rbc_context_destroy(&context);
    scene_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reduction_matches_a_naive_reference),
        cmocka_unit_test(results_are_the_same_bits_for_any_order_threads_and_isa),
        cmocka_unit_test(a_cloud_gives_the_same_bits_alone_and_in_a_batch),
        cmocka_unit_test(cells_are_half_open_and_x_is_the_slowest_axis),
        cmocka_unit_test(numbers_that_no_integer_holds_are_dropped),
        cmocka_unit_test(special_features_have_defined_results),
        cmocka_unit_test(half_types_give_what_f32_gives),
        cmocka_unit_test(strided_inputs_give_what_packed_ones_give),
        cmocka_unit_test(bad_arguments_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
