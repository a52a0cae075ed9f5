/* Memory, files and threads that fail: of the calls that this program and its libraries make of the system,
 * one, or all from one on. Linked into a program, or loaded before one. */
#ifndef RBC_TESTS_FAULTS_FAULTY_H
#define RBC_TESTS_FAULTS_FAULTY_H

#include <stdint.h>

typedef enum fault_kind {
    FAULT_MEMORY,    /* malloc and its like find none */
    FAULT_DISK,      /* what touches files fails with EIO */
    FAULT_LIMIT,     /* EMFILE, ENOSPC, ENOMEM, ENOLCK; EAGAIN of pthread_create() */
    FAULT_INTERRUPT, /* EINTR, where a call may wait */
    FAULT_SHORT,     /* half of what was to be read or written is */
    NUM_FAULT_KINDS
} fault_kind;

/* "memory", "disk", ...; NULL where there is none. */
const char *fault_name(int kind);

/* Call number `nth` from now, of those that can fail so, counted from 1, fails; with `stays` all behind it,
 * too. `only_from`: of allocations those alone that code of a file makes whose path has one of these words,
 * divided by ','; NULL: all. */
void faults_begin(int kind, int64_t nth, int stays, const char *only_from);
/* No call fails from now on. Returns how many did; `function` (NULL allowed) is what failed first. */
int64_t faults_end(const char **function);

/* Calls since faults_begin() that could have failed. */
int64_t faults_num_calls(void);

#endif
