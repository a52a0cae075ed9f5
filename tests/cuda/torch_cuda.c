/* A stand-in for libtorch_cuda.so: what of its C interface loaders allocate with, on the stand-in for
 * the driver, whose memory it takes. Once the process has run what was to run at its end it is gone, as
 * PyTorch's allocator is, and calls abort. */
#define _POSIX_C_SOURCE 200809L

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

enum { FRONT = 256, END_MS = 400 };

/* What a test asks and counts. */
typedef struct stub {
    atomic_llong bytes, num_calls;
    atomic_int fail_after; /* allocations until one fails; -1: none does */
    atomic_int pause_ms;   /* that one takes */
    /* NULL, or what every call does, as where the memory's history is recorded. */
    _Atomic(void (*)(void)) on_call;
} stub;

EXPORT stub rbc_torch_cuda;
stub rbc_torch_cuda = {.fail_after = -1};

static atomic_bool is_gone;
static _Thread_local void *current; /* the thread's stream; NULL: torch's own */

static void pause_ms(int count) {
    nanosleep(&(struct timespec){.tv_nsec = count * 1000000L}, NULL);
}

static void go(void) {
    atomic_store(&is_gone, true);
    pause_ms(END_MS);
}

__attribute__((constructor)) static void come(void) {
    (void)atexit(go);
}

static void need(void) {
    if (atomic_load(&is_gone)) {
        (void)fprintf(stderr, "the allocator is gone\n");
        abort();
    }
}

static void called(void) {
    need();
    atomic_fetch_add(&rbc_torch_cuda.num_calls, 1);
    void (*on_call)(void) = atomic_load(&rbc_torch_cuda.on_call);
    if (on_call != NULL) {
        on_call();
    }
}

EXPORT int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device_id, void **guard);
EXPORT int32_t aoti_torch_delete_cuda_stream_guard(void *guard);
EXPORT int32_t aoti_torch_cuda_caching_allocator_raw_alloc(uint64_t bytes, void **memory);
EXPORT int32_t aoti_torch_cuda_caching_allocator_raw_delete(void *memory);

int32_t aoti_torch_create_cuda_stream_guard(void *stream, int32_t device_id, void **guard) {
    (void)device_id;
    called();
    void **before = malloc(sizeof *before);
    *before = current;
    current = stream;
    *guard = before;
    return 0;
}

int32_t aoti_torch_delete_cuda_stream_guard(void *guard) {
    called();
    current = *(void **)guard;
    free(guard);
    return 0;
}

int32_t aoti_torch_cuda_caching_allocator_raw_alloc(uint64_t bytes, void **memory) {
    called();
    if (atomic_load(&rbc_torch_cuda.fail_after) >= 0 &&
        atomic_fetch_sub(&rbc_torch_cuda.fail_after, 1) == 0) {
        return 1;
    }
    if (current == NULL) {
        abort(); /* it would be of the training's stream */
    }
    pause_ms(atomic_load(&rbc_torch_cuda.pause_ms));
    need();
    char *front = aligned_alloc(FRONT, FRONT + (bytes + FRONT - 1) / FRONT * FRONT);
    *(uint64_t *)(void *)front = bytes;
    atomic_fetch_add(&rbc_torch_cuda.bytes, (long long)bytes);
    *memory = front + FRONT;
    return 0;
}

int32_t aoti_torch_cuda_caching_allocator_raw_delete(void *memory) {
    called();
    char *front = (char *)memory - FRONT;
    atomic_fetch_sub(&rbc_torch_cuda.bytes, (long long)*(uint64_t *)(void *)front);
    free(front);
    return 0;
}
