/* The packed steps and stamps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "catalog/summary.h"

static const rbc__summary_entry entries[] = {
    {0, 0, -1},
    {40, 0, -1},
    {1, 1700000000000000000, 1700000000000000000},
    {INT64_MAX, INT64_MIN, INT64_MAX},
    {7, INT64_MAX, INT64_MIN},
    {128, -5, 5},
};
#define COUNT (sizeof entries / sizeof entries[0])

static size_t pack(uint8_t *bytes) {
    size_t length = 0;
    int64_t previous = 0;
    for (size_t i = 0; i < COUNT; ++i) {
        const size_t more = rbc__summary_put(bytes + length, &entries[i], previous);
        assert_true(more <= RBC__SUMMARY_MAX_BYTES);
        length += more;
        previous = entries[i].start_ns;
    }
    return length;
}

static void entries_come_back(void **state) {
    (void)state;
    uint8_t bytes[COUNT * RBC__SUMMARY_MAX_BYTES];
    const uint8_t *at = bytes;
    const uint8_t *end = bytes + pack(bytes);
    int64_t previous = 0;
    for (size_t i = 0; i < COUNT; ++i) {
        rbc__summary_entry got;
        assert_true(rbc__summary_get(&at, end, previous, &got));
        assert_int_equal(got.num_steps, entries[i].num_steps);
        assert_int_equal(got.start_ns, entries[i].start_ns);
        assert_int_equal(got.end_ns, entries[i].end_ns);
        previous = got.start_ns;
    }
    assert_ptr_equal(at, end);
}

static void episodes_without_stamps_take_little(void **state) {
    (void)state;
    uint8_t bytes[RBC__SUMMARY_MAX_BYTES];
    assert_int_equal(rbc__summary_put(bytes, &(rbc__summary_entry){40, 0, -1}, 0), 3);
}

static void what_ends_early_is_refused(void **state) {
    (void)state;
    uint8_t bytes[COUNT * RBC__SUMMARY_MAX_BYTES];
    pack(bytes);
    for (size_t length = 0; length < 3; ++length) {
        const uint8_t *at = bytes;
        rbc__summary_entry got;
        assert_false(rbc__summary_get(&at, bytes + length, 0, &got));
    }
    static const uint8_t endless[12] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
                                        0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    const uint8_t *at = endless;
    rbc__summary_entry got;
    assert_false(rbc__summary_get(&at, endless + sizeof endless, 0, &got));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(episodes_without_stamps_take_little),
        cmocka_unit_test(what_ends_early_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
