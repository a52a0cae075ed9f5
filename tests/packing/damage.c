/* What is said of headers and sizes that do not fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "packing/packing.h"

typedef struct damage {
    rbc__packing_step step;
    size_t packed_bytes;
    uint8_t packed[60];
    const char *message; /* behind the step */
} damage;

static const damage damages[] = {
    {{RBC__PACKING_BLOSC, 0}, 15, {2, 1}, "has 15 bytes, wanted 16 at least"},
    {{RBC__PACKING_BLOSC, 0},
     16,
     {5, 1, 0x25, 1, 0, 0, 0, 0, 0, 0, 0, 0, 16},
     "chunk of format 5 with codec 1 of version 1, wanted format 2 as of Blosc 1, codec 0 to 4, "
     "version 1"},
    {{RBC__PACKING_BLOSC, 0},
     16,
     {2, 2, 0xF0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 16},
     "chunk of format 2 with codec 7 of version 2, wanted format 2 as of Blosc 1, codec 0 to 4, "
     "version 1"},
    {{RBC__PACKING_BLOSC, 0},
     17,
     {2, 1, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 16},
     "has 17 bytes, wanted the 16 that its header names"},
    {{RBC__PACKING_BLOSC, 0},
     20,
     {2, 1, 0x20, 0, 4, 0, 0, 0, 4, 0, 0, 0, 20},
     "elements of 0 bytes in blocks of 4, wanted 1 at least and 1 to 4"},
    {{RBC__PACKING_BLOSC, 0},
     20,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 0, 0, 0, 0, 20},
     "elements of 1 bytes in blocks of 0, wanted 1 at least and 1 to 4"},
    {{RBC__PACKING_BLOSC, 0},
     20,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 5, 0, 0, 0, 20},
     "elements of 1 bytes in blocks of 5, wanted 1 at least and 1 to 4"},
    {{RBC__PACKING_BLOSC, 0},
     22,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 2, 0, 0, 0, 22, 0, 0, 0, 24},
     "has 22 bytes, wanted the beginnings of 2 blocks"},
    {{RBC__PACKING_BLOSC, 0},
     24,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 4, 0, 0, 0, 24, 0, 0, 0, 19},
     "block 0 begins at byte 19, wanted 20 to 24"},
    {{RBC__PACKING_BLOSC, 0},
     24,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 4, 0, 0, 0, 24, 0, 0, 0, 25},
     "block 0 begins at byte 25, wanted 20 to 24"},
    {{RBC__PACKING_BLOSC, 0},
     24,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 4, 0, 0, 0, 24, 0, 0, 0, 22},
     "ends at byte 24, wanted the size of a stream at byte 22"},
    {{RBC__PACKING_BLOSC, 0},
     26,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 4, 0, 0, 0, 26, 0, 0, 0, 20, 0, 0, 0, 3},
     "the stream at byte 24 has 3 bytes, wanted at most the 2 that are there"},
    {{RBC__PACKING_BLOSC, 0},
     26,
     {2, 1, 0x20, 1, 4, 0, 0, 0, 4, 0, 0, 0, 26, 0, 0, 0, 20, 0, 0, 0, 2},
     "bytes 24 to 26 of 26 are damaged or give another number of bytes than the 4 wanted"},
    {{RBC__PACKING_BLOSC, 0},
     36,
     {2, 1, 0, 3, 0, 2, 0, 0, 0, 2, 0, 0, 36, 0, 0, 0, 20},
     "blocks of 512 bytes, wanted whole elements of 3"},
    {{RBC__PACKING_BLOSC, 0},
     20,
     {2, 1, 0x22, 1, 5, 0, 0, 0, 5, 0, 0, 0, 20},
     "has 4 bytes behind its header, wanted 5"},
    /* Two blocks that are the same bytes. */
    {{RBC__PACKING_BLOSC, 0},
     36,
     {2, 1, 0x30, 1, 16, 0, 0, 0, 8, 0, 0, 0, 36, 0, 0, 0, 24, 0,
      0, 0, 24,   0, 0,  0, 8, 0, 0, 0, 1, 2, 3,  4, 5, 6, 7,  8},
     "the block of bytes 24 to 36 is not its own"},
    {{RBC__PACKING_LZ4_HDF5, 0}, 12, {0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0}, "has blocks of 0 bytes"},
    {{RBC__PACKING_LZ4_HDF5, 0}, 11, {0}, "has 11 bytes, wanted 12 at least"},
    {{RBC__PACKING_LZ4_HDF5, 0},
     21,
     {0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 4, 'a', 'b', 'c', 'd', 'e'},
     "ends at byte 20 of 21, wanted at the last"},
    {{RBC__PACKING_LZ4_BLOCK, 4}, 4, {0}, "has 4 bytes, wanted 5 at least and 2147483647 at most"},
    {{RBC__PACKING_BITSHUFFLE_LZ4, 2}, 3, {0}, "has 3 bytes, wanted 12 at least"},
    {{RBC__PACKING_BITSHUFFLE_LZ4, 2},
     28,
     {0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 0, 24},
     "has blocks of 24 bytes, wanted whole eights of 2"},
    {{RBC__PACKING_CRC32C, 0}, 3, {0}, "3 bytes, wanted at least the 4 of a checksum"},
    {{RBC__PACKING_ZLIB, 0}, 3, {0}, "the stream at byte 0 of 3 is damaged or cut short"},
    {{RBC__PACKING_BZ2, 0}, 2, "BZ", "the stream at byte 0 of 2 is cut short"},
    {{RBC__PACKING_BZ2, 0}, 3, "BZZ", "the stream at byte 0 of 3 is damaged"},
    {{RBC__PACKING_LZ4_FRAME, 0}, 3, {4, 0x22, 0x4D}, "the frame at byte 0 of 3 is cut short"},
    {{RBC__PACKING_LZF, 0}, 1, {0x20}, "1 bytes are damaged or cut short"},
    {{RBC__PACKING_ZIP, 0},
     29,
     {'P', 'K', 3, 4},
     "29 bytes do not begin with the header of a zip archive's member"},
    {{RBC__PACKING_ZIP, 0},
     30,
     {'P', 'K', 1, 2},
     "30 bytes do not begin with the header of a zip archive's member"},
    {{RBC__PACKING_ZIP, 0},
     30,
     {'P', 'K', 3, 4, [26] = 1},
     "the header takes 31 of 30 bytes, method 0, flags 0000; wanted one that is stored or deflated "
     "and not encrypted"},
    {{RBC__PACKING_ZIP, 0},
     30,
     {'P', 'K', 3, 4, [8] = 12},
     "the header takes 30 of 30 bytes, method 12, flags 0000; wanted one that is stored or "
     "deflated "
     "and not encrypted"},
    {{RBC__PACKING_ZIP, 0},
     30,
     {'P', 'K', 3, 4, [6] = 1},
     "the header takes 30 of 30 bytes, method 0, flags 0001; wanted one that is stored or deflated "
     "and not encrypted"},
    {{RBC__PACKING_ZIP, 0},
     31,
     {'P', 'K', 3, 4, [8] = 8, [30] = 7},
     "the stream at byte 30 of 31 is damaged or cut short"},
    {{RBC__PACKING_ZIP, 0},
     33,
     {'P', 'K', 3, 4, [8] = 8, [30] = 3, [32] = 9},
     "ends at byte 32 of 33, wanted at the last"},
    {{RBC__PACKING_ZIP, 0},
     31,
     {'P', 'K', 3, 4, [14] = 5, [30] = 'a'},
     "the CRC of 1 bytes is e8b7be43, wanted 00000005 as the header has it"},
};

