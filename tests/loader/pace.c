/* Who decodes: a loader's device, or its cores where they have the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/pace.h"

#define MS 1e6

static void a_core_decodes_what_it_has_the_time_for(void **state) {
    (void)state;
    static const struct {
        double image_ns, batch_ns;
        int64_t num_images, distance;
        bool is_on_host;
    } cases[] = {
        {0.0, 0.0, 16, 17, false},      /* nothing is known */
        {0.0, 3 * MS, 16, 1, false},    /* how long a core takes is to be found out ... */
        {0.0, 3 * MS, 16, 2, true},     /* ... where there is some time */
        {0.6 * MS, 0.0, 16, 17, false}, /* a loop that only takes */
        {0.6 * MS, 0.01 * MS, 16, 17, false},
        {0.6 * MS, 13 * MS, 16, 0, false}, /* it is waited for */
        {0.6 * MS, 13 * MS, 16, 1, false},
        {0.6 * MS, 13 * MS, 16, 2, true},
        {0.5 * MS, 8 * MS, 16, 2, true}, /* exactly half of the time */
        {0.5 * MS, 8 * MS, 17, 2, false},
        {0.6 * MS, 3.2 * MS, 16, 6, true},
        {0.6 * MS, 3.2 * MS, 16, 5, false},
        {0.6 * MS, 1 * MS, 16, 17, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        assert_int_equal(rbc__pace_is_on_host(cases[i].image_ns, cases[i].batch_ns,
                                              cases[i].num_images, cases[i].distance),
                         cases[i].is_on_host);
    }
}

static void times_are_followed(void **state) {
    (void)state;
    rbc__pace pace = {0};
    rbc__pace_asked(&pace, 5000); /* the first: nothing came before */
    assert_true(pace.batch_ns == 0.0);
    rbc__pace_returned(&pace, 10000);
    rbc__pace_asked(&pace, 11600);
    assert_true(pace.batch_ns == 1600.0);
    rbc__pace_asked(&pace, 99999); /* the same call, once more */
    assert_true(pace.batch_ns == 1600.0);
    rbc__pace_returned(&pace, 100000);
    rbc__pace_asked(&pace, 100000000); /* a pause */
    assert_true(pace.batch_ns == 1600.0);
    rbc__pace_worked(&pace, 0, 500);
    rbc__pace_worked(&pace, 10, 500);
    assert_true(pace.image_ns == 50.0);
    rbc__pace_worked(&pace, 10, 1300);
    assert_true(pace.image_ns == 60.0);
    rbc__pace_worked(&pace, 10, 200); /* faster than thought */
    assert_true(pace.image_ns == 40.0);
}

/* A loop that queues eight steps at a time, and waits for its device then. */
static void a_loop_may_wait_for_its_device_now_and_then(void **state) {
    (void)state;
    rbc__pace pace = {0};
    int64_t now = 1000;
    for (int i = 0; i < 200; ++i) {
        rbc__pace_returned(&pace, now);
        now += i == 150 ? (int64_t)(60000 * MS) : (int64_t)(i % 8 == 7 ? 97 * MS : 1 * MS);
        rbc__pace_asked(&pace, now);
        if (i >= RBC__PACE_BATCHES) {
            assert_true(pace.batch_ns > 9 * MS && pace.batch_ns < 14 * MS); /* 13 on average */
        }
    }
}

/* How many ranges go to the device before a core gets one; `most`: none did. */
static int ranges_before(rbc__pace *pace, int64_t distance, int most) {
    int count = 0;
    while (count < most && !rbc__pace_deal(pace, 16, distance)) {
        ++count;
    }
    return count;
}

static void what_was_measured_is_not_believed_for_ever(void **state) {
    (void)state;
    rbc__pace pace = {.batch_ns = 13 * MS};
    rbc__pace_worked(&pace, 16, (int64_t)(16 * 8.4 * MS)); /* while threads began */
    int ranges = 0;
    for (int i = 0; i < 5; ++i) {
        ranges += ranges_before(&pace, 5, 1000);
        rbc__pace_worked(&pace, 16, (int64_t)(16 * 0.62 * MS));
    }
    assert_true(ranges > 0 && ranges < 300);
    assert_true(pace.measured_ns < 1 * MS);
    assert_int_equal(ranges_before(&pace, 5, 1000), 0);

    rbc__pace slow = {.batch_ns = 0.1 * MS}; /* the cores cannot keep up */
    rbc__pace_worked(&slow, 16, (int64_t)(16 * 0.62 * MS));
    assert_int_equal(ranges_before(&slow, 17, 10000), 10000);
    assert_int_equal(ranges_before(&slow, 1, 10), 10);
}

