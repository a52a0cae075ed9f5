#include "catalog/files.h"

#include <isa-l/crc64.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "layout/blobs.h"
#include "layout/layout.h"

typedef struct file {
    uint64_t path; /* a digest of it */
    int64_t bytes;
} file;

typedef struct files {
    file *items;
    size_t count, room;
    int64_t num_unnamed; /* counted by their number alone */
} files;

/* More files of one part are not told apart by name: they are counted, and their bytes are not. */
#define MAX_NAMED (1 << 22)

static rbc_status add(files *found, const char *path, int64_t bytes, rbc_error *err) {
    if (found->count == found->room) {
        const size_t wanted = found->room == 0 ? 256 : 2 * found->room;
        file *grown = realloc(found->items, wanted * sizeof *grown);
        if (grown == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
        }
        found->items = grown;
        found->room = wanted;
    }
    const uint64_t digest = crc64_ecma_refl(0, (const uint8_t *)path, strlen(path));
    found->items[found->count++] = (file){digest, bytes > 0 ? bytes : 0};
    return RBC_OK;
}

/* The files that are parts themselves. */
static rbc_status add_parts(sqlite3 *db, const rbc__schema *schema, files *found, rbc_error *err) {
    sqlite3_stmt *select;
    bool row = true;
    RBC__TRY(rbc__statement_prepare(db, "SELECT position, size FROM parts", &select, err));
    rbc_status status = RBC_OK;
    while (status == RBC_OK && row) {
        status = rbc__statement_step(select, &row, err);
        const int64_t at = status == RBC_OK && row ? sqlite3_column_int64(select, 0) : -1;
        if (at >= 0 && at < schema->num_parts && !schema->parts[at].is_virtual) {
            status = add(found, schema->parts[at].path, sqlite3_column_int64(select, 1), err);
        }
    }
    rbc__statement_finish(&select);
    return status;
}

static rbc_status add_group(const uint8_t *data, size_t bytes, files *found, rbc_error *err) {
    rbc__blobs *blobs;
    RBC__TRY(rbc__blobs_parse(data, bytes, "catalog", &blobs, err));
    uint64_t count = rbc__blobs_count(blobs);
    rbc_status status = RBC_OK;
    if (count > MAX_NAMED) {
        found->num_unnamed += (int64_t)count;
        count = 0;
    }
    for (uint64_t i = 1; i <= count && status == RBC_OK; ++i) {
        char *path;
        int64_t size;
        status = rbc__blobs_path(blobs, (uint32_t)i, &path, &size, err);
        if (status == RBC_OK) {
            status = add(found, path, size, err);
            free(path);
        }
    }
    free(blobs);
    return status;
}

/* Those that parts point to. */
static rbc_status add_blobs(sqlite3 *db, files *found, rbc_error *err) {
    sqlite3_stmt *select;
    bool row = true;
    RBC__TRY(rbc__statement_prepare(db, "SELECT data FROM objects WHERE kind = ?", &select, err));
    sqlite3_bind_int64(select, 1, RBC__IN_BLOB);
    rbc_status status = RBC_OK;
    while (status == RBC_OK && row) {
        status = rbc__statement_step(select, &row, err);
        if (status == RBC_OK && row) {
            status = add_group(sqlite3_column_blob(select, 0),
                               (size_t)sqlite3_column_bytes(select, 0), found, err);
        }
    }
    rbc__statement_finish(&select);
    return status;
}

static int compare(const void *left, const void *right) {
    const file *a = left;
    const file *b = right;
    return a->path != b->path ? (a->path < b->path ? -1 : 1)
                              : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

rbc_status rbc__files_count(sqlite3 *db, const rbc__schema *schema, int64_t *num_files,
                            int64_t *num_bytes, rbc_error *err) {
    files found = {0};
    rbc_status status = add_parts(db, schema, &found, err);
    if (status == RBC_OK) {
        status = add_blobs(db, &found, err);
    }
    *num_files = found.num_unnamed;
    *num_bytes = 0;
    if (found.count > 0) {
        qsort(found.items, found.count, sizeof *found.items, compare);
    }
    for (size_t i = 0; i < found.count && status == RBC_OK; ++i) {
        if (i + 1 < found.count && found.items[i].path == found.items[i + 1].path) {
            continue; /* the last of them, whose size is known where any's is */
        }
        ++*num_files;
        if (!rbc__add_size(*num_bytes, found.items[i].bytes, num_bytes)) {
            status = rbc__fail(err, RBC_ERROR_FORMAT, "the files have more than 2^63 bytes");
        }
    }
    free(found.items);
    return status;
}
