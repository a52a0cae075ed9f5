/* The CUDA driver, loaded at run time: no toolkit, runtime library or GPU is needed to build or to
 * import RoboCache. */
#ifndef RBC_CUDA_DRIVER_H
#define RBC_CUDA_DRIVER_H

#include <stddef.h>
#include <stdint.h>

#include <robocache/robocache.h>

/* What of cuda.h is used here; the driver's ABI, stable since CUDA 4. */
typedef int CUresult;
typedef int CUdevice;
typedef uint64_t CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUevent_st *CUevent;
typedef struct CUuserObject_st *CUuserObject;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;

typedef struct CUlaunchAttribute {
    int id;
    char pad[8 - sizeof(int)];
    union {
        char bytes[64];
        int programmatic_stream_serialization;
    } value;
} CUlaunchAttribute;

typedef struct CUlaunchConfig {
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    CUstream stream;
    CUlaunchAttribute *attributes;
    unsigned num_attributes;
} CUlaunchConfig;

typedef struct CUkernelNodeParams {
    CUfunction function;
    unsigned grid_x, grid_y, grid_z;
    unsigned block_x, block_y, block_z;
    unsigned shared_bytes;
    void **parameters;
    void **extra;
    void *kernel; /* NULL where `function` is given */
    CUcontext context;
} CUkernelNodeParams;

enum {
    RBC__CU_ATTRIBUTE_MULTIPROCESSORS = 16,
    RBC__CU_ATTRIBUTE_CAPABILITY_MAJOR = 75,
    RBC__CU_ATTRIBUTE_CAPABILITY_MINOR = 76,
    RBC__CU_FUNC_STATIC_SHARED = 1,
    RBC__CU_FUNC_PTX_VERSION = 5,
    RBC__CU_FUNC_MAX_DYNAMIC_SHARED = 8,
    RBC__CU_LAUNCH_PROGRAMMATIC_SERIALIZATION = 6,
    RBC__CU_MIN_DRIVER_VERSION = 12000,
    RBC__CU_CAPTURE_MODE_RELAXED = 2,
    RBC__CU_CAPTURE_STATUS_NONE = 0,
    RBC__CU_STREAM_NON_BLOCKING = 1,
    RBC__CU_EVENT_BLOCKING_SYNC = 1, /* who waits for it leaves the core to others */
    RBC__CU_EVENT_DISABLE_TIMING = 2,
    RBC__CU_MEM_HOST_PORTABLE = 1,
    RBC__CU_USER_OBJECT_NO_DESTRUCTOR_SYNC = 1,
    RBC__CU_GRAPH_USER_OBJECT_MOVE = 1,
    RBC__CU_LAST_SPECIAL_STREAM = 2, /* NULL, legacy, per thread: of whatever context is current */
    RBC__CU_ERROR_OUT_OF_MEMORY = 2,
    RBC__CU_ERROR_CAPTURE_UNSUPPORTED = 900,
    RBC__CU_ERROR_CAPTURE_IMPLICIT = 906, /* the stream is to wait for one that is captured */
    RBC__CU_ERROR_NO_BINARY_FOR_GPU = 209,
    RBC__CU_ERROR_UNSUPPORTED_PTX = 222,
    RBC__CU_MIN_CAPABILITY = 80,
    RBC__CU_CHAINED_DRIVER_VERSION = 12030, /* captures programmatic dependent launches */
    RBC__CU_CHAINED_PTX_VERSION = 90,       /* kernels have the instructions for them */
};

typedef struct rbc__cuda_driver {
    void *library;
    int version; /* 13000 for CUDA 13.0 */
    int num_devices;
#define X(need, name, symbol, parameters) CUresult(*name) parameters;
#include "cuda/runtime/driver_symbols.def"
#undef X
} rbc__cuda_driver;

/* The driver, loaded and initialised on the first call; later calls return the same, or the same
 * error. UNSUPPORTED: there is no libcuda.so.1, or it is older than RBC__CU_MIN_DRIVER_VERSION, or
 * it lacks a function. DEVICE: cuInit failed, for instance because there is no device. */
rbc_status rbc__cuda_driver_get(const rbc__cuda_driver **out, rbc_error *err);

/* DEVICE, with `result` as device_code, its name and text, behind the formatted message. */
rbc_status rbc__cuda_fail(const rbc__cuda_driver *from, CUresult result, rbc_error *err,
                          const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