/* ---- a loader, in milliseconds ------------------------------------------------------------------
 */

enum { ROWS = 64, CORE_ROWS = 16, WORKERS = 15, SLOTS = 17, BATCHES = 3000, COUNTED = 2000 };

static const double IMAGE_MS = 0.62, DEVICE_IMAGE_MS = 0.0025, QUEUE_MS = 0.5;

typedef struct outcome {
    double waited; /* of the loop's time, in the last COUNTED batches */
    double on_device;
} outcome;

static void take_rows(double step_ms, int taken, double now, int *begun, int *rest, double *workers,
                      double *device_free, double *done_at, double *device_rows) {
    for (int w = 0; w < WORKERS; ++w) {
        while (workers[w] <= now && (*rest > 0 || (*begun < BATCHES && *begun < taken + SLOTS))) {
            if (*rest == 0) {
                done_at[*begun] = 0.0;
                *rest = ROWS;
                ++*begun;
            }
            const int batch = *begun - 1;
            const bool is_on_host =
                rbc__pace_is_on_host(IMAGE_MS * MS, step_ms * MS, CORE_ROWS, batch - taken);
            const int rows = is_on_host && *rest > CORE_ROWS ? CORE_ROWS : *rest;
            *rest -= rows;
            if (is_on_host) {
                workers[w] = now + rows * IMAGE_MS;
            } else {
                const double from = *device_free > now ? *device_free : now;
                *device_free = from + rows * DEVICE_IMAGE_MS;
                workers[w] = *device_free + QUEUE_MS;
                *device_rows += batch >= BATCHES - COUNTED ? rows : 0;
            }
            done_at[batch] = workers[w] > done_at[batch] ? workers[w] : done_at[batch];
        }
    }
}

static outcome simulate(double step_ms) {
    static double done_at[BATCHES];
    double workers[WORKERS] = {0};
    double now = 0.0, device_free = 0.0, waited = 0.0, device_rows = 0.0, next_take = 0.0;
    int begun = 0, rest = 0, taken = 0;
    double asked_at = 0.0, counted_from = 0.0;
    while (taken < BATCHES) {
        take_rows(step_ms, taken, now, &begun, &rest, workers, &device_free, done_at, &device_rows);
        const bool is_made = taken < begun && (taken < begun - 1 || rest == 0);
        if (now >= next_take && is_made && done_at[taken] <= now) {
            if (taken >= BATCHES - COUNTED) {
                counted_from = counted_from > 0.0 ? counted_from : now;
                waited += now - asked_at;
            }
            ++taken;
            next_take = now + step_ms;
            asked_at = next_take;
            continue;
        }
        now += 0.05;
    }
    return (outcome){waited / (now - counted_from), device_rows / ((double)COUNTED * (double)ROWS)};
}

static void the_device_does_what_the_cores_cannot(void **state) {
    (void)state;
    static const struct {
        double step_ms;
        double least, most; /* of the rows, the device's */
        double waited;      /* of the loop's time, which goes in steps */
    } cases[] = {
        {0.0, 1.0, 1.0, 1.1},     /* a loop that only takes */
        {1.05, 0.6, 1.0, 0.03},   /* 60,000 frames a second */
        {3.2, 0.0, 0.35, 0.005},  /* 20,000: cores would do 24,000 */
        {12.8, 0.0, 0.01, 0.005}, /* 5,000 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const outcome found = simulate(cases[i].step_ms);
        assert_true(found.on_device >= cases[i].least && found.on_device <= cases[i].most);
        assert_true(found.waited <= cases[i].waited + 1e-9);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_decodes_what_it_has_the_time_for),
        cmocka_unit_test(times_are_followed),
        cmocka_unit_test(a_loop_may_wait_for_its_device_now_and_then),
        cmocka_unit_test(what_was_measured_is_not_believed_for_ever),
        cmocka_unit_test(the_device_does_what_the_cores_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
