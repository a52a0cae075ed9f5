#include "statistics/ranks.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

/* Of 2^63 values there are fewer. */
#define MAX_LEVELS 48

#define DIGIT_BITS   8
#define DIGITS       (1 << DIGIT_BITS)
#define DIGITS_A_KEY (64 / DIGIT_BITS)

struct rbc__ranks {
    int32_t bits;
    int64_t *counts; /* [1 << bits]; NULL: wide keys */
    int64_t count;
    uint64_t *fresh; /* [room] not sorted yet */
    int64_t num_fresh, room;
    uint64_t *levels[MAX_LEVELS]; /* [RBC__RANKS_BUFFER] sorted; NULL: none */
    bool takes_odd[MAX_LEVELS];   /* the next merge of the level */
    int32_t num_levels;           /* that have merged */
};

/* Keys in ascending order that stand for several values each. */
typedef struct weighted {
    uint64_t *keys;
    int64_t *weights;
    int64_t count;
} weighted;

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: no memory for values by rank");
}

rbc_status rbc__ranks_create(int32_t bits, rbc__ranks **out, rbc_error *err) {
    rbc__ranks *ranks = calloc(1, sizeof *ranks);
    *out = ranks;
    if (ranks == NULL) {
        return out_of_memory(err);
    }
    ranks->bits = bits;
    if (bits <= 16) {
        ranks->counts = calloc((size_t)1 << bits, sizeof *ranks->counts);
        if (ranks->counts == NULL) {
            rbc__ranks_destroy(out);
            return out_of_memory(err);
        }
    }
    return RBC_OK;
}

void rbc__ranks_destroy(rbc__ranks **handle) {
    rbc__ranks *ranks = *handle;
    *handle = NULL;
    if (ranks == NULL) {
        return;
    }
    for (int32_t i = 0; i < MAX_LEVELS; ++i) {
        free(ranks->levels[i]);
    }
    free(ranks->counts);
    free(ranks->fresh);
    free(ranks);
}

/* ---- sorted buffers ---- */

/* By one digit after the other, those left out in which all keys are the same. */
static void sort_keys(uint64_t *keys, uint64_t *spare, int64_t count) {
    int64_t begins[DIGITS_A_KEY][DIGITS];
    memset(begins, 0, sizeof begins);
    for (int64_t i = 0; i < count; ++i) {
        for (int d = 0; d < DIGITS_A_KEY; ++d) {
            ++begins[d][keys[i] >> (d * DIGIT_BITS) & (DIGITS - 1)];
        }
    }
    uint64_t *from = keys;
    uint64_t *to = spare;
    for (int d = 0; d < DIGITS_A_KEY && count > 0; ++d) {
        const int shift = d * DIGIT_BITS;
        if (begins[d][keys[0] >> shift & (DIGITS - 1)] == count) {
            continue;
        }
        int64_t at = 0;
        for (int i = 0; i < DIGITS; ++i) {
            const int64_t here = begins[d][i];
            begins[d][i] = at;
            at += here;
        }
        for (int64_t i = 0; i < count; ++i) {
            to[begins[d][from[i] >> shift & (DIGITS - 1)]++] = from[i];
        }
        uint64_t *const swapped = from;
        from = to;
        to = swapped;
    }
    if (from != keys) {
        memcpy(keys, from, (size_t)count * sizeof *keys);
    }
}

/* Every second key of two buffers in one order, into `out`. */
static void merge_half(const uint64_t *a, const uint64_t *b, bool odd, uint64_t *out) {
    int64_t i = 0;
    int64_t j = 0;
    for (int64_t k = 0; k < 2 * (int64_t)RBC__RANKS_BUFFER; ++k) {
        const bool takes_a = j == RBC__RANKS_BUFFER || (i < RBC__RANKS_BUFFER && a[i] <= b[j]);
        const uint64_t key = takes_a ? a[i] : b[j];
        i += takes_a;
        j += !takes_a;
        if ((k & 1) == (int64_t)odd) {
            out[k >> 1] = key;
        }
    }
}

