/* A format whole, as small as one can be: a folder with "floats.txt", which holds a rate and a width,
 * and a file of rows of raw float32 an episode, "*.f32". docs/adding-a-format.md leads here. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "core/error.h"
#include "formats/batch.h"
#include "formats/format.h"

struct rbc__reader {
    char *path;
    rbc__schema schema;
};

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "float rows: out of memory");
}

static rbc_status probe(const rbc__format *self, const char *path, bool *accepts, rbc_error *err) {
    (void)self;
    char *file;
    if (asprintf(&file, "%s/floats.txt", path) < 0) {
        return out_of_memory(err);
    }
    struct stat info;
    *accepts = stat(file, &info) == 0;
    free(file);
    return RBC_OK;
}

static void close_reader(rbc__reader **reader) {
    rbc__schema_free(&(*reader)->schema);
    free((*reader)->path);
    free(*reader);
    *reader = NULL;
}

/* The one stream: rows of `width` float32, a row a step. */
static rbc_status declare_stream(rbc__schema *schema, int64_t width, rbc_error *err) {
    schema->name = strdup("float rows");
    schema->version = strdup("");
    schema->streams = calloc(1, sizeof *schema->streams);
    if (schema->name == NULL || schema->version == NULL || schema->streams == NULL) {
        return out_of_memory(err);
    }
    schema->streams[schema->num_streams++] = (rbc__stream_schema){
        .name = strdup("action"),
        .encoding = strdup(""),
        .kind = RBC_STREAM_NUMERIC,
        .dtype = RBC__F32,
        .ndim = 1,
        .shape = {width},
        .times = -1,
        .stored = {(uint64_t)width * sizeof(float), RBC__ENCODING_PLAIN, RBC__F32},
    };
    return schema->streams[0].name != NULL && schema->streams[0].encoding != NULL
               ? RBC_OK
               : out_of_memory(err);
}

