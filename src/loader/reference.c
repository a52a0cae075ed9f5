#define _POSIX_C_SOURCE 200809L

#include "loader/reference.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* An epoch this many times as long as the steps say is mostly of nothing. */
#define MAX_STRETCH 10

void rbc__notes_add(rbc__notes *notes, const char *format, ...) {
    char text[RBC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    char **grown = realloc(notes->texts, ((size_t)notes->count + 1) * sizeof *grown);
    if (grown == NULL) {
        return;
    }
    notes->texts = grown;
    grown[notes->count] = strdup(text);
    notes->count += grown[notes->count] != NULL;
}

void rbc__notes_free(rbc__notes *notes) {
    for (int64_t i = 0; i < notes->count; ++i) {
        free(notes->texts[i]);
    }
    free(notes->texts);
    *notes = (rbc__notes){0};
}

static const rbc__schema *schema_of(const rbc_selection *selection) {
    return rbc__dataset_schema(rbc_selection_dataset(selection));
}

static const char *name_of(const rbc_selection *selection) {
    rbc_dataset_info info;
    rbc_dataset_get_info(rbc_selection_dataset(selection), &info);
    return info.name;
}

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the clock of the episodes");
}

/* First and last stamps of a stream in each episode. */
typedef struct spans {
    int64_t *first_ns, *last_ns;
} spans;

static void free_spans(spans *s) {
    free(s->first_ns);
    *s = (spans){0};
}

static rbc_status load_spans(const rbc_selection *selection, int32_t times, spans *out,
                             rbc_error *err) {
    const size_t count = (size_t)rbc_selection_size(selection);
    out->first_ns = calloc(2 * count + 1, sizeof *out->first_ns);
    if (out->first_ns == NULL) {
        return out_of_memory(err);
    }
    out->last_ns = out->first_ns + count;
    const rbc_status status =
        rbc__selection_load_spans(selection, times, out->first_ns, out->last_ns, err);
    if (status != RBC_OK) {
        free_spans(out);
    }
    return status;
}

/* ---- choosing ---- */

static rbc_status find_named(const rbc_selection *selection, const char *name, int32_t *out,
                             rbc_error *err) {
    const rbc__schema *schema = schema_of(selection);
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        if (name != NULL && strcmp(schema->streams[i].name, name) == 0) {
            *out = i;
            return RBC_OK;
        }
    }
    return rbc__fail(err, RBC_ERROR_NOT_FOUND, "clock: dataset '%s' has no stream '%s'",
                     name_of(selection), name != NULL ? name : "NULL");
}

static rbc_status choose_named(rbc__reference *reference, const char *const *names,
                               int32_t num_names, bool has_control, rbc_error *err) {
    const rbc__schema *schema = schema_of(reference->selection);
    const char *on_steps = NULL;
    const char *stamped = NULL;
    for (int32_t i = 0; i < num_names; ++i) {
        int32_t stream = 0;
        RBC__TRY(find_named(reference->selection, names[i], &stream, err));
        const bool has_stamps = schema->streams[stream].times >= 0;
        reference->is_of[stream] = has_stamps;
        stamped = has_stamps ? names[i] : stamped;
        on_steps = has_stamps ? on_steps : names[i];
    }
    if (on_steps != NULL && stamped != NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "clock: stream '%s' has stamps and stream '%s' has none; the clock is "
                         "that of the ones or of the others",
                         stamped, on_steps);
    }
    if (on_steps != NULL && !has_control) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "clock: stream '%s' has no stamps, and the control rate of dataset '%s', "
                         "which would give it some, is unknown: open the dataset with "
                         "control_rate_hz",
                         on_steps, name_of(reference->selection));
    }
    reference->is_on_steps = on_steps != NULL;
    return RBC_OK;
}

