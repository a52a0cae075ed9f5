#define _POSIX_C_SOURCE 200809L

#include "catalog/answers.h"

#include <stdlib.h>
#include <string.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "core/fork.h"

#define ANSWERS_BYTES (INT64_C(64) << 20) /* of all together */

static int64_t bytes_of(const rbc__answer *answer) {
    return answer->count * (int64_t)sizeof *answer->values;
}

void rbc__answers_free(rbc__answers *answers) {
    for (int32_t i = 0; i < answers->count; ++i) {
        free(answers->each[i].question);
        free(answers->each[i].values);
    }
    *answers = (rbc__answers){0};
}

/* Forgets the oldest, until there is room for one more of `bytes`. */
static void make_room(rbc__answers *answers, int64_t bytes) {
    int32_t gone = 0;
    while (answers->count - gone == RBC__MAX_ANSWERS || answers->bytes > ANSWERS_BYTES - bytes) {
        answers->bytes -= bytes_of(&answers->each[gone]);
        free(answers->each[gone].question);
        free(answers->each[gone].values);
        ++gone;
    }
    answers->count -= gone;
    memmove(answers->each, answers->each + gone, (size_t)answers->count * sizeof *answers->each);
}

static int32_t find(const rbc__answers *answers, const char *question) {
    for (int32_t i = 0; i < answers->count; ++i) {
        if (strcmp(answers->each[i].question, question) == 0) {
            return i;
        }
    }
    return -1;
}

static int64_t *copy_values(const int64_t *values, int64_t count) {
    int64_t *copy = malloc((size_t)(count + 1) * sizeof *copy);
    if (copy != NULL && count > 0) {
        memcpy(copy, values, (size_t)count * sizeof *copy);
    }
    return copy;
}

bool rbc__dataset_recall(rbc_dataset *dataset, const char *question, int64_t **values,
                         int64_t *count) {
    RBC__HOLD_FORKS();
    rbc__answers *answers = &dataset->answers;
    pthread_mutex_lock(&dataset->lock);
    const int32_t index = find(answers, question);
    *values = NULL;
    if (index >= 0) { /* the newest then */
        const rbc__answer found = answers->each[index];
        rbc__answer *at = &answers->each[index];
        memmove(at, at + 1, (size_t)(answers->count - 1 - index) * sizeof *at);
        answers->each[answers->count - 1] = found;
        *count = found.count;
        *values = copy_values(found.values, found.count);
    }
    pthread_mutex_unlock(&dataset->lock);
    return *values != NULL;
}

void rbc__dataset_remember(rbc_dataset *dataset, const char *question, const int64_t *values,
                           int64_t count) {
    RBC__HOLD_FORKS();
    rbc__answers *answers = &dataset->answers;
    const int64_t bytes = count * (int64_t)sizeof *values;
    if (bytes > ANSWERS_BYTES) {
        return;
    }
    rbc__answer given = {strdup(question), copy_values(values, count), count};
    if (given.question == NULL || given.values == NULL) {
        free(given.question);
        free(given.values);
        return;
    }
    pthread_mutex_lock(&dataset->lock);
    if (find(answers, question) < 0) {
        make_room(answers, bytes);
        answers->each[answers->count++] = given;
        answers->bytes += bytes;
        given = (rbc__answer){0};
    }
    pthread_mutex_unlock(&dataset->lock);
    free(given.question); /* another thread was quicker */
    free(given.values);
}
