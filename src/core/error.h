/* Filling in a caller's rbc_error. */
#ifndef RBC_CORE_ERROR_H
#define RBC_CORE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

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

/* Hands `problem` to the caller as it is; returns its status. */
rbc_status rbc__pass_on(const rbc_error *problem, rbc_error *err);

/* Is this a shortage of the machine, memory or descriptors or a failing disk or device, which says nothing of
 * the data that was asked for, and may be over by the next try? Nothing is recorded as damaged for
 * it. A defect of ours and being stopped count as well. */
bool rbc__is_shortage(const rbc_error *err);

/* The static analyzer sees one file at a time: this tells it which status comes
 * back. The definitions put the name in parentheses, so that the macro leaves them alone. */
#ifdef __clang_analyzer__
#define rbc__fail(err, status, ...) ((void)rbc__fail(err, status, __VA_ARGS__), (status))
#define rbc__fail_errno(err, code, ...)                                                            \
    ((void)rbc__fail_errno(err, code, __VA_ARGS__), RBC_ERROR_IO)
#define rbc__fail_within(err, status, ...)                                                         \
    ((void)rbc__fail_within(err, status, __VA_ARGS__), (status))
#endif

#define RBC__TRY(expression)                                                                       \
    do {                                                                                           \
        const rbc_status rbc__try_status = (expression);                                           \
        if (rbc__try_status != RBC_OK) {                                                           \
            return rbc__try_status;                                                                \
        }                                                                                          \
    } while (0)

#endif
