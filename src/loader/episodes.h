/* The episodes that a loader has at hand, shared by its threads: catalog row, parsed layout, stamps
 * and small numeric streams; least recently used out first, bounded in number and bytes. */
#ifndef RBC_LOADER_EPISODES_H
#define RBC_LOADER_EPISODES_H

#include <robocache/robocache.h>

#include "catalog/catalog.h"
#include "catalog/dataset.h"
#include "loader/batch_spec.h"

/* What is at hand of one stream of the spec. */
typedef struct rbc__loaded_stream {
    int64_t num_samples; /* steps, in a cloud */
    int64_t *times;      /* [num_samples], of a stream with stamps; non-decreasing */
    int64_t *row_begins; /* [num_steps + 1], of a cloud: first point of each step */
    uint8_t *values;     /* all of a numeric stream, or NULL: read what is needed */
    bool has_failed;     /* it is not at hand: */
    rbc_error *problem;  /* why; NULL: there was no memory for that */
} rbc__loaded_stream;

/* Constant once it is among the episodes at hand. */
typedef struct rbc__loaded_episode rbc__loaded_episode;
struct rbc__loaded_episode {
    int64_t position; /* in the selection */
    int64_t id;
    int64_t num_steps;
    rbc__parsed_episode parsed;
    rbc__layout *layout;
    char *task;
    uint64_t task_bytes;
    int64_t bytes; /* held in memory */
    /* ---- guarded by the lock of the episodes ---- */
    int64_t num_users;
    bool is_listed;
    rbc__loaded_episode *newer, *older; /* by last use, of those that nobody uses */
    rbc__loaded_episode *chain;         /* in the same bucket */
    rbc__loaded_stream streams[];       /* [spec->num_used] */
};

typedef struct rbc__episodes rbc__episodes;

/* `max_episodes` at least 1. Borrows the spec and the selection. */
rbc_status rbc__episodes_create(const rbc__batch_spec *spec, const rbc_selection *selection,
                                int64_t max_episodes, int64_t max_bytes, rbc__episodes **out,
                                rbc_error *err);
/* Nobody uses any. */
void rbc__episodes_destroy(rbc__episodes **handle);

/* The episodes at `positions` that are at hand; NULL for the others. Each is used until it is given
 * back. */
void rbc__episodes_find(rbc__episodes *episodes, const int64_t *positions, int64_t count,
                        rbc__loaded_episode **out);
/* Those that are not NULL. */
void rbc__episodes_give(rbc__episodes *episodes, rbc__loaded_episode *const *used, int64_t count);

/* Reads the rows of episodes of the catalog and parses their layouts. Of each that fails out[i] is
 * NULL and problems[i] says why: malloc'ed, NULL where there is no memory for it. They are used by
 * the caller, and not at hand for others. */
void rbc__episodes_open(rbc__episodes *episodes, const int64_t *positions, int64_t count,
                        rbc__loaded_episode **out, rbc_error **problems);

/* Wants, under tag i and the stream's number as rank, what has to be at hand of the streams of
 * opened[i]: stamps, row lengths, small streams. */
void rbc__episodes_want(rbc__episodes *episodes, rbc__loaded_episode *const *opened, int64_t count,
                        rbc__request *request);
/* After the request is finished: checks what was read. The ones of which all is at hand are so for
 * others too from then on. */
void rbc__episodes_settle(rbc__episodes *episodes, rbc__loaded_episode *const *opened,
                          int64_t count, const rbc__request *request);

/* Why a stream is not at hand, if it is not. */
rbc_status rbc__loaded_check(const rbc__loaded_stream *loaded, rbc_error *err);

/* Id of the episode at `position` of the selection. */
int64_t rbc__episodes_id(const rbc__episodes *episodes, int64_t position);

/* How many are at hand, and the bytes that they take. */
void rbc__episodes_count(rbc__episodes *episodes, int64_t *num_episodes, int64_t *bytes);

#endif
