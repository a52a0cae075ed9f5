#define _GNU_SOURCE

#include "fake_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/error.h"

long fake_line_delay_ns = 0;
int fake_slow_first = 0;
int fake_open_errno = 0;
const char *fake_name = "fake";

struct rbc__reader {
    char *path;
    rbc__schema schema;
};

struct rbc__parsed_episode {
    rbc__source *source;
    int64_t line, steps, start_ns;
    uint64_t offset, text_at, text_bytes;
    int stamped;
};

static char empty[] = "";
static rbc__stream_schema streams[] = {
    {.name = (char[]){"value"}, .dtype = RBC__F32, .ndim = 1, .shape = {2}, .times = -1},
    {.name = (char[]){"clocked"},
     .dtype = RBC__F32,
     .ndim = 1,
     .shape = {2},
     .times = 2,
     .is_reference = true},
    {.name = (char[]){"clocked_time_ns"}, .dtype = RBC__I64, .times = -1},
    {.name = (char[]){"text"}, .kind = RBC_STREAM_TEXT, .dtype = RBC__U8, .times = -1},
};

static bool fake_probe(const char *path) {
    (void)path;
    return true;
}

static void fake_close(rbc__reader **reader) {
    for (int64_t i = 0; i < (*reader)->schema.num_files; ++i) {
        free((*reader)->schema.files[i].path);
        free((*reader)->schema.files[i].split);
    }
    free((*reader)->schema.files);
    free((*reader)->schema.name);
    free((*reader)->path);
    free(*reader);
    *reader = NULL;
}

static rbc_status fake_open(const char *path, rbc__reader **out, rbc_error *err) {
    char list[512];
    snprintf(list, sizeof list, "%s/files", path);
    FILE *file = fopen(list, "r");
    if (file == NULL) {
        return rbc__fail_errno(err, errno, "no '%s'", list);
    }
    for (size_t i = 0; i < sizeof streams / sizeof streams[0]; ++i) {
        streams[i].encoding = empty;
    }
    rbc__reader *reader = calloc(1, sizeof *reader);
    reader->path = strdup(path);
    reader->schema = (rbc__schema){
        .name = strdup(fake_name),
        .version = empty,
        .control_rate_hz = 5.0,
        .streams = streams,
        .num_streams = sizeof streams / sizeof streams[0],
        .files = calloc(100000, sizeof *reader->schema.files),
    };
    char split[64];
    char name[256];
    while (fscanf(file, "%63s %255s", split, name) == 2) {
        reader->schema.files[reader->schema.num_files++] =
            (rbc__file_schema){strdup(name), strdup(split), -1};
    }
    fclose(file);
    *out = reader;
    return RBC_OK;
}

static const rbc__schema *fake_schema(const rbc__reader *reader) {
    return &reader->schema;
}

static void wait_ns(long ns) {
    if (ns > 0) {
        nanosleep(&(struct timespec){ns / 1000000000L, ns % 1000000000L}, NULL);
    }
}

/* Layout: line number, whether it has stamps, where the text is. */
typedef struct fake_layout {
    int64_t line, stamped;
    uint64_t text_at, text_bytes;
} fake_layout;

static rbc_status index_line(const rbc__index_sink *sink, const char *path, const char *line,
                             int64_t number, uint64_t offset, rbc_error *err) {
    long long steps;
    long long start_ns;
    long long end_ns;
    int text = 0;
    rbc__episode_entry entry = {.record = number, .offset = offset, .bytes = strlen(line)};
    if (sscanf(line, "%lld %lld %lld %n", &steps, &start_ns, &end_ns, &text) != 3) {
        rbc_error problem = {0};
        rbc__fail(&problem, RBC_ERROR_FORMAT, "'%s': offset %llu: damaged line", path,
                  (unsigned long long)offset);
        return sink->damaged(sink->user, number, &problem, err);
    }
    entry.num_steps = steps;
    entry.start_ns = start_ns;
    entry.end_ns = end_ns;
    const rbc__stamp_span span = {2, end_ns >= start_ns ? steps : 0, start_ns, end_ns};
    entry.spans = &span;
    entry.num_spans = 1;
    entry.task = line + text;
    const fake_layout layout = {number, end_ns >= start_ns, offset + (uint64_t)text,
                                strlen(line + text)};
    entry.layout = (const uint8_t *)&layout;
    entry.layout_bytes = sizeof layout;
    return sink->episode(sink->user, &entry, err);
}

static rbc_status fake_index_file(rbc__reader *reader, int64_t number, const rbc__index_sink *sink,
                                  rbc_error *err) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", reader->path, reader->schema.files[number].path);
    FILE *file = fake_open_errno == 0 ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return rbc__fail_errno(err, fake_open_errno != 0 ? fake_open_errno : errno,
                               "'%s' cannot be opened", path);
    }
    if (fake_slow_first) {
        wait_ns((reader->schema.num_files - number) * 3000000L);
    }
    char *line = NULL;
    size_t room = 0;
    rbc_status status = RBC_OK;
    uint64_t offset = 0;
    for (int64_t record = 0; status == RBC_OK; ++record) {
        const ssize_t bytes = getline(&line, &room, file);
        if (bytes < 0) {
            break;
        }
        if (bytes > 0 && line[bytes - 1] == '\n') {
            line[bytes - 1] = '\0';
        }
        status = index_line(sink, path, line, record, offset, err);
        offset += (uint64_t)bytes;
        if (status == RBC_OK && sink->progress(sink->user, offset) != 0) {
            status = rbc__fail(err, RBC_ERROR_CANCELLED, "stopped");
        }
        wait_ns(fake_line_delay_ns);
    }
    free(line);
    fclose(file);
    return status;
}

