/* Statistics that were computed before, kept in files beside the catalog.
 *
 * They lie in "<catalog>.statistics", a file a stream and selection, or, where that folder cannot
 * be written, in the like of it in the user's cache. Its name is the key of the data that they are
 * of: a change of the data, the selection or what was asked for is another key. The folder may be
 * deleted at any time. */
#ifndef RBC_STATISTICS_KEPT_H
#define RBC_STATISTICS_KEPT_H

#include "catalog/dataset.h"
#include "statistics/result.h"

/* `num_images`: 0 for numbers. */
rbc__statistics_key rbc__statistics_key_of(const rbc_selection *selection, int32_t stream,
                                           int64_t num_images);

/* What is kept under the key; NULL where there is nothing, or nothing of use. */
rbc_statistics *rbc__statistics_find(const rbc_selection *selection,
                                     const rbc__statistics_key *key);
/* False where it cannot be written. */
bool rbc__statistics_keep(const rbc_selection *selection, const rbc__statistics_key *key,
                          const rbc_statistics *statistics);

#endif
