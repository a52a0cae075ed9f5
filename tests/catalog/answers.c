/* What is kept of answers, and what goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"

static rbc_dataset *make_dataset(void) {
    rbc_dataset *dataset = calloc(1, sizeof *dataset);
    assert_non_null(dataset);
    assert_int_equal(pthread_mutex_init(&dataset->lock, NULL), 0);
    return dataset;
}

static void free_dataset(rbc_dataset *dataset) {
    rbc__answers_free(&dataset->answers);
    assert_int_equal(dataset->answers.bytes, 0);
    pthread_mutex_destroy(&dataset->lock);
    free(dataset);
}

/* An answer of one value; -1: there is none. */
static int64_t recall(rbc_dataset *dataset, const char *question) {
    int64_t *values;
    int64_t count = 0;
    if (!rbc__dataset_recall(dataset, question, &values, &count)) {
        assert_null(values);
        return -1;
    }
    assert_int_equal(count, 1);
    const int64_t value = values[0];
    values[0] = -2; /* a copy */
    free(values);
    return value;
}

static void the_latest_answers_are_kept(void **state) {
    (void)state;
    rbc_dataset *dataset = make_dataset();
    char question[16];
    assert_int_equal(recall(dataset, "0"), -1);
    for (int64_t i = 0; i < RBC__MAX_ANSWERS; ++i) {
        (void)snprintf(question, sizeof question, "%d", (int)i);
        rbc__dataset_remember(dataset, question, &i, 1);
    }
    assert_int_equal(recall(dataset, "0"), 0); /* the newest from now on */
    const int64_t more[] = {100, 101};
    rbc__dataset_remember(dataset, "more", &more[0], 1);
    assert_int_equal(recall(dataset, "1"), -1);
    assert_int_equal(recall(dataset, "0"), 0);
    assert_int_equal(recall(dataset, "2"), 2);
    rbc__dataset_remember(dataset, "more", &more[1], 1);
    assert_int_equal(recall(dataset, "more"), 100); /* as whoever was quicker has it */
    assert_int_equal(recall(dataset, "3"), 3);      /* nothing else went */
    free_dataset(dataset);
}

static void answers_without_a_value_are_answers(void **state) {
    (void)state;
    rbc_dataset *dataset = make_dataset();
    int64_t *values;
    int64_t count = -1;
    rbc__dataset_remember(dataset, "none", NULL, 0);
    assert_true(rbc__dataset_recall(dataset, "none", &values, &count));
    assert_int_equal(count, 0);
    free(values);
    free_dataset(dataset);
}

static void answers_are_bounded_in_bytes(void **state) {
    (void)state;
    const int64_t third = (INT64_C(64) << 20) / 3 / (int64_t)sizeof(int64_t);
    int64_t *values = calloc((size_t)third * 4, sizeof *values);
    int64_t *found;
    int64_t count;
    assert_non_null(values);
    rbc_dataset *dataset = make_dataset();
    rbc__dataset_remember(dataset, "a", values, third);
    rbc__dataset_remember(dataset, "b", values, third);
    rbc__dataset_remember(dataset, "c", values, third);
    rbc__dataset_remember(dataset, "d", values, third);
    rbc__dataset_remember(dataset, "too large", values, 4 * third);
    assert_false(rbc__dataset_recall(dataset, "a", &found, &count));
    assert_false(rbc__dataset_recall(dataset, "too large", &found, &count));
    assert_true(rbc__dataset_recall(dataset, "b", &found, &count));
    assert_int_equal(count, third);
    free(found);
    free(values);
    free_dataset(dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_answers_are_kept),
        cmocka_unit_test(answers_without_a_value_are_answers),
        cmocka_unit_test(answers_are_bounded_in_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
