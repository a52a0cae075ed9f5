/* Files that are compressed as a whole, with gzip (one member or several) or zlib. */
#ifndef RBC_IO_WHOLE_H
#define RBC_IO_WHOLE_H

#include <robocache/robocache.h>

#include "io/source.h"

typedef enum rbc__whole {
    RBC__WHOLE_PLAIN = 0, /* not known to be compressed */
    RBC__WHOLE_GZIP = 1,
    RBC__WHOLE_ZLIB = 2,
} rbc__whole;

/* By how a file begins; its first 12 bytes are enough. */
rbc__whole rbc__whole_of(const uint8_t *bytes, size_t num_bytes);
const char *rbc__whole_name(rbc__whole whole);

/* Bytes that the file has unpacked at least: what its end says, which for gzip is the size of the
 * last member modulo 4 GiB. 0 where nothing says it. */
rbc_status rbc__whole_size(rbc__source *source, rbc__whole whole, int64_t *bytes, rbc_error *err);

/* Takes what was unpacked, in order, a window at a time; `packed` bytes of the file have been gone
 * through. RBC_END: that is enough. */
typedef rbc_status (*rbc__whole_take)(void *user, const uint8_t *data, size_t bytes,
                                      uint64_t packed, rbc_error *err);

/* Unpacks a file through windows of 1 MiB, and checks it. FORMAT, naming the file and the byte,
 * where it is damaged or cut short, or something else follows; zeros behind the last member of a
 * gzip file are padding. */
rbc_status rbc__whole_unpack(rbc__source *source, rbc__whole whole, rbc__whole_take take,
                             void *user, rbc_error *err);

#endif
