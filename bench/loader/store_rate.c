/* What the loader makes of a store whose reads take long, beside the files alone.
 *
 *   store_rate PATH CATALOG READ_MS PAIRS SECONDS THREADS
 *
 * Loads image, state and action of the RLDS dataset at PATH, shuffled in batches of 64, in pairs:
 * from its files, and from the same files behind a store each call of which takes READ_MS longer,
 * however much it reads and however many calls there are at a time. Prints one JSON line. */
#define _POSIX_C_SOURCE 200809L

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "catalog/dataset.h"
#include "core/monotonic.h"

#define BATCH 64
#define WARM  20 /* batches */

typedef struct slow_store {
    rbc__store base;
    rbc__store *files;
    int64_t read_ns;
} slow_store;

static bool is_cancelled(const atomic_bool *cancel) {
    return cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed);
}

static void read_slowly(rbc__store *store, rbc__read *reads, size_t count,
                        const atomic_bool *cancel) {
    const slow_store *slow = (const slow_store *)store;
    const int64_t until_ns = rbc__now_ns() + slow->read_ns;
    for (int64_t left; (left = until_ns - rbc__now_ns()) > 0 && !is_cancelled(cancel);) {
        const int64_t part = left < 50000000 ? left : 50000000;
        (void)nanosleep(&(struct timespec){.tv_nsec = (long)part}, NULL);
    }
    slow->files->ops->read(slow->files, reads, count, cancel);
}

static const char *name_file(rbc__store *store, int64_t blob, char *buffer, size_t bytes) {
    const slow_store *slow = (const slow_store *)store;
    return slow->files->ops->name(slow->files, blob, buffer, bytes);
}

static void destroy_nothing(rbc__store *store) {
    (void)store;
}

typedef struct measured {
    double images_per_s, images_per_cpu_s; /* behind the first batches */
    double first_batch_s;
    int64_t ahead_begin_bytes, ahead_end_bytes; /* fetched ahead when measuring began and ended */
} measured;

static double cpu_seconds(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)rbc__timespec_ns(time) * 1e-9;
}

static int64_t ahead_of(const rbc_loader *loader) {
    rbc_loader_memory memory = RBC_LOADER_MEMORY_INIT;
    (void)rbc_loader_get_memory(loader, &memory, NULL);
    return memory.fetched_bytes;
}

/* False, and says so, where it fails. */
static bool measure(rbc_dataset *dataset, int32_t threads, double seconds, measured *out) {
    static const int32_t ticks[] = {0};
    static const char *const streams[] = {"observation/image", "observation/state", "action"};
    rbc_window windows[3];
    rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    rbc_selection *selection = NULL;
    rbc_loader *loader = NULL;
    rbc_error error;
    for (int i = 0; i < 3; ++i) {
        windows[i] = (rbc_window)RBC_WINDOW_INIT;
        windows[i].stream = streams[i];
        windows[i].ticks = ticks;
        windows[i].count = 1;
    }
    params.windows = windows;
    params.num_windows = 3;
    params.batch_size = BATCH;
    params.rate_hz = 5.0;
    params.shuffle = RBC_SHUFFLE_GLOBAL;
    params.num_threads = threads;
    params.jpeg_dct = RBC_JPEG_DCT_FAST;
    rbc_status status = rbc_selection_create(dataset, NULL, NULL, NULL, NULL, &selection, &error);
    if (status == RBC_OK) {
        status = rbc_loader_create(selection, &params, &loader, &error);
    }
    const int64_t created_ns = rbc__now_ns();
    int64_t begin_ns = created_ns;
    double begin_cpu_s = 0.0;
    double elapsed_s = 0.0;
    int64_t count = 0;
    while (status == RBC_OK && (count < WARM || elapsed_s < seconds)) {
        rbc_batch *batch = NULL;
        status = rbc_loader_next(loader, -1, &batch, &error);
        rbc_batch_release(&batch);
        ++count;
        if (count == 1) {
            out->first_batch_s = (double)(rbc__now_ns() - created_ns) * 1e-9;
        }
        if (count == WARM) {
            begin_ns = rbc__now_ns();
            begin_cpu_s = cpu_seconds();
            out->ahead_begin_bytes = ahead_of(loader);
        }
        elapsed_s = (double)(rbc__now_ns() - begin_ns) * 1e-9;
    }
    if (status == RBC_OK) {
        const double images = (double)((count - WARM) * BATCH);
        out->images_per_s = images / elapsed_s;
        out->images_per_cpu_s = images / (cpu_seconds() - begin_cpu_s);
        out->ahead_end_bytes = ahead_of(loader);
    } else {
        (void)fprintf(stderr, "%s\n",
                      status == RBC_END ? "the dataset is too small" : error.message);
    }
    rbc_loader_destroy(&loader);
    rbc_selection_destroy(&selection);
    return status == RBC_OK;
}

int main(int argc, char **argv) {
    static const rbc__store_ops ops = {read_slowly, name_file, destroy_nothing};
    if (argc != 7) {
        (void)fprintf(stderr, "usage: store_rate PATH CATALOG READ_MS PAIRS SECONDS THREADS\n");
        return 2;
    }
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = argv[2];
    rbc_dataset *datasets[2] = {NULL, NULL}; /* the files alone; behind the store */
    rbc_error error;
    for (int i = 0; i < 2; ++i) {
        if (rbc_dataset_open(argv[1], &params, &datasets[i], &error) != RBC_OK) {
            (void)fprintf(stderr, "%s\n", error.message);
            return 1;
        }
    }
    slow_store slow = {.base = {.ops = &ops, .is_remote = true},
                       .files = rbc__dataset_requests(datasets[1]).store,
                       .read_ns = (int64_t)(strtod(argv[3], NULL) * 1e6)};
    rbc__dataset_set_store(datasets[1], &slow.base);
    const int pairs = (int)strtol(argv[4], NULL, 10);
    const double seconds = strtod(argv[5], NULL);
    const int32_t threads = (int32_t)strtol(argv[6], NULL, 10);
    printf("{\"pairs\": [");
    for (int i = 0; i < pairs; ++i) {
        measured results[2] = {{0}};
        for (int k = 0; k < 2; ++k) { /* each goes first in turn */
            const int which = (i + k) % 2;
            if (!measure(datasets[which], threads, seconds, &results[which])) {
                return 1;
            }
        }
        for (int k = 0; k < 2; ++k) {
            printf("%s\"%s\": {\"images_per_s\": %.1f, \"images_per_cpu_s\": %.1f, "
                   "\"first_batch_s\": %.4f, \"ahead_begin_bytes\": %lld, "
                   "\"ahead_end_bytes\": %lld}",
                   k > 0 ? ", " : (i > 0 ? ", {" : "{"), k > 0 ? "store" : "files",
                   results[k].images_per_s, results[k].images_per_cpu_s, results[k].first_batch_s,
                   (long long)results[k].ahead_begin_bytes, (long long)results[k].ahead_end_bytes);
        }
        printf("}");
        (void)fflush(stdout);
    }
    printf("]}\n");
    rbc__dataset_set_store(datasets[1], slow.files);
    rbc_dataset_close(&datasets[0]);
    rbc_dataset_close(&datasets[1]);
    return 0;
}
