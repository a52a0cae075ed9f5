/* Fuzzes what a catalog may hold: makes a small dataset and its catalog, changes the catalog as the
 * input says, and opens and uses the dataset with it through the public interface. Any answer will
 * do but a crash, or an error that blames the library.
 *
 * An input is a list of changes, each a byte and its arguments:
 *   0  bytes: u24 offset, u8 count, the bytes
 *   1  the end: u24 size
 *   2  a value: u8 which column, u8 which row, u8 kind, an integer (8 bytes), or u8 count and bytes
 *   3  a definition: u8 which one, out of a list
 * Bytes and the end are changed after the values and definitions. */
#define _GNU_SOURCE

#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "dataset.h"

enum { MAX_VALUE_BYTES = 255 };

static uint8_t *sound;
static size_t sound_bytes;

/* ---- the catalog ---- */

static void write_catalog(const uint8_t *bytes, size_t count) {
    const int fd = open(fuzz_catalog_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fuzz_require(fd >= 0 && write(fd, bytes, count) == (ssize_t)count);
    close(fd);
}

static uint8_t *read_catalog(size_t *count) {
    struct stat info;
    const int fd = open(fuzz_catalog_path, O_RDONLY);
    fuzz_require(fd >= 0 && fstat(fd, &info) == 0);
    *count = (size_t)info.st_size;
    uint8_t *bytes = malloc(*count + 1);
    fuzz_require(bytes != NULL && read(fd, bytes, *count) == (ssize_t)*count);
    close(fd);
    return bytes;
}

/* ---- the changes ---- */

typedef struct input {
    const uint8_t *at, *end;
} input;

static uint64_t take(input *in, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes && in->at < in->end; ++i) {
        value |= (uint64_t)*in->at++ << (8 * i);
    }
    return value;
}

static const uint8_t *take_bytes(input *in, size_t *count) {
    const size_t wanted = (size_t)take(in, 1);
    const uint8_t *bytes = in->at;
    *count = wanted < (size_t)(in->end - in->at) ? wanted : (size_t)(in->end - in->at);
    in->at += *count;
    return bytes;
}

static const char *const columns[][2] = {
    {"meta", "key"},
    {"meta", "value"},
    {"streams", "name"},
    {"streams", "kind"},
    {"streams", "dtype"},
    {"streams", "shape"},
    {"streams", "times"},
    {"streams", "ragged"},
    {"parts", "id"},
    {"parts", "path"},
    {"parts", "split"},
    {"parts", "position"},
    {"parts", "size"},
    {"parts", "mtime_ns"},
    {"parts", "indexed"},
    {"parts", "records"},
    {"parts", "episodes"},
    {"parts", "steps"},
    {"parts", "first_id"},
    {"episodes", "key"},
    {"episodes", "record"},
    {"episodes", "offset"},
    {"episodes", "bytes"},
    {"episodes", "steps"},
    {"episodes", "start_ns"},
    {"episodes", "end_ns"},
    {"episodes", "task"},
    {"layouts", "key"},
    {"layouts", "data"},
    {"metadata", "key"},
    {"metadata", "data"},
    {"parts", "column_bytes"},
    {"parts", "column_digest"},
    {"parts", "digest"},
    {"streams", "stored"},
    {"summaries", "part"},
    {"summaries", "data"},
    {"tasks", "id"},
    {"tasks", "text"},
    {"tasks", "episodes"},
    {"skipped", "part"},
    {"skipped", "message"},
    {"spans", "times"},
    {"spans", "data"},
    {"task_words_data", "block"},
    {"task_words_idx", "term"},
    {"task_words_config", "v"},
    {"streams", "unit"},
    {"streams", "scale"},
    {"streams", "offset"},
    {"told", "part"},
    {"told", "data"},
};
#define NUM_COLUMNS (sizeof columns / sizeof columns[0])

static const char *const definitions[] = {
    "PRAGMA user_version = 4",
    "DELETE FROM layouts",
    "DELETE FROM tasks",
    "DELETE FROM episodes WHERE rowid % 2",
    "DELETE FROM parts",
    "INSERT INTO skipped VALUES (1, 1, 0, 'x'), (2, 2, -1, 'y')",
    "INSERT INTO parts SELECT id+7, path||'x', split, 9, 0,0,0,0,0, 1, 0,0,0,0, '' FROM parts",
    "INSERT INTO tasks VALUES (77, 'lift', 3)",
    "CREATE VIEW v AS SELECT 1",
    "CREATE TRIGGER t AFTER UPDATE ON parts BEGIN DELETE FROM tasks; END",
    "PRAGMA page_size = 512; VACUUM",
    "PRAGMA auto_vacuum = 1; VACUUM",
    "PRAGMA encoding = 'UTF-16'",
    "DROP TABLE summaries",
    "PRAGMA journal_mode = WAL",
};

