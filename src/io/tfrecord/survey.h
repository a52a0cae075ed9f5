/* Finding out how the values of one feature lie in a record, once, when it is indexed. */
#ifndef RBC_IO_TFRECORD_SURVEY_H
#define RBC_IO_TFRECORD_SURVEY_H

#include "io/tfrecord/layout.h"

/* Zero-initialise, set the payload for each record, release with rbc__survey_free(). */
typedef struct rbc__survey {
    rbc__wire payload;
    rbc__bytes tables; /* of INDEX and SPANS places; emptied by the caller for each record */
    rbc__bytes spans;  /* of the bytes entries of one feature, while they are looked at */
} rbc__survey;

void rbc__survey_free(rbc__survey *survey);

/* Describes the values of `leaf` in the Feature message [offset, offset + bytes): form, place and
 * number of samples. FORMAT, naming file, byte and stream, when the feature is of another kind than
 * declared or its values do not make whole samples. */
rbc_status rbc__survey_values(rbc__survey *survey, const rbc__leaf *leaf, uint64_t offset,
                              uint64_t bytes, rbc__place *out, rbc_error *err);

/* Describes the row lengths of ragged `leaf`; `*total` is their sum. */
rbc_status rbc__survey_rows(rbc__survey *survey, const rbc__leaf *leaf, uint64_t offset,
                            uint64_t bytes, rbc__place *out, uint64_t *total, rbc_error *err);

/* Describes a feature of the metadata, after checking its kind. */
rbc_status rbc__survey_metadata(rbc__survey *survey, const rbc__leaf *leaf, uint64_t offset,
                                uint64_t bytes, rbc__place *out, rbc_error *err);

#endif
