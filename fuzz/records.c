/* Fuzzes rows of pixels and fields of records, as the catalog and the data of strangers have them:
 * whatever they are, what is read is within them. An input is a byte that says which, two of
 * pixels and shape, or of fields and gap, and then the data. */
#include "fuzz.h"

#include <string.h>

#include "codec/ros_image.h"
#include "layout/fields.h"

enum { MAX_ELEMENTS = 1 << 12 };

static void read_pixels(uint8_t pixels, uint8_t shape, const uint8_t *bytes, size_t size) {
    const rbc__image_shape want = {.height = shape & 7,
                                   .width = shape >> 3 & 7,
                                   .channels = (shape >> 6) + 1,
                                   .bits = (pixels & 0x80) != 0 ? 16 : 8};
    const int64_t row = want.width * want.channels * (want.bits / 8);
    uint8_t *out = malloc((size_t)(want.height * row) + 1);
    rbc_error err;
    fuzz_require(out != NULL);
    if (rbc__ros_image_decode(pixels & 0x7f, bytes, size, NULL, &want, out, row, &err) == RBC_OK) {
        fuzz_require(rbc__ros_pixels_can(pixels & 0x7f, want.channels, want.bits));
        fuzz_drain(out, (size_t)(want.height * row));
    } else {
        fuzz_require(err.status == RBC_ERROR_FORMAT);
    }
    free(out);
}

static void read_points(uint8_t num_fields, uint8_t gap, const uint8_t *bytes, size_t size) {
    static uint8_t out[MAX_ELEMENTS * sizeof(double)];
    rbc__fields fields = {.count = num_fields & 63};
    const size_t head = 3 * (size_t)fields.count;
    if (head > size || fields.count == 0 || fields.count > RBC__MAX_FIELDS) {
        return;
    }
    for (uint32_t i = 0; i < fields.count; ++i) {
        fields.items[i] =
            (rbc__field){bytes[3 * i], bytes[3 * i + 1] & 15, (bytes[3 * i + 2] & 1) != 0};
    }
    if (rbc__fields_check(&fields, NULL) != RBC_OK) {
        return;
    }
    const uint64_t extent = rbc__fields_extent(&fields);
    const uint64_t stride = extent + gap;
    const uint64_t left = size - head;
    uint64_t count = left >= extent ? 1 + (left - extent) / stride : 0;
    count = count > MAX_ELEMENTS / fields.count ? MAX_ELEMENTS / fields.count : count;
    uint8_t *points = malloc(left > 0 ? (size_t)left : 1); /* their very size */
    fuzz_require(points != NULL);
    if (left > 0) {
        memcpy(points, bytes + head, (size_t)left);
    }
    const rbc__value_map map = {2.0, 1.0};
    rbc__fields_read(&fields, points, stride, count, NULL, RBC__F32, out);
    rbc__fields_read(&fields, points, stride, count, &map, RBC__F64, out);
    char text[RBC__FIELDS_TEXT_BYTES];
    fuzz_require(strlen(rbc__fields_text(&fields, text, sizeof text)) < sizeof text);
    free(points);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) {
        return 0;
    }
    uint8_t *bytes = malloc(size); /* ends where the data does */
    fuzz_require(bytes != NULL);
    memcpy(bytes, data, size);
    if ((data[0] & 1) != 0) {
        read_pixels(data[1], data[2], bytes + 3, size - 3);
    } else {
        read_points(data[1], data[2], bytes + 3, size - 3);
    }
    free(bytes);
    return 0;
}
