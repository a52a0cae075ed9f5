/* The rate of a library alone: N threads go through the items of one file over and over. */
#ifndef RBC_BENCH_RATE_H
#define RBC_BENCH_RATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct library_rate {
    const char *program, *items; /* as the result names them: "libdeflate", "blocks" */
    /* What a thread works with, and the end of that; `user` is the caller's own. NULL: failed. */
    void *(*open)(const void *user);
    void (*close)(void *state);
    /* Goes through all items of a file once; returns how many there were, -1: one failed. */
    long (*pass)(void *state, const uint8_t *data, size_t bytes, const void *user);
    const void *user;
} library_rate;

/* Prints one JSON line with items per second, and per second of processor time. Returns the exit
 * status. */
int rate_run(const library_rate *rate, const char *path, const char *threads, const char *seconds);

#endif
