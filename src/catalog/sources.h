/* The data files of a dataset, each opened when it is first asked for and shared between threads.
 * How many descriptors they have is io/descriptor.h's business. */
#ifndef RBC_CATALOG_SOURCES_H
#define RBC_CATALOG_SOURCES_H

#include "catalog/catalog.h"
#include "formats/format.h"
#include "io/source.h"

typedef struct rbc__sources rbc__sources;

/* `root`, `schema` and `catalog` are borrowed and outlive the sources. */
rbc_status rbc__sources_create(const char *root, const rbc__schema *schema,
                               const rbc__catalog *catalog, rbc__sources **out, rbc_error *err);
void rbc__sources_destroy(rbc__sources **sources);

/* Borrowed. IO, naming the file, when it cannot be opened or is not the one, unchanged, that was
 * there when the catalog was opened. */
rbc_status rbc__sources_get(rbc__sources *sources, int64_t file, rbc__source **out, rbc_error *err);

#endif
