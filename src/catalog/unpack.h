/* Parts whose file is compressed as a whole: refused, or unpacked while they are indexed.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_UNPACK_H
#define RBC_CATALOG_UNPACK_H

#include "catalog/index_run.h"
#include "io/unpacked.h"

/* With `params->unpack_folder`, where parts of the job are packed, opens the folder, tells
 * `params->unpacking` what will be unpacked, and checks that the disk has room. `*out` is NULL
 * where nothing is to be unpacked. */
rbc_status rbc__unpack_plan(const rbc__index_job *job, const rbc_open_params *params,
                            rbc__unpack_folder **out, rbc_error *err);

/* Where part `position` of the job lies unpacked, which is done unless it has been; NULL where it is
 * not packed; malloc'ed. `*refused` where it is packed and there is no folder. */
rbc_status rbc__unpack_part(const rbc__index_job *job, int64_t position,
                            bool (*go_on)(void *user, uint64_t packed_bytes), void *user,
                            char **path, bool *refused, rbc_error *err);

#endif
