/* Steps and stamps of the episodes of one part, packed: what selections need of every episode, in
 * about four bytes each instead of a row of a table. */
#ifndef RBC_CATALOG_SUMMARY_H
#define RBC_CATALOG_SUMMARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An episode takes at most this many bytes. */
#define RBC__SUMMARY_MAX_BYTES 30

typedef struct rbc__summary_entry {
    int64_t num_steps;
    int64_t start_ns, end_ns; /* 0, -1: no stamps */
} rbc__summary_entry;

/* Appends `entry` at `dst`; `previous_start_ns` is that of the entry before it, 0 for the first.
 * Returns the bytes written. */
size_t rbc__summary_put(uint8_t *dst, const rbc__summary_entry *entry, int64_t previous_start_ns);

/* The entry at *at, which moves on behind it. False when [*at, end) is not one. */
bool rbc__summary_get(const uint8_t **at, const uint8_t *end, int64_t previous_start_ns,
                      rbc__summary_entry *out);

#endif
