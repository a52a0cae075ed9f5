#define _POSIX_C_SOURCE 200809L

#include "catalog/watch.h"

#include <stddef.h>
#include <time.h>

#include "core/fork.h"
#include "core/monotonic.h"

#define ASK_NS 50000000

bool rbc__watch_ask(rbc__watch *watch) {
    if (watch == NULL) {
        return false;
    }
    const int held = rbc__forks_let();
    watch->stopped = watch->stopped || (watch->ask != NULL && watch->ask(watch->user) != 0);
    rbc__forks_hold_again(held);
    watch->asked_ns = rbc__now_ns(); /* behind the answer, which may take its time */
    return watch->stopped;
}

bool rbc__watch_stop(rbc__watch *watch) {
    if (watch == NULL || watch->stopped) {
        return watch != NULL;
    }
    const int64_t now = rbc__now_ns();
    if (watch->asked_ns == 0) {
        watch->asked_ns = now;
    }
    return now - watch->asked_ns >= ASK_NS && rbc__watch_ask(watch);
}
