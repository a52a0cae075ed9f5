#define _POSIX_C_SOURCE 200809L

#include "loader/require.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/dataset.h"
#include "core/error.h"
#include "loader/rows.h"
#include "loader/tick_runs.h"

/* Ticks that are looked at in one go. */
#define TICKS_AT_ONCE 256

/* Episodes at hand: each is looked at once. */
#define CACHE_EPISODES 1
#define CACHE_BYTES    (INT64_C(8) << 20)

/* What looks at episodes. */
typedef struct prober {
    rbc__rows *rows;
    rbc__maker *maker;
    int64_t run; /* of the clock's samples: where the episode begins, see rbc__clock_is_sample() */
} prober;

static rbc_status add_episode(const rbc__clock *clock, prober *p, int64_t episode,
                              rbc__tick_runs *r, rbc_error *err) {
    const int64_t num_ticks = rbc__clock_num_ticks(clock, episode);
    uint8_t valid[TICKS_AT_ONCE];
    int64_t run = p->run;
    for (int64_t tick = 0; tick < num_ticks; tick += TICKS_AT_ONCE) {
        RBC__TRY(rbc__rows_valid(p->rows, p->maker, episode, tick, valid, err));
        for (int64_t i = 0; i < TICKS_AT_ONCE && tick + i < num_ticks; ++i) {
            const int64_t at = clock->first_tick[episode] + tick + i;
            if (valid[i] && rbc__clock_is_sample(clock, at, &run)) {
                RBC__TRY(rbc__tick_runs_add(r, at, err));
            }
        }
    }
    return RBC_OK;
}

/* An episode counts whole or not at all. */
static rbc_status add_unread(const rbc__clock *clock, const prober *p, int64_t episode,
                             const rbc__tick_runs *before, rbc__tick_runs *r, rbc_error *err) {
    int64_t run = p->run;
    r->count = before->count;
    r->num_samples = before->num_samples;
    r->next = before->next;
    for (int64_t tick = 0; tick < rbc__clock_num_ticks(clock, episode); ++tick) {
        const int64_t at = clock->first_tick[episode] + tick;
        if (rbc__clock_is_sample(clock, at, &run)) {
            RBC__TRY(rbc__tick_runs_add(r, at, err));
        }
    }
    return RBC_OK;
}

static rbc_status scan(rbc__clock *clock, prober *p, rbc_on_error on_error, rbc__tick_runs *r,
                       rbc_error *err) {
    for (int64_t e = 0; e < clock->from.num_episodes; ++e) {
        const rbc__tick_runs before = *r;
        rbc_error problem;
        const rbc_status status = add_episode(clock, p, e, r, &problem);
        if (status != RBC_OK && (on_error == RBC_ON_ERROR_RAISE || rbc__is_shortage(&problem))) {
            (void)rbc__pass_on(&problem, err);
            return rbc__fail_within(err, status, "require");
        }
        if (status != RBC_OK) {
            RBC__TRY(add_unread(clock, p, e, &before, r, err));
        }
        (void)rbc__clock_is_sample(clock, clock->first_tick[e + 1], &p->run);
    }
    return RBC_OK;
}

/* The windows of the required streams, each over ticks in a row. */
static rbc_status choose_windows(const rbc__batch_spec_params *params, const char *const *names,
                                 int32_t num_names, const int32_t *ticks, rbc_window *out,
                                 int32_t *count, rbc_error *err) {
    *count = 0;
    for (int32_t n = 0; n < num_names; ++n) {
        const int32_t before = *count;
        for (int32_t i = 0; i < params->num_windows && names[n] != NULL; ++i) {
            rbc_window window;
            RBC__TRY(rbc__window_at(params->windows, i, &window, err));
            if (strcmp(window.stream, names[n]) == 0) {
                window.struct_size = sizeof window;
                window.vector = RBC_VECTOR_NONE;
                window.future = NULL;
                window.ticks = ticks;
                window.offsets_ns = NULL;
                window.count = TICKS_AT_ONCE;
                out[(*count)++] = window;
            }
        }
        if (*count == before) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "require: no window takes stream '%s'; it is the windows of a stream "
                             "that say when it is valid",
                             names[n] != NULL ? names[n] : "NULL");
        }
    }
    return RBC_OK;
}

static rbc_status prepare(const rbc__batch_spec *spec, const rbc__clock *clock,
                          const rbc_selection *selection, rbc__request_watch *watch,
                          rbc__episodes **episodes, rbc__block_cache **blocks, prober *out,
                          rbc_error *err) {
    rbc__rows_params params = {.spec = spec,
                               .clock = clock,
                               .requests = rbc__dataset_requests(rbc_selection_dataset(selection))};
    RBC__TRY(rbc__episodes_create(spec, selection, CACHE_EPISODES, CACHE_BYTES, episodes, err));
    RBC__TRY(rbc__block_cache_create(CACHE_BYTES, blocks, err));
    params.episodes = *episodes;
    params.requests.cache = *blocks;
    params.requests.watch = watch;
    RBC__TRY(rbc__rows_create(&params, 1, NULL, &out->rows, err));
    return rbc__maker_create(spec->jpeg_dct, false, &out->maker, err);
}