static void change_value(sqlite3 *db, input *in) {
    const char *const *column = columns[take(in, 1) % NUM_COLUMNS];
    const int64_t row = (int64_t)(take(in, 1) % 8);
    char sql[200];
    const bool keyed = strcmp(column[0], "meta") == 0;
    const bool is_shadow = strcmp(column[0], "spans") == 0 ||
                           strcmp(column[0], "task_words_idx") == 0 ||
                           strcmp(column[0], "task_words_config") == 0;
    const char *id = keyed ? "key" : is_shadow ? column[1] : "rowid";
    snprintf(sql, sizeof sql,
             "UPDATE OR REPLACE %s SET %s = ?1 WHERE %s = (SELECT %s FROM %s LIMIT 1 OFFSET ?2)",
             column[0], column[1], id, id, column[0]);
    sqlite3_stmt *update = NULL;
    const uint64_t kind = take(in, 1) % 5;
    if (sqlite3_prepare_v2(db, sql, -1, &update, NULL) != SQLITE_OK) {
        return; /* an earlier change took the table away */
    }
    size_t count;
    const uint8_t *bytes;
    switch (kind) {
    case 0:
        sqlite3_bind_int64(update, 1, (int64_t)take(in, 8));
        break;
    case 1:
        bytes = take_bytes(in, &count);
        sqlite3_bind_blob(update, 1, bytes, (int)count, SQLITE_STATIC);
        break;
    case 2:
        bytes = take_bytes(in, &count);
        sqlite3_bind_text(update, 1, (const char *)bytes, (int)count, SQLITE_STATIC);
        break;
    case 3:
        sqlite3_bind_double(update, 1, (double)(int64_t)take(in, 8));
        break;
    default:
        break; /* NULL */
    }
    sqlite3_bind_int64(update, 2, row);
    sqlite3_step(update);
    sqlite3_finalize(update);
}

static void skip_bytes_change(input *in, uint8_t kind) {
    size_t count;
    take(in, 3);
    if (kind == 0) {
        take_bytes(in, &count);
    }
}

/* Values and definitions, through SQLite. */
static void change_content(input in) {
    sqlite3 *db = NULL;
    while (in.at < in.end) {
        const uint8_t kind = (uint8_t)(take(&in, 1) % 4);
        if (kind < 2) {
            skip_bytes_change(&in, kind);
            continue;
        }
        if (db == NULL) {
            fuzz_require(sqlite3_open(fuzz_catalog_path, &db) == SQLITE_OK);
            sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY", NULL, NULL,
                         NULL);
        }
        if (kind == 2) {
            change_value(db, &in);
        } else {
            const size_t number = take(&in, 1) % (sizeof definitions / sizeof definitions[0]);
            sqlite3_exec(db, definitions[number], NULL, NULL, NULL);
        }
    }
    sqlite3_close(db);
}

static void skip_value(input *in) {
    size_t count;
    take(in, 2);
    const uint64_t kind = take(in, 1) % 5;
    if (kind == 0 || kind == 3) {
        take(in, 8);
    } else if (kind < 3) {
        take_bytes(in, &count);
    }
}

static void change_bytes(input in) {
    size_t size;
    uint8_t *bytes = read_catalog(&size);
    bool changed = false;
    while (in.at < in.end) {
        const uint8_t kind = (uint8_t)(take(&in, 1) % 4);
        size_t count;
        if (kind == 2) {
            skip_value(&in);
        } else if (kind == 3) {
            take(&in, 1);
        } else if (kind == 1) {
            const size_t end = (size_t)take(&in, 3);
            changed = changed || end < size;
            size = end < size ? end : size;
        } else {
            const size_t at = (size_t)take(&in, 3);
            const uint8_t *from = take_bytes(&in, &count);
            for (size_t i = 0; i < count && size > 0; ++i) {
                bytes[(at + i) % size] = from[i];
            }
            changed = true;
        }
    }
    if (changed) {
        write_catalog(bytes, size);
    }
    free(bytes);
}

/* ---- use ---- */

static void accept(rbc_status status, const rbc_error *err) {
    fuzz_require(status != RBC_ERROR_INTERNAL && status != RBC_ERROR_INVALID_ARGUMENT);
    if (status != RBC_OK && status != RBC_END && status != RBC_TIMEOUT) {
        fuzz_drain(err->message, strlen(err->message));
    }
}

