/* Without memory a packing says so: a block that can be unpacked is never called damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../limited_malloc.h"
#include "vectors.h"

/* Unpacks with a new unpacker whose n-th allocation and all behind it fail, for every n until it
 * gets by with those before. */
static void check(const vector *one, uint8_t *dst) {
    for (int64_t allocations = 0; allocations < 1000; ++allocations) {
        rbc__unpacker *unpacker = NULL;
        rbc__unpacked found = {0};
        rbc_error err = {0};
        num_failed = 0;
        countdown = allocations + 1;
        rbc_status status = rbc__unpacker_create(&unpacker, &err);
        if (status == RBC_OK) {
            status = rbc__unpack(unpacker, &one->packing, one->packed, one->packed_bytes, dst,
                                 one->unpacked_bytes, &err);
        }
        if (status == RBC_OK) {
            status = rbc__unpack_unsized(unpacker, &one->packing, one->packed, one->packed_bytes,
                                         one->unpacked_bytes, &found, &err);
        }
        countdown = -1;
        if (status == RBC_OK) {
            assert_int_equal(num_failed, 0);
            assert_true(allocations > 0);
            assert_memory_equal(dst, one->unpacked, one->unpacked_bytes);
            assert_memory_equal(found.bytes, one->unpacked, one->unpacked_bytes);
        } else if (status != RBC_ERROR_OUT_OF_MEMORY) {
            fail_msg("%s after %d allocations: %s", one->name, (int)allocations, err.message);
        }
        rbc__unpacker_destroy(&unpacker);
        if (status == RBC_OK) {
            return;
        }
    }
    fail_msg("no end");
}

static void blocks_are_not_called_damaged(void **state) {
    (void)state;
    if (!OWN_MALLOC) {
        skip();
    }
    vectors loaded = vectors_load();
    for (size_t i = 0; i < loaded.count; ++i) {
        uint8_t *dst = malloc(loaded.items[i].unpacked_bytes + 1);
        check(&loaded.items[i], dst);
        free(dst);
    }
    vectors_free(&loaded);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_are_not_called_damaged)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