static void word_clock(FILE *out, const rbc__clock *clock, const rbc__reference *reference,
                       int32_t num_streams) {
    (void)fprintf(
        out, "clock %llu/%llu Hz, steps %d: %llu/%llu Hz, snap %lld, on steps %d, named %d of",
        (unsigned long long)clock->rate.numerator, (unsigned long long)clock->rate.denominator,
        clock->has_control, (unsigned long long)clock->control.numerator,
        (unsigned long long)clock->control.denominator, (long long)clock->snap_ns,
        reference->is_on_steps, reference->is_named);
    for (int32_t i = 0; i < num_streams; ++i) {
        if (reference->is_of[i]) {
            fprintf(out, " %d", i);
        }
    }
}

static void word_window(FILE *out, const rbc__batch_spec *spec, const rbc__window_spec *window) {
    const rbc__used_stream *used = &spec->used[window->stream_at];
    (void)fprintf(out, "; stream %d %+lld ns, gap %lld, tolerance %lld, outside %d,", used->stream,
                  (long long)used->clock_offset_ns, (long long)window->max_gap_ns,
                  (long long)window->tolerance_ns, (int)window->outside);
    for (int32_t i = 0; i < window->num_runs; ++i) {
        (void)fprintf(out, " mode %d", (int)window->runs[i].mode);
    }
}

/* All that says which ticks are left; released with free(). NULL: there is no memory. */
static char *word_question(const rbc__batch_spec *spec, const rbc__clock *clock,
                           const rbc__reference *reference, const rbc_selection *selection,
                           rbc_on_error on_error) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (out == NULL) {
        return NULL;
    }
    (void)fprintf(out, "require: %016llx of %lld episodes, raise %d, ",
                  (unsigned long long)rbc__selection_fingerprint(selection),
                  (long long)rbc_selection_size(selection), on_error == RBC_ON_ERROR_RAISE);
    word_clock(out, clock, reference,
               rbc__dataset_schema(rbc_selection_dataset(selection))->num_streams);
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        word_window(out, spec, &spec->windows[i]);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

static rbc_status look(const rbc__batch_spec *spec, rbc__clock *clock,
                       const rbc_selection *selection, rbc_on_error on_error,
                       rbc__request_watch *watch, rbc__tick_runs *r, rbc_error *err) {
    rbc__episodes *episodes = NULL;
    rbc__block_cache *blocks = NULL;
    prober p = {0};
    rbc_status status = prepare(spec, clock, selection, watch, &episodes, &blocks, &p, err);
    if (status == RBC_OK) {
        status = scan(clock, &p, on_error, r, err);
    }
    rbc__rows_destroy(&p.rows);
    rbc__maker_destroy(&p.maker);
    rbc__episodes_destroy(&episodes);
    rbc__block_cache_destroy(&blocks);
    return status;
}

static rbc_status remember(rbc_dataset *dataset, const char *question, const rbc__tick_runs *r,
                           rbc_error *err) {
    int64_t *pairs;
    RBC__TRY(rbc__tick_runs_pack(r, &pairs, err));
    rbc__dataset_remember(dataset, question, pairs, 2 * r->count);
    free(pairs);
    return RBC_OK;
}

/* What is asked of the same data again is not read again. */
static rbc_status require(rbc__clock *clock, const rbc__batch_spec *spec,
                          const rbc__reference *reference, const rbc_selection *selection,
                          rbc_on_error on_error, rbc__request_watch *watch, rbc__tick_runs *r,
                          rbc_error *err) {
    rbc_dataset *dataset = rbc_selection_dataset(selection);
    char *question = word_question(spec, clock, reference, selection, on_error);
    if (question == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "require: no memory for %d windows",
                         spec->num_windows);
    }
    rbc_status status;
    int64_t *pairs;
    int64_t count;
    if (rbc__dataset_recall(dataset, question, &pairs, &count)) {
        status = rbc__tick_runs_unpack(r, pairs, count / 2, err);
        free(pairs);
    } else {
        status = look(spec, clock, selection, on_error, watch, r, err);
        if (status == RBC_OK) {
            status = remember(dataset, question, r, err);
        }
    }
    free(question);
    return status;
}

rbc_status rbc__require(rbc__clock *clock, const rbc__batch_spec_params *params,
                        const rbc__reference *reference, const rbc_selection *selection,
                        const char *const *names, int32_t num_names, rbc_on_error on_error,
                        rbc__request_watch *watch, rbc_error *err) {
    int32_t ticks[TICKS_AT_ONCE];
    for (int32_t i = 0; i < TICKS_AT_ONCE; ++i) {
        ticks[i] = i;
    }
    rbc__batch_spec_params probe = *params;
    const size_t most = (size_t)params->num_windows * (size_t)num_names + 1;
    rbc_window *windows = calloc(most, sizeof *windows);
    rbc__batch_spec *spec = NULL;
    rbc__tick_runs r;
    rbc_status status = rbc__tick_runs_begin(&r, err);
    if (status == RBC_OK) {
        status = windows == NULL ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                             "no memory for %d windows", params->num_windows)
                                 : choose_windows(params, names, num_names, ticks, windows,
                                                  &probe.num_windows, err);
    }
    if (status == RBC_OK) {
        probe.windows = windows;
        status = rbc__batch_spec_create(&probe, &spec, err);
    }
    if (status == RBC_OK) {
        status = require(clock, spec, reference, selection, on_error, watch, &r, err);
    }
    rbc__batch_spec_destroy(&spec);
    free(windows);
    if (status == RBC_OK) {
        rbc__tick_runs_give(&r, clock);
    }
    rbc__tick_runs_free(&r);
    return status;
}
