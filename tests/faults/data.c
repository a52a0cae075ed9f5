#define _POSIX_C_SOURCE 200809L

#include "data.h"

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libdeflate.h>
#include <spng.h>
#include <turbojpeg.h>

#define NUM_STEPS   5
#define SIDE        16
#define IMAGE_BYTES 2048

typedef struct encoded {
    uint8_t bytes[IMAGE_BYTES];
    uint64_t num_bytes;
} encoded;

static const DLDataType f32 = {kDLFloat, 32, 1};
static const DLDataType i64 = {kDLInt, 64, 1};
static const DLDataType u8 = {kDLUInt, 8, 1};

static encoded jpegs[NUM_STEPS];
static encoded pngs[NUM_STEPS];

static void keep(encoded *out, const void *bytes, size_t num_bytes) {
    if (num_bytes > IMAGE_BYTES) {
        abort();
    }
    memcpy(out->bytes, bytes, num_bytes);
    out->num_bytes = num_bytes;
}

static void encode_jpeg(const uint8_t *pixels, encoded *out) {
    tjhandle handle = tjInitCompress();
    unsigned char *bytes = NULL;
    unsigned long num_bytes = 0;
    if (tjCompress2(handle, pixels, SIDE, 0, SIDE, TJPF_RGB, &bytes, &num_bytes, TJSAMP_420, 80,
                    0) != 0) {
        abort();
    }
    keep(out, bytes, num_bytes);
    tjFree(bytes);
    tjDestroy(handle);
}

