/* What dataset_info.json declares: the name, the splits and their shards. */
#ifndef RBC_FORMATS_RLDS_DATASET_INFO_H
#define RBC_FORMATS_RLDS_DATASET_INFO_H

#include <robocache/robocache.h>

typedef struct rbc__split_shards {
    char *name;
    char *filepath_template; /* "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}" */
    int64_t *lengths;        /* records in each shard */
    int64_t num_shards;      /* 0: not declared */
} rbc__split_shards;

typedef struct rbc__dataset_info {
    char *name;    /* NULL where it is not declared */
    char *version; /* likewise */
    rbc__split_shards *splits;
    int64_t num_splits;
} rbc__dataset_info;

/* Parses dataset_info.json. `path` is for messages. `out` is empty after a failure. FORMAT;
 * UNSUPPORTED for a fileFormat other than TFRecord. */
rbc_status rbc__dataset_info_parse(const char *text, size_t bytes, const char *path,
                                   rbc__dataset_info *out, rbc_error *err);
void rbc__dataset_info_free(rbc__dataset_info *info);

/* The file name of shard `shard` of `num_shards` of a split; malloc'ed into `*out`. FORMAT for a
 * template with unknown fields, or one that leads out of the dataset's folder. */
rbc_status rbc__shard_name(const char *filepath_template, const char *dataset, const char *split,
                           int64_t shard, int64_t num_shards, const char *path, char **out,
                           rbc_error *err);

#endif
