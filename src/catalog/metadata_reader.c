#include "catalog/metadata_reader.h"

#include <stdlib.h>

#include "catalog/database.h"
#include "catalog/metadata.h"
#include "core/error.h"

#define MAX_KEPT_BYTES (1 << 20)

void rbc__metadata_forget(rbc__metadata_reader *reader) {
    free(reader->group);
    *reader = (rbc__metadata_reader){0};
}

static rbc_status unpack_row(rbc__metadata_reader *reader, sqlite3_stmt *select, rbc_error *err) {
    const int64_t first = sqlite3_column_int64(select, 0);
    if (reader->group != NULL && reader->first == first) {
        return RBC_OK;
    }
    rbc__metadata_forget(reader);
    reader->first = first;
    const void *packed = sqlite3_column_blob(select, 1);
    const size_t packed_bytes = (size_t)sqlite3_column_bytes(select, 1);
    return rbc__metadata_unpack(packed, packed_bytes, &reader->group, &reader->bytes, err);
}

/* The group that holds an episode: the last of its sixty-four that begins with it or before. None:
 * `found` false. */
static rbc_status read_group(rbc__metadata_reader *reader, sqlite3 *db, int64_t key, bool *found,
                             rbc_error *err) {
    static const char sql[] = "SELECT key, data FROM metadata WHERE key BETWEEN ? AND ?"
                              " ORDER BY key DESC LIMIT 1";
    sqlite3_stmt *select;
    *found = false;
    RBC__TRY(rbc__statement_prepare(db, sql, &select, err));
    sqlite3_bind_int64(select, 1, key - key % RBC__METADATA_GROUP);
    sqlite3_bind_int64(select, 2, key);
    rbc_status status = rbc__statement_step(select, found, err);
    if (status == RBC_OK && *found) {
        status = unpack_row(reader, select, err);
    }
    rbc__statement_finish(&select);
    return status;
}

rbc_status rbc__metadata_read(rbc__metadata_reader *reader, sqlite3 *db, int64_t key,
                              const char **json, size_t *json_bytes, rbc_error *err) {
    if (reader->bytes > MAX_KEPT_BYTES) {
        rbc__metadata_forget(reader);
    }
    bool found;
    RBC__TRY(read_group(reader, db, key, &found, err));
    if (!found) {
        *json = "{}";
        *json_bytes = 2;
        return RBC_OK;
    }
    return rbc__metadata_find(reader->group, reader->bytes, key - reader->first, json, json_bytes,
                              err);
}
