/* Finding out how the values of one feature lie in a record, once, when it is indexed. */
#ifndef RBC_FORMATS_RLDS_MEASURE_H
#define RBC_FORMATS_RLDS_MEASURE_H

#include "formats/rlds/layout.h"

/* Zero-initialise, set the payload for each record, release with rbc__measure_free(). */
typedef struct rbc__measure {
    rbc__wire payload;
    rbc__bytes tables; /* of spans of form INDEX and SPANS; emptied by the caller for each record */
    rbc__bytes entry_spans; /* of the bytes entries of one feature, while they are looked at */
} rbc__measure;

void rbc__measure_free(rbc__measure *measure);

/* Describes the values of `leaf` in the Feature message [offset, offset + bytes): form, span and
 * number of samples. FORMAT, naming file, byte and stream, when the feature is of another kind than
 * declared or its values do not make whole samples. */
rbc_status rbc__measure_values(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                               uint64_t bytes, rbc__layout_span *out, rbc_error *err);

/* Describes the row lengths of ragged `leaf`; `*total` is their sum. */
rbc_status rbc__measure_rows(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                             uint64_t bytes, rbc__layout_span *out, uint64_t *total,
                             rbc_error *err);

/* Describes a feature of the metadata, after checking its kind. */
rbc_status rbc__measure_metadata(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                                 uint64_t bytes, rbc__layout_span *out, rbc_error *err);

#endif
