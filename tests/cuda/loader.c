/* Loaders whose batches go to a device, against those whose batches stay on the host: a stand-in for
 * a device does what is queued late and in an order of its own. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/loader.h"
#include "training.h"

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
        assert_true(s->params.num_slots == 0 || stats.slots_peak <= 2 * s->params.num_slots + 2);
        assert_int_equal(got, count);
        compare(wanted, found, count);
        rbc_loader_destroy(&loader);
        assert_int_equal(driver->stream_destroy(stream), 0);
        drop(wanted, count);
        drop(found, count);
        check_left(0);
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
        check_left(0);
    }
    atomic_store(&device->max_pause_us, 0);
}

/* A loop that is far ahead of its device: what queued work uses is left alone while there is room for
 * more, and counts as time that is left. */
static void batches_that_queued_work_uses_are_left_alone(void **state) {
    (void)state;
    enum { SLOTS = 3, ALL = 2 * SLOTS + RBC__SLOTS_SPARE };
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    s->params.num_slots = SLOTS;
    s->params.jpeg = RBC_JPEG_ON_AUTO;
    rbc_loader *loader = open_on(s, cpu);
    const int64_t count = train(loader, NULL, wanted);
    assert_true(count > ALL);
    rbc_loader_destroy(&loader);
    loader = open_on(s, cuda0);
    CUstream stream = make_stream(0);
    atomic_store(&device->held, (unsigned long)(uintptr_t)stream);
    rbc_loader_stats stats;
    int64_t got = 0;
    for (; got < ALL; ++got) {
        rbc_batch *batch = NULL;
        rbc_error error;
        assert_int_equal(rbc_loader_next(loader, 60 * INT64_C(1000000000), &batch, &error), RBC_OK);
        assert_int_equal(rbc_batch_order(batch, stream, &error), RBC_OK);
        found[got] = copy_batch(batch, stream);
        rbc_batch_release(&batch);
        assert_int_equal(rbc__slots_num_in_flight(loader->slots), got + 1);
    }
    rbc_loader_get_stats(loader, &stats);
    assert_int_equal(stats.slots_peak, ALL);
    atomic_store(&device->held, 0);
    assert_int_equal(driver->stream_synchronize(stream), 0);
    got += train(loader, stream, found + got);
    assert_int_equal(rbc__slots_num_in_flight(loader->slots), 0);
    rbc_loader_get_stats(loader, &stats);
    assert_true(stats.slots_peak <= ALL);
    assert_int_equal(got, count);
    compare(wanted, found, count);
    rbc_loader_destroy(&loader);
    assert_int_equal(driver->stream_destroy(stream), 0);
    drop(wanted, count);
    drop(found, count);
    check_left(0);
}

/* Waits of a worker for the device in an epoch; one before it has let memory grow. */
static long long count_waits(setup *s) {
    CUstream stream = make_stream(0);
    rbc_loader *loader = open_loader(s);
    drop(found, train(loader, stream, found));
    atomic_store(&device->watched_waits, 0);
    atomic_store(&device->watched, (unsigned long)pthread_self());
    const long long before = atomic_load(&device->num_waits);
    /* Not the next one, behind which the one after it would be begun. */
    assert_int_equal(rbc_loader_seek(loader, 7, 0, NULL), RBC_OK);
    const int64_t count = train(loader, stream, found);
    const long long waits =
        atomic_load(&device->num_waits) - before - atomic_load(&device->watched_waits);
    atomic_store(&device->watched, 0);
    drop(found, count);
    rbc_loader_destroy(&loader);
    assert_int_equal(driver->stream_destroy(stream), 0);
    check_left(0);
    return waits;
}

/* A worker waits once for images and numbers of a range, and for numbers alone as well. */
static void numbers_are_waited_for_with_images(void **state) {
    (void)state;
    static const int32_t num_windows[] = {8, 1}; /* images and numbers, but no grids; numbers */
    for (int i = 0; i < 2; ++i) {
        setup *s = make_setup();
        s->fake.is_jpeg = true;
        s->params.num_threads = 1;
        s->params.num_windows = num_windows[i];
        s->windows[0] = i == 0 ? s->windows[0] : s->windows[5];
        s->params.device = cuda0;
        s->params.jpeg = RBC_JPEG_ON_CUDA;
        s->params.align = RBC_ALIGN_ON_CPU;
        const long long without = count_waits(s);
        s->params.align = RBC_ALIGN_ON_CUDA;
        const long long with = count_waits(s);
        assert_true(without > 0);
        assert_int_equal(with, i == 0 ? without : 2 * without);
    }
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
    check_left(0);
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
        check_left(0);
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
        check_left(0);
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
    check_left(0);
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
    check_left(0);
}

