/* What the files of the stand-in of host_device.h share. */
#ifndef RBC_TESTS_CUDA_HOST_DRIVER_H
#define RBC_TESTS_CUDA_HOST_DRIVER_H

#include <stddef.h>

#include "cuda/runtime/driver.h"
#include "host_device.h"

enum {
    OUT_OF_MEMORY = 2,
    INVALID_CONTEXT = 201,
    INVALID_VALUE = 1,
    INVALID_DEVICE = 101,
    NOT_READY = 600,
    LAUNCH_FAILED = 719,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
};

#define STUB __attribute__((visibility("default"))) CUresult

#define X(need, name, symbol, parameters) STUB symbol parameters;
#include "cuda/runtime/driver_symbols.def"
#undef X

struct CUctx_st {
    int device;
};

struct CUfunc_st {
    const char *name;
};

extern host_device rbc_host_device;
extern host_device_bytes rbc_host_device_bytes;

CUcontext host_context(int device);
/* Of the thread; NULL: none. */
CUcontext host_current(void);
/* Whether a call that queues or allocates is the one that fails. */
CUresult host_may_fail(void);
/* Of calls that allocate or wait, which end a capture unless their thread says that they may be. */
CUresult host_check_allowed(void);
/* Of calls that wait for the device. */
void host_count_wait(void);

void *host_allocate(size_t bytes, atomic_llong *sum);
void host_release(void *memory, atomic_llong *sum);
void *host_address(CUdeviceptr address);

#endif
