#include "formats/rlds/keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

static const char flat_suffix[] = "/ragged_flat_values";
static const char rows_suffix[] = "/ragged_row_lengths_0";

/* FNV-1a. */
static uint32_t hash_key(const char *key, uint64_t bytes) {
    uint32_t hash = UINT32_C(2166136261);
    for (uint64_t i = 0; i < bytes; ++i) {
        hash = (hash ^ (uint8_t)key[i]) * UINT32_C(16777619);
    }
    return hash;
}

static rbc__key_slot *slot_of(const rbc__keys *keys, const char *key, uint64_t bytes) {
    uint32_t at = hash_key(key, bytes) & keys->mask;
    while (keys->slots[at].key &&
           (keys->slots[at].bytes != bytes || memcmp(keys->slots[at].key, key, bytes) != 0)) {
        at = (at + 1) & keys->mask;
    }
    return &keys->slots[at];
}

static void add(rbc__keys *keys, const char *key, size_t bytes, uint32_t id) {
    rbc__key_slot *slot = slot_of(keys, key, bytes);
    if (slot->key == NULL) {
        *slot = (rbc__key_slot){key, (uint32_t)bytes, id};
    }
}

static void add_with_suffix(rbc__keys *keys, char **text, const char *key, const char *suffix,
                            uint32_t id) {
    const size_t bytes = strlen(key) + strlen(suffix);
    memcpy(*text, key, strlen(key));
    memcpy(*text + strlen(key), suffix, strlen(suffix) + 1);
    add(keys, *text, bytes, id);
    *text += bytes + 1;
}

rbc_status rbc__keys_create(const rbc__leaves *leaves, rbc__keys *out, rbc_error *err) {
    *out = (rbc__keys){0};
    size_t text_bytes = 1;
    uint32_t slots = 16;
    for (int32_t i = 0; i < leaves->count; ++i) {
        text_bytes += 2 * strlen(leaves->items[i].key) + sizeof flat_suffix + sizeof rows_suffix;
    }
    while (slots < 8 * (uint64_t)leaves->count) {
        slots *= 2;
    }
    out->slots = calloc(slots, sizeof *out->slots);
    out->text = malloc(text_bytes);
    out->mask = slots - 1;
    if (out->slots == NULL || out->text == NULL) {
        rbc__keys_free(out);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a table of %d features", leaves->count);
    }
    char *text = out->text;
    for (int32_t i = 0; i < leaves->count; ++i) {
        const rbc__leaf *leaf = &leaves->items[i];
        if (leaf->unsupported) {
            continue;
        }
        if (!leaf->in_steps || !rbc__leaf_is_ragged(leaf)) {
            add(out, leaf->key, strlen(leaf->key), (uint32_t)i);
        }
        if (leaf->in_steps && leaf->is_sequence) {
            add_with_suffix(out, &text, leaf->key, flat_suffix, (uint32_t)i);
            add_with_suffix(out, &text, leaf->key, rows_suffix, (uint32_t)(leaves->count + i));
        }
    }
    return RBC_OK;
}

void rbc__keys_free(rbc__keys *keys) {
    free(keys->slots);
    free(keys->text);
    *keys = (rbc__keys){0};
}

bool rbc__keys_find(const rbc__keys *keys, const char *key, uint64_t bytes, uint32_t *id) {
    const rbc__key_slot *slot = slot_of(keys, key, bytes);
    *id = slot->id;
    return slot->key != NULL;
}
