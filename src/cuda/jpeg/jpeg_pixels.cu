/* After entropy decoding: the verdict on each image, planes of samples, and pixels. */
#include "cuda/jpeg/idct.cuh"
#include "cuda/jpeg/judge.cuh"
#include "cuda/jpeg/pixels.cuh"
#include "cuda/jpeg/zigzag.cuh"

enum {
    AT_ONCE = JPEG_IDCT_THREADS / 8, /* blocks */
    BLOCK_ROWS = 9,                  /* of 16 bytes in shared memory: spreads blocks over banks */
};

/* A thread an image. */
extern "C" __global__ void __launch_bounds__(JPEG_VERDICT_THREADS)
    rbc__jpeg_verdict_cuda(const jpeg_launch p) {
    launch_await();
    const uint32_t number = blockIdx.x * JPEG_VERDICT_THREADS + threadIdx.x;
    if (number >= p.num_images) {
        return;
    }
    const jpeg_image *image = &p.images[number];
    const bool is_whole =
        verdict_of(image, &p.found[number], p.streams, p.scans + image->first_scan, p.tables);
    p.verdicts[number] = is_whole;
    if (p.valid != 0) {
        p.valid[image->number] = is_whole;
    }
}

INLINE void unpack_row(uint4 row, int32_t v[8]) {
    const uint32_t words[4] = {row.x, row.y, row.z, row.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        v[2 * i] = (int16_t)(words[i] & 0xFFFF);
        v[2 * i + 1] = (int32_t)words[i] >> 16;
    }
}

/* A block a tile of 8x8 blocks of one component. Eight threads, of one warp, take one: each a row
 * of coefficients, then a column, then a row of samples. */
extern "C" __global__ void __launch_bounds__(JPEG_IDCT_THREADS)
    rbc__jpeg_idct_cuda(const jpeg_launch p) {
    __shared__ __align__(16) int16_t steps[JPEG_BLOCK];
    __shared__ uint4 rows[AT_ONCE * BLOCK_ROWS];
    launch_await();
    const uint32_t tile = p.idct_tiles[blockIdx.x];
    const jpeg_image *image = &p.images[tile / 4];
    const jpeg_component c = image->components[tile % 4];
    if (threadIdx.x < JPEG_BLOCK) {
        const uint8_t *quant = p.streams + image->stream + c.quant_at;
        const uint32_t step =
            c.quant_is_u16 ? (uint32_t)quant[2 * threadIdx.x] << 8 | quant[2 * threadIdx.x + 1]
                           : quant[threadIdx.x];
        const uint32_t place = zigzag[threadIdx.x];
        steps[place] = (int16_t)quant_step(step, aan_scales[place], p.is_fast != 0);
    }
    __syncthreads();
    const uint32_t lane = threadIdx.x % 8, slot = threadIdx.x / 8;
    const uint32_t group = 255u << (threadIdx.x % 32 / 8 * 8);
    uint4 *own = rows + slot * BLOCK_ROWS;
    int16_t *values = (int16_t *)own;
    int32_t step[8];
    unpack_row(((const uint4 *)steps)[lane], step);
    const uint32_t first = (blockIdx.x - c.first_tile) * JPEG_IDCT_BLOCKS;
    for (uint32_t i = 0; i < JPEG_IDCT_BLOCKS; i += AT_ONCE) {
        const uint32_t number = first + i + slot;
        const bool in_range = number < c.num_blocks;
        const uint32_t y = number / c.blocks_per_row, x = number - y * c.blocks_per_row;
        uint4 row = make_uint4(0, 0, 0, 0);
        if (in_range) {
            row = ((const uint4 *)(p.coefficients +
                                   (c.first_block + block_in_scan(&c, x, y)) * JPEG_BLOCK))[lane];
        }
        const bool holds = lane > 0 && (row.x | row.y | row.z | row.w) != 0;
        const bool flat = (__ballot_sync(~0u, holds) & group) == 0;
        int32_t v[8];
        unpack_row(row, v);
        uint32_t words[4];
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            words[j] = (uint32_t)(v[2 * j] * step[2 * j] & 0xFFFF) |
                       (uint32_t)(v[2 * j + 1] * step[2 * j + 1]) << 16;
        }
        own[lane] = make_uint4(words[0], words[1], words[2], words[3]);
        __syncwarp();
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            v[j] = values[8 * j + lane];
        }
        idct_column(v, p.is_fast != 0, flat);