static void encode_png(const uint8_t *pixels, encoded *out) {
    spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {
        .width = SIDE, .height = SIDE, .bit_depth = 8, .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
    spng_set_option(png, SPNG_ENCODE_TO_BUFFER, 1);
    spng_set_ihdr(png, &header);
    if (spng_encode_image(png, pixels, SIDE * SIDE * 3, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE) != 0) {
        abort();
    }
    int failure = 0;
    size_t num_bytes = 0;
    void *bytes = spng_get_png_buffer(png, &num_bytes, &failure);
    keep(out, bytes, num_bytes);
    free(bytes);
    spng_ctx_free(png);
}

void data_prepare(void) {
    uint8_t pixels[SIDE * SIDE * 3];
    for (int step = 0; step < NUM_STEPS; ++step) {
        for (int i = 0; i < SIDE * SIDE * 3; ++i) {
            pixels[i] = (uint8_t)(i / 7 * (step + 3));
        }
        encode_jpeg(pixels, &jpegs[step]);
        encode_png(pixels, &pngs[step]);
    }
}

static rbc_status add_episode(rbc_rlds_writer *writer, int64_t episode, rbc_error *err) {
    float state[NUM_STEPS * 3];
    float imu[NUM_STEPS * 3 * 2];
    float points[NUM_STEPS * MAX_POINTS * 3];
    int64_t imu_time[NUM_STEPS * 3];
    int64_t imu_rows[NUM_STEPS];
    int64_t point_rows[NUM_STEPS];
    const void *images[2][NUM_STEPS];
    uint64_t image_bytes[2][NUM_STEPS];
    const void *texts[NUM_STEPS];
    uint64_t text_bytes[NUM_STEPS];
    int64_t num_imu = 0;
    int64_t num_points = 0;
    for (int64_t t = 0; t < NUM_STEPS; ++t) {
        for (int64_t i = 0; i < 3; ++i) {
            state[t * 3 + i] = (float)(episode * 100 + t * 3 + i);
        }
        imu_rows[t] = 1 + (t + episode) % 3;
        for (int64_t i = 0; i < imu_rows[t]; ++i, ++num_imu) {
            imu_time[num_imu] = episode * 1000000000 + t * 100000000 + i * 30000000;
            imu[num_imu * 2] = (float)(num_imu + episode);
            imu[num_imu * 2 + 1] = (float)(num_imu * num_imu);
        }
        point_rows[t] = (t + episode) % (MAX_POINTS + 1);
        for (int64_t i = 0; i < point_rows[t] * 3; ++i) {
            points[num_points * 3 + i] = (float)(episode + t) * 0.25F + (float)i * 0.125F;
        }
        num_points += point_rows[t];
        images[0][t] = jpegs[t].bytes;
        image_bytes[0][t] = jpegs[t].num_bytes;
        images[1][t] = pngs[t].bytes;
        image_bytes[1][t] = t == 2 ? 0 : pngs[t].num_bytes;
        texts[t] = episode % 2 == 0 ? "open the drawer" : "close it";
        text_bytes[t] = strlen(texts[t]);
    }
    int64_t shapes[][2] = {{NUM_STEPS, 3}, {num_imu, 2}, {num_imu, 0}, {num_points, 3}};
    int64_t no_shape[1] = {0};
    int64_t number = episode;
    const DLDevice cpu = {kDLCPU, 0};
    const DLTensor tensors[] = {
        {.data = state, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[0]},
        {.data = imu, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[1]},
        {.data = imu_time, .device = cpu, .ndim = 1, .dtype = i64, .shape = shapes[2]},
        {.data = points, .device = cpu, .ndim = 2, .dtype = f32, .shape = shapes[3]},
        {.data = &number, .device = cpu, .ndim = 0, .dtype = i64, .shape = no_shape}};
    const rbc_rlds_data data[NUM_STREAMS] = {
        [STATE] = {.values = &tensors[0]},
        [IMU] = {.values = &tensors[1], .row_lengths = imu_rows},
        [IMU_TIME] = {.values = &tensors[2], .row_lengths = imu_rows},
        [IMAGE] = {.bytes = images[0], .num_bytes = image_bytes[0], .num_samples = NUM_STEPS},
        [MASK] = {.bytes = images[1], .num_bytes = image_bytes[1], .num_samples = NUM_STEPS},
        [CLOUD] = {.values = &tensors[3], .row_lengths = point_rows},
        [INSTRUCTION] = {.bytes = texts, .num_bytes = text_bytes, .num_samples = NUM_STEPS}};
    const rbc_rlds_data metadata = {.values = &tensors[4]};
    return rbc_rlds_writer_add(writer, episode % 3 == 2 ? "val" : "train", NUM_STEPS, data,
                               &metadata, err);
}

rbc_status data_write(const char *root, int append, rbc_error *err) {
    const rbc_stream_info streams[NUM_STREAMS] = {
        [STATE] = {.name = "observation/state", .dtype = f32, .ndim = 1, .shape = {3}},
        [IMU] = {.name = "observation/imu", .dtype = f32, .ndim = 1, .shape = {2}, .is_ragged = 1},
        [IMU_TIME] = {.name = "observation/imu_time_ns", .dtype = i64, .is_ragged = 1},
        [IMAGE] = {.name = "observation/image",
                   .kind = RBC_STREAM_IMAGE,
                   .dtype = u8,
                   .ndim = 3,
                   .shape = {SIDE, SIDE, 3},
                   .encoding = "jpeg"},
        [MASK] = {.name = "observation/mask",
                  .kind = RBC_STREAM_IMAGE,
                  .dtype = u8,
                  .ndim = 3,
                  .shape = {-1, -1, 3},
                  .encoding = "png"},
        [CLOUD] =
            {.name = "observation/cloud", .dtype = f32, .ndim = 1, .shape = {3}, .is_ragged = 1},
        [INSTRUCTION] = {.name = "language_instruction", .kind = RBC_STREAM_TEXT, .dtype = u8}};
    const rbc_stream_info metadata = {.name = "number", .dtype = i64};
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    params.path = root;
    params.name = "small";
    params.description = "four short episodes";
    params.streams = streams;
    params.num_streams = NUM_STREAMS;
    params.metadata = &metadata;
    params.num_metadata = 1;
    params.shard_bytes = 6000;
    params.control_rate_hz = 10.0;
    params.append = append;
    rbc_rlds_writer *writer = NULL;
    rbc_status status = rbc_rlds_writer_create(&params, &writer, err);
    for (int64_t episode = 0; status == RBC_OK && episode < (append ? 2 : 4); ++episode) {
        status = add_episode(writer, episode + (append ? 4 : 0), err);
    }
    if (status == RBC_OK) {
        return rbc_rlds_writer_close(&writer, err);
    }
    rbc_rlds_writer_destroy(&writer);
    return status;
}

static void pack(const char *path) {
    static uint8_t bytes[1 << 16];
    static uint8_t packed[1 << 17];
    FILE *file = fopen(path, "rb");
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    if (file == NULL || compressor == NULL) {
        abort();
    }
    const size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const size_t packed_size =
        libdeflate_gzip_compress(compressor, bytes, size, packed, sizeof packed);
    libdeflate_free_compressor(compressor);
    file = fopen(path, "wb");
    if (packed_size == 0 || file == NULL || fwrite(packed, 1, packed_size, file) != packed_size ||
        fclose(file) != 0) {
        abort();
    }
}

void data_pack(const char *root) {
    char folder[256];
    (void)snprintf(folder, sizeof folder, "%s/small/1.0.0", root);
    DIR *listing = opendir(folder);
    if (listing == NULL) {
        abort();
    }
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (strstr(entry->d_name, ".tfrecord") != NULL) {
            char path[1024];
            (void)snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            pack(path);
        }
    }
    closedir(listing);
}