/* Takes a full, sorted buffer over. */
static rbc_status carry(rbc__ranks *ranks, uint64_t *buffer, rbc_error *err) {
    int32_t level = 0;
    for (; ranks->levels[level] != NULL; ++level) {
        uint64_t *merged = malloc(RBC__RANKS_BUFFER * sizeof *merged);
        if (merged == NULL) {
            free(buffer);
            return out_of_memory(err);
        }
        merge_half(ranks->levels[level], buffer, ranks->takes_odd[level], merged);
        ranks->takes_odd[level] = !ranks->takes_odd[level];
        ranks->num_levels = level >= ranks->num_levels ? level + 1 : ranks->num_levels;
        free(ranks->levels[level]);
        ranks->levels[level] = NULL;
        free(buffer);
        buffer = merged;
    }
    ranks->levels[level] = buffer;
    return RBC_OK;
}

static rbc_status reserve_fresh(rbc__ranks *ranks, int64_t wanted, rbc_error *err) {
    int64_t room = ranks->room > 0 ? ranks->room : 256;
    while (room < wanted) {
        room *= 2;
    }
    if (room != ranks->room) {
        uint64_t *grown = realloc(ranks->fresh, (size_t)room * sizeof *grown);
        if (grown == NULL) {
            return out_of_memory(err);
        }
        ranks->fresh = grown;
        ranks->room = room;
    }
    return RBC_OK;
}

/* Sorts the fresh keys, which fill a buffer. */
static rbc_status finish_buffer(rbc__ranks *ranks, rbc_error *err) {
    uint64_t *full = ranks->fresh;
    uint64_t *spare = malloc(RBC__RANKS_BUFFER * sizeof *spare);
    if (spare == NULL) {
        return out_of_memory(err);
    }
    sort_keys(full, spare, RBC__RANKS_BUFFER);
    free(spare);
    ranks->fresh = NULL;
    ranks->num_fresh = 0;
    ranks->room = 0;
    return carry(ranks, full, err);
}

rbc_status rbc__ranks_add(rbc__ranks *ranks, const uint64_t *keys, int64_t count, rbc_error *err) {
    ranks->count += count;
    if (ranks->counts != NULL) {
        for (int64_t i = 0; i < count; ++i) {
            ++ranks->counts[keys[i]];
        }
        return RBC_OK;
    }
    while (count > 0) {
        const int64_t left = RBC__RANKS_BUFFER - ranks->num_fresh;
        const int64_t taken = count < left ? count : left;
        RBC__TRY(reserve_fresh(ranks, ranks->num_fresh + taken, err));
        memcpy(ranks->fresh + ranks->num_fresh, keys, (size_t)taken * sizeof *keys);
        ranks->num_fresh += taken;
        keys += taken;
        count -= taken;
        if (ranks->num_fresh == RBC__RANKS_BUFFER) {
            RBC__TRY(finish_buffer(ranks, err));
        }
    }
    return RBC_OK;
}

/* ---- lists ---- */

void rbc__ranked_free(rbc__ranked *ranked) {
    free(ranked->values);
    free(ranked->up_to);
    *ranked = (rbc__ranked){0};
}

static rbc_status make_list(int64_t room, rbc__ranked *out, rbc_error *err) {
    out->values = calloc((size_t)room + 1, sizeof *out->values);
    out->up_to = calloc((size_t)room + 1, sizeof *out->up_to);
    if (out->values == NULL || out->up_to == NULL) {
        rbc__ranked_free(out);
        return out_of_memory(err);
    }
    return RBC_OK;
}

/* What stays of `count` different values in ascending order, of which `up_to` counts: all, or
 * RBC__RANKS_KEPT, of equal shares of all those in the middle. `picks` has room for as many: which
 * they are. Fills `out` but for the values. */
