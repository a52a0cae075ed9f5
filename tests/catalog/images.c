/* Episodes of a real format, images first of all: written, indexed, read back. */
#define _GNU_SOURCE

#include <limits.h>
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
#include <jansson.h>
#include <turbojpeg.h>

#include "catalog/dataset.h"
#include "codec/codec.h"
#include "formats/rlds/framing.h"
#include "scratch.h"

#define HEIGHT 24
#define WIDTH  40
#define STEPS  5

enum { DECLARED, FREE_SIZE, VALUE, TEXT, NUM_STREAMS };

typedef struct jpeg {
    unsigned char *bytes;
    unsigned long num_bytes;
} jpeg;

typedef struct fixture {
    char *folder;
    rbc_dataset *dataset;
    rbc_episode *episode;
    jpeg large, small;
} fixture;

static jpeg encode(int height, int width) {
    uint8_t *pixels = malloc((size_t)(height * width * 3));
    for (int i = 0; i < height * width * 3; ++i) {
        pixels[i] = (uint8_t)(i * 3 % 251);
    }
    jpeg out = {NULL, 0};
    tjhandle handle = tjInitCompress();
    assert_int_equal(tjCompress2(handle, pixels, width, 0, height, TJPF_RGB, &out.bytes,
                                 &out.num_bytes, TJSAMP_420, 90, 0),
                     0);
    tjDestroy(handle);
    free(pixels);
    return out;
}

static void must(rbc_status status, const rbc_error *err) {
    if (status != RBC_OK) {
        fail_msg("%s", err->message);
    }
}

/* Reads a whole file; the caller frees. */
static uint8_t *load(const char *path, size_t *bytes) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    uint8_t *content = malloc(1 << 20);
    *bytes = fread(content, 1, 1 << 20, file);
    fclose(file);
    return content;
}

static void store(const char *path, const uint8_t *content, size_t bytes) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(content, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
}

/* The writer takes neither images of another size than declared nor damaged ones: the size is
 * declared afterwards, and the second half of the image at step 3 overwritten. */
static void spoil(const fixture *f) {
    const char *path = scratch_path(f->folder, "pictures/1.0.0/features.json");
    size_t bytes;
    uint8_t *text = load(path, &bytes);
    json_t *root = json_loadb((const char *)text, bytes, 0, NULL);
    json_t *dimensions = NULL;
    assert_int_equal(json_unpack(root, "{s:{s:{s:{s:{s:{s:{s:{s:{s:{s:{s:o}}}}}}}}}}}",
                                 "featuresDict", "features", "steps", "sequence", "feature",
                                 "featuresDict", "features", "image", "image", "shape",
                                 "dimensions", &dimensions),
                     0);
    json_array_set_new(dimensions, 0, json_integer(HEIGHT));
    json_array_set_new(dimensions, 1, json_integer(WIDTH));
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    free(text);

    path = scratch_path(f->folder, "pictures/1.0.0/pictures-train.tfrecord-00000-of-00001");
    uint8_t *shard = load(path, &bytes);
    const size_t num_bytes = f->large.num_bytes;
    int found = 0;
    for (size_t at = 0; at + num_bytes <= bytes && found < 2; ++at) {
        if (memcmp(shard + at, f->large.bytes, num_bytes) == 0 && ++found == 2) {
            memset(shard + at + num_bytes / 2, 0, num_bytes - num_bytes / 2);
        }
    }
    assert_int_equal(found, 2);
    rbc__frame_make_footer(shard + RBC__TFRECORD_HEADER_BYTES,
                           bytes - RBC__TFRECORD_HEADER_BYTES - RBC__TFRECORD_FOOTER_BYTES,
                           shard + bytes - RBC__TFRECORD_FOOTER_BYTES);
    store(path, shard, bytes);
    free(shard);
}

