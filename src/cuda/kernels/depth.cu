/* Depth pixels to points: each in its place, or the valid ones first. */
#include "depth_params.h"
#include "launch.cuh"

enum {
    THREADS = DEPTH_THREADS,
    PACK_THREADS = DEPTH_PACK_THREADS,
    PACK_WARPS = PACK_THREADS / 32,
};

typedef struct camera {
    float fx, fy, cx, cy;
    float pose[12];
    int plain; /* no point of a depth up to DEPTH_PLAIN overflows */
} camera;

INLINE float element(const char *address, unsigned is_f64) {
    return is_f64 ? (float)*(const double *)address : *(const float *)address;
}

/* Reads the camera of an image into shared memory; ends with a barrier. */
INLINE void share_camera(const depth_launch *p, long long image, camera *c) {
    const int i = (int)threadIdx.x;
    if (i < 12 && p->pose != 0) {
        c->pose[i] = element(p->pose + image * p->pose_stride[0] + i / 4 * p->pose_stride[1] +
                                 i % 4 * p->pose_stride[2],
                             p->pose_is_f64);
    } else if (i == 12) {
        const long long *step = (const long long *)p->intrinsics_stride;
        const char *k = p->intrinsics + image * step[0];
        c->fx = element(k, p->intrinsics_are_f64);
        c->fy = element(k + step[1] + step[2], p->intrinsics_are_f64);
        c->cx = element(k + 2 * step[2], p->intrinsics_are_f64);
        c->cy = element(k + step[1] + 2 * step[2], p->intrinsics_are_f64);
    }
    __syncthreads();
    if (i == 0) {
        int plain = fabsf(c->fx) >= 0x1p-30f && fabsf(c->fy) >= 0x1p-30f &&
                    fabsf(c->cx) <= 0x1p30f && fabsf(c->cy) <= 0x1p30f &&
                    fabsf(p->offset) <= 0x1p30f;
        for (int k = 8; k < 12 && p->pose != 0; ++k) {
            plain &= fabsf(c->pose[k]) <= 0x1p30f;
        }
        c->plain = plain;
    }
    __syncthreads();
}

INLINE float depth_at(const depth_launch *p, const char *pixel) {
    const float value = p->dtype == DEPTH_U16   ? (float)*(const unsigned short *)pixel
                        : p->dtype == DEPTH_F32 ? *(const float *)pixel
                                                : (float)*(const double *)pixel;
    return __fmul_rn(value, p->scale);
}

INLINE float depth_of_pixel(const depth_launch *p, long long image, unsigned index) {
    const char *base = p->depth + image * p->batch_stride;
    if (p->flat) {
        return depth_at(p, base + (long long)index * p->column_stride);
    }
    const unsigned row = index / p->width;
    return depth_at(p, base + row * p->row_stride + (index - row * p->width) * p->column_stride);
}

typedef struct point3 {
    float x, y, z;
} point3;

INLINE point3 point_of(const depth_launch *p, const camera *c, unsigned index, float depth) {
    const float nan = __uint_as_float(0x7fc00000u);
    point3 out = {nan, nan, nan};
    if (!(depth > p->low && depth <= p->high)) {
        return out;
    }
    const unsigned row = index / p->width;
    const unsigned column = index - row * p->width;
    const float u = __fdiv_rn(__fsub_rn(__fadd_rn((float)(int)column, p->offset), c->cx), c->fx);
    const float v = __fdiv_rn(__fsub_rn(__fadd_rn((float)row, p->offset), c->cy), c->fy);
    const float x = __fmul_rn(u, depth);
    const float y = __fmul_rn(v, depth);
    out.x = x;
    out.y = y;
    out.z = depth;
    if (p->pose != 0) {
        float moved[3];
#pragma unroll
        for (int r = 0; r < 3; ++r) {
            const float *m = c->pose + 4 * r;
            moved[r] = __fadd_rn(__fadd_rn(__fadd_rn(__fmul_rn(m[0], x), __fmul_rn(m[1], y)),
                                           __fmul_rn(m[2], depth)),
                                 m[3]);
        }
        out.x = moved[0];
        out.y = moved[1];
        out.z = moved[2];
    }
    return out;
}

/* Rare: the point itself decides. */
static __device__ __noinline__ int is_number(const depth_launch *p, const camera *c, unsigned index,
                                             float depth) {
    const float z = point_of(p, c, index, depth).z;
    return z == z;
}

INLINE int is_valid(const depth_launch *p, const camera *c, unsigned index, float depth) {
    const int in_range = depth > p->low && depth <= p->high;
    return p->pose == 0 || (c->plain && depth <= DEPTH_PLAIN) ? in_range
                                                              : is_number(p, c, index, depth);
}

INLINE void store_point(float *row, point3 point) {
    row[0] = point.x;
    row[1] = point.y;
    row[2] = point.z;
}

/* Every pixel in its place. */
extern "C" __global__ void __launch_bounds__(THREADS)
    rbc__depth_place_cuda(const __grid_constant__ depth_launch p) {
    __shared__ camera c;
    launch_await();
    launch_release();
    const unsigned blocks = gridDim.x / (unsigned)p.batch;
    const long long image = blockIdx.x / blocks;
    const long long i = (long long)(blockIdx.x % blocks) * THREADS + threadIdx.x;
    const int exists = i < p.pixels;
    const float depth = exists ? depth_of_pixel(&p, image, (unsigned)i) : 0.0f;
    share_camera(&p, image, &c);
    if (exists) {
        store_point(p.points + 3 * (image * p.pixels + i), point_of(&p, &c, (unsigned)i, depth));
    }
}

