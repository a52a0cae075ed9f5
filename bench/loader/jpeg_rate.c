/* libjpeg-turbo's own rate: decodes the JPEGs of one file over and over on N threads.
 *
 *   jpeg_rate FILE THREADS SECONDS accurate|fast
 *
 * FILE holds, for each image, a little-endian u32 length and that many bytes. Each thread decodes
 * all images in turn to RGB into one buffer, with the DCT named. Prints one JSON line with images
 * per second, and per second of processor time. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <turbojpeg.h>

typedef struct job {
    const uint8_t *data;
    size_t bytes;
    double seconds;
    int flags;
    atomic_long decoded;
    atomic_int failed;
} job;

static double seconds_of(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void *decode(void *argument) {
    job *work = argument;
    tjhandle handle = tjInitDecompress();
    uint8_t *pixels = NULL;
    size_t capacity = 0;
    long count = 0;
    const double start = seconds_of(CLOCK_MONOTONIC);
    while (handle != NULL && !atomic_load(&work->failed) &&
           seconds_of(CLOCK_MONOTONIC) - start < work->seconds) {
        for (size_t at = 0; at + 4 <= work->bytes;) {
            uint32_t length = 0;
            memcpy(&length, work->data + at, 4);
            int width = 0;
            int height = 0;
            int subsampling = 0;
            int colorspace = 0;
            const uint8_t *image = work->data + at + 4;
            at += 4 + (size_t)length;
            if (at > work->bytes || tjDecompressHeader3(handle, image, length, &width, &height,
                                                        &subsampling, &colorspace) != 0) {
                atomic_store(&work->failed, 1);
                break;
            }
            const size_t need = (size_t)width * (size_t)height * 3;
            if (need > capacity) {
                free(pixels);
                pixels = malloc(need);
                capacity = need;
            }
            if (pixels == NULL || tjDecompress2(handle, image, length, pixels, width, 0, height,
                                                TJPF_RGB, work->flags) != 0) {
                atomic_store(&work->failed, 1);
                break;
            }
            ++count;
        }
    }
    free(pixels);
    if (handle == NULL || tjDestroy(handle) != 0) {
        atomic_store(&work->failed, 1);
    }
    atomic_fetch_add(&work->decoded, count);
    return NULL;
}

int main(int argc, char **argv) {
    const int fast = argc == 5 && strcmp(argv[4], "fast") == 0;
    if (argc != 5 || (!fast && strcmp(argv[4], "accurate") != 0)) {
        (void)fprintf(stderr, "usage: jpeg_rate FILE THREADS SECONDS accurate|fast\n");
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    if (file == NULL) {
        perror(argv[1]);
        return 1;
    }
    const long bytes = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : 0;
    rewind(file);
    uint8_t *data = malloc(bytes > 0 ? (size_t)bytes : 1);
    if (data == NULL || fread(data, 1, (size_t)bytes, file) != (size_t)bytes) {
        (void)fprintf(stderr, "%s: cannot be read whole\n", argv[1]);
        free(data);
        (void)fclose(file);
        return 1;
    }
    (void)fclose(file);
    enum { MAX_THREADS = 256 };
    pthread_t threads[MAX_THREADS];
    const long wanted = strtol(argv[2], NULL, 10);
    const int count = wanted < 1 ? 1 : wanted > MAX_THREADS ? MAX_THREADS : (int)wanted;
    job work = {.data = data,
                .bytes = (size_t)bytes,
                .seconds = strtod(argv[3], NULL),
                .flags = fast ? TJFLAG_FASTDCT : TJFLAG_ACCURATEDCT};
    const double start = seconds_of(CLOCK_MONOTONIC);
    const double start_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < count; ++i) {
        if (pthread_create(&threads[i], NULL, decode, &work) != 0) {
            perror("pthread_create");
            return 1;
        }
    }
    for (int i = 0; i < count; ++i) {
        (void)pthread_join(threads[i], NULL);
    }
    const double elapsed = seconds_of(CLOCK_MONOTONIC) - start;
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
    free(data);
    if (atomic_load(&work.failed)) {
        (void)fprintf(stderr, "%s: an image could not be decoded\n", argv[1]);
        return 1;
    }
    const double decoded = (double)atomic_load(&work.decoded);
    printf("{\"program\": \"libjpeg-turbo\", \"images_per_s\": %.1f, \"images_per_cpu_s\": %.1f}\n",
           decoded / elapsed, decoded / cpu);
    return 0;
}
