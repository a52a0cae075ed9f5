#include "image_passes.h"

#include <string.h>

#include "cuda/image/image.cuh"

static void run_axes(const image_launch *p, const image_item *item, uint32_t block) {
    for (uint32_t thread = 0; thread < IMAGE_AXIS_THREADS; ++thread) {
        axes_fill(p, item, block, thread);
    }
}

static void run_tile(const image_launch *p, const image_item *item, uint32_t block) {
    image_shared shared;
    image_sums sums[IMAGE_THREADS];
    const image_tile tile = tile_of(item, block);
    if (tile.count[1] == 0) {
        return;
    }
    for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
        sums_begin(&sums[thread]);
    }
    memset(&shared, 0xa5, sizeof shared);
    for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
        rows_fill(&tile, thread, shared.rows);
    }
    for (int32_t start = tile.from; start < tile.to; start += IMAGE_CHUNK) {
        for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
            pass_first(&tile, p->channels, start, thread, shared.words);
        }
        for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
            pass_second(&tile, p->channels, start, thread, &shared, &sums[thread]);
        }
    }
    for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
        const int64_t grey = tile_put(p, &tile, p->channels, thread, &sums[thread]);
        if (item->made != NULL) {
            *item->grey += grey;
        }
    }
}

static void run_finish(const image_launch *p, const image_item *item, uint32_t block) {
    for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
        finish_pixel(p, item, (int64_t)block * IMAGE_THREADS + thread);
    }
}

static void run_move(const image_launch *p, const image_item *item, uint32_t block) {
    for (uint32_t thread = 0; thread < IMAGE_THREADS; ++thread) {
        move_pixel(p, item, (int64_t)block * IMAGE_THREADS + thread);
    }
}

bool image_passes_run(const char *kernel, unsigned blocks, const image_launch *launch) {
    static const struct {
        const char *name;
        void (*run)(const image_launch *p, const image_item *item, uint32_t block);
    } kernels[] = {{"rbc__image_axes_cuda", run_axes},
                   {"rbc__image_tile_cuda", run_tile},
                   {"rbc__image_tile_rgb_cuda", run_tile},
                   {"rbc__image_finish_cuda", run_finish},
                   {"rbc__image_move_cuda", run_move}};
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i) {
        if (strcmp(kernel, kernels[i].name) == 0) {
            for (unsigned block = 0; block < blocks; ++block) {
                kernels[i].run(launch, launch->items + block / launch->blocks,
                               block % launch->blocks);
            }
            return true;
        }
    }
    return false;
}