/* Streams of a rate of their own do not stand for the steps where others lie on them. */
static void choose_default(rbc__reference *reference, bool has_control) {
    const rbc__schema *schema = schema_of(reference->selection);
    bool speaks_of_steps = false; /* a reference stream does */
    bool has_steps = false;       /* there are streams without stamps */
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        reference->is_of[i] = stream->is_reference;
        speaks_of_steps =
            speaks_of_steps ||
            (stream->is_reference && (!stream->is_ragged || rbc__stream_is_action(stream)));
        bool are_stamps = false;
        for (int32_t k = 0; k < schema->num_streams; ++k) {
            are_stamps = are_stamps || schema->streams[k].times == i;
        }
        has_steps = has_steps || (stream->times < 0 && !are_stamps &&
                                  stream->kind != RBC_STREAM_TEXT && stream->unsupported == NULL);
    }
    if (!speaks_of_steps && has_steps && has_control) {
        memset(reference->is_of, 0, (size_t)schema->num_streams * sizeof *reference->is_of);
        reference->is_on_steps = true;
    }
}

/* From the first of all first stamps to the last of all last ones. */
static rbc_status join_spans(rbc__reference *reference, rbc_error *err) {
    const rbc__schema *schema = schema_of(reference->selection);
    const int64_t count = rbc_selection_size(reference->selection);
    reference->start_ns = calloc(2 * (size_t)count + 1, sizeof *reference->start_ns);
    if (reference->start_ns == NULL) {
        return out_of_memory(err);
    }
    reference->end_ns = reference->start_ns + count;
    for (int64_t e = 0; e < count; ++e) {
        reference->end_ns[e] = -1;
    }
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        spans found = {0};
        if (!reference->is_of[i]) {
            continue;
        }
        RBC__TRY(load_spans(reference->selection, schema->streams[i].times, &found, err));
        for (int64_t e = 0; e < count; ++e) {
            int64_t *start = &reference->start_ns[e];
            int64_t *end = &reference->end_ns[e];
            if (found.last_ns[e] < found.first_ns[e]) {
                continue;
            }
            const bool is_first = *end < *start;
            *start = is_first || found.first_ns[e] < *start ? found.first_ns[e] : *start;
            *end = is_first || found.last_ns[e] > *end ? found.last_ns[e] : *end;
        }
        free_spans(&found);
    }
    return RBC_OK;
}

rbc_status rbc__reference_init(rbc__reference *out, const rbc_selection *selection,
                               const char *const *names, int32_t num_names, bool has_control,
                               rbc_error *err) {
    *out = (rbc__reference){.selection = selection, .is_named = num_names > 0};
    out->is_of = calloc((size_t)schema_of(selection)->num_streams + 1, sizeof *out->is_of);
    if (out->is_of == NULL) {
        return out_of_memory(err);
    }
    rbc_status status = RBC_OK;
    if (num_names > 0) {
        status = choose_named(out, names, num_names, has_control, err);
    } else {
        choose_default(out, has_control);
    }
    if (status == RBC_OK && num_names > 0 && !out->is_on_steps) {
        status = join_spans(out, err);
    }
    if (status != RBC_OK) {
        rbc__reference_free(out);
    }
    return status;
}

void rbc__reference_free(rbc__reference *reference) {
    free(reference->is_of);
    free(reference->start_ns);
    *reference = (rbc__reference){0};
}

/* ---- checking ---- */

/* Seconds from `from` to `to`. */
static double seconds_between(int64_t from, int64_t to) {
    return to >= from ? (double)((uint64_t)to - (uint64_t)from) * 1e-9
                      : -(double)((uint64_t)from - (uint64_t)to) * 1e-9;
}

/* What the reference streams say of one episode. */
typedef struct extremes {
    const char *first, *last; /* the streams that begin it and end it; NULL: none */
    int64_t first_ns, last_ns;
    int64_t longest_ns; /* that one of them runs */
} extremes;

static void widen(extremes *at, const char *stream, int64_t first, int64_t last) {
    int64_t length = 0;
    if (__builtin_sub_overflow(last, first, &length)) {
        length = INT64_MAX;
    }
    if (at->first == NULL || first < at->first_ns) {
        at->first = stream;
        at->first_ns = first;
    }
    if (at->last == NULL || last > at->last_ns) {
        at->last = stream;
        at->last_ns = last;
    }
    at->longest_ns = length > at->longest_ns ? length : at->longest_ns;
}

