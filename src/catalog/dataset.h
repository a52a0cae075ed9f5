/* A dataset, its selections and its episodes, as the loader sees them. Interface of src/catalog. */
#ifndef RBC_CATALOG_DATASET_H
#define RBC_CATALOG_DATASET_H

#include <robocache/robocache.h>

#include "catalog/catalog.h"
#include "formats/format.h"
#include "store/request.h"

/* rbc_dataset_open() with the reader already chosen. */
rbc_status rbc__dataset_open_with(const rbc__format *ops, const char *path,
                                  const rbc_open_params *params, rbc_dataset **out, rbc_error *err);

/* Reference-counted; rbc_dataset_close() drops one. */
void rbc__dataset_retain(rbc_dataset *dataset);

const rbc__schema *rbc__dataset_schema(const rbc_dataset *dataset);
const rbc__catalog *rbc__dataset_catalog(const rbc_dataset *dataset);
double rbc__dataset_control_rate(const rbc_dataset *dataset);   /* 0: unknown */
rbc_jpeg_dct rbc__dataset_jpeg_dct(const rbc_dataset *dataset); /* never DEFAULT */

/* What parts told when they were indexed, in their order: `*json` of the one at `index`, borrowed, and
 * which part that is; NULL past the last. */
rbc_status rbc__dataset_told(rbc_dataset *dataset, int64_t index, const char **json, int64_t *part,
                             rbc_error *err);

/* What its requests share: its store, and the cache of blocks of its episodes. Borrowed. */
rbc__request_params rbc__dataset_requests(const rbc_dataset *dataset);
/* Puts another store in the place of its own, which is the caller's from then on; for tests that
 * say how bytes come. Nothing has been read yet. */
void rbc__dataset_set_store(rbc_dataset *dataset, rbc__store *store);

/* The layout of a row that a cursor has found; released with free(). */
rbc_status rbc__dataset_parse_layout(const rbc_dataset *dataset, const rbc__episode_row *row,
                                     rbc__layout **out, rbc_error *err);

/* What a selection knows of each of its episodes without touching the catalog again. start_ns and
 * end_ns as in rbc__episode_entry. Arrays of rbc_selection_size() elements. */
const int64_t *rbc__selection_ids(const rbc_selection *selection);
const int64_t *rbc__selection_steps(const rbc_selection *selection);
const int64_t *rbc__selection_start_ns(const rbc_selection *selection);
const int64_t *rbc__selection_end_ns(const rbc_selection *selection);
/* Steps of the episode at `position` that are kept. */
int64_t rbc__selection_num_kept(const rbc_selection *selection, int64_t position);

/* What was worked out of the data before, by a text that says all it depends on, see answers.h: whether
 * it is there. `*values` [*count] is the caller's, released with free(). */
bool rbc__dataset_recall(rbc_dataset *dataset, const char *question, int64_t **values,
                         int64_t *count);
/* Keeps a copy for later, where there is room and memory; what was asked for least lately goes. */
void rbc__dataset_remember(rbc_dataset *dataset, const char *question, const int64_t *values,
                           int64_t count);

/* What the episodes of a selection amount to. */
typedef struct rbc__selection_counts {
    int64_t num_bytes;                     /* of their records */
    int64_t num_files;                     /* that hold any of them */
    int64_t *split_episodes, *split_steps; /* [splits of the dataset]; steps that are kept */
    char **tasks;                          /* [num_tasks] */
    int64_t *task_episodes;                /* [num_tasks], at least 1 each */
    int64_t num_tasks;
} rbc__selection_counts;

/* Reads one row of the catalog for each episode. Free the counts; they are empty after a failure.
 */
rbc_status rbc__selection_count(const rbc_selection *selection, rbc__selection_counts *out,
                                rbc_error *err);
void rbc__selection_counts_free(rbc__selection_counts *counts);

/* First and last stamp in stream `times` of each of its episodes, into arrays of
 * rbc_selection_size(); 0, -1 where there are none. Reads the catalog. */
rbc_status rbc__selection_load_spans(const rbc_selection *selection, int32_t times,
                                     int64_t *first_ns, int64_t *last_ns, rbc_error *err);

/* Selections are reference-counted too, so that a loader can keep the arrays above without a copy;
 * rbc_selection_destroy() drops one. Any thread. Returns the same selection, to be destroyed. */
rbc_selection *rbc__selection_retain(const rbc_selection *selection);

/* A hash of the ids, steps and what is kept of them, in their order, that is the same in every process: selections with
 * the same one hold the same. */
uint64_t rbc__selection_fingerprint(const rbc_selection *selection);

#endif
