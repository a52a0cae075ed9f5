/* libdeflate's own rate: unpacks the blocks of one file over and over on N threads.
 *
 *   unpack_rate FILE THREADS SECONDS zlib|deflate
 *
 * FILE holds, for each block, two little-endian u32, the unpacked and the packed bytes, and the packed
 * ones. Each thread unpacks all in turn into one buffer. Prints one JSON line with blocks per second,
 * and per second of processor time. */
#define _POSIX_C_SOURCE 200809L

#include <libdeflate.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum libdeflate_result (*inflate)(struct libdeflate_decompressor *, const void *, size_t,
                                          void *, size_t, size_t *);

typedef struct job {
    const uint8_t *data;
    size_t bytes;
    size_t largest; /* of the blocks, unpacked */
    double seconds;
    inflate unpack;
    atomic_long unpacked;
    atomic_int failed;
} job;

static double seconds_of(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The block at *at, which is moved behind it; NULL behind the last. */
static const uint8_t *next_block(const job *work, size_t *at, uint32_t sizes[2]) {
    if (*at + 8 > work->bytes) {
        return NULL;
    }
    memcpy(sizes, work->data + *at, 8);
    const uint8_t *block = work->data + *at + 8;
    *at += 8 + (size_t)sizes[1];
    return *at <= work->bytes ? block : NULL;
}

static void *unpack_all(void *argument) {
    job *work = argument;
    struct libdeflate_decompressor *handle = libdeflate_alloc_decompressor();
    uint8_t *out = malloc(work->largest + 1);
    bool ok = handle != NULL && out != NULL;
    long count = 0;
    const double start = seconds_of(CLOCK_MONOTONIC);
    while (ok && seconds_of(CLOCK_MONOTONIC) - start < work->seconds) {
        size_t at = 0;
        uint32_t sizes[2];
        const uint8_t *block;
        while (ok && (block = next_block(work, &at, sizes)) != NULL) {
            ok = work->unpack(handle, block, sizes[1], out, sizes[0], NULL) == LIBDEFLATE_SUCCESS;
            ++count;
        }
    }
    if (!ok) {
        atomic_store(&work->failed, 1);
    }
    free(out);
    libdeflate_free_decompressor(handle);
    atomic_fetch_add(&work->unpacked, count);
    return NULL;
}

static uint8_t *read_whole(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        return NULL;
    }
    const long size = fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    const bool ok = size >= 0 && fseek(file, 0, SEEK_SET) == 0;
    uint8_t *data = ok ? malloc((size_t)size + 1) : NULL;
    if (data != NULL && fread(data, 1, (size_t)size, file) != (size_t)size) {
        free(data);
        data = NULL;
    }
    (void)fclose(file);
    *bytes = ok ? (size_t)size : 0;
    return data;
}

int main(int argc, char **argv) {
    const bool is_zlib = argc == 5 && strcmp(argv[4], "zlib") == 0;
    if (argc != 5 || (!is_zlib && strcmp(argv[4], "deflate") != 0)) {
        (void)fprintf(stderr, "usage: unpack_rate FILE THREADS SECONDS zlib|deflate\n");
        return 2;
    }
    job work = {.seconds = strtod(argv[3], NULL),
                .unpack = is_zlib ? libdeflate_zlib_decompress : libdeflate_deflate_decompress};
    uint8_t *data = read_whole(argv[1], &work.bytes);
    if (data == NULL) {
        (void)fprintf(stderr, "%s: cannot be read whole\n", argv[1]);
        return 1;
    }
    work.data = data;
    uint32_t sizes[2];
    for (size_t at = 0; next_block(&work, &at, sizes) != NULL;) {
        work.largest = sizes[0] > work.largest ? sizes[0] : work.largest;
    }
    enum { MAX_THREADS = 256 };
    pthread_t threads[MAX_THREADS];
    const long wanted = strtol(argv[2], NULL, 10);
    const int count = wanted < 1 ? 1 : wanted > MAX_THREADS ? MAX_THREADS : (int)wanted;
    const double start = seconds_of(CLOCK_MONOTONIC);
    const double start_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    for (int i = 0; i < count; ++i) {
        if (pthread_create(&threads[i], NULL, unpack_all, &work) != 0) {
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
        (void)fprintf(stderr, "%s: a block could not be unpacked\n", argv[1]);
        return 1;
    }
    const double unpacked = (double)atomic_load(&work.unpacked);
    printf("{\"program\": \"libdeflate\", \"blocks_per_s\": %.1f, \"blocks_per_cpu_s\": %.1f}\n",
           unpacked / elapsed, unpacked / cpu);
    return 0;
}
