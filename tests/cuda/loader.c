/* Loaders whose batches go to a device, against those whose batches stay on the host: a stand-in for
 * a device does what is queued late and in an order of its own. */
#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../loader/drive.h"
#include "cuda/runtime/driver.h"
#include "host_device.h"

static host_device *device;
static host_device_bytes *bytes;
static const rbc__cuda_driver *driver;

/* ---- work of a training loop --------------------------------------------------------------------
 */

/* What a batch holds, text behind the tensors. */
typedef struct copied {
    uint8_t *bytes;
    uint64_t num_bytes;
} copied;

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

/* Copies a batch; of one on a device, `stream` does so sometime. */
static copied copy_batch(const rbc_batch *batch, CUstream stream) {
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

static CUstream make_stream(int32_t device_id) {
    CUcontext context = NULL;
    CUstream stream = NULL;
    assert_int_equal(driver->primary_ctx_retain(&context, device_id), 0);
    assert_int_equal(driver->ctx_push_current(context), 0);
    assert_int_equal(driver->stream_create(&stream, RBC__CU_STREAM_NON_BLOCKING), 0);
    assert_int_equal(driver->ctx_pop_current(&context), 0);
    return stream;
}

/* All batches of a loader from here on; none is waited for. */
static int64_t train(rbc_loader *loader, CUstream stream, copied *out) {
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

static void compare(const copied *a, const copied *b, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        assert_int_equal(a[i].num_bytes, b[i].num_bytes);
        assert_memory_equal(a[i].bytes, b[i].bytes, a[i].num_bytes);
    }
}

static void drop(copied *batches, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        free(batches[i].bytes);
        batches[i] = (copied){0};
    }
}

/* Streams end by themselves once they are destroyed. */
static void await_no_stream(void) {
    for (int i = 0; atomic_load(&device->num_streams) > 0 && i < 20000; ++i) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    assert_int_equal(atomic_load(&device->num_streams), 0);
}

static void check_nothing_is_left(void) {
    await_no_stream();
    assert_int_equal(atomic_load(&bytes->on_device), 0);
    assert_int_equal(atomic_load(&bytes->pinned), 0);
    assert_int_equal(atomic_load(&device->num_events), 0);
    assert_int_equal(fake_num_open(), 0);
}

static rbc_loader *open_on(setup *s, DLDevice where) {
    s->params.device = where;
    return open_loader(s);
}

static const DLDevice cpu = {kDLCPU, 0};
static const DLDevice cuda0 = {kDLCUDA, 0};

/* ---- tests --------------------------------------------------------------------------------------
 */

static copied wanted[MAX_BATCHES], found[MAX_BATCHES];

static void batches_are_those_of_the_host(void **state) {
    (void)state;
    static const int32_t slots[] = {0, 1, 3};
    static const int32_t threads[] = {1, 2, 7};
    static const int pauses[] = {0, 300, 3000};
    for (int trial = 0; trial < 3; ++trial) {
        setup *s = make_setup();
        s->params.num_slots = slots[trial];
        s->params.num_threads = threads[trial];
        atomic_store(&device->max_pause_us, pauses[trial]);
        rbc_loader *loader = open_on(s, cpu);
        const int64_t count = train(loader, NULL, wanted);
        rbc_loader_destroy(&loader);
        loader = open_on(s, cuda0);
        CUstream stream = make_stream(0);
        atomic_store(&device->watched_waits, 0);
        atomic_store(&device->watched, (unsigned long)pthread_self());
        rbc_loader_stats stats;
        rbc_batch *batch = NULL;
        rbc_error error;
        int64_t got = 0;
        while (rbc_loader_next(loader, -1, &batch, &error) == RBC_OK) {
            assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
            found[got++] = copy_batch(batch, stream);
            rbc_batch_release(&batch);
        }
        assert_int_equal(atomic_load(&device->watched_waits), 0);
        atomic_store(&device->watched, 0);
        assert_int_equal(driver->stream_synchronize(stream), 0);
        rbc_loader_get_stats(loader, &stats);
        assert_true(s->params.num_slots == 0 || stats.slots_peak <= s->params.num_slots + 2);
        assert_int_equal(got, count);
        compare(wanted, found, count);
        rbc_loader_destroy(&loader);
        assert_int_equal(driver->stream_destroy(stream), 0);
        drop(wanted, count);
        drop(found, count);
        check_nothing_is_left();
    }
    atomic_store(&device->max_pause_us, 0);
}

