#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/error.h"

static void every_status_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int a = RBC_OK; a <= RBC_TIMEOUT; ++a) {
        for (int b = RBC_OK; b < a; ++b) {
            assert_string_not_equal(rbc_status_name((rbc_status)a), rbc_status_name((rbc_status)b));
        }
    }
    assert_string_equal(rbc_status_name((rbc_status)1000), "unknown status");
}

static void fail_fills_in_status_and_message(void **state) {
    (void)state;
    rbc_error err;
    assert_int_equal(rbc__fail(&err, RBC_ERROR_FORMAT, "%s: %d", "file", 7), RBC_ERROR_FORMAT);
    assert_int_equal(err.status, RBC_ERROR_FORMAT);
    assert_int_equal(err.device_code, 0);
    assert_string_equal(err.message, "file: 7");
    assert_int_equal(rbc__fail(NULL, RBC_ERROR_IO, "unseen"), RBC_ERROR_IO);
}

static void errno_is_kept_and_spelt_out(void **state) {
    (void)state;
    rbc_error err;
    assert_int_equal(rbc__fail_errno(&err, ENOENT, "/a/b"), RBC_ERROR_IO);
    assert_int_equal(err.device_code, ENOENT);
    assert_string_equal(err.message, "/a/b: No such file or directory");
    assert_int_equal(rbc__fail_errno(NULL, ENOENT, "/a/b"), RBC_ERROR_IO);
}

static void context_goes_before_the_message(void **state) {
    (void)state;
    rbc_error err;
    rbc__fail(&err, RBC_ERROR_FORMAT, "bad length");
    assert_int_equal(rbc__fail_within(&err, err.status, "record %d", 3), RBC_ERROR_FORMAT);
    assert_string_equal(err.message, "record 3: bad length");
    assert_int_equal(rbc__fail_within(NULL, RBC_ERROR_IO, "x"), RBC_ERROR_IO);
}

/* Characters of 1 to 4 bytes at every position of the cut. */
static void long_messages_are_cut_between_characters(void **state) {
    (void)state;
    static const char *const characters[] = {"a", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\xA4\x96"};
    for (size_t c = 0; c < 4; ++c) {
        const size_t bytes = strlen(characters[c]);
        for (size_t shift = 0; shift < 4; ++shift) {
            char text[2 * RBC_ERROR_MESSAGE_BYTES] = "xxx";
            size_t length = shift;
            while (length + bytes < sizeof text) {
                memcpy(text + length, characters[c], bytes);
                length += bytes;
            }
            text[length] = '\0';
            rbc_error err;
            rbc__fail(&err, RBC_ERROR_IO, "%s", text);
            const size_t kept = strlen(err.message);
            assert_true(kept < RBC_ERROR_MESSAGE_BYTES);
            assert_true(kept + bytes >= RBC_ERROR_MESSAGE_BYTES);
            assert_int_equal((kept - shift) % bytes, 0);
            assert_memory_equal(err.message, text, kept);
        }
    }
}

static void a_shortage_is_told_from_damage(void **state) {
    (void)state;
    static const int shortages[] = {EMFILE, ENFILE, ENOMEM, EIO, EINTR, EAGAIN, ENOSPC, ESTALE};
    static const int faults[] = {0, ENOENT, EACCES, EISDIR, EINVAL, ENOTDIR, ELOOP, EPERM};
    rbc_error err;
    for (size_t i = 0; i < 8; ++i) {
        rbc__fail_errno(&err, shortages[i], "a file");
        assert_true(rbc__is_shortage(&err));
        rbc__fail_within(&err, RBC_ERROR_IO, "episode 3");
        assert_true(rbc__is_shortage(&err));
        rbc__fail_errno(&err, faults[i], "a file");
        assert_false(rbc__is_shortage(&err));
    }
    static const rbc_status damage[] = {RBC_ERROR_FORMAT, RBC_ERROR_NOT_FOUND,
                                        RBC_ERROR_UNSUPPORTED, RBC_ERROR_INVALID_ARGUMENT};
    for (size_t i = 0; i < 4; ++i) {
        rbc__fail(&err, damage[i], "a file");
        assert_false(rbc__is_shortage(&err));
    }
    static const rbc_status ours[] = {RBC_ERROR_OUT_OF_MEMORY, RBC_ERROR_INTERNAL,
                                      RBC_ERROR_CANCELLED, RBC_ERROR_DEVICE};
    for (size_t i = 0; i < 4; ++i) {
        rbc__fail(&err, ours[i], "a file");
        assert_true(rbc__is_shortage(&err));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name_of_its_own),
        cmocka_unit_test(fail_fills_in_status_and_message),
        cmocka_unit_test(errno_is_kept_and_spelt_out),
        cmocka_unit_test(context_goes_before_the_message),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(a_shortage_is_told_from_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
