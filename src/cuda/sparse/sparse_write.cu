/* Counts, the points of voxels and copies of their features; padding. */
#include "cuda/common/value.cuh"
#include "cuda/common/vec16.cuh"
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
};

/* Counts, and padding of coordinates. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_rows_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
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

/* The point at position k of a voxel, or SPARSE_NONE. */
INLINE unsigned kept_point(const sparse_launch *p, long long cloud, long long row, long long voxel,
                           long long k) {
    if (p->points == SPARSE_LISTED) {
        return p->lists[row];
    }
    if (voxel >= p->states[cloud].num_voxels) {
        return SPARSE_NONE;
    }
    const point_list list = points_of_voxel(p, cloud, voxel);
    return k < list.count ? list.points[k * list.stride] : SPARSE_NONE;
}

/* A thread writes one slice, 16 bytes or one value, of what one position of one voxel gets. */
INLINE void copy_slices(const sparse_launch *p, int vector) {
    const cloud_block at = cloud_block_of(p);
    const int dtype = (int)p->feature_dtype;
    const long long slices = p->voxels == 0 ? 1
                             : vector       ? p->num_features * item_bytes(dtype) / 16
                                            : p->num_features;
    const long long all = p->max_voxels * p->max_points * slices;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= all) {
        return;
    }
    const int small = all <= 0x7fffffffll;
    const long long position = small ? (int)i / (int)slices : i / slices;
    const long long slice = i - position * slices;
    const long long voxel = small ? (int)position / (int)p->max_points : position / p->max_points;
    const long long row = at.cloud * p->max_voxels * p->max_points + position;
    const unsigned point = kept_point(p, at.cloud, row, voxel, position - voxel * p->max_points);
    if (p->point_indices != 0 && p->points != SPARSE_LISTED && slice == 0) {
        p->point_indices[row] = (int)point;
    }
    if (p->voxels == 0) {
        return;
    }
    const char *from =
        p->features + at.cloud * p->features_batch_stride + (long long)point * p->features_stride;
    const long long out = row * slices + slice;
    if (vector) {
        store_streaming(p->voxels + out * 16, point == SPARSE_NONE ? make_uint4(0, 0, 0, 0)
                                                                   : ((const uint4 *)from)[slice]);
    } else {
        item_store(p->voxels + out * item_bytes(dtype),
                   point == SPARSE_NONE ? 0 : item_load(from + slice * p->feature_stride, dtype),
                   dtype);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_copy_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    copy_slices(&p, 1);
}

extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_copy_generic_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    copy_slices(&p, 0);
}
