/* What a context holds, for the layers that run operations on it. */
#ifndef RBC_CORE_CONTEXT_H
#define RBC_CORE_CONTEXT_H

#include <robocache/robocache.h>

#include "core/pool.h"

struct rbc_context {
    rbc__pool *pool;
    uint64_t cpu_features; /* after the mask */
};

#endif
