/* Formats that are registered beside the built-in ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/error.h"
#include "formats/format.h"

static bool knows, fails;

static rbc_status probe(const rbc__format *self, const char *path, bool *accepts, rbc_error *err) {
    assert_string_equal(path, RBC_SOURCE_DIR);
    *accepts = self->user == NULL || knows;
    return fails ? rbc__fail(err, RBC_ERROR_IO, "probing failed") : RBC_OK;
}

static const rbc__format first = {
    .format = "first", .looks_for = "anything", .user = &knows, .probe = probe};
static const rbc__format again = {
    .format = "first", .looks_for = "nothing", .user = &knows, .probe = probe};
static const rbc__format second = {
    .format = "second", .looks_for = "more", .user = &knows, .probe = probe};
static const rbc__format like_rlds = {.format = "rlds", .looks_for = "more", .probe = probe};

static void test_registry(void **state) {
    (void)state;
    rbc_error err;
    const rbc__format *found;
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, NULL, &found, &err), RBC_ERROR_UNSUPPORTED);
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR "/none", NULL, &found, &err),
                     RBC_ERROR_NOT_FOUND);
    assert_int_equal(rbc__format_register(&first, false, &err), RBC_OK);
    assert_int_equal(rbc__format_register(&second, true, &err), RBC_OK);
    assert_int_equal(rbc__format_register(&again, false, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc__format_register(&like_rlds, true, &err), RBC_ERROR_INVALID_ARGUMENT);

    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, NULL, &found, &err), RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "first (looked for anything), second (looked for more)"));
    knows = true;
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, NULL, &found, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "formats 'first' and 'second' both know it"));
    assert_null(found);
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, "second", &found, &err), RBC_OK);
    assert_ptr_equal(found, &second);
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, "rlds", &found, &err), RBC_OK);
    assert_ptr_equal(found, &rbc__rlds_format);
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, "third", &found, &err),
                     RBC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "the formats are: rlds, first, second"));

    assert_int_equal(rbc__format_register(&again, true, &err), RBC_OK);
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, "first", &found, &err), RBC_OK);
    assert_ptr_equal(found, &again);
    fails = true;
    assert_int_equal(rbc__format_find(RBC_SOURCE_DIR, NULL, &found, &err), RBC_ERROR_IO);
    assert_string_equal(err.message, "probing failed");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_registry)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
