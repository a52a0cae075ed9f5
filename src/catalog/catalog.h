/* The SQLite file that says which episodes a dataset has and where their samples lie. */
#ifndef RBC_CATALOG_CATALOG_H
#define RBC_CATALOG_CATALOG_H

#include <robocache/robocache.h>

#include "io/reader.h"

typedef struct rbc__catalog rbc__catalog;

/* One row of `episodes`. `layout` is borrowed until the next call on the same cursor. */
typedef struct rbc__episode_row {
    int64_t id;
    int64_t file; /* index into the schema's files */
    int64_t task; /* -1: none */
    rbc__episode_record record;
} rbc__episode_row;

/* A connection of one thread for looking episodes up by id. */
typedef struct rbc__cursor rbc__cursor;
rbc_status rbc__cursor_open(const rbc_dataset *dataset, rbc__cursor **out, rbc_error *err);
void rbc__cursor_close(rbc__cursor **cursor);
rbc_status rbc__cursor_episode(rbc__cursor *cursor, int64_t id, rbc__episode_row *out,
                               rbc_error *err);
/* Text of a task; borrowed until the next call on the same cursor. "" for -1. */
rbc_status rbc__cursor_task(rbc__cursor *cursor, int64_t task, const char **text, rbc_error *err);

#endif
