/* A format for tests of the catalog: a folder with a file "files" that lists, a line each,
 * "<split> <path>", and data files of lines "<steps> <start_ns> <end_ns> <task>". A line that
 * begins with '!' is a damaged record.
 *
 * Streams: "value" (float32 [2]: episode line number, step), "clocked" (as value, with the stamps
 * of "clocked_time_ns"), "clocked_time_ns" (int64: start_ns + step), "text" (the task). */
#ifndef TESTS_CATALOG_FAKE_READER_H
#define TESTS_CATALOG_FAKE_READER_H

#include "formats/format.h"

extern const rbc__format fake_reader;

/* Waits this long after each line while indexing, so that a test can be quicker. */
extern long fake_line_delay_ns;
/* Waits longer in files early in the order, so that later ones are done first. */
extern int fake_slow_first;

/* The name that every dataset gives itself. */
extern const char *fake_name;
/* What it was told when it was last opened; each part tells {"part": N}. */
extern char fake_told[64];
/* Each file fails to open with this errno; 0: none does. */
extern int fake_open_errno;

/* Makes the folder `path` with `num_files` files of `lines` episodes each; every third file is in
 * split "val", the others in "train". */
void fake_dataset_make(const char *path, int num_files, int lines);
/* Overwrites one data file. */
void fake_file_write(const char *path, int file, const char *text);
/* Lists only the first `num_files` files. */
void fake_files_list(const char *path, int num_files);

#endif
