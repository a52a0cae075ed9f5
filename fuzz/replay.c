/* Runs a fuzz target over the files of a corpus folder, once each, without libFuzzer: the corpus is
 * a unit test in every build. Prints one cmocka-style line a file, so that the test report counts
 * them. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    long size = -1;
    if (fseek(file, 0, SEEK_END) == 0) {
        size = ftell(file);
    }
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0) {
        fprintf(stderr, "%s: not a seekable file\n", path);
        fclose(file);
        return -1;
    }
    /* An allocation of the exact size lets the sanitizers see the first byte read past the end. */
    uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
    int status = -1;
    if (data && fread(data, 1, (size_t)size, file) == (size_t)size) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        status = 0;
    } else {
        fprintf(stderr, "%s: could not be read whole\n", path);
    }
    free(data);
    fclose(file);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (folder == NULL) {
        fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
        return 2;
    }
    int files = 0;
    int failures = 0;
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        if (entry->d_name[0] == '.') {
            continue;
        }
        char path[PATH_MAX];
        int length = snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        int failed = length < 0 || (size_t)length >= sizeof path || run_file(path) != 0;
        printf("[  %s ] %s\n", failed ? "FAILED" : "     OK", entry->d_name);
        fflush(stdout);
        failures += failed;
        ++files;
    }
    closedir(folder);
    if (files == 0) {
        fprintf(stderr, "%s: the corpus is empty\n", argv[1]);
        return 2;
    }
    return failures > 0;
}
