/* Open data files, shared between threads and bounded in number. */
#ifndef RBC_CATALOG_SOURCES_H
#define RBC_CATALOG_SOURCES_H

#include "catalog/catalog.h"
#include "io/reader.h"
#include "io/source.h"

/* Files that nobody uses stay open up to this many, files in use included. */
#define RBC__SOURCES_OPEN 128

typedef struct rbc__sources rbc__sources;

/* `root`, `schema` and `catalog` are borrowed and outlive the sources. */
rbc_status rbc__sources_create(const char *root, const rbc__schema *schema,
                               const rbc__catalog *catalog, rbc__sources **out, rbc_error *err);
/* Every source has been given back. */
void rbc__sources_destroy(rbc__sources **sources);

/* IO, naming the file, when it cannot be opened or is not the one, unchanged, that was there when
 * the catalog was opened. */
rbc_status rbc__sources_acquire(rbc__sources *sources, int64_t file, rbc__source **out,
                                rbc_error *err);
void rbc__sources_release(rbc__sources *sources, int64_t file);

/* How many files are open now. */
int64_t rbc__sources_num_open(rbc__sources *sources);

#endif
