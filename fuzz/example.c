/* Fuzzes the walk over a record and everything that is reached through what it finds.
 *
 * The first byte of an input says what the rest is:
 *   0  an Example, of a dataset that has every kind of feature
 *   1  an Example of a dataset without features.json
 *   2  a TFRecord file, CRCs included
 *   3  a layout, as a catalog would hold it, of a record that is the rest of the input
 */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "formats/rlds/dlimp.h"
#include "formats/rlds/framing.h"
#include "formats/rlds/rlds.h"
#include "io/bytes.h"

#define TENSOR(name, dtype, dimensions)                                                            \
    "\"" name "\":{\"tensor\":{\"shape\":{\"dimensions\":[" dimensions "]},\"dtype\":\"" dtype     \
    "\"}}"
#define SEQUENCE(name, feature, length)                                                            \
    "\"" name "\":{\"sequence\":{\"feature\":{" feature "},\"length\":\"" length "\"}}"

static const char features[] =
    "{\"featuresDict\":{\"features\":{\"steps\":{\"sequence\":{\"feature\":{\"featuresDict\":{"
    "\"features\":{" TENSOR("f", "float32", "\"2\"") "," TENSOR("d", "float64", "") "," TENSOR("h", "float16", "") "," TENSOR("b", "bool", "") "," TENSOR(
        "i", "int64",
        "") "," TENSOR("i_time_ns", "int64",
                       "") "," TENSOR("u", "uint8",
                                      "\"70\"") "," TENSOR("s", "int16",
                                                           "") ",\"r\":{\"tensor\":{\"shape\":{"
                                                               "\"dimensions\":[\"2\"]},\"dtype\":"
                                                               "\"int32\",\"encoding\":"
                                                               "\"bytes\"}},\"p\":{\"image\":{"
                                                               "\"encodingFormat\":\"png\"}},"
                                                               "\"lang\":{\"text\":{}}," SEQUENCE(
                                                                   "c",
                                                                   "\"tensor\":{\"shape\":{"
                                                                   "\"dimensions\":[\"3\"]},"
                                                                   "\"dtype\":\"float32\"}",
                                                                   "-1") "," SEQUENCE("c_time_ns",
                                                                                      "\"tensor\":{"
                                                                                      "\"dtype\":"
                                                                                      "\"int64\"}",
                                                                                      "-1") "," SEQUENCE("x",
                                                                                                         "\"tensor\":{\"dtype\":\"int8\"}",
                                                                                                         "2") "," SEQUENCE("g",
                                                                                                                           "\"image\":{}",
                                                                                                                           "-1") "}}},\"length\":\"-1\"}},\"m\":{\"text\":{}},\"n\":"
                                                                                                                                 "{\"tensor\":{\"shape\":{\"dimensions\":["
                                                                                                                                 "\"-1\",\"2\"]},\"dtype\":\"float32\"}},\"k\":{\"sequence\":{\"feature\":{\"tensor\":{"
                                                                                                                                 "\"dtype\":\"bool\"}}}}}}}";

static rbc__rlds *make_reader(void) {
    rbc__leaves leaves;
    rbc__rlds *reader;
    fuzz_require(rbc__features_parse(features, strlen(features), "features.json", &leaves, NULL) ==
                 RBC_OK);
    fuzz_require(rbc__rlds_create("fuzz", &leaves, &reader, NULL) == RBC_OK);
    return reader;
}

/* What the sink works on. */
typedef struct target {
    const rbc__rlds *reader;
    rbc__source *source;
    int episodes;
} target;

static void read_numbers(rbc__parsed_episode *episode, const rbc__stream_schema *stream,
                         int32_t index, int64_t count, rbc__scratch *scratch) {
    uint64_t sample_bytes = (uint64_t)rbc__dtype_bytes(stream->dtype);
    for (int32_t i = 0; i < stream->ndim; ++i) {
        if (__builtin_mul_overflow(sample_bytes, (uint64_t)stream->shape[i], &sample_bytes)) {
            return;
        }
    }
    const int64_t part = count < 5 ? count : 5;
    if (sample_bytes > 4096) {
        return;
    }
    uint8_t *values = malloc(sample_bytes * (uint64_t)part + 1);
    fuzz_require(values != NULL);
    for (int64_t first = 0; first <= count - part; first += part > 0 ? part : 1) {
        if (rbc__rlds_read(episode, index, first, part, values, scratch, NULL) == RBC_OK) {
            fuzz_drain(values, sample_bytes * (uint64_t)part);
        }
        if (first > 64 || part == 0) {
            break;
        }
    }
    free(values);
}

static void locate_samples(const target *at, rbc__parsed_episode *episode, int32_t index,
                           int64_t count, rbc__scratch *scratch) {
    for (int64_t i = 0; i < count && i < 64; ++i) {
        uint64_t offset;
        uint64_t bytes;
        const uint8_t *view;
        if (rbc__rlds_locate(episode, index, i, &offset, &bytes, NULL) != RBC_OK) {
            continue;
        }
        fuzz_require(rbc__source_view(at->source, offset, bytes, scratch, &view, NULL) == RBC_OK);
        fuzz_drain(view, bytes);
    }
}

