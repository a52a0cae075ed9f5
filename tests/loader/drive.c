#define _POSIX_C_SOURCE 200809L

#include "drive.h"

#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static const int32_t two_states[] = {-1, 0};
static const int32_t chunk[] = {0, 1, 2, 3, 4, 5, 6, 7};
static const int32_t now[] = {0};
static const double half = 0.5;
static const rbc_voxelize_params grid = {.struct_size = sizeof grid,
                                         .reduce = RBC_VOXEL_COUNT,
                                         .grid_size = {3, 4, 5},
                                         .voxel_size = {0.5, 0.4, 0.3}};
static const rbc_voxels voxels = {.struct_size = sizeof voxels, .grid = &grid};
static const rbc_future soon = {1, 5, RBC_IMAGE_SHARE_SAMPLE};

void set_window(rbc_window *window, const char *stream, const int32_t *ticks, int32_t count) {
    const rbc_window defaults = RBC_WINDOW_INIT;
    *window = defaults;
    window->stream = stream;
    window->ticks = ticks;
    window->count = count;
}

setup *make_setup(void) {
    static setup s;
    const fake_params fake = FAKE_PARAMS_INIT;
    const rbc_loader_params params = RBC_LOADER_PARAMS_INIT;
    s.fake = fake;
    s.params = params;
    set_window(&s.windows[0], "state", two_states, 2);
    set_window(&s.windows[1], "action", chunk, 8);
    set_window(&s.windows[2], "image", two_states, 2);
    set_window(&s.windows[3], "cloud", now, 1);
    s.windows[3].max_points = FAKE_MAX_POINTS;
    set_window(&s.windows[4], "note", two_states, 2);
    set_window(&s.windows[5], "count", two_states, 2);
    s.windows[5].name = "vector";
    s.windows[5].vector = RBC_VECTOR_BEGINS;
    s.windows[5].scale = &half;
    set_window(&s.windows[6], "action", two_states, 2);
    s.windows[6].vector = RBC_VECTOR_JOINS;
    set_window(&s.windows[7], "count", NULL, 0);
    s.windows[7].name = "goal";
    s.windows[7].future = &soon;
    s.params.windows = s.windows;
    set_window(&s.windows[8], "cloud", two_states, 2);
    s.windows[8].name = "grid";
    s.windows[8].voxels = &voxels;
    s.params.num_windows = 9;
    s.params.batch_size = 20;
    s.params.shuffle = 1;
    s.params.seed = 42;
    s.params.num_threads = 2;
    return &s;
}

rbc_loader *open_loader(const setup *s) {
    rbc_selection *selection = fake_create(&s->fake);
    rbc_loader *loader = NULL;
    rbc_error error;
    if (rbc_loader_create(selection, &s->params, &loader, &error) != RBC_OK) {
        fail_msg("%s", error.message);
    }
    rbc_selection_destroy(&selection);
    return loader;
}

static uint64_t mix_in(uint64_t digest, const void *data, uint64_t bytes) {
    const uint8_t *at = data;
    for (uint64_t i = 0; i < bytes; ++i) {
        digest = (digest ^ at[i]) * UINT64_C(0x100000001b3);
    }
    return digest;
}

uint64_t digest_of(const rbc_batch *batch) {
    uint64_t digest = UINT64_C(0xcbf29ce484222325);
    for (int32_t f = 0; f < rbc_batch_num_fields(batch); ++f) {
        const rbc_field *field = rbc_batch_field(batch, f);
        int64_t elements = 1;
        for (int32_t d = 0; d < field->tensor.ndim; ++d) {
            elements *= field->tensor.shape[d];
        }
        digest =
            mix_in(digest, field->tensor.shape, (uint64_t)field->tensor.ndim * sizeof(int64_t));
        if (field->kind == RBC_FIELD_TENSOR) {
            digest = mix_in(digest, field->tensor.data,
                            (uint64_t)(elements * field->tensor.dtype.bits / 8));
            continue;
        }
        for (int64_t i = 0; i < elements; ++i) {
            uint64_t bytes = 0;
            const char *text = rbc_batch_text(batch, f, i, &bytes);
            digest = mix_in(digest, text, bytes + 1);
        }
    }
    return digest;
}

int64_t drain(rbc_loader *loader, uint64_t *digests) {
    rbc_batch *batch = NULL;
    rbc_error error;
    rbc_status status;
    int64_t count = 0;
    while ((status = rbc_loader_next(loader, -1, &batch, &error)) == RBC_OK) {
        assert_true(count < MAX_BATCHES);
        digests[count++] = digest_of(batch);
        rbc_batch_release(&batch);
        assert_null(batch);
    }
    if (status != RBC_END) {
        fail_msg("%s", error.message);
    }
    return count;
}

int64_t position_of(const rbc_loader *loader, const setup *s, int64_t index) {
    const int64_t stride = (int64_t)s->params.world_size * s->params.batch_size;
    return index < rbc_loader_num_rounds(loader) ? index * stride : rbc_loader_num_samples(loader);
}

static int num_threads(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *entry; (entry = readdir(tasks));) {
        count += entry->d_name[0] != '.';
    }
    closedir(tasks);
    return count;
}

static void *do_nothing(void *argument) {
    return argument;
}

int num_threads_at_rest(void) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
    pthread_join(thread, NULL);
    return num_threads();
}

void await_threads(int before) {
    while (num_threads() > before) {
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}
