/* Where the samples of an episode lie in its record, in few bytes.
 *
 * Each leaf of the feature tree, and the row lengths of each ragged stream, has an id: leaf i has
 * id i, its row lengths have id count + i. What lies in the record under an id is a span. A layout
 * is: u8 version, u32 fingerprint of the leaves, varint number of steps, then the spans in the
 * order of the record:
 *
 *   varint id, u8 form | parameter << 4, [varint samples, for the values of ragged streams],
 *   varint offset, counted from the end of the span before, and by form
 *     VALUES   nothing            parameter: dtype of the elements
 *     VARINTS  nothing            parameter: bytes of each, all alike
 *     ENTRIES  varint bytes       of each bytes entry, all alike
 *     INDEX    samples × end      parameter: width of an end in bytes
 *     SPANS    samples × (offset, bytes)    parameter: width of each
 *     WALK     varint bytes       of the Feature message, to be gone through when it is needed
 *
 * so that any sample but those of a WALK is found by arithmetic on the layout alone. */
#ifndef RBC_FORMATS_RLDS_LAYOUT_H
#define RBC_FORMATS_RLDS_LAYOUT_H

#include "formats/rlds/features.h"
#include "io/bytes.h"

typedef enum rbc__form {
    RBC__FORM_NONE = 0, /* nothing is stored */
    RBC__FORM_VALUES = 1,
    RBC__FORM_VARINTS = 2,
    RBC__FORM_ENTRIES = 3, /* bytes entries that follow each other with headers of the usual form */
    RBC__FORM_INDEX = 4,   /* the same, or runs of varints, each sample of its own size */
    RBC__FORM_SPANS = 5,   /* bytes entries lying anyhow */
    RBC__FORM_WALK = 6,
} rbc__form;

typedef struct rbc__layout_span {
    uint32_t id;
    uint8_t form;      /* rbc__form */
    uint8_t parameter; /* see above */
    uint64_t samples;
    uint64_t offset;      /* in the payload; INDEX and SPANS count from here */
    uint64_t bytes;       /* from `offset` to the end of the last sample */
    uint64_t entry_bytes; /* ENTRIES: of each entry, its header left out */
    const uint8_t *table; /* INDEX, SPANS: in the layout */
    uint64_t table_at;    /* the same while a layout is being built: in its buffer of tables */
} rbc__layout_span;

static inline uint32_t rbc__layout_num_ids(const rbc__leaves *leaves) {
    return (uint32_t)(leaves->count + leaves->num_streams);
}

/* Appends a layout to `out`. Sorts `spans`; those of form NONE are left out. */
rbc_status rbc__layout_encode(const rbc__leaves *leaves, uint32_t fingerprint, uint64_t num_steps,
                              rbc__layout_span *spans, size_t count, const rbc__bytes *tables,
                              rbc__bytes *out, rbc_error *err);

/* Parses a layout into `spans` [num_ids], zeroed by the caller, which point into `layout`. Every
 * span is checked to lie in a record of `record_bytes`. FORMAT when it is damaged or belongs to
 * another features.json; `name` begins the message. */
rbc_status rbc__layout_decode(const rbc__leaves *leaves, uint32_t fingerprint,
                              const uint8_t *layout, size_t layout_bytes, uint64_t record_bytes,
                              const char *name, rbc__layout_span *spans, uint64_t *num_steps,
                              rbc_error *err);

/* INDEX and SPANS: the bytes of sample `sample` < samples, in the payload, headers included for
 * INDEX. False when the table is damaged: they would not lie in the span. */
bool rbc__layout_span_sample(const rbc__layout_span *span, uint64_t sample, uint64_t *offset,
                             uint64_t *bytes);

/* The entry in the `bytes` of a header and entry; false when no header gives that sum. */
bool rbc__entry_size(uint64_t bytes, uint64_t *entry_bytes);

#endif
