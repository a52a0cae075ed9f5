/* Of voxels as first seen: from points to their voxels, and the points of each voxel. */
#include "cuda/sparse/sparse.cuh"

enum {
    THREADS = SPARSE_THREADS,
};

/* Puts a point among the first `limit` of its voxel. An item only ever goes down, and what it held
 * moves on to the next, so that in the end the list has the least of all that came, in order,
 * whatever the order they came in. */
INLINE void list_point(unsigned *list, int limit, unsigned point) {
    volatile unsigned *seen = list;
    int at = 0;
    if (seen[0] < point) {
        if (seen[limit - 1] < point) {
            return;
        }
        do {
            ++at;
        } while (at < limit && seen[at] < point);
    }
    for (; at < limit; ++at) {
        const unsigned held = atomicMin(&list[at], point);
        if (held == SPARSE_NONE) {
            return;
        }
        point = held > point ? held : point;
    }
}

/* Tells points their voxels, and voxels their points. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_assign_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const long long total = p.cloud.num_points;
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= total) {
        return;
    }
    const long long row = at.cloud * total + i;
    const unsigned voxel = voxel_of(&p, at.cloud, i);
    if (p.point_to_voxel != 0) {
        p.point_to_voxel[row] = (int)voxel;
    }
    if (voxel == SPARSE_NONE) {
        return;
    }
    if (p.points == SPARSE_LISTED) {
        list_point(p.lists + (at.cloud * p.max_voxels + voxel) * p.max_points, (int)p.max_points,
                   (unsigned)i);
    } else if (p.points == SPARSE_COUNTED) {
        atomicAdd(&p.counts[at.cloud * p.max_voxels + voxel], 1);
    }
}

/* Points sorted by voxel: where those of each begin; after them come the points of no voxel. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__sparse_start_cuda(const __grid_constant__ sparse_launch p) {
    launch_await();
    launch_release();
    const cloud_block at = cloud_block_of(&p);
    const long long length = cloud_length(&p.cloud, at.cloud);
    const long long i = (long long)at.block * THREADS + threadIdx.x;
    if (i >= length) {
        return;
    }
    const unsigned voxels = p.states[at.cloud].num_voxels;
    const uint2 *order = sorted_entries(&p, at.cloud);
    unsigned *starts = p.starts + at.cloud * (p.rows + 1);
    const unsigned voxel = order[i].x;
    if (i == 0 || order[i - 1].x != voxel) {
        starts[voxel] = (unsigned)i;
    }
    if (i == length - 1 && voxel < voxels) {
        starts[voxels] = (unsigned)length;
    }
}
