/* The file of a catalog, held open, so that connections made later read it whatever lies at its path
 * by then: the catalog was made anew for data that came since, or was removed. */
#ifndef RBC_CATALOG_HELD_H
#define RBC_CATALOG_HELD_H

#include <sqlite3.h>
#include <stdbool.h>

#include "io/source.h"

typedef struct rbc__held_file {
    int fd; /* -1: none */
} rbc__held_file;

#define RBC__HELD_NONE {.fd = -1}

/* Opens what lies at `path`. Left without a file, which is no error, where that is no longer the one
 * of the identity or cannot be opened: connections then go by the path. */
void rbc__held_open(const char *path, const rbc__file_identity *identity, rbc__held_file *out);
void rbc__held_close(rbc__held_file *file);

/* sqlite3_open_v2() of that file, to be read, which `uri` names in messages. Connections share the
 * descriptor, and end before the file is closed. */
int rbc__held_connect(const rbc__held_file *file, const char *uri, int flags, sqlite3 **out);

#endif
