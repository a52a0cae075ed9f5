#include "catalog/where_metadata.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "catalog/database.h"
#include "catalog/metadata_reader.h"
#include "core/error.h"
#include "io/json.h"

#define KEYS_SHOWN 8

/* A key, or one within another, as the arguments of a call name it. */
typedef struct key {
    char *name; /* "a.b" */
    bool found;
} key;

struct rbc__where_metadata {
    const rbc__catalog *catalog;
    sqlite3 *source;
    rbc__metadata_reader reader;
    int64_t id;   /* of the episode read last; -1: none */
    json_t *root; /* its metadata */
    char *shown;  /* keys of the first that was read and has any */
    key *keys;    /* that were looked for */
    int num_keys;
    rbc_error error;
};

static rbc_status read_episode(rbc__where_metadata *m, int64_t id, rbc_error *err) {
    const char *json;
    size_t bytes;
    if (id == m->id) {
        return RBC_OK;
    }
    json_decref(m->root);
    m->root = NULL;
    m->id = -1;
    RBC__TRY(rbc__metadata_read(&m->reader, m->source, rbc__catalog_key_of(m->catalog, id), &json,
                                &bytes, err));
    RBC__TRY(rbc__json_parse(json, bytes, "metadata", &m->root, err));
    m->id = id;
    return RBC_OK;
}

/* NULL: no memory. */
static char *join(char *names, const char *more, const char *between) {
    const size_t length = names != NULL ? strlen(names) : 0;
    const char *middle = length > 0 ? between : "";
    const size_t bytes = length + strlen(middle) + strlen(more) + 1;
    char *joined = realloc(names, bytes);
    if (joined == NULL) {
        free(names);
        return NULL;
    }
    snprintf(joined + length, bytes - length, "%s%s", middle, more);
    return joined;
}

static void show_keys(rbc__where_metadata *m) {
    const char *name;
    json_t *value;
    int count = 0;
    json_object_foreach(m->root, name, value) {
        if (++count <= KEYS_SHOWN) {
            m->shown = join(m->shown, count < KEYS_SHOWN ? name : "...", ", ");
        }
    }
}

/* Remembers whether any episode had a key. False: no memory. */
static bool remember(rbc__where_metadata *m, sqlite3_value **names, int count, bool found) {
    char *name = NULL;
    for (int i = 0; i < count; ++i) {
        const char *text = (const char *)sqlite3_value_text(names[i]);
        name = join(name, text != NULL ? text : "", ".");
        if (name == NULL) {
            return false;
        }
    }
    int at = 0;
    while (at < m->num_keys && strcmp(m->keys[at].name, name) != 0) {
        ++at;
    }
    if (at < m->num_keys) {
        m->keys[at].found = m->keys[at].found || found;
        free(name);
        return true;
    }
    key *grown = realloc(m->keys, (size_t)(at + 1) * sizeof *grown);
    if (grown == NULL) {
        free(name);
        return false;
    }
    m->keys = grown;
    m->keys[m->num_keys++] = (key){name, found};
    return true;
}

static void give(sqlite3_context *context, const json_t *value) {
    char *text;
    switch (json_typeof(value)) {
    case JSON_TRUE:
    case JSON_FALSE:
        sqlite3_result_int(context, json_is_true(value));
        return;
    case JSON_INTEGER:
        sqlite3_result_int64(context, json_integer_value(value));
        return;
    case JSON_REAL:
        sqlite3_result_double(context, json_real_value(value));
        return;
    case JSON_STRING:
        sqlite3_result_text64(context, json_string_value(value), json_string_length(value),
                              SQLITE_TRANSIENT, SQLITE_UTF8);
        return;
    case JSON_NULL:
        sqlite3_result_null(context);
        return;
    default:
        text = json_dumps(value, JSON_COMPACT);
        if (text == NULL) {
            sqlite3_result_error_nomem(context);
            return;
        }
        sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
        free(text);
    }
}

static void metadata(sqlite3_context *context, int count, sqlite3_value **values) {
    rbc__where_metadata *m = sqlite3_user_data(context);
    rbc_error err;
    if (count < 2) {
        sqlite3_result_error(context, "metadata: wanted an id and a key", -1);
        return;
    }
    const int64_t id = sqlite3_value_int64(values[0]);
    if (id < 0 || id >= m->catalog->num_episodes) {
        return;
    }
    if (read_episode(m, id, &err) != RBC_OK) {
        m->error = err;
        sqlite3_result_error(context, err.message, -1);
        return;
    }
    if (m->shown == NULL) {
        show_keys(m);
    }
    const json_t *value = m->root;
    for (int i = 1; i < count && value != NULL; ++i) {
        const char *name = (const char *)sqlite3_value_text(values[i]);
        value = name != NULL ? json_object_get(value, name) : NULL;
    }
    if (!remember(m, values + 1, count - 1, value != NULL)) {
        sqlite3_result_error_nomem(context);
    } else if (value != NULL) {
        give(context, value);
    }
}

rbc_status rbc__where_metadata_create(const rbc__catalog *catalog, sqlite3 *source, sqlite3 *db,
                                      rbc__where_metadata **out, rbc_error *err) {
    rbc__where_metadata *m = calloc(1, sizeof *m);
    *out = m;
    if (m == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "where: out of memory");
    }
    m->catalog = catalog;
    m->source = source;
    m->id = -1;
    return sqlite3_create_function_v2(db, "metadata", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, m,
                                      metadata, NULL, NULL, NULL) == SQLITE_OK
               ? RBC_OK
               : rbc__database_fail(db, err, "cannot be prepared for an expression");
}

void rbc__where_metadata_destroy(rbc__where_metadata **metadata) {
    rbc__where_metadata *closing = *metadata;
    *metadata = NULL;
    if (closing == NULL) {
        return;
    }
    for (int i = 0; i < closing->num_keys; ++i) {
        free(closing->keys[i].name);
    }
    free(closing->keys);
    rbc__metadata_forget(&closing->reader);
    json_decref(closing->root);
    free(closing->shown);
    free(closing);
}

rbc_status rbc__where_metadata_settle(const rbc__where_metadata *metadata, const char *where,
                                      rbc_status status, rbc_error *err) {
    if (metadata->error.status != RBC_OK) {
        *err = metadata->error;
        return rbc__fail_within(err, err->status, "catalog '%s'", metadata->catalog->path);
    }
    for (int i = 0; status == RBC_OK && i < metadata->num_keys; ++i) {
        if (!metadata->keys[i].found) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "where '%.200s': no episode has '%s' in its metadata; there %s %s",
                             where, metadata->keys[i].name, metadata->shown != NULL ? "are" : "is",
                             metadata->shown != NULL ? metadata->shown : "none");
        }
    }
    return status;
}
