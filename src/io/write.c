#define _POSIX_C_SOURCE 200809L

#include "io/write.h"

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

bool rbc__write_all(int file, const void *data, size_t bytes) {
    const uint8_t *at = data;
    while (bytes > 0) {
        const ssize_t put = write(file, at, bytes);
        if (put < 0 && errno != EINTR) {
            return false;
        }
        at += put > 0 ? put : 0;
        bytes -= put > 0 ? (size_t)put : 0;
    }
    return true;
}
