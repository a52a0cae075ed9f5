/* How a span of time divides into the stages that a timeline has marks of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/timeline.h"

#define QUEUE  RBC_STAGE_QUEUE
#define READ   RBC_STAGE_READ
#define DECODE RBC_STAGE_DECODE

static void set_marks(rbc__timeline *timeline, const int64_t (*marks)[2], int count) {
    rbc__timeline_init(timeline);
    for (int i = 0; i < count; ++i) {
        atomic_store(&timeline->marks[i].begin_ns, marks[i][0]);
        atomic_store(&timeline->marks[i].stage, (int)marks[i][1]);
    }
    atomic_store(&timeline->num_marks, count);
}

static void a_span_divides_into_stages(void **state) {
    (void)state;
    static const int64_t marks[][2] = {{100, READ}, {200, DECODE}, {250, READ}};
    static const struct {
        int num_marks;
        int64_t from, to, queue, read, decode;
    } cases[] = {
        {3, 0, 400, 100, 250, 50}, {3, 0, 50, 50, 0, 0},      {3, 150, 180, 0, 30, 0},
        {3, 150, 230, 0, 50, 30},  {3, 210, 240, 0, 0, 30},   {3, 240, 260, 0, 10, 10},
        {3, 300, 301, 0, 1, 0},    {3, 100, 100, 0, 0, 0},    {3, 300, 200, 0, 0, 0},
        {0, 10, 20, 10, 0, 0},     {1, 90, 1000, 10, 900, 0}, {3, 200, 250, 0, 0, 50},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        rbc__timeline timeline;
        int64_t parts[RBC_NUM_STAGES] = {0};
        set_marks(&timeline, marks, cases[i].num_marks);
        rbc__timeline_divide(&timeline, cases[i].from, cases[i].to, parts);
        assert_int_equal(parts[QUEUE], cases[i].queue);
        assert_int_equal(parts[READ], cases[i].read);
        assert_int_equal(parts[DECODE], cases[i].decode);
        assert_int_equal(parts[RBC_STAGE_ALIGN], 0);
    }
}

static void all_time_is_spent_in_a_stage(void **state) {
    (void)state;
    rbc__timeline timeline;
    rbc__timeline_init(&timeline);
    assert_int_equal(rbc__timeline_now(&timeline), QUEUE);
    const int64_t begin = rbc__timeline_begin(&timeline, READ);
    for (int i = 0; i < 3 * RBC__TIMELINE_MARKS; ++i) {
        rbc__timeline_enter(&timeline, i % 2 == 0 ? DECODE : READ);
    }
    rbc__timeline_enter(&timeline, DECODE);
    const int64_t end = rbc__timeline_enter(&timeline, RBC__STAGE_NONE);
    int64_t parts[RBC_NUM_STAGES] = {0};
    rbc__timeline_divide(&timeline, begin, end, parts);
    assert_int_equal(timeline.spent_ns[READ] + timeline.spent_ns[DECODE], end - begin);
    assert_int_equal(parts[READ] + parts[DECODE], end - begin);
    /* Outside of all stages nothing is spent, nor marked. */
    const int64_t spent = timeline.spent_ns[DECODE];
    rbc__timeline_enter(&timeline, RBC__STAGE_NONE);
    assert_int_equal(timeline.spent_ns[DECODE], spent);
    rbc__timeline_begin(&timeline, READ);
    assert_int_equal(atomic_load(&timeline.num_marks), 1);
    assert_int_equal(rbc__timeline_now(&timeline), READ);
}

static void stages_have_names(void **state) {
    (void)state;
    static const char *const names[] = {"queue",  "order", "read",   "unpack",
                                        "decode", "align", "deliver"};
    for (int i = 0; i < RBC_NUM_STAGES; ++i) {
        assert_string_equal(rbc_stage_name((rbc_stage)i), names[i]);
    }
    assert_null(rbc_stage_name((rbc_stage)RBC_NUM_STAGES));
    assert_null(rbc_stage_name((rbc_stage)-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_divides_into_stages),
        cmocka_unit_test(all_time_is_spent_in_a_stage),
        cmocka_unit_test(stages_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
