/* What a request consists of. Shared within src/store. */
#ifndef RBC_STORE_WANTS_H
#define RBC_STORE_WANTS_H

#include "io/source.h"
#include "store/request.h"

/* What a catalog gives more bytes is damaged: it is not to be had memory for, which others would
 * then lack. Of a sample, as it is stored and unpacked, and of a packed block of so many bytes. */
#define RBC__MAX_SAMPLE_BYTES           ((size_t)1 << 30)
#define RBC__MAX_PACKED_BYTES(unpacked) (2 * (unpacked) + 65536)

/* A growing array. */
typedef struct rbc__list_of {
    void *items;
    size_t count, room;
} rbc__list_of;

/* Room for one item more, zeroed; NULL: no memory. */
void *rbc__list_add(rbc__list_of *list, size_t item_bytes);

/* Bytes of a blob, wanted as they lie. */
typedef struct rbc__range {
    int64_t blob;
    uint64_t offset, bytes;
    uint8_t *direct; /* they go here, and are not joined with others; NULL: into the arena */
    size_t at;       /* in the arena */
    rbc_status status;
    rbc_error *error; /* owned */
} rbc__range;

/* A block of the cache that is wanted, or a group of pictures of a track. */
typedef struct rbc__wanted_block {
    rbc__cached_block *pin;
    rbc__block_key key;
    rbc__packing packing;
    const rbc__track_object *track; /* NULL: a block */
    rbc__track_group group;
    rbc__image_shape shape; /* of its frames */
    int64_t blob;           /* where its packed bytes lie */
    uint64_t offset;
    uint64_t packed_bytes, unpacked_bytes;
    bool is_claimed;
    uint32_t range; /* of its packed bytes, where it is claimed */
    const uint8_t *data;
    size_t bytes;
    rbc_status status;
    rbc_error *error; /* owned */
} rbc__wanted_block;

typedef enum rbc__want_kind {
    RBC__WANT_SAMPLE, /* bytes of one sample, to point at */
    RBC__WANT_VALUES, /* numbers, to be converted to `dst` */
    RBC__WANT_ROWS,   /* rows of an array, to be gathered and converted to `dst` */
} rbc__want_kind;

typedef enum rbc__want_source {
    RBC__FROM_NOWHERE, /* there are no bytes, or they are where they go already */
    RBC__FROM_LAYOUT,
    RBC__FROM_RANGE,
    RBC__FROM_BLOCK,
} rbc__want_source;

typedef struct rbc__want {
    int32_t tag, rank;
    uint8_t kind, source;
    uint8_t encoding, stored, dtype;
    bool is_even;   /* all samples of one size */
    uint32_t index; /* of the range or block, or of the first block of an array's */
    uint32_t num_blocks;
    uint64_t offset;   /* in the range or block */
    uint64_t bytes;    /* of each sample, as stored */
    uint64_t stride;   /* from sample to sample */
    uint64_t count;    /* samples */
    uint64_t elements; /* of each */
    uint8_t *dst;
    const uint8_t *data;         /* FROM_LAYOUT; of a sample, once it is there */
    const rbc__packing *packing; /* that each sample is packed with; NULL: it is not */
    const rbc__value_map *map;   /* from numbers to values; NULL: they are the values */
    const rbc__array_object *array;
    const rbc__strings *strings; /* of which a text is a number; NULL: it is none */
    int64_t first;               /* number of the sample in the stream; rows: in the array */
    int64_t blob;                /* where it lies, for messages */
    uint64_t blob_offset;
    int32_t stream;
    int64_t record;
} rbc__want;

typedef struct rbc__request_failure_entry {
    int32_t tag, rank;
    rbc_error error;
} rbc__failure;

struct rbc__request {
    rbc__request_params params;
    rbc__unpacker *unpacker;
    int32_t tag, rank;
    rbc__list_of ranges, blocks, wants, failures, objects, reads, order;
    rbc__list_of unpacked_samples; /* owned: of images and texts that are packed by themselves */
    rbc__scratch arena, unpacked, gathered;
    size_t arena_used;
    bool is_planned;
    rbc__request_stats stats;
};

static inline rbc__want *rbc__request_want(const rbc__request *request, size_t index) {
    return (rbc__want *)request->wants.items + index;
}
static inline rbc__range *rbc__request_range(const rbc__request *request, size_t index) {
    return (rbc__range *)request->ranges.items + index;
}
static inline rbc__wanted_block *rbc__request_block(const rbc__request *request, size_t index) {
    return (rbc__wanted_block *)request->blocks.items + index;
}

/* frames.c. Decodes the group of pictures of `block` from its packed bytes to `dst`, all of them. */
rbc_status rbc__wanted_frames(const rbc__request *request, const rbc__wanted_block *block,
                              const uint8_t *packed, uint8_t *dst, const atomic_bool *cancel,
                              rbc_error *err);

/* unpack.c. Every block that is wanted: those that are claimed from the bytes read, others from who
 * has them, waited for until `*cancel`. Each says how it went. */
void rbc__request_unpack(rbc__request *request, const atomic_bool *cancel);

/* Notes the failure of a want, unless one of a lower rank is noted. */
void rbc__request_fail(rbc__request *request, const rbc__want *want, const rbc_error *problem);

#endif
