/* Numbers that are aligned on the device that batches are on. */
#ifndef RBC_LOADER_DEVICE_NUMBERS_H
#define RBC_LOADER_DEVICE_NUMBERS_H

#include "loader/maker.h"

/* Queues the making of all items, in one launch; where they take too much memory for that, in several,
 * of which all but the last are waited for. The pipe has been entered. OUT_OF_MEMORY, DEVICE: nothing
 * is made of some. */
rbc_status rbc__device_align(const rbc__backend *device, int32_t device_id, rbc__pipe *pipe,
                             rbc_context *context, const rbc__align_item *items, int64_t count,
                             rbc_error *err);

#endif
