#define _GNU_SOURCE

#include "catalog/text_set.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/hash.h"

static size_t hash(const char *text) {
    const uint64_t value = rbc__hash_text(RBC__HASH_EMPTY, text);
    return (size_t)(value ^ value >> 32);
}

/* The slot that holds `text`, or the free one where it belongs. num_slots is a power of two. */
static char **find(const rbc__text_set *set, const char *text) {
    size_t at = hash(text) & (set->num_slots - 1);
    while (set->slots[at] != NULL && strcmp(set->slots[at], text) != 0) {
        at = (at + 1) & (set->num_slots - 1);
    }
    return &set->slots[at];
}

static bool grow(rbc__text_set *set) {
    rbc__text_set larger = {.num_slots = set->num_slots == 0 ? 64 : set->num_slots * 2};
    larger.slots = calloc(larger.num_slots, sizeof *larger.slots);
    if (larger.slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < set->num_slots; ++i) {
        if (set->slots[i] != NULL) {
            *find(&larger, set->slots[i]) = set->slots[i];
        }
    }
    free(set->slots);
    larger.num_texts = set->num_texts;
    *set = larger;
    return true;
}

bool rbc__text_set_add(rbc__text_set *set, const char *text) {
    if (2 * (set->num_texts + 1) > set->num_slots && !grow(set)) {
        return false;
    }
    char **slot = find(set, text);
    if (*slot == NULL) {
        *slot = strdup(text);
        if (*slot == NULL) {
            return false;
        }
        ++set->num_texts;
    }
    return true;
}

bool rbc__text_set_has(const rbc__text_set *set, const char *text) {
    return set->num_slots > 0 && *find(set, text) != NULL;
}

void rbc__text_set_free(rbc__text_set *set) {
    for (size_t i = 0; i < set->num_slots; ++i) {
        free(set->slots[i]);
    }
    free(set->slots);
    *set = (rbc__text_set){0};
}