/* Images that the device decodes and makes others of, and what is damaged of them. */
static void images_are_those_of_the_host(void **state) {
    (void)state;
    static const rbc_jpeg_on places[] = {RBC_JPEG_ON_CUDA, RBC_JPEG_ON_AUTO, RBC_JPEG_ON_CPU};
    static const rbc_on_error policies[] = {RBC_ON_ERROR_SKIP, RBC_ON_ERROR_MASK};
    rbc_image_params image = RBC_IMAGE_PARAMS_INIT;
    image.crop = RBC_IMAGE_CROP_RANDOM;
    image.crop_scale[0] = 0.5;
    image.size[0] = 5;
    image.size[1] = 9;
    image.contrast[0] = 0.5;
    image.contrast[1] = 1.5;
    for (int trial = 0; trial < 12; ++trial) {
        setup *s = make_setup();
        s->fake.is_jpeg = true;
        s->fake.damages_images = trial % 2 == 1;
        s->params.on_error = policies[trial / 2 % 2];
        s->params.num_threads = 3;
        s->windows[2].image = trial % 4 < 3 ? &image : NULL;
        atomic_store(&device->max_pause_us, 100);
        rbc_loader *loader = open_on(s, cpu);
        const int64_t count = train(loader, NULL, wanted);
        rbc_loader_destroy(&loader);
        s->params.jpeg = places[trial / 4];
        s->params.fixed_slots = trial % 3 == 1;
        loader = open_on(s, cuda0);
        CUstream stream = make_stream(0);
        assert_int_equal(train(loader, stream, found), count);
        rbc_loader_stages stages = RBC_LOADER_STAGES_INIT;
        assert_int_equal(rbc_loader_get_stages(loader, &stages, NULL), RBC_OK);
        assert_int_equal(stages.images_on_device > 0, s->params.jpeg != RBC_JPEG_ON_CPU);
        compare(wanted, found, count);
        rbc_loader_destroy(&loader);
        assert_int_equal(driver->stream_destroy(stream), 0);
        drop(wanted, count);
        drop(found, count);
        check_nothing_is_left();
    }
    atomic_store(&device->max_pause_us, 0);
}

static void an_epoch_resumes_anywhere(void **state) {
    (void)state;
    setup *s = make_setup();
    atomic_store(&device->max_pause_us, 200);
    rbc_loader *loader = open_on(s, cpu);
    const int64_t count = train(loader, NULL, wanted);
    rbc_loader_destroy(&loader);
    CUstream stream = make_stream(0);
    loader = open_on(s, cuda0);
    for (int64_t k = 0; k < 3 * count; k += 2) {
        rbc_batch *batch = NULL;
        rbc_error error;
        const int64_t at = k * 7 % count;
        assert_int_equal(rbc_loader_seek(loader, 0, at * s->params.batch_size, NULL), RBC_OK);
        assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
        assert_int_equal(rbc_batch_position(batch), at * s->params.batch_size);
        assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
        found[0] = copy_batch(batch, stream);
        rbc_batch_release(&batch);
        assert_int_equal(driver->stream_synchronize(stream), 0);
        compare(wanted + at, found, 1);
        drop(found, 1);
    }
    rbc_loader_destroy(&loader);
    assert_int_equal(driver->stream_destroy(stream), 0);
    drop(wanted, count);
    check_nothing_is_left();
    atomic_store(&device->max_pause_us, 0);
}