static void expect(rbc__unpacker *unpacker, const damage *one) {
    const rbc__packing packing = {1, {one->step}};
    rbc__unpacked found;
    rbc_error err = {0};
    const rbc_status status = rbc__unpack_unsized(unpacker, &packing, one->packed,
                                                  one->packed_bytes, 100000, &found, &err);
    assert_int_equal(status, RBC_ERROR_FORMAT);
    const char *message = strstr(err.message, ": ");
    assert_non_null(message);
    assert_string_equal(message + 2, one->message);
}

static int make_unpacker(void **state) {
    rbc_error err;
    return rbc__unpacker_create((rbc__unpacker **)state, &err) != RBC_OK;
}

static int drop_unpacker(void **state) {
    rbc__unpacker_destroy((rbc__unpacker **)state);
    return 0;
}

static void errors_say_what_and_where(void **state) {
    for (size_t i = 0; i < sizeof damages / sizeof *damages; ++i) {
        expect(*state, &damages[i]);
    }
}

/* Nothing is packed as something, but where a step only orders bytes anew, or each number
 * stands by itself. */
static void no_bytes_are_no_stream(void **state) {
    for (uint32_t kind = 0; kind < 1000; ++kind) {
        const char *name = rbc__packing_name(kind);
        if (name == NULL) {
            continue;
        }
        rbc__packing packing = {1, {{kind, 0}}};
        rbc__unpacked found;
        rbc_error err = {0};
        packing.steps[0].parameter = rbc__packing_check(&packing, &err) == RBC_OK ? 0 : 1;
        const bool is_kept = strcmp(name, "shuffle") == 0 || strcmp(name, "bitshuffle") == 0 ||
                             strcmp(name, "varint") == 0;
        assert_int_equal(rbc__unpack_unsized(*state, &packing, NULL, 0, 100, &found, &err),
                         is_kept ? RBC_OK : RBC_ERROR_FORMAT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(errors_say_what_and_where, make_unpacker, drop_unpacker),
        cmocka_unit_test_setup_teardown(no_bytes_are_no_stream, make_unpacker, drop_unpacker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
