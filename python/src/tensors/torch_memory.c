/* The C interface that PyTorch has for compiled models reaches its allocator without Python and from
 * any thread: what it gives is of the stream that is current in the thread, which a guard sets. */
#define _POSIX_C_SOURCE 200809L

#include "tensors/torch_memory.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "extension.h"

/* How long the end of the process waits for calls that go on. */
#define END_MS 1000

/* Functions of libtorch_cuda.so; not 0 is a failure. */
static struct {
    int32_t (*create_guard)(void *stream, int32_t device_id, void **guard);
    int32_t (*delete_guard)(void *guard);
    int32_t (*allocate)(uint64_t bytes, void **memory);
    int32_t (*free)(void *memory);
    const char *(*last_error)(void); /* NULL: of a PyTorch before 2.13, which only prints it */
} torch;

/* PyTorch takes its allocator down when the process ends, and threads of loaders may go on until it is
 * gone. So what they hold is left to the driver then. */
static pid_t process;
static atomic_bool is_over;
static atomic_int num_calls;

static void end(void) {
    if (getpid() != process) {
        return; /* of a child: the calls that are counted are not there */
    }
    atomic_store(&is_over, true);
    for (int i = 0; i < END_MS && atomic_load(&num_calls) > 0; ++i) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

static bool enter(void) {
    atomic_fetch_add(&num_calls, 1);
    if (!atomic_load(&is_over)) {
        return true;
    }
    atomic_fetch_sub(&num_calls, 1);
    return false;
}

static void leave(void) {
    atomic_fetch_sub(&num_calls, 1);
}

static rbc_status fail(rbc_error *err) {
    const char *text = torch.last_error != NULL ? torch.last_error() : NULL;
    return text != NULL
               ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "PyTorch's allocator: %s", text)
               : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                           "PyTorch's allocator has none, also after it freed what it kept; "
                           "what it says of that is on the standard error output");
}

static rbc_status allocate(void *user, int32_t device_id, uint64_t bytes, void *stream, void **out,
                           rbc_error *err) {
    (void)user;
    void *guard = NULL;
    if (!enter()) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the process is ending");
    }
    rbc_status status = RBC_OK;
    if (torch.create_guard(stream, device_id, &guard) != 0 || torch.allocate(bytes, out) != 0) {
        status = fail(err);
    }
    if (guard != NULL) {
        (void)torch.delete_guard(guard);
    }
    leave();
    return status;
}

static void release(void *user, int32_t device_id, void *memory) {
    (void)user;
    (void)device_id;
    if (enter()) {
        (void)torch.free(memory);
        leave();
    }
}

static bool find(void *library, const char *symbol, void *function) {
    void *address = dlsym(library, symbol);
    memcpy(function, &address, sizeof address);
    return address != NULL;
}

const rbc_device_allocator *torch_memory_find(const char **why) {
    static const rbc_device_allocator allocator = {
        .struct_size = sizeof allocator, .allocate = allocate, .free = release};
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static bool is_found;
    void *library = dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_NOLOAD);
    *why = NULL;
    if (library == NULL) {
        *why = "this process has no libtorch_cuda.so";
        return NULL;
    }
    (void)pthread_mutex_lock(&lock);
    if (!is_found) {
        (void)find(library, "torch_exception_get_what_without_backtrace", &torch.last_error);
        process = getpid();
        is_found = find(library, "aoti_torch_create_cuda_stream_guard", &torch.create_guard) &&
                   find(library, "aoti_torch_delete_cuda_stream_guard", &torch.delete_guard) &&
                   find(library, "aoti_torch_cuda_caching_allocator_raw_alloc", &torch.allocate) &&
                   find(library, "aoti_torch_cuda_caching_allocator_raw_delete", &torch.free) &&
                   atexit(end) == 0; /* PyTorch, which was loaded before, ends after that */
    }
    (void)pthread_mutex_unlock(&lock);
    if (!is_found) {
        *why = "its libtorch_cuda.so has no C interface to its allocator";
        (void)dlclose(library);
        return NULL;
    }
    return &allocator;
}
