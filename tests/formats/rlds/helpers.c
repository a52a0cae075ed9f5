#define _GNU_SOURCE

#include "helpers.h"

#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <libdeflate.h>
#include <spng.h>

#include "core/error.h"
#include "formats/rlds/framing.h"
#include "store/file_store.h"

void make_folder(char path[64]) {
    strcpy(path, "/tmp/robocache-test-XXXXXX");
    assert_non_null(mkdtemp(path));
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at) {
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void remove_folder(const char *path) {
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void write_file(const char *folder, const char *name, const void *data, size_t bytes) {
    char path[4096];
    assert_true((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) < sizeof path);
    for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        (void)mkdir(path, 0777);
        *at = '/';
    }
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_true(bytes == 0 || fwrite(data, bytes, 1, file) == 1);
    assert_int_equal(fclose(file), 0);
}

void write_text(const char *folder, const char *name, const char *text) {
    write_file(folder, name, text, strlen(text));
}

void *make_png(uint32_t height, uint32_t width, uint64_t *num_bytes) {
    uint8_t pixels[64 * 3] = {0};
    const size_t size = (size_t)height * width * 3;
    assert_true(size <= sizeof pixels);
    for (size_t i = 0; i < size; ++i) {
        pixels[i] = (uint8_t)(i * i + width);
    }
    spng_ctx *context = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {
        .width = width, .height = height, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_set_option(context, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(context, &header);
    assert_int_equal(spng_encode_image(context, pixels, size, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE),
                     0);
    int failure = 0;
    size_t bytes = 0;
    void *encoded = spng_get_png_buffer(context, &bytes, &failure);
    *num_bytes = bytes;
    spng_ctx_free(context);
    return encoded;
}

/* ---- messages ----------------------------------------------------------------------------------
 */

void put_len(rbc__bytes *bytes, unsigned field, const void *data, size_t size) {
    rbc__bytes_varint(bytes, field << 3 | 2);
    rbc__bytes_varint(bytes, size);
    rbc__bytes_append(bytes, data, size);
}

void put_feature(rbc__bytes *features, const char *key, unsigned kind, const rbc__bytes *list) {
    rbc__bytes feature = {0};
    rbc__bytes entry = {0};
    put_len(&feature, kind, list->data, list->size);
    put_len(&entry, 1, key, strlen(key));
    put_len(&entry, 2, feature.data, feature.size);
    put_len(features, 1, entry.data, entry.size);
    rbc__bytes_free(&feature);
    rbc__bytes_free(&entry);
}

void put_floats(rbc__bytes *features, const char *key, const float *values, size_t count) {
    rbc__bytes list = {0};
    put_len(&list, 1, values, count * sizeof *values);
    put_feature(features, key, 2, &list);
    rbc__bytes_free(&list);
}

void put_ints(rbc__bytes *features, const char *key, const int64_t *values, size_t count) {
    rbc__bytes packed = {0};
    rbc__bytes list = {0};
    for (size_t i = 0; i < count; ++i) {
        rbc__bytes_varint(&packed, (uint64_t)values[i]);
    }
    put_len(&list, 1, packed.data, packed.size);
    put_feature(features, key, 3, &list);
    rbc__bytes_free(&packed);
    rbc__bytes_free(&list);
}

void put_strings(rbc__bytes *features, const char *key, const char *const *values, size_t count) {
    rbc__bytes list = {0};
    for (size_t i = 0; i < count; ++i) {
        put_len(&list, 1, values[i], strlen(values[i]));
    }
    put_feature(features, key, 1, &list);
    rbc__bytes_free(&list);
}

size_t put_zlib(rbc__bytes *list, const void *data, size_t bytes) {
    uint8_t packed[4096];
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    const size_t packed_bytes =
        libdeflate_zlib_compress(compressor, data, bytes, packed, sizeof packed);
    libdeflate_free_compressor(compressor);
    assert_true(packed_bytes > 0);
    put_len(list, 1, packed, packed_bytes);
    return packed_bytes;
}

size_t put_payload(rbc__bytes *file, const void *payload, size_t bytes) {
    uint8_t header[RBC__TFRECORD_HEADER_BYTES];
    uint8_t footer[RBC__TFRECORD_FOOTER_BYTES];
    rbc__frame_make_header(bytes, header);
    rbc__frame_make_footer(payload, bytes, footer);
    rbc__bytes_append(file, header, sizeof header);
    const size_t offset = file->size;
    rbc__bytes_append(file, payload, bytes);
    rbc__bytes_append(file, footer, sizeof footer);
    return offset;
}

size_t put_record(rbc__bytes *file, rbc__bytes *features) {
    rbc__bytes example = {0};
    put_len(&example, 1, features->data, features->size);
    const size_t offset = put_payload(file, example.data, example.size);
    rbc__bytes_free(&example);
    rbc__bytes_free(features);
    return offset;
}

/* ---- datasets ----------------------------------------------------------------------------------
 */

char *features_json(const char *steps, const char *others) {
    char *text;
    assert_true(asprintf(&text,
                         "{\"featuresDict\": {\"features\": {\"steps\": {\"sequence\": "
                         "{\"feature\": {\"featuresDict\": {\"features\": {%s}}}, \"length\": "
                         "\"-1\"}}%s%s}}}",
                         steps, others[0] != '\0' ? ", " : "", others) > 0);
    return text;
}

static rbc_status catch_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    caught *out = user;
    (void)err;
    assert_true(out->num_episodes < 64);
    rbc__episode_entry *copy = &out->episodes[out->num_episodes++];
    uint8_t *layout = malloc(entry->layout_bytes);
    assert_non_null(layout);
    memcpy(layout, entry->layout, entry->layout_bytes);
    *copy = *entry;
    copy->layout = layout;
    copy->spans = NULL;
    copy->task = strdup(entry->task);
    copy->metadata = entry->metadata != NULL ? strdup(entry->metadata) : NULL;
    return RBC_OK;
}

static rbc_status catch_damaged(void *user, int64_t record, const rbc_error *problem,
                                rbc_error *err) {
    caught *out = user;
    assert_true(out->num_damaged < 64);
    out->damaged_records[out->num_damaged] = record;
    out->damaged[out->num_damaged++] = *problem;
    if (out->raise) {
        *err = *problem;
        return problem->status;
    }
    return RBC_OK;
}

static int catch_progress(void *user, uint64_t bytes_done) {
    caught *out = user;
    out->progress = bytes_done;
    return out->cancel;
}

static rbc_status catch_blobs(void *user, const rbc__blob_group *group, rbc_error *err) {
    (void)user;
    (void)err;
    fail_msg("blobs '%s' of a part that is one file", group->pattern);
    return RBC_ERROR_INTERNAL;
}

static rbc_status catch_object(void *user, rbc__container kind, const uint8_t *data, size_t bytes,
                               rbc_error *err) {
    (void)user;
    (void)data;
    (void)err;
    fail_msg("an object of kind %d, %zu bytes", (int)kind, bytes);
    return RBC_ERROR_INTERNAL;
}

static rbc_status catch_column(void *user, const void *data, size_t bytes, uint64_t *offset,
                               rbc_error *err) {
    (void)user;
    (void)data;
    (void)offset;
    (void)err;
    fail_msg("%zu bytes for the column file", bytes);
    return RBC_ERROR_INTERNAL;
}

rbc__index_sink catch_all(caught *out) {
    return (rbc__index_sink){.episode = catch_episode,
                             .damaged = catch_damaged,
                             .progress = catch_progress,
                             .blobs = catch_blobs,
                             .object = catch_object,
                             .column = catch_column,
                             .user = out};
}

void release(caught *out) {
    for (int i = 0; i < out->num_episodes; ++i) {
        free((void *)(uintptr_t)out->episodes[i].layout);
        free((void *)(uintptr_t)out->episodes[i].task);
        free((void *)(uintptr_t)out->episodes[i].metadata);
    }
    *out = (caught){0};
}

static rbc_status find_part(void *user, int64_t blob, rbc__named_file *out, rbc_error *err) {
    const dataset *data = user;
    (void)err;
    assert_int_equal(blob, rbc__blob_id(0, 0));
    out->path = strdup(rbc__source_path(data->source));
    out->expected = rbc__source_identity(data->source);
    return RBC_OK;
}

void open_store(dataset *data) {
    const rbc__file_store_params params = {find_part, data};
    assert_int_equal(rbc__file_store_create(&params, &data->store, NULL), RBC_OK);
}

void open_dataset(dataset *data, const char *path) {
    rbc_error err = {0};
    char file[4096];
    *data = (dataset){0};
    if (rbc__format_find(path, NULL, &data->ops, &err) != RBC_OK ||
        data->ops->open(data->ops, path, NULL, &data->reader, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    data->schema = data->ops->schema(data->reader);
    assert_true(data->schema->num_parts > 0);
    const rbc__index_sink sink = catch_all(&data->found);
    if (data->ops->index_part(data->reader, 0, &sink, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    (void)snprintf(file, sizeof file, "%s/%s", data->schema->root, data->schema->parts[0].path);
    assert_int_equal(rbc__source_open(file, RBC__SOURCE_FILE, &data->source, &err), RBC_OK);
    open_store(data);
}

void close_dataset(dataset *data) {
    release(&data->found);
    rbc__store_destroy(&data->store);
    rbc__source_close(&data->source);
    data->ops->close(&data->reader);
    assert_null(data->reader);
}

int32_t stream_of(const dataset *data, const char *name) {
    for (int32_t i = 0; i < data->schema->num_streams; ++i) {
        if (strcmp(data->schema->streams[i].name, name) == 0) {
            return i;
        }
    }
    fail_msg("there is no stream '%s'", name);
    return -1;
}

/* ---- episodes ----------------------------------------------------------------------------------
 */

struct parsed_episode {
    const rbc__schema *schema;
    rbc__store *store;
    rbc__source *source; /* of blob 0; NULL: what is located is not looked for there */
    rbc__layout *layout;
    rbc__parsed_episode parsed;
    rbc__block_cache *cache;
    rbc__request *request;
};

static rbc_status parse_layout(const parsed_episode *episode, const rbc__episode_entry *entry,
                               rbc__layout **out, rbc_error *err) {
    const rbc__schema *schema = episode->schema;
    const uint32_t num_streams = (uint32_t)schema->num_streams;
    char name[1024];
    rbc__layout_stream *stored = calloc(num_streams + 1, sizeof *stored);
    assert_non_null(stored);
    for (uint32_t i = 0; i < num_streams; ++i) {
        stored[i] = schema->streams[i].stored;
    }
    episode->store->ops->name(episode->store, rbc__blob_id(0, 0), name, sizeof name);
    const rbc_status status =
        rbc__layout_parse(stored, num_streams, entry->layout, entry->layout_bytes,
                          (uint64_t)entry->offset, name, out, err);
    free(stored);
    return status;
}

/* Parts that are one file have no arrays. */
static rbc_status no_object(void *user, int64_t part, rbc__container kind, uint32_t number,
                            uint8_t **data, size_t *bytes, rbc_error *err) {
    (void)user;
    (void)data;
    (void)bytes;
    return rbc__fail(err, RBC_ERROR_FORMAT, "there is no object %u of kind %d in part %d", number,
                     (int)kind, (int)part);
}

rbc_status parse_episode(const rbc__schema *schema, rbc__store *store,
                         const rbc__episode_entry *entry, parsed_episode **out, rbc_error *err) {
    static const rbc__objects no_objects = {.load = no_object};
    parsed_episode *episode = calloc(1, sizeof *episode);
    assert_non_null(episode);
    *out = episode;
    episode->schema = schema;
    episode->store = store;
    rbc_status status = parse_layout(episode, entry, &episode->layout, err);
    if (status == RBC_OK) {
        status = rbc__block_cache_create(1 << 20, &episode->cache, err);
    }
    if (status == RBC_OK) {
        const rbc__request_params params = {
            .store = store, .cache = episode->cache, .objects = &no_objects, .schema = schema};
        episode->parsed = (rbc__parsed_episode){episode->layout, 0, entry->record};
        status = rbc__request_create(&params, &episode->request, err);
    }
    if (status != RBC_OK) {
        parsed_close(out);
    }
    return status;
}

parsed_episode *parsed_of(dataset *data, int episode) {
    rbc_error err;
    parsed_episode *parsed;
    assert_true(episode < data->found.num_episodes);
    if (parse_episode(data->schema, data->store, &data->found.episodes[episode], &parsed, &err) !=
        RBC_OK) {
        fail_msg("%s", err.message);
    }
    assert_int_equal(parsed->layout->num_steps, data->found.episodes[episode].num_steps);
    parsed->source = data->source;
    return parsed;
}

void parsed_close(parsed_episode **episode) {
    parsed_episode *closing = *episode;
    *episode = NULL;
    rbc__request_destroy(&closing->request);
    rbc__block_cache_destroy(&closing->cache);
    free(closing->layout);
    free(closing);
}

/* Reads what has been added to the request. */
static rbc_status run_request(parsed_episode *episode, rbc_error *err) {
    int32_t rank;
    rbc__request_read(episode->request, NULL);
    rbc__request_finish(episode->request, NULL);
    const rbc_error *problem = rbc__request_failure(episode->request, 0, &rank);
    return problem != NULL ? rbc__pass_on(problem, err) : RBC_OK;
}

rbc_status parsed_count(parsed_episode *episode, int32_t stream, int64_t *samples,
                        int64_t *row_lengths, rbc_error *err) {
    *samples = (int64_t)rbc__layout_num_samples(episode->layout, (uint32_t)stream);
    if (row_lengths == NULL) {
        return RBC_OK;
    }
    rbc__request_begin(episode->request);
    RBC__TRY(
        rbc__request_row_lengths(episode->request, &episode->parsed, stream, row_lengths, err));
    return run_request(episode, err);
}

rbc_status parsed_read(parsed_episode *episode, int32_t stream, int64_t first, int64_t count,
                       void *dst, rbc_error *err) {
    rbc__request_begin(episode->request);
    RBC__TRY(
        rbc__request_values(episode->request, &episode->parsed, stream, first, count, dst, err));
    return run_request(episode, err);
}

rbc_status parsed_locate(parsed_episode *episode, int32_t stream, int64_t sample, rbc__sample *out,
                         rbc_error *err) {
    uint32_t want;
    rbc__request_begin(episode->request);
    RBC__TRY(rbc__request_sample(episode->request, &episode->parsed, stream, sample, &want, err));
    RBC__TRY(run_request(episode, err));
    rbc__request_get(episode->request, want, out);
    if (episode->source != NULL && out->num_bytes > 0) {
        rbc__scratch scratch = {0};
        const uint8_t *view;
        assert_int_equal(out->blob, rbc__blob_id(0, 0));
        assert_int_equal(
            rbc__source_view(episode->source, out->offset, out->num_bytes, &scratch, &view, NULL),
            RBC_OK);
        assert_memory_equal(view, out->bytes, out->num_bytes);
        rbc__scratch_free(&scratch);
    }
    return RBC_OK;
}

void write_dataset(const char *folder, const char *features, const rbc__bytes *file) {
    write_text(folder, "toy/1.0.0/features.json", features);
    write_file(folder, "toy/1.0.0/toy-train.tfrecord-00000-of-00001", file->data, file->size);
}

void assert_contains(const char *text, const char *part) {
    if (!strstr(text, part)) {
        fail_msg("'%s' does not contain '%s'", text, part);
    }
}