/* Fills the zeroed out[0, count) for episodes [begin, begin + count). */
static rbc_status find_extremes(const rbc__reference *reference, int64_t begin, int64_t count,
                                extremes *out, rbc_error *err) {
    const rbc__schema *schema = schema_of(reference->selection);
    for (int32_t i = 0; i < schema->num_streams; ++i) {
        const rbc__stream_schema *stream = &schema->streams[i];
        spans found = {0};
        if (!reference->is_of[i]) {
            continue;
        }
        RBC__TRY(load_spans(reference->selection, stream->times, &found, err));
        for (int64_t e = 0; e < count; ++e) {
            const int64_t first = found.first_ns[begin + e];
            const int64_t last = found.last_ns[begin + e];
            if (last >= first) {
                widen(&out[e], stream->name, first, last);
            }
        }
        free_spans(&found);
    }
    return RBC_OK;
}

static int32_t count_streams(const rbc__reference *reference) {
    int32_t count = 0;
    for (int32_t i = 0; i < schema_of(reference->selection)->num_streams; ++i) {
        count += reference->is_of[i];
    }
    return count;
}

/* Ticks that an episode may be expected to have; 0: nothing says it. */
static int64_t expected_ticks(const rbc__clock *clock, int64_t episode, const extremes *found) {
    if (clock->has_control) {
        const int64_t steps = clock->from.steps[episode];
        return rbc__rate_num_ticks(&clock->rate,
                                   rbc__rate_time_ns(&clock->control, steps > 1 ? steps - 1 : 0));
    }
    return found != NULL ? rbc__rate_num_ticks(&clock->rate, found[episode].longest_ns) : 0;
}

/* Episodes with more than MAX_STRETCH times the ticks expected, and the one that has most. */
typedef struct stretch {
    double expected; /* over all episodes */
    int64_t count, worst;
} stretch;

static stretch find_stretch(const rbc__clock *clock, const extremes *found) {
    stretch out = {.worst = -1};
    int64_t most = 0;
    for (int64_t e = 0; e < clock->from.num_episodes; ++e) {
        const int64_t ticks = rbc__clock_num_ticks(clock, e);
        const int64_t expected = expected_ticks(clock, e, found);
        out.expected += (double)expected;
        if (expected > 0 && (ticks - 1) / MAX_STRETCH >= expected) {
            ++out.count;
            out.worst = ticks > most ? e : out.worst;
            most = ticks > most ? ticks : most;
        }
    }
    return out;
}

static rbc_status report_stretch(const rbc__reference *reference, const rbc__clock *clock,
                                 const stretch *found, rbc__notes *notes, rbc_error *err) {
    extremes worst = {0};
    RBC__TRY(find_extremes(reference, found->worst, 1, &worst, err));
    const double ticks = (double)clock->first_tick[clock->from.num_episodes];
    char where[512];
    snprintf(
        where, sizeof where,
        "in episode %lld the stamps of '%s' begin at %lld ns and those of '%s' end at %lld ns, "
        "%.9g s later, over %lld steps; `clock` names the streams that the clock is taken from",
        (long long)rbc__selection_ids(reference->selection)[found->worst],
        worst.first != NULL ? worst.first : "", (long long)worst.first_ns,
        worst.last != NULL ? worst.last : "", (long long)worst.last_ns,
        seconds_between(worst.first_ns, worst.last_ns), (long long)clock->from.steps[found->worst]);
    if (ticks > MAX_STRETCH * found->expected) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "at rate_hz %g the epoch has %.0f samples, more than ten times the %.0f "
                         "that its steps say: %s",
                         clock->from.rate_hz, ticks, found->expected, where);
    }
    rbc__notes_add(notes,
                   "%lld of %lld episodes are more than ten times as long as their steps say: %s",
                   (long long)found->count, (long long)clock->from.num_episodes, where);
    return RBC_OK;
}

