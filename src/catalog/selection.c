#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/dataset.h"
#include "catalog/dataset_state.h"
#include "core/error.h"
#include "core/fork.h"

struct rbc_selection {
    rbc_selection *self; /* for those who hold it as const */
    atomic_int references;
    rbc_dataset *dataset;
    int64_t count;
    int64_t num_steps;
    uint64_t fingerprint;
    int64_t *ids;          /* [4 * count]: ids, steps, start_ns, end_ns */
    int64_t *range_begins; /* [count + 1] into ranges; NULL: all steps are kept */
    rbc_step_range *ranges;
};

static rbc_status out_of_memory(int64_t count, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "selection: no memory for %lld episodes",
                     (long long)count);
}

static uint64_t mix(uint64_t hash, int64_t value) {
    hash = (hash ^ (uint64_t)value) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

/* Takes over `ids`, malloc'ed with room for 4 * count; frees it on failure. */
static rbc_status make(rbc_dataset *dataset, int64_t *ids, int64_t count, rbc_selection **out,
                       rbc_error *err) {
    const int64_t *steps;
    const int64_t *start_ns;
    const int64_t *end_ns;
    rbc_status status = rbc__dataset_steps(dataset, &steps, &start_ns, &end_ns, err);
    rbc_selection *selection = status == RBC_OK ? calloc(1, sizeof *selection) : NULL;
    if (status == RBC_OK && selection == NULL) {
        status = out_of_memory(count, err);
    }
    if (status != RBC_OK) {
        free(ids);
        return status;
    }
    selection->self = selection;
    atomic_init(&selection->references, 1);
    selection->dataset = dataset;
    rbc__dataset_retain(dataset);
    selection->ids = ids;
    selection->count = count;
    uint64_t hash = mix(UINT64_C(0x243f6a8885a308d3), count);
    for (int64_t i = 0; i < count; ++i) {
        const int64_t id = ids[i];
        ids[count + i] = steps[id];
        ids[2 * count + i] = start_ns[id];
        ids[3 * count + i] = end_ns[id];
        hash = mix(mix(hash, id), steps[id]);
        if (!rbc__add_size(selection->num_steps, steps[id], &selection->num_steps)) {
            rbc_selection_destroy(&selection);
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "selection: its episodes have more than 2^63 steps");
        }
    }
    selection->fingerprint = hash;
    *out = selection;
    return RBC_OK;
}

/* Takes the ranges over, malloc'ed, which are right. */
static void set_ranges(rbc_selection *selection, int64_t *begins, rbc_step_range *ranges) {
    selection->range_begins = begins;
    selection->ranges = ranges;
    selection->num_steps = 0;
    uint64_t hash = selection->fingerprint;
    for (int64_t i = 0; i < selection->count; ++i) {
        hash = mix(hash, begins[i + 1] - begins[i]);
        for (int64_t r = begins[i]; r < begins[i + 1]; ++r) {
            hash = mix(mix(hash, ranges[r].first), ranges[r].end);
            selection->num_steps += ranges[r].end - ranges[r].first;
        }
    }
    selection->fingerprint = hash;
}

/* Gives a selection of those at `positions` of `base` what is kept of them there. On failure it is
 * destroyed. */
static rbc_status inherit(const rbc_selection *base, const int64_t *positions,
                          rbc_selection **selection, rbc_error *err) {
    if (base == NULL || base->range_begins == NULL || positions == NULL) {
        return RBC_OK;
    }
    const int64_t count = (*selection)->count;
    int64_t num_ranges = 0;
    for (int64_t i = 0; i < count; ++i) {
        num_ranges += base->range_begins[positions[i] + 1] - base->range_begins[positions[i]];
    }
    int64_t *begins = calloc((size_t)count + 1, sizeof *begins);
    rbc_step_range *ranges = malloc((size_t)(num_ranges + 1) * sizeof *ranges);
    if (begins == NULL || ranges == NULL) {
        free(begins);
        free(ranges);
        rbc_selection_destroy(selection);
        return out_of_memory(count, err);
    }
    begins[0] = 0;
    for (int64_t i = 0; i < count; ++i) {
        const int64_t first = base->range_begins[positions[i]];
        const int64_t size = base->range_begins[positions[i] + 1] - first;
        memcpy(ranges + begins[i], base->ranges + first, (size_t)size * sizeof *ranges);
        begins[i + 1] = begins[i] + size;
    }
    set_ranges(*selection, begins, ranges);
    return RBC_OK;
}

