/* libjpeg-turbo's own rate: decodes the JPEGs of one file over and over on N threads.
 *
 *   jpeg_rate FILE THREADS SECONDS accurate|fast
 *
 * FILE holds, for each image, a little-endian u32 length and that many bytes. Each thread decodes
 * all images in turn to RGB into one buffer, with the DCT named. Prints one JSON line with images
 * per second, and per second of processor time. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "loader/rate.h"

typedef struct decoder {
    tjhandle handle;
    uint8_t *pixels;
    size_t room;
} decoder;

static void close_decoder(void *state) {
    decoder *d = state;
    (void)tjDestroy(d->handle);
    free(d->pixels);
    free(d);
}

static void *open_decoder(const void *user) {
    (void)user;
    decoder *d = calloc(1, sizeof *d);
    if (d != NULL && (d->handle = tjInitDecompress()) == NULL) {
        free(d);
        d = NULL;
    }
    return d;
}

static bool decode(decoder *d, const uint8_t *image, uint32_t bytes, int flags) {
    int width = 0;
    int height = 0;
    int subsampling = 0;
    int colorspace = 0;
    if (tjDecompressHeader3(d->handle, image, bytes, &width, &height, &subsampling, &colorspace) !=
        0) {
        return false;
    }
    const size_t need = (size_t)width * (size_t)height * 3;
    if (need > d->room) {
        free(d->pixels);
        d->pixels = malloc(need);
        d->room = need;
    }
    return d->pixels != NULL && tjDecompress2(d->handle, image, bytes, d->pixels, width, 0, height,
                                              TJPF_RGB, flags) == 0;
}

static long decode_all(void *state, const uint8_t *data, size_t bytes, const void *user) {
    const int *flags = user;
    long count = 0;
    for (size_t at = 0; at + 4 <= bytes; ++count) {
        uint32_t length = 0;
        memcpy(&length, data + at, 4);
        const uint8_t *image = data + at + 4;
        at += 4 + (size_t)length;
        if (at > bytes || !decode(state, image, length, *flags)) {
            return -1;
        }
    }
    return count;
}

int main(int argc, char **argv) {
    const bool is_fast = argc == 5 && strcmp(argv[4], "fast") == 0;
    if (argc != 5 || (!is_fast && strcmp(argv[4], "accurate") != 0)) {
        (void)fprintf(stderr, "usage: jpeg_rate FILE THREADS SECONDS accurate|fast\n");
        return 2;
    }
    const int flags = is_fast ? TJFLAG_FASTDCT : TJFLAG_ACCURATEDCT;
    const library_rate decoding = {.program = "libjpeg-turbo",
                                   .items = "images",
                                   .open = open_decoder,
                                   .close = close_decoder,
                                   .pass = decode_all,
                                   .user = &flags};
    return rate_run(&decoding, argv[1], argv[2], argv[3]);
}