static rbc_status check_length(const rbc__reference *reference, const rbc__clock *clock,
                               rbc__notes *notes, rbc_error *err) {
    extremes *found = NULL;
    rbc_status status = RBC_OK;
    if (reference->is_on_steps) {
        return RBC_OK;
    }
    if (!clock->has_control && count_streams(reference) > 1) {
        found = calloc((size_t)clock->from.num_episodes + 1, sizeof *found);
        status = found == NULL ? out_of_memory(err)
                               : find_extremes(reference, 0, clock->from.num_episodes, found, err);
    }
    if (status == RBC_OK) {
        const stretch stretched = find_stretch(clock, found);
        if (stretched.count > 0) {
            status = report_stretch(reference, clock, &stretched, notes, err);
        }
    }
    free(found);
    return status;
}

/* What the clock is taken from: one of its streams. */
static void name_reference(const rbc__reference *reference, char *text, size_t bytes) {
    const rbc__schema *schema = schema_of(reference->selection);
    snprintf(text, bytes, "the steps");
    for (int32_t i = schema->num_streams - 1; i >= 0; --i) {
        if (reference->is_of[i]) {
            snprintf(text, bytes, "'%s'", schema->streams[i].name);
        }
    }
}

/* `found`: the stream's stamps, or NULL where it lies on the steps. */
static void note_outside(const rbc__reference *reference, const rbc__clock *clock,
                         const rbc__used_stream *used, const spans *found, rbc__notes *notes) {
    int64_t count = 0;
    int64_t first_episode = -1;
    double offset_s = 0.0;
    for (int64_t e = 0; e < clock->from.num_episodes; ++e) {
        int64_t first = found ? found->first_ns[e] : rbc__clock_steps_start_ns(clock, e);
        int64_t last = found ? found->last_ns[e] : rbc__clock_steps_end_ns(clock, e);
        const int64_t begin = rbc__clock_origin_ns(clock, e);
        const int64_t end = rbc__clock_end_ns(clock, e);
        const bool is_empty = last < first;
        first = rbc__time_add_ns(first, used->clock_offset_ns);
        last = rbc__time_add_ns(last, used->clock_offset_ns);
        if (is_empty || rbc__clock_num_ticks(clock, e) == 0 ||
            (first <= rbc__time_add_ns(end, clock->snap_ns) &&
             rbc__time_add_ns(last, clock->snap_ns) >= begin)) {
            continue;
        }
        if (count == 0) {
            first_episode = e;
            offset_s = seconds_between(begin, first);
        }
        ++count;
    }
    if (count > 0) {
        char name[256];
        name_reference(reference, name, sizeof name);
        rbc__notes_add(notes,
                       "stream '%s' lies outside of the clock, which is that of %s, in %lld of "
                       "%lld episodes: in episode %lld it begins %.9g s %s the clock does",
                       used->schema->name, name, (long long)count,
                       (long long)clock->from.num_episodes,
                       (long long)rbc__selection_ids(reference->selection)[first_episode],
                       offset_s < 0.0 ? -offset_s : offset_s, offset_s < 0.0 ? "before" : "after");
    }
}

rbc_status rbc__reference_check(const rbc__reference *reference, const rbc__clock *clock,
                                const rbc__batch_spec *spec, rbc__notes *notes, rbc_error *err) {
    RBC__TRY(check_length(reference, clock, notes, err));
    for (int32_t i = 0; i < spec->num_used; ++i) {
        const rbc__used_stream *used = &spec->used[i];
        if (used->times < 0) {
            if (reference->is_named && !reference->is_on_steps && clock->has_control) {
                note_outside(reference, clock, used, NULL, notes);
            }
        } else if (!reference->is_of[used->stream] || used->clock_offset_ns != 0) {
            spans found = {0};
            RBC__TRY(load_spans(reference->selection, used->times, &found, err));
            note_outside(reference, clock, used, &found, notes);
            free_spans(&found);
        }
    }
    return RBC_OK;
}