static rbc_status allocate(int64_t count, int64_t **out, rbc_error *err) {
    int64_t bytes;
    *out = NULL;
    if (rbc__mul_size(count, 4 * (int64_t)sizeof **out, &bytes)) {
        *out = calloc(1, (size_t)bytes + 1);
    }
    return *out != NULL ? RBC_OK : out_of_memory(count, err);
}

static rbc_status check_split(const rbc_dataset *dataset, const char *split, rbc_error *err) {
    char names[512] = "";
    size_t length = 0;
    for (int32_t i = 0; i < dataset->num_splits; ++i) {
        const char *name = dataset->splits[i].name;
        if (strcmp(name, split) == 0) {
            return RBC_OK;
        }
        const size_t more = strlen(name);
        if (length + more + 3 < sizeof names) {
            memcpy(names + length, i > 0 ? ", " : "", i > 0 ? 2 : 0);
            length += i > 0 ? 2 : 0;
            memcpy(names + length, name, more + 1);
            length += more;
        }
    }
    return rbc__fail(err, RBC_ERROR_NOT_FOUND, "no split '%s' in '%s'; there are: %s", split,
                     dataset->root, names);
}

/* Sets keep[id] for the episodes that are in `split` and for which `where` holds; NULL: all. */
static rbc_status mark(const rbc_dataset *dataset, const char *split, const char *where,
                       rbc__watch *watch, uint8_t *keep, rbc_error *err) {
    const rbc__catalog *catalog = dataset->catalog;
    if (split != NULL) {
        RBC__TRY(check_split(dataset, split, err));
    }
    if (where != NULL) {
        RBC__TRY(rbc__catalog_where(catalog, where, watch, keep, err));
    } else {
        memset(keep, 1, (size_t)catalog->num_episodes);
    }
    for (int64_t i = 0; split != NULL && i < catalog->num_parts; ++i) {
        if (strcmp(dataset->schema->parts[i].split, split) != 0) {
            memset(keep + catalog->parts[i].first_id, 0, (size_t)catalog->parts[i].num_episodes);
        }
    }
    return RBC_OK;
}

/* Those of `base` (NULL: all, in the dataset's order) that are marked. */
static rbc_status pick(rbc_dataset *dataset, const rbc_selection *base, const uint8_t *keep,
                       rbc_selection **out, rbc_error *err) {
    const int64_t size = base != NULL ? base->count : dataset->catalog->num_episodes;
    int64_t count = 0;
    for (int64_t i = 0; i < size; ++i) {
        count += keep[base != NULL ? base->ids[i] : i];
    }
    int64_t *ids;
    RBC__TRY(allocate(count, &ids, err));
    int64_t *positions = malloc((size_t)(count + 1) * sizeof *positions);
    if (positions == NULL) {
        free(ids);
        return out_of_memory(count, err);
    }
    int64_t at = 0;
    for (int64_t i = 0; i < size; ++i) {
        const int64_t id = base != NULL ? base->ids[i] : i;
        if (keep[id] != 0) {
            positions[at] = i;
            ids[at++] = id;
        }
    }
    rbc_status status = make(dataset, ids, count, out, err);
    if (status == RBC_OK) {
        status = inherit(base, positions, out, err);
    }
    free(positions);
    return status;
}

static rbc_status filter(rbc_dataset *dataset, const rbc_selection *base, const char *split,
                         const char *where, rbc__watch watch, rbc_selection **out, rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    uint8_t *keep = calloc((size_t)dataset->catalog->num_episodes + 1, 1);
    if (keep == NULL) {
        return out_of_memory(dataset->catalog->num_episodes, err);
    }
    rbc_status status = mark(dataset, split, where, &watch, keep, err);
    if (status == RBC_OK) {
        status = pick(dataset, base, keep, out, err);
    }
    free(keep);
    return status;
}

rbc_status rbc_selection_create(rbc_dataset *dataset, const char *split, const char *where,
                                rbc_interrupt_fn interrupt, void *user, rbc_selection **out,
                                rbc_error *err) {
    const rbc__watch watch = {.ask = interrupt, .user = user};
    return filter(dataset, NULL, split, where, watch, out, err);
}

rbc_status rbc_selection_refine(const rbc_selection *selection, const char *split,
                                const char *where, rbc_interrupt_fn interrupt, void *user,
                                rbc_selection **out, rbc_error *err) {
    const rbc__watch watch = {.ask = interrupt, .user = user};
    return filter(selection->dataset, selection, split, where, watch, out, err);
}

