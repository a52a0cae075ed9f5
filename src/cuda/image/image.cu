/* What is made of images: where the pixels of each axis come from, tiles of the result, and colours
 * that hang on all of the result. */
#include "cuda/image/image.cuh"

INLINE const image_item *item_of_block(const image_launch *p, unsigned *block) {
    const unsigned number = blockIdx.x / p->blocks;
    *block = blockIdx.x - number * p->blocks;
    return p->items + number;
}

extern "C" __global__ void __launch_bounds__(IMAGE_AXIS_THREADS)
    rbc__image_axes_cuda(const __grid_constant__ image_launch p) {
    launch_await();
    unsigned block;
    const image_item *item = item_of_block(&p, &block);
    axes_fill(&p, item, block, threadIdx.x);
}

/* Returns the grey of what the thread put down. */
INLINE int64_t run_tile(const image_launch *p, const image_tile *tile, uint32_t channels,
                        image_shared *shared) {
    image_sums sums;
    sums_begin(&sums);
    rows_fill(tile, threadIdx.x, shared->rows);
    for (int32_t start = tile->from; start < tile->to; start += IMAGE_CHUNK) {
        pass_first(tile, channels, start, threadIdx.x, shared->words);
        __syncthreads();
        pass_second(tile, channels, start, threadIdx.x, shared, &sums);
        __syncthreads();
    }
    return tile_put(p, tile, channels, threadIdx.x, &sums);
}

INLINE void run_block(const image_launch *p, uint32_t channels) {
    __shared__ image_shared shared;
    launch_await();
    unsigned block;
    const image_item *item = item_of_block(p, &block);
    const image_tile tile = tile_of(item, block);
    if (tile.count[1] == 0) {
        return;
    }
    int64_t grey = run_tile(p, &tile, channels, &shared);
    if (item->made != 0) {
        UNROLL
        for (int step = 16; step > 0; step /= 2) {
            grey += __shfl_down_sync(0xffffffffu, grey, step);
        }
        if (threadIdx.x % 32 == 0) {
            atomicAdd((unsigned long long *)item->grey, (unsigned long long)grey);
        }
    }
}

extern "C" __global__ void __launch_bounds__(IMAGE_THREADS)
    rbc__image_tile_cuda(const __grid_constant__ image_launch p) {
    run_block(&p, p.channels);
}

extern "C" __global__ void __launch_bounds__(IMAGE_THREADS)
    rbc__image_tile_rgb_cuda(const __grid_constant__ image_launch p) {
    run_block(&p, 3);
}

extern "C" __global__ void __launch_bounds__(IMAGE_THREADS)
    rbc__image_finish_cuda(const __grid_constant__ image_launch p) {
    launch_await();
    unsigned block;
    const image_item *item = item_of_block(&p, &block);
    finish_pixel(&p, item, (int64_t)block * IMAGE_THREADS + threadIdx.x);
}

extern "C" __global__ void __launch_bounds__(IMAGE_THREADS)
    rbc__image_move_cuda(const __grid_constant__ image_launch p) {
    launch_await();
    unsigned block;
    const image_item *item = item_of_block(&p, &block);
    move_pixel(&p, item, (int64_t)block * IMAGE_THREADS + threadIdx.x);
}