static void damage_is_that_of_the_host(void **state) {
    (void)state;
    static const rbc_on_error policies[] = {RBC_ON_ERROR_SKIP, RBC_ON_ERROR_MASK,
                                            RBC_ON_ERROR_RAISE};
    for (int p = 0; p < 3; ++p) {
        setup *s = make_setup();
        s->fake.failing_step = 7;
        s->params.on_error = policies[p];
        char messages[2][4096] = {{0}, {0}};
        copied *of[] = {wanted, found};
        int64_t counts[2] = {0};
        CUstream stream = make_stream(0);
        for (int d = 0; d < 2; ++d) {
            rbc_loader *loader = open_on(s, d == 0 ? cpu : cuda0);
            rbc_batch *batch = NULL;
            rbc_error error;
            rbc_status status;
            while ((status = rbc_loader_next(loader, -1, &batch, &error)) != RBC_END) {
                if (status != RBC_OK) {
                    (void)snprintf(messages[d] + strlen(messages[d]),
                                   sizeof messages[d] - strlen(messages[d]), "%.100s\n",
                                   error.message);
                    continue;
                }
                if (d == 1) {
                    assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
                }
                of[d][counts[d]++] = copy_batch(batch, d == 0 ? NULL : stream);
                rbc_batch_release(&batch);
            }
            for (int64_t i = 0; i < 5; ++i) {
                char message[256] = "";
                (void)rbc_loader_skipped(loader, i, message, sizeof message, NULL);
                (void)snprintf(messages[d] + strlen(messages[d]),
                               sizeof messages[d] - strlen(messages[d]), "%.100s\n", message);
            }
            rbc_loader_destroy(&loader);
        }
        assert_int_equal(driver->stream_synchronize(stream), 0);
        assert_int_equal(counts[0], counts[1]);
        assert_true(strlen(messages[0]) > 20);
        assert_string_equal(messages[0], messages[1]);
        compare(wanted, found, counts[0]);
        drop(wanted, counts[0]);
        drop(found, counts[1]);
        assert_int_equal(driver->stream_destroy(stream), 0);
        check_nothing_is_left();
    }
}

/* Two streams use each batch; some batches are held, some loaders closed with batches under way. */
static void loaders_stop_at_any_time(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    atomic_store(&device->max_pause_us, 500);
    for (int64_t trial = 0; trial < 12; ++trial) {
        rbc_loader *loader = open_on(s, cuda0);
        CUstream streams[] = {make_stream(0), make_stream(0), make_stream(0)};
        rbc_batch *held[4] = {0};
        rbc_error error;
        for (int64_t i = 0; i < trial; ++i) {
            rbc_batch *batch = NULL;
            assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
            for (int k = 0; k < 3; ++k) {
                assert_int_equal(rbc_batch_order(batch, streams[k], &error), RBC_OK);
                assert_int_equal(rbc_batch_order(batch, streams[k], &error), RBC_OK);
                found[3 * i + k] = copy_batch(batch, streams[k]);
            }
            if (i < 4) {
                held[i] = batch;
            } else {
                rbc_batch_release(&batch);
            }
        }
        rbc_loader_destroy(&loader);
        for (int64_t i = 0; i < 4; ++i) {
            rbc_batch_release(&held[i]);
        }
        for (int k = 0; k < 3; ++k) {
            assert_int_equal(driver->stream_synchronize(streams[k]), 0);
            assert_int_equal(driver->stream_destroy(streams[k]), 0);
        }
        for (int64_t i = 0; i < trial; ++i) {
            compare(&found[3 * i], &found[3 * i + 1], 1);
            compare(&found[3 * i], &found[3 * i + 2], 1);
        }
        drop(found, 3 * trial);
        check_nothing_is_left();
    }
    atomic_store(&device->max_pause_us, 0);
}

typedef struct consumer {
    setup setup;
    int32_t device_id;
    int64_t count;
    copied batches[MAX_BATCHES];
} consumer;

static void *consume(void *argument) {
    consumer *c = argument;
    rbc_loader *loader = open_on(&c->setup, (DLDevice){kDLCUDA, c->device_id});
    CUstream stream = make_stream(c->device_id);
    c->count = train(loader, stream, c->batches);
    rbc_loader_destroy(&loader);
    assert_int_equal(driver->stream_destroy(stream), 0);
    return NULL;
}

static void loaders_of_several_devices_run_side_by_side(void **state) {
    (void)state;
    static consumer consumers[3];
    pthread_t threads[3];
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    atomic_store(&device->max_pause_us, 300);
    rbc_loader *loader = open_on(s, cpu);
    const int64_t count = train(loader, NULL, wanted);
    rbc_loader_destroy(&loader);
    for (int i = 0; i < 3; ++i) {
        consumers[i].setup = *s;
        consumers[i].setup.params.windows = consumers[i].setup.windows;
        consumers[i].device_id = i % HOST_DEVICE_COUNT;
        assert_int_equal(pthread_create(&threads[i], NULL, consume, &consumers[i]), 0);
    }
    for (int i = 0; i < 3; ++i) {
        pthread_join(threads[i], NULL);
        assert_int_equal(consumers[i].count, count);
        compare(wanted, consumers[i].batches, count);
        drop(consumers[i].batches, count);
    }
    drop(wanted, count);
    check_nothing_is_left();
    atomic_store(&device->max_pause_us, 0);
}

