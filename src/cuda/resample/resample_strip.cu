/* Resamples sources short enough for shared memory in one round trip to global memory: stamps,
 * targets and all samples of a strip of columns are fetched together, before it is known which
 * samples are needed. For small jobs, whose time is that of the round trips, and for sources most
 * of whose samples are used, which are then read once instead of once for each target.
 *
 * One mode a source out of linear, hold and nearest; contiguous channels and output rows; nothing
 * beside the values. Values move in granules, a power of two that divides every address, stride and
 * boundary of the output row. */
#include "cuda/resample/simple_bracket.cuh"
#include "cuda/resample/strip_params.h"

enum {
    MAX_WORDS = 4,
    FROM_GLOBAL_AT_ONCE = 4,
};

typedef struct granule {
    unsigned words[MAX_WORDS];
} granule;

/* A bracket in shared memory: bytes from the thread's granule of sample 0. */
typedef struct strip_bracket {
    unsigned left, right;
    unsigned weight[2];
} strip_bracket;

/* The part of the output that a block makes, and the column of it that is the thread's. */
typedef struct strip {
    const strip_source *source;
    long long batch;
    unsigned column;       /* byte of the source's row */
    unsigned lanes, bytes; /* granules and bytes of the strip */
    unsigned row, rows;    /* the thread's first row, and rows that the block moves at a time */
    int is_mine;           /* the column is within the source */
} strip;

INLINE void copy_async(char *to, const char *from, int bytes) {
    const unsigned address = (unsigned)__cvta_generic_to_shared(to);
    if (bytes == 16) {
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(address), "l"(from)
                     : "memory");
    } else if (bytes == 8) {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(address), "l"(from)
                     : "memory");
    } else {
        asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(address), "l"(from)
                     : "memory");
    }
}

