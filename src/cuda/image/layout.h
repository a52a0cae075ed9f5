/* Where everything that a batch of images needs on the device lies, and its description for the
 * kernels. */
#ifndef RBC_CUDA_IMAGE_LAYOUT_H
#define RBC_CUDA_IMAGE_LAYOUT_H

#include "backend.h"
#include "cuda/image/image_params.h"

/* Offsets in the workspace, which begins with room for the description. */
typedef struct rbc__image_layout {
    uint64_t table; /* in the description, behind the items */
    uint64_t description_bytes;
    uint64_t axes; /* of the items, one behind the other; so are the others */
    uint64_t grey;
    uint64_t made;
    uint64_t bytes;
    uint32_t axis_blocks, tile_blocks, pixel_blocks; /* of the item that has most */
    bool has_contrast;                               /* of some item */
} rbc__image_layout;

/* Of the items, pixels and outputs are not looked at. */
void rbc__image_layout_measure(const rbc__image_job *job, rbc__image_layout *out);

/* Writes the description, of a workspace that begins at `base`. */
void rbc__image_layout_describe(const rbc__image_job *job, const rbc__image_layout *layout,
                                unsigned char *base, unsigned char *out);

/* The launch of kernels whose items have `blocks` each. */
image_launch rbc__image_layout_launch(const rbc__image_job *job, const rbc__image_layout *layout,
                                      const unsigned char *description, uint32_t blocks);

#endif