/* Loading goes on while a thread captures: nothing that a capture forbids is done by threads that
 * have not said that it is not part of it. */
static void a_capture_is_not_disturbed(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    CUstream stream = make_stream(0);
    rbc_loader *loader = open_on(s, cuda0);
    rbc_batch *batch = NULL;
    rbc_error error;
    assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
    atomic_store(&device->is_capturing, 1);
    for (int i = 0; i < 15; ++i) {
        rbc_batch_release(&batch);
        assert_int_equal(rbc_loader_next(loader, -1, &batch, &error), RBC_OK);
        assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
    }
    rbc_batch_release(&batch);
    rbc_loader_destroy(&loader);
    assert_int_equal(atomic_load(&device->num_forbidden), 0);
    atomic_store(&device->is_capturing, 0);
    assert_int_equal(driver->stream_destroy(stream), 0);
    check_nothing_is_left();
}

/* Whatever fails, it is said, and the next call goes on. */
static void failures_of_the_device_are_told(void **state) {
    (void)state;
    setup *s = make_setup();
    s->params.num_threads = 2;
    int num_failed = 0;
    rbc_selection *selection = fake_create(&s->fake);
    CUstream stream = make_stream(0);
    s->params.device = cuda0;
    for (int n = 0; n < 60; ++n) {
        rbc_loader *loader = NULL;
        rbc_error error;
        bool has_failed = false;
        atomic_store(&device->fail_after, n);
        rbc_status status = rbc_loader_create(selection, &s->params, &loader, &error);
        has_failed = status != RBC_OK;
        int64_t count = 0;
        for (int i = 0; status != RBC_END && loader != NULL && i < 2 * MAX_BATCHES; ++i) {
            rbc_batch *batch = NULL;
            status = rbc_loader_next(loader, -1, &batch, &error);
            if (status == RBC_OK) {
                (void)rbc_batch_order(batch, stream, &error);
                ++count;
            } else if (status != RBC_END) {
                has_failed = true;
                assert_true(strlen(error.message) > 0);
                assert_true(status == RBC_ERROR_DEVICE || status == RBC_ERROR_OUT_OF_MEMORY);
            }
            rbc_batch_release(&batch);
        }
        assert_true(loader == NULL || status == RBC_END);
        assert_true(loader == NULL || count + 1 >= rbc_loader_num_batches(loader));
        num_failed += has_failed;
        atomic_store(&device->fail_after, -1);
        rbc_loader_destroy(&loader);
    }
    assert_true(num_failed > 5);
    rbc_selection_destroy(&selection);
    assert_int_equal(driver->stream_destroy(stream), 0);
    check_nothing_is_left();
}

static void a_device_that_is_not_there_is_told(void **state) {
    (void)state;
    setup *s = make_setup();
    rbc_selection *selection = fake_create(&s->fake);
    rbc_loader *loader = NULL;
    rbc_error error;
    s->params.device = (DLDevice){kDLCUDA, HOST_DEVICE_COUNT};
    assert_int_equal(rbc_loader_create(selection, &s->params, &loader, &error),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "CUDA device 2; there are 2 devices"));
    s->params.device = (DLDevice){kDLMetal, 0};
    assert_int_equal(rbc_loader_create(selection, &s->params, &loader, &error),
                     RBC_ERROR_UNSUPPORTED);
    s->params.device = cpu;
    rbc_selection_destroy(&selection);
    check_nothing_is_left();
}

int main(void) {
    void *library = dlopen(HOST_DEVICE, RTLD_NOW | RTLD_GLOBAL);
    if (library == NULL) {
        (void)fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    device = dlsym(library, "rbc_host_device");
    bytes = dlsym(library, "rbc_host_device_bytes");
    if (device == NULL || bytes == NULL || rbc__cuda_driver_get(&driver, NULL) != RBC_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_those_of_the_host),
        cmocka_unit_test(images_are_those_of_the_host),
        cmocka_unit_test(an_epoch_resumes_anywhere),
        cmocka_unit_test(damage_is_that_of_the_host),
        cmocka_unit_test(loaders_stop_at_any_time),
        cmocka_unit_test(loaders_of_several_devices_run_side_by_side),
        cmocka_unit_test(a_capture_is_not_disturbed),
        cmocka_unit_test(failures_of_the_device_are_told),
        cmocka_unit_test(a_device_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