rbc_status rbc_selection_from_ids(rbc_dataset *dataset, const int64_t *ids, int64_t count,
                                  rbc_selection **out, rbc_error *err) {
    *out = NULL;
    if (count < 0 || (ids == NULL && count > 0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "ids: %lld ids at %p", (long long)count,
                         (const void *)ids);
    }
    for (int64_t i = 0; i < count; ++i) {
        if (ids[i] < 0 || ids[i] >= dataset->catalog->num_episodes) {
            return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                             "ids[%lld]: no episode %lld, the dataset has %lld", (long long)i,
                             (long long)ids[i], (long long)dataset->catalog->num_episodes);
        }
    }
    int64_t *copy;
    RBC__TRY(allocate(count, &copy, err));
    if (count > 0) {
        memcpy(copy, ids, (size_t)count * sizeof *ids);
    }
    return make(dataset, copy, count, out, err);
}

rbc_status rbc_selection_take(const rbc_selection *selection, const int64_t *positions,
                              int64_t count, rbc_selection **out, rbc_error *err) {
    *out = NULL;
    if (count < 0 || (positions == NULL && count > 0)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "positions: %lld positions at %p",
                         (long long)count, (const void *)positions);
    }
    int64_t *ids;
    RBC__TRY(allocate(count, &ids, err));
    for (int64_t i = 0; i < count; ++i) {
        if (positions[i] < 0 || positions[i] >= selection->count) {
            free(ids);
            return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                             "positions[%lld]: no episode at %lld, the selection has %lld",
                             (long long)i, (long long)positions[i], (long long)selection->count);
        }
        ids[i] = selection->ids[positions[i]];
    }
    RBC__TRY(make(selection->dataset, ids, count, out, err));
    return inherit(selection, positions, out, err);
}

/* ---- steps ---- */

static rbc_status check_ranges(const rbc_selection *selection, const int64_t *num_ranges,
                               const rbc_step_range *ranges, rbc_error *err) {
    for (int64_t i = 0; i < selection->count; ++i) {
        int64_t end = 0;
        if (num_ranges[i] < 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "steps: episode %lld: %lld ranges",
                             (long long)selection->ids[i], (long long)num_ranges[i]);
        }
        for (int64_t r = 0; r < num_ranges[i]; ++r, ++ranges) {
            if (ranges->first < end || ranges->end < ranges->first ||
                ranges->end > rbc__selection_steps(selection)[i]) {
                return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                 "steps: episode %lld: found the range %lld to %lld, wanted one "
                                 "between %lld and %lld",
                                 (long long)selection->ids[i], (long long)ranges->first,
                                 (long long)ranges->end, (long long)end,
                                 (long long)rbc__selection_steps(selection)[i]);
            }
            end = ranges->end;
        }
    }
    return RBC_OK;
}

/* What lies in ranges of both, into `out`, those that touch as one; returns how many. */
static int64_t intersect(const rbc_step_range *a, int64_t num_a, const rbc_step_range *b,
                         int64_t num_b, rbc_step_range *out) {
    int64_t count = 0;
    for (int64_t i = 0, j = 0; i < num_a && j < num_b;) {
        const int64_t first = a[i].first > b[j].first ? a[i].first : b[j].first;
        const int64_t end = a[i].end < b[j].end ? a[i].end : b[j].end;
        if (first < end && count > 0 && out[count - 1].end == first) {
            out[count - 1].end = end;
        } else if (first < end) {
            out[count++] = (rbc_step_range){first, end};
        }
        if (a[i].end < b[j].end) {
            ++i;
        } else {
            ++j;
        }
    }
    return count;
}

/* What is kept, of the episodes of which anything is. */
typedef struct keeping {
    int64_t *ids, *begins;
    rbc_step_range *ranges;
    int64_t count;
} keeping;

static void find_kept(const rbc_selection *selection, const int64_t *num_ranges,
                      const rbc_step_range *ranges, keeping *k) {
    k->begins[0] = 0;
    for (int64_t i = 0; i < selection->count; ++i) {
        const rbc_step_range whole = {0, rbc__selection_steps(selection)[i]};
        int64_t num_before;
        const rbc_step_range *before = rbc_selection_ranges(selection, i, &num_before);
        const int64_t at = k->begins[k->count];
        const int64_t found =
            intersect(before != NULL ? before : &whole, before != NULL ? num_before : 1, ranges,
                      num_ranges[i], k->ranges + at);
        ranges += num_ranges[i];
        if (found > 0) {
            k->ids[k->count++] = selection->ids[i];
            k->begins[k->count] = at + found;
        }
    }
}

