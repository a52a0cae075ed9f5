/* A dataset in memory that requests are made of: one part, two blobs, arrays. */
#ifndef RBC_TESTS_STORE_FIXTURE_H
#define RBC_TESTS_STORE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory_store.h"
#include "store/request.h"

enum {
    FLOATS,   /* float32 [3] */
    DOUBLES,  /* float64 [2], stored as float32 */
    INTEGERS, /* int64, stored as varints */
    SMALL,    /* uint8, stored as varints */
    SWAPPED,  /* int16 [2], big-endian */
    NPY,      /* float64 [2, 2], each an .npy array */
    TEXT,
    RAGGED,     /* float32, with row lengths */
    PIXELS,     /* images of uint16, [2, 3, 1] */
    FRAMES,     /* of tracks: uint8 [4, 6, 3] */
    UNREADABLE, /* unsupported */
    NUM_STREAMS
};

enum { BLOB_BYTES = 1 << 16, MAX_ARRAYS = 4, FRAME_BYTES = 4 * 6 * 3, RECORD = 7 };

typedef struct fixture {
    rbc__schema schema;
    rbc__stream_schema streams[NUM_STREAMS];
    rbc__layout_stream stored[NUM_STREAMS];
    uint8_t *blobs[2]; /* [BLOB_BYTES] each, what no test has put there is pseudo-random */
    memory_blob described[2];
    memory_store store;
    rbc__block_cache *cache;
    rbc__video_pool *videos;
    rbc__objects objects;
    rbc__bytes arrays[MAX_ARRAYS]; /* encoded, with their packing */
    uint32_t num_arrays;
    rbc__bytes tracks[MAX_ARRAYS]; /* encoded */
    uint32_t num_tracks;
    rbc__layout_writer writer;
    rbc__layout *layout;
    rbc__parsed_episode parsed;
    rbc__request *request;
} fixture;

/* cmocka's setup and teardown: `*state` is the fixture, whose layout is not there yet. */
int make_fixture(void **state);
int free_fixture(void **state);

/* Puts bytes into blob 0, and returns where: `at`. */
uint64_t put_bytes(fixture *f, uint64_t at, const void *data, size_t bytes);

/* Begins a layout of `num_steps`; runs, blocks and packings are added to f->writer. */
void begin_layout(fixture *f, uint64_t num_steps);
/* A run of even samples of blob 0. */
void add_even(fixture *f, uint32_t id, uint64_t count, uint64_t offset, uint64_t bytes,
              uint64_t stride);
/* A run of samples that are anywhere in blob 0. */
void add_spans(fixture *f, uint32_t id, const uint64_t (*spans)[2], uint64_t count);
/* Makes the request anew, of such parameters beside what the fixture has. */
void make_request(fixture *f, bool is_split, bool keeps_pictures);
/* Parses the layout, which is f->parsed's then; fails the test where that fails. */
void end_layout(fixture *f);

/* Reads and finishes what the request has; the failure of tag 0, or NULL. */
const rbc_error *run_request(fixture *f);
/* The same, which must succeed. */
void must_run(fixture *f);
/* Begins the request anew and reads samples [first, first + count), which must succeed. */
void read_values(fixture *f, int32_t stream, int64_t first, int64_t count, void *dst);
/* The same, which must fail: when it is added or when it is finished. */
rbc_error fail_values(fixture *f, int32_t stream, int64_t first, int64_t count, void *dst);

/* Want `want` of the request was a sample of blob 0, these bytes. */
void check_sample(fixture *f, uint32_t want, uint64_t offset, uint64_t bytes);

void assert_contains(const char *text, const char *part);

/* Packs with zlib; malloc'ed. */
uint8_t *zlib_pack(const void *data, size_t bytes, size_t *packed_bytes);

static inline rbc__packing one_step(uint32_t kind) {
    return (rbc__packing){1, {{kind, 0}}};
}

#endif
