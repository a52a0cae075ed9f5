/* The metadata files of a dataset that is being written. `replaced` is the folder of the dataset
 * that is added to, or NULL: what its files say besides is kept. */
#ifndef RBC_FORMATS_RLDS_WRITER_FEATURES_H
#define RBC_FORMATS_RLDS_WRITER_FEATURES_H

#include "formats/rlds/dataset_info.h"
#include "formats/rlds/writer_episode.h"

/* Writes features.json for `features` [count] to `path`, flushed to disk. OUT_OF_MEMORY, IO. */
rbc_status rbc__writer_features_json(const rbc__writer_feature *features, int32_t count,
                                     const char *path, rbc_error *err);

/* Writes <folder>/dataset_info.json. `num_bytes` [info->num_splits] are the payloads' sizes;
 * `description` may be NULL. */
rbc_status rbc__writer_info_json(const rbc__dataset_info *info, const uint64_t *num_bytes,
                                 const char *description, const char *replaced, const char *folder,
                                 rbc_error *err);

/* Writes <folder>/metadata.json, in which TFDS keeps what its users add, with the control rate
 * where it is not 0; no file where there is nothing to say. */
rbc_status rbc__writer_metadata_json(double control_rate_hz, const char *replaced,
                                     const char *folder, rbc_error *err);

#endif
