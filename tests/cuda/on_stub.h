/* Cases that call the library on the stand-in for the driver of driver_stub.h, each in a process of its
 * own: the driver is loaded once a process. */
#ifndef RBC_TESTS_CUDA_ON_STUB_H
#define RBC_TESTS_CUDA_ON_STUB_H

#include <stdio.h>
#include <stdlib.h>

#include <robocache/robocache.h>

#include "driver_stub.h"

enum { BATCH = 2, SAMPLES = 5, TARGETS = 4, CHANNELS = 3 }; /* of resample() */

extern driver_stub *stub;    /* of the case, once it is loaded */
extern rbc_context *context; /* of the case */

#define CHECK(holds)                                                                               \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            (void)fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds);                      \
            _Exit(1);                                                                              \
        }                                                                                          \
    } while (0)

void load_stub(const char *path);

/* A resample on a device; `block` is an address that is never looked at there. */
rbc_status resample_on(DLDevice device, DLDevice times_device, char *block, void *stream,
                       rbc_error *err);
rbc_status resample(int32_t device_id, void *stream, rbc_error *err);
void *stream_number(int number);

/* Fails with this status and all the words in its message; `device_code` is the driver's. */
void check_fails(rbc_status status, int device_code, const char *const *words);
#define FAILS(status, code, ...) check_fails(status, code, (const char *const[]){__VA_ARGS__, NULL})

void run_case(void **state);
#define CASE(name) {#name, run_case, NULL, NULL, (void *)(name)}

#endif
