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
#include "core/fork.h"

/* The handler reads these without a lock: `begin` is set last and cleared first, and guards live as
 * long as the process, to be used again. */
struct rbc__fault_guard {
    _Atomic uintptr_t begin; /* 0: free */
    _Atomic size_t bytes;
    _Atomic size_t failed_at; /* SIZE_MAX: no fault */
    struct rbc__fault_guard *next;
};

/* A handler that was there before ours; kept for ever, because ours may be running. */
typedef struct earlier_handler {
    struct sigaction action;
    struct earlier_handler *older;
} earlier_handler;

static _Atomic(rbc__fault_guard *) guards;
static pthread_mutex_t guards_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(earlier_handler *) earlier;
static _Atomic uintptr_t page_bytes;

/* Set while the earlier handler runs on this thread: one that was installed before ours and again
 * after it would otherwise be called without end. */
static _Thread_local volatile sig_atomic_t passing_on __attribute__((tls_model("initial-exec")));

static bool answer_fault(uintptr_t address) {
    for (rbc__fault_guard *guard = atomic_load(&guards); guard; guard = guard->next) {
        const uintptr_t begin = atomic_load(&guard->begin);
        if (begin == 0 || address < begin || address - begin >= atomic_load(&guard->bytes)) {
            continue;
        }
        const uintptr_t size = atomic_load(&page_bytes);
        const uintptr_t page = address - address % size;
        if (mmap((void *)page, size, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0) ==
            MAP_FAILED) {
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
    const struct sigaction *before = &atomic_load(&earlier)->action;
    const bool was_sent = info->si_code <= 0;
    const bool is_function = (before->sa_flags & SA_SIGINFO) ||
                             (before->sa_handler != SIG_DFL && before->sa_handler != SIG_IGN);
    if (is_function && !passing_on) {
        passing_on = 1;
        if (before->sa_flags & SA_SIGINFO) {
            before->sa_sigaction(number, info, context);
        } else {
            before->sa_handler(number);
        }
        passing_on = 0;
        return;
    }
    if (was_sent && !is_function && before->sa_handler == SIG_IGN) {
        return;
    }
    /* A fault is raised again on return and a sent signal is sent again, now to the default. */
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &action, NULL);
    if (was_sent) {
        raise(SIGBUS);
    }
}

static bool is_ours(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == on_sigbus;
}

/* With the lock held. Another library may have installed a handler since the last time: ours goes
 * before it again. Returns an errno. */
static int install(void) {
    struct sigaction now;
    atomic_store(&page_bytes, (uintptr_t)sysconf(_SC_PAGESIZE));
    if (sigaction(SIGBUS, NULL, &now) != 0) {
        return errno;
    }
    if (is_ours(&now)) {
        return 0;
    }
    earlier_handler *node = calloc(1, sizeof *node);
    if (node == NULL) {
        return ENOMEM;
    }
    node->action = now;
    node->older = atomic_load(&earlier);
    atomic_store(&earlier, node);
    struct sigaction action = {.sa_sigaction = on_sigbus,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0 ? 0 : errno;
}

rbc_status rbc__fault_guard_add(void *data, size_t bytes, rbc__fault_guard **out, rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    pthread_mutex_lock(&guards_lock);
    const int failed = install();
    rbc__fault_guard *guard = atomic_load(&guards);
    while (guard && atomic_load(&guard->begin) != 0) {
        guard = guard->next;
    }
    if (guard == NULL && failed == 0) {
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
    if (guard == NULL) {
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
