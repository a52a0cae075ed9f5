#define _POSIX_C_SOURCE 200809L

#include "loader/rate.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define MAX_THREADS 256

typedef struct work {
    const library_rate *rate;
    uint8_t *data;
    size_t bytes;
    double seconds;
    atomic_long done;
    atomic_bool has_failed;
} work;

static double seconds_of(clockid_t clock) {
    struct timespec time;
    (void)clock_gettime(clock, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void *run(void *argument) {
    work *w = argument;
    void *state = w->rate->open(w->rate->user);
    long pass = state != NULL ? 0 : -1;
    long count = 0;
    const double start = seconds_of(CLOCK_MONOTONIC);
    while (pass >= 0 && !atomic_load(&w->has_failed) &&
           seconds_of(CLOCK_MONOTONIC) - start < w->seconds) {
        pass = w->rate->pass(state, w->data, w->bytes, w->rate->user);
        count += pass;
    }
    if (pass < 0) {
        atomic_store(&w->has_failed, true);
    }
    if (state != NULL) {
        w->rate->close(state);
    }
    atomic_fetch_add(&w->done, count);
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

/* How many threads were started and have ended. */
static int run_threads(work *w, int count) {
    pthread_t threads[MAX_THREADS];
    int started = 0;
    while (started < count && pthread_create(&threads[started], NULL, run, w) == 0) {
        ++started;
    }
    for (int i = 0; i < started; ++i) {
        (void)pthread_join(threads[i], NULL);
    }
    return started;
}

int rate_run(const library_rate *rate, const char *path, const char *threads, const char *seconds) {
    work w = {.rate = rate, .seconds = strtod(seconds, NULL)};
    w.data = read_whole(path, &w.bytes);
    if (w.data == NULL) {
        (void)fprintf(stderr, "%s: cannot be read whole\n", path);
        return 1;
    }
    const long wanted = strtol(threads, NULL, 10);
    const int count = wanted < 1 ? 1 : wanted > MAX_THREADS ? MAX_THREADS : (int)wanted;
    const double start = seconds_of(CLOCK_MONOTONIC);
    const double start_cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    const int started = run_threads(&w, count);
    const double elapsed = seconds_of(CLOCK_MONOTONIC) - start;
    const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - start_cpu;
    free(w.data);
    if (started < count || atomic_load(&w.has_failed)) {
        (void)fprintf(stderr, "%s: %s\n", path,
                      started < count ? "a thread could not be started"
                                      : "something in it could not be decoded");
        return 1;
    }
    const double done = (double)atomic_load(&w.done);
    printf("{\"program\": \"%s\", \"%s_per_s\": %.1f, \"%s_per_cpu_s\": %.1f}\n", rate->program,
           rate->items, done / elapsed, rate->items, done / cpu);
    return 0;
}
