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
#include "memory_store.h"
#include "store/request.h"

/* clang-format off */
#define TENSOR(name, dtype, dimensions, encoding)                                                  \
    "\"" name "\":{\"tensor\":{\"shape\":{\"dimensions\":[" dimensions "]},\"dtype\":\"" dtype     \
    "\",\"encoding\":\"" encoding "\"}}"
#define SEQUENCE(name, feature, length)                                                            \
    "\"" name "\":{\"sequence\":{\"feature\":{" feature "},\"length\":\"" length "\"}}"

static const char features[] =
    "{\"featuresDict\":{\"features\":{\"steps\":{\"sequence\":{\"feature\":{\"featuresDict\":{"
    "\"features\":{"
    TENSOR("f", "float32", "\"2\"", "none") ","
    TENSOR("d", "float64", "", "none") ","
    TENSOR("h", "float16", "", "none") ","
    TENSOR("b", "bool", "", "none") ","
    TENSOR("i", "int64", "", "none") ","
    TENSOR("i_time_ns", "int64", "", "none") ","
    TENSOR("u", "uint8", "\"70\"", "none") ","
    TENSOR("s", "int16", "", "none") ","
    TENSOR("r", "int32", "\"2\"", "bytes") ","
    TENSOR("z", "int16", "\"2\"", "zlib") ","
    "\"p\":{\"image\":{\"encodingFormat\":\"png\"}},"
    "\"lang\":{\"text\":{}},"
    SEQUENCE("c", "\"tensor\":{\"shape\":{\"dimensions\":[\"3\"]},\"dtype\":\"float32\"}", "-1") ","
    SEQUENCE("c_time_ns", "\"tensor\":{\"dtype\":\"int64\"}", "-1") ","
    SEQUENCE("x", "\"tensor\":{\"dtype\":\"int8\"}", "2") ","
    SEQUENCE("g", "\"image\":{}", "-1")
    "}}},\"length\":\"-1\"}},"
    "\"m\":{\"text\":{}},"
    TENSOR("n", "float32", "\"-1\",\"2\"", "none") ","
    "\"k\":{\"sequence\":{\"feature\":{\"tensor\":{\"dtype\":\"bool\"}}}}}}}";
/* clang-format on */

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
    const void *file;
    size_t file_bytes;
} target;

/* An episode that is read. */
typedef struct reading {
    const rbc__schema *schema;
    rbc__parsed_episode parsed;
    rbc__request *request;
} reading;

static bool run_request(const reading *at) {
    int32_t rank;
    rbc__request_read(at->request, NULL);
    rbc__request_finish(at->request, NULL);
    const rbc_error *problem = rbc__request_failure(at->request, 0, &rank);
    if (problem != NULL) {
        fuzz_drain(problem->message, strlen(problem->message));
    }
    return problem == NULL;
}

/* Whether memory for [first, first + count) may be taken: a layout says what it likes. */
static bool is_small(const reading *at, int32_t stream, uint64_t first, uint64_t count) {
    const uint32_t id = (uint32_t)stream;
    for (uint64_t i = first; i < first + count; ++i) {
        const rbc__run *run = rbc__layout_find(at->parsed.layout, id, i);
        uint64_t offset;
        uint64_t bytes;
        if (run->container == RBC__IN_BLOCK &&
            at->parsed.layout->blocks[run->number].packed_bytes > 1 << 20) {
            return false;
        }
        if (rbc__run_sample(run, i, &offset, &bytes) && bytes > 1 << 20) {
            return false;
        }
    }
    return true;
}

static void read_numbers(const reading *at, int32_t index, int64_t count) {
    const rbc__stream_schema *stream = &at->schema->streams[index];
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
    for (int64_t first = 0; part > 0 && first <= count - part && first <= 64; first += part) {
        rbc__request_begin(at->request);
        if (is_small(at, index, (uint64_t)first, (uint64_t)part) &&
            rbc__request_values(at->request, &at->parsed, index, first, part, values, NULL) ==
                RBC_OK &&
            run_request(at)) {
            fuzz_drain(values, sample_bytes * (uint64_t)part);
        }
    }
    free(values);
}

static void read_rows(const reading *at, int32_t index, uint64_t num_steps) {
    const uint64_t id = at->parsed.layout->num_streams + (uint64_t)index;
    if (num_steps >= 4096 ||
        rbc__layout_num_samples(at->parsed.layout, (uint32_t)id) != num_steps ||
        !is_small(at, (int32_t)id, 0, num_steps)) {
        return;
    }
    int64_t *rows = malloc((size_t)(num_steps + 1) * sizeof *rows);
    fuzz_require(rows != NULL);
    rbc__request_begin(at->request);
    if (rbc__request_row_lengths(at->request, &at->parsed, index, rows, NULL) == RBC_OK &&
        run_request(at)) {
        fuzz_drain(rows, num_steps * sizeof *rows);
    }
    free(rows);
}

