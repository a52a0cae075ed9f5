#define _POSIX_C_SOURCE 200809L

#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *rbc_status_name(rbc_status status) {
    switch (status) {
    case RBC_OK:
        return "ok";
    case RBC_ERROR_INVALID_ARGUMENT:
        return "invalid argument";
    case RBC_ERROR_OUT_OF_MEMORY:
        return "out of memory";
    case RBC_ERROR_IO:
        return "input/output error";
    case RBC_ERROR_FORMAT:
        return "damaged or malformed data";
    case RBC_ERROR_NOT_FOUND:
        return "not found";
    case RBC_ERROR_UNSUPPORTED:
        return "unsupported";
    case RBC_ERROR_CANCELLED:
        return "cancelled";
    case RBC_ERROR_DEVICE:
        return "device error";
    case RBC_ERROR_INTERNAL:
        return "internal error";
    case RBC_END:
        return "end";
    case RBC_TIMEOUT:
        return "timeout";
    }
    return "unknown status";
}

/* vsnprintf into [buffer, buffer + bytes), cut before a UTF-8 sequence that does not fit. Returns
 * the length written. */
static size_t format_cut(char *buffer, size_t bytes, const char *format, va_list arguments) {
    const int wanted = vsnprintf(buffer, bytes, format, arguments);
    if (wanted < 0) {
        buffer[0] = '\0';
        return 0;
    }
    if ((size_t)wanted < bytes) {
        return (size_t)wanted;
    }
    size_t length = bytes - 1;
    size_t start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)buffer[start - 1] & 0xC0) == 0x80) {
        --start;
    }
    if (start > 0) {
        const unsigned char lead = (unsigned char)buffer[start - 1];
        const size_t sequence = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
        if (lead >= 0x80 && length - (start - 1) < sequence) {
            length = start - 1;
        }
    }
    buffer[length] = '\0';
    return length;
}

static size_t append(rbc_error *err, size_t length, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static size_t append(rbc_error *err, size_t length, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    length += format_cut(err->message + length, sizeof err->message - length, format, arguments);
    va_end(arguments);
    return length;
}

rbc_status(rbc__fail)(rbc_error *err, rbc_status status, const char *format, ...) {
    if (err != NULL) {
        err->status = status;
        err->device_code = 0;
        va_list arguments;
        va_start(arguments, format);
        format_cut(err->message, sizeof err->message, format, arguments);
        va_end(arguments);
    }
    return status;
}

rbc_status(rbc__fail_errno)(rbc_error *err, int saved_errno, const char *format, ...) {
    if (err != NULL) {
        err->status = RBC_ERROR_IO;
        err->device_code = saved_errno;
        va_list arguments;
        va_start(arguments, format);
        const size_t length = format_cut(err->message, sizeof err->message, format, arguments);
        va_end(arguments);
        char reason[128];
        if (strerror_r(saved_errno, reason, sizeof reason) != 0) {
            snprintf(reason, sizeof reason, "errno %d", saved_errno);
        }
        append(err, length, ": %s", reason);
    }
    return RBC_ERROR_IO;
}

rbc_status(rbc__fail_within)(rbc_error *err, rbc_status status, const char *format, ...) {
    if (err != NULL) {
        char inner[RBC_ERROR_MESSAGE_BYTES];
        memcpy(inner, err->message, sizeof inner);
        inner[sizeof inner - 1] = '\0';
        err->status = status;
        va_list arguments;
        va_start(arguments, format);
        const size_t length = format_cut(err->message, sizeof err->message, format, arguments);
        va_end(arguments);
        append(err, length, ": %s", inner);
    }
    return status;
}

rbc_status rbc__pass_on(const rbc_error *problem, rbc_error *err) {
    if (err != NULL) {
        *err = *problem;
    }
    return problem->status;
}

bool rbc__is_shortage(const rbc_error *err) {
    static const int codes[] = {
        EAGAIN,    EBUSY,     EDQUOT,       EINTR,      EIO,       EMFILE,      ENFILE,
        ENOBUFS,   ENOLCK,    ENOMEM,       ENOSPC,     ENETDOWN,  ENETUNREACH, ESTALE,
        ETIMEDOUT, EHOSTDOWN, EHOSTUNREACH, ECONNRESET, EREMOTEIO,
    };
    if (err->status == RBC_ERROR_OUT_OF_MEMORY || err->status == RBC_ERROR_CANCELLED ||
        err->status == RBC_ERROR_INTERNAL || err->status == RBC_ERROR_DEVICE) {
        return true;
    }
    for (size_t i = 0; err->status == RBC_ERROR_IO && i < sizeof codes / sizeof *codes; ++i) {
        if (err->device_code == codes[i]) {
            return true;
        }
    }
    return false;
}