/* Steps: an image, none, one of another size, one that is damaged, an image. */
static void write_dataset(const fixture *f) {
    const DLDataType u8 = {kDLUInt, 8, 1};
    const DLDataType f32 = {kDLFloat, 32, 1};
    const rbc_stream_info streams[NUM_STREAMS] = {
        {.name = "image",
         .kind = RBC_STREAM_IMAGE,
         .dtype = u8,
         .ndim = 3,
         .shape = {-1, -1, 3},
         .encoding = "jpeg"},
        {.name = "free",
         .kind = RBC_STREAM_IMAGE,
         .dtype = u8,
         .ndim = 3,
         .shape = {-1, -1, 3},
         .encoding = "jpeg"},
        {.name = "value",
         .kind = RBC_STREAM_NUMERIC,
         .dtype = f32,
         .ndim = 1,
         .shape = {2},
         .encoding = ""},
        {.name = "language_instruction", .kind = RBC_STREAM_TEXT, .dtype = u8, .encoding = ""},
    };
    rbc_rlds_writer_params params = RBC_RLDS_WRITER_PARAMS_INIT;
    params.path = f->folder;
    params.name = "pictures";
    params.streams = streams;
    params.num_streams = NUM_STREAMS;
    rbc_rlds_writer *writer;
    rbc_error err;
    must(rbc_rlds_writer_create(&params, &writer, &err), &err);

    const void *declared[STEPS] = {f->large.bytes, NULL, f->small.bytes, f->large.bytes,
                                   f->large.bytes};
    const uint64_t declared_bytes[STEPS] = {f->large.num_bytes, 0, f->small.num_bytes,
                                            f->large.num_bytes, f->large.num_bytes};
    const void *of_any_size[STEPS] = {NULL, f->small.bytes, f->small.bytes, f->large.bytes, NULL};
    const uint64_t any_bytes[STEPS] = {0, f->small.num_bytes, f->small.num_bytes,
                                       f->large.num_bytes, 0};
    float values[STEPS][2];
    for (int i = 0; i < STEPS; ++i) {
        values[i][0] = (float)i;
        values[i][1] = (float)(-i);
    }
    int64_t shape[2] = {STEPS, 2};
    const DLTensor tensor = {
        .data = values, .device = {kDLCPU, 0}, .ndim = 2, .dtype = f32, .shape = shape};
    const void *text[STEPS] = {"look", "look", "look", "look", "look"};
    const uint64_t text_bytes[STEPS] = {4, 4, 4, 4, 4};
    const rbc_rlds_data data[NUM_STREAMS] = {
        {.bytes = declared, .num_bytes = declared_bytes, .num_samples = STEPS},
        {.bytes = of_any_size, .num_bytes = any_bytes, .num_samples = STEPS},
        {.values = &tensor, .num_samples = STEPS},
        {.bytes = text, .num_bytes = text_bytes, .num_samples = STEPS},
    };
    must(rbc_rlds_writer_add(writer, "train", STEPS, data, NULL, &err), &err);
    must(rbc_rlds_writer_close(&writer, &err), &err);
    spoil(f);
}

static int32_t stream(const fixture *f, const char *name) {
    int32_t index;
    rbc_error err;
    must(rbc_dataset_find_stream(f->dataset, name, &index, &err), &err);
    return index;
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    f->folder = scratch_make();
    f->large = encode(HEIGHT, WIDTH);
    f->small = encode(16, 8);
    write_dataset(f);
    rbc_error err;
    must(rbc_dataset_open(scratch_path(f->folder, "pictures"), NULL, &f->dataset, &err), &err);
    must(rbc_episode_open(f->dataset, 0, &f->episode, &err), &err);
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    rbc_episode_close(&f->episode);
    rbc_dataset_close(&f->dataset);
    tjFree(f->large.bytes);
    tjFree(f->small.bytes);
    scratch_remove(&f->folder);
    free(f);
    return 0;
}

