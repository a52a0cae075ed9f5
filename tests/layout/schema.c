/* Which streams' stamps are the clock of an episode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "formats/format.h"

#define STREAM(name_, times_, is_ragged_)                                                          \
    {.name = (char[]){name_}, .times = times_, .is_ragged = is_ragged_}

/* Marks `streams` and tells those marked as bits. */
static unsigned marked(rbc__stream_schema *streams, int32_t count) {
    rbc__schema schema = {.streams = streams, .num_streams = count};
    rbc__schema_set_reference(&schema);
    unsigned bits = 0;
    for (int32_t i = 0; i < count; ++i) {
        bits |= streams[i].is_reference ? 1U << i : 0;
    }
    return bits;
}

static void the_action_comes_first(void **state) {
    (void)state;
    rbc__stream_schema streams[] = {STREAM("image", 3, false),
                                    STREAM("action", 4, false),
                                    STREAM("force", 5, true),
                                    STREAM("image_time_ns", -1, false),
                                    STREAM("action_time_ns", -1, false),
                                    STREAM("force_time_ns", -1, true)};
    assert_int_equal(marked(streams, 6), 2);
    streams[1].times = -1;
    assert_int_equal(marked(streams, 6), 1);
    streams[0].times = -1;
    assert_int_equal(marked(streams, 6), 4);
    streams[2].times = -1;
    assert_int_equal(marked(streams, 6), 0);
}

static void actions_are_known_by_name(void **state) {
    (void)state;
    const struct {
        const char *name;
        bool is_action;
    } cases[] = {{"action", true},        {"actions", true},      {"action/arm", true},
                 {"actions/arm/x", true}, {"action_dict", false}, {"given/action", true},
                 {"act", false},          {"reaction", false},    {"actionss", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char name[32];
        size_t length = 0;
        while ((name[length] = cases[i].name[length]) != '\0') {
            ++length;
        }
        const rbc__stream_schema stream = {.name = name};
        assert_int_equal(rbc__stream_is_action(&stream), cases[i].is_action);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_action_comes_first),
        cmocka_unit_test(actions_are_known_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