INLINE void copies_commit(void) {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits for the thread's copies but the newest `but` groups. */
INLINE void copies_await(int but) {
    if (but == 1) {
        asm volatile("cp.async.wait_group 1;" ::: "memory");
    } else {
        asm volatile("cp.async.wait_group 0;" ::: "memory");
    }
}

INLINE granule granule_load(const char *address, int bytes) {
    granule value;
    if (bytes == 16) {
        const uint4 words = *(const uint4 *)address;
        value.words[0] = words.x;
        value.words[1] = words.y;
        value.words[2] = words.z;
        value.words[3] = words.w;
    } else if (bytes == 8) {
        const uint2 words = *(const uint2 *)address;
        value.words[0] = words.x;
        value.words[1] = words.y;
    } else {
        value.words[0] = *(const unsigned *)address;
    }
    return value;
}

INLINE void granule_store(char *address, granule value, int bytes) {
    if (bytes == 16) {
        *(uint4 *)address =
            make_uint4(value.words[0], value.words[1], value.words[2], value.words[3]);
    } else if (bytes == 8) {
        *(uint2 *)address = make_uint2(value.words[0], value.words[1]);
    } else {
        *(unsigned *)address = value.words[0];
    }
}

INLINE granule granule_lerp(granule a, granule b, double w, int bytes, int dtype) {
    granule out;
    if (dtype == VALUE_F64) {
#pragma unroll
        for (int i = 0; i < bytes / 4; i += 2) {
            const long long bits = __double_as_longlong(
                lerp_f64(__hiloint2double((int)a.words[i + 1], (int)a.words[i]),
                         __hiloint2double((int)b.words[i + 1], (int)b.words[i]), w));
            out.words[i] = (unsigned)bits;
            out.words[i + 1] = (unsigned)(bits >> 32);
        }
        return out;
    }
#pragma unroll
    for (int i = 0; i < bytes / 4; ++i) {
        out.words[i] = lerp_word(a.words[i], b.words[i], (float)w, dtype);
    }
    return out;
}

INLINE strip strip_of_block(const strip_launch *p, int bytes) {
    strip part;
    unsigned k = 0;
    for (unsigned i = 1; i < p->num_sources; ++i) {
        k += blockIdx.x >= p->sources[i].first_strip;
    }
    part.source = &p->sources[k];
    part.batch = blockIdx.y;
    part.lanes = 1u << p->lanes_log;
    part.bytes = part.lanes * bytes;
    const unsigned lane = threadIdx.x & (part.lanes - 1);
    part.column = (blockIdx.x - part.source->first_strip) * part.bytes + lane * bytes;
    part.row = threadIdx.x >> p->lanes_log;
    part.rows = blockDim.x >> p->lanes_log;
    part.is_mine = part.column < part.source->width;
    return part;
}

/* Two groups of copies: first the stamps, then the samples. */
INLINE void fetch(const strip_launch *p, const strip *part, char *shared, int bytes, int type) {
    const strip_source *source = part->source;
    const int stamp_size = stamp_bytes(type);
    const char *times = source->times + part->batch * source->times_batch_stride;
    for (unsigned i = threadIdx.x; i < source->num_samples; i += blockDim.x) {
        copy_async(shared + p->stamps_begin + i * stamp_size, times + i * source->times_stride,
                   stamp_size);
    }
    copies_commit();
    if (part->is_mine && !source->from_global) {
        const char *from = source->values + part->batch * source->batch_stride + part->column;
        char *to = shared + (threadIdx.x & (part->lanes - 1)) * bytes;
#pragma unroll 4
        for (unsigned i = part->row; i < source->num_samples; i += part->rows) {
            copy_async(to + i * part->bytes, from + i * source->sample_stride, bytes);
        }
    }
    copies_commit();
}

/* `samples`: the thread's granule of sample 0. */
INLINE granule blend(const char *samples, unsigned left, unsigned right, double weight, int bytes,
                     int dtype) {
    const granule a = granule_load(samples + left, bytes);
    if (dtype == VALUE_COPY || right == left) {
        return a;
    }
    return granule_lerp(a, granule_load(samples + right, bytes), weight, bytes, dtype);
}

INLINE void bracket_store(strip_bracket *to, const simple_bracket *found, unsigned bytes,
                          int dtype) {
    to->left = found->left * bytes;
    to->right = found->right * bytes;
    if (dtype == VALUE_F64) {
        to->weight[0] = (unsigned)__double2loint(found->weight);
        to->weight[1] = (unsigned)__double2hiint(found->weight);
    } else {
        to->weight[0] = __float_as_uint((float)found->weight);
    }
}

INLINE double bracket_weight(const uint4 *stored, int dtype) {
    return dtype == VALUE_F64 ? __hiloint2double((int)stored->w, (int)stored->z)
                              : (double)__uint_as_float(stored->z);
}

/* The thread's column of all targets, from samples in global memory; so many loads as registers
 * allow are on their way before the first is waited for. */
INLINE void write_from_global(const strip_launch *p, const strip *part,
                              const strip_bracket *brackets, char *out, int bytes, int dtype) {
    const strip_source *source = part->source;
    const char *samples = source->values + part->batch * source->batch_stride + part->column;
    const int blends = dtype != VALUE_COPY && source->mode == MODE_LINEAR;
    for (unsigned first = part->row; first < p->num_targets;
         first += FROM_GLOBAL_AT_ONCE * part->rows) {
        uint4 stored[FROM_GLOBAL_AT_ONCE];
        granule a[FROM_GLOBAL_AT_ONCE];
        granule b[FROM_GLOBAL_AT_ONCE];
#pragma unroll
        for (int u = 0; u < FROM_GLOBAL_AT_ONCE; ++u) {
            const unsigned j = first + u * part->rows;
            stored[u] = *(const uint4 *)&brackets[j < p->num_targets ? j : first];
            a[u] = granule_load(samples + stored[u].x, bytes);
            if (blends) {
                b[u] = granule_load(samples + stored[u].y, bytes);
            }
        }
#pragma unroll
        for (int u = 0; u < FROM_GLOBAL_AT_ONCE; ++u) {
            const unsigned j = first + u * part->rows;
            if (blends && stored[u].x != stored[u].y) {
                a[u] = granule_lerp(a[u], b[u], bracket_weight(&stored[u], dtype), bytes, dtype);
            }
            if (j < p->num_targets) {
                granule_store(out + j * p->out_target_stride, a[u], bytes);
            }
        }
    }
}

INLINE void make_strip(const strip_launch *p, int dtype, int bytes, int type) {
    extern __shared__ __align__(16) char shared[];
    const strip part = strip_of_block(p, bytes);
    launch_await();
    launch_release();
    fetch(p, &part, shared, bytes, type);
    const char *targets = p->targets + part.batch * p->targets_batch_stride;
    const unsigned own = p->one_each ? part.row : threadIdx.x;
    stamp time = 0;
    if (own < p->num_targets) {
        time = stamp_load(targets + own * p->targets_stride, type);
    }
    row_clock clock;
    clock.cache = shared + p->stamps_begin;
    clock.length = part.source->num_samples;
    const int mode = (int)part.source->mode;
    const char *samples = shared + (threadIdx.x & (part.lanes - 1)) * bytes;
    char *out = p->out + part.batch * p->out_batch_stride + part.source->out_begin + part.column;
    copies_await(1);
    __syncthreads();
    if (p->one_each) {
        simple_bracket found = {0, 0, 0.0};
        if (own < p->num_targets) {
            found = simple_bracket_find(&clock, time, mode, dtype, type);
        }
        copies_await(0);
        __syncthreads();
        if (own < p->num_targets && part.is_mine) {
            granule_store(out + own * p->out_target_stride,
                          blend(samples, found.left * part.bytes, found.right * part.bytes,
                                found.weight, bytes, dtype),
                          bytes);
        }
        return;
    }
    strip_bracket *brackets = (strip_bracket *)(shared + p->brackets_begin);
    const unsigned stride =
        part.source->from_global ? (unsigned)part.source->sample_stride : part.bytes;
    for (unsigned j = threadIdx.x; j < p->num_targets; j += blockDim.x) {
        if (j != own) {
            time = stamp_load(targets + j * p->targets_stride, type);
        }
        const simple_bracket found = simple_bracket_find(&clock, time, mode, dtype, type);
        bracket_store(&brackets[j], &found, stride, dtype);
    }
    copies_await(0);
    __syncthreads();
    if (!part.is_mine) {
        return;
    }
    if (part.source->from_global) {
        write_from_global(p, &part, brackets, out, bytes, dtype);
        return;
    }
#pragma unroll 2
    for (unsigned j = part.row; j < p->num_targets; j += part.rows) {
        const uint4 stored = *(const uint4 *)&brackets[j];
        granule_store(
            out + j * p->out_target_stride,
            blend(samples, stored.x, stored.y, bracket_weight(&stored, dtype), bytes, dtype),
            bytes);
    }
}

#define KERNEL(name, dtype, bytes)                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                              \
        rbc__##name##_cuda(const __grid_constant__ strip_launch p) {                               \
        if (p.time_type == CLOCK_F32) {                                                            \
            make_strip(&p, dtype, bytes, CLOCK_F32);                                               \
        } else if (p.time_type == CLOCK_F64) {                                                     \
            make_strip(&p, dtype, bytes, CLOCK_F64);                                               \
        } else {                                                                                   \
            make_strip(&p, dtype, bytes, CLOCK_I64);                                               \
        }                                                                                          \
    }

KERNEL(strip_16_f32, VALUE_F32, 16)
KERNEL(strip_8_f32, VALUE_F32, 8)
KERNEL(strip_4_f32, VALUE_F32, 4)
KERNEL(strip_16_f64, VALUE_F64, 16)
KERNEL(strip_8_f64, VALUE_F64, 8)
KERNEL(strip_16_f16, VALUE_F16, 16)
KERNEL(strip_8_f16, VALUE_F16, 8)
KERNEL(strip_4_f16, VALUE_F16, 4)
KERNEL(strip_16_bf16, VALUE_BF16, 16)
KERNEL(strip_8_bf16, VALUE_BF16, 8)
KERNEL(strip_4_bf16, VALUE_BF16, 4)
KERNEL(strip_16_copy, VALUE_COPY, 16)
KERNEL(strip_8_copy, VALUE_COPY, 8)
KERNEL(strip_4_copy, VALUE_COPY, 4)
