/* Memory that ends: allocations of the whole program, libraries too, fail from one on. For one source of
 * a program. */
#ifndef RBC_TESTS_LIMITED_MALLOC_H
#define RBC_TESTS_LIMITED_MALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0 /* the sanitizer has its own */
#else
#define OWN_MALLOC 1
#endif

static int64_t countdown =
    -1; /* allocations until one fails, and all behind it; negative: none does */
static int64_t num_failed;

#if OWN_MALLOC
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *memory, size_t bytes);
extern void *__libc_memalign(size_t alignment, size_t bytes);

static bool may_have(void) {
    if (countdown > 0) {
        --countdown;
    }
    num_failed += countdown == 0;
    return countdown != 0;
}

static void *limited_malloc(size_t bytes) {
    return may_have() ? __libc_malloc(bytes) : NULL;
}

static void *limited_calloc(size_t count, size_t bytes) {
    return may_have() ? __libc_calloc(count, bytes) : NULL;
}

static void *limited_realloc(void *memory, size_t bytes) {
    return may_have() ? __libc_realloc(memory, bytes) : NULL;
}

static void *limited_aligned_alloc(size_t alignment, size_t bytes) {
    return may_have() ? __libc_memalign(alignment, bytes) : NULL;
}

static int limited_posix_memalign(void **out, size_t alignment, size_t bytes) {
    *out = limited_aligned_alloc(alignment, bytes);
    return *out != NULL ? 0 : 12;
}

/* In place of the system's. */
#define REPLACE(name)                                                                              \
    extern __typeof(name) name __attribute__((alias("limited_" #name), visibility("default")))
REPLACE(malloc);
REPLACE(calloc);
REPLACE(realloc);
REPLACE(aligned_alloc);
extern int posix_memalign(void **out, size_t alignment, size_t bytes)
    __attribute__((alias("limited_posix_memalign"), visibility("default")));
#endif

#endif
