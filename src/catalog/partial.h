/* The folder in which a catalog is made before it takes its place.
 *
 * "<catalog>.partial" is the user's own and closed to everybody else, so that nobody can have put
 * links where files are written. It survives being killed, and is where the next call goes on. */
#ifndef RBC_CATALOG_PARTIAL_H
#define RBC_CATALOG_PARTIAL_H

#include "catalog/database.h"
#include "formats/format.h"

typedef struct rbc__partial {
    char *folder;
    char *database; /* being filled */
    char *copy;     /* of the catalog there was, until it is whole */
    char *whole;    /* what takes the catalog's place */
} rbc__partial;

/* Makes the folder for the catalog at `path`, or finds it. IO, with `blocked` true where the folder
 * may not be made, or where something else has its name: a link, a file, another user's folder or
 * one that others may write to. Call it under the lock. */
rbc_status rbc__partial_create(const char *path, rbc__partial *out, bool *blocked, rbc_error *err);
/* What is in the folder stays. */
void rbc__partial_free(rbc__partial *partial);

/* Opens the database for writing, with tables for these streams: what a call that was cut off left,
 * or else a copy of the catalog `base`, or else a new one. With `base` NULL it is a new one in any
 * case. One that is damaged or does not fit is thrown away. */
rbc_status rbc__partial_open(const rbc__partial *partial, const char *base, const char *format,
                             const rbc__schema *schema, rbc__watch *watch, sqlite3 **out,
                             rbc_error *err);

/* Puts what `db`, a complete catalog, holds into its place at `path`, in one step, and removes the
 * folder. Written out afresh, its bytes depend on what it holds alone, not on how often making it
 * was cut off. Closes `db`, also on failure. */
rbc_status rbc__partial_finish(const rbc__partial *partial, sqlite3 **db, const char *path,
                               rbc_error *err);

#endif
