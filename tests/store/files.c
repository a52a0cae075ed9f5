/* Files as blobs: opened when they are read from, and the same files ever after. */
#define _GNU_SOURCE

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/descriptor.h"
#include "store/file_store.h"

enum { MANY = 10000, BYTES = 64 };

static char folder[] = "/tmp/robocache-files-XXXXXX";

static char *path_of(int64_t blob) {
    char *path;
    assert_true(asprintf(&path, "%s/%lld", folder, (long long)blob) > 0);
    return path;
}

static rbc_status find(void *user, int64_t blob, rbc__named_file *out, rbc_error *err) {
    (void)user;
    (void)err;
    *out = (rbc__named_file){.path = path_of(blob), .bytes = -1};
    return RBC_OK;
}

static void write_blob(int64_t blob, char content) {
    char bytes[BYTES];
    char *path = path_of(blob);
    memset(bytes, content, sizeof bytes);
    const int file = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(file >= 0);
    assert_int_equal(write(file, bytes, sizeof bytes), sizeof bytes);
    close(file);
    free(path);
}

static void remove_blob(int64_t blob) {
    char *path = path_of(blob);
    unlink(path);
    free(path);
}

static rbc__store *make_store(void) {
    const rbc__file_store_params params = {find, NULL};
    rbc__store *store;
    assert_int_equal(rbc__file_store_create(&params, &store, NULL), RBC_OK);
    return store;
}

/* The status of reading the first bytes of a blob; `*message` of the failure. */
static rbc_status read_blob(rbc__store *store, int64_t blob, uint8_t *dst, rbc_error *failure) {
    rbc__read one = {.blob = blob, .bytes = BYTES, .dst = dst};
    store->ops->read(store, &one, 1, NULL);
    if (one.error != NULL) {
        *failure = *one.error;
    }
    free(one.error);
    return one.status;
}

/* However soon after a read that found it unchanged, and whatever has been read before. */
static void new_bytes_never_pass(void **state) {
    (void)state;
    uint8_t bytes[BYTES];
    rbc_error failure;
    for (int i = 0; i < 50; ++i) {
        rbc__store *store = make_store();
        write_blob(1, 'a');
        usleep(10000); /* the clock of the file system moves on */
        assert_int_equal(read_blob(store, 1, bytes, &failure), RBC_OK);
        assert_int_equal(bytes[BYTES - 1], 'a');
        write_blob(1, 'b');
        assert_int_equal(read_blob(store, 1, bytes, &failure), RBC_ERROR_IO);
        assert_non_null(strstr(failure.message, "has been written to"));
        rbc__store_destroy(&store);
        remove_blob(1);
    }
}

/* Files are closed and opened again; their identity is remembered all the while. */
static void many_files_are_the_same_ever_after(void **state) {
    (void)state;
    uint8_t bytes[BYTES];
    rbc_error failure;
    rbc__store *store = make_store();
    for (int64_t i = 0; i < MANY; ++i) {
        write_blob(i, (char)('a' + i % 26));
    }
    for (int64_t i = 0; i < MANY; ++i) {
        assert_int_equal(read_blob(store, i, bytes, &failure), RBC_OK);
        assert_int_equal(bytes[0], 'a' + i % 26);
        assert_true(rbc__descriptor_num_open() <= rbc__descriptor_limit());
    }
    remove_blob(7);
    write_blob(7, 'z');
    assert_int_equal(read_blob(store, 7, bytes, &failure), RBC_ERROR_IO);
    assert_non_null(strstr(failure.message, "has been written to or replaced since"));
    assert_int_equal(read_blob(store, 8, bytes, &failure), RBC_OK);
    rbc__store_destroy(&store);
    for (int64_t i = 0; i < MANY; ++i) {
        remove_blob(i);
    }
}

static void what_is_not_there_is_named(void **state) {
    (void)state;
    uint8_t bytes[BYTES];
    char name[256];
    rbc_error failure;
    rbc__store *store = make_store();
    assert_int_equal(read_blob(store, 99, bytes, &failure), RBC_ERROR_IO);
    assert_non_null(strstr(failure.message, "/99"));
    assert_non_null(strstr(store->ops->name(store, 99, name, sizeof name), "/99"));
    rbc__store_destroy(&store);
}

int main(void) {
    assert_non_null(mkdtemp(folder));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_bytes_never_pass),
        cmocka_unit_test(many_files_are_the_same_ever_after),
        cmocka_unit_test(what_is_not_there_is_named),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(folder);
    return failed;
}
