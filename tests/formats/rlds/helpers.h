/* Making TFRecord files by hand, and catching what indexing finds in them. */
#ifndef RBC_TESTS_IO_HELPERS_H
#define RBC_TESTS_IO_HELPERS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/format.h"
#include "io/bytes.h"
#include "io/source.h"
#include "store/request.h"

/* A fresh folder, and its removal with everything in it. */
void make_folder(char path[64]);
void remove_folder(const char *path);

/* Writes <folder>/<name>, whose folders are made. */
void write_file(const char *folder, const char *name, const void *data, size_t bytes);
void write_text(const char *folder, const char *name, const char *text);

/* An RGB PNG of some pattern, malloc'ed. */
void *make_png(uint32_t height, uint32_t width, uint64_t *num_bytes);

/* ---- messages; `bytes` grows ---- */

void put_len(rbc__bytes *bytes, unsigned field, const void *data, size_t size);
/* One entry of an Example's feature map: a list of kind 1 (bytes), 2 (float) or 3 (int64), given as
 * the bytes of the list message. */
void put_feature(rbc__bytes *features, const char *key, unsigned kind, const rbc__bytes *list);
void put_floats(rbc__bytes *features, const char *key, const float *values, size_t count);
void put_ints(rbc__bytes *features, const char *key, const int64_t *values, size_t count);
void put_strings(rbc__bytes *features, const char *key, const char *const *values, size_t count);
/* An entry of a bytes_list: the bytes packed with zlib. Returns how many it takes. */
size_t put_zlib(rbc__bytes *list, const void *data, size_t bytes);
/* Wraps the map entries of `features` into an Example and appends it to `file` as a record; empties
 * `features`. Returns the offset of the payload. */
size_t put_record(rbc__bytes *file, rbc__bytes *features);
/* Appends any payload as a record. */
size_t put_payload(rbc__bytes *file, const void *payload, size_t bytes);

/* ---- datasets ---- */

/* A features.json whose steps and whose other features are the given members of JSON objects. */
char *features_json(const char *steps, const char *others);
/* Such members. `shape` is "" or "\"7\"" or "\"2\", \"3\"". */
#define TENSOR(name, dtype, shape)                                                                 \
    "\"" name "\": {\"tensor\": {\"shape\": {\"dimensions\": [" shape "]}, \"dtype\": \"" dtype    \
    "\", \"encoding\": \"none\"}}"
#define ZLIB_TENSOR(name, dtype, shape)                                                            \
    "\"" name "\": {\"tensor\": {\"shape\": {\"dimensions\": [" shape "]}, \"dtype\": \"" dtype    \
    "\", \"encoding\": \"zlib\"}}"
#define TEXT(name) "\"" name "\": {\"text\": {}}"
#define IMAGE(name)                                                                                \
    "\"" name "\": {\"image\": {\"shape\": {\"dimensions\": [\"4\", \"4\", \"3\"]}, \"dtype\": "   \
    "\"uint8\", \"encodingFormat\": \"png\"}}"
#define SEQUENCE(name, feature, length)                                                            \
    "\"" name "\": {\"sequence\": {\"feature\": {" feature "}, \"length\": \"" length "\"}}"

/* What indexing one file has found. */
typedef struct caught {
    rbc__episode_entry episodes[64]; /* task, metadata and layout are copies */
    int num_episodes;
    rbc_error damaged[64];
    int64_t damaged_records[64];
    int num_damaged;
    uint64_t progress;
    bool raise; /* the first damaged record ends the indexing */
    bool cancel;
} caught;

rbc__index_sink catch_all(caught *out);
void release(caught *out);

/* A dataset in a folder, opened by the reader's interface. */
typedef struct dataset {
    const rbc__format *ops;
    rbc__reader *reader;
    const rbc__schema *schema;
    caught found;        /* of part 0 */
    rbc__source *source; /* its file */
    rbc__store *store;
} dataset;

/* Opens the dataset and indexes part 0; fails the test where that fails. */
void open_dataset(dataset *data, const char *path);
void close_dataset(dataset *data);
/* Opens its store, as open_dataset() does. */
void open_store(dataset *data);
int32_t stream_of(const dataset *data, const char *name);

/* ---- episodes ---- */

typedef struct parsed_episode parsed_episode;

/* An episode of part 0 of `schema`, whose blobs `store` has; both outlive it. */
rbc_status parse_episode(const rbc__schema *schema, rbc__store *store,
                         const rbc__episode_entry *entry, parsed_episode **out, rbc_error *err);
/* One that was found; fails the test where its layout cannot be parsed. */
parsed_episode *parsed_of(dataset *data, int episode);
void parsed_close(parsed_episode **episode);

/* Samples of a stream, and, unless it is NULL, those of each step. */
rbc_status parsed_count(parsed_episode *episode, int32_t stream, int64_t *samples,
                        int64_t *row_lengths, rbc_error *err);
rbc_status parsed_read(parsed_episode *episode, int32_t stream, int64_t first, int64_t count,
                       void *dst, rbc_error *err);
/* An image or text: where it lies and its bytes, which stay until the next call. */
rbc_status parsed_locate(parsed_episode *episode, int32_t stream, int64_t sample, rbc__sample *out,
                         rbc_error *err);

/* A dataset "toy" of one shard in `folder`, with features.json and no dataset_info.json. */
void write_dataset(const char *folder, const char *features, const rbc__bytes *file);

/* Fails the test unless `text` contains `part`. */
void assert_contains(const char *text, const char *part);

#endif
