/* Filling in a caller's rbc_error. */
#ifndef RBC_CORE_ERROR_H
#define RBC_CORE_ERROR_H

#include <stdarg.h>

#include <robocache/robocache.h>

/* Writes status and formatted message to `err` (NULL allowed) and returns `status`, so that a
 * failing function ends in `return rbc__fail(err, RBC_ERROR_FORMAT, "...", ...)`. A message longer
 * than RBC_ERROR_MESSAGE_BYTES is cut at a UTF-8 boundary. */
rbc_status rbc__fail(rbc_error *err, rbc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As rbc__fail with RBC_ERROR_IO, `saved_errno` as device_code and its text appended. */
rbc_status rbc__fail_errno(rbc_error *err, int saved_errno, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message already in `err`; returns err's status. */
rbc_status rbc__fail_within(rbc_error *err, rbc_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define RBC__TRY(expression)                                                                       \
    do {                                                                                           \
        const rbc_status rbc__try_status = (expression);                                           \
        if (rbc__try_status != RBC_OK) {                                                           \
            return rbc__try_status;                                                                \
        }                                                                                          \
    } while (0)

#endif
