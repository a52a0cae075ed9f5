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

/* Room for another run, and for the end of the last. */
static rbc_status reserve(rbc__tick_runs *r, int64_t room, rbc_error *err) {
    RBC__TRY(grow(&r->first, room, err));
    RBC__TRY(grow(&r->sample, room, err));
    r->room = room;
    return RBC_OK;
}

rbc_status rbc__tick_runs_begin(rbc__tick_runs *out, rbc_error *err) {
    *out = (rbc__tick_runs){0};
    return reserve(out, 1, err);
}

rbc_status rbc__tick_runs_add(rbc__tick_runs *r, int64_t tick, rbc_error *err) {
    if (r->count == 0 || tick != r->next) {
        if (r->count + 1 >= r->room) {
            RBC__TRY(reserve(r, 2 * r->room + 64, err));
        }
        r->first[r->count] = tick;
        r->sample[r->count++] = r->num_samples;
    }
    r->next = tick + 1;
    ++r->num_samples;
    return RBC_OK;
}

rbc_status rbc__tick_runs_pack(const rbc__tick_runs *runs, int64_t **pairs, rbc_error *err) {
    *pairs = NULL;
    RBC__TRY(grow(pairs, 2 * runs->count + 1, err));
    for (int64_t i = 0; i < runs->count; ++i) {
        const int64_t end = i + 1 < runs->count ? runs->sample[i + 1] : runs->num_samples;
        (*pairs)[2 * i] = runs->first[i];
        (*pairs)[2 * i + 1] = end - runs->sample[i];
    }
    return RBC_OK;
}

rbc_status rbc__tick_runs_unpack(rbc__tick_runs *runs, const int64_t *pairs, int64_t count,
                                 rbc_error *err) {
    RBC__TRY(reserve(runs, count + 1, err));
    for (int64_t i = 0; i < count; ++i) {
        runs->first[i] = pairs[2 * i];
        runs->sample[i] = runs->num_samples;
        runs->num_samples += pairs[2 * i + 1];
        runs->next = pairs[2 * i] + pairs[2 * i + 1];
    }
    runs->count = count;
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
