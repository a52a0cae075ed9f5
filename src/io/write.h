/* Writing to a file that the caller has opened. */
#ifndef RBC_IO_WRITE_H
#define RBC_IO_WRITE_H

#include <stdbool.h>
#include <stddef.h>

/* Writes all `bytes` at `data` to `file`; false, with errno, where that fails. Part of it may then
 * be written. */
bool rbc__write_all(int file, const void *data, size_t bytes);

#endif
