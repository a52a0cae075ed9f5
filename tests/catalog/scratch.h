/* Temporary folders, and catalogs as text to compare. */
#ifndef TESTS_CATALOG_SCRATCH_H
#define TESTS_CATALOG_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include <robocache/robocache.h>

/* A new empty folder; the caller frees the name with scratch_remove(). */
char *scratch_make(void);
void scratch_remove(char **folder);
/* "folder/name", in a buffer of its own for each of the last eight calls. */
const char *scratch_path(const char *folder, const char *name);

/* For tests that each have a folder, `*state`: in it "data", a fake dataset of SCRATCH_FILES files of
 * SCRATCH_LINES episodes, and "cache", where catalogs are that cannot be beside the data. */
#define SCRATCH_FILES 6
#define SCRATCH_LINES 20
int scratch_setup(void **state);
int scratch_teardown(void **state);
/* Lays the catalog of that dataset at `path`, changed by `sql`. */
void scratch_lay(const char *path, const char *sql);

void scratch_write(const char *path, const void *bytes, size_t count);
/* All of a file; the caller frees it. */
uint8_t *scratch_read(const char *path, size_t *bytes);

/* Every table of the catalog as text, file times left out; the caller frees it. */
char *scratch_dump(const char *catalog_path);
/* Fails the test when the two files differ in any byte. */
void scratch_same_bytes(const char *path, const char *other);
/* The first integer that `sql` gives. */
int64_t scratch_integer(const char *catalog_path, const char *sql);
void scratch_exec(const char *catalog_path, const char *sql);

/* Opens with the fake reader; fails the test, showing the message, when that does not succeed. */
rbc_dataset *scratch_open(const char *path, const rbc_open_params *params);
/* Opens, expects `status`, and gives the message. */
const char *scratch_refused(const char *path, const rbc_open_params *params, rbc_status status);

#endif
