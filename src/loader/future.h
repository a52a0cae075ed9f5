/* Ticks that are drawn: rbc_future. */
#ifndef RBC_LOADER_FUTURE_H
#define RBC_LOADER_FUTURE_H

#include <stdbool.h>

#include <robocache/robocache.h>

/* INVALID_ARGUMENT; `stream` is for messages. */
rbc_status rbc__future_check(const rbc_future *future, const char *stream, rbc_error *err);

/* The tick, of an episode of `num_ticks`, that is drawn for a sample at `tick` by `key`, which is
 * rbc_image_key() of frame 0. False: none of the range lies in the episode, and it is the end that
 * is nearest. */
bool rbc__future_draw(const rbc_future *future, uint64_t key, int64_t tick, int64_t num_ticks,
                      int64_t *out);

#endif
