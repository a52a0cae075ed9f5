/* Sorts the points of a segment by slab; see voxel_params.h. */
#include "cloud.cuh"

enum {
    PER_THREAD = VOXEL_POINTS_PER_THREAD,
    WARPS = VOXEL_DEAL_THREADS / 32,
};

enum {
    DROPPED = -1,
    ELSEWHERE = -2, /* past the cloud's end, or in a cell of another pass */
};

INLINE int cell_in_pass(const voxel_deal_launch *p, cell_index cell) {
    if (p->cloud.small) {
        const int from = (int)cell - (int)p->deal.first;
        return (int)cell < 0                                              ? DROPPED
               : (unsigned)from < (unsigned)(p->deal.end - p->deal.first) ? from
                                                                          : ELSEWHERE;
    }
    return cell < 0                                      ? DROPPED
           : cell >= p->deal.first && cell < p->deal.end ? (int)(cell - p->deal.first)
                                                         : ELSEWHERE;
}

/* Where the thread's i-th point is in the segment: in groups of four in a row, or a block apart. */
INLINE int point_index(int i, int vector) {
    return vector ? 4 * (int)(threadIdx.x + (i / 4) * blockDim.x) + i % 4
                  : (int)(threadIdx.x + i * blockDim.x);
}

INLINE void find_cells(const voxel_deal_launch *p, long long batch, long long first, int count,
                       int *cells) {
    const voxel_cloud *cloud = &p->cloud;
    const char *row = cloud->points + batch * cloud->batch_stride;
    if (!cloud->vector) {
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            const int index = point_index(i, 0);
            cells[i] = index < count ? cell_in_pass(p, cell_of_point(cloud, batch, first + index))
                                     : ELSEWHERE;
        }
        return;
    }
    float4 q[PER_THREAD / 4 * 3];
#pragma unroll
    for (int g = 0; g < PER_THREAD / 4; ++g) {
        const int index = point_index(4 * g, 1);
        const float4 *from = (const float4 *)(row + (first + index) * 12);
        if (index + 4 <= count) {
            q[3 * g] = __ldcs(from);
            q[3 * g + 1] = __ldcs(from + 1);
            q[3 * g + 2] = __ldcs(from + 2);
        }
    }
#pragma unroll
    for (int g = 0; g < PER_THREAD / 4; ++g) {
        const int index = point_index(4 * g, 1);
        if (index + 4 <= count) {
            const float4 *r = &q[3 * g];
            cells[4 * g] = cell_in_pass(p, cell_f32(cloud, r[0].x, r[0].y, r[0].z));
            cells[4 * g + 1] = cell_in_pass(p, cell_f32(cloud, r[0].w, r[1].x, r[1].y));
            cells[4 * g + 2] = cell_in_pass(p, cell_f32(cloud, r[1].z, r[1].w, r[2].x));
            cells[4 * g + 3] = cell_in_pass(p, cell_f32(cloud, r[2].y, r[2].z, r[2].w));
            continue;
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            cells[4 * g + i] = index + i < count
                                   ? cell_in_pass(p, cell_of_point(cloud, batch, first + index + i))
                                   : ELSEWHERE;
        }
    }
}

/* Turns counts[0..n) into their exclusive sums, and sets counts[n] to the total. */
INLINE void scan(unsigned *counts, int n) {
    __shared__ unsigned warp_sums[WARPS];
    const int thread = (int)threadIdx.x;
    const int per_thread = (n + (int)blockDim.x - 1) / (int)blockDim.x;
    const int begin = thread * per_thread < n ? thread * per_thread : n;
    const int end = begin + per_thread < n ? begin + per_thread : n;
    unsigned sum = 0;
    for (int i = begin; i < end; ++i) {
        sum += counts[i];
    }
    unsigned inclusive = sum;
    for (int distance = 1; distance < 32; distance <<= 1) {
        const unsigned other = __shfl_up_sync(0xffffffffu, inclusive, distance);
        inclusive += (thread & 31) >= distance ? other : 0;
    }
    if ((thread & 31) == 31) {
        warp_sums[thread >> 5] = inclusive;
    }
    __syncthreads();
    if (thread < 32) {
        const unsigned own = thread < (int)blockDim.x / 32 ? warp_sums[thread] : 0;
        unsigned total = own;
        for (int distance = 1; distance < 32; distance <<= 1) {
            const unsigned other = __shfl_up_sync(0xffffffffu, total, distance);
            total += thread >= distance ? other : 0;
        }
        if (thread < WARPS) {
            warp_sums[thread] = total - own;
        }
    }
    __syncthreads();
    unsigned before = inclusive - sum + warp_sums[thread >> 5];
    for (int i = begin; i < end; ++i) {
        const unsigned count = counts[i];
        counts[i] = before;
        before += count;
    }
    if (thread == (int)blockDim.x - 1) {
        counts[n] = before;
    }
    __syncthreads();
}

