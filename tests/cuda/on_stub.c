#include "on_stub.h"

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

driver_stub *stub;
rbc_context *context;

void load_stub(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        _Exit(1);
    }
    stub = dlsym(library, "rbc_driver_stub");
    CHECK(stub != NULL);
}

/* Runs `body` in a child. */
static void in_child(void (*body)(void)) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        CHECK(rbc_context_create(NULL, &context, NULL) == RBC_OK);
        body();
        rbc_context_destroy(&context);
        _Exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

rbc_status resample_on(DLDevice device, DLDevice times_device, char *block, void *stream,
                       rbc_error *err) {
    int64_t values_shape[] = {BATCH, SAMPLES, CHANNELS};
    int64_t times_shape[] = {BATCH, SAMPLES};
    int64_t targets_shape[] = {BATCH, TARGETS};
    int64_t out_shape[] = {BATCH, TARGETS, CHANNELS};
    const DLDataType f32 = {kDLFloat, 32, 1};
    const DLTensor values = {
        .data = block, .device = device, .ndim = 3, .dtype = f32, .shape = values_shape};
    const DLTensor times = {.data = block + 4096,
                            .device = times_device,
                            .ndim = 2,
                            .dtype = f32,
                            .shape = times_shape};
    const DLTensor targets = {
        .data = block + 8192, .device = device, .ndim = 2, .dtype = f32, .shape = targets_shape};
    const DLTensor out = {
        .data = block + 12288, .device = device, .ndim = 3, .dtype = f32, .shape = out_shape};
    rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
    source.values = &values;
    source.times = &times;
    return rbc_resample(context, &source, &targets, &out, NULL, NULL, stream, err);
}

rbc_status resample(int32_t device_id, void *stream, rbc_error *err) {
    const DLDevice device = {kDLCUDA, device_id};
    return resample_on(device, device, (char *)(uintptr_t)0x7000000, stream, err);
}

void *stream_number(int number) {
    return (void *)(uintptr_t)(0x1000 + 16 * number);
}

void check_fails(rbc_status status, int device_code, const char *const *words) {
    rbc_error err;
    const rbc_status got = resample(0, NULL, &err);
    if (got != status) {
        (void)fprintf(stderr, "%d, not %d: %s\n", (int)got, (int)status, err.message);
        _Exit(1);
    }
    CHECK(err.status == status);
    CHECK(err.device_code == device_code);
    for (int i = 0; words[i] != NULL; ++i) {
        if (strstr(err.message, words[i]) == NULL) {
            (void)fprintf(stderr, "no '%s' in '%s'\n", words[i], err.message);
            _Exit(1);
        }
    }
    CHECK(resample(0, NULL, NULL) == status);
}

void run_case(void **state) {
    in_child((void (*)(void))*state);
}
