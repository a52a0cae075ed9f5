/* Without memory a request says so: no want that fails is forgotten. */
#include "../limited_malloc.h"
#include "fixture.h"

enum { TAGS = 6 };

/* Samples of which every second one lies where nothing can be read. */
static void add_wants(fixture *f, const uint64_t (*spans)[2]) {
    begin_layout(f, TAGS);
    add_spans(f, TEXT, spans, TAGS);
    end_layout(f);
    for (int32_t k = 0; k < TAGS; ++k) {
        uint32_t want;
        rbc__request_for(f->request, k, 0);
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, k, &want, NULL), RBC_OK);
    }
}

/* Reads with a request whose n-th allocation from there on and all behind it fail, for every n until it
 * gets by with those before. */
static void no_failure_is_forgotten(void **state) {
    if (!OWN_MALLOC) {
        skip();
    }
    const uint64_t spans[TAGS][2] = {{100, 9},   {70000, 9}, {300, 9},
                                     {80000, 9}, {500, 9},   {90000, 9}};
    bool has_ended = false;
    for (int64_t allocations = 0; allocations < 1000 && !has_ended; ++allocations) {
        fixture *f = *state;
        make_request(f, false, false);
        add_wants(f, spans);
        num_failed = 0;
        countdown = allocations + 1;
        rbc__request_read(f->request, NULL);
        rbc__request_finish(f->request, NULL);
        countdown = -1;
        has_ended = num_failed == 0;
        assert_true(rbc__request_num_failures(f->request) >= (has_ended ? 3 : 1));
        for (int32_t k = 0; k < TAGS; ++k) {
            int32_t rank;
            const rbc_error *problem = rbc__request_failure(f->request, k, &rank);
            assert_true(k % 2 == 0 || problem != NULL);
            if (has_ended) {
                assert_true((problem != NULL) == (k % 2 == 1));
            } else if (problem != NULL && problem->status != RBC_ERROR_OUT_OF_MEMORY) {
                assert_contains(problem->message, "first.bin: byte ");
            }
        }
    }
    assert_true(has_ended);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_failure_is_forgotten, make_fixture, free_fixture)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