static void use_episode(const target *at, const rbc__episode_entry *entry) {
    const rbc__schema *schema = &at->reader->schema;
    rbc__scratch scratch = {0};
    rbc__parsed_episode *episode;
    rbc_error err;
    char *json;
    if (rbc__rlds_episode_open((const rbc__reader *)at->reader, at->source, entry, &episode,
                               &err) != RBC_OK) {
        fuzz_drain(err.message, strlen(err.message));
        return;
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        int64_t count;
        int64_t *rows =
            entry->num_steps < 4096 ? malloc((size_t)(entry->num_steps + 1) * sizeof *rows) : NULL;
        if (rbc__rlds_count(episode, i, &count, rows, NULL) == RBC_OK) {
            if (schema->streams[i].kind == RBC_STREAM_NUMERIC) {
                read_numbers(episode, &schema->streams[i], i, count, &scratch);
            } else {
                locate_samples(at, episode, i, count, &scratch);
            }
        }
        free(rows);
    }
    if (rbc__rlds_metadata(episode, &scratch, &json, &err) == RBC_OK) {
        fuzz_drain(json, strlen(json));
        free(json);
    }
    rbc__rlds_episode_close(&episode);
    rbc__scratch_free(&scratch);
}

static rbc_status on_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    target *at = user;
    (void)err;
    ++at->episodes;
    fuzz_drain(entry->task, strlen(entry->task) + 1);
    use_episode(at, entry);
    return RBC_OK;
}

static rbc_status on_damaged(void *user, int64_t record, const rbc_error *problem, rbc_error *err) {
    (void)user;
    (void)record;
    (void)err;
    /* Of a file of another kind the message says what it is. */
    fuzz_require(strncmp(problem->message, "fuzz: byte ", 11) == 0 ||
                 strncmp(problem->message, "fuzz: the file ", 15) == 0);
    return RBC_OK;
}

static int on_progress(void *user, uint64_t bytes_done) {
    (void)user;
    (void)bytes_done;
    return 0;
}

static void index_file(const rbc__rlds *reader, const void *file, size_t size) {
    target at = {.reader = reader};
    const rbc__index_sink sink = {on_episode, on_damaged, on_progress, &at};
    fuzz_require(rbc__source_from_memory(file, size, "fuzz", &at.source, NULL) == RBC_OK);
    (void)rbc__rlds_index(reader, at.source, -1, &sink, NULL);
    rbc__source_close(&at.source);
}

/* The input as one record, whose CRCs are right. */
static void frame(const uint8_t *data, size_t size, rbc__bytes *out) {
    uint8_t header[RBC__TFRECORD_HEADER_BYTES];
    uint8_t footer[RBC__TFRECORD_FOOTER_BYTES];
    rbc__frame_make_header(size, header);
    rbc__frame_make_footer(data, size, footer);
    rbc__bytes_append(out, header, sizeof header);
    rbc__bytes_append(out, data, size);
    rbc__bytes_append(out, footer, sizeof footer);
    fuzz_require(rbc__bytes_check(out, NULL) == RBC_OK);
}

static void index_derived(const void *file, size_t size) {
    rbc__source *source;
    rbc__leaves leaves;
    rbc__rlds *reader;
    fuzz_require(rbc__source_from_memory(file, size, "fuzz", &source, NULL) == RBC_OK);
    if (rbc__dlimp_leaves(source, &leaves, NULL) == RBC_OK) {
        fuzz_require(rbc__rlds_create("fuzz", &leaves, &reader, NULL) == RBC_OK);
        index_file(reader, file, size);
        rbc__rlds_destroy(&reader);
    }
    rbc__source_close(&source);
}

/* u8 number of steps, u8 bytes of the layout behind its fingerprint, layout, record. */
static void open_layout(const rbc__rlds *reader, const uint8_t *data, size_t size) {
    if (size < 2 || size - 2 < data[1]) {
        return;
    }
    uint8_t layout[5 + 256] = {1};
    target at = {.reader = reader};
    memcpy(layout + 1, &reader->fingerprint, 4);
    memcpy(layout + 5, data + 2, data[1]);
    const size_t record_at = 2 + (size_t)data[1];
    fuzz_require(rbc__source_from_memory(data, size, "fuzz", &at.source, NULL) == RBC_OK);
    const rbc__episode_entry entry = {.offset = record_at,
                                      .bytes = size - record_at,
                                      .num_steps = data[0],
                                      .layout = layout,
                                      .layout_bytes = 5 + (size_t)data[1]};
    use_episode(&at, &entry);
    rbc__source_close(&at.source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rbc__rlds *reader;
    rbc__bytes file = {0};
    if (reader == NULL) {
        reader = make_reader();
    }
    if (size == 0) {
        return 0;
    }
    switch (data[0]) {
    case 0:
        frame(data + 1, size - 1, &file);
        index_file(reader, file.data, file.size);
        break;
    case 1:
        frame(data + 1, size - 1, &file);
        index_derived(file.data, file.size);
        break;
    case 2:
        index_file(reader, data + 1, size - 1);
        break;
    case 3:
        open_layout(reader, data + 1, size - 1);
        break;
    default:
        break;
    }
    rbc__bytes_free(&file);
    return 0;
}
