/* An episode whose layout has been parsed. */
#ifndef RBC_FORMATS_RLDS_PARSED_EPISODE_H
#define RBC_FORMATS_RLDS_PARSED_EPISODE_H

#include "formats/rlds/rlds.h"

struct rbc__parsed_episode {
    const rbc__rlds *reader;
    rbc__source *source;
    int64_t index;          /* of the record in its file */
    uint64_t offset, bytes; /* of the payload in the file */
    uint64_t num_steps;
    rbc__layout_span *spans; /* [num_ids] */
    void **walked;           /* [num_ids] or NULL: what going through a WALK has found */
};

/* Points `out` at [offset, offset + bytes) of the payload. */
rbc_status rbc__parsed_episode_view(rbc__parsed_episode *episode, uint64_t offset, uint64_t bytes,
                                    rbc__scratch *scratch, const uint8_t **out, rbc_error *err);

/* Opens the Feature message of a WALK span. The list reads from `scratch`. */
rbc_status rbc__parsed_episode_list(rbc__parsed_episode *episode, const rbc__layout_span *span,
                                    rbc__scratch *scratch, rbc__list *out, rbc_error *err);

#endif
