/* Depth pixels to points: each in its place, or the valid ones first. */
#include "cuda/common/scan.cuh"
#include "cuda/depth/depth_params.h"

enum {
    EACH_THREADS = DEPTH_EACH_THREADS,
    PACK_THREADS = DEPTH_PACK_THREADS,
    TILE = DEPTH_PACK_TILE,
    PIXELS = DEPTH_PIXELS,
};

INLINE unsigned image_of_block(const depth_launch *p) {
    return blockIdx.x < p->blocks ? 0 : blockIdx.x / p->blocks;
}

/* ---- pixels ---- */

typedef struct camera {
    float fx, fy, cx, cy;
    float pose[12];
} camera;

INLINE float element(const char *address, unsigned is_f64) {
    return is_f64 ? (float)*(const double *)address : *(const float *)address;
}

INLINE camera camera_of(const depth_launch *p, long long image) {
    const long long *step = (const long long *)p->intrinsics_stride;
    const char *k = p->intrinsics + (image == 0 ? 0 : image * step[0]);
    camera c;
    c.fx = element(k, p->intrinsics_are_f64);
    c.fy = element(k + step[1] + step[2], p->intrinsics_are_f64);
    c.cx = element(k + 2 * step[2], p->intrinsics_are_f64);
    c.cy = element(k + step[1] + 2 * step[2], p->intrinsics_are_f64);
#pragma unroll
    for (int i = 0; i < 12; ++i) {
        c.pose[i] = p->pose == 0
                        ? 0.0f
                        : element(p->pose + image * p->pose_stride[0] + i / 4 * p->pose_stride[1] +
                                      i % 4 * p->pose_stride[2],
                                  p->pose_is_f64);
    }
    return c;
}

/* Depths of the pixels from `index` on, of which there are `count`; NaN after them. */
typedef struct depths {
    float at[PIXELS];
} depths;

INLINE depths load_depths(const depth_launch *p, long long image, unsigned index, int count) {
    const char *base = p->depth + (image == 0 ? 0 : image * p->batch_stride);
    const char *first;
    if (p->flat) {
        first = base + index * p->column_stride;
    } else {
        const unsigned row = index / p->width;
        first = base + row * p->row_stride + (index - row * p->width) * p->column_stride;
    }
    depths loaded;
    if (p->whole && count == PIXELS) {
        if (p->dtype == DEPTH_U16) {
            const ushort4 four = *(const ushort4 *)first;
            loaded.at[0] = (float)four.x;
            loaded.at[1] = (float)four.y;
            loaded.at[2] = (float)four.z;
            loaded.at[3] = (float)four.w;
        } else {
            const float4 four = *(const float4 *)first;
            loaded.at[0] = four.x;
            loaded.at[1] = four.y;
            loaded.at[2] = four.z;
            loaded.at[3] = four.w;
        }
    } else {
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) {
            const unsigned own = (index + k) / p->width;
            const char *pixel =
                base + own * p->row_stride + (index + k - own * p->width) * p->column_stride;
            loaded.at[k] = k >= count              ? __uint_as_float(0x7fc00000u)
                           : p->dtype == DEPTH_U16 ? (float)*(const unsigned short *)pixel
                           : p->dtype == DEPTH_F32 ? *(const float *)pixel
                                                   : (float)*(const double *)pixel;
        }
    }
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        loaded.at[k] = __fmul_rn(loaded.at[k], p->scale);
    }
    return loaded;
}

/* Points of pixels side by side: x, y, z each, all NaN where the depth is not valid. */
typedef struct points {
    float at[3 * PIXELS];
} points;

INLINE void move(const camera *c, float *point) {
    float moved[3];
#pragma unroll
    for (int r = 0; r < 3; ++r) {
        const float *m = c->pose + 4 * r;
        moved[r] =
            __fadd_rn(__fadd_rn(__fadd_rn(__fmul_rn(m[0], point[0]), __fmul_rn(m[1], point[1])),
                                __fmul_rn(m[2], point[2])),
                      m[3]);
    }
#pragma unroll
    for (int r = 0; r < 3; ++r) {
        point[r] = moved[r];
    }
}

INLINE points points_of(const depth_launch *p, const camera *c, unsigned index, depths depth) {
    unsigned row = index / p->width;
    unsigned column = index - row * p->width;
    float v = __fdiv_rn(__fsub_rn(__fadd_rn((float)row, p->offset), c->cy), c->fy);
    points made;
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        float *point = made.at + 3 * k;
        const float u =
            __fdiv_rn(__fsub_rn(__fadd_rn((float)(int)column, p->offset), c->cx), c->fx);
        const float z = depth.at[k];
        const int valid = z > p->low && z <= p->high;
        point[0] = __fmul_rn(u, z);
        point[1] = __fmul_rn(v, z);
        point[2] = z;
        if (p->pose != 0) {
            move(c, point);
        }
#pragma unroll
        for (int axis = 0; axis < 3; ++axis) {
            /* One NaN, whatever the arithmetic would make. */
            point[axis] = valid ? point[axis] : __uint_as_float(0x7fc00000u);
        }
        ++column;
        if (!p->whole && column == p->width) {
            column = 0;
            ++row;
            v = __fdiv_rn(__fsub_rn(__fadd_rn((float)row, p->offset), c->cy), c->fy);
        }
    }
    return made;
}