static void read_stream(rbc_episode *episode, int32_t stream, const rbc_stream_info *info) {
    int64_t count;
    rbc_error err;
    if (rbc_episode_count(episode, stream, &count, NULL, &err) != RBC_OK) {
        return;
    }
    const int64_t part = count < 3 ? count : 3;
    int64_t times[3];
    float values[6] = {0};
    for (int64_t first = 0; first <= count - part && first < 16; first += 3) {
        accept(rbc_episode_times(episode, stream, first, part, times, &err), &err);
        if (info->kind == RBC_STREAM_TEXT) {
            const void *text;
            uint64_t bytes;
            if (part > 0 &&
                rbc_episode_bytes(episode, stream, first, &text, &bytes, &err) == RBC_OK) {
                fuzz_drain(text, bytes);
            }
        } else {
            const uint64_t sample = info->ndim == 1 ? 8 : info->dtype.bits / 8;
            void *to = info->dtype.bits == 64 ? (void *)times : (void *)values;
            accept(
                rbc_episode_read(episode, stream, first, part, to, sample * (uint64_t)part, &err),
                &err);
            fuzz_drain(to, sample * (uint64_t)part);
        }
    }
}

static void use_episodes(rbc_dataset *dataset, const rbc_dataset_info *info) {
    for (int64_t id = 0; id < info->num_episodes && id < 8; ++id) {
        rbc_episode *episode;
        rbc_episode_info found;
        rbc_error err;
        const rbc_status status = rbc_episode_open(dataset, id, &episode, &err);
        accept(status, &err);
        if (status != RBC_OK) {
            continue;
        }
        rbc_episode_get_info(episode, &found);
        fuzz_drain(found.task, strlen(found.task));
        fuzz_drain(found.metadata, strlen(found.metadata));
        for (int32_t i = 0; i < info->num_streams; ++i) {
            rbc_stream_info stream;
            if (rbc_dataset_stream(dataset, i, &stream, &err) == RBC_OK) {
                read_stream(episode, i, &stream);
            }
        }
        rbc_episode_close(&episode);
    }
}

static void load(const rbc_selection *selection) {
    static const int32_t ticks[] = {-1, 0, 2};
    rbc_window windows[] = {RBC_WINDOW_INIT, RBC_WINDOW_INIT, RBC_WINDOW_INIT};
    windows[0].stream = "state";
    windows[0].mode = RBC_RESAMPLE_LINEAR;
    windows[1].stream = "force";
    windows[1].mode = RBC_RESAMPLE_MEAN;
    windows[2].stream = "language_instruction";
    for (int i = 0; i < 3; ++i) {
        windows[i].ticks = ticks;
        windows[i].count = 3;
    }
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    params.windows = windows;
    params.num_windows = 3;
    params.batch_size = 4;
    params.shuffle = 1;
    params.num_threads = 1;
    params.on_error = RBC_ON_ERROR_SKIP;
    rbc_loader *loader;
    rbc_error err;
    rbc_status status = rbc_loader_create(selection, &params, &loader, &err);
    if (status != RBC_OK) {
        fuzz_require(status != RBC_ERROR_INTERNAL);
        return;
    }
    for (int i = 0; i < 6 && status == RBC_OK; ++i) {
        rbc_batch *batch = NULL;
        status = rbc_loader_next(loader, -1, &batch, &err);
        accept(status, &err);
        rbc_batch_release(&batch);
    }
    rbc_loader_destroy(&loader);
}

static void use_dataset(void) {
    static const char *const wheres[] = {"task MATCH 'drawer' OR num_steps > 5",
                                         "length(task || split || file) + bytes > record"};
    rbc_dataset *dataset;
    rbc_dataset_info info;
    rbc_error err;
    const char *text;
    int64_t count;
    const rbc_status status = fuzz_dataset_open(&dataset, &err);
    fuzz_require(status != RBC_ERROR_INTERNAL);
    if (status != RBC_OK) {
        fuzz_drain(err.message, strlen(err.message));
        return;
    }
    rbc_dataset_get_info(dataset, &info);
    for (int64_t i = 0; i < info.num_tasks && i < 4; ++i) {
        accept(rbc_dataset_task(dataset, i, &text, &count, &err), &err);
    }
    for (int64_t i = 0; i < info.num_skipped && i < 4; ++i) {
        accept(rbc_dataset_skipped(dataset, i, &text, &err), &err);
    }
    for (int i = 0; i < 3; ++i) {
        rbc_selection *selection;
        const rbc_status selected = rbc_selection_create(dataset, NULL, i < 2 ? wheres[i] : NULL,
                                                         NULL, NULL, &selection, &err);
        accept(selected, &err);
        if (selected == RBC_OK && i == 2) {
            load(selection);
        }
        rbc_selection_destroy(&selection);
    }
    use_episodes(dataset, &info);
    rbc_dataset_close(&dataset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (sound == NULL) {
        fuzz_dataset_make();
        sound = read_catalog(&sound_bytes);
    }
    const input in = {data, data + size};
    write_catalog(sound, sound_bytes);
    change_content(in);
    change_bytes(in);
    use_dataset();
    return 0;
}
