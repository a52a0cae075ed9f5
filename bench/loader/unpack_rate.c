/* libdeflate's own rate: unpacks the blocks of one file over and over on N threads.
 *
 *   unpack_rate FILE THREADS SECONDS zlib|deflate
 *
 * FILE holds, for each block, two little-endian u32, the unpacked and the packed bytes, and the packed
 * ones. Each thread unpacks all in turn into one buffer. Prints one JSON line with blocks per second,
 * and per second of processor time. */
#include <libdeflate.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loader/rate.h"

typedef enum libdeflate_result (*inflate)(struct libdeflate_decompressor *, const void *, size_t,
                                          void *, size_t, size_t *);

typedef struct unpacker {
    struct libdeflate_decompressor *handle;
    uint8_t *out;
    size_t room;
} unpacker;

static void close_unpacker(void *state) {
    unpacker *u = state;
    libdeflate_free_decompressor(u->handle);
    free(u->out);
    free(u);
}

static void *open_unpacker(const void *user) {
    (void)user;
    unpacker *u = calloc(1, sizeof *u);
    if (u != NULL && (u->handle = libdeflate_alloc_decompressor()) == NULL) {
        free(u);
        u = NULL;
    }
    return u;
}

static bool make_room(unpacker *u, size_t bytes) {
    if (u->out == NULL || bytes > u->room) {
        free(u->out);
        u->out = malloc(bytes + 1);
        u->room = bytes;
    }
    return u->out != NULL;
}

static long unpack_all(void *state, const uint8_t *data, size_t bytes, const void *user) {
    unpacker *u = state;
    const inflate *unpack = user;
    long count = 0;
    for (size_t at = 0; at + 8 <= bytes; ++count) {
        uint32_t sizes[2];
        memcpy(sizes, data + at, 8);
        const uint8_t *block = data + at + 8;
        at += 8 + (size_t)sizes[1];
        if (at > bytes || !make_room(u, sizes[0]) ||
            (*unpack)(u->handle, block, sizes[1], u->out, sizes[0], NULL) != LIBDEFLATE_SUCCESS) {
            return -1;
        }
    }
    return count;
}

int main(int argc, char **argv) {
    const bool is_zlib = argc == 5 && strcmp(argv[4], "zlib") == 0;
    if (argc != 5 || (!is_zlib && strcmp(argv[4], "deflate") != 0)) {
        (void)fprintf(stderr, "usage: unpack_rate FILE THREADS SECONDS zlib|deflate\n");
        return 2;
    }
    const inflate unpack = is_zlib ? libdeflate_zlib_decompress : libdeflate_deflate_decompress;
    const library_rate unpacking = {.program = "libdeflate",
                                    .items = "blocks",
                                    .open = open_unpacker,
                                    .close = close_unpacker,
                                    .pass = unpack_all,
                                    .user = &unpack};
    return rate_run(&unpacking, argv[1], argv[2], argv[3]);
}
