/* The outputs: voxels of points, points of voxels, padding. */
#include "sparse.cuh"
#include "value.cuh"

enum {
    THREADS = SPARSE_THREADS,
    WARPS = THREADS / 32,
};

/* The number of the voxel that a point is in, or SPARSE_NONE. */
INLINE unsigned voxel_of(const sparse_launch *p, long long cloud, long long i) {
    const unsigned slot = p->slot_of[cloud * p->cloud.num_points + i];
    const unsigned number =
        slot == SPARSE_NONE
            ? SPARSE_NONE
            : (unsigned)(p->table[(unsigned long long)cloud * p->slots + slot] >> 32);
    return number < p->max_voxels ? number : SPARSE_NONE;
}

/* Tells points their voxels, and makes the entries to sort points by, or counts them. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_assign_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long total = p.cloud.num_points;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= total) {
        return;
    }
    const unsigned voxel = voxel_of(&p, at.cloud, i);
    if (p.point_to_voxel != 0) {
        p.point_to_voxel[at.cloud * total + i] = (int)voxel;
    }
    if (p.starts != 0) {
        const unsigned key = voxel == SPARSE_NONE ? p.states[at.cloud].num_voxels : voxel;
        ((uint2 *)p.by_voxel.buffers[0])[at.cloud * total + i] = make_uint2(key, (unsigned)i);
    } else if (p.counts != 0 && voxel != SPARSE_NONE) {
        atomicAdd(&p.counts[at.cloud * p.max_voxels + voxel], 1);
    }
}

/* Where each voxel's points begin; after them come those of none. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_start_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long length = cloud_length(&p.cloud, at.cloud);
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= length) {
        return;
    }
    const uint2 *order = points_in_order(&p, at.cloud);
    unsigned *starts = p.starts + at.cloud * p.max_starts;
    const unsigned voxel = order[i].x;
    if (i == 0 || order[i - 1].x != voxel) {
        starts[voxel] = (unsigned)i;
    }
    const unsigned voxels = p.states[at.cloud].num_voxels;
    if (i == length - 1 && voxel < voxels) {
        starts[voxels] = (unsigned)length;
    }
}

/* Points kept of a voxel. */
INLINE long long kept_of(const sparse_launch *p, const unsigned *starts, long long voxel) {
    const long long count = (long long)starts[voxel + 1] - starts[voxel];
    return count < p->max_points ? count : p->max_points;
}

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
    if (p.counts != 0 && p.starts != 0) {
        const unsigned *starts = p.starts + at.cloud * p.max_starts;
        p.counts[row] = exists ? (int)kept_of(&p, starts, voxel) : 0;
    } else if (p.counts != 0 && p.counts[row] > p.max_points) {
        p.counts[row] = (int)p.max_points;
    }
}

/* A warp lists the points of a voxel, and copies their features. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_list_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const place at = place_of_block(&p);
    const long long lane = threadIdx.x & 31;
    const long long voxel = (long long)at.block * WARPS + threadIdx.x / 32;
    if (voxel >= p.max_voxels) {
        return;
    }
    const unsigned *starts = p.starts + at.cloud * p.max_starts;
    const int exists = voxel < p.states[at.cloud].num_voxels;
    const long long count = exists ? kept_of(&p, starts, voxel) : 0;
    const uint2 *order = points_in_order(&p, at.cloud) + (exists ? starts[voxel] : 0);
    const long long row = (at.cloud * p.max_voxels + voxel) * p.max_points;
    if (p.point_indices != 0) {
        for (long long k = lane; k < p.max_points; k += 32) {
            p.point_indices[row + k] = k < count ? (int)order[k].y : -1;
        }
    }
    if (p.voxels == 0) {
        return;
    }
    const int dtype = (int)p.feature_dtype;
    const long long width = p.num_features;
    const char *features = p.features + at.cloud * p.features_batch_stride;
    char *out = p.voxels + row * width * item_bytes(dtype);
    long long k = lane / width;
    long long channel = lane % width;
    const long long step = 32 / width;
    const long long more = 32 % width;
    for (long long i = lane; i < p.max_points * width; i += 32) {
        item bits = 0;
        if (k < count) {
            bits = item_load(features + (long long)order[k].y * p.features_stride +
                                 channel * p.feature_stride,
                             dtype);
        }
        item_store(out + i * item_bytes(dtype), bits, dtype);
        k += step;
        channel += more;
        if (channel >= width) {
            channel -= width;
            ++k;
        }
    }
}
