#include "cuda/runtime/driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static rbc__cuda_driver driver;
static rbc_error load_error;
static _Atomic bool is_forked; /* from a process that had used the driver */

static void after_fork(void) {
    atomic_store_explicit(&is_forked, true, memory_order_relaxed);
}

static void *find(const char *symbol, int required, rbc_error *err) {
    void *address = dlsym(driver.library, symbol);
    if (address == NULL && required && err->status == RBC_OK) {
        (void)rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                        "libcuda.so.1 has no %s; a driver for CUDA %d.%d or newer is needed",
                        symbol, RBC__CU_MIN_DRIVER_VERSION / 1000,
                        RBC__CU_MIN_DRIVER_VERSION % 1000 / 10);
    }
    return address;
}

static void load(void) {
    enum { OPTIONAL = 0, REQUIRED = 1 };
    memset(&load_error, 0, sizeof load_error);
    driver.library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    if (driver.library == NULL) {
        const char *why = dlerror();
        (void)rbc__fail(&load_error, RBC_ERROR_UNSUPPORTED,
                        "CUDA needs the NVIDIA driver's libcuda.so.1: %s",
                        why != NULL ? why : "it cannot be loaded");
        return;
    }
#define X(need, name, symbol, parameters)                                                          \
    {                                                                                              \
        void *address = find(#symbol, need, &load_error);                                          \
        memcpy(&driver.name, &address, sizeof address);                                            \
    }
#include "cuda/runtime/driver_symbols.def"
#undef X
    if (load_error.status != RBC_OK) {
        return;
    }
    CUresult result = driver.init(0);
    if (result != 0) {
        (void)rbc__cuda_fail(&driver, result, &load_error, "cuInit");
        return;
    }
    (void)pthread_atfork(NULL, NULL, after_fork);
    result = driver.driver_get_version(&driver.version);
    if (result != 0) {
        (void)rbc__cuda_fail(&driver, result, &load_error, "cuDriverGetVersion");
        return;
    }
    if (driver.version < RBC__CU_MIN_DRIVER_VERSION) {
        (void)rbc__fail(&load_error, RBC_ERROR_UNSUPPORTED,
                        "the NVIDIA driver supports CUDA %d.%d; %d.%d or newer is needed",
                        driver.version / 1000, driver.version % 1000 / 10,
                        RBC__CU_MIN_DRIVER_VERSION / 1000, RBC__CU_MIN_DRIVER_VERSION % 1000 / 10);
        return;
    }
    result = driver.device_get_count(&driver.num_devices);
    if (result != 0) {
        (void)rbc__cuda_fail(&driver, result, &load_error, "cuDeviceGetCount");
    }
}

rbc_status rbc__cuda_driver_get(const rbc__cuda_driver **out, rbc_error *err) {
    (void)pthread_once(&once, load);
    if (load_error.status != RBC_OK) {
        if (err != NULL) {
            *err = load_error;
        }
        *out = NULL;
        return load_error.status;
    }
    *out = NULL;
    if (atomic_load_explicit(&is_forked, memory_order_relaxed)) {
        /* Locks may be held by threads that are not there, and the driver is of no use anyway. */
        return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                         "this process was forked from one that had used CUDA, which then cannot "
                         "be used; start it in another way, such as Python's \"spawn\"");
    }
    *out = &driver;
    return RBC_OK;
}

rbc_status rbc__cuda_fail(const rbc__cuda_driver *from, CUresult result, rbc_error *err,
                          const char *format, ...) {
    char what[RBC_ERROR_MESSAGE_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const char *name = NULL;
    const char *text = NULL;
    if (from->get_error_name(result, &name) != 0 || name == NULL) {
        name = "unknown CUDA error";
    }
    if (from->get_error_string(result, &text) != 0 || text == NULL) {
        text = "no description";
    }
    const rbc_status status =
        rbc__fail(err, RBC_ERROR_DEVICE, "%s: %s (%d): %s", what, name, result, text);
    if (err != NULL) {
        err->device_code = result;
    }
    return status;
}
