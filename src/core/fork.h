/* fork() and the locks of this library, SQLite's among them.
 *
 * A child has the memory of its parent and one thread: a lock that another thread held is held for
 * ever. So whatever takes a lock that a child may want holds off forks while it does: fork() in
 * another thread waits for it, and a child finds every such lock free.
 *
 * Such a function begins with RBC__HOLD_FORKS(), which lasts until it returns; they may call each
 * other. None of them may wait for a thread that could be forking: callbacks, which may want a lock
 * of the caller's such as Python's, are called between rbc__forks_let() and
 * rbc__forks_hold_again(). What works without such locks, as the workers of a loader mostly do,
 * holds nothing off. */
#ifndef RBC_CORE_FORK_H
#define RBC_CORE_FORK_H

void rbc__forks_hold(void);
void rbc__forks_release(const int *unused);

#define RBC__HOLD_FORKS()                                                                          \
    __attribute__((cleanup(rbc__forks_release), unused)) const int rbc__forks_held =               \
        (rbc__forks_hold(), 0)

/* Lets a fork through that waits. The caller holds no lock. Returns what to hold again with. */
int rbc__forks_let(void);
void rbc__forks_hold_again(int held);

#endif
