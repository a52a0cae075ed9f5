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
char fake_told[64];

struct rbc__reader {
    char *path;
    rbc__schema schema;
};

static char empty[] = "";
static rbc__stream_schema streams[] = {
    {.name = (char[]){"value"},
     .dtype = RBC__F32,
     .ndim = 1,
     .shape = {2},
     .times = -1,
     .stored = {8, RBC__ENCODING_PLAIN, RBC__F32}},
    {.name = (char[]){"clocked"},
     .dtype = RBC__F32,
     .ndim = 1,
     .shape = {2},
     .times = 2,
     .is_reference = true,
     .stored = {8, RBC__ENCODING_PLAIN, RBC__F32}},
    {.name = (char[]){"clocked_time_ns"},
     .dtype = RBC__I64,
     .times = -1,
     .stored = {8, RBC__ENCODING_PLAIN, RBC__I64}},
    {.name = (char[]){"text"},
     .kind = RBC_STREAM_TEXT,
     .dtype = RBC__U8,
     .times = -1,
     .stored = {0, RBC__ENCODING_TEXT, RBC__U8}},
};

static rbc_status fake_probe(const rbc__format *self, const char *path, bool *accepts,
                             rbc_error *err) {
    (void)self;
    (void)path;
    (void)err;
    *accepts = true;
    return RBC_OK;
}

static void fake_close(rbc__reader **reader) {
    for (int64_t i = 0; i < (*reader)->schema.num_parts; ++i) {
        free((*reader)->schema.parts[i].path);
        free((*reader)->schema.parts[i].split);
    }
    free((*reader)->schema.parts);
    free((*reader)->schema.name);
    free((*reader)->path);
    free(*reader);
    *reader = NULL;
}

static rbc_status fake_open(const rbc__format *self, const char *path, const char *told,
                            rbc__reader **out, rbc_error *err) {
    char list[512];
    (void)self;
    snprintf(fake_told, sizeof fake_told, "%s", told != NULL ? told : "");
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
        .parts = calloc(100000, sizeof *reader->schema.parts),
    };
    char split[64];
    char name[256];
    while (fscanf(file, "%63s %255s", split, name) == 2) {
        reader->schema.parts[reader->schema.num_parts++] =
            (rbc__part_schema){strdup(name), strdup(split), -1, false, 0};
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

/* Numbers are in the layout; the text is in the file, the same at every step. */
static rbc_status write_layout(const rbc__episode_entry *entry, uint64_t text_at,
                               uint64_t text_bytes, rbc__bytes *out, rbc_error *err) {
    rbc__layout_stream stored[4];
    const size_t steps = (size_t)entry->num_steps;
    float *values = calloc(2 * steps + 1, sizeof *values);
    int64_t *stamps = calloc(steps + 1, sizeof *stamps);
    uint64_t *spans = calloc(2 * steps + 1, sizeof *spans);
    for (size_t i = 0; i < steps; ++i) {
        values[2 * i] = (float)entry->record;
        values[2 * i + 1] = (float)i;
        stamps[i] = entry->start_ns + (int64_t)i;
        spans[2 * i + 1] = text_bytes;
    }
    for (int i = 0; i < 4; ++i) {
        stored[i] = streams[i].stored;
    }
    rbc__layout_writer writer = {.streams = stored, .num_streams = 4};
    rbc__layout_begin(&writer, steps, (uint64_t)entry->offset);
    for (uint32_t i = 0; i < 3 && steps > 0; ++i) {
        const rbc__run run = {.id = i,
                              .container = RBC__IN_LAYOUT,
                              .dtype = stored[i].dtype,
                              .count = steps,
                              .sample_bytes = 8,
                              .table = i == 2 ? (uint8_t *)stamps : (uint8_t *)values};
        rbc__layout_add_run(&writer, &run);
    }
    if (steps > 0) {
        const rbc__run text = {.id = 3,
                               .form = RBC__FORM_SPANS,
                               .width = 8,
                               .encoding = RBC__ENCODING_TEXT,
                               .dtype = RBC__U8,
                               .count = steps,
                               .offset = text_at,
                               .bytes = text_bytes,
                               .table = (uint8_t *)spans};
        rbc__layout_add_run(&writer, &text);
    }
    const rbc_status status = rbc__layout_end(&writer, out, err);
    rbc__layout_writer_free(&writer);
    free(values);
    free(stamps);
    free(spans);
    return status;
}

static rbc_status index_line(const rbc__index_sink *sink, const char *path, const char *line,
                             int64_t number, uint64_t offset, rbc_error *err) {
    long long steps;
    long long start_ns;
    long long end_ns;
    int text = 0;
    char metadata[64];
    rbc__episode_entry entry = {.record = number,
                                .offset = (int64_t)offset,
                                .bytes = (int64_t)strlen(line),
                                .metadata = metadata};
    if (sscanf(line, "%lld %lld %lld %n", &steps, &start_ns, &end_ns, &text) != 3) {
        rbc_error problem = {0};
        rbc__fail(&problem, RBC_ERROR_FORMAT, "'%s': offset %llu: damaged line", path,
                  (unsigned long long)offset);
        return sink->damaged(sink->user, number, &problem, err);
    }
    snprintf(metadata, sizeof metadata, "{\"line\": %lld}", (long long)number);
    entry.num_steps = steps;
    entry.start_ns = start_ns;
    entry.end_ns = end_ns;
    const rbc__stamp_span span = {2, end_ns >= start_ns ? steps : 0, start_ns, end_ns};
    entry.spans = &span;
    entry.num_spans = 1;
    entry.task = line + text;
    rbc__bytes layout = {0};
    rbc_status status =
        write_layout(&entry, offset + (uint64_t)text, strlen(line + text), &layout, err);
    entry.layout = layout.data;
    entry.layout_bytes = layout.size;
    if (status == RBC_OK) {
        status = sink->episode(sink->user, &entry, err);
    }
    rbc__bytes_free(&layout);
    return status;
}

static rbc_status fake_index_file(rbc__reader *reader, int64_t number, const rbc__index_sink *sink,
                                  rbc_error *err) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", reader->path, reader->schema.parts[number].path);
    FILE *file = fake_open_errno == 0 ? fopen(path, "r") : NULL;
    if (file == NULL) {
        return rbc__fail_errno(err, fake_open_errno != 0 ? fake_open_errno : errno,
                               "'%s' cannot be opened", path);
    }
    if (fake_slow_first) {
        wait_ns((reader->schema.num_parts - number) * 3000000L);
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
    if (status == RBC_OK) {
        char told[64];
        snprintf(told, sizeof told, "{\"part\": %lld}", (long long)number);
        status = sink->told(sink->user, told, err);
    }
    return status;
}

const rbc__format fake_reader = {
    .format = "fake",
    .is_told = true,
    .probe = fake_probe,
    .open = fake_open,
    .close = fake_close,
    .schema = fake_schema,
    .index_part = fake_index_file,
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
