/* What users do, each as short as can be. */
#ifndef RBC_TESTS_FAULTS_SCENARIOS_H
#define RBC_TESTS_FAULTS_SCENARIOS_H

#include <stdint.h>

#include <robocache/robocache.h>

/* What a scenario is done to. */
typedef enum scenario_data {
    SCENARIO_NOTHING, /* an empty folder */
    SCENARIO_FILES,   /* a dataset without a catalog, in <root>/small/1.0.0 */
    SCENARIO_CATALOG, /* and with one */
    SCENARIO_PACKED,  /* without one, its shards compressed as a whole */
    NUM_SCENARIO_DATA
} scenario_data;

typedef struct scenario {
    const char *name;
    scenario_data data;
    /* `digest` is of all that was found or made. What fails for a shortage is tried again as its
     * documentation says; `err` is the first problem that was told, also where all was well in the end. */
    rbc_status (*run)(const char *root, uint64_t *digest, rbc_error *err);
    /* Adds what was written; NULL: the scenario writes nothing, and may be done twice. */
    rbc_status (*look)(const char *root, uint64_t *digest, rbc_error *err);
} scenario;

extern const scenario scenarios[];
extern const int num_scenarios;

/* Fowler-Noll-Vo. */
uint64_t mix_in(uint64_t digest, const void *data, uint64_t bytes);

#endif
