/* What a record says of its episode, as a JSON object. */
#ifndef RBC_FORMATS_RLDS_METADATA_H
#define RBC_FORMATS_RLDS_METADATA_H

#include "formats/rlds/features.h"

typedef struct rbc__metadata rbc__metadata;

rbc_status rbc__metadata_create(rbc__metadata **out, rbc_error *err);
void rbc__metadata_destroy(rbc__metadata **metadata);

/* Adds `leaf`, whose values are in the Feature message [offset, offset + bytes) of `payload`. */
rbc_status rbc__metadata_add(rbc__metadata *metadata, const rbc__wire *payload,
                             const rbc__leaf *leaf, uint64_t offset, uint64_t bytes,
                             rbc_error *err);

/* The object; malloc'ed, the caller frees it. */
rbc_status rbc__metadata_text(const rbc__metadata *metadata, char **json, rbc_error *err);

#endif
