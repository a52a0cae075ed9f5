/* Devices, their kernels and what may be wrong with them, against a stand-in for the driver. */
#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "on_stub.h"

static void cpu_still_works(void) {
    static _Alignas(64) char block[16384];
    const DLDevice cpu = {kDLCPU, 0};
    CHECK(resample_on(cpu, cpu, block, NULL, NULL) == RBC_OK);
}

static void without_a_library(void) {
    if (dlopen("libcuda.so.1", RTLD_NOW) == NULL) {
        FAILS(RBC_ERROR_UNSUPPORTED, 0, "libcuda.so.1", "NVIDIA driver");
        cpu_still_works();
    }
}

static void without_a_symbol(void) {
    load_stub(STUB_OLD);
    FAILS(RBC_ERROR_UNSUPPORTED, 0, "cuThreadExchangeStreamCaptureMode", "CUDA 12.0 or newer");
    cpu_still_works();
}

static void with_an_old_driver(void) {
    load_stub(STUB);
    stub->version = 11080;
    FAILS(RBC_ERROR_UNSUPPORTED, 0, "supports CUDA 11.8", "12.0 or newer");
    stub->version = 13000;
    FAILS(RBC_ERROR_UNSUPPORTED, 0, "supports CUDA 11.8"); /* looked at once */
}

static void without_a_device(void) {
    load_stub(STUB);
    stub->init_result = 100;
    FAILS(RBC_ERROR_DEVICE, 100, "cuInit", "CUDA_ERROR_NO_DEVICE", "(100)", "no CUDA-capable");
    cpu_still_works();
}

static void with_an_unknown_error(void) {
    load_stub(STUB);
    stub->count_result = 4711;
    FAILS(RBC_ERROR_DEVICE, 4711, "cuDeviceGetCount", "unknown CUDA error", "4711");
}

static void on_a_device_that_is_not_there(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    rbc_error err;
    for (int32_t id = -1; id <= 2; id += 3) {
        CHECK(resample(id, NULL, &err) == RBC_ERROR_INVALID_ARGUMENT);
        CHECK(strstr(err.message, "there are 2 devices") != NULL);
    }
    CHECK(resample(1, NULL, &err) == RBC_OK);
}

static void on_an_old_device(void) {
    load_stub(STUB);
    stub->capability[0] = 75;
    FAILS(RBC_ERROR_UNSUPPORTED, 0, "CUDA device 0 (Stand-in)", "7.5", "8.0 or newer");
    CHECK(stub->retained[0] == 0);
    cpu_still_works();
}

static void without_a_primary_context(void) {
    load_stub(STUB);
    stub->inactive[0] = 1;
    FAILS(RBC_ERROR_INVALID_ARGUMENT, 0, "CUDA device 0", "no active primary context");
    CHECK(stub->retained[0] == 0);
    stub->inactive[0] = 0;
    CHECK(resample(0, NULL, NULL) == RBC_OK); /* the framework made it since */
    CHECK(stub->retained[0] == 1);
}

static void when_the_context_cannot_be_retained(void) {
    load_stub(STUB);
    stub->retain_result = 2;
    FAILS(RBC_ERROR_DEVICE, 2, "cuDevicePrimaryCtxRetain, CUDA device 0",
          "CUDA_ERROR_OUT_OF_MEMORY");
}