static rbc_status shorten(const int64_t *up_to, int64_t count, double error, int64_t *picks,
                          rbc__ranked *out, rbc_error *err) {
    const int64_t kept = count < RBC__RANKS_KEPT ? count : RBC__RANKS_KEPT;
    *out = (rbc__ranked){.error = error};
    RBC__TRY(make_list(kept, out, err));
    out->num_values = kept;
    if (kept == count) {
        for (int64_t i = 0; i < count; ++i) {
            picks[i] = i;
            out->up_to[i] = up_to[i];
        }
        return RBC_OK;
    }
    const int64_t all = up_to[count - 1];
    int64_t at = 0;
    int64_t begin = 0;
    for (int64_t i = 0; i < kept; ++i) {
        const double share = (double)(i + 1) / (double)kept;
        const int64_t end = i + 1 < kept ? (int64_t)((double)all * share) : all;
        const int64_t middle = begin + (end - begin) / 2;
        while (up_to[at] <= middle) {
            ++at;
        }
        picks[i] = at;
        out->up_to[i] = end;
        begin = end;
    }
    out->error += 0.5 / (double)kept;
    return RBC_OK;
}

/* Makes one of equal neighbours. */
static void join_equal(rbc__ranked *list) {
    int64_t count = 0;
    for (int64_t i = 0; i < list->num_values; ++i) {
        const bool is_new = count == 0 || list->values[count - 1] != list->values[i];
        count += is_new;
        list->values[count - 1] = list->values[i];
        list->up_to[count - 1] = list->up_to[i];
    }
    list->num_values = count;
}

/* Lists keys in order; equal ones become one. `list` is written over. */
static rbc_status list_keys(weighted *list, rbc__key_value_fn value_of, double error,
                            rbc__ranked *out, rbc_error *err) {
    int64_t distinct = 0;
    int64_t all = 0;
    for (int64_t i = 0; i < list->count; ++i) {
        all += list->weights[i];
        distinct += distinct == 0 || list->keys[distinct - 1] != list->keys[i];
        list->keys[distinct - 1] = list->keys[i];
        list->weights[distinct - 1] = all;
    }
    int64_t picks[RBC__RANKS_KEPT];
    RBC__TRY(shorten(list->weights, distinct, error, picks, out, err));
    for (int64_t i = 0; i < out->num_values; ++i) {
        out->values[i] = value_of(list->keys[picks[i]]);
    }
    join_equal(out);
    return RBC_OK;
}

static rbc_status list_counted(const rbc__ranks *ranks, weighted *list, rbc_error *err) {
    const int64_t num_keys = (int64_t)1 << ranks->bits;
    list->keys = calloc((size_t)num_keys, sizeof *list->keys);
    list->weights = calloc((size_t)num_keys, sizeof *list->weights);
    if (list->keys == NULL || list->weights == NULL) {
        return out_of_memory(err);
    }
    for (int64_t key = 0; key < num_keys; ++key) {
        if (ranks->counts[key] > 0) {
            list->keys[list->count] = (uint64_t)key;
            list->weights[list->count++] = ranks->counts[key];
        }
    }
    return RBC_OK;
}

/* Adds `count` keys in order, of one weight. */
static rbc_status add_weighted(weighted *list, const uint64_t *keys, int64_t count, int64_t weight,
                               rbc_error *err) {
    const size_t total = (size_t)(list->count + count) + 1;
    weighted merged = {.keys = calloc(total, sizeof *merged.keys),
                       .weights = calloc(total, sizeof *merged.weights)};
    if (merged.keys == NULL || merged.weights == NULL) {
        free(merged.keys);
        free(merged.weights);
        return out_of_memory(err);
    }
    int64_t i = 0;
    int64_t j = 0;
    while (i < list->count && j < count) {
        const bool takes_old = list->keys[i] <= keys[j];
        merged.keys[merged.count] = takes_old ? list->keys[i] : keys[j];
        merged.weights[merged.count++] = takes_old ? list->weights[i] : weight;
        i += takes_old;
        j += !takes_old;
    }
    for (; i < list->count; ++i) {
        merged.keys[merged.count] = list->keys[i];
        merged.weights[merged.count++] = list->weights[i];
    }
    for (; j < count; ++j) {
        merged.keys[merged.count] = keys[j];
        merged.weights[merged.count++] = weight;
    }
    free(list->keys);
    free(list->weights);
    *list = merged;
    return RBC_OK;
}

