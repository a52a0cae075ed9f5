/* How a loader's images are shared out between its device and its cores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/pace.h"

static void shares_follow_what_is_ready(void **state) {
    (void)state;
    enum { ALL = RBC__PACE_ALL, MORE = ALL / 8, LESS = ALL / 64 };
    static const struct {
        unsigned share;
        bool was_awaited;
        int64_t num_ready, num_slots; /* num_slots 0: a worker finds all full */
        unsigned follows;
    } cases[] = {
        {ALL, true, 0, 18, ALL}, /* no more than all */
        {ALL - 1, false, 0, 18, ALL},   {0, false, 0, 18, MORE},
        {0, false, 4, 18, MORE}, /* few are ready */
        {0, false, 5, 18, 0},    /* enough are */
        {0, true, 17, 18, MORE}, /* and yet this one was not */
        {500, false, 18, 18, 500},      {500, false, 0, 3, 500 + MORE},
        {500, false, 1, 3, 500},        {500, false, 0, 1, 500 + MORE},
        {ALL, false, 0, 0, ALL - LESS}, {LESS + 1, false, 0, 0, 1},
        {LESS, false, 0, 0, 0},         {0, false, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const unsigned found = cases[i].num_slots == 0
                                   ? rbc__pace_full(cases[i].share)
                                   : rbc__pace_taken(cases[i].share, cases[i].was_awaited,
                                                     cases[i].num_ready, cases[i].num_slots);
        assert_int_equal(found, cases[i].follows);
    }
}

static void ranges_are_dealt_in_proportion(void **state) {
    (void)state;
    enum { RANGES = 4096 };
    static const unsigned shares[] = {0, 1, 100, 512, 1000, RBC__PACE_ALL};
    rbc__pace pace;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; ++i) {
        unsigned count = 0;
        rbc__pace_init(&pace, true);
        rbc__pace_set(&pace, shares[i]);
        for (int k = 0; k < RANGES; ++k) {
            count += rbc__pace_deal(&pace);
        }
        assert_int_equal(count, RANGES / RBC__PACE_ALL * shares[i]);
    }
    rbc__pace_init(&pace, false);
    rbc__pace_set(&pace, 0);
    assert_true(rbc__pace_deal(&pace)); /* nothing is shared */
}

static int64_t count_ready(const double *made_at, int first, int end, double now) {
    int64_t ready = 0;
    for (int i = first; i < end && made_at[i] <= now; ++i) {
        ++ready;
    }
    return ready;
}

/* A loop that takes a batch each `step` while the cores make one in `host` and the device one in
 * `device`, alternately as they are dealt; returns the device's share of the last of them. */
static double settle(double step, double host, double device, double *waited) {
    enum { SLOTS = 18, BATCHES = 4000, COUNTED = 1000 };
    rbc__pace pace;
    double made_at[BATCHES];
    double now = 0.0, host_free = 0.0, device_free = 0.0;
    int begun = 0, on_device = 0;
    *waited = 0.0;
    rbc__pace_init(&pace, true);
    for (int taken = 0; taken < BATCHES; ++taken) {
        for (; begun < BATCHES && begun < taken + SLOTS; ++begun) {
            double *free_at = rbc__pace_deal(&pace) ? &device_free : &host_free;
            on_device += free_at == &device_free && begun >= BATCHES - COUNTED;
            *free_at =
                (*free_at > now ? *free_at : now) + (free_at == &device_free ? device : host);
            made_at[begun] = *free_at;
        }
        const bool was_awaited = made_at[taken] > now;
        if (was_awaited) {
            *waited += taken >= BATCHES - COUNTED ? made_at[taken] - now : 0.0;
            now = made_at[taken];
        }
        const int64_t ready = count_ready(made_at, taken + 1, begun, now);
        rbc__pace_set(&pace, rbc__pace_taken(rbc__pace_share(&pace), was_awaited, ready, SLOTS));
        now += step;
        if (count_ready(made_at, taken + 1, begun, now) == SLOTS - 1) {
            rbc__pace_set(&pace, rbc__pace_full(rbc__pace_share(&pace)));
        }
    }
    *waited /= COUNTED * step;
    return (double)on_device / COUNTED;
}

static void the_device_does_what_the_cores_cannot(void **state) {
    (void)state;
    static const struct {
        double step, least, most, waited;
    } cases[] = {
        {0.0, 0.98, 1.0, -1.0}, /* a loop that only takes */
        {5.0, 0.5, 0.7, 0.01},  /* cores would take 10 */
        {11.0, 0.0, 0.2, 0.01}, /* cores do */
        {40.0, 0.0, 0.01, 0.0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        double waited;
        const double share = settle(cases[i].step, 10.0, 0.2, &waited);
        assert_true(share >= cases[i].least && share <= cases[i].most);
        assert_true(cases[i].waited < 0.0 || waited <= cases[i].waited);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_follow_what_is_ready),
        cmocka_unit_test(ranges_are_dealt_in_proportion),
        cmocka_unit_test(the_device_does_what_the_cores_cannot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