INLINE unsigned count_pixels(const depth_launch *p, const camera *c, long long image,
                             long long begin, long long end) {
    unsigned count = 0;
#pragma unroll 4
    for (long long i = begin + threadIdx.x; i < end; i += PACK_THREADS) {
        const float depth = depth_of_pixel(p, image, (unsigned)i);
        count += (unsigned)is_valid(p, c, (unsigned)i, depth);
    }
    return count;
}

INLINE unsigned count_value(const depth_launch *p, const camera *c, long long index, float value) {
    return (unsigned)is_valid(p, c, (unsigned)index, __fmul_rn(value, p->scale));
}

/* Valid pixels of [begin, end), by all threads; sixteen bytes at a time where they lie so. */
INLINE unsigned count_valid(const depth_launch *p, const camera *c, long long image,
                            long long begin, long long end) {
    const int bytes = p->dtype == DEPTH_U16 ? 2 : 4;
    const int each = 16 / bytes;
    const unsigned long long base = (unsigned long long)p->depth + image * p->batch_stride;
    if (!p->flat || p->dtype == DEPTH_F64 || p->column_stride != bytes || base % bytes != 0) {
        return count_pixels(p, c, image, begin, end);
    }
    const long long skip = (long long)((16 - base % 16) % 16) / bytes;
    long long first = begin <= skip ? skip : skip + (begin - skip + each - 1) / each * each;
    first = first < end ? first : end;
    const int num_chunks = (int)((end - first) / each);
    const uint4 *chunks = (const uint4 *)(base + first * bytes);
    /* Whether integers decide. */
    const int direct = p->dtype == DEPTH_U16 && (p->pose == 0 || (c->plain && p->u16_plain));
    unsigned count = 0;
#pragma unroll 2
    for (int i = (int)threadIdx.x; i < num_chunks; i += PACK_THREADS) {
        const uint4 chunk = __ldg(chunks + i);
        const unsigned words[4] = {chunk.x, chunk.y, chunk.z, chunk.w};
        const long long at = first + (long long)i * each;
#pragma unroll
        for (int w = 0; w < 4; ++w) {
            if (direct) {
                count += (unsigned)((words[w] & 0xffffu) - p->u16_first < p->u16_count) +
                         (unsigned)((words[w] >> 16) - p->u16_first < p->u16_count);
            } else if (p->dtype == DEPTH_U16) {
                count += count_value(p, c, at + 2 * w, (float)(words[w] & 0xffffu)) +
                         count_value(p, c, at + 2 * w + 1, (float)(words[w] >> 16));
            } else {
                count += count_value(p, c, at + w, __uint_as_float(words[w]));
            }
        }
    }
    return count + count_pixels(p, c, image, begin, first) +
           count_pixels(p, c, image, first + (long long)num_chunks * each, end);
}

INLINE unsigned sum_over_block(unsigned value, unsigned *warp_sums) {
    value = __reduce_add_sync(0xffffffffu, value);
    if ((threadIdx.x & 31) == 0) {
        warp_sums[threadIdx.x / 32] = value;
    }
    __syncthreads();
    unsigned sum = 0;
#pragma unroll
    for (int w = 0; w < PACK_WARPS; ++w) {
        sum += warp_sums[w];
    }
    __syncthreads();
    return sum;
}

/* Valid points first. There is no memory to tell other blocks how many points one has, so that each
 * counts those of the whole image: few, large shares make that cheap. */
extern "C" __global__ void __launch_bounds__(PACK_THREADS, 1)
    rbc__depth_pack_cuda(const __grid_constant__ depth_launch p) {
    __shared__ camera c;
    __shared__ unsigned warp_sums[PACK_WARPS];
    launch_await();
    launch_release();
    const unsigned blocks = gridDim.x / (unsigned)p.batch;
    const long long image = blockIdx.x / blocks;
    const long long begin = (long long)(blockIdx.x % blocks) * p.share;
    const long long end = begin + p.share < p.pixels ? begin + p.share : p.pixels;
    share_camera(&p, image, &c);
    const unsigned before = sum_over_block(count_valid(&p, &c, image, 0, begin), warp_sums);
    const unsigned total =
        before + sum_over_block(count_valid(&p, &c, image, begin, p.pixels), warp_sums);
    float *points = p.points + 3 * image * p.pixels;
    const int lane = (int)threadIdx.x & 31;
    const unsigned warp = threadIdx.x / 32;
    long long next = before;
    for (long long first = begin; first < end; first += PACK_THREADS) {
        const long long i = first + threadIdx.x;
        point3 point = {0, 0, 0};
        int valid = 0;
        if (i < end) {
            point = point_of(&p, &c, (unsigned)i, depth_of_pixel(&p, image, (unsigned)i));
            valid = point.z == point.z;
        }
        const unsigned ballot = __ballot_sync(0xffffffffu, valid);
        if (lane == 0) {
            warp_sums[warp] = (unsigned)__popc(ballot);
        }
        __syncthreads();
        long long place = next + __popc(ballot & ((1u << lane) - 1));
#pragma unroll
        for (unsigned w = 0; w < PACK_WARPS; ++w) {
            place += w < warp ? warp_sums[w] : 0;
            next += warp_sums[w];
        }
        if (valid) {
            store_point(points + 3 * place, point);
        }
        __syncthreads();
    }
    const float nan = __uint_as_float(0x7fc00000u);
    const point3 padding = {nan, nan, nan};
    for (long long i = (begin > total ? begin : total) + threadIdx.x; i < end; i += PACK_THREADS) {
        store_point(points + 3 * i, padding);
    }
    if (begin == 0 && threadIdx.x == 0) {
        p.lengths[image] = (int)total;
    }
}
