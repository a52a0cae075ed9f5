/* Goes through parts on several threads and writes what they hold into the catalog. */
#ifndef RBC_CATALOG_INDEX_RUN_H
#define RBC_CATALOG_INDEX_RUN_H

#include "catalog/database.h"
#include "formats/format.h"
#include "io/unpacked.h"

/* A part that the catalog does not hold yet. */
typedef struct rbc__pending_part {
    int64_t position; /* in the schema */
    int64_t id;       /* in the catalog */
} rbc__pending_part;

typedef struct rbc__index_job {
    sqlite3 *db;
    const rbc__format *ops;
    rbc__reader *reader;
    const char *root;
    const char *catalog_path, *folder; /* see rbc__part_index_writer_create() */
    const rbc__pending_part *pending;  /* in the dataset's order */
    int64_t num_pending;
    const rbc__unpack_folder *unpack_folder; /* NULL: what is compressed as a whole is refused */
    int32_t num_threads;                     /* 0: all cores */
    rbc_on_error on_error;
    rbc__watch *watch;      /* NULL: nobody is asked */
    rbc_progress done;      /* what was there before, and the totals */
    rbc_progress *progress; /* how far it is, kept up to date before the watch is asked; or NULL */
} rbc__index_job;

/* Reads with num_threads threads; writes, and asks the watch, on the caller's. Parts are written
 * in the order given: of several damaged ones the error is always that of the first, and those
 * before it stay. */
rbc_status rbc__index_run(const rbc__index_job *job, rbc_error *err);

#endif
