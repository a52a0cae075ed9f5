#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "training.h"

host_device *device;
host_device_bytes *bytes;
const rbc__cuda_driver *driver;

static uint64_t tensor_bytes(const rbc_field *field) {
    uint64_t product = (uint64_t)field->tensor.dtype.bits / 8;
    for (int32_t d = 0; d < field->tensor.ndim; ++d) {
        product *= (uint64_t)field->tensor.shape[d];
    }
    return product;
}

static void grow(copied *out, uint64_t by) {
    void *grown = realloc(out->bytes, out->num_bytes + by + 1);
    if (grown == NULL) {
        abort();
    }
    out->bytes = grown;
}

static void append_text(copied *out, const rbc_batch *batch, int32_t f, int64_t elements) {
    for (int64_t i = 0; i < elements; ++i) {
        uint64_t length = 0;
        const char *text = rbc_batch_text(batch, f, i, &length);
        grow(out, length + 1);
        memcpy(out->bytes + out->num_bytes, text, length + 1);
        out->num_bytes += length + 1;
    }
}

copied copy_batch(const rbc_batch *batch, CUstream stream) {
    copied out = {0};
    for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
        const rbc_field *field = rbc_batch_field(batch, f);
        if (field->kind == RBC_FIELD_TEXT) {
            append_text(&out, batch, f,
                        field->tensor.shape[0] *
                            (field->tensor.ndim > 1 ? field->tensor.shape[1] : 1));
        }
    }
    uint64_t at = out.num_bytes;
    for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
        const rbc_field *field = rbc_batch_field(batch, f);
        out.num_bytes += field->kind == RBC_FIELD_TENSOR ? tensor_bytes(field) : 0;
    }
    grow(&out, 0);
    for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
        const rbc_field *field = rbc_batch_field(batch, f);
        const uint64_t own = field->kind == RBC_FIELD_TENSOR ? tensor_bytes(field) : 0;
        if (own > 0 && stream == NULL) {
            memcpy(out.bytes + at, field->tensor.data, own);
        } else if (own > 0) {
            assert_int_equal(field->tensor.device.device_type, kDLCUDA);
            assert_int_equal(driver->memcpy_dtoh_async(out.bytes + at,
                                                       (CUdeviceptr)(uintptr_t)field->tensor.data,
                                                       own, stream),
                             0);
        }
        at += own;
    }
    return out;
}

CUstream make_stream(int32_t device_id) {
    CUcontext context = NULL;
    CUstream stream = NULL;
    assert_int_equal(driver->primary_ctx_retain(&context, device_id), 0);
    assert_int_equal(driver->ctx_push_current(context), 0);
    assert_int_equal(driver->stream_create(&stream, RBC__CU_STREAM_NON_BLOCKING), 0);
    assert_int_equal(driver->ctx_pop_current(&context), 0);
    return stream;
}

int64_t train(rbc_loader *loader, CUstream stream, copied *out) {
    rbc_batch *batch = NULL;
    rbc_error error;
    rbc_status status;
    int64_t count = 0;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        assert_true(count < MAX_BATCHES);
        if (stream != NULL) {
            assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
        }
        out[count++] = copy_batch(batch, stream);
        rbc_batch_release(&batch);
    }
    if (status != RBC_END) {
        fail_msg("%s", error.message);
    }
    if (stream != NULL) {
        assert_int_equal(driver->stream_synchronize(stream), 0);
    }
    return count;
}

void compare(const copied *a, const copied *b, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        assert_int_equal(a[i].num_bytes, b[i].num_bytes);
        assert_memory_equal(a[i].bytes, b[i].bytes, a[i].num_bytes);
    }
}

void drop(copied *batches, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        free(batches[i].bytes);
        batches[i] = (copied){0};
    }
}

/* Streams end by themselves once they are destroyed. */
static void await_streams(int count) {
    for (int i = 0; atomic_load(&device->num_streams) > count && i < 20000; ++i) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(atomic_load(&device->num_streams), count);
}

void check_left(int num_streams) {
    await_streams(num_streams);
    assert_int_equal(atomic_load(&bytes->on_device), 0);
    assert_int_equal(atomic_load(&bytes->pinned), 0);
    assert_int_equal(atomic_load(&device->num_events), 0);
    assert_int_equal(atomic_load(&device->num_astray), 0);
    assert_int_equal(fake_num_open(), 0);
}

rbc_loader *open_on(setup *s, DLDevice where) {
    s->params.device = where;
    s->params.align = where.device_type == kDLCPU ? RBC_ALIGN_ON_CPU : RBC_ALIGN_ON_CUDA;
    return open_loader(s);
}

const DLDevice cpu = {kDLCPU, 0};
const DLDevice cuda0 = {kDLCUDA, 0};

bool training_begin(void) {
    void *library = dlopen(HOST_DEVICE, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return false;
    }
    device = dlsym(library, "rbc_host_device");
    bytes = dlsym(library, "rbc_host_device_bytes");
    return device != NULL && bytes != NULL && rbc__cuda_driver_get(&driver, NULL) == RBC_OK;
}