/* ---- each in its place ---- */

/* A warp's points go through shared memory, so that its stores follow each other. */
INLINE void store_points(const depth_launch *p, float *image, unsigned first, points made,
                         float4 *staged) {
    const int lane = (int)threadIdx.x & 31;
    const unsigned left = 3 * (p->pixels - first);
#pragma unroll
    for (int k = 0; k < 3; ++k) {
        staged[3 * lane + k] =
            make_float4(made.at[4 * k], made.at[4 * k + 1], made.at[4 * k + 2], made.at[4 * k + 3]);
    }
    __syncwarp();
    if (p->whole && p->aligned) {
        float4 *out = (float4 *)(image + 3ll * first);
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            const unsigned at = 32 * k + lane;
            if (4 * at < left) {
                out[at] = staged[at];
            }
        }
        return;
    }
    for (unsigned at = lane; at < 96 * PIXELS && at < left; at += 32) {
        image[3ll * first + at] = ((const float *)staged)[at];
    }
}

INLINE void write_points(const depth_launch *p) {
    __shared__ float4 staged[3 * EACH_THREADS];
    const unsigned image = image_of_block(p);
    const unsigned pixels = p->pixels;
    const unsigned thread = (blockIdx.x - image * p->blocks) * EACH_THREADS + threadIdx.x;
    const unsigned index = thread * PIXELS;
    points made;
    if (index < pixels) {
        const depths depth = load_depths(p, image, index, (int)min(pixels - index, 4u));
        const camera c = camera_of(p, image);
        made = points_of(p, &c, index, depth);
    }
    const unsigned first = (thread & ~31u) * PIXELS;
    if (first < pixels) {
        store_points(p, p->points + 3ll * image * p->pixels, first, made,
                     staged + 3 * (threadIdx.x & ~31u));
    }
}

extern "C" __global__ void __launch_bounds__(EACH_THREADS)
    rbc__depth_each_cuda(const __grid_constant__ depth_launch p) {
    launch_await();
    launch_release();
    write_points(&p);
}

/* What the launch says is written down once more where the compiler can see it. */
#define KERNEL(name, type)                                                                         \
    extern "C" __global__ void __launch_bounds__(EACH_THREADS)                                     \
        rbc__depth_each_##name##_cuda(const __grid_constant__ depth_launch p) {                    \
        launch_await();                                                                            \
        launch_release();                                                                          \
        depth_launch simple = p;                                                                   \
        simple.dtype = type;                                                                       \
        simple.flat = 1;                                                                           \
        simple.column_stride = type == DEPTH_U16 ? 2 : 4;                                          \
        simple.intrinsics_stride[1] = 12;                                                          \
        simple.intrinsics_stride[2] = 4;                                                           \
        simple.whole = 1;                                                                          \
        simple.aligned = 1;                                                                        \
        simple.pose = 0;                                                                           \
        simple.intrinsics_are_f64 = 0;                                                             \
        write_points(&simple);                                                                     \
    }

KERNEL(u16, DEPTH_U16)
KERNEL(f32, DEPTH_F32)

/* ---- the valid ones first ---- */

/* Shares tell each other how many points they have in words at the end of the image's output: how
 * many shares have read them, then the counts. Only the last share, which is as large as any other,
 * writes points there; it waits until all have read. */
INLINE unsigned *words_of(const depth_launch *p, long long image) {
    return (unsigned *)(p->points + 3 * (image + 1) * p->pixels) - (p->blocks + 1);
}

/* The pixels of a share: the first one may have fewer. */
typedef struct stretch {
    long long begin, end;
} stretch;

INLINE stretch stretch_of_share(const depth_launch *p, unsigned share) {
    stretch own;
    own.end = p->pixels - (p->blocks - 1 - share) * p->share;
    own.begin = share == 0 ? 0 : own.end - p->share;
    return own;
}

INLINE unsigned is_valid(const points *made, int k) {
    return made->at[3 * k + 2] == made->at[3 * k + 2];
}

/* Depths of the pixels from `index` on that the thread has of a tile; NaN from `end` on. */
INLINE depths depths_before(const depth_launch *p, long long image, long long index,
                            long long end) {
    const long long left = end - index;
    if (left > 0) {
        return load_depths(p, image, (unsigned)index, left < PIXELS ? (int)left : PIXELS);
    }
    depths none;
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        none.at[k] = __uint_as_float(0x7fc00000u);
    }
    return none;
}

