/* Requests of what lies in blobs: what is joined and what is read where it goes, and whose a failure
 * is. */
#include "fixture.h"

/* ---- reading ------------------------------------------------------------------------------------
 */

static void numbers_as_they_are_wanted_are_read_where_they_go(void **state) {
    fixture *f = *state;
    float read[6][3];
    begin_layout(f, 10);
    add_even(f, FLOATS, 10, 600, 12, 12);
    end_layout(f);
    read_values(f, FLOATS, 2, 6, read);
    assert_memory_equal(read, f->blobs[0] + 600 + 24, sizeof read);
    assert_int_equal(f->store.num_reads, 1);
    assert_ptr_equal(f->store.seen[0].dst, (uint8_t *)read);
    assert_int_equal(f->store.seen[0].offset, 600 + 24);
    assert_int_equal(f->store.seen[0].bytes, sizeof read);
    assert_int_equal(rbc__request_bytes(f->request), 0);
    const rbc__request_stats stats = rbc__request_take_stats(f->request);
    assert_int_equal(stats.num_reads, 1);
    assert_int_equal(stats.bytes_read, sizeof read);
    assert_int_equal(rbc__request_take_stats(f->request).num_reads, 0);
}

static void ranges_of_samples(fixture *f, const uint64_t (*spans)[2], uint64_t count) {
    begin_layout(f, count);
    add_spans(f, TEXT, spans, count);
    add_even(f, FLOATS, count, 1024, 12, 12);
    end_layout(f);
    rbc__request_begin(f->request);
    f->store.num_reads = f->store.num_calls = 0;
}

/* Gaps are read with what is around them where that is four fifths of it at least. */
static void neighbours_are_joined(void **state) {
    fixture *f = *state;
    static const struct {
        uint64_t spans[4][2];
        int num_reads;
        uint64_t first_bytes; /* of the first read */
    } cases[] = {
        {{{100, 50}, {150, 50}, {200, 50}, {250, 50}}, 1, 200},  /* one behind the other */
        {{{250, 50}, {200, 50}, {150, 50}, {100, 50}}, 1, 200},  /* in any order */
        {{{100, 50}, {175, 50}, {235, 50}, {290, 50}}, 1, 240},  /* a quarter of what is wanted */
        {{{100, 50}, {176, 50}, {400, 50}, {900, 50}}, 4, 50},   /* and more than that */
        {{{100, 50}, {100, 50}, {100, 50}, {100, 50}}, 1, 50},   /* the same again */
        {{{100, 90}, {110, 20}, {150, 60}, {100, 10}}, 1, 110},  /* one within the other */
        {{{100, 50}, {0, 0}, {150, 0}, {150, 50}}, 1, 100},      /* empty ones */
        {{{65486, 50}, {0, 50}, {60, 50}, {65400, 80}}, 2, 110}, /* at both ends */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        uint32_t wants[4];
        ranges_of_samples(f, cases[i].spans, 4);
        for (uint32_t k = 0; k < 4; ++k) {
            assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, k, &wants[k], NULL),
                             RBC_OK);
        }
        const int64_t announced = rbc__request_bytes(f->request);
        must_run(f);
        assert_int_equal(f->store.num_reads, cases[i].num_reads);
        assert_int_equal(f->store.seen[0].bytes, cases[i].first_bytes);
        assert_int_equal(f->store.num_calls, 1);
        uint64_t bytes = 0;
        for (int k = 0; k < f->store.num_reads; ++k) {
            bytes += f->store.seen[k].bytes;
        }
        assert_int_equal(announced, bytes);
        for (uint32_t k = 0; k < 4; ++k) {
            check_sample(f, wants[k], cases[i].spans[k][0], cases[i].spans[k][1]);
        }
    }
}

