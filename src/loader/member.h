/* A dataset that a loader draws from: its episodes on its own clock, and what is made of a sample of
 * them. A loader has one, or those of a mixture. Shared within src/loader. */
#ifndef RBC_LOADER_MEMBER_H
#define RBC_LOADER_MEMBER_H

#include <robocache/robocache.h>

#include "loader/blocks.h"
#include "loader/clock.h"
#include "loader/reference.h"
#include "loader/rows.h"

typedef struct rbc__member {
    char *name; /* in the mixture; NULL: the loader's only one */
    rbc_selection *selection;
    rbc_dataset *dataset; /* the selection's */
    rbc__reference reference;
    rbc__clock clock;
    rbc__notes notes;
    rbc__batch_spec *spec; /* owned, unless the slots have taken it */
    rbc__episodes *episodes;
    rbc__packed packed;
    int64_t cache_bytes;                     /* of the cache that its blocks take, about */
    int64_t segment_samples, group_segments; /* that shuffling by blocks takes */
    rbc__rows_params rows_params;
    /* ---- while the loader is made ---- */
    rbc_window *windows; /* [num_windows] of streams that it has */
    const char **absent; /* [num_absent] windows of streams that it lacks */
    int32_t num_windows, num_absent;
} rbc__member;

/* Clock, order and windows. `params` are checked; those that a member says itself are not looked at.
 * Errors are those of rbc_loader_create(). What was made is freed by rbc__member_free(). */
rbc_status rbc__member_prepare(rbc__member *member, const rbc_mixture_member *from,
                               const rbc_loader_params *params, rbc__request_watch *watch,
                               rbc_error *err);

/* What its threads share: `requests` has the loader's caches. */
rbc_status rbc__member_open(rbc__member *member, const rbc__request_params *requests,
                            int64_t max_episode_bytes, rbc_error *err);

/* Looks at the first episodes: shapes of images, how samples are packed, and what follows for the
 * order. `cache_bytes` of the cache are for its blocks. */
rbc_status rbc__member_look(rbc__member *member, rbc__maker *maker, const rbc_loader_params *params,
                            int64_t cache_bytes, rbc_error *err);

void rbc__member_free(rbc__member *member);

#endif
