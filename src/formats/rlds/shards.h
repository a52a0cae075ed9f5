/* TFRecord shards being written, in a hidden folder beside their destination, where they go when
 * all is there. */
#ifndef RBC_FORMATS_RLDS_SHARDS_H
#define RBC_FORMATS_RLDS_SHARDS_H

#include <stdbool.h>

#include "formats/rlds/dataset_info.h"

typedef struct rbc__shards rbc__shards;

/* Makes <path>/<name>/.<version>.incomplete-N, and the folders above. INVALID_ARGUMENT when
 * <path>/<name>/<version> exists, unless `may_append`; IO. */
rbc_status rbc__shards_create(const char *path, const char *name, const char *version,
                              uint64_t shard_bytes, bool may_append, rbc__shards **out,
                              rbc_error *err);
/* Removes what has not been published. */
void rbc__shards_destroy(rbc__shards **shards);

const char *rbc__shards_folder(const rbc__shards *shards);
/* The dataset that is added to, NULL when there was none. */
const char *rbc__shards_replaced(const rbc__shards *shards);

/* Begins with the shards of that dataset, which `info` describes, as links to its files. IO. */
rbc_status rbc__shards_adopt(rbc__shards *shards, const rbc__dataset_info *info, rbc_error *err);

/* IO; the records before stay, and the next call may succeed. */
rbc_status rbc__shards_append(rbc__shards *shards, const char *split, const void *payload,
                              uint64_t bytes, rbc_error *err);

/* Flushes and closes all shards and gives them their names. The splits go to `info`, without name
 * and version, and the sizes of their payloads to `*num_bytes` (malloc'ed). INVALID_ARGUMENT when
 * there is no record at all; IO. */
rbc_status rbc__shards_finish(rbc__shards *shards, rbc__dataset_info *info, uint64_t **num_bytes,
                              rbc_error *err);

/* Moves the folder to its destination, in exchange for the dataset that was added to. IO, also when
 * that has been replaced in the meantime. */
rbc_status rbc__shards_publish(rbc__shards *shards, rbc_error *err);

#endif
