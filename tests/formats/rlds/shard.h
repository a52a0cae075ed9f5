/* A shard of records that are alike, and what indexing it finds. */
#ifndef RBC_TESTS_FORMATS_RLDS_SHARD_H
#define RBC_TESTS_FORMATS_RLDS_SHARD_H

#include "formats/rlds/rlds.h"
#include "helpers.h"

/* The streams of a good record, and its steps. */
#define STEPS TENSOR("x", "float32", "\"2\"") ", " TENSOR("n", "int64", "") ", " TEXT("lang")

enum { T = 3 };

/* A reader over `steps` without files. */
rbc__rlds *make_reader(const char *steps);

/* Indexes a copy of the file's bytes, as "shard-7". */
rbc_status index_bytes(const char *steps, const rbc__bytes *file, int64_t num_records,
                       caught *found, rbc_error *err);

void put_good_features(rbc__bytes *features);
/* A record of those. */
void put_good(rbc__bytes *file);

#endif
