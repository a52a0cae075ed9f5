#include "loader/tick_runs.h"

#include <stdlib.h>

#include "core/error.h"

static rbc_status grow(int64_t **array, int64_t room, rbc_error *err) {
    int64_t *grown = realloc(*array, (size_t)room * sizeof *grown);
    if (grown == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %lld runs of ticks",
                         (long long)room);
    }
    *array = grown;
    return RBC_OK;
}

rbc_status rbc__tick_runs_begin(rbc__tick_runs *out, rbc_error *err) {
    *out = (rbc__tick_runs){.room = 1};
    rbc_status status = grow(&out->first, 1, err);
    if (status == RBC_OK) {
        status = grow(&out->sample, 1, err);
    }
    return status;
}

rbc_status rbc__tick_runs_add(rbc__tick_runs *r, int64_t tick, rbc_error *err) {
    if (r->count == 0 || tick != r->next) {
        if (r->count + 1 >= r->room) {
            const int64_t room = 2 * r->room + 64;
            RBC__TRY(grow(&r->first, room, err));
            RBC__TRY(grow(&r->sample, room, err));
            r->room = room;
        }
        r->first[r->count] = tick;
        r->sample[r->count++] = r->num_samples;
    }
    r->next = tick + 1;
    ++r->num_samples;
    return RBC_OK;
}

void rbc__tick_runs_give(rbc__tick_runs *runs, rbc__clock *clock) {
    runs->sample[runs->count] = runs->num_samples;
    rbc__clock_restrict(clock, runs->count, runs->sample, runs->first);
    *runs = (rbc__tick_runs){0};
}

void rbc__tick_runs_free(rbc__tick_runs *runs) {
    free(runs->first);
    free(runs->sample);
    *runs = (rbc__tick_runs){0};
}
