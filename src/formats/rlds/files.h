/* Which files a dataset has: the folder of its version, and its shards. */
#ifndef RBC_FORMATS_RLDS_FILES_H
#define RBC_FORMATS_RLDS_FILES_H

#include <stdbool.h>

#include "formats/format.h"
#include "formats/rlds/dataset_info.h"

/* The folder that holds the dataset's files, from a path that a user gave: that folder itself; or
 * one of versions ("1.0.0", "0.1.0"), of which the newest is taken; or one that leads to a single
 * dataset through folders of its own. `*folder` is relative to `path`, "" for `path` itself, and
 * malloc'ed. NOT_FOUND when there is none, INVALID_ARGUMENT, naming them, when there are several.
 */
rbc_status rbc__rlds_find_folder(const char *path, char **folder, rbc_error *err);

/* Lists the shards of the dataset `schema->name` as `schema->parts`, with paths relative to `path`:
 * as `info` says, or, for splits of which it declares no shards and without one (NULL), what is on
 * disk. NOT_FOUND without any. */
rbc_status rbc__rlds_list_files(const char *path, const char *folder, const rbc__dataset_info *info,
                                rbc__schema *schema, rbc_error *err);

/* "a/b", malloc'ed; "b" where `a` is empty and "a" where `b` is. */
rbc_status rbc__join_path(const char *a, const char *b, char **out, rbc_error *err);

/* "1.2.3" */
bool rbc__is_version(const char *name);

#endif
