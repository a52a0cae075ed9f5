#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "robocache/robocache.h"

static void version_string_matches_numbers(void **state) {
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", RBC_VERSION_MAJOR, RBC_VERSION_MINOR,
             RBC_VERSION_PATCH);
    assert_string_equal(rbc_version(), text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_string_matches_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