rbc_status rbc_selection_keep_steps(const rbc_selection *selection, const int64_t *num_ranges,
                                    const rbc_step_range *ranges, rbc_selection **out,
                                    rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    RBC__TRY(check_ranges(selection, num_ranges, ranges, err));
    int64_t most = 1;
    for (int64_t i = 0; i < selection->count; ++i) {
        most += num_ranges[i];
    }
    if (selection->range_begins != NULL) {
        most += selection->range_begins[selection->count];
    }
    keeping k = {0};
    RBC__TRY(allocate(selection->count, &k.ids, err));
    k.begins = calloc((size_t)selection->count + 1, sizeof *k.begins);
    k.ranges = malloc((size_t)most * sizeof *k.ranges);
    if (k.begins == NULL || k.ranges == NULL) {
        free(k.ids);
        free(k.begins);
        free(k.ranges);
        return out_of_memory(selection->count, err);
    }
    find_kept(selection, num_ranges, ranges, &k);
    const rbc_status status = make(selection->dataset, k.ids, k.count, out, err);
    if (status != RBC_OK) {
        free(k.begins);
        free(k.ranges);
        return status;
    }
    set_ranges(*out, k.begins, k.ranges);
    return RBC_OK;
}

const rbc_step_range *rbc_selection_ranges(const rbc_selection *selection, int64_t position,
                                           int64_t *count) {
    *count = 0;
    if (selection->range_begins == NULL || position < 0 || position >= selection->count) {
        return NULL;
    }
    *count = selection->range_begins[position + 1] - selection->range_begins[position];
    return selection->ranges + selection->range_begins[position];
}

int64_t rbc__selection_num_kept(const rbc_selection *selection, int64_t position) {
    int64_t count;
    const rbc_step_range *ranges = rbc_selection_ranges(selection, position, &count);
    int64_t kept = ranges == NULL ? rbc__selection_steps(selection)[position] : 0;
    for (int64_t i = 0; i < count; ++i) {
        kept += ranges[i].end - ranges[i].first;
    }
    return kept;
}

/* ---- */

void rbc_selection_destroy(rbc_selection **selection) {
    rbc_selection *closing = *selection;
    *selection = NULL;
    if (closing != NULL && atomic_fetch_sub(&closing->references, 1) == 1) {
        rbc_dataset_close(&closing->dataset);
        free(closing->ids);
        free(closing->range_begins);
        free(closing->ranges);
        free(closing);
    }
}

rbc_selection *rbc__selection_retain(const rbc_selection *selection) {
    atomic_fetch_add(&selection->self->references, 1);
    return selection->self;
}

int64_t rbc_selection_size(const rbc_selection *selection) {
    return selection->count;
}

int64_t rbc_selection_num_steps(const rbc_selection *selection) {
    return selection->num_steps;
}

int64_t rbc_selection_id(const rbc_selection *selection, int64_t index) {
    return index >= 0 && index < selection->count ? selection->ids[index] : -1;
}

rbc_dataset *rbc_selection_dataset(const rbc_selection *selection) {
    return selection->dataset;
}

const int64_t *rbc__selection_ids(const rbc_selection *selection) {
    return selection->ids;
}

const int64_t *rbc__selection_steps(const rbc_selection *selection) {
    return selection->ids + selection->count;
}

const int64_t *rbc__selection_start_ns(const rbc_selection *selection) {
    return selection->ids + 2 * selection->count;
}

const int64_t *rbc__selection_end_ns(const rbc_selection *selection) {
    return selection->ids + 3 * selection->count;
}

rbc_status rbc__selection_load_spans(const rbc_selection *selection, int32_t times,
                                     int64_t *first_ns, int64_t *last_ns, rbc_error *err) {
    const rbc__catalog *catalog = selection->dataset->catalog;
    const int64_t count = catalog->num_episodes;
    int64_t bytes;
    int64_t *all = NULL;
    if (rbc__mul_size(count + 1, 3 * (int64_t)sizeof *all, &bytes)) {
        all = malloc((size_t)bytes);
    }
    if (all == NULL) {
        return out_of_memory(count, err);
    }
    const rbc_status status =
        rbc__catalog_load_spans(catalog, times, all, all + count, all + 2 * count, err);
    for (int64_t i = 0; i < selection->count && status == RBC_OK; ++i) {
        first_ns[i] = all[count + selection->ids[i]];
        last_ns[i] = all[2 * count + selection->ids[i]];
    }
    free(all);
    return status;
}

uint64_t rbc__selection_fingerprint(const rbc_selection *selection) {
    return selection->fingerprint;
}
