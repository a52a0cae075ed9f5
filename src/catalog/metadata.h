/* Metadata of episodes, JSON objects, kept in groups: each text has its length before it as a
 * varint, and the group is compressed, behind the size that it had. Shared within src/catalog. */
#ifndef RBC_CATALOG_METADATA_H
#define RBC_CATALOG_METADATA_H

#include <robocache/robocache.h>

#include "io/bytes.h"

/* A group begins with every so many episodes of a part, and within those with the episode behind so
 * many bytes of texts: reading one episode's unpacks a group. See metadata_reader.h. */
#define RBC__METADATA_GROUP 64
#define RBC__METADATA_BYTES (128 << 10)

/* Appends the text of the next episode of a group: NULL stands for none. */
void rbc__metadata_put(rbc__bytes *group, const char *json);
/* Appends the compressed group to `out`. */
rbc_status rbc__metadata_pack(const rbc__bytes *group, rbc__bytes *out, rbc_error *err);
/* The texts of a compressed group, in `bytes` of malloc'ed memory. FORMAT: it is damaged. */
rbc_status rbc__metadata_unpack(const uint8_t *packed, size_t packed_bytes, uint8_t **group,
                                uint64_t *bytes, rbc_error *err);
/* Text number `index` of a group, "{}" for none; it ends with no NUL. FORMAT: it is damaged. */
rbc_status rbc__metadata_find(const uint8_t *group, uint64_t bytes, int64_t index,
                              const char **json, size_t *json_bytes, rbc_error *err);

#endif
