/* Threads of the library. They leave signals to the program's own, but for faults, which belong to
 * whoever causes them. */
#ifndef RBC_CORE_THREAD_H
#define RBC_CORE_THREAD_H

#include <pthread.h>

/* Starts one, to be joined; `thread` NULL: it is detached. Returns 0 or an errno, and then there is
 * none. */
int rbc__thread_start(void *(*run)(void *), void *argument, pthread_t *thread);

#endif