static rbc_status read_head(const char *path, rbc__schema *schema, rbc_error *err) {
    char *name;
    if (asprintf(&name, "%s/floats.txt", path) < 0) {
        return out_of_memory(err);
    }
    FILE *file = fopen(name, "re");
    long long width = 0;
    rbc_status status = RBC_OK;
    if (file == NULL) {
        status = rbc__fail_errno(err, errno, "%s", name);
    } else if (fscanf(file, "%lf %lld", &schema->control_rate_hz, &width) != 2 ||
               !(schema->control_rate_hz > 0) || width < 1 || width > 1000) {
        status =
            rbc__fail(err, RBC_ERROR_FORMAT, "%s: wanted a rate and a width of 1 to 1000", name);
    } else {
        status = declare_stream(schema, width, err);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    free(name);
    return status;
}

static int is_rows(const struct dirent *entry) {
    const char *dot = strrchr(entry->d_name, '.');
    return dot != NULL && strcmp(dot, ".f32") == 0;
}

/* Each file is a part, in the order of their names. */
static rbc_status list_parts(const char *path, rbc__schema *schema, rbc_error *err) {
    struct dirent **entries = NULL;
    const int count = scandir(path, &entries, is_rows, alphasort);
    if (count < 0) {
        return rbc__fail_errno(err, errno, "%s", path);
    }
    schema->parts = calloc((size_t)count + 1, sizeof *schema->parts);
    rbc_status status = schema->parts != NULL ? RBC_OK : out_of_memory(err);
    for (int i = 0; i < count; ++i) {
        if (status == RBC_OK) {
            rbc__part_schema *part = &schema->parts[schema->num_parts++];
            *part = (rbc__part_schema){
                .path = strdup(entries[i]->d_name), .split = strdup("train"), .num_records = -1};
            if (part->path == NULL || part->split == NULL) {
                status = out_of_memory(err);
            }
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

static rbc_status open_reader(const rbc__format *self, const char *path, const char *told,
                              rbc__reader **out, rbc_error *err) {
    (void)self;
    (void)told;
    rbc__reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return out_of_memory(err);
    }
    reader->path = strdup(path);
    rbc_status status = reader->path != NULL ? RBC_OK : out_of_memory(err);
    if (status == RBC_OK) {
        status = read_head(path, &reader->schema, err);
    }
    if (status == RBC_OK) {
        status = list_parts(path, &reader->schema, err);
    }
    if (status != RBC_OK) {
        close_reader(&reader);
        return status;
    }
    rbc__schema_set_reference(&reader->schema);
    *out = reader;
    return RBC_OK;
}

static const rbc__schema *get_schema(const rbc__reader *reader) {
    return &reader->schema;
}

/* Tells the sink that the file's rows, from its first byte on, are an episode. */
static rbc_status add_rows(const rbc__schema *schema, int64_t file_bytes,
                           const rbc__index_sink *sink, rbc_error *err) {
    const int64_t steps = file_bytes / (int64_t)schema->streams[0].stored.sample_bytes;
    const int64_t begin = 0;
    const rbc__batch_source rows = {
        .stream = 0, .kind = RBC__BATCH_ROWS, .offset = {&begin, RBC__INTS_ALL}};
    const rbc__batch batch = {
        .num_episodes = 1, .num_steps = {&steps, 1}, .sources = &rows, .num_sources = 1};
    rbc__batch_writer *writer;
    RBC__TRY(rbc__batch_writer_create(schema, file_bytes, sink, &writer, err));
    const rbc_status status = rbc__batch_add_episodes(writer, &batch, err);
    rbc__batch_writer_destroy(&writer);
    return status;
}

static rbc_status index_part(rbc__reader *reader, int64_t part, const rbc__index_sink *sink,
                             rbc_error *err) {
    const rbc__schema *schema = &reader->schema;
    char *file;
    if (asprintf(&file, "%s/%s", reader->path, schema->parts[part].path) < 0) {
        return out_of_memory(err);
    }
    struct stat info;
    rbc_status status = RBC_OK;
    rbc_error problem;
    if (stat(file, &info) != 0) {
        status = rbc__fail_errno(err, errno, "%s", file);
    } else if (info.st_size % (int64_t)schema->streams[0].stored.sample_bytes != 0) {
        (void)rbc__fail(&problem, RBC_ERROR_FORMAT, "%s: found %lld bytes, wanted rows of %d", file,
                        (long long)info.st_size, (int)schema->streams[0].stored.sample_bytes);
        status = sink->damaged(sink->user, 0, &problem, err);
    } else {
        status = add_rows(schema, info.st_size, sink, err);
    }
    free(file);
    return status;
}

static const rbc__format float_rows = {
    .format = "float rows",
    .looks_for = "a folder with floats.txt",
    .probe = probe,
    .open = open_reader,
    .close = close_reader,
    .schema = get_schema,
    .index_part = index_part,
};

/* ---- it is opened as any other -------------------------------------------------------------- */

static char folder[] = "/tmp/float_rows_XXXXXX";

static void write_file(const char *name, const void *data, size_t bytes) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *name) {
    char path[64];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    (void)remove(path);
}

static void rows_are_read_where_they_lie(void **state) {
    (void)state;
    const float rows[][2] = {{1, 2}, {3, 4}, {5, 6}};
    write_file("floats.txt", "20 2", 4);
    write_file("0.f32", rows, sizeof rows);
    write_file("1.f32", rows, sizeof rows[0]);
    rbc_error err;
    rbc_dataset *dataset;
    if (rbc_dataset_open(folder, NULL, &dataset, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    rbc_episode *episode;
    rbc_episode_info info;
    float values[4];
    assert_int_equal(rbc_episode_open(dataset, 0, &episode, &err), RBC_OK);
    assert_int_equal(rbc_episode_read(episode, 0, 1, 2, values, sizeof values, &err), RBC_OK);
    assert_memory_equal(values, rows[1], sizeof values);
    rbc_episode_close(&episode);
    assert_int_equal(rbc_episode_open(dataset, 1, &episode, &err), RBC_OK);
    rbc_episode_get_info(episode, &info);
    assert_int_equal(info.num_steps, 1);
    assert_string_equal(info.file, "1.f32");
    rbc_episode_close(&episode);
    rbc_dataset_close(&dataset);
}

static void what_is_damaged_is_named_or_left_out(void **state) {
    (void)state;
    write_file("1.f32", "short", 5);
    rbc_error err;
    rbc_dataset *dataset;
    assert_int_equal(rbc_dataset_open(folder, NULL, &dataset, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "1.f32: found 5 bytes, wanted rows of 8"));
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.on_error = RBC_ON_ERROR_SKIP;
    assert_int_equal(rbc_dataset_open(folder, &params, &dataset, &err), RBC_OK);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, 1);
    assert_int_equal(info.num_skipped, 1);
    rbc_dataset_close(&dataset);
}

static int set_up(void **state) {
    (void)state;
    return mkdtemp(folder) != NULL ? (int)rbc__format_register(&float_rows, false, NULL) : -1;
}

static int tear_down(void **state) {
    (void)state;
    static const char *const names[] = {"floats.txt", "0.f32", "1.f32", ".robocache.sqlite",
                                        ".robocache.sqlite.lock"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        remove_file(names[i]);
    }
    return remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_where_they_lie),
        cmocka_unit_test(what_is_damaged_is_named_or_left_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
