/* CRCs, varints, UTF-8 and growing buffers: what the walk over a record rests on. */
#include <stdlib.h>
#include <string.h>

#include "formats/rlds/framing.h"
#include "formats/rlds/wire.h"
#include "helpers.h"
#include "io/utf8.h"
#include "layout/values.h"

/* Vectors of RFC 3720, B.4. */
static void crc32c_matches_published_vectors(void **state) {
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(rbc__crc32c("123456789", 9), 0xe3069283);
    memset(bytes, 0, 32);
    assert_int_equal(rbc__crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(rbc__crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; ++i) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(rbc__crc32c(bytes, 32), 0x46dd794e);
    assert_int_equal(rbc__crc32c("", 0), 0);
}

static void varints_of_every_length_are_read_back(void **state) {
    (void)state;
    for (unsigned bits = 0; bits <= 64; ++bits) {
        const uint64_t value = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
        rbc__bytes bytes = {0};
        rbc__bytes_varint(&bytes, value);
        assert_int_equal(bytes.size, rbc__varint_size(value));
        uint64_t pos = 0;
        uint64_t read = 0;
        assert_true(rbc__varint_read(bytes.data, bytes.size, &pos, &read));
        assert_true(read == value && pos == bytes.size);
        pos = 0;
        assert_false(rbc__varint_read(bytes.data, bytes.size - 1, &pos, &read));
        assert_int_equal(pos, 0);
        rbc__bytes_free(&bytes);
    }
}

static void padded_varints_are_read_and_overlong_ones_are_not(void **state) {
    (void)state;
    const uint8_t padded[10] = {0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    const uint8_t overlong[11] = {0x85, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00};
    uint64_t pos = 0;
    uint64_t value;
    assert_true(rbc__varint_read(padded, 10, &pos, &value));
    assert_int_equal(value, 5);
    pos = 0;
    assert_false(rbc__varint_read(overlong, 11, &pos, &value));
}

static void utf8_is_told_from_other_bytes(void **state) {
    (void)state;
    static const char *const good[] = {"",
                                       "put the cup",
                                       "\xc3\xa9",
                                       "\xe2\x82\xac",
                                       "\xf0\x9f\xa4\x96",
                                       "\xf4\x8f\xbf\xbf",
                                       "\xed\x9f\xbf"};
    static const struct {
        const char *text;
        uint64_t bad_at;
    } bad[] = {
        {"ab\xff", 2},           {"\xc3", 0},        {"a\xc0\x80", 1}, {"\xed\xa0\x80", 0},
        {"\xf4\x90\x80\x80", 0}, {"\xe2\x82", 0},    {"x\x80", 1},     {"\xf0\x8f\xbf\xbf", 0},
        {"\xe2\x28\xa1", 0},     {"\xe2\x82\x28", 0}};
    uint64_t bad_at;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i) {
        assert_true(rbc__utf8_check((const uint8_t *)good[i], strlen(good[i]), &bad_at));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i) {
        assert_false(rbc__utf8_check((const uint8_t *)bad[i].text, strlen(bad[i].text), &bad_at));
        assert_int_equal(bad_at, bad[i].bad_at);
    }
    assert_false(rbc__utf8_check((const uint8_t *)"a\0b", 3, &bad_at));
    assert_int_equal(bad_at, 1);
}

static void frames_are_written_and_parsed_alike(void **state) {
    (void)state;
    rbc__bytes file = {0};
    rbc__source *source;
    rbc__scratch scratch = {0};
    rbc__frame frame;
    const uint8_t *payload;
    put_payload(&file, "", 0);
    put_payload(&file, "abc", 3);
    assert_int_equal(rbc__source_from_memory(file.data, file.size, "m", &source, NULL), RBC_OK);
    assert_int_equal(rbc__frame_header(source, 0, &scratch, &frame, NULL), RBC_OK);
    assert_true(frame.offset == 12 && frame.bytes == 0 && frame.next == 16);
    assert_int_equal(rbc__frame_payload(source, &frame, &scratch, &payload, NULL), RBC_OK);
    assert_int_equal(rbc__frame_header(source, 16, &scratch, &frame, NULL), RBC_OK);
    assert_true(frame.offset == 28 && frame.bytes == 3 && frame.next == file.size);
    assert_int_equal(rbc__frame_payload(source, &frame, &scratch, &payload, NULL), RBC_OK);
    assert_memory_equal(payload, "abc", 3);
    rbc__source_close(&source);
    rbc__bytes_free(&file);
}

/* Every float16, and values half-way between two, against the compiler's own conversion. */
static void floats_round_to_nearest_even(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 200000; ++i) {
        const uint32_t bits = i * UINT32_C(0x9e3779b9);
        float value;
        uint16_t half;
        uint16_t brain;
        memcpy(&value, &bits, 4);
        if (value != value) {
            continue;
        }
        rbc__values_from_f32((const uint8_t *)&bits, 1, RBC__F16, &half);
        const _Float16 want = (_Float16)value;
        assert_memory_equal(&half, &want, 2);
        rbc__values_from_f32((const uint8_t *)&bits, 1, RBC__BF16, &brain);
        const uint32_t low = bits & 0xffff;
        uint32_t high = bits >> 16;
        high += low > 0x8000 || (low == 0x8000 && (high & 1));
        assert_int_equal(brain, high & 0xffff);
    }
    for (uint32_t half = 0; half < 0x7c00; ++half) {
        const _Float16 *exact = (const void *)&half;
        const float value = (float)*exact;
        uint16_t back;
        rbc__values_from_f32((const uint8_t *)&value, 1, RBC__F16, &back);
        assert_int_equal(back, half);
    }
}

static void integers_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        rbc__dtype dtype;
        int64_t low, high;
    } ranges[] = {{RBC__U8, 0, UINT8_MAX},   {RBC__I8, INT8_MIN, INT8_MAX},
                  {RBC__U16, 0, UINT16_MAX}, {RBC__I16, INT16_MIN, INT16_MAX},
                  {RBC__U32, 0, UINT32_MAX}, {RBC__I32, INT32_MIN, INT32_MAX}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; ++i) {
        const int64_t edges[2] = {ranges[i].low, ranges[i].high};
        const int64_t below = ranges[i].low - 1;
        const int64_t above = ranges[i].high + 1;
        uint8_t out[16];
        int64_t misfit;
        assert_true(rbc__values_from_ints(edges, 2, ranges[i].dtype, out, &misfit));
        assert_false(rbc__values_from_ints(&below, 1, ranges[i].dtype, out, &misfit));
        assert_int_equal(misfit, below);
        assert_false(rbc__values_from_ints(&above, 1, ranges[i].dtype, out, &misfit));
        assert_int_equal(misfit, above);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_matches_published_vectors),
        cmocka_unit_test(varints_of_every_length_are_read_back),
        cmocka_unit_test(padded_varints_are_read_and_overlong_ones_are_not),
        cmocka_unit_test(utf8_is_told_from_other_bytes),
        cmocka_unit_test(frames_are_written_and_parsed_alike),
        cmocka_unit_test(floats_round_to_nearest_even),
        cmocka_unit_test(integers_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
