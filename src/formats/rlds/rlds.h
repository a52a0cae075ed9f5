/* The reader of RLDS datasets: TFRecord files whose records are episodes, as TFDS and dlimp write
 * them. Shared within src/formats/rlds. */
#ifndef RBC_FORMATS_RLDS_RLDS_H
#define RBC_FORMATS_RLDS_RLDS_H

#include "formats/format.h"
#include "formats/rlds/features.h"
#include "formats/rlds/keys.h"
#include "io/source.h"
#include "layout/layout.h"

/* Streams are the first num_streams leaves, in their order. Constant after open. */
typedef struct rbc__rlds {
    rbc__leaves leaves;
    rbc__keys keys;
    rbc__layout_stream *stored; /* [num_streams] */
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

#endif