/* Sums over the block; thread 0 gets the result. */
INLINE unsigned block_sum(unsigned value) {
    __shared__ unsigned total;
    if (threadIdx.x == 0) {
        total = 0;
    }
    __syncthreads();
    value = __reduce_add_sync(0xffffffffu, value);
    if ((threadIdx.x & 31) == 0 && value != 0) {
        atomicAdd(&total, value);
    }
    __syncthreads();
    return total;
}

extern "C" __global__ void __launch_bounds__(VOXEL_DEAL_THREADS, 3)
    rbc__voxel_deal_cuda(const __grid_constant__ voxel_deal_launch p) {
    extern __shared__ __align__(16) unsigned shared[];
    const int num_slabs = (int)p.deal.num_slabs;
    unsigned *starts = shared; /* [num_slabs + 1] */
    unsigned *sorted = shared + ((num_slabs + 4) & ~3);
    for (int i = (int)threadIdx.x; i < num_slabs; i += (int)blockDim.x) {
        starts[i] = 0;
    }
    launch_await();
    const long long batch = blockIdx.y;
    const long long segment = blockIdx.x;
    const long long first = segment * p.deal.segment_points;
    const long long left = cloud_length(&p.cloud, batch) - first;
    const int count = (int)(left < 0                                  ? 0
                            : left < (long long)p.deal.segment_points ? left
                                                                      : p.deal.segment_points);
    int cells[PER_THREAD];
    find_cells(&p, batch, first, count, cells);
    const long long row = batch * p.deal.num_segments + segment;
    if (p.deal.first == 0) {
        unsigned missing = 0;
#pragma unroll
        for (int i = 0; i < PER_THREAD; ++i) {
            missing += cells[i] == DROPPED;
        }
        missing = block_sum(missing);
        if (threadIdx.x == 0) {
            p.deal.missing[row] = missing;
        }
    }
    __syncthreads();
    unsigned ranks[PER_THREAD];
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (cells[i] >= 0) {
            ranks[i] = atomicAdd(&starts[cells[i] >> p.deal.shift], 1u);
        }
    }
    __syncthreads();
    scan(starts, num_slabs);
    const unsigned mask = (1u << p.deal.shift) - 1;
#pragma unroll
    for (int i = 0; i < PER_THREAD; ++i) {
        if (cells[i] >= 0) {
            const unsigned cell = (unsigned)cells[i] & mask;
            sorted[starts[cells[i] >> p.deal.shift] + ranks[i]] =
                cell << VOXEL_INDEX_BITS | (unsigned)point_index(i, (int)p.cloud.vector);
        }
    }
    uint16_t *runs = p.deal.runs + row * (num_slabs + 1);
    for (int i = (int)threadIdx.x; i <= num_slabs; i += (int)blockDim.x) {
        runs[i] = (uint16_t)starts[i];
    }
    __syncthreads();
    launch_release();
    const int inside = (int)starts[num_slabs];
    uint4 *entries = (uint4 *)(p.deal.entries + row * p.deal.segment_points);
    for (int i = (int)threadIdx.x; i < (inside + 3) / 4; i += (int)blockDim.x) {
        entries[i] = ((const uint4 *)sorted)[i];
    }
}
