/* Counts, the points of voxels and copies of their features; padding. */
#include "cuda/common/value.cuh"
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
};

/* Counts, and padding of coordinates. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_rows_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long voxel = (long long)at.block * THREADS + threadIdx.x;
    if (voxel >= p.max_voxels) {
        return;
    }
    const int exists = voxel < p.states[at.cloud].num_voxels;
    const long long row = at.cloud * p.max_voxels + voxel;
    if (!exists) {
        p.coordinates[3 * row] = -1;
        p.coordinates[3 * row + 1] = -1;
        p.coordinates[3 * row + 2] = -1;
    }
    if (p.counts == 0) {
        return;
    }
    if (p.points != SPARSE_COUNTED) {
        p.counts[row] = exists ? points_of_voxel(&p, at.cloud, voxel).count : 0;
    } else if (p.counts[row] > p.max_points) {
        p.counts[row] = (int)p.max_points;
    }
}

/* The point in place k of a voxel, or SPARSE_NONE. */
INLINE unsigned point_in_place(const sparse_launch *p, long long cloud, long long row,
                               long long voxel, long long k) {
    if (p->points == SPARSE_LISTED) {
        return p->lists[row];
    }
    if (voxel >= p->states[cloud].num_voxels) {
        return SPARSE_NONE;
    }
    const point_list list = points_of_voxel(p, cloud, voxel);
    return k < list.count ? list.points[k * list.stride] : SPARSE_NONE;
}

/* A thread writes one unit, 16 bytes or one value, of what one place of one voxel gets. */
INLINE void copy_units(const sparse_launch *p, int vector) {
    const place at = place_of_block(p);
    const int dtype = (int)p->feature_dtype;
    const long long units = p->voxels == 0 ? 1
                            : vector       ? p->num_features * item_bytes(dtype) / 16
                                           : p->num_features;
    const long long all = p->max_voxels * p->max_points * units;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= all) {
        return;
    }
    const int small = all <= 0x7fffffffll;
    const long long place = small ? (int)i / (int)units : i / units;
    const long long unit = i - place * units;
    const long long voxel = small ? (int)place / (int)p->max_points : place / p->max_points;
    const long long row = at.cloud * p->max_voxels * p->max_points + place;
    const unsigned point = point_in_place(p, at.cloud, row, voxel, place - voxel * p->max_points);
    if (p->point_indices != 0 && p->points != SPARSE_LISTED && unit == 0) {
        p->point_indices[row] = (int)point;
    }
    if (p->voxels == 0) {
        return;
    }
    const char *from =
        p->features + at.cloud * p->features_batch_stride + (long long)point * p->features_stride;
    const long long out = row * units + unit;
    if (vector) {
        store_streaming(p->voxels + out * 16, point == SPARSE_NONE ? make_uint4(0, 0, 0, 0)
                                                                   : ((const uint4 *)from)[unit]);
    } else {
        item_store(p->voxels + out * item_bytes(dtype),
                   point == SPARSE_NONE ? 0 : item_load(from + unit * p->feature_stride, dtype),
                   dtype);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_copy_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    copy_units(&p, 1);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_copy_any_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    copy_units(&p, 0);
}
