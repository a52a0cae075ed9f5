#include "driver_stub.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "cuda/runtime/driver.h"

/* Contexts, modules and functions are addresses of these; nobody looks behind them. */
static char contexts[STUB_MAX_DEVICES];
static char module, function;
static _Thread_local CUcontext current;

__attribute__((visibility("default"))) driver_stub rbc_driver_stub;

driver_stub rbc_driver_stub = {.version = 13000,
                               .num_devices = 1,
                               .capability = {90, 90, 90, 90},
                               .ptx_version = 90,
                               .stream_device = -1};

#define STUB __attribute__((visibility("default"))) CUresult

/* Every function of the driver table, declared as the driver declares it. */
#define X(need, name, symbol, parameters) STUB symbol parameters;
#include "cuda/runtime/driver_symbols.def"
#undef X

static const struct {
    CUresult code;
    const char *name, *text;
} errors[] = {{100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
              {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
              {209, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available"},
              {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the PTX is too new"},
              {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
              {719, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"}};

STUB cuGetErrorName(CUresult error, const char **name) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
        if (errors[i].code == error) {
            *name = errors[i].name;
            return 0;
        }
    }
    return 1;
}

STUB cuGetErrorString(CUresult error, const char **text) {
    for (size_t i = 0; i < sizeof errors / sizeof *errors; ++i) {
        if (errors[i].code == error) {
            *text = errors[i].text;
            return 0;
        }
    }
    return 1;
}

STUB cuInit(unsigned flags) {
    return flags == 0 ? rbc_driver_stub.init_result : 1;
}

STUB cuDriverGetVersion(int *version) {
    *version = rbc_driver_stub.version;
    return rbc_driver_stub.version_result;
}

STUB cuDeviceGetCount(int *count) {
    *count = rbc_driver_stub.num_devices;
    return rbc_driver_stub.count_result;
}

STUB cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal >= 0 && ordinal < rbc_driver_stub.num_devices ? 0 : 101;
}

STUB cuDeviceGetName(char *name, int bytes, CUdevice device) {
    (void)device;
    strncpy(name, "Stand-in", (size_t)bytes);
    return 0;
}

STUB cuDeviceGetAttribute(int *value, int attribute, CUdevice device) {
    switch (attribute) {
    case RBC__CU_ATTRIBUTE_CAPABILITY_MAJOR:
        *value = rbc_driver_stub.capability[device] / 10;
        return 0;
    case RBC__CU_ATTRIBUTE_CAPABILITY_MINOR:
        *value = rbc_driver_stub.capability[device] % 10;
        return 0;
    default:
        *value = 132;
        return 0;
    }
}

STUB cuDevicePrimaryCtxGetState(CUdevice device, unsigned *flags, int *active) {
    *flags = 0;
    *active = !rbc_driver_stub.inactive[device];
    return 0;
}

STUB cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    atomic_fetch_add(&rbc_driver_stub.retained[device], 1);
    *context = (CUcontext)(void *)&contexts[device];
    return rbc_driver_stub.retain_result;
}

STUB cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    atomic_fetch_sub(&rbc_driver_stub.retained[device], 1);
    return 0;
}

STUB cuCtxGetCurrent(CUcontext *context) {
    *context = current;
    return 0;
}

STUB cuCtxPushCurrent_v2(CUcontext context) {
    atomic_fetch_add(&rbc_driver_stub.pushed, 1);
    current = context;
    return 0;
}

STUB cuCtxPopCurrent_v2(CUcontext *context) {
    atomic_fetch_add(&rbc_driver_stub.popped, 1);
    *context = current;
    current = NULL;
    return 0;
}

STUB cuModuleLoadData(CUmodule *out, const void *image) {
    (void)image;
    atomic_fetch_add(&rbc_driver_stub.num_modules, 1);
    *out = rbc_driver_stub.load_result == 0 ? (CUmodule)(void *)&module : NULL;
    return rbc_driver_stub.load_result;
}

STUB cuModuleGetFunction(CUfunction *out, CUmodule from, const char *name) {
    (void)from;
    (void)name;
    atomic_fetch_add(&rbc_driver_stub.num_functions, 1);
    *out = (CUfunction)(void *)&function;
    return rbc_driver_stub.function_result;
}

STUB cuFuncGetAttribute(int *value, int attribute, CUfunction of) {
    (void)of;
    *value = attribute == RBC__CU_FUNC_STATIC_SHARED ? 1024
             : attribute == RBC__CU_FUNC_PTX_VERSION ? rbc_driver_stub.ptx_version
                                                     : 0;
    return 0;
}

STUB cuFuncSetAttribute(CUfunction of, int attribute, int value) {
    (void)of;
    (void)attribute;
    (void)value;
    return 0;
}

static CUresult launch(CUstream stream, const char *parameters) {
    for (int i = 0; i < STUB_MAX_DEVICES; ++i) {
        if ((void *)current == (void *)&contexts[i]) {
            atomic_fetch_add(&rbc_driver_stub.launched[i], 1);
        }
    }
    if (!rbc_driver_stub.is_threaded) {
        rbc_driver_stub.last_stream = stream;
        memcpy(rbc_driver_stub.last_parameters, parameters, STUB_PARAMETER_BYTES);
    }
    return current == NULL ? 201 : rbc_driver_stub.launch_result;
}

/* ---- graphs ---- */

enum { MAX_NODES = 64 };

struct CUgraphNode_st {
    CUkernelNodeParams params;
    char parameters[STUB_PARAMETER_BYTES];
};

/* A graph, and its executable too, which has nodes of its own. */
struct CUgraph_st {
    int count;
    struct CUgraphNode_st nodes[MAX_NODES];
    struct CUgraph_st *made_from;
};

static _Thread_local CUstream captured;
static _Thread_local CUgraph capture;

static CUresult set_node(struct CUgraphNode_st *node, const CUkernelNodeParams *params) {
    node->params = *params;
    memcpy(node->parameters, params->parameters[0], STUB_PARAMETER_BYTES);
    return 0;
}

STUB cuStreamCreate(CUstream *stream, unsigned flags) {
    static char streams[STUB_MAX_DEVICES * 8];
    static atomic_int count;
    (void)flags;
    *stream = (CUstream)(void *)&streams[atomic_fetch_add(&count, 1)];
    return 0;
}

STUB cuStreamGetCtx(CUstream stream, CUcontext *context) {
    const int device = rbc_driver_stub.stream_device;
    *context = device < 0 ? NULL : (CUcontext)(void *)&contexts[device];
    return stream == NULL || device < 0 ? 201 : 0;
}

STUB cuStreamIsCapturing(CUstream stream, int *status) {
    (void)stream;
    *status = rbc_driver_stub.is_capturing;
    return 0;
}

STUB cuStreamBeginCapture_v2(CUstream stream, int mode) {
    (void)mode;
    captured = stream;
    capture = calloc(1, sizeof *capture);
    atomic_fetch_add(&rbc_driver_stub.graphs_alive, 1);
    return capture == NULL ? 2 : 0;
}

STUB cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    *graph = capture;
    captured = NULL;
    capture = NULL;
    return stream == NULL ? 1 : 0;
}

STUB cuStreamGetCaptureInfo_v2(CUstream stream, int *status, uint64_t *id, CUgraph *graph,
                               const CUgraphNode **dependencies, size_t *count) {
    static _Thread_local CUgraphNode last;
    if (capture == NULL || stream != captured) {
        return 1;
    }
    *status = 1;
    *id = 1;
    *graph = capture;
    *count = capture->count > 0;
    last = &capture->nodes[capture->count - (capture->count > 0)];
    *dependencies = &last;
    return 0;
}

STUB cuGraphInstantiateWithFlags(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    (void)flags;
    if (rbc_driver_stub.graph_result != 0) {
        return rbc_driver_stub.graph_result;
    }
    CUgraph made = malloc(sizeof *made);
    *made = *graph;
    made->made_from = graph;
    atomic_fetch_add(&rbc_driver_stub.graphs_made, 1);
    atomic_fetch_add(&rbc_driver_stub.graphs_alive, 1);
    *executable = (CUgraphExec)(void *)made;
    return 0;
}

STUB cuGraphExecKernelNodeSetParams_v2(CUgraphExec executable, CUgraphNode node,
                                       const CUkernelNodeParams *params) {
    CUgraph made = (CUgraph)(void *)executable;
    const ptrdiff_t index = node - made->made_from->nodes;
    return index < 0 || index >= made->count ? 1 : set_node(&made->nodes[index], params);
}

STUB cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    CUgraph made = (CUgraph)(void *)executable;
    atomic_fetch_add(&rbc_driver_stub.graphs_launched, 1);
    CUresult result = 0;
    for (int i = 0; result == 0 && i < made->count; ++i) {
        result = launch(stream, made->nodes[i].parameters);
    }
    return result;
}