/* A batch that is given back while its stream is captured is still used by what was queued there before:
 * its memory is left alone until that is over. */
static void a_captured_stream_keeps_its_batches(void **state) {
    (void)state;
    setup *s = make_setup();
    s->fake.is_jpeg = true;
    s->params.num_threads = 1;
    s->params.num_slots = 1;
    rbc_loader *loader = open_on(s, cpu);
    const int64_t count = train(loader, NULL, wanted);
    rbc_loader_destroy(&loader);
    for (int held = 1; held < 9; held += 7) {
        CUstream captured = make_stream(0);
        CUstream other = make_stream(0);
        rbc_batch *batches[8];
        rbc_error error;
        loader = open_on(s, cuda0);
        atomic_store(&device->held, (unsigned long)(uintptr_t)captured);
        for (int i = 0; i < held; ++i) {
            assert_int_equal(rbc_loader_next(loader, -1, &batches[i], &error), RBC_OK);
            assert_int_equal(rbc_batch_order(batches[i], captured, &error), RBC_OK);
            found[i] = copy_batch(batches[i], captured);
        }
        atomic_store(&device->captured, (unsigned long)(uintptr_t)captured);
        for (int i = 0; i < held; ++i) {
            rbc_batch_release(&batches[i]);
        }
        assert_int_equal(held + train(loader, other, found + held), count);
        atomic_store(&device->captured, 0);
        atomic_store(&device->held, 0);
        assert_int_equal(driver->stream_synchronize(captured), 0);
        compare(wanted, found, count);
        drop(found, count);
        rbc_loader_destroy(&loader);
        assert_int_equal(driver->stream_destroy(captured), 0);
        assert_int_equal(driver->stream_destroy(other), 0);
        check_left(0);
    }
    drop(wanted, count);
}

/* Nor is a batch copied over the one before while a stream that uses that is captured: the call says so,
 * and can be made again. */
static void a_captured_stream_keeps_fixed_addresses(void **state) {
    (void)state;
    setup *s = make_setup();
    s->params.num_threads = 1;
    rbc_loader *loader = open_on(s, cpu);
    const int64_t count = train(loader, NULL, wanted);
    rbc_loader_destroy(&loader);
    s->params.fixed_slots = 1;
    loader = open_on(s, cuda0);
    CUstream streams[] = {make_stream(0), make_stream(0)};
    rbc_batch *batches[2];
    rbc_error error;
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(rbc_loader_next(loader, -1, &batches[i], &error), RBC_OK);
    }
    for (int k = 0; k < 2; ++k) {
        assert_int_equal(rbc_batch_order(batches[0], streams[k], &error), RBC_OK);
    }
    found[0] = copy_batch(batches[0], streams[1]);
    atomic_store(&device->captured, (unsigned long)(uintptr_t)streams[1]);
    assert_int_equal(rbc_batch_order(batches[1], streams[0], &error), RBC_ERROR_DEVICE);
    assert_non_null(strstr(error.message, "delivering a batch, CUDA device 0: "
                                          "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"));
    atomic_store(&device->captured, 0);
    assert_int_equal(rbc_batch_order(batches[1], streams[0], &error), RBC_OK);
    found[1] = copy_batch(batches[1], streams[0]);
    for (int i = 0; i < 2; ++i) {
        rbc_batch_release(&batches[i]);
        assert_int_equal(driver->stream_synchronize(streams[i]), 0);
    }
    compare(wanted, found, 2);
    drop(found, 2);
    drop(wanted, count);
    rbc_loader_destroy(&loader);
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(driver->stream_destroy(streams[i]), 0);
    }
    check_left(0);
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
    check_left(0);
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
    check_left(0);
}

int main(void) {
    if (!training_begin()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batches_are_those_of_the_host),
        cmocka_unit_test(images_are_those_of_the_host),
        cmocka_unit_test(batches_that_queued_work_uses_are_left_alone),
        cmocka_unit_test(numbers_are_waited_for_with_images),
        cmocka_unit_test(an_epoch_resumes_anywhere),
        cmocka_unit_test(damage_is_that_of_the_host),
        cmocka_unit_test(loaders_stop_at_any_time),
        cmocka_unit_test(loaders_of_several_devices_run_side_by_side),
        cmocka_unit_test(a_capture_is_not_disturbed),
        cmocka_unit_test(a_captured_stream_keeps_its_batches),
        cmocka_unit_test(a_captured_stream_keeps_fixed_addresses),
        cmocka_unit_test(failures_of_the_device_are_told),
        cmocka_unit_test(a_device_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
