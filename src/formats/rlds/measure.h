/* Finding out how the values of one feature lie in a record, once, when it is indexed. */
#ifndef RBC_FORMATS_RLDS_MEASURE_H
#define RBC_FORMATS_RLDS_MEASURE_H

#include "formats/rlds/features.h"
#include "layout/layout.h"

/* A run of a record's layout. Offsets count from the payload until rbc__measure_finish(). */
typedef struct rbc__measured_run {
    rbc__run run;
    size_t table_at;      /* of its table, or the bytes themselves, in `tables` */
    uint64_t num_varints; /* not 0: the run is in a block of so many varints, `run.bytes` long */
} rbc__measured_run;

/* Zero-initialise, set the payload and call rbc__measure_begin() for each record, release with
 * rbc__measure_free(). */
typedef struct rbc__measure {
    rbc__wire payload;
    rbc__bytes runs;        /* of rbc__measured_run */
    rbc__bytes tables;      /* that they have */
    rbc__bytes entry_spans; /* of the bytes entries of one feature, while they are looked at */
} rbc__measure;

void rbc__measure_begin(rbc__measure *measure);
void rbc__measure_free(rbc__measure *measure);

/* How samples of `leaf` are stored. */
void rbc__measure_describe(const rbc__leaf *leaf, rbc__layout_stream *out);

/* Adds the runs of the values of `leaf`, with id `id`, in the Feature message [offset, offset +
 * bytes); `*samples` of them. FORMAT, naming file, byte and stream, when the feature is of another
 * kind than declared or its values do not make whole samples. */
rbc_status rbc__measure_values(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                               uint64_t offset, uint64_t bytes, uint64_t *samples, rbc_error *err);

/* The same of the row lengths of ragged `leaf`; `*row_count` of them, `*total` is their sum. With
 * `is_fixed` they are only checked. */
rbc_status rbc__measure_rows(rbc__measure *measure, const rbc__leaf *leaf, uint32_t id,
                             bool is_fixed, uint64_t offset, uint64_t bytes, uint64_t *row_count,
                             uint64_t *total, rbc_error *err);

/* Adds samples that take no bytes. */
void rbc__measure_nothing(rbc__measure *measure, uint32_t id, uint64_t samples);

/* Checks a feature of the metadata. */
rbc_status rbc__measure_metadata(rbc__measure *measure, const rbc__leaf *leaf, uint64_t offset,
                                 uint64_t bytes, rbc_error *err);

/* Writes all runs into a layout that has begun, in the order in which they lie. */
rbc_status rbc__measure_finish(rbc__measure *measure, rbc__layout_writer *writer, rbc_error *err);

#endif
