#define _POSIX_C_SOURCE 200809L

#include "core/thread.h"

#include <signal.h>
#include <stddef.h>

static int start(void *(*run)(void *), void *argument, const pthread_attr_t *attributes,
                 pthread_t *thread) {
    sigset_t blocked;
    sigset_t before;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGBUS);
    sigdelset(&blocked, SIGSEGV);
    sigdelset(&blocked, SIGFPE);
    sigdelset(&blocked, SIGILL);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int code = pthread_create(thread, attributes, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

int rbc__thread_start(void *(*run)(void *), void *argument, pthread_t *thread) {
    pthread_t left;
    pthread_attr_t detached;
    if (thread != NULL) {
        return start(run, argument, NULL, thread);
    }
    int code = pthread_attr_init(&detached);
    if (code == 0) {
        pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
        code = start(run, argument, &detached, &left);
        pthread_attr_destroy(&detached);
    }
    return code;
}
