/* Adding episodes to a dataset that is there. */
#ifndef RBC_FORMATS_RLDS_WRITER_APPEND_H
#define RBC_FORMATS_RLDS_WRITER_APPEND_H

#include "formats/rlds/dataset_info.h"

/* Reads dataset_info.json of the dataset in `folder` to `*info`. INVALID_ARGUMENT unless it is the
 * dataset `name`, declares the lengths of its shards and has the features of the file
 * `features_path`; the first that differs is named. */
rbc_status rbc__writer_append_to(const char *folder, const char *name, const char *features_path,
                                 rbc__dataset_info *info, rbc_error *err);

#endif