INLINE unsigned count_valid(const depth_launch *p, const camera *c, unsigned index, depths depth) {
    unsigned count = 0;
    if (p->pose == 0) {
#pragma unroll
        for (int k = 0; k < PIXELS; ++k) {
            /* As the depth of a point is itself. */
            count += depth.at[k] > p->low && depth.at[k] <= p->high;
        }
        return count;
    }
    const points made = points_of(p, c, index, depth);
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        count += is_valid(&made, k);
    }
    return count;
}

extern "C" __global__ void __launch_bounds__(PACK_THREADS)
    rbc__depth_count_cuda(const __grid_constant__ depth_launch p) {
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const unsigned image = image_of_block(&p);
    const unsigned share = blockIdx.x - image * p.blocks;
    const stretch own = stretch_of_share(&p, share);
    const camera c = camera_of(&p, image);
    unsigned count = 0;
    for (long long i = own.begin + threadIdx.x * PIXELS; i < own.end; i += TILE) {
        count += count_valid(&p, &c, (unsigned)i, depths_before(&p, image, i, own.end));
    }
    count = block_sum(count, warp_sums);
    if (threadIdx.x == 0) {
        unsigned *words = words_of(&p, image);
        words[1 + share] = count;
        if (share == 0) {
            words[0] = 0;
        }
    }
}

/* Puts the points of a tile side by side; returns how many they are. */
INLINE unsigned stage_tile(const points *made, float *staged, unsigned *warp_sums) {
    unsigned own = 0;
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        own += is_valid(made, k);
    }
    unsigned all;
    unsigned position = block_sum_before(own, warp_sums, &all);
#pragma unroll
    for (int k = 0; k < PIXELS; ++k) {
        if (is_valid(made, k)) {
#pragma unroll
            for (int axis = 0; axis < 3; ++axis) {
                staged[3 * position + axis] = made->at[3 * k + axis];
            }
            ++position;
        }
    }
    __syncthreads();
    return all;
}

/* How many points there are before this share, and in `all`; the first of the words counts the
 * shares that know. */
INLINE unsigned read_words(const depth_launch *p, unsigned *words, unsigned share,
                           unsigned *warp_sums, unsigned *all) {
    unsigned before = 0;
    unsigned everywhere = 0;
    for (unsigned s = threadIdx.x; s < p->blocks; s += PACK_THREADS) {
        const unsigned other = words[1 + s];
        before += s < share ? other : 0;
        everywhere += other;
    }
    before = block_sum(before, warp_sums);
    *all = block_sum(everywhere, warp_sums);
    if (threadIdx.x == 0 && share < p->blocks - 1) {
        atomicAdd(words, 1u);
    }
    return before;
}

/* Waits until the other shares know. */
INLINE void await_readers(const depth_launch *p, const unsigned *words) {
    if (threadIdx.x == 0) {
        while (*(const volatile unsigned *)words < p->blocks - 1) {
        }
    }
    __syncthreads();
}

extern "C" __global__ void __launch_bounds__(PACK_THREADS)
    rbc__depth_pack_cuda(const __grid_constant__ depth_launch p) {
    __shared__ float staged[3 * TILE];
    __shared__ unsigned warp_sums[32];
    launch_await();
    launch_release();
    const unsigned image = image_of_block(&p);
    const unsigned share = blockIdx.x - image * p.blocks;
    const stretch own = stretch_of_share(&p, share);
    float *rows = p.points + 3ll * image * p.pixels;
    const camera c = camera_of(&p, image);
    depths depth = depths_before(&p, image, own.begin + threadIdx.x * PIXELS, own.end);
    unsigned *words = words_of(&p, image);
    unsigned all = 0;
    long long next = p.blocks > 1 ? read_words(&p, words, share, warp_sums, &all) : 0;
    for (long long first = own.begin; first < own.end; first += TILE) {
        const long long index = first + threadIdx.x * PIXELS;
        if (first != own.begin) {
            depth = depths_before(&p, image, index, own.end);
        }
        const points made = points_of(&p, &c, (unsigned)index, depth);
        const unsigned staged_points = stage_tile(&made, staged, warp_sums);
        if (first == own.begin && share == p.blocks - 1 && share > 0) {
            await_readers(&p, words);
        }
        float *out = rows + 3 * next;
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < 3 * staged_points; i += PACK_THREADS) {
            out[i] = staged[i];
        }
        next += staged_points;
        __syncthreads();
    }
    const long long total = p.blocks > 1 ? (long long)all : next;
    const long long padding = own.begin > total ? own.begin : total;
    for (long long i = 3 * padding + threadIdx.x; i < 3 * own.end; i += PACK_THREADS) {
        rows[i] = __uint_as_float(0x7fc00000u);
    }
    if (share == 0 && threadIdx.x == 0) {
        p.lengths[image] = (int)total;
    }
}