static void the_dataset_is_what_was_written(void **state) {
    const fixture *f = *state;
    rbc_dataset_info info;
    rbc_dataset_get_info(f->dataset, &info);
    assert_string_equal(info.name, "pictures");
    assert_string_equal(info.format, "rlds");
    assert_int_equal(info.num_episodes, 1);
    assert_int_equal(info.num_steps, STEPS);
    rbc_episode_info episode;
    rbc_episode_get_info(f->episode, &episode);
    assert_string_equal(episode.task, "look");
    float values[2][2];
    rbc_error err;
    must(rbc_episode_read(f->episode, stream(f, "value"), 3, 2, values, sizeof values, &err), &err);
    assert_float_equal(values[1][1], -4.0F, 0.0F);
    const void *bytes;
    uint64_t num_bytes;
    must(rbc_episode_bytes(f->episode, stream(f, "image"), 2, &bytes, &num_bytes, &err), &err);
    assert_int_equal(num_bytes, f->small.num_bytes);
    assert_memory_equal(bytes, f->small.bytes, num_bytes);
}

static void images_are_decoded_and_missing_ones_are_black(void **state) {
    const fixture *f = *state;
    static uint8_t want[HEIGHT * WIDTH * 3];
    static uint8_t got[2 * HEIGHT * WIDTH * 3];
    memset(got, 0xA5, sizeof got);
    rbc_error err;
    tjhandle handle = tjInitDecompress();
    assert_int_equal(tjDecompress2(handle, f->large.bytes, f->large.num_bytes, want, WIDTH, 0,
                                   HEIGHT, TJPF_RGB, 0),
                     0);
    tjDestroy(handle);
    must(rbc_episode_read(f->episode, stream(f, "image"), 0, 2, got, sizeof got, &err), &err);
    assert_memory_equal(got, want, sizeof want);
    for (size_t i = sizeof want; i < sizeof got; ++i) {
        assert_int_equal(got[i], 0);
    }
}

static void another_size_names_file_offset_stream_and_sizes(void **state) {
    const fixture *f = *state;
    static uint8_t got[HEIGHT * WIDTH * 3];
    rbc_error err;
    assert_int_equal(rbc_episode_read(f->episode, stream(f, "image"), 2, 1, got, sizeof got, &err),
                     RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "pictures-train.tfrecord-00000-of-00001"));
    assert_non_null(strstr(err.message, "offset "));
    assert_non_null(strstr(err.message, "stream 'image', sample 2"));
    assert_non_null(strstr(err.message, "[16, 8, 3]"));
    assert_non_null(strstr(err.message, "[24, 40, 3]"));
}

static void damage_names_file_offset_and_stream(void **state) {
    const fixture *f = *state;
    static uint8_t got[HEIGHT * WIDTH * 3];
    rbc_error err;
    assert_int_equal(rbc_episode_read(f->episode, stream(f, "image"), 3, 1, got, sizeof got, &err),
                     RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "pictures-train.tfrecord-00000-of-00001"));
    assert_non_null(strstr(err.message, "offset "));
    assert_non_null(strstr(err.message, "stream 'image', sample 3"));
    assert_non_null(strstr(err.message, "damaged JPEG"));
}

