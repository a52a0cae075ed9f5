/* What was worked out of a dataset's data, for who asks the same of it again.
 *
 * A question is a text that says all that the answer depends on, the selection's fingerprint among it;
 * an answer is an array of numbers. The latest answers of a dataset are kept as long as it is open.
 * Shared within src/catalog. */
#ifndef RBC_CATALOG_ANSWERS_H
#define RBC_CATALOG_ANSWERS_H

#include <stdint.h>

#define RBC__MAX_ANSWERS 8

typedef struct rbc__answer {
    char *question;
    int64_t *values; /* [count] */
    int64_t count;
} rbc__answer;

typedef struct rbc__answers {
    rbc__answer each[RBC__MAX_ANSWERS]; /* [count], the one that was asked for last at the end */
    int32_t count;
    int64_t bytes;
} rbc__answers;

void rbc__answers_free(rbc__answers *answers);

#endif
