/* Fuzzes the expressions that choose episodes, over a small dataset. They may be refused, but for
 * what they are alone; one that is taken is a whole expression, wherever it stands. */
#define _GNU_SOURCE

#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataset.h"

enum { MOST_BYTES = 1 << 16 };

static int stop(void *user) {
    (void)user;
    return 1;
}

/* How many episodes it chooses, or -1. */
static int64_t choose(rbc_dataset *dataset, const char *where) {
    rbc_selection *selection;
    rbc_error err;
    const rbc_status status =
        rbc_selection_create(dataset, NULL, where, stop, NULL, &selection, &err);
    fuzz_require(status == RBC_OK || status == RBC_ERROR_INVALID_ARGUMENT ||
                 status == RBC_ERROR_CANCELLED || status == RBC_ERROR_OUT_OF_MEMORY);
    if (status != RBC_OK) {
        fuzz_drain(err.message, strlen(err.message));
        return -1;
    }
    const int64_t count = rbc_selection_size(selection);
    fuzz_require(count >= 0 && count <= FUZZ_NUM_EPISODES);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t id = rbc_selection_id(selection, i);
        fuzz_require(id >= 0 && id < FUZZ_NUM_EPISODES);
    }
    rbc_selection_destroy(&selection);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rbc_dataset *dataset;
    static char text[MOST_BYTES + 1], within[MOST_BYTES + 64];
    if (dataset == NULL) {
        fuzz_dataset_make();
        fuzz_require(fuzz_dataset_open(&dataset, NULL) == RBC_OK);
    }
    if (size > MOST_BYTES) {
        return 0;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (choose(dataset, text) < 0) {
        return 0;
    }
    snprintf(within, sizeof within, "0 AND (%s\n)", text);
    const int64_t none = choose(dataset, within);
    snprintf(within, sizeof within, "1 OR (%s\n)", text);
    const int64_t all = choose(dataset, within);
    fuzz_require(none <= 0 && (all == FUZZ_NUM_EPISODES || all < 0));
    return 0;
}