static void read_samples(const reading *at, int32_t index, int64_t count) {
    rbc__request_begin(at->request);
    for (int64_t i = 0; i < count && i < 64; ++i) {
        uint32_t want;
        rbc__sample sample;
        if (!is_small(at, index, (uint64_t)i, 1) ||
            rbc__request_sample(at->request, &at->parsed, index, i, &want, NULL) != RBC_OK ||
            !run_request(at)) {
            rbc__request_begin(at->request);
            continue;
        }
        rbc__request_get(at->request, want, &sample);
        fuzz_drain(sample.bytes, sample.num_bytes);
        rbc__request_begin(at->request);
    }
}

static rbc_status no_object(void *user, int64_t part, rbc__container kind, uint32_t number,
                            uint8_t **data, size_t *bytes, rbc_error *err) {
    (void)user;
    (void)part;
    (void)kind;
    (void)number;
    *data = NULL;
    *bytes = 0;
    *err = (rbc_error){.status = RBC_ERROR_FORMAT, .message = "no objects"};
    return RBC_ERROR_FORMAT;
}

static void use_layout(const target *at, rbc__layout *layout, const rbc__episode_entry *entry) {
    static const rbc__objects objects = {.load = no_object};
    const rbc__schema *schema = &at->reader->schema;
    const memory_blob blob = {rbc__blob_id(0, 0), "fuzz", at->file, at->file_bytes};
    memory_store store;
    rbc__block_cache *cache;
    reading episode = {schema, {layout, 0, entry->record}, NULL};
    memory_store_init(&store, &blob, 1);
    fuzz_require(rbc__block_cache_create(1 << 16, &cache, NULL) == RBC_OK);
    const rbc__request_params params = {
        .store = &store.base, .cache = cache, .objects = &objects, .schema = schema};
    fuzz_require(rbc__request_create(&params, &episode.request, NULL) == RBC_OK);
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const int64_t count = (int64_t)rbc__layout_num_samples(layout, (uint32_t)i);
        read_rows(&episode, i, layout->num_steps);
        if (schema->streams[i].kind == RBC_STREAM_NUMERIC) {
            read_numbers(&episode, i, count);
        } else {
            read_samples(&episode, i, count);
        }
    }
    rbc__request_destroy(&episode.request);
    rbc__block_cache_destroy(&cache);
}

static void use_episode(const target *at, const rbc__episode_entry *entry) {
    rbc__layout *layout;
    rbc_error err;
    if (rbc__layout_parse(at->reader->stored, (uint32_t)at->reader->schema.num_streams,
                          entry->layout, entry->layout_bytes, (uint64_t)entry->offset, "fuzz",
                          &layout, &err) != RBC_OK) {
        fuzz_drain(err.message, strlen(err.message));
        return;
    }
    use_layout(at, layout, entry);
    free(layout);
}

static rbc_status on_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    (void)err;
    fuzz_drain(entry->task, strlen(entry->task) + 1);
    if (entry->metadata != NULL) {
        fuzz_drain(entry->metadata, strlen(entry->metadata) + 1);
    }
    use_episode(user, entry);
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

static void index_part(const rbc__rlds *reader, const void *file, size_t size) {
    target at = {reader, file, size};
    rbc__source *source;
    const rbc__index_sink sink = {
        .episode = on_episode, .damaged = on_damaged, .progress = on_progress, .user = &at};
    fuzz_require(rbc__source_from_memory(file, size, "fuzz", &source, NULL) == RBC_OK);
    (void)rbc__rlds_index(reader, source, -1, &sink, NULL);
    rbc__source_close(&source);
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
        index_part(reader, file, size);
        rbc__rlds_destroy(&reader);
    }
    rbc__source_close(&source);
}

/* u8 bytes of the layout, layout, record. */
static void open_layout(const rbc__rlds *reader, const uint8_t *data, size_t size) {
    if (size < 1 || size - 1 < data[0]) {
        return;
    }
    const target at = {reader, data, size};
    const rbc__episode_entry entry = {
        .offset = 1 + (int64_t)data[0], .layout = data + 1, .layout_bytes = data[0]};
    use_episode(&at, &entry);
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
        index_part(reader, file.data, file.size);
        break;
    case 1:
        frame(data + 1, size - 1, &file);
        index_derived(file.data, file.size);
        break;
    case 2:
        index_part(reader, data + 1, size - 1);
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
