#include "codec/ros_image.h"

#include <stdio.h>
#include <string.h>

#include "core/error.h"

static const struct {
    const char *name;
    uint8_t channels, bytes; /* of a pixel, of a channel */
    bool is_reversed;        /* blue first */
} orders[RBC__ROS_NUM_ORDERS] = {
    [RBC__ROS_MONO8] = {"mono8", 1, 1, false},   [RBC__ROS_RGB8] = {"rgb8", 3, 1, false},
    [RBC__ROS_BGR8] = {"bgr8", 3, 1, true},      [RBC__ROS_RGBA8] = {"rgba8", 4, 1, false},
    [RBC__ROS_BGRA8] = {"bgra8", 4, 1, true},    [RBC__ROS_MONO16] = {"mono16", 1, 2, false},
    [RBC__ROS_RGB16] = {"rgb16", 3, 2, false},   [RBC__ROS_BGR16] = {"bgr16", 3, 2, true},
    [RBC__ROS_RGBA16] = {"rgba16", 4, 2, false}, [RBC__ROS_BGRA16] = {"bgra16", 4, 2, true},
};

/* Other names of the same pixels. */
static const struct {
    const char *name;
    rbc__ros_pixels pixels;
} others[] = {
    {"8UC1", RBC__ROS_MONO8},          {"bayer_rggb8", RBC__ROS_MONO8},
    {"bayer_bggr8", RBC__ROS_MONO8},   {"bayer_gbrg8", RBC__ROS_MONO8},
    {"bayer_grbg8", RBC__ROS_MONO8},   {"8UC3", RBC__ROS_RGB8},
    {"8UC4", RBC__ROS_RGBA8},          {"16UC1", RBC__ROS_MONO16},
    {"bayer_rggb16", RBC__ROS_MONO16}, {"bayer_bggr16", RBC__ROS_MONO16},
    {"bayer_gbrg16", RBC__ROS_MONO16}, {"bayer_grbg16", RBC__ROS_MONO16},
    {"16UC3", RBC__ROS_RGB16},         {"16UC4", RBC__ROS_RGBA16},
};

static bool is_known(uint32_t pixels) {
    const uint32_t order = pixels & ~(uint32_t)RBC__ROS_BIG_ENDIAN;
    return order < RBC__ROS_NUM_ORDERS && (order == pixels || orders[order].bytes == 2);
}

const char *rbc__ros_pixels_name(uint32_t pixels) {
    static const char *const big[RBC__ROS_NUM_ORDERS] = {
        [RBC__ROS_MONO16] = ">mono16", [RBC__ROS_RGB16] = ">rgb16",   [RBC__ROS_BGR16] = ">bgr16",
        [RBC__ROS_RGBA16] = ">rgba16", [RBC__ROS_BGRA16] = ">bgra16",
    };
    const uint32_t order = pixels & ~(uint32_t)RBC__ROS_BIG_ENDIAN;
    return !is_known(pixels) ? NULL : order == pixels ? orders[order].name : big[order];
}

rbc_status rbc__ros_pixels_find(const char *name, uint8_t *out, rbc_error *err) {
    const bool is_big = name[0] == '>';
    const char *plain = name + is_big;
    int found = -1;
    for (int i = 0; i < RBC__ROS_NUM_ORDERS; ++i) {
        found = strcmp(plain, orders[i].name) == 0 ? i : found;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
        found = strcmp(plain, others[i].name) == 0 ? (int)others[i].pixels : found;
    }
    if (found >= 0) { /* bytes have no order */
        *out = (uint8_t)(found + (is_big && orders[found].bytes == 2 ? RBC__ROS_BIG_ENDIAN : 0));
        return RBC_OK;
    }
    char names[512];
    int length = 0;
    for (size_t i = 0; i < RBC__ROS_NUM_ORDERS + sizeof others / sizeof *others; ++i) {
        length += snprintf(names + length, sizeof names - (size_t)length, "%s%s", i > 0 ? ", " : "",
                           i < RBC__ROS_NUM_ORDERS ? orders[i].name
                                                   : others[i - RBC__ROS_NUM_ORDERS].name);
    }
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                     "pixels of ROS's encoding '%.40s' are not known: %s are", name, names);
}

bool rbc__ros_pixels_can(uint32_t pixels, int64_t channels, int32_t bits) {
    if (!is_known(pixels)) {
        return false;
    }
    const uint32_t order = pixels & ~(uint32_t)RBC__ROS_BIG_ENDIAN;
    const int64_t stored = orders[order].channels;
    return bits == 8 * orders[order].bytes &&
           (stored == 1 ? channels == 1 || channels == 3 : channels == 3 || channels == stored);
}

/* Channel k of what is wanted is channel from[k] of what is stored. `bytes` of a channel are 1 or 2,
 * turned round where `is_swapped`. */
static void gather_row(const uint8_t *src, int64_t width, int64_t stored, int64_t channels,
                       const uint8_t *from, int64_t bytes, bool is_swapped, uint8_t *dst) {
    for (int64_t x = 0; x < width; ++x, src += stored * bytes) {
        for (int64_t k = 0; k < channels; ++k, dst += bytes) {
            const uint8_t *channel = src + from[k] * bytes;
            dst[0] = channel[is_swapped ? 1 : 0];
            if (bytes == 2) {
                dst[1] = channel[is_swapped ? 0 : 1];
            }
        }
    }
}

rbc_status rbc__ros_image_decode(uint32_t pixels, const uint8_t *bytes, uint64_t num_bytes,
                                 const char *name, const rbc__image_shape *want, void *dst,
                                 int64_t row_stride_bytes, rbc_error *err) {
    const char *begin = name != NULL ? name : "";
    const char *colon = name != NULL ? ": " : "";
    if (!rbc__ros_pixels_can(pixels, want->channels, want->bits)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s%spixels %s cannot be had as %lld channels of %d bits", begin, colon,
                         is_known(pixels) ? rbc__ros_pixels_name(pixels) : "of no known order",
                         (long long)want->channels, (int)want->bits);
    }
    const uint32_t order = pixels & ~(uint32_t)RBC__ROS_BIG_ENDIAN;
    const int64_t stored = orders[order].channels;
    const int64_t size = orders[order].bytes;
    const uint64_t least = (uint64_t)(want->width * stored * size);
    const uint64_t height = (uint64_t)want->height;
    if (height == 0 || num_bytes % height != 0 || num_bytes / height < least) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "%s%sfound %llu bytes of %s pixels, wanted %lld rows of one size, at "
                         "least %llu bytes",
                         begin, colon, (unsigned long long)num_bytes, orders[order].name,
                         (long long)want->height, (unsigned long long)least);
    }
    const uint64_t step = num_bytes / height;
    const bool is_swapped = (pixels & RBC__ROS_BIG_ENDIAN) != 0;
    const bool is_reversed = orders[order].is_reversed;
    const uint8_t from[4] = {is_reversed ? 2 : 0, stored == 1 ? 0 : 1,
                             stored == 1 || is_reversed ? 0 : 2, 3};
    uint8_t *row = dst;
    for (uint64_t y = 0; y < height; ++y, bytes += step, row += row_stride_bytes) {
        if (!is_swapped && !is_reversed && stored == want->channels) {
            memcpy(row, bytes, (size_t)least);
        } else {
            gather_row(bytes, want->width, stored, want->channels, from, size, is_swapped, row);
        }
    }
    return RBC_OK;
}