static rbc_status fake_episode_open(const rbc__reader *reader, rbc__source *source,
                                    const rbc__episode_entry *entry, rbc__parsed_episode **out,
                                    rbc_error *err) {
    (void)reader;
    fake_layout layout;
    if (entry->layout_bytes != sizeof layout) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "layout of %zu bytes", entry->layout_bytes);
    }
    memcpy(&layout, entry->layout, sizeof layout);
    *out = calloc(1, sizeof **out);
    **out = (rbc__parsed_episode){
        .source = source,
        .line = layout.line,
        .steps = entry->num_steps,
        .start_ns = entry->start_ns,
        .offset = entry->offset,
        .text_at = layout.text_at,
        .text_bytes = layout.text_bytes,
        .stamped = layout.stamped != 0,
    };
    return RBC_OK;
}

static void fake_episode_close(rbc__parsed_episode **episode) {
    free(*episode);
    *episode = NULL;
}

static rbc_status fake_count(rbc__parsed_episode *episode, int32_t stream, int64_t *num_samples,
                             int64_t *row_lengths, rbc_error *err) {
    (void)stream;
    (void)err;
    *num_samples = episode->steps;
    for (int64_t i = 0; row_lengths != NULL && i < episode->steps; ++i) {
        row_lengths[i] = 1;
    }
    return RBC_OK;
}

static rbc_status fake_read(rbc__parsed_episode *episode, int32_t stream, int64_t first,
                            int64_t count, void *dst, rbc__scratch *scratch, rbc_error *err) {
    (void)scratch;
    (void)err;
    for (int64_t i = 0; i < count; ++i) {
        if (stream == 2) {
            ((int64_t *)dst)[i] = episode->start_ns + first + i;
        } else {
            ((float *)dst)[2 * i] = (float)episode->line;
            ((float *)dst)[2 * i + 1] = (float)(first + i);
        }
    }
    return RBC_OK;
}

static rbc_status fake_locate(rbc__parsed_episode *episode, int32_t stream, int64_t sample,
                              uint64_t *offset, uint64_t *bytes, rbc_error *err) {
    (void)stream;
    (void)sample;
    (void)err;
    *offset = episode->text_at;
    *bytes = episode->text_bytes;
    return RBC_OK;
}

static rbc_status fake_metadata(rbc__parsed_episode *episode, rbc__scratch *scratch, char **json,
                                rbc_error *err) {
    (void)scratch;
    if (asprintf(json, "{\"line\": %lld}", (long long)episode->line) < 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "out of memory");
    }
    return RBC_OK;
}

const rbc__format fake_reader = {
    .format = "fake",
    .probe = fake_probe,
    .open = fake_open,
    .close = fake_close,
    .schema = fake_schema,
    .index_file = fake_index_file,
    .episode_open = fake_episode_open,
    .episode_close = fake_episode_close,
    .count = fake_count,
    .read = fake_read,
    .locate = fake_locate,
    .metadata = fake_metadata,
};

void fake_file_write(const char *path, int file, const char *text) {
    char name[600];
    snprintf(name, sizeof name, "%s/data-%05d", path, file);
    FILE *out = fopen(name, "w");
    fputs(text, out);
    fclose(out);
}

void fake_files_list(const char *path, int num_files) {
    char name[600];
    snprintf(name, sizeof name, "%s/files", path);
    FILE *out = fopen(name, "w");
    for (int i = 0; i < num_files; ++i) {
        fprintf(out, "%s data-%05d\n", i % 3 == 2 ? "val" : "train", i);
    }
    fclose(out);
}

void fake_dataset_make(const char *path, int num_files, int lines) {
    static const char *const tasks[] = {"open the drawer", "close the drawer", "pick up the cup",
                                        "", "put the cup in the \xc3\xa9tag\xc3\xa8re"};
    mkdir(path, 0777);
    for (int i = 0; i < num_files; ++i) {
        char *text = NULL;
        size_t bytes = 0;
        FILE *out = open_memstream(&text, &bytes);
        for (int k = 0; k < lines; ++k) {
            const int id = i * lines + k;
            if (id % 2 == 0) {
                fprintf(out, "%d 0 -1 %s\n", 1 + id % 50, tasks[id % 5]);
            } else {
                const long long start_ns = 1700000000000000000LL + id * 1000000007LL;
                fprintf(out, "%d %lld %lld %s\n", 1 + id % 50, start_ns, start_ns + id % 50,
                        tasks[id % 5]);
            }
        }
        fclose(out);
        fake_file_write(path, i, text);
        free(text);
    }
    fake_files_list(path, num_files);
}
