/* Where everything of a batch of JPEGs lies on the device, and its description for the kernels. */
#ifndef RBC_CUDA_JPEG_LAYOUT_H
#define RBC_CUDA_JPEG_LAYOUT_H

#include "codec/jpeg_header.h"
#include "cuda/jpeg/jpeg_params.h"

/* One plain image. */
typedef struct rbc__jpeg_input {
    const rbc__jpeg_header *header;
    uint64_t stream; /* offset among the streams */
    uint32_t num_bytes;
    uint32_t channels;
    uint32_t number; /* in the batch */
    uint8_t *out;
} rbc__jpeg_input;

/* How many there are of each, and offsets in the workspace, which begins with the description. */
typedef struct rbc__jpeg_layout {
    uint64_t num_images, num_scans, num_segments, num_bundles, num_pieces, num_tables, num_joined;
    uint64_t num_idct_tiles, num_colour_tiles, num_strands, num_blocks;
    uint32_t largest_bundle; /* strands */
    uint64_t images, scans, segments, bundles, pieces, table_sources, joined, idct_tiles,
        colour_tiles;
    uint64_t description_bytes;
    uint64_t streams, streams_bytes;
    uint64_t tables, words, owners, states, entered, counts, coefficients, found, verdicts, planes;
    uint64_t bytes; /* of the workspace */
} rbc__jpeg_layout;

/* Offsets for `count` inputs whose streams take `streams_bytes` together. Of the inputs only the
 * headers are looked at. False where something is too large for 32-bit numbers. */
bool rbc__jpeg_layout_measure(const rbc__jpeg_input *inputs, uint64_t count, uint64_t streams_bytes,
                              rbc__jpeg_layout *out);

/* Writes the description, layout->description_bytes long, to `out`. */
void rbc__jpeg_layout_describe(const rbc__jpeg_input *inputs, const rbc__jpeg_layout *layout,
                               unsigned char *out);

/* Addresses for the kernels, of a workspace that begins at `base`; the description, with the streams
 * behind it, may lie elsewhere. */
jpeg_launch rbc__jpeg_layout_launch(const rbc__jpeg_layout *layout,
                                    const unsigned char *description, unsigned char *base,
                                    bool is_fast);

#endif
