/* A bounded thread pool. */
#ifndef RBC_CORE_POOL_H
#define RBC_CORE_POOL_H

#include <robocache/robocache.h>

typedef struct rbc__pool rbc__pool;

/* Runs part `index` of a parallel job; must not fail, lock or allocate. */
typedef void (*rbc__pool_part_fn)(void *job, int64_t index);

/* `num_threads` counts the caller's; 1 makes no thread. After fork() in the child the pool has no
 * threads left and runs every job on the caller. */
rbc_status rbc__pool_create(int32_t num_threads, rbc__pool **out, rbc_error *err);
void rbc__pool_destroy(rbc__pool **pool);
int32_t rbc__pool_num_threads(const rbc__pool *pool);

/* Calls part(job, 0..num_parts-1), each once, on the pool's threads and the caller's, and returns
 * when all are done. Jobs from several threads take turns; a part that calls back into the pool
 * runs its job on its own thread. */
void rbc__pool_run(rbc__pool *pool, int64_t num_parts, rbc__pool_part_fn part, void *job);

#endif
