#define _GNU_SOURCE

#include "io/fault_guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/error.h"

/* The handler reads these without a lock: `begin` is set last and cleared first, and guards live as
 * long as the process, to be used again. */
struct rbc__fault_guard {
    _Atomic uintptr_t begin; /* 0: free */
    _Atomic size_t bytes;
    _Atomic size_t failed_at; /* SIZE_MAX: no fault */
    struct rbc__fault_guard *next;
};

static _Atomic(rbc__fault_guard *) guards;
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sigaction previous;
static uintptr_t page_bytes;
static int install_errno = -1; /* -1: not tried yet */

static bool answer_fault(uintptr_t address) {
    for (rbc__fault_guard *guard = atomic_load(&guards); guard; guard = guard->next) {
        const uintptr_t begin = atomic_load(&guard->begin);
        if (begin == 0 || address < begin || address - begin >= atomic_load(&guard->bytes)) {
            continue;
        }
        const uintptr_t page = address - address % page_bytes;
        if (mmap((void *)page, page_bytes, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1,
                 0) == MAP_FAILED) {
            return false;
        }
        const size_t offset = page - begin;
        size_t lowest = atomic_load(&guard->failed_at);
        while (offset < lowest &&
               !atomic_compare_exchange_weak(&guard->failed_at, &lowest, offset)) {
        }
        return true;
    }
    return false;
}

static void on_sigbus(int number, siginfo_t *info, void *context) {
    const int saved_errno = errno;
    const bool answered = info->si_code > 0 && answer_fault((uintptr_t)info->si_addr);
    errno = saved_errno;
    if (answered) {
        return;
    }
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        const bool was_sent = info->si_code <= 0;
        if (was_sent && previous.sa_handler == SIG_IGN) {
            return;
        }
        /* A fault is raised again on return and a sent signal is sent again, now to the default. */
        struct sigaction action = {.sa_handler = SIG_DFL};
        sigaction(SIGBUS, &action, NULL);
        if (was_sent) {
            raise(SIGBUS);
        }
    }
}

/* With the lock held. */
static int install(void) {
    if (install_errno < 0) {
        page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
        struct sigaction action = {.sa_sigaction = on_sigbus,
                                   .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
        sigemptyset(&action.sa_mask);
        install_errno =
            sigaction(SIGBUS, NULL, &previous) == 0 && sigaction(SIGBUS, &action, NULL) == 0
                ? 0
                : errno;
    }
    return install_errno;
}

rbc_status rbc__fault_guard_add(void *data, size_t bytes, rbc__fault_guard **out, rbc_error *err) {
    *out = NULL;
    pthread_mutex_lock(&guards_lock);
    const int failed = install();
    rbc__fault_guard *guard = atomic_load(&guards);
    while (guard && atomic_load(&guard->begin) != 0) {
        guard = guard->next;
    }
    if (!guard && failed == 0) {
        guard = calloc(1, sizeof *guard);
        if (guard) {
            guard->next = atomic_load(&guards);
            atomic_store(&guards, guard);
        }
    }
    if (guard && failed == 0) {
        atomic_store(&guard->bytes, bytes);
        atomic_store(&guard->failed_at, SIZE_MAX);
        atomic_store(&guard->begin, (uintptr_t)data);
    }
    pthread_mutex_unlock(&guards_lock);
    if (failed != 0) {
        return rbc__fail_errno(err, failed, "installing a handler for SIGBUS");
    }
    if (!guard) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a guard for a mapping");
    }
    *out = guard;
    return RBC_OK;
}

void rbc__fault_guard_remove(rbc__fault_guard **guard) {
    if (*guard) {
        atomic_store(&(*guard)->begin, 0);
        *guard = NULL;
    }
}

bool rbc__fault_guard_failed(const rbc__fault_guard *guard, size_t *offset) {
    *offset = atomic_load(&guard->failed_at);
    return *offset != SIZE_MAX;
}
