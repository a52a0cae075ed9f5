#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "helpers.h"

enum { PAGES = 8 };

static size_t page_bytes(void) {
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* A file of whole pages, page i full of i + 1. */
static void write_pages(const char *folder) {
    const size_t page = page_bytes();
    uint8_t *data = malloc(PAGES * page);
    assert_non_null(data);
    for (size_t i = 0; i < PAGES; ++i) {
        memset(data + i * page, (int)i + 1, page);
    }
    write_file(folder, "pages", data, PAGES * page);
    free(data);
}

static rbc__source *open_pages(const char *folder, rbc__source_kind kind) {
    char path[128];
    rbc__source *source;
    rbc_error err;
    (void)snprintf(path, sizeof path, "%s/pages", folder);
    if (rbc__source_open(path, kind, &source, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    return source;
}

static void truncate_pages(const char *folder, size_t bytes) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/pages", folder);
    assert_int_equal(truncate(path, (off_t)bytes), 0);
}

static void all_kinds_give_the_same_bytes(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_pages(folder);
    const size_t page = page_bytes();
    rbc__scratch scratch = {0};
    for (int kind = 0; kind < 3; ++kind) {
        uint8_t memory[3] = {1, 2, 3};
        rbc__source *source = NULL;
        if (kind == 2) {
            assert_int_equal(rbc__source_from_memory(memory, 3, "memory", &source, NULL), RBC_OK);
        } else {
            source = open_pages(folder, (rbc__source_kind)kind);
        }
        const uint64_t bytes = kind == 2 ? 3 : PAGES * page;
        assert_int_equal(rbc__source_bytes(source), bytes);
        uint8_t read[2];
        const uint8_t *view;
        const uint64_t offset = kind == 2 ? 1 : 3 * page - 1;
        const uint8_t want[2] = {kind == 2 ? 2 : 3, kind == 2 ? 3 : 4};
        assert_int_equal(rbc__source_read(source, offset, 2, read, NULL), RBC_OK);
        assert_memory_equal(read, want, 2);
        assert_int_equal(rbc__source_view(source, offset, 2, &scratch, &view, NULL), RBC_OK);
        assert_memory_equal(view, want, 2);
        assert_int_equal(rbc__source_view(source, bytes, 0, &scratch, &view, NULL), RBC_OK);
        assert_int_equal(rbc__source_check(source, NULL), RBC_OK);
        rbc_error err;
        assert_int_equal(rbc__source_read(source, bytes - 1, 2, read, &err), RBC_ERROR_IO);
        assert_contains(err.message, rbc__source_path(source));
        assert_int_equal(rbc__source_view(source, UINT64_MAX, 2, &scratch, &view, &err),
                         RBC_ERROR_IO);
        assert_contains(err.message, "byte 18446744073709551615");
        rbc__source_close(&source);
        assert_null(source);
    }
    rbc__scratch_free(&scratch);
    remove_folder(folder);
}

static void missing_and_unfit_files_are_named(void **state) {
    char folder[64];
    char path[128];
    rbc__source *source;
    rbc_error err;
    (void)state;
    make_folder(folder);
    (void)snprintf(path, sizeof path, "%s/none", folder);
    assert_int_equal(rbc__source_open(path, RBC__SOURCE_MAP, &source, &err), RBC_ERROR_IO);
    assert_int_equal(err.device_code, ENOENT);
    assert_contains(err.message, path);
    assert_null(source);
    assert_int_equal(rbc__source_open(folder, RBC__SOURCE_FILE, &source, &err), RBC_ERROR_IO);
    assert_contains(err.message, folder);
    write_text(folder, "empty", "");
    (void)snprintf(path, sizeof path, "%s/empty", folder);
    assert_int_equal(rbc__source_open(path, RBC__SOURCE_MAP, &source, &err), RBC_OK);
    assert_int_equal(rbc__source_bytes(source), 0);
    rbc__source_close(&source);
    remove_folder(folder);
}

/* Root may read everything, so that a process without its rights has to try. */
static int open_without_rights(const char *path) {
    rbc__source *source;
    rbc_error err;
    if (geteuid() == 0 && (setegid(65534) != 0 || seteuid(65534) != 0)) {
        return 1;
    }
    if (rbc__source_open(path, RBC__SOURCE_FILE, &source, &err) != RBC_ERROR_IO) {
        return 2;
    }
    return err.device_code != EACCES ? 3 : strstr(err.message, path) ? 0 : 4;
}

static void a_file_without_permission_is_named(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    write_text(folder, "secret", "x");
    (void)snprintf(path, sizeof path, "%s/secret", folder);
    assert_int_equal(chmod(path, 0), 0);
    const pid_t child = fork();
    if (child == 0) {
        _exit(open_without_rights(path));
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    remove_folder(folder);
}

static void a_file_that_shrinks_is_an_error_naming_the_place(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_pages(folder);
    rbc__source *source = open_pages(folder, RBC__SOURCE_FILE);
    truncate_pages(folder, 10);
    uint8_t read[8];
    rbc_error err;
    assert_int_equal(rbc__source_read(source, 4, 8, read, &err), RBC_ERROR_IO);
    assert_contains(err.message, "/pages: byte 10: the file ends here");
    rbc__source_close(&source);
    remove_folder(folder);
}

/* The same size and place, but other bytes: what was there is not what is read any more. */
static void a_file_written_to_while_open_is_an_error(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    for (int kind = RBC__SOURCE_FILE; kind <= RBC__SOURCE_MAP; ++kind) {
        write_pages(folder);
        (void)snprintf(path, sizeof path, "%s/pages", folder);
        const struct timespec long_ago[2] = {{1000, 5}, {1000, 5}};
        assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
        rbc__source *source = open_pages(folder, (rbc__source_kind)kind);
        assert_int_equal(rbc__source_identity(source)->mtime_ns, INT64_C(1000000000005));
        assert_int_equal(rbc__source_check_unchanged(source, NULL), RBC_OK);
        const int fd = open(path, O_WRONLY);
        assert_int_equal(pwrite(fd, "new", 3, 100), 3);
        close(fd);
        rbc_error err;
        assert_int_equal(rbc__source_check_unchanged(source, &err), RBC_ERROR_IO);
        assert_contains(err.message, "/pages: has been written to");
        if (kind == RBC__SOURCE_FILE) {
            uint8_t read[8];
            nanosleep(&(struct timespec){0, 5L * RBC__SOURCE_TRUST_NS}, NULL);
            assert_int_equal(rbc__source_read(source, 4, 8, read, &err), RBC_ERROR_IO);
            assert_contains(err.message, "/pages: has been written to");
        }
        rbc__source_close(&source);
    }
    remove_folder(folder);
}

static void pipes_and_devices_are_not_waited_for(void **state) {
    char folder[64];
    char path[128];
    char link[128];
    rbc__source *source;
    rbc_error err;
    (void)state;
    make_folder(folder);
    (void)snprintf(path, sizeof path, "%s/pipe", folder);
    (void)snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(symlink(path, link), 0);
    const char *const unfit[] = {path, link, "/dev/zero", "/dev/tty"};
    for (size_t i = 0; i < sizeof unfit / sizeof unfit[0]; ++i) {
        assert_int_equal(rbc__source_open(unfit[i], RBC__SOURCE_FILE, &source, &err), RBC_ERROR_IO);
        assert_contains(err.message, unfit[i]);
        assert_contains(err.message, "not a regular file");
    }
    /* a link to a file is that file */
    write_pages(folder);
    (void)snprintf(path, sizeof path, "%s/pages", folder);
    assert_int_equal(unlink(link), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(rbc__source_open(link, RBC__SOURCE_FILE, &source, &err), RBC_OK);
    rbc__source_close(&source);
    remove_folder(folder);
}

static void a_mapping_that_shrinks_gives_zeros_and_says_so(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    write_pages(folder);
    const size_t page = page_bytes();
    rbc__source *source = open_pages(folder, RBC__SOURCE_MAP);
    rbc__source *other = open_pages(folder, RBC__SOURCE_MAP);
    const uint8_t *view;
    rbc_error err;
    assert_int_equal(rbc__source_view(source, 0, PAGES * page, NULL, &view, NULL), RBC_OK);
    truncate_pages(folder, 2 * page);
    assert_int_equal(view[page], 2);
    assert_int_equal(rbc__source_check(source, &err), RBC_OK);
    assert_int_equal(view[5 * page + 7], 0);
    assert_int_equal(rbc__source_check(source, &err), RBC_ERROR_IO);
    char want[64];
    (void)snprintf(want, sizeof want, "/pages: byte %zu: ", 5 * page);
    assert_contains(err.message, want);
    uint8_t read[4];
    assert_int_equal(rbc__source_read(source, 3 * page, 4, read, &err), RBC_ERROR_IO);
    assert_int_equal(rbc__source_check(other, &err), RBC_OK);
    rbc__source_close(&source);
    rbc__source_close(&other);
    remove_folder(folder);
}

static void *shrink_and_read(void *argument) {
    char folder[64];
    size_t *failures = argument;
    make_folder(folder);
    for (int round = 0; round < 20; ++round) {
        write_pages(folder);
        rbc__source *source = open_pages(folder, RBC__SOURCE_MAP);
        const uint8_t *view;
        size_t sum = 0;
        (void)rbc__source_view(source, 0, PAGES * page_bytes(), NULL, &view, NULL);
        truncate_pages(folder, page_bytes());
        for (size_t i = 0; i < PAGES; ++i) {
            sum += view[i * page_bytes()];
        }
        *failures += sum == 1 && rbc__source_check(source, NULL) == RBC_ERROR_IO;
        rbc__source_close(&source);
    }
    remove_folder(folder);
    return NULL;
}

static void threads_fault_independently(void **state) {
    pthread_t threads[4];
    size_t failures[4] = {0};
    (void)state;
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(pthread_create(&threads[i], NULL, shrink_and_read, &failures[i]), 0);
    }
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(failures[i], 20);
    }
}

/* A fault in a mapping that is none of ours still ends the process with SIGBUS. */
static void other_faults_are_passed_on(void **state) {
    char folder[64];
    char path[128];
    (void)state;
    make_folder(folder);
    write_pages(folder);
    (void)snprintf(path, sizeof path, "%s/pages", folder);
    const pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        rbc__source *source = open_pages(folder, RBC__SOURCE_MAP);
        const int fd = open(path, O_RDONLY);
        volatile uint8_t *own = mmap(NULL, 4 * page_bytes(), PROT_READ, MAP_SHARED, fd, 0);
        truncate_pages(folder, 0);
        const int value = own[2 * page_bytes()];
        rbc__source_close(&source);
        _exit(value);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    /* Sanitizers answer with an exit of their own. */
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS : WEXITSTATUS(status) != 0);
    remove_folder(folder);
}

static void released_pages_can_be_read_again(void **state) {
    char folder[64];
    (void)state;
    make_folder(folder);
    const size_t bytes = (size_t)20 << 20;
    uint8_t *data = malloc(bytes);
    assert_non_null(data);
    memset(data, 7, bytes);
    write_file(folder, "pages", data, bytes);
    free(data);
    rbc__source *source = open_pages(folder, RBC__SOURCE_MAP);
    const uint8_t *view;
    assert_int_equal(rbc__source_view(source, 0, bytes, NULL, &view, NULL), RBC_OK);
    for (size_t i = 0; i < bytes; i += 4096) {
        assert_int_equal(view[i], 7);
        rbc__source_release_before(source, i);
    }
    assert_int_equal(view[0], 7);
    rbc__source_close(&source);
    remove_folder(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_kinds_give_the_same_bytes),
        cmocka_unit_test(missing_and_unfit_files_are_named),
        cmocka_unit_test(a_file_without_permission_is_named),
        cmocka_unit_test(a_file_that_shrinks_is_an_error_naming_the_place),
        cmocka_unit_test(a_file_written_to_while_open_is_an_error),
        cmocka_unit_test(pipes_and_devices_are_not_waited_for),
        cmocka_unit_test(a_mapping_that_shrinks_gives_zeros_and_says_so),
        cmocka_unit_test(threads_fault_independently),
        cmocka_unit_test(other_faults_are_passed_on),
        cmocka_unit_test(released_pages_can_be_read_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
