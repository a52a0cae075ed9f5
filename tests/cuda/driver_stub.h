/* A stand-in for libcuda.so.1 whose answers a test sets: a device that runs nothing. */
#ifndef RBC_TESTS_DRIVER_STUB_H
#define RBC_TESTS_DRIVER_STUB_H

#include <stdatomic.h>

enum { STUB_MAX_DEVICES = 4, STUB_PARAMETER_BYTES = 64 };

/* What the functions answer; results are CUresult values, 0 for success. The library exports one as
 * rbc_driver_stub. */
typedef struct driver_stub {
    int init_result, version_result, count_result, retain_result, load_result, function_result;
    int launch_result;
    int version;
    int num_devices;
    int capability[STUB_MAX_DEVICES]; /* 90 for 9.0 */
    int inactive[STUB_MAX_DEVICES];   /* the primary context does not exist */
    int ptx_version;                  /* of every kernel; 90 */
    int stream_device;                /* of every stream; -1: cuStreamGetCtx does not tell */
    atomic_int retained[STUB_MAX_DEVICES];
    atomic_int launched[STUB_MAX_DEVICES]; /* on the device whose context was current */
    atomic_int launched_with_attributes;
    atomic_int graphs_launched, graphs_alive, graphs_made;
    int graph_result; /* of instantiating */
    int is_capturing; /* any stream but that of a capture that the tested code began */
    atomic_int num_modules, num_functions;
    atomic_int pushed, popped;
    int is_threaded; /* what follows is not kept */
    void *last_stream;
    char last_parameters[STUB_PARAMETER_BYTES]; /* how the argument of the last launch begins */
} driver_stub;

#endif
