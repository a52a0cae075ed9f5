#include "align_passes.h"

#include "on_host.h"

#include "cuda/align/align.cuh"

bool align_passes_run(const char *kernel, unsigned blocks, const align_launch *launch) {
    if (strcmp(kernel, "rbc__align_cuda") != 0) {
        return false;
    }
    for (unsigned block = 0; block < blocks; ++block) {
        const align_tile part = launch->tiles[block];
        const align_item *to = &launch->items[part.item];
        target_samples found[ALIGN_TILE];
        memset(found, 0xa5, sizeof found);
        for (unsigned thread = 0; thread < ALIGN_THREADS; ++thread) {
            align_find(to, part, thread, found);
        }
        for (unsigned thread = 0; thread < ALIGN_THREADS; ++thread) {
            align_put_any(to, part, thread, found);
        }
    }
    return true;
}
