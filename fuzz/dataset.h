/* A small dataset, for the targets that open one. */
#ifndef RBC_FUZZ_DATASET_H
#define RBC_FUZZ_DATASET_H

#include <robocache/robocache.h>

enum { FUZZ_NUM_EPISODES = 5 };

/* Of its catalog, once it has been made. */
extern char fuzz_catalog_path[128];

/* Writes it and indexes it, in memory where there is such a folder; it is removed at exit. */
void fuzz_dataset_make(void);
rbc_status fuzz_dataset_open(rbc_dataset **out, rbc_error *err);

#endif