#pragma unroll
        for (int j = 0; j < 8; ++j) {
            values[8 * j + lane] = (int16_t)v[j];
        }
        __syncwarp();
        unpack_row(own[lane], v);
        idct_row(v, p.is_fast != 0);
        if (in_range) {
            uint2 out;
            out.x = (uint32_t)(v[0] | v[1] << 8 | v[2] << 16 | v[3] << 24);
            out.y = (uint32_t)(v[4] | v[5] << 8 | v[6] << 16 | v[7] << 24);
            ((uint2 *)(p.planes + c.plane))[((uint64_t)y * 8 + lane) * c.blocks_per_row + x] = out;
        }
        __syncwarp();
    }
}

/* Eight values, one in each byte. */
typedef struct eight {
    uint32_t low, high;
} eight;

INLINE uint32_t byte_of(uint32_t word, uint32_t index) {
    return word >> (8 * index) & 255;
}

/* Samples m - 1 to m + 4 of a row, m a multiple of four; those outside are the nearest. */
INLINE void six_samples(const uint8_t *row, uint32_t m, uint32_t last, uint32_t out[6]) {
    const uint32_t four = *(const uint32_t *)(row + m);
    out[0] = row[m == 0 ? 0 : m - 1];
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
        out[1 + i] = byte_of(four, i);
    }
    out[5] = row[m + 4 < last ? m + 4 : last];
    if (m + 3 > last) {
#pragma unroll
        for (uint32_t i = 1; i < 4; ++i) {
            out[1 + i] = m + i > last ? out[5] : out[1 + i];
        }
    }
}

/* Values of a component at eight pixels from (x, y) on, x a multiple of eight. Those behind the
 * image's edge mean nothing. */
INLINE eight upsample_eight(const jpeg_component *c, const uint8_t *plane, uint32_t x, uint32_t y,
                            uint32_t width) {
    const uint64_t stride = 8 * (uint64_t)c->blocks_per_row;
    const uint32_t kind = upsampling_of(c);
    eight out = {0, 0};
    if (kind == UPSAMPLE_NONE) {
        const uint2 own = *(const uint2 *)(plane + y * stride + x);
        out.low = own.x;
        out.high = own.y;
        return out;
    }
    uint32_t values[8];
    if (kind == UPSAMPLE_H2) {
        uint32_t own[6];
        six_samples(plane + y * stride, x / 2, c->width - 1, own);
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
            values[i] = blend_h2(own[1 + i / 2], own[i % 2 == 0 ? i / 2 : 2 + i / 2], i);
        }
    } else if (kind == UPSAMPLE_H2V2) {
        uint32_t own[6], lent[6];
        six_samples(plane + y / 2 * stride, x / 2, c->width - 1, own);
        six_samples(plane + lending_row(y, c->height) * stride, x / 2, c->width - 1, lent);
#pragma unroll
        for (int i = 0; i < 6; ++i) {
            own[i] = 3 * own[i] + lent[i];
        }
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
            values[i] = blend_h2v2(own[1 + i / 2], own[i % 2 == 0 ? i / 2 : 2 + i / 2], i);
        }
    } else {
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
            values[i] = x + i < width ? upsampled(c, plane, x + i, y) : 0;
        }
    }
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
        out.low |= values[i] << (8 * i);
        out.high |= values[4 + i] << (8 * i);
    }
    return out;
}