STUB cuGraphExecDestroy(CUgraphExec executable) {
    atomic_fetch_sub(&rbc_driver_stub.graphs_alive, 1);
    free(executable);
    return 0;
}

STUB cuGraphDestroy(CUgraph graph) {
    atomic_fetch_sub(&rbc_driver_stub.graphs_alive, 1);
    free(graph);
    return 0;
}

/* ---- launches ---- */

STUB cuLaunchKernel(CUfunction of, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                    unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes,
                    CUstream stream, void **parameters, void **extra) {
    (void)extra;
    const int valid = of != NULL && grid_x > 0 && grid_y > 0 && grid_z > 0 && block_x > 0 &&
                      block_y > 0 && block_z > 0 && parameters != NULL;
    if (!valid) {
        return 1;
    }
    if (capture != NULL && stream == captured) {
        const CUkernelNodeParams params = {.function = of,
                                           .grid_x = grid_x,
                                           .grid_y = grid_y,
                                           .grid_z = grid_z,
                                           .block_x = block_x,
                                           .block_y = block_y,
                                           .block_z = block_z,
                                           .shared_bytes = shared_bytes,
                                           .parameters = parameters};
        return capture->count < MAX_NODES ? set_node(&capture->nodes[capture->count++], &params)
                                          : 1;
    }
    return launch(stream, parameters[0]);
}

#ifndef STUB_WITHOUT_LAUNCH_EX
STUB cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction of, void **parameters,
                      void **extra) {
    if (config->num_attributes > 0) {
        atomic_fetch_add(&rbc_driver_stub.launched_with_attributes, 1);
    }
    return cuLaunchKernel(of, config->grid_x, config->grid_y, config->grid_z, config->block_x,
                          config->block_y, config->block_z, config->shared_bytes, config->stream,
                          parameters, extra);
}
#endif

STUB cuStreamSynchronize(CUstream stream) {
    (void)stream;
    return 0;
}

STUB cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    (void)source;
    (void)stream;
    memset(destination, 0, bytes);
    return 0;
}

#ifndef STUB_WITHOUT_CAPTURE_MODE
STUB cuThreadExchangeStreamCaptureMode(int *mode) {
    (void)mode;
    return 0;
}
#endif
