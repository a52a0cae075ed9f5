#include "catalog/catalog.h"
#include "catalog/database.h"
#include "catalog/summary.h"
#include "core/error.h"

/* Unpacks what the row found says of each episode of the file; `total` is the sum of the counts. */
static rbc_status unpack(sqlite3_stmt *select, const rbc__catalog_part *file,
                         const char *catalog_path, int64_t *counts, int64_t *start_ns,
                         int64_t *end_ns, int64_t *total, rbc_error *err) {
    bool row;
    RBC__TRY(rbc__statement_step(select, &row, err));
    const uint8_t *at = row ? sqlite3_column_blob(select, 0) : NULL;
    const uint8_t *end = at != NULL ? at + sqlite3_column_bytes(select, 0) : NULL;
    int64_t previous_start_ns = 0;
    *total = 0;
    for (int64_t i = 0; i < file->num_episodes; ++i) {
        rbc__summary_entry entry;
        if (!rbc__summary_get(&at, end, previous_start_ns, &entry) ||
            !rbc__add_size(*total, entry.num_steps, total)) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "catalog '%s': summary of file %lld ends before its episode %lld of "
                             "%lld; open the dataset with rebuild",
                             catalog_path, (long long)file->id, (long long)i,
                             (long long)file->num_episodes);
        }
        previous_start_ns = entry.start_ns;
        counts[i] = entry.num_steps;
        start_ns[i] = entry.start_ns;
        end_ns[i] = entry.end_ns;
    }
    if (at != end) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "catalog '%s': summary of file %lld has more than its %lld episodes; open "
                         "the dataset with rebuild",
                         catalog_path, (long long)file->id, (long long)file->num_episodes);
    }
    return RBC_OK;
}

/* `times`: the stream of stamps whose spans are wanted, or -1 for the episodes themselves. */
static rbc_status load(const rbc__catalog *catalog, int32_t times, int64_t *counts,
                       int64_t *start_ns, int64_t *end_ns, rbc_error *err) {
    sqlite3 *db;
    RBC__TRY(rbc__catalog_connect(catalog, NULL, &db, err));
    sqlite3_stmt *select = NULL;
    rbc_status status =
        rbc__statement_prepare(db,
                               times < 0 ? "SELECT data FROM summaries WHERE part = ?"
                                         : "SELECT data FROM spans WHERE part = ? AND times = ?",
                               &select, err);
    for (int64_t i = 0; i < catalog->num_parts && status == RBC_OK; ++i) {
        const rbc__catalog_part *file = &catalog->parts[i];
        int64_t total = 0;
        sqlite3_bind_int64(select, 1, file->id);
        if (times >= 0) {
            sqlite3_bind_int64(select, 2, times);
        }
        status = unpack(select, file, catalog->path, counts + file->first_id,
                        start_ns + file->first_id, end_ns + file->first_id, &total, err);
        if (status == RBC_OK && times < 0 && total != file->num_steps) {
            status = rbc__fail(
                err, RBC_ERROR_FORMAT,
                "catalog '%s': summary of file %lld has %lld steps, its row %lld; open the "
                "dataset with rebuild",
                catalog->path, (long long)file->id, (long long)total, (long long)file->num_steps);
        }
        sqlite3_reset(select);
    }
    rbc__statement_finish(&select);
    rbc__database_close(&db);
    return status;
}

rbc_status rbc__catalog_load_steps(const rbc__catalog *catalog, int64_t *steps, int64_t *start_ns,
                                   int64_t *end_ns, rbc_error *err) {
    return load(catalog, -1, steps, start_ns, end_ns, err);
}

rbc_status rbc__catalog_load_spans(const rbc__catalog *catalog, int32_t times, int64_t *num_samples,
                                   int64_t *first_ns, int64_t *last_ns, rbc_error *err) {
    return load(catalog, times, num_samples, first_ns, last_ns, err);
}
