/* What a loader tells of the device's time, by a stand-in whose clock goes on by what it does alone. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cuda/runtime/pipe.h"
#include "training.h"

static copied batches[MAX_BATCHES];

typedef struct told {
    int64_t num_batches, num_copies, launches_ns[HOST_DEVICE_KINDS];
    rbc_loader_stages stages;
} told;

/* Takes all batches of a loader; a copy is one of a batch, or counted. */
static told take_all(setup *s) {
    told out = {.stages = RBC_LOADER_STAGES_INIT};
    long long launches_ns[HOST_DEVICE_KINDS];
    for (int i = 0; i < HOST_DEVICE_KINDS; ++i) {
        launches_ns[i] = atomic_load(&device->launches_ns[i]);
    }
    const long long num_copies = atomic_load(&device->num_copies);
    rbc_loader *loader = open_on(s, cuda0);
    CUstream stream = make_stream(0);
    out.num_batches = train(loader, stream, batches);
    assert_int_equal(rbc_loader_get_stages(loader, &out.stages, NULL), RBC_OK);
    rbc_loader_destroy(&loader);
    assert_int_equal(driver->stream_destroy(stream), 0);
    drop(batches, out.num_batches);
    check_left(0);
    for (int i = 0; i < HOST_DEVICE_KINDS; ++i) {
        out.launches_ns[i] = atomic_load(&device->launches_ns[i]) - launches_ns[i];
    }
    out.num_copies = atomic_load(&device->num_copies) - num_copies;
    return out;
}

/* All launches of a kind are counted, and beside them no more than copies of results to the host and of
 * descriptions. */
static void check_kind(const told *t, rbc_gpu_work work, int kind) {
    const int64_t found_ns = t->stages.gpu_ns[work];
    const int64_t wanted_ns = t->launches_ns[kind];
    const int64_t beside_ns = t->num_copies * HOST_DEVICE_COPY_NS;
    assert_in_range(found_ns, wanted_ns - wanted_ns / 10000, wanted_ns + beside_ns);
    assert_true(wanted_ns > 0 || found_ns == 0);
}

static void each_work_is_timed(void **state) {
    (void)state;
    rbc_image_params image = RBC_IMAGE_PARAMS_INIT;
    image.size[0] = 5;
    image.size[1] = 9;
    for (int trial = 0; trial < 8; ++trial) {
        const bool makes_images = trial % 2 == 1;
        const bool decodes_there = trial % 4 < 2;
        setup *s = make_setup();
        s->fake.is_jpeg = true;
        s->fake.damages_images = trial >= 4; /* some are decoded once more, by the host */
        s->params.on_error = RBC_ON_ERROR_MASK;
        s->params.num_threads = 3;
        s->params.world_size = 8; /* so few batches that all are timed */
        s->params.num_slots = 2;
        s->params.jpeg = decodes_there ? RBC_JPEG_ON_CUDA : RBC_JPEG_ON_CPU;
        s->windows[2].image = makes_images ? &image : NULL;
        atomic_store(&device->max_pause_us, 50);
        const told t = take_all(s);
        const int64_t *gpu_ns = t.stages.gpu_ns;
        check_kind(&t, RBC_GPU_DECODE, HOST_DEVICE_JPEG);
        check_kind(&t, RBC_GPU_IMAGE, HOST_DEVICE_IMAGE);
        check_kind(&t, RBC_GPU_ALIGN, HOST_DEVICE_ALIGN);
        check_kind(&t, RBC_GPU_GRID, HOST_DEVICE_OTHER);
        assert_int_equal(gpu_ns[RBC_GPU_DECODE] > 0, decodes_there);
        assert_int_equal(gpu_ns[RBC_GPU_IMAGE] > 0, decodes_there && makes_images);
        assert_true(gpu_ns[RBC_GPU_ALIGN] > 0);
        assert_true(gpu_ns[RBC_GPU_GRID] > 0);
        /* Slots are sent again and again, and a slot's copy is counted before its next at the latest. */
        assert_true(gpu_ns[RBC_GPU_COPY] >= (t.num_batches - 4) * HOST_DEVICE_COPY_NS - 1000);
        assert_true(gpu_ns[RBC_GPU_COPY] <= t.num_copies * HOST_DEVICE_COPY_NS + 1000);
    }
    atomic_store(&device->max_pause_us, 0);
}

/* Work that is not timed any more is counted by what is, also where two kinds take turns. */
static void much_work_is_timed_by_some_of_it(void **state) {
    (void)state;
    enum { RANGES = 3000 };
    const rbc__pipe_ops *ops = &rbc__cuda_pipe_ops;
    const rbc_device_allocator none = {0};
    rbc__pipe *pipe = NULL;
    rbc__pipe_memory memory;
    int64_t gpu_ns[RBC_NUM_GPU_WORKS] = {0};
    assert_int_equal(ops->create(0, &none, &pipe, NULL), RBC_OK);
    assert_int_equal(ops->enter(pipe, NULL), RBC_OK);
    assert_int_equal(ops->reserve(pipe, 64, 64, &memory, NULL), RBC_OK);
    for (int i = 0; i < RANGES; ++i) {
        ops->mark(pipe, i % 2 == 0 ? RBC_GPU_COPY : RBC_GPU_GRID);
        assert_int_equal(ops->copy(pipe, memory.device, memory.host, 64, NULL), RBC_OK);
        assert_int_equal(ops->wait(pipe, NULL), RBC_OK);
    }
    ops->leave(pipe);
    ops->add_times(pipe, gpu_ns);
    ops->destroy(pipe);
    assert_in_range(gpu_ns[RBC_GPU_COPY], (RANGES / 2 - 40) * HOST_DEVICE_COPY_NS,
                    (RANGES / 2 + 40) * HOST_DEVICE_COPY_NS);
    assert_in_range(gpu_ns[RBC_GPU_GRID], (RANGES / 2 - 40) * HOST_DEVICE_COPY_NS,
                    (RANGES / 2 + 40) * HOST_DEVICE_COPY_NS);
    check_left(0);
}

static void works_have_names(void **state) {
    (void)state;
    assert_string_equal(rbc_gpu_work_name(RBC_GPU_COPY), "copy");
    assert_string_equal(rbc_gpu_work_name(RBC_GPU_ALIGN), "align");
    assert_null(rbc_gpu_work_name((rbc_gpu_work)RBC_NUM_GPU_WORKS));
    assert_null(rbc_gpu_work_name((rbc_gpu_work)-1));
}

int main(void) {
    if (!training_begin()) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_work_is_timed),
        cmocka_unit_test(much_work_is_timed_by_some_of_it),
        cmocka_unit_test(works_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
