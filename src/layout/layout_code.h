/* What writing and reading a layout share. Shared within src/layout. */
#ifndef RBC_LAYOUT_LAYOUT_CODE_H
#define RBC_LAYOUT_LAYOUT_CODE_H

#include "layout/layout.h"

#define RBC__LAYOUT_VERSION    2
#define RBC__LAYOUT_HAS_BLOCKS 0x80u /* in the byte of the version: packings and blocks follow */

/* Flags of a run: the form in the low two bits, then the container. */
#define RBC__RUN_CONTAINER_SHIFT 2
#define RBC__RUN_HAS_COUNT       0x20u
#define RBC__RUN_HAS_NUMBER      0x40u
#define RBC__RUN_HAS_MORE        0x80u

/* More flags. */
#define RBC__RUN_HAS_ENCODING 0x01u
#define RBC__RUN_HAS_PACKING  0x02u
#define RBC__RUN_HAS_SIZE     0x04u
#define RBC__RUN_HAS_GAP      0x08u
#define RBC__RUN_MORE         0x0fu

/* Differences as unsigned numbers that are small where the difference is; modulo 2^64. */
static inline uint64_t rbc__zigzag(uint64_t difference) {
    return difference << 1 ^ (difference >> 63 ? UINT64_MAX : 0);
}

static inline uint64_t rbc__zigzag_undo(uint64_t code) {
    return code >> 1 ^ (code & 1 ? UINT64_MAX : 0);
}

/* The bytes that the table of a run covers from its offset on: up to the end of the last sample, of
 * SPANS up to the end that is furthest. False where that is beyond 2^64. */
bool rbc__layout_table_extent(const rbc__run *run, uint64_t *bytes);

#endif