static void undeclared_shapes_come_from_the_images(void **state) {
    const fixture *f = *state;
    const int32_t index = stream(f, "free");
    int64_t shape[3];
    rbc_error err;
    must(rbc_episode_image_shape(f->episode, index, 3, shape, &err), &err);
    assert_int_equal(shape[0], HEIGHT);
    assert_int_equal(shape[1], WIDTH);
    assert_int_equal(shape[2], 3);
    must(rbc_episode_image_shape(f->episode, index, 0, shape, &err), &err); /* the next one */
    assert_int_equal(shape[0], 16);
    assert_int_equal(shape[1], 8);
    static uint8_t got[3 * 16 * 8 * 3];
    must(rbc_episode_read(f->episode, index, 0, 3, got, sizeof got, &err), &err);
    assert_int_equal(got[0], 0);
    assert_memory_equal(got + 16 * 8 * 3, got + 2 * 16 * 8 * 3, 16 * 8 * 3);
    assert_int_equal(rbc_episode_read(f->episode, index, 2, 2, got, 2 * 16 * 8 * 3, &err),
                     RBC_ERROR_FORMAT); /* two sizes in one read */
    assert_int_equal(rbc_episode_image_shape(f->episode, stream(f, "value"), 0, shape, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
}

/* A real dataset: indexed into a folder of its own, every sample of every stream read once. */
static void a_real_dataset_is_read_whole(void **state) {
    (void)state;
    const char *data = getenv("ROBOCACHE_TEST_DATA");
    if (data == NULL || data[0] == '\0') {
        print_message("skipped: ROBOCACHE_TEST_DATA is not set\n");
        skip();
    }
    char *folder = scratch_make();
    rbc_open_params params = RBC_OPEN_PARAMS_INIT;
    params.catalog_path = scratch_path(folder, "catalog.sqlite");
    rbc_dataset *dataset;
    rbc_error err;
    must(rbc_dataset_open(scratch_path(data, "rlds_bridge/bridge_dataset/1.0.0"), &params, &dataset,
                          &err),
         &err);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, 50);
    assert_int_equal(info.num_steps, 500);
    const int32_t image = 64 * 64 * 3;
    uint8_t *pixels = malloc((size_t)(10 * image));
    int64_t decoded = 0;
    for (int64_t id = 0; id < info.num_episodes; ++id) {
        rbc_episode *episode;
        must(rbc_episode_open(dataset, id, &episode, &err), &err);
        for (int32_t i = 0; i < info.num_streams; ++i) {
            rbc_stream_info about;
            must(rbc_dataset_stream(dataset, i, &about, &err), &err);
            int64_t samples;
            must(rbc_episode_count(episode, i, &samples, NULL, &err), &err);
            assert_int_equal(samples, 10);
            if (about.kind == RBC_STREAM_IMAGE) {
                must(rbc_episode_read(episode, i, 0, 10, pixels, (uint64_t)(10 * image), &err),
                     &err);
                decoded += 10;
            }
        }
        rbc_episode_close(&episode);
    }
    assert_int_equal(decoded, 500 * 4);
    free(pixels);
    rbc_dataset_close(&dataset);
    scratch_remove(&folder);
}

/* Sixty links to one real file: 16 bytes a step and image stream, 200 an episode besides. */
static void a_catalog_is_small(void **state) {
    (void)state;
    const char *data = getenv("ROBOCACHE_TEST_DATA");
    if (data == NULL || data[0] == '\0') {
        print_message("skipped: ROBOCACHE_TEST_DATA is not set\n");
        skip();
    }
    enum { LINKS = 60, EPISODES = 25 * LINKS, IMAGE_STEPS = EPISODES * 10 * 4 };
    char *folder = scratch_make();
    char real[PATH_MAX];
    assert_non_null(
        realpath(scratch_path(data, "rlds_bridge/bridge_dataset/1.0.0/features.json"), real));
    assert_int_equal(symlink(real, scratch_path(folder, "features.json")), 0);
    assert_non_null(realpath(scratch_path(data, "rlds_bridge/bridge_dataset/1.0.0/"
                                                "bridge_dataset-train.tfrecord-00000-of-00001"),
                             real));
    for (int i = 0; i < LINKS; ++i) {
        char name[64];
        snprintf(name, sizeof name, "bridge_dataset-train.tfrecord-%05d-of-%05d", i, LINKS);
        assert_int_equal(symlink(real, scratch_path(folder, name)), 0);
    }
    rbc_dataset *dataset;
    rbc_error err;
    must(rbc_dataset_open(folder, NULL, &dataset, &err), &err);
    rbc_dataset_info info;
    rbc_dataset_get_info(dataset, &info);
    assert_int_equal(info.num_episodes, EPISODES);
    struct stat catalog;
    assert_int_equal(stat(info.catalog_path, &catalog), 0);
    print_message("%lld bytes for %d episodes of 10 steps and 4 image streams\n",
                  (long long)catalog.st_size, EPISODES);
    assert_true(catalog.st_size <= 16 * IMAGE_STEPS + 200 * EPISODES);
    rbc_dataset_close(&dataset);
    scratch_remove(&folder);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_dataset_is_what_was_written),
        TEST(images_are_decoded_and_missing_ones_are_black),
        TEST(another_size_names_file_offset_stream_and_sizes),
        TEST(damage_names_file_offset_and_stream),
        TEST(undeclared_shapes_come_from_the_images),
        cmocka_unit_test(a_real_dataset_is_read_whole),
        cmocka_unit_test(a_catalog_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
