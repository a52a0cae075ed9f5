/* Survives SIGBUS inside a mapping whose file has become shorter or whose disk fails.
 *
 * The handler puts a page of zeros where the fault was and marks the mapping as failed; whoever
 * uses the mapping asks afterwards. A SIGBUS anywhere else goes to the handler that was installed
 * before. The method is that of Wayland's shared-memory pools (wayland-shm.c). */
#ifndef RBC_IO_FAULT_GUARD_H
#define RBC_IO_FAULT_GUARD_H

#include <stdbool.h>

#include <robocache/robocache.h>

typedef struct rbc__fault_guard rbc__fault_guard;

/* Guards [data, data + bytes), a mapping of whole pages. Remove the guard before unmapping. */
rbc_status rbc__fault_guard_add(void *data, size_t bytes, rbc__fault_guard **out, rbc_error *err);
void rbc__fault_guard_remove(rbc__fault_guard **guard);

/* True when a fault has been answered with zeros; `offset` is then the lowest page it was in. */
bool rbc__fault_guard_failed(const rbc__fault_guard *guard, size_t *offset);

#endif