/* Samples before, within and behind of numbers that are read where they go. */
static void direct_reads_stay_direct_among_neighbours(void **state) {
    fixture *f = *state;
    const uint64_t spans[4][2] = {{1000, 24}, {1030, 10}, {1060, 40}, {1084, 8}};
    uint32_t wants[4];
    float read[5][3];
    ranges_of_samples(f, spans, 4);
    begin_layout(f, 5);
    add_spans(f, TEXT, spans, 4);
    add_even(f, FLOATS, 5, 1024, 12, 12);
    end_layout(f);
    for (uint32_t k = 0; k < 4; ++k) {
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, k, &wants[k], NULL),
                         RBC_OK);
    }
    assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 5, read, NULL), RBC_OK);
    must_run(f);
    assert_memory_equal(read, f->blobs[0] + 1024, sizeof read);
    int num_direct = 0;
    for (int k = 0; k < f->store.num_reads; ++k) {
        num_direct += f->store.seen[k].dst == (uint8_t *)read;
    }
    assert_int_equal(num_direct, 1);
    for (uint32_t k = 0; k < 4; ++k) {
        check_sample(f, wants[k], spans[k][0], spans[k][1]);
    }
}

static void what_is_in_several_blobs_is_read_of_each(void **state) {
    fixture *f = *state;
    float read[4][3];
    begin_layout(f, 4);
    add_even(f, FLOATS, 2, 100, 12, 12);
    const rbc__run second = {.id = FLOATS,
                             .dtype = RBC__F32,
                             .number = 1,
                             .count = 2,
                             .offset = 100,
                             .sample_bytes = 12};
    rbc__layout_add_run(&f->writer, &second);
    end_layout(f);
    read_values(f, FLOATS, 1, 2, read);
    assert_memory_equal(read[0], f->blobs[0] + 112, 12);
    assert_memory_equal(read[1], f->blobs[1] + 100, 12);
    assert_int_equal(f->store.num_reads, 2);
}

/* ---- failures -----------------------------------------------------------------------------------
 */

/* Of samples that were read together only those fail whose bytes cannot be had. */
static void failures_of_a_joined_read_are_told_apart(void **state) {
    fixture *f = *state;
    const uint64_t spans[4][2] = {{100, 50}, {150, 50}, {200, 50}, {250, 50}};
    uint32_t wants[4];
    int32_t rank;
    ranges_of_samples(f, spans, 4);
    f->store.bad_status = RBC_ERROR_IO;
    f->store.bad_begin = 210;
    f->store.bad_end = 211;
    for (int32_t k = 0; k < 4; ++k) {
        rbc__request_for(f->request, k, 0);
        assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, k, &wants[k], NULL),
                         RBC_OK);
    }
    (void)run_request(f);
    assert_int_equal(rbc__request_num_failures(f->request), 1);
    for (int32_t k = 0; k < 4; ++k) {
        const rbc_error *problem = rbc__request_failure(f->request, k, &rank);
        if (k != 2) {
            assert_null(problem);
            check_sample(f, wants[k], spans[k][0], spans[k][1]);
            continue;
        }
        assert_non_null(problem);
        assert_int_equal(problem->status, RBC_ERROR_IO);
        assert_contains(problem->message, "first.bin: byte 210: ");
        rbc__sample sample;
        rbc__request_get(f->request, wants[k], &sample);
        assert_null(sample.bytes);
        assert_int_equal(sample.offset, 200); /* it is known where it lies all the same */
    }
    /* the request forgets it */
    rbc__request_begin(f->request);
    assert_int_equal(rbc__request_num_failures(f->request), 0);
}

/* Of those of one tag the failure of the lowest rank is kept, in whatever order they come. */
static void the_failure_of_lowest_rank_is_kept(void **state) {
    fixture *f = *state;
    static const int32_t orders[][3] = {{0, 1, 2}, {2, 1, 0}, {1, 2, 0}, {1, 0, 2}};
    const uint64_t spans[3][2] = {{500, 9}, {70000, 9}, {90000, 9}};
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; ++i) {
        ranges_of_samples(f, spans, 3);
        for (int k = 0; k < 3; ++k) {
            uint32_t want;
            const int32_t sample = orders[i][k];
            rbc__request_for(f->request, 3, 10 + sample);
            assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, sample, &want, NULL),
                             RBC_OK);
        }
        int32_t rank = -1;
        assert_null(run_request(f));
        const rbc_error *problem = rbc__request_failure(f->request, 3, &rank);
        assert_non_null(problem);
        assert_int_equal(rank, 11);
        assert_contains(problem->message, "first.bin: byte 70000: ");
    }
}

