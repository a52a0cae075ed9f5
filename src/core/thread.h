/* Threads of the library. They leave signals to the program's own, but for faults, which belong to
 * whoever causes them. Those that index are not started so: formats in Python run there, and the
 * processes that these start would have their signals blocked. */
#ifndef RBC_CORE_THREAD_H
#define RBC_CORE_THREAD_H

#include <pthread.h>

/* Starts one, to be joined; `thread` NULL: it is detached. Returns 0 or an errno, and then there is
 * none. */
int rbc__thread_start(void *(*run)(void *), void *argument, pthread_t *thread);

#endif
