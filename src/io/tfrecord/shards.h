/* TFRecord shards being written, in a hidden folder beside the place they go to when all is there.
 */
#ifndef RBC_IO_TFRECORD_SHARDS_H
#define RBC_IO_TFRECORD_SHARDS_H

#include "io/tfrecord/dataset_info.h"

typedef struct rbc__shards rbc__shards;

/* Makes <path>/<name>/.<version>.incomplete-N, and the folders above. INVALID_ARGUMENT when
 * <path>/<name>/<version> exists; IO. */
rbc_status rbc__shards_create(const char *path, const char *name, const char *version,
                              uint64_t shard_bytes, rbc__shards **out, rbc_error *err);
/* Removes what has not been published. */
void rbc__shards_destroy(rbc__shards **shards);

const char *rbc__shards_folder(const rbc__shards *shards);

rbc_status rbc__shards_append(rbc__shards *shards, const char *split, const void *payload,
                              uint64_t bytes, rbc_error *err);

/* Flushes and closes all shards and gives them their names. The splits go to `info`, without name
 * and version, and the sizes of their payloads to `*num_bytes` (malloc'ed). INVALID_ARGUMENT when
 * there is no record at all; IO. */
rbc_status rbc__shards_finish(rbc__shards *shards, rbc__dataset_info *info, uint64_t **num_bytes,
                              rbc_error *err);

/* Moves the folder to its place. IO. */
rbc_status rbc__shards_publish(rbc__shards *shards, rbc_error *err);

#endif
