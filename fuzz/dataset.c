#define _GNU_SOURCE

#include "dataset.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

static char root[64];
static char data_path[128];
char fuzz_catalog_path[128];

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

static void remove_root(void) {
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void add_episode(rbc_rlds_writer *writer, int episode) {
    enum { MAX_STEPS = 4 + FUZZ_NUM_EPISODES };
    const int64_t steps = 4 + episode;
    float state[MAX_STEPS * 2] = {0};
    float force[3 * MAX_STEPS] = {0};
    int64_t force_time[3 * MAX_STEPS] = {0};
    int64_t rows[MAX_STEPS] = {0};
    const void *texts[MAX_STEPS];
    uint64_t text_bytes[MAX_STEPS];
    int64_t num_force = 0;
    for (int64_t i = 0; i < steps; ++i) {
        state[2 * i] = (float)i;
        state[2 * i + 1] = (float)episode;
        rows[i] = (i + episode) % 4;
        for (int64_t k = 0; k < rows[i]; k++, num_force++) {
            force[num_force] = (float)k;
            force_time[num_force] = INT64_C(1700000000000000000) + num_force * 30000000;
        }
        texts[i] = episode % 2 == 0 ? "open the drawer" : "close it";
        text_bytes[i] = strlen(texts[i]);
    }
    const DLDevice cpu = {kDLCPU, 0};
    const DLDataType f32 = {kDLFloat, 32, 1};
    const DLDataType i64 = {kDLInt, 64, 1};
    int64_t shapes[][2] = {{steps, 2}, {num_force, 0}};
    const DLTensor tensors[] = {
        {.data = state, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[0]},
        {.data = force, .device = cpu, .ndim = 1, .dtype = f32, .shape = shapes[1]},
        {.data = force_time, .device = cpu, .ndim = 1, .dtype = i64, .shape = shapes[1]}};
    const rbc_rlds_data streams[] = {
        {.values = &tensors[0]},
        {.values = &tensors[1], .row_lengths = rows},
        {.values = &tensors[2], .row_lengths = rows},
        {.bytes = texts, .num_bytes = text_bytes, .num_samples = steps}};
    int64_t line = episode;
    const DLTensor number = {.data = &line, .device = cpu, .ndim = 0, .dtype = i64};
    const rbc_rlds_data metadata = {.values = &number};
    fuzz_require(rbc_rlds_writer_add(writer, episode < 3 ? "train" : "val", steps, streams,
                                     &metadata, NULL) == RBC_OK);
}

rbc_status fuzz_dataset_open(rbc_dataset **out, rbc_error *err) {
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = fuzz_catalog_path;
    params.num_threads = 1;
    params.control_rate_hz = 10.0;
    return rbc_dataset_open(data_path, &params, out, err);
}

void fuzz_dataset_make(void) {
    const char *shared_memory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(root, sizeof root, "%s/robocache_fuzz_XXXXXX", shared_memory);
    fuzz_require(mkdtemp(root) != NULL);
    atexit(remove_root);
    const DLDataType f32 = {kDLFloat, 32, 1};
    const DLDataType i64 = {kDLInt, 64, 1};
    const DLDataType u8 = {kDLUInt, 8, 1};
    const rbc_stream_info streams[] = {
        {.name = "state", .dtype = f32, .ndim = 1, .shape = {2}},
        {.name = "force", .dtype = f32, .is_ragged = 1},
        {.name = "force_time_ns", .dtype = i64, .is_ragged = 1},
        {.name = "language_instruction", .kind = RBC_STREAM_TEXT, .dtype = u8}};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    params.path = root;
    params.name = "fuzzed";
    params.streams = streams;
    params.num_streams = 4;
    const rbc_stream_info metadata = {.name = "line", .dtype = i64};
    params.metadata = &metadata;
    params.num_metadata = 1;
    rbc_rlds_writer *writer;
    fuzz_require(rbc_rlds_writer_create(&params, &writer, NULL) == RBC_OK);
    for (int i = 0; i < FUZZ_NUM_EPISODES; ++i) {
        add_episode(writer, i);
    }
    fuzz_require(rbc_rlds_writer_close(&writer, NULL) == RBC_OK);
    snprintf(data_path, sizeof data_path, "%s/fuzzed/1.0.0", root);
    snprintf(fuzz_catalog_path, sizeof fuzz_catalog_path, "%s/catalog.sqlite", root);
    rbc_dataset *dataset;
    fuzz_require(fuzz_dataset_open(&dataset, NULL) == RBC_OK);
    rbc_dataset_close(&dataset);
}
