/* Open files of the whole process, bounded in number: a quarter of RLIMIT_NOFILE as it is at the
 * time, at least 16 and at most 1024. Whoever reads takes a descriptor for that long; of those
 * that nobody has taken, the ones not used lately are closed when room is needed. More than the
 * bound are open only while more are taken at a time. */
#ifndef RBC_IO_DESCRIPTOR_H
#define RBC_IO_DESCRIPTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* One file's. Zero-initialise; all members are this module's. */
typedef struct rbc__descriptor rbc__descriptor;
struct rbc__descriptor {
    atomic_uint state; /* 1: open; 2 for each user */
    atomic_bool is_used_lately;
    int fd;
    rbc__descriptor *next, *previous; /* among the open ones */
};

/* Opens the file anew: a descriptor, or -1 and errno. */
typedef int (*rbc__descriptor_open_fn)(void *user);

/* A descriptor to read from, until it is given back. Calls `open` where the file is not open now,
 * again after another has been closed where that fails with EMFILE or ENFILE; -1 where it fails. */
int rbc__descriptor_take(rbc__descriptor *descriptor, rbc__descriptor_open_fn open, void *user);
void rbc__descriptor_give(rbc__descriptor *descriptor);
/* Nobody has taken it. */
void rbc__descriptor_close(rbc__descriptor *descriptor);

/* How many are open, and how many may be. */
int64_t rbc__descriptor_num_open(void);
int64_t rbc__descriptor_limit(void);

#endif
