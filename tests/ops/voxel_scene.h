/* One call of rbc_voxelize() and all its tensors. */
#ifndef RBC_TESTS_UNIT_VOXEL_SCENE_H
#define RBC_TESTS_UNIT_VOXEL_SCENE_H

#include "voxel_helpers.h"

#include <math.h>

typedef struct scene {
    int64_t batch, n, channels; /* batch 0: no batch axis */
    tensor points, features, lengths, out, counts, dropped;
    bool has_lengths;
    rbc_voxelize_params params;
} scene;

static inline void scene_free(scene *s) {
    tensor_free(&s->points);
    tensor_free(&s->features);
    tensor_free(&s->lengths);
    tensor_free(&s->out);
    tensor_free(&s->counts);
    tensor_free(&s->dropped);
}

static inline void scene_init(scene *s, int64_t batch, int64_t n, int64_t channels, uint8_t bits,
                              rbc_voxel_reduce reduce, const int64_t *grid) {
    *s = (scene){.batch = batch, .n = n, .channels = channels};
    s->params = (rbc_voxelize_params)RBC_VOXELIZE_PARAMS_INIT;
    s->params.reduce = reduce;
    const int skip = batch == 0 ? 1 : 0;
    const int64_t points[3] = {batch, n, 3}, features[3] = {batch, n, channels};
    const int64_t cells[5] = {batch, grid[0], grid[1], grid[2], channels};
    const int64_t clouds = batch == 0 ? 1 : batch;
    tensor_init(&s->points, kDLFloat, bits, 3 - skip, points + skip);
    tensor_init(&s->features, kDLFloat, bits, 3 - skip, features + skip);
    tensor_init(&s->lengths, kDLInt, 32, 1, &batch);
    if (reduce >= RBC_VOXEL_SUM) {
        tensor_init(&s->out, kDLFloat, bits, 5 - skip, cells + skip);
    } else if (reduce == RBC_VOXEL_COUNT) {
        tensor_init(&s->out, kDLInt, 32, 4 - skip, cells + skip);
    } else {
        tensor_init(&s->out, kDLUInt, 8, 4 - skip, cells + skip);
    }
    tensor_init(&s->counts, kDLInt, 32, 4 - skip, cells + skip);
    tensor_init(&s->dropped, kDLInt, 64, 1, &clouds);
    for (int axis = 0; axis < 3; ++axis) {
        s->params.grid_size[axis] = grid[axis];
        s->params.voxel_size[axis] = 0.1 + 0.05 * axis;
    }
}

static inline double get(const tensor *t, int64_t i) {
    return t->dl.dtype.bits == 64 ? ((const double *)t->memory)[i]
                                  : (double)((const float *)t->memory)[i];
}

static inline void set(tensor *t, int64_t i, double value) {
    if (t->dl.dtype.bits == 64) {
        ((double *)t->memory)[i] = value;
    } else {
        ((float *)t->memory)[i] = (float)value;
    }
}

static inline void fill_random(scene *s, uint64_t seed) {
    uint64_t state = seed;
    const int64_t clouds = s->batch == 0 ? 1 : s->batch;
    for (int64_t i = 0; i < clouds * s->n; ++i) {
        for (int axis = 0; axis < 3; ++axis) {
            const double half =
                (double)s->params.grid_size[axis] * s->params.voxel_size[axis] * 0.55;
            set(&s->points, 3 * i + axis, random_between(&state, -half, half));
        }
        if (random_bits(&state) % 64 == 0) {
            set(&s->points, 3 * i + (int64_t)(random_bits(&state) % 3),
                random_bits(&state) % 2 == 0 ? NAN : -INFINITY);
        }
        for (int64_t c = 0; c < s->channels; ++c) {
            set(&s->features, i * s->channels + c,
                random_between(&state, -3, 1) * exp2((double)(c % 12)));
        }
    }
}

static inline rbc_status run(rbc_context *context, const scene *s, rbc_error *err) {
    const DLTensor *features = s->params.reduce >= RBC_VOXEL_SUM ? &s->features.dl : NULL;
    uint64_t bytes = 0;
    const rbc_status status =
        rbc_voxelize_workspace(context, &s->points.dl, features, &s->params, &bytes, err);
    if (status != RBC_OK) {
        return status;
    }
    tensor workspace;
    const int64_t extent = (int64_t)bytes;
    tensor_init(&workspace, kDLUInt, 8, 1, &extent);
    const rbc_status result = rbc_voxelize(
        context, &s->points.dl, features, s->has_lengths ? &s->lengths.dl : NULL, &s->params,
        &s->out.dl, &s->counts.dl, &s->dropped.dl, &workspace.dl, NULL, err);
    tensor_free(&workspace);
    return result;
}

#endif
