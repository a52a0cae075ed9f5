/* A published dataset, where ROBOCACHE_TEST_DATA points to one. */
#define _GNU_SOURCE

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helpers.h"

static void bridge_is_read_whole(void **state) {
    (void)state;
    const char *data_folder = getenv("ROBOCACHE_TEST_DATA");
    char path[4096];
    if (data_folder == NULL || data_folder[0] == '\0') {
        print_message("ROBOCACHE_TEST_DATA is not set\n");
        skip();
    }
    (void)snprintf(path, sizeof path, "%s/rlds_bridge", data_folder);
    dataset data;
    open_dataset(&data, path);
    assert_string_equal(data.schema->name, "bridge_dataset");
    assert_string_equal(data.schema->version, "1.0.0");
    assert_true(data.schema->control_rate_hz == 5);
    assert_int_equal(data.schema->num_streams, 13);
    assert_int_equal(data.schema->num_parts, 2);
    assert_int_equal(data.found.num_damaged, 0);
    assert_int_equal(data.found.num_episodes, 25);
    assert_string_equal(data.found.episodes[1].task, "flip pot upright which is in sink");
    for (int i = 0; i < 25; ++i) {
        const rbc__episode_entry *entry = &data.found.episodes[i];
        assert_int_equal(entry->num_steps, 10);
        assert_true(entry->layout_bytes <= 200);
        parsed_episode *episode = parsed_of(&data, i);
        float state_values[10][7];
        uint8_t is_last[10];
        assert_int_equal(
            parsed_read(episode, stream_of(&data, "observation/state"), 0, 10, state_values, NULL),
            RBC_OK);
        assert_true(isfinite(state_values[9][6]));
        assert_int_equal(parsed_read(episode, stream_of(&data, "is_first"), 0, 10, is_last, NULL),
                         RBC_OK);
        assert_int_equal(is_last[0], 1);
        assert_int_equal(is_last[9], 0);
        for (int64_t step = 0; step < 10; ++step) {
            rbc__sample found;
            const int32_t image = stream_of(&data, "observation/image_0");
            assert_int_equal(parsed_locate(episode, image, step, &found, NULL), RBC_OK);
            assert_true(found.num_bytes > 4);
            assert_memory_equal(found.bytes, "\xff\xd8\xff", 3);
            assert_memory_equal(found.bytes + found.num_bytes - 2, "\xff\xd9", 2);
        }
        assert_contains(entry->metadata, "\"has_language\":true");
        parsed_close(&episode);
    }
    close_dataset(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bridge_is_read_whole)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
