#define _XOPEN_SOURCE 700

#include "written.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <robocache/robocache.h>
#include <spng.h>

#include "fields.h"

#define NUM_EPISODES 6

static const DLDataType f32 = {kDLFloat, 32, 1};
static const DLDataType i64 = {kDLInt, 64, 1};
static const DLDataType u8 = {kDLUInt, 8, 1};

static int64_t num_steps(int64_t episode) {
    return 9 + 4 * episode;
}

static void *encode(int64_t episode, int64_t step, uint64_t *num_bytes) {
    uint8_t pixels[PIXEL_BYTES];
    for (int64_t i = 0; i < PIXEL_BYTES; ++i) {
        pixels[i] = (uint8_t)(episode * 31 + step * 7 + i * i);
    }
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {
        .width = WIDTH, .height = HEIGHT, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(png, &header);
    assert_int_equal(
        spng_encode_image(png, pixels, PIXEL_BYTES, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE), 0);
    int failure = 0;
    size_t bytes = 0;
    void *encoded = spng_get_png_buffer(png, &bytes, &failure);
    *num_bytes = bytes;
    spng_ctx_free(png);
    return encoded;
}

static void add_episode(rbc_rlds_writer *writer, int64_t episode) {
    const int64_t steps = num_steps(episode);
    static float state[64 * 7];
    static float imu[512 * 3];
    static int64_t imu_time[512];
    static float points[512 * 3];
    static int64_t imu_rows[64];
    static int64_t point_rows[64];
    void *encoded[64];
    const void *images[64];
    uint64_t image_bytes[64];
    const void *texts[64];
    uint64_t text_bytes[64];
    int64_t num_imu = 0;
    int64_t num_points = 0;
    int64_t now = INT64_C(1600000000000000000) + episode * 777;
    for (int64_t t = 0; t < steps; ++t) {
        for (int64_t i = 0; i < 7; ++i) {
            state[t * 7 + i] = (float)(episode * 1000 + t * 7 + i) * 0.37F;
        }
        imu_rows[t] = (t * 5 + episode) % 8;
        for (int64_t i = 0; i < imu_rows[t]; i++, num_imu++) {
            imu_time[num_imu] = now;
            now += 13000000 + (num_imu * 7919 % 41) * 1000000;
            for (int64_t c = 0; c < 3; ++c) {
                imu[num_imu * 3 + c] = (float)((num_imu * 3 + c) * 17 % 101) - 50.0F;
            }
        }
        point_rows[t] = (t + episode) % (MAX_POINTS + 1);
        for (int64_t i = 0; i < point_rows[t] * 3; ++i) {
            points[num_points * 3 + i] = (float)(episode + t) + (float)i * 0.5F;
        }
        num_points += point_rows[t];
        image_bytes[t] = 0;
        encoded[t] = t % 6 == 5 ? NULL : encode(episode, t, &image_bytes[t]);
        images[t] = encoded[t];
        texts[t] = episode % 2 == 0 ? "open the drawer" : "close it";
        text_bytes[t] = strlen(texts[t]);
    }
    int64_t shapes[][2] = {{steps, 7}, {num_imu, 3}, {num_imu, 0}, {0, 0}, {num_points, 3}};
    const DLDevice cpu = {kDLCPU, 0};
    const DLTensor tensors[] = {
        {.data = state, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[0]},
        {.data = imu, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[1]},
        {.data = imu_time, .device = cpu, .ndim = 1, .dtype = i64, .shape = shapes[2]},
        {.data = points, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[4]}};
    const rbc_rlds_data data[NUM_STREAMS] = {
        [STATE] = {.values = &tensors[0]},
        [IMU] = {.values = &tensors[1], .row_lengths = imu_rows},
        [IMU_TIME] = {.values = &tensors[2], .row_lengths = imu_rows},
        [IMAGE] = {.bytes = images, .num_bytes = image_bytes, .num_samples = steps},
        [CLOUD] = {.values = &tensors[3], .row_lengths = point_rows},
        [INSTRUCTION] = {.bytes = texts, .num_bytes = text_bytes, .num_samples = steps}};
    rbc_error error;
    expect_ok(rbc_rlds_writer_add(writer, "train", steps, data, NULL, &error), &error);
    for (int64_t t = 0; t < steps; ++t) {
        free(encoded[t]);
    }
}

void write_dataset(char root[64], char path[128]) {
    snprintf(root, 64, "/tmp/robocache_loader_XXXXXX");
    assert_non_null(mkdtemp(root));
    const rbc_stream_info streams[NUM_STREAMS] = {
        [STATE] = {.name = "observation/state", .dtype = f32, .ndim = 1, .shape = {7}},
        [IMU] = {.name = "observation/imu", .dtype = f32, .ndim = 1, .shape = {3}, .is_ragged = 1},
        [IMU_TIME] = {.name = "observation/imu_time_ns", .dtype = i64, .is_ragged = 1},
        [IMAGE] = {.name = "observation/image",
                   .kind = RBC_STREAM_IMAGE,
                   .dtype = u8,
                   .ndim = 3,
                   .shape = {-1, -1, 3},
                   .encoding = "png"},
        [CLOUD] =
            {.name = "observation/cloud", .dtype = f32, .ndim = 1, .shape = {3}, .is_ragged = 1},
        [INSTRUCTION] = {.name = "language_instruction", .kind = RBC_STREAM_TEXT, .dtype = u8}};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    params.path = root;
    params.name = "loaded";
    params.streams = streams;
    params.num_streams = NUM_STREAMS;
    rbc_error error;
    rbc_rlds_writer *writer = NULL;
    expect_ok(rbc_rlds_writer_create(&params, &writer, &error), &error);
    for (int64_t e = 0; e < NUM_EPISODES; ++e) {
        add_episode(writer, e);
    }
    expect_ok(rbc_rlds_writer_close(&writer, &error), &error);
    snprintf(path, 128, "%s/loaded/1.0.0", root);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk) {
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void remove_dataset(const char *root) {
    assert_int_equal(nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS), 0);
}
