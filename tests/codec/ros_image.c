/* Pixels as ROS messages have them, as a table: what is stored, what is wanted, what becomes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec/ros_image.h"

typedef struct ros_case {
    const char *pixels;
    int64_t width, channels; /* wanted; of one row */
    int bits;
    uint8_t stored[12], wanted[12];
    size_t num_stored, num_wanted;
} ros_case;

static const ros_case cases[] = {
    {"mono8", 3, 1, 8, {1, 2, 3}, {1, 2, 3}, 3, 3},
    {"mono8", 2, 3, 8, {1, 2}, {1, 1, 1, 2, 2, 2}, 2, 6},
    {"8UC1", 2, 1, 8, {7, 8}, {7, 8}, 2, 2},
    {"bayer_grbg8", 2, 1, 8, {7, 8}, {7, 8}, 2, 2},
    {"rgb8", 2, 3, 8, {1, 2, 3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}, 6, 6},
    {"8UC3", 1, 3, 8, {1, 2, 3}, {1, 2, 3}, 3, 3},
    {"bgr8", 2, 3, 8, {1, 2, 3, 4, 5, 6}, {3, 2, 1, 6, 5, 4}, 6, 6},
    {"rgba8", 1, 4, 8, {1, 2, 3, 4}, {1, 2, 3, 4}, 4, 4},
    {"rgba8", 2, 3, 8, {1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 3, 5, 6, 7}, 8, 6},
    {"bgra8", 1, 4, 8, {1, 2, 3, 4}, {3, 2, 1, 4}, 4, 4},
    {"bgra8", 2, 3, 8, {1, 2, 3, 4, 5, 6, 7, 8}, {3, 2, 1, 7, 6, 5}, 8, 6},
    {">bgr8", 1, 3, 8, {1, 2, 3}, {3, 2, 1}, 3, 3}, /* bytes have no order */
    {"mono16", 2, 1, 16, {1, 2, 3, 4}, {1, 2, 3, 4}, 4, 4},
    {">16UC1", 2, 1, 16, {1, 2, 3, 4}, {2, 1, 4, 3}, 4, 4},
    {">mono16", 1, 3, 16, {1, 2}, {2, 1, 2, 1, 2, 1}, 2, 6},
    {"bgr16", 1, 3, 16, {1, 2, 3, 4, 5, 6}, {5, 6, 3, 4, 1, 2}, 6, 6},
    {">rgb16", 1, 3, 16, {1, 2, 3, 4, 5, 6}, {2, 1, 4, 3, 6, 5}, 6, 6},
    {">bgra16", 1, 4, 16, {1, 2, 3, 4, 5, 6, 7, 8}, {6, 5, 4, 3, 2, 1, 8, 7}, 8, 8},
    {"rgba16", 1, 3, 16, {1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 3, 4, 5, 6}, 8, 6},
};

/* Two rows, each with `padding` behind it. */
static void pixels_become_what_is_wanted(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const ros_case *c = &cases[i];
        for (size_t padding = 0; padding < 4; ++padding) {
            uint8_t pixels;
            uint8_t *bytes = calloc(1, 2 * (c->num_stored + padding)); /* its very size */
            uint8_t out[2 * 12 + 6];
            const rbc__image_shape shape = {
                .height = 2, .width = c->width, .channels = c->channels, .bits = c->bits};
            assert_non_null(bytes);
            for (size_t row = 0; row < 2; ++row) {
                memcpy(bytes + row * (c->num_stored + padding), c->stored, c->num_stored);
            }
            memset(out, 0xee, sizeof out);
            assert_int_equal(rbc__ros_pixels_find(c->pixels, &pixels, NULL), RBC_OK);
            assert_true(rbc__ros_pixels_can(pixels, c->channels, c->bits));
            assert_int_equal(rbc__ros_image_decode(pixels, bytes, 2 * (c->num_stored + padding),
                                                   NULL, &shape, out, (int64_t)c->num_wanted + 3,
                                                   NULL),
                             RBC_OK);
            for (size_t row = 0; row < 2; ++row) {
                const uint8_t *at = out + row * (c->num_wanted + 3);
                assert_memory_equal(at, c->wanted, c->num_wanted);
                assert_int_equal(at[c->num_wanted], 0xee); /* what is between rows stays */
            }
            free(bytes);
        }
    }
}

static void names_are_those_of_ros(void **state) {
    (void)state;
    uint32_t known = 0;
    for (uint32_t i = 0; i < 256; ++i) {
        uint8_t found;
        const char *name = rbc__ros_pixels_name(i);
        if (name != NULL) {
            assert_int_equal(rbc__ros_pixels_find(name, &found, NULL), RBC_OK);
            assert_int_equal(found, i);
            ++known;
        }
    }
    assert_int_equal(known, 15); /* five of bytes, five of 16 bits in either order */
}

static void what_cannot_be_is_an_error(void **state) {
    static const struct {
        const char *pixels;
        int64_t height, width, channels;
        int bits;
        uint64_t num_bytes;
        const char *message;
    } wrong[] = {
        {"rgb8", 2, 3, 3, 8, 17, "found 17 bytes of rgb8 pixels, wanted 2 rows of one size"},
        {"rgb8", 2, 3, 3, 8, 16, "at least 9 bytes"},
        {"rgb8", 2, 3, 3, 8, 0, "found 0 bytes"},
        {"rgb8", 0, 3, 3, 8, 0, "wanted 0 rows"},
        {"rgb8", 2, 3, 1, 8, 18, "pixels rgb8 cannot be had as 1 channels of 8 bits"},
        {"rgb8", 2, 3, 3, 16, 18, "pixels rgb8 cannot be had as 3 channels of 16 bits"},
        {"mono8", 2, 3, 4, 8, 6, "cannot be had as 4 channels"},
        {">mono16", 2, 3, 1, 8, 12, "pixels >mono16 cannot be had as 1 channels of 8 bits"},
    };
    (void)state;
    const uint8_t bytes[32] = {0};
    uint8_t out[64];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        rbc_error err;
        uint8_t pixels;
        const rbc__image_shape shape = {.height = wrong[i].height,
                                        .width = wrong[i].width,
                                        .channels = wrong[i].channels,
                                        .bits = wrong[i].bits};
        assert_int_equal(rbc__ros_pixels_find(wrong[i].pixels, &pixels, NULL), RBC_OK);
        assert_int_equal(
            rbc__ros_image_decode(pixels, bytes, wrong[i].num_bytes, "it", &shape, out, 9, &err),
            RBC_ERROR_FORMAT);
        if (strncmp(err.message, "it: ", 4) != 0 || strstr(err.message, wrong[i].message) == NULL) {
            fail_msg("case %zu: %s", i, err.message);
        }
    }
    rbc_error err;
    uint8_t pixels;
    assert_int_equal(rbc__ros_pixels_find("yuv422", &pixels, &err), RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'yuv422' are not known: mono8, rgb8, bgr8"));
    assert_int_equal(rbc__ros_pixels_find("", &pixels, &err), RBC_ERROR_UNSUPPORTED);
    assert_int_equal(rbc__ros_pixels_find(">", &pixels, &err), RBC_ERROR_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_become_what_is_wanted),
        cmocka_unit_test(names_are_those_of_ros),
        cmocka_unit_test(what_cannot_be_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
