/* Where the catalog of a dataset lies. */
#ifndef RBC_CATALOG_LOCATION_H
#define RBC_CATALOG_LOCATION_H

#include <stdbool.h>

#include <robocache/robocache.h>

/* `file` is the name of a dataset that is one file of `root`, beside others perhaps; NULL: it is all of
 * the folder. */

/* "<root>/.robocache.sqlite" or "<root>/.<file>.robocache.sqlite"; malloc'ed. */
rbc_status rbc__location_in_dataset(const char *root, const char *file, char **out, rbc_error *err);

/* True where the mode of the folder lets nobody write: such a dataset is left as it is, by root
 * too, whom no mode stops. */
bool rbc__location_is_read_only(const char *root);

/* "<cache>/<hash of root and file>.sqlite"; malloc'ed. The cache folder is $ROBOCACHE_CACHE,
 * $XDG_CACHE_HOME/robocache or ~/.cache/robocache, and is made, for this user alone, where it is
 * missing. IO; NOT_FOUND when none of the three variables is set. */
rbc_status rbc__location_in_cache(const char *root, const char *file, char **out, rbc_error *err);

/* The path that a user gave, absolute and without links; malloc'ed. The file need not be there, its
 * folder must. IO. */
rbc_status rbc__location_given(const char *path, char **out, rbc_error *err);

#endif
