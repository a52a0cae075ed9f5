/* The features.json and dataset_info.json of a dataset that is being written. */
#ifndef RBC_IO_TFRECORD_WRITER_FEATURES_H
#define RBC_IO_TFRECORD_WRITER_FEATURES_H

#include "io/tfrecord/dataset_info.h"
#include "io/tfrecord/writer_episode.h"

/* Writes features.json for `features` [count] to `path`, flushed to disk. OUT_OF_MEMORY, IO. */
rbc_status rbc__writer_features_json(const rbc__writer_feature *features, int32_t count,
                                     const char *path, rbc_error *err);

/* Writes dataset_info.json to `path`. `num_bytes` [info->num_splits] are the payloads' sizes. */
rbc_status rbc__writer_info_json(const rbc__dataset_info *info, const uint64_t *num_bytes,
                                 const char *description, const char *path, rbc_error *err);

#endif