static void without_kernels_for_the_device(void) {
    load_stub(STUB);
    stub->capability[0] = 130;
    stub->load_result = 209;
    FAILS(RBC_ERROR_UNSUPPORTED, 209, "no kernels for CUDA device 0", "CUDA 13.0",
          "CUDA_ERROR_NO_BINARY_FOR_GPU");
    stub->load_result = 222;
    FAILS(RBC_ERROR_UNSUPPORTED, 222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION");
    stub->load_result = 2;
    FAILS(RBC_ERROR_DEVICE, 2, "loading kernels on CUDA device 0", "CUDA_ERROR_OUT_OF_MEMORY");
    stub->load_result = 0;
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(stub->pushed == stub->popped);
}

static void without_a_kernel(void) {
    load_stub(STUB);
    stub->function_result = 500;
    FAILS(RBC_ERROR_DEVICE, 500, "kernel rbc__", "CUDA_ERROR_NOT_FOUND");
}

static void when_a_launch_fails(void) {
    load_stub(STUB);
    stub->launch_result = 719;
    FAILS(RBC_ERROR_DEVICE, 719, "launching rbc__", "CUDA device 0", "CUDA_ERROR_LAUNCH_FAILED",
          "unspecified launch failure");
    CHECK(stub->pushed == stub->popped);
}

static void launches_are_chained_where_they_can_be(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    stub->capability[1] = 89;
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(stub->launched_with_attributes == 1);
    CHECK(resample(1, NULL, NULL) == RBC_OK);
    CHECK(stub->launched_with_attributes == 1);
}

static void kernels_of_older_ptx_are_not_chained(void) {
    load_stub(STUB);
    stub->ptx_version = 80;
    for (int turn = 0; turn < 3; ++turn) {
        CHECK(resample(0, NULL, NULL) == RBC_OK);
    }
    CHECK(stub->launched[0] == 3 && stub->launched_with_attributes == 0);
}

static void streams_of_another_device_are_refused(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    stub->stream_device = 1;
    rbc_error err;
    for (int turn = 0; turn < 3; ++turn) {
        CHECK(resample(0, stream_number(1), &err) == RBC_ERROR_INVALID_ARGUMENT);
        CHECK(strstr(err.message, "stream") != NULL &&
              strstr(err.message, "CUDA device 0") != NULL);
        CHECK(resample(1, stream_number(1), NULL) == RBC_OK);
        CHECK(resample(0, NULL, NULL) == RBC_OK);
    }
    CHECK(stub->launched[0] == 3 && stub->launched[1] == 3);
    CHECK(stub->pushed == stub->popped);
}

static void launches_are_plain_without_the_new_function(void) {
    load_stub(STUB_PLAIN);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(stub->launched[0] == 1);
    CHECK(stub->launched_with_attributes == 0);
}

static void each_device_has_its_own_kernels(void) {
    load_stub(STUB);
    stub->num_devices = 3;
    for (int turn = 0; turn < 3; ++turn) {
        CHECK(resample(2, (void *)(uintptr_t)0x20, NULL) == RBC_OK);
        CHECK(stub->last_stream == (void *)(uintptr_t)0x20);
        CHECK(resample(0, NULL, NULL) == RBC_OK);
    }
    CHECK(stub->launched[0] == 3 && stub->launched[1] == 0 && stub->launched[2] == 3);
    CHECK(stub->retained[0] == 1 && stub->retained[1] == 0 && stub->retained[2] == 1);
    CHECK(stub->num_modules == 2 && stub->num_functions == 2);
    CHECK(stub->pushed == 6 && stub->popped == 6);
}

static void tensors_on_two_devices_are_refused(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    rbc_error err;
    const DLDevice first = {kDLCUDA, 0};
    const DLDevice second = {kDLCUDA, 1};
    CHECK(resample_on(first, second, (char *)(uintptr_t)0x7000000, NULL, &err) ==
          RBC_ERROR_INVALID_ARGUMENT);
    CHECK(strstr(err.message, "source_times") != NULL && strstr(err.message, "device") != NULL);
    CHECK(stub->launched[0] == 0 && stub->launched[1] == 0);
}

/* A kernel would fault on them. Strides are counted in elements, so that only where the data begins
 * can be amiss. */
static void unaligned_tensors_are_refused(void) {
    load_stub(STUB);
    static const char *const names[] = {"values", "source_times", "target_times", "out"};
    int64_t shapes[4][3] = {
        {BATCH, SAMPLES, CHANNELS}, {BATCH, SAMPLES}, {BATCH, TARGETS}, {BATCH, TARGETS, CHANNELS}};
    const int32_t ndims[4] = {3, 2, 2, 3};
    for (int k = 0; k < 16; ++k) {
        const int at = k % 4;
        const bool by_offset = k / 4 % 2 == 1;
        const unsigned bytes = k < 8 ? 4 : 8;
        DLTensor tensors[4];
        for (int i = 0; i < 4; ++i) {
            tensors[i] = (DLTensor){.data = (char *)(uintptr_t)0x7000000 + (ptrdiff_t)4096 * i,
                                    .device = {kDLCUDA, 0},
                                    .ndim = ndims[i],
                                    .dtype = {kDLFloat, (uint8_t)(8 * bytes), 1},
                                    .shape = shapes[i]};
        }
        rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
        source.values = &tensors[0];
        source.times = &tensors[1];
        CHECK(rbc_resample(context, &source, &tensors[2], &tensors[3], NULL, NULL, NULL, NULL) ==
              RBC_OK);
        const uint64_t launched = (uint64_t)stub->launched[0];
        tensors[at].byte_offset = by_offset ? bytes / 2 : 0;
        tensors[at].data = (char *)tensors[at].data + (by_offset ? 0 : bytes / 2);
        char wanted[128];
        (void)snprintf(wanted, sizeof wanted,
                       "%s: data begins at address 0x%x; wanted a multiple of %u", names[at],
                       0x7000000U + 4096U * (unsigned)at + bytes / 2, bytes);
        rbc_error err;
        CHECK(rbc_resample(context, &source, &tensors[2], &tensors[3], NULL, NULL, NULL, &err) ==
              RBC_ERROR_INVALID_ARGUMENT);
        CHECK(strstr(err.message, wanted) != NULL);
        CHECK((uint64_t)stub->launched[0] == launched);
    }
}

enum { THREADS = 8, CALLS = 200 };

static void *call_often(void *argument) {
    const int32_t device_id = *(const int32_t *)argument;
    for (int i = 0; i < CALLS; ++i) {
        CHECK(resample(device_id, NULL, NULL) == RBC_OK);
    }
    return NULL;
}

static void from_many_threads(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    stub->is_threaded = 1;
    pthread_t threads[THREADS];
    int32_t device_ids[THREADS];
    for (int i = 0; i < THREADS; ++i) {
        device_ids[i] = i % 2;
        CHECK(pthread_create(&threads[i], NULL, call_often, &device_ids[i]) == 0);
    }
    for (int i = 0; i < THREADS; ++i) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    for (int i = 0; i < 2; ++i) {
        CHECK(stub->launched[i] == THREADS / 2 * CALLS);
        CHECK(stub->retained[i] == 1);
    }
    CHECK(stub->num_modules == 2);
    CHECK(stub->pushed == THREADS * CALLS && stub->popped == THREADS * CALLS);
}

static atomic_bool are_done;

static void *call_until_done(void *argument) {
    (void)argument;
    while (!atomic_load(&are_done)) {
        CHECK(resample(0, stream_number(1), NULL) == RBC_OK);
    }
    return NULL;
}

/* Whatever locks the other threads held. */
static void in_forked_children(void) {
    load_stub(STUB);
    stub->is_threaded = 1;
    pthread_t threads[2];
    for (int i = 0; i < 2; ++i) {
        CHECK(pthread_create(&threads[i], NULL, call_until_done, NULL) == 0);
    }
    for (int round = 0; round < 20; ++round) {
        CHECK(resample(0, NULL, NULL) == RBC_OK);
        const pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            alarm(60); /* instead of waiting for ever */
            FAILS(RBC_ERROR_UNSUPPORTED, 0, "forked", "CUDA", "spawn");
            cpu_still_works();
            _Exit(0);
        }
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&are_done, true);
    for (int i = 0; i < 2; ++i) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

/* A child may be the first to use CUDA. */
static void in_a_child_that_is_the_first(void) {
    load_stub(STUB);
    const pid_t child = fork();
    if (child == 0) {
        CHECK(resample(0, NULL, NULL) == RBC_OK);
        _Exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(without_a_library),
        CASE(without_a_symbol),
        CASE(with_an_old_driver),
        CASE(without_a_device),
        CASE(with_an_unknown_error),
        CASE(on_a_device_that_is_not_there),
        CASE(on_an_old_device),
        CASE(without_a_primary_context),
        CASE(when_the_context_cannot_be_retained),
        CASE(without_kernels_for_the_device),
        CASE(without_a_kernel),
        CASE(when_a_launch_fails),
        CASE(launches_are_chained_where_they_can_be),
        CASE(kernels_of_older_ptx_are_not_chained),
        CASE(streams_of_another_device_are_refused),
        CASE(launches_are_plain_without_the_new_function),
        CASE(each_device_has_its_own_kernels),
        CASE(tensors_on_two_devices_are_refused),
        CASE(unaligned_tensors_are_refused),
        CASE(from_many_threads),
        CASE(in_forked_children),
        CASE(in_a_child_that_is_the_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
