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

/* A block of the cache that is wanted, or packets of a track that are shared like one. */
typedef struct rbc__wanted_block {
    rbc__cached_block *pin;
    rbc__block_key key;
    rbc__packing packing;
    int64_t blob; /* where its packed bytes lie */
    uint64_t offset;
    uint64_t packed_bytes, unpacked_bytes;
    uint32_t claim; /* 0: it is not claimed */
    uint32_t range; /* of its packed bytes, where it is claimed */
    const uint8_t *data;
    size_t bytes;
    rbc_status status;
    rbc_error *error; /* owned */
} rbc__wanted_block;

/* Where packets of a group lie: a block of the request. */
typedef struct rbc__group_source {
    uint32_t block;         /* its number in the request */
    uint32_t number;        /* of the track's block, or of the blob */
    bool in_block;          /* packets lie in what it holds unpacked */
    uint64_t offset, bytes; /* else: in the blob */
} rbc__group_source;

/* A group of pictures of which frames are wanted. Where pictures are kept they are cut into segments,
 * each a block of the cache, and this is one of them. */
typedef struct rbc__wanted_group {
    const rbc__track_object *track;
    int64_t part;
    uint32_t track_number;
    int64_t number; /* of the group in the track */
    rbc__track_group group;
    rbc__image_shape shape; /* of its frames */
    uint64_t frame_bytes;
    rbc__cached_block *pin;     /* of the pictures; NULL: they are not kept */
    int64_t first, num_kept;    /* positions of the frames in the segment */
    size_t source, num_sources; /* none where the pictures are there already */
    int64_t blob;               /* where its first packet lies, for messages */
    uint64_t offset;
    uint32_t last_want;      /* of those of its frames, UINT32_MAX: none */
    const uint8_t *pictures; /* [num_kept][frame_bytes], once they are there */
    rbc_status status;
    rbc_error *error; /* owned */
} rbc__wanted_group;

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
    RBC__FROM_GROUP,
} rbc__want_source;

typedef struct rbc__want {
    int32_t tag, rank;
    uint8_t kind, source;
    uint8_t encoding, stored, dtype;
    bool is_even;   /* all samples of one size */
    uint32_t index; /* of the range, block or group, or of the first block of an array's */
    uint32_t num_blocks;
    uint32_t next_want; /* another of its group, UINT32_MAX: none */
    uint64_t offset;    /* in the range or block; of a frame its position in the group */
    uint64_t bytes;     /* of each sample, as stored */
    uint64_t stride;    /* from sample to sample */
    uint64_t count;     /* samples */
    uint64_t elements;  /* of each */
    uint8_t *dst;
    const uint8_t *data;         /* FROM_LAYOUT; of a sample, once it is there */
    const rbc_error *problem;    /* of a frame that failed where others of its group did not */
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
    const atomic_bool *cancel; /* that claims are given up by; NULL: never */
    rbc__list_of ranges, blocks, groups, sources, wants, failures, objects, reads, order;
    bool has_lost_failures; /* there was no memory to note whose they are */
    /* Owned: images and texts that were packed by themselves, frames, and why one failed. */
    rbc__list_of made_samples;
    rbc__scratch arena, unpacked, gathered;
    size_t arena_used;
    bool is_planned;
    rbc__request_stats stats;
    rbc__timeline *timeline; /* its own, or that of whoever shares his */
    rbc__timeline own_timeline;
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

static inline rbc__wanted_group *rbc__request_group(const rbc__request *request, size_t index) {
    return (rbc__wanted_group *)request->groups.items + index;
}

/* frames.c. The frames that are wanted, once all blocks are there: each group says how it went. */
void rbc__request_decode(rbc__request *request, const atomic_bool *cancel);

/* reads_apart.c. Has the store read, and hears interrupts meanwhile where the request is to. */
void rbc__request_store_read(rbc__request *request, rbc__read *reads, size_t count,
                             const atomic_bool *cancel);

/* unpack.c. Every block that is wanted: those that are claimed from the bytes read, others from who
 * has them, waited for until `*cancel`. Each says how it went. */
void rbc__request_unpack(rbc__request *request, const atomic_bool *cancel);

/* Notes the failure of a want, unless one of a lower rank is noted. */
void rbc__request_fail(rbc__request *request, const rbc__want *want, const rbc_error *problem);

#endif
