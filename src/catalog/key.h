/* Keys of episodes in the catalog: the part's id in the upper half, the number within it below.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_KEY_H
#define RBC_CATALOG_KEY_H

#include <stdint.h>

#define RBC__MAX_PART_EPISODES (INT64_C(1) << 32)

static inline int64_t rbc__episode_key(int64_t part_id, int64_t number) {
    return part_id * RBC__MAX_PART_EPISODES + number;
}

#endif
