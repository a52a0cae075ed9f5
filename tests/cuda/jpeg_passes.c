#include "jpeg_passes.h"

#include <stdlib.h>
#include <string.h>

#include "cuda/jpeg/layout.h"
#include "jpeg_kernels.h"

static bool run(const rbc__jpeg_layout *layout, unsigned char *base, bool is_fast) {
    const unsigned bundles = (unsigned)layout->num_bundles;
    const struct {
        const char *name;
        unsigned blocks;
    } kernels[] = {
        {"rbc__jpeg_prepare_cuda", 1},     {"rbc__jpeg_strand_cuda", bundles},
        {"rbc__jpeg_join_cuda", 1},        {"rbc__jpeg_offset_cuda", 1},
        {"rbc__jpeg_write_cuda", bundles}, {"rbc__jpeg_dc_cuda", 1},
        {"rbc__jpeg_verdict_cuda", 1},     {"rbc__jpeg_idct_cuda", 1},
        {"rbc__jpeg_colour_cuda", 1},
    };
    jpeg_launch p = rbc__jpeg_layout_launch(layout, base, base, is_fast);
    p.keeps_rows = layout->streams_bytes % 2; /* both ways come up */
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i) {
        if (!jpeg_kernels_run(kernels[i].name, kernels[i].blocks, &p)) {
            abort();
        }
    }
    return p.verdicts[0] != 0;
}

jpeg_passes_result jpeg_passes_decode(const uint8_t *bytes, uint64_t num_bytes, uint32_t channels,
                                      bool is_fast, uint8_t *out) {
    enum { FIRST_STREAM = 16 };
    rbc__jpeg_header header = {0};
    rbc__jpeg_layout layout;
    jpeg_passes_result result = JPEG_PASSES_OTHER;
    if (rbc__jpeg_header_read(bytes, num_bytes, &header, NULL) != RBC_OK) {
        abort();
    }
    const rbc__jpeg_input input = {
        .header = &header,
        .stream = FIRST_STREAM,
        .num_bytes = (uint32_t)num_bytes,
        .channels = channels,
        .out = out,
    };
    if (header.is_plain && rbc__jpeg_layout_measure(&input, 1, FIRST_STREAM + num_bytes, &layout)) {
        unsigned char *base = malloc(layout.bytes);
        if (base == NULL) {
            abort();
        }
        memset(base, 0xA5, layout.bytes);
        rbc__jpeg_layout_describe(&input, &layout, base);
        memcpy(base + layout.streams + FIRST_STREAM, bytes, num_bytes);
        result = run(&layout, base, is_fast) ? JPEG_PASSES_WHOLE : JPEG_PASSES_DAMAGED;
        free(base);
    }
    rbc__jpeg_header_free(&header);
    return result;
}