static rbc_status gather_weighted(const rbc__ranks *ranks, weighted *list, rbc_error *err) {
    const size_t bytes = (size_t)ranks->num_fresh * sizeof(uint64_t);
    uint64_t *sorted = calloc(2 * bytes + 1, 1);
    if (sorted == NULL) {
        return out_of_memory(err);
    }
    if (bytes > 0) {
        memcpy(sorted, ranks->fresh, bytes);
        sort_keys(sorted, sorted + ranks->num_fresh, ranks->num_fresh);
    }
    rbc_status status = add_weighted(list, sorted, ranks->num_fresh, 1, err);
    free(sorted);
    for (int32_t level = 0; level < MAX_LEVELS && status == RBC_OK; ++level) {
        if (ranks->levels[level] != NULL) {
            status = add_weighted(list, ranks->levels[level], RBC__RANKS_BUFFER,
                                  (int64_t)1 << level, err);
        }
    }
    return status;
}

rbc_status rbc__ranks_list(const rbc__ranks *ranks, rbc__key_value_fn value_of, rbc__ranked *out,
                           rbc_error *err) {
    const double levels = (double)ranks->num_levels;
    const double error =
        ranks->num_levels > 0 ? (levels / 2 + 1) / (2 * (double)RBC__RANKS_BUFFER) : 0.0;
    weighted list = {0};
    *out = (rbc__ranked){0};
    rbc_status status = ranks->counts != NULL ? list_counted(ranks, &list, err)
                                              : gather_weighted(ranks, &list, err);
    if (status == RBC_OK) {
        status = list_keys(&list, value_of, error, out, err);
    }
    free(list.keys);
    free(list.weights);
    return status;
}

/* Of several lists, the one whose next value is the lowest; -1: all are at their ends. */
static int64_t lowest_of(const rbc__ranked *const *parts, const int64_t *at, int64_t num_parts) {
    int64_t lowest = -1;
    for (int64_t p = 0; p < num_parts; ++p) {
        if (at[p] < parts[p]->num_values &&
            (lowest < 0 || parts[p]->values[at[p]] < parts[lowest]->values[at[lowest]])) {
            lowest = p;
        }
    }
    return lowest;
}

rbc_status rbc__ranked_merge(const rbc__ranked *const *parts, int64_t num_parts, rbc__ranked *out,
                             rbc_error *err) {
    int64_t total = 0;
    double all = 0;
    double off = 0;
    *out = (rbc__ranked){0};
    for (int64_t p = 0; p < num_parts; ++p) {
        const int64_t count = parts[p]->num_values;
        total += count;
        if (count > 0) {
            all += (double)parts[p]->up_to[count - 1];
            off += parts[p]->error * (double)parts[p]->up_to[count - 1];
        }
    }
    int64_t picks[RBC__RANKS_KEPT];
    rbc__ranked list = {0};
    RBC__TRY(make_list(total, &list, err));
    int64_t *at = calloc((size_t)num_parts + 1, sizeof *at);
    rbc_status status = at != NULL ? RBC_OK : out_of_memory(err);
    int64_t up_to = 0;
    for (int64_t i = 0; status == RBC_OK && i < total; ++i) {
        const int64_t p = lowest_of(parts, at, num_parts);
        const int64_t k = at[p]++;
        up_to += parts[p]->up_to[k] - (k > 0 ? parts[p]->up_to[k - 1] : 0);
        list.values[i] = parts[p]->values[k];
        list.up_to[i] = up_to;
    }
    if (status == RBC_OK) {
        list.num_values = total;
        join_equal(&list);
        status = shorten(list.up_to, list.num_values, all > 0 ? off / all : 0.0, picks, out, err);
    }
    for (int64_t i = 0; status == RBC_OK && i < out->num_values; ++i) {
        out->values[i] = list.values[picks[i]];
    }
    if (status == RBC_OK) {
        join_equal(out);
    }
    free(at);
    rbc__ranked_free(&list);
    return status;
}

double rbc__ranked_at(const rbc__ranked *ranked, int64_t rank) {
    int64_t first = 0;
    int64_t end = ranked->num_values - 1;
    while (first < end) {
        const int64_t middle = first + (end - first) / 2;
        if (ranked->up_to[middle] <= rank) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return ranked->values[first];
}
