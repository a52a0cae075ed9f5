/* How long a test takes, and from where on: `--steps N --seed S`, so that it can run for longer than
 * among the others. */
#ifndef RBC_TESTS_LOADER_STEPS_H
#define RBC_TESTS_LOADER_STEPS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline void take_steps(int argc, char **argv, int64_t *steps, uint64_t *first_seed) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--steps") == 0) {
            *steps = strtoll(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0) {
            *first_seed = strtoull(argv[i + 1], NULL, 10);
        }
    }
}

#endif
