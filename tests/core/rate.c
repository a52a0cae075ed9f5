/* Rates as fractions, and times of ticks to the nanosecond. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "core/rate.h"

static rbc__rate rate_of(double hz) {
    rbc__rate rate = {0, 0};
    assert_true(rbc__rate_from_hz(hz, &rate));
    return rate;
}

static void doubles_stand_for_fractions(void **state) {
    (void)state;
    const struct {
        double hz;
        uint64_t numerator, denominator;
    } cases[] = {
        {1.0, 1, 1},
        {30.0, 30, 1},
        {12.5, 25, 2},
        {7.3, 73, 10},
        {100.0 / 3.0, 100, 3},
        {0.1, 1, 10},
        {29.97, 30000, 1001},
        {30000.0 / 1001.0, 30000, 1001},
        {29.97003, 30000, 1001},
        {23.976, 24000, 1001},
        {59.94, 60000, 1001},
        {119.88, 120000, 1001},
        {23.98, 1199, 50},
        {29.9, 299, 10},
        {14.985, 2997, 200},
        {1e-6, 1, 1000000},
        {1e9, 1000000000, 1},
        {1.0 + 0x1p-52, (UINT64_C(1) << 52) + 1, UINT64_C(1) << 52},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const rbc__rate rate = rate_of(cases[i].hz);
        assert_int_equal(rate.numerator, cases[i].numerator);
        assert_int_equal(rate.denominator, cases[i].denominator);
    }
}

static void rates_out_of_range_are_refused(void **state) {
    (void)state;
    const double rates[] = {0.0, -5.0, 0.9e-6, 1.1e9, (double)NAN, (double)INFINITY};
    rbc__rate rate;
    for (size_t i = 0; i < sizeof rates / sizeof *rates; ++i) {
        assert_false(rbc__rate_from_hz(rates[i], &rate));
    }
}

/* Any double comes back from its fraction, and time and count are each other's inverse. */
static void check_rate(double hz) {
    const rbc__rate rate = rate_of(hz);
    const double back = (double)rate.numerator / (double)rate.denominator;
    assert_true(back == hz || fabs(back - hz) < 2e-6 * hz);
    const int64_t indices[] = {0, 1, 2, 3, 1000, 99999, INT64_C(1) << 33, INT64_C(1) << 40};
    for (size_t i = 0; i < sizeof indices / sizeof *indices; ++i) {
        const int64_t time = rbc__rate_time_ns(&rate, indices[i]);
        const long double exact = (long double)indices[i] * 1e9L * (long double)rate.denominator /
                                  (long double)rate.numerator;
        if (exact < 0x1p62L) {
            assert_true(fabsl((long double)time - exact) <= 0.5L + exact * 0x1p-60L);
            assert_int_equal(rbc__rate_time_ns(&rate, -indices[i]), -time);
        }
        if (exact < 0x1p62L && hz < 1e8) {
            assert_int_equal(rbc__rate_num_ticks(&rate, time), indices[i] + 1);
            assert_int_equal(rbc__rate_num_ticks(&rate, time - 1), indices[i]);
        }
    }
    assert_int_equal(rbc__rate_num_ticks(&rate, -1), 0);
}

static void times_are_those_of_the_fraction(void **state) {
    (void)state;
    for (int hz = 1; hz <= 1000; ++hz) {
        check_rate(hz);
    }
    const double rates[] = {23.976,      29.97, 59.94,        7.3,     12.5, 1e-6, 1.234567e-6,
                            0.1,         1e6,   123456.78901, 1e7 / 3, 1e9,  0.3,  3.14159265358979,
                            1e-6 / 3 * 4};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; ++i) {
        check_rate(rates[i]);
    }
}

static void times_past_int64_are_cut(void **state) {
    (void)state;
    const rbc__rate slow = rate_of(1e-6);
    assert_int_equal(rbc__rate_time_ns(&slow, INT64_MAX), INT64_MAX);
    assert_int_equal(rbc__rate_time_ns(&slow, INT64_MIN), -INT64_MAX);
    const rbc__rate fast = rate_of(1e9);
    assert_int_equal(rbc__rate_time_ns(&fast, 12345), 12345);
    assert_true(rbc__rate_num_ticks(&fast, INT64_MAX) > INT64_MAX - 4);
}

static void offsets_near_a_tick_are_found(void **state) {
    (void)state;
    const rbc__rate rate = rate_of(29.97);
    int64_t tick = 0;
    for (int64_t k = -100000; k <= 100000; k += 37) {
        const int64_t time = rbc__rate_time_ns(&rate, k);
        for (int64_t off = -1000; off <= 1000; off += 500) {
            assert_true(rbc__rate_tick_at(&rate, time + off, 1000, &tick));
            assert_int_equal(tick, k);
        }
        assert_false(rbc__rate_tick_at(&rate, time + 1001, 1000, &tick));
        assert_false(rbc__rate_tick_at(&rate, time - 1001, 1000, &tick));
        assert_true(rbc__rate_tick_at(&rate, time, 0, &tick));
        assert_int_equal(tick, k);
        assert_false(rbc__rate_tick_at(&rate, time + 1, 0, &tick));
    }
    assert_false(rbc__rate_tick_at(&rate, INT64_MIN, 1000, &tick));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_stand_for_fractions),
        cmocka_unit_test(rates_out_of_range_are_refused),
        cmocka_unit_test(times_are_those_of_the_fraction),
        cmocka_unit_test(times_past_int64_are_cut),
        cmocka_unit_test(offsets_near_a_tick_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
