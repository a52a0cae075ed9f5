/* The reader of RLDS datasets: TFRecord files whose records are episodes, as TFDS and dlimp write
 * them. Shared within src/formats/rlds. */
#ifndef RBC_FORMATS_RLDS_RLDS_H
#define RBC_FORMATS_RLDS_RLDS_H

#include "formats/format.h"
#include "formats/rlds/features.h"
#include "formats/rlds/keys.h"
#include "formats/rlds/layout.h"

/* Streams are the first num_streams leaves, in their order. Constant after open. */
typedef struct rbc__rlds {
    rbc__leaves leaves;
    rbc__keys keys;
    uint32_t fingerprint;
    rbc__schema schema;
    int32_t *task_leaves; /* text leaves that may tell the task, in the order they are asked */
    int32_t num_task_leaves;
    char *path;
} rbc__rlds;

/* A reader without files over `leaves`, which it takes, also on failure. */
rbc_status rbc__rlds_create(const char *path, rbc__leaves *leaves, rbc__rlds **out, rbc_error *err);
void rbc__rlds_destroy(rbc__rlds **reader);

/* Indexes one file's source; `num_records` as declared, -1 when it is not. */
rbc_status rbc__rlds_index(const rbc__rlds *reader, rbc__source *source, int64_t num_records,
                           const rbc__index_sink *sink, rbc_error *err);

/* The functions of rbc__format that work on a parsed episode. */
rbc_status rbc__rlds_episode_open(const rbc__reader *reader, rbc__source *source,
                                  const rbc__episode_entry *entry, rbc__parsed_episode **out,
                                  rbc_error *err);
void rbc__rlds_episode_close(rbc__parsed_episode **episode);
rbc_status rbc__rlds_count(rbc__parsed_episode *episode, int32_t stream, int64_t *num_samples,
                           int64_t *row_lengths, rbc_error *err);
rbc_status rbc__rlds_read(rbc__parsed_episode *episode, int32_t stream, int64_t first,
                          int64_t count, void *dst, rbc__scratch *scratch, rbc_error *err);
rbc_status rbc__rlds_locate(rbc__parsed_episode *episode, int32_t stream, int64_t sample,
                            uint64_t *offset, uint64_t *bytes, rbc_error *err);
rbc_status rbc__rlds_metadata(rbc__parsed_episode *episode, rbc__scratch *scratch, char **json,
                              rbc_error *err);

#endif
