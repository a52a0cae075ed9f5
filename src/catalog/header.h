/* What lies at the path of a catalog, as its type and first bytes tell. */
#ifndef RBC_CATALOG_HEADER_H
#define RBC_CATALOG_HEADER_H

#include <stdbool.h>

#include <robocache/robocache.h>

#define RBC__CATALOG_APPLICATION 0x52424331 /* "RBC1", in the header of the file */
#define RBC__CATALOG_VERSION     10

typedef enum rbc__catalog_kind {
    RBC__CATALOG_ABSENT = 0,  /* nothing is there */
    RBC__CATALOG_CURRENT = 1, /* ours, of this version, as far as the header tells */
    RBC__CATALOG_OLDER = 2,   /* ours, of an earlier version */
    RBC__CATALOG_LATER = 3,   /* ours, of a later version */
    RBC__CATALOG_FOREIGN = 4, /* anything else, or not to be read: never written to nor replaced */
} rbc__catalog_kind;

typedef struct rbc__catalog_header {
    rbc__catalog_kind kind;
    bool is_link; /* the last name of the path is a symbolic link */
} rbc__catalog_header;

/* Never waits for a pipe, and opens no device. `fd` (NULL allowed) becomes the caller's, to read what
 * is CURRENT by, else -1. `why` says what makes a file FOREIGN, OLDER or LATER. IO where nothing can
 * be told now, descriptors being short for instance. */
rbc_status rbc__header_read(const char *path, rbc__catalog_header *out, int *fd, rbc_error *why);

#endif
