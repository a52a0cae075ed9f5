/* Walking a tf.train.Example in place.
 *
 * Example { Features features = 1 }; Features { map<string, Feature> feature = 1 }; Feature is one
 * of BytesList 1, FloatList 2, Int64List 3, each with `repeated value = 1`. Of two features of the
 * same key the later counts, as in protobuf; of two lists of different kind in one feature the
 * later counts, of the same kind they are joined. */
#ifndef RBC_FORMATS_RLDS_EXAMPLE_H
#define RBC_FORMATS_RLDS_EXAMPLE_H

#include "formats/rlds/wire.h"

typedef enum rbc__list_kind {
    RBC__LIST_NONE = 0, /* a feature without a list: no values */
    RBC__LIST_BYTES = 1,
    RBC__LIST_FLOAT = 2,
    RBC__LIST_INT64 = 3,
} rbc__list_kind;

const char *rbc__list_kind_name(rbc__list_kind kind); /* "float_list" */

/* One entry of the map: where its key and its Feature message lie in the payload. */
typedef struct rbc__feature {
    const char *key; /* in the payload, not terminated */
    uint64_t key_bytes;
    uint64_t offset, bytes; /* of the Feature message */
} rbc__feature;

/* Calls `found` for each entry in the order of the payload; a failure of `found` ends the walk. */
typedef rbc_status (*rbc__feature_fn)(void *user, const rbc__feature *feature, rbc_error *err);
rbc_status rbc__example_walk(const rbc__wire *payload, rbc__feature_fn found, void *user,
                             rbc_error *err);

/* The lists of one Feature, chunk by chunk. */
typedef struct rbc__list {
    rbc__wire feature; /* list messages still to come */
    rbc__wire values;  /* rest of the list message at hand */
    rbc__list_kind kind;
} rbc__list;

/* Some values of a list: one entry of a bytes_list, or a run of packed values, or one unpacked. */
typedef struct rbc__chunk {
    uint64_t start;         /* of the tag, in the payload */
    uint64_t offset, bytes; /* of the values */
} rbc__chunk;

/* Begins at the Feature message [offset, offset + bytes) of `payload`, and finds its kind. */
rbc_status rbc__list_open(const rbc__wire *payload, uint64_t offset, uint64_t bytes, rbc__list *out,
                          rbc_error *err);

/* The next chunk, with `*more` set, or `*more` cleared at the end. FORMAT for values of a wire type
 * that the kind does not have and packed floats of a size that is no multiple of four. */
rbc_status rbc__list_next(rbc__list *list, rbc__chunk *out, bool *more, rbc_error *err);

/* Counts the varints of [offset, offset + bytes): `*count` and, where all have the same length,
 * that length in `*stride`, else 0. FORMAT where one is cut short or longer than 10 bytes. */
rbc_status rbc__varints_measure(const rbc__wire *payload, uint64_t offset, uint64_t bytes,
                                uint64_t *count, uint32_t *stride, rbc_error *err);

/* Decodes the values of an int64_list or float_list into `dst`, which has room for exactly `count`;
 * FORMAT when there are more or fewer. */
rbc_status rbc__list_ints(rbc__list *list, int64_t *dst, uint64_t count, rbc_error *err);
rbc_status rbc__list_floats(rbc__list *list, float *dst, uint64_t count, rbc_error *err);

#endif
