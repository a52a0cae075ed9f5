/* Tasks, skipped records and what parts told, by number: read whole when first asked for. */
#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "catalog/database.h"
#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "core/error.h"
#include "core/fork.h"

void rbc__listing_free(rbc__listing *listing) {
    for (int64_t i = 0; i < listing->count; ++i) {
        free(listing->texts[i]);
    }
    free(listing->texts);
    free(listing->counts);
    *listing = (rbc__listing){0};
}

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "catalog: out of memory");
}

static rbc_status add(rbc__listing *listing, int64_t *room, const char *text, int64_t count,
                      rbc_error *err) {
    if (listing->count == *room) {
        const int64_t wanted = *room == 0 ? 64 : *room * 2;
        char **texts = realloc(listing->texts, (size_t)wanted * sizeof *texts);
        if (texts == NULL) {
            return out_of_memory(err);
        }
        listing->texts = texts;
        int64_t *counts = realloc(listing->counts, (size_t)wanted * sizeof *counts);
        if (counts == NULL) {
            return out_of_memory(err);
        }
        listing->counts = counts;
        *room = wanted;
    }
    listing->texts[listing->count] = strdup(text != NULL ? text : "");
    listing->counts[listing->count] = count;
    if (listing->texts[listing->count] == NULL) {
        return out_of_memory(err);
    }
    ++listing->count;
    return RBC_OK;
}

/* `wanted` rows: a made-up table may have rows without end. */
static rbc_status read_rows(const rbc__catalog *catalog, const char *sql, int64_t wanted,
                            rbc__listing *listing, rbc_error *err) {
    sqlite3 *db;
    RBC__TRY(rbc__catalog_connect(catalog, NULL, &db, err));
    sqlite3_stmt *select = NULL;
    int64_t room = 0;
    rbc_status status = rbc__statement_prepare(db, sql, &select, err);
    if (status == RBC_OK) {
        sqlite3_bind_int64(select, 1, wanted < INT64_MAX ? wanted + 1 : wanted);
    }
    while (status == RBC_OK) {
        bool row;
        status = rbc__statement_step(select, &row, err);
        if (status != RBC_OK || !row) {
            break;
        }
        status = add(listing, &room, (const char *)sqlite3_column_text(select, 0),
                     sqlite3_column_int64(select, 1), err);
    }
    if (status == RBC_OK && listing->count != wanted) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "catalog '%s' is damaged: it has %s%lld texts where it says %lld; open "
                           "the dataset with rebuild",
                           catalog->path, listing->count > wanted ? "at least " : "",
                           (long long)listing->count, (long long)wanted);
    }
    rbc__statement_finish(&select);
    rbc__database_close(&db);
    return status;
}

static rbc_status load(rbc_dataset *dataset, rbc__listing *listing, const char *sql, int64_t wanted,
                       rbc_error *err) {
    RBC__HOLD_FORKS();
    pthread_mutex_lock(&dataset->lock);
    rbc_status status = RBC_OK;
    if (!listing->is_loaded) {
        status = read_rows(dataset->catalog, sql, wanted, listing, err);
        if (status == RBC_OK) {
            listing->is_loaded = true;
        } else {
            rbc__listing_free(listing);
        }
    }
    pthread_mutex_unlock(&dataset->lock);
    return status;
}

rbc_status rbc_dataset_task(const rbc_dataset *dataset, int64_t index, const char **text,
                            int64_t *num_episodes, rbc_error *err) {
    rbc_dataset *state = (rbc_dataset *)(uintptr_t)dataset; /* what is cached shows in no answer */
    RBC__TRY(load(state, &state->tasks, "SELECT text, episodes FROM tasks ORDER BY id LIMIT ?",
                  dataset->catalog->num_tasks, err));
    if (index < 0 || index >= state->tasks.count) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no task %lld: the dataset has %lld",
                         (long long)index, (long long)state->tasks.count);
    }
    *text = state->tasks.texts[index];
    *num_episodes = state->tasks.counts[index];
    return RBC_OK;
}

rbc_status rbc__dataset_told(rbc_dataset *dataset, int64_t index, const char **json, int64_t *part,
                             rbc_error *err) {
    RBC__TRY(load(dataset, &dataset->told,
                  "SELECT t.data, p.position FROM (SELECT * FROM told LIMIT ?) t"
                  " JOIN parts p ON p.id = t.part ORDER BY p.position",
                  dataset->catalog->num_told, err));
    *json = NULL;
    if (index >= 0 && index < dataset->told.count) {
        *json = dataset->told.texts[index];
        *part = dataset->told.counts[index];
        if (*part < 0 || *part >= dataset->schema->num_parts) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "catalog '%s' is damaged: it has no part %lld",
                             dataset->catalog->path, (long long)*part);
        }
    }
    return RBC_OK;
}

rbc_status rbc_dataset_skipped(const rbc_dataset *dataset, int64_t index, const char **message,
                               rbc_error *err) {
    rbc_dataset *state = (rbc_dataset *)(uintptr_t)dataset;
    RBC__TRY(load(state, &state->skipped,
                  "SELECT s.message, s.record FROM (SELECT * FROM skipped ORDER BY id LIMIT ?) s"
                  " JOIN parts p ON p.id = s.part ORDER BY p.position, s.id",
                  dataset->catalog->num_skipped, err));
    if (index < 0 || index >= state->skipped.count) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no skipped record %lld: there are %lld",
                         (long long)index, (long long)state->skipped.count);
    }
    *message = state->skipped.texts[index];
    return RBC_OK;
}