/* Four pixels of three bytes each. */
INLINE void pack_four(const uint32_t pixels[4], uint32_t out[3]) {
    out[0] = pixels[0] | pixels[1] << 24;
    out[1] = pixels[1] >> 8 | pixels[2] << 16;
    out[2] = pixels[2] >> 16 | pixels[3] << 8;
}

INLINE void store_pixels(const jpeg_image *image, const uint32_t pixels[8], uint32_t x, uint32_t y,
                         bool is_aligned) {
    uint8_t *out = image->out + ((uint64_t)y * image->width + x) * image->channels;
    if (is_aligned && image->channels == 3) {
        uint32_t words[6];
        pack_four(pixels, words);
        pack_four(pixels + 4, words + 3);
#pragma unroll
        for (int i = 0; i < 3; ++i) {
            ((uint2 *)out)[i] = make_uint2(words[2 * i], words[2 * i + 1]);
        }
    } else if (is_aligned) {
        *(uint2 *)out = make_uint2(pixels[0] | pixels[1] << 8 | pixels[2] << 16 | pixels[3] << 24,
                                   pixels[4] | pixels[5] << 8 | pixels[6] << 16 | pixels[7] << 24);
    } else {
#pragma unroll
        for (uint32_t i = 0; i < 8; ++i) {
            for (uint32_t j = 0; x + i < image->width && j < image->channels; ++j) {
                out[i * image->channels + j] = (uint8_t)(pixels[i] >> 8 * j);
            }
        }
    }
}

/* A block a tile of groups of eight pixels in a row. */
extern "C" __global__ void __launch_bounds__(JPEG_COLOUR_THREADS)
    rbc__jpeg_colour_cuda(const jpeg_launch p) {
    __shared__ jpeg_image image;
    launch_await();
    const uint32_t number = p.colour_tiles[blockIdx.x];
    for (uint32_t i = threadIdx.x; i < sizeof image / 4; i += JPEG_COLOUR_THREADS) {
        ((uint32_t *)&image)[i] = ((const uint32_t *)&p.images[number])[i];
    }
    __syncthreads();
    const bool is_whole = p.verdicts[number] != 0;
    const uint32_t per_row = (image.width + JPEG_COLOUR_PIXELS - 1) / JPEG_COLOUR_PIXELS;
    const uint32_t groups = per_row * image.height;
    const uint32_t components = is_one_plane(&image) ? 1 : 3;
    const bool is_aligned = (uint64_t)image.out % 8 == 0 && image.width % 8 == 0;
    const uint32_t first = (blockIdx.x - image.first_tile) * JPEG_COLOUR_GROUPS;
    for (uint32_t i = threadIdx.x; i < JPEG_COLOUR_GROUPS; i += JPEG_COLOUR_THREADS) {
        const uint32_t group = first + i;
        if (group >= groups) {
            break;
        }
        const uint32_t y = group / per_row;
        const uint32_t x = (group - y * per_row) * JPEG_COLOUR_PIXELS;
        eight values[JPEG_COMPONENTS];
#pragma unroll
        for (uint32_t k = 0; k < JPEG_COMPONENTS; ++k) {
            values[k].low = values[k].high = 0;
            if (is_whole && k < components) {
                const jpeg_component *c = &image.components[k];
                values[k] = upsample_eight(c, p.planes + c->plane, x, y, image.width);
            }
        }
        uint32_t pixels[8];
#pragma unroll
        for (uint32_t k = 0; k < 4; ++k) {
            pixels[k] = pixel_of(image.colour, image.channels, byte_of(values[0].low, k),
                                 byte_of(values[1].low, k), byte_of(values[2].low, k));
            pixels[4 + k] = pixel_of(image.colour, image.channels, byte_of(values[0].high, k),
                                     byte_of(values[1].high, k), byte_of(values[2].high, k));
        }
        if (!is_whole) {
#pragma unroll
            for (int k = 0; k < 8; ++k) {
                pixels[k] = 0;
            }
        }
        store_pixels(&image, pixels, x, y, is_aligned);
    }
}
