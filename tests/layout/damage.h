/* Encoded bytes that are damaged in every way: cut off, followed by another, each byte changed to each
 * value, and mixed with chance. */
#ifndef RBC_TESTS_LAYOUT_DAMAGE_H
#define RBC_TESTS_LAYOUT_DAMAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "io/bytes.h"

/* Decodes, and asks all that may be asked of what comes out: OK or FORMAT. */
typedef rbc_status (*damage_try)(const uint8_t *bytes, size_t size);

/* Of a copy of its very size, so that sanitizers see what is read beyond. */
static inline rbc_status damage_try_copy(damage_try try, const uint8_t *bytes, size_t size) {
    uint8_t *copy = malloc(size + 1);
    assert_non_null(copy);
    uint8_t *at = copy + 1; /* the last byte is the last of the allocation */
    if (size > 0) {
        memcpy(at, bytes, size);
    }
    const rbc_status status = try(at, size);
    assert_true(status == RBC_OK || status == RBC_ERROR_FORMAT);
    free(copy);
    return status;
}

/* What is cut off, or longer, must be refused; `encoded` is as it was afterwards. */
static inline void damage_all(damage_try try, rbc__bytes *encoded, uint64_t *random) {
    for (size_t size = 0; size < encoded->size; ++size) {
        assert_int_equal(damage_try_copy(try, encoded->data, size), RBC_ERROR_FORMAT);
    }
    rbc__bytes_byte(encoded, 0);
    assert_int_equal(damage_try_copy(try, encoded->data, encoded->size), RBC_ERROR_FORMAT);
    --encoded->size;
    for (size_t i = 0; i < encoded->size; ++i) {
        const uint8_t kept = encoded->data[i];
        for (int value = 0; value < 256; ++value) {
            encoded->data[i] = (uint8_t)value;
            (void)damage_try_copy(try, encoded->data, encoded->size);
        }
        encoded->data[i] = kept;
    }
    for (int i = 0; i < 20000; ++i) {
        uint8_t some[256];
        const size_t size = (size_t)xorshift_up_to(random, sizeof some);
        for (size_t j = 0; j < size; ++j) {
            some[j] = j < encoded->size && xorshift_up_to(random, 7) > 0
                          ? encoded->data[j]
                          : (uint8_t)xorshift_up_to(random, 255);
        }
        (void)damage_try_copy(try, some, size);
    }
}

#endif
