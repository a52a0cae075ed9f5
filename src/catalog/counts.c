/* What a selection holds, for tables: one look at the catalog's row of each of its episodes. */
#define _GNU_SOURCE

#include <stdlib.h>
#include <string.h>

#include "catalog/database.h"
#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "catalog/key.h"
#include "core/error.h"
#include "core/fork.h"

void rbc__selection_counts_free(rbc__selection_counts *counts) {
    for (int64_t i = 0; i < counts->num_tasks; ++i) {
        free(counts->tasks[i]);
    }
    free(counts->tasks);
    free(counts->task_episodes);
    free(counts->split_episodes);
    *counts = (rbc__selection_counts){0};
}

/* Bytes of the records and, to tasks[i], the task of episode i; -1: none. */
static rbc_status read_rows(const rbc_selection *selection, const rbc__catalog *catalog,
                            sqlite3 *db, int64_t *tasks, int64_t *num_bytes, rbc_error *err) {
    const int64_t *ids = rbc__selection_ids(selection);
    const int64_t count = rbc_selection_size(selection);
    sqlite3_stmt *select = NULL;
    rbc_status status = rbc__statement_prepare(
        db, "SELECT bytes, coalesce(task, -1) FROM episodes WHERE key = ?", &select, err);
    for (int64_t i = 0; i < count && status == RBC_OK; ++i) {
        sqlite3_bind_int64(select, 1, rbc__catalog_key_of(catalog, ids[i]));
        bool row;
        status = rbc__statement_step(select, &row, err);
        if (status == RBC_OK &&
            (!row || !rbc__add_size(*num_bytes, sqlite3_column_int64(select, 0), num_bytes))) {
            status = rbc__fail(err, RBC_ERROR_FORMAT,
                               "catalog '%s' is damaged: no sound row of episode %lld; open the "
                               "dataset with rebuild",
                               catalog->path, (long long)ids[i]);
        }
        if (status == RBC_OK) {
            tasks[i] = sqlite3_column_int64(select, 1);
        }
        sqlite3_reset(select);
    }
    rbc__statement_finish(&select);
    return status;
}

static int compare(const void *a, const void *b) {
    const int64_t left = *(const int64_t *)a;
    const int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

/* Runs of equal tasks of the sorted list, with their texts. */
static rbc_status count_tasks(rbc_dataset *dataset, int64_t *tasks, int64_t count,
                              rbc__selection_counts *out, rbc_error *err) {
    rbc__cursor *cursor;
    RBC__TRY(rbc__cursor_take(dataset, &cursor, err));
    qsort(tasks, (size_t)count, sizeof *tasks, compare);
    rbc_status status = RBC_OK;
    for (int64_t i = 0; i < count && status == RBC_OK; ++i) {
        if (tasks[i] < 0) {
            continue;
        }
        if (out->num_tasks == 0 || tasks[i] != tasks[i - 1]) {
            const char *text;
            status = rbc__cursor_task(cursor, tasks[i], &text, err);
            if (status == RBC_OK) {
                out->tasks[out->num_tasks] = strdup(text);
                status = out->tasks[out->num_tasks] != NULL
                             ? RBC_OK
                             : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a task of a selection");
            }
            out->num_tasks += status == RBC_OK;
        }
        if (status == RBC_OK) {
            ++out->task_episodes[out->num_tasks - 1];
        }
    }
    rbc__cursor_give(&cursor);
    return status;
}

/* Episodes and steps of each split, and the files that hold any; needs no look at the catalog. */
static rbc_status count_splits(const rbc_selection *selection, const rbc_dataset *dataset,
                               rbc__selection_counts *out, rbc_error *err) {
    const int64_t *ids = rbc__selection_ids(selection);
    uint8_t *is_used = calloc((size_t)dataset->catalog->num_parts + 1, 1);
    if (is_used == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the files of a selection");
    }
    for (int64_t i = 0; i < rbc_selection_size(selection); ++i) {
        const int64_t file = rbc__catalog_part_of(dataset->catalog, ids[i]);
        int32_t split = 0;
        while (strcmp(dataset->splits[split].name, dataset->schema->parts[file].split) != 0) {
            ++split;
        }
        ++out->split_episodes[split];
        out->split_steps[split] += rbc__selection_num_kept(selection, i);
        out->num_files += is_used[file] == 0;
        is_used[file] = 1;
    }
    free(is_used);
    return RBC_OK;
}

rbc_status rbc__selection_count(const rbc_selection *selection, rbc__selection_counts *out,
                                rbc_error *err) {
    RBC__HOLD_FORKS();
    rbc_dataset *dataset = rbc_selection_dataset(selection);
    const size_t count = (size_t)rbc_selection_size(selection);
    const size_t num_splits = (size_t)dataset->num_splits;
    int64_t *tasks = calloc(count + 1, sizeof *tasks);
    *out = (rbc__selection_counts){
        .split_episodes = calloc(2 * num_splits + 1, sizeof *out->split_episodes),
        .tasks = calloc(count + 1, sizeof *out->tasks),
        .task_episodes = calloc(count + 1, sizeof *out->task_episodes),
    };
    rbc_status status = RBC_OK;
    sqlite3 *db = NULL;
    if (tasks == NULL || out->split_episodes == NULL || out->tasks == NULL ||
        out->task_episodes == NULL) {
        status =
            rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "selection: no memory to count %zu", count);
    } else {
        out->split_steps = out->split_episodes + num_splits;
        status = rbc__catalog_connect(dataset->catalog, NULL, &db, err);
    }
    if (status == RBC_OK) {
        status = read_rows(selection, dataset->catalog, db, tasks, &out->num_bytes, err);
    }
    if (status == RBC_OK) {
        status = count_tasks(dataset, tasks, (int64_t)count, out, err);
    }
    if (status == RBC_OK) {
        status = count_splits(selection, dataset, out, err);
    }
    rbc__database_close(&db);
    free(tasks);
    if (status != RBC_OK) {
        rbc__selection_counts_free(out);
    }
    return status;
}
