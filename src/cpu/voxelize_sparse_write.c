#include <string.h>

#include "cpu/kernels/voxelize_features.h"
#include "cpu/voxelize_sparse.h"

/* Voxels written by one part. */
#define PIECE INT64_C(512)

bool rbc__sparse_needs_order(const rbc__voxelize_sparse_job *job) {
    return job->features != NULL || job->voxels != NULL || job->point_indices != NULL;
}

/* Keeps the first max_points of each voxel of a partition. */
static void keep_points(const rbc__sparse_work *w, const uint32_t *voxels, uint32_t count) {
    for (uint32_t k = 0; k < count; ++k) {
        const uint32_t v = voxels[k];
        const uint32_t begin = w->ends[v] - (uint32_t)w->counts[v];
        if (w->counts[v] > w->job->max_points) {
            w->counts[v] = (int32_t)w->job->max_points;
        }
        w->ends[v] = begin + (uint32_t)w->counts[v];
    }
}

void rbc__sparse_reduce(const rbc__sparse_work *w, int64_t partition) {
    const rbc__voxelize_sparse_job *job = w->job;
    const rbc__cloud *cloud = &job->cloud;
    const uint32_t *voxels = w->listed + w->begins[partition];
    keep_points(w, voxels, w->num_listed[partition]);
    if (job->features == NULL) {
        return;
    }
    const bool is_direct = rbc__features_are_direct(cloud);
    const int64_t row_bytes = cloud->num_features * rbc__float_bytes(cloud->feature_dtype);
    const rbc__voxel_rows rows = {
        .reduce = job->reduce,
        .num_features = cloud->num_features,
        .dtype = cloud->feature_dtype,
        .base = w->has_rows ? w->rows
                : is_direct ? rbc__feature_address(cloud, w->cloud, 0)
                            : NULL,
        .row_stride_bytes = w->has_rows ? row_bytes : cloud->features_stride_bytes,
        .cloud = is_direct ? NULL : cloud,
        .cloud_index = w->cloud,
    };
    const rbc__voxel_groups groups = {
        .order = w->order,
        .ends = w->ends,
        .counts = w->counts,
        .cells = voxels,
        .num_cells = w->num_listed[partition],
        .out = job->features + w->cloud * job->max_voxels * row_bytes,
    };
    rbc__voxel_reduce(&rows, &groups);
}

/* `at` is the voxel's row in the whole output. */
static void list_points(const rbc__sparse_work *w, int64_t v, int64_t at) {
    const rbc__voxelize_sparse_job *job = w->job;
    const rbc__cloud *cloud = &job->cloud;
    const int64_t item_bytes = rbc__float_bytes(cloud->feature_dtype);
    const int64_t row_bytes = cloud->num_features * item_bytes;
    const int64_t count = v < w->num_voxels ? w->counts[v] : 0;
    const uint32_t *points = count > 0 ? w->order + (w->ends[v] - (uint32_t)count) : NULL;
    for (int64_t k = 0; job->point_indices != NULL && k < job->max_points; ++k) {
        job->point_indices[at * job->max_points + k] = k < count ? (int32_t)points[k] : -1;
    }
    if (job->voxels == NULL) {
        return;
    }
    char *out = job->voxels + at * job->max_points * row_bytes;
    for (int64_t k = 0; k < count; ++k) {
        const char *row = rbc__feature_address(cloud, w->cloud, points[k]);
        for (int64_t c = 0; c < cloud->num_features; ++c) {
            memcpy(out, row + c * cloud->feature_stride_bytes, (size_t)item_bytes);
            out += item_bytes;
        }
    }
    memset(out, 0, (size_t)((job->max_points - count) * row_bytes));
}

static void write_piece(rbc__sparse_work *w, int64_t first, int64_t end) {
    const rbc__voxelize_sparse_job *job = w->job;
    const int64_t base = w->cloud * job->max_voxels;
    const int64_t full = end < w->num_voxels ? end : w->num_voxels;
    for (int64_t v = first; v < end; ++v) {
        const int32_t padding[3] = {RBC__OUTSIDE, RBC__OUTSIDE, RBC__OUTSIDE};
        const bool is_full = v < w->num_voxels;
        rbc__sparse_put_coordinates(job, is_full ? w->found[v].at : padding,
                                    job->coordinates + 3 * (base + v));
        if (job->counts != NULL) {
            const int64_t count = is_full ? w->counts[v] : 0;
            job->counts[base + v] = (int32_t)(count < job->max_points ? count : job->max_points);
        }
        list_points(w, v, base + v);
    }
    if (job->features != NULL) {
        const int64_t row_bytes =
            job->cloud.num_features * rbc__float_bytes(job->cloud.feature_dtype);
        const int64_t padded = first > full ? first : full;
        memset(job->features + (base + padded) * row_bytes, 0,
               (size_t)((end - padded) * row_bytes));
    }
}

static void write_part(void *job, int64_t index) {
    (void)index;
    rbc__sparse_work *w = job;
    for (;;) {
        const int64_t piece = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed);
        const int64_t first = piece * PIECE;
        if (first >= w->job->max_voxels) {
            return;
        }
        const int64_t left = w->job->max_voxels - first;
        write_piece(w, first, first + (left < PIECE ? left : PIECE));
    }
}

void rbc__sparse_write(rbc__sparse_work *w) {
    rbc__sparse_run_parts(w, w->num_lanes, write_part);
}