static void stopping_is_told_as_that(void **state) {
    fixture *f = *state;
    const atomic_bool cancel = true;
    float read[2][3];
    int32_t rank;
    begin_layout(f, 2);
    add_even(f, FLOATS, 2, 100, 12, 12);
    end_layout(f);
    assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 2, read, NULL), RBC_OK);
    rbc__request_read(f->request, &cancel);
    rbc__request_finish(f->request, &cancel);
    const rbc_error *problem = rbc__request_failure(f->request, 0, &rank);
    assert_non_null(problem);
    assert_int_equal(problem->status, RBC_ERROR_CANCELLED);
}

static void what_is_not_there_is_refused_at_once(void **state) {
    fixture *f = *state;
    float read[8];
    uint32_t want;
    rbc_error err;
    begin_layout(f, 4);
    add_even(f, FLOATS, 4, 100, 12, 12);
    add_even(f, TEXT, 4, 200, 5, 7);
    end_layout(f);
    static const struct {
        int32_t stream;
        int64_t first, count;
        rbc_status status;
        const char *part;
    } cases[] = {
        {-1, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "stream -1: there are 11 streams"},
        {NUM_STREAMS, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "stream 11: there are 11 streams"},
        {FLOATS, -1, 1, RBC_ERROR_INVALID_ARGUMENT, "samples [-1, 0) of stream 'floats': it has 4"},
        {FLOATS, 3, 2, RBC_ERROR_INVALID_ARGUMENT, "samples [3, 5) of stream 'floats': it has 4"},
        {FLOATS, 5, 0, RBC_ERROR_INVALID_ARGUMENT, "it has 4"},
        {FLOATS, 2, INT64_MAX, RBC_ERROR_INVALID_ARGUMENT, "it has 4"},
        {FLOATS, 0, -1, RBC_ERROR_INVALID_ARGUMENT, "it has 4"},
        {DOUBLES, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "'doubles': it has 0"},
        {TEXT, 0, 1, RBC_ERROR_INVALID_ARGUMENT, "'text' holds images or text, not numbers"},
        {UNREADABLE, 0, 1, RBC_ERROR_UNSUPPORTED, "'unreadable' cannot be read: nobody can"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        assert_int_equal(rbc__request_values(f->request, &f->parsed, cases[i].stream,
                                             cases[i].first, cases[i].count, read, &err),
                         cases[i].status);
        assert_contains(err.message, cases[i].part);
    }
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, FLOATS, 0, &want, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_contains(err.message, "'floats' holds numbers");
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, TEXT, 4, &want, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, UNREADABLE, 0, &want, &err),
                     RBC_ERROR_UNSUPPORTED);
    f->streams[FLOATS].shape[0] = -1;
    assert_int_equal(rbc__request_values(f->request, &f->parsed, FLOATS, 0, 1, read, &err),
                     RBC_ERROR_UNSUPPORTED);
    assert_contains(err.message, "'floats' cannot be read: an extent");
    must_run(f);
    assert_int_equal(f->store.num_reads, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, free_fixture)
    const struct CMUnitTest tests[] = {
        TEST(numbers_as_they_are_wanted_are_read_where_they_go),
        TEST(neighbours_are_joined),
        TEST(direct_reads_stay_direct_among_neighbours),
        TEST(what_is_in_several_blobs_is_read_of_each),
        TEST(failures_of_a_joined_read_are_told_apart),
        TEST(the_failure_of_lowest_rank_is_kept),
        TEST(stopping_is_told_as_that),
        TEST(what_is_not_there_is_refused_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
