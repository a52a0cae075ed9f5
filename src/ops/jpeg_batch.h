/* Encoded images whose headers were read. */
#ifndef RBC_OPS_JPEG_BATCH_H
#define RBC_OPS_JPEG_BATCH_H

#include "backend.h"

struct rbc_jpeg_batch {
    rbc_jpeg_params params;
    int64_t count, room;
    rbc__jpeg_image
        *images; /* [room], those behind `count` without a meaning but for their memory */
    /* Where the streams are, if not on the host, and what stands for the host's copies of some. */
    const rbc__backend *backend;
    rbc__jpeg_streams streams;
    void *fetched;
    _Alignas(16) unsigned char kept[RBC__JPEG_KEPT_BYTES];
};

#endif
