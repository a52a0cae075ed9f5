#include "io/json.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "io/foreign.h"
#include "io/source.h"

/* Without memory jansson may leave characters of a text out, or find a mistake in it, and says so nowhere:
 * its allocations are watched. Whoever else of the process has chosen them keeps them. */
static json_malloc_t system_malloc;
static _Thread_local bool has_failed;

static void *watched_malloc(size_t bytes) {
    void *memory = system_malloc(bytes);
    has_failed = has_failed || memory == NULL;
    return memory;
}

static void watch_memory(void) {
    json_free_t system_free;
    json_get_alloc_funcs(&system_malloc, &system_free);
    json_set_alloc_funcs(watched_malloc, system_free);
}

rbc_status rbc__json_parse(const char *text, size_t bytes, const char *path, json_t **out,
                           rbc_error *err) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    json_error_t problem;
    pthread_once(&once, watch_memory);
    has_failed = false;
    *out = NULL;
    json_t *root = json_loadb(text, bytes, 0, &problem);
    if (has_failed) {
        json_decref(root);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to parse it", path);
    }
    if (root == NULL) {
        char what[256];
        if (rbc__foreign_describe((const uint8_t *)text, bytes, false, what, sizeof what)) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "%s: the file %s", path, what);
        }
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte %d: line %d, column %d: %s", path,
                         problem.position, problem.line, problem.column, problem.text);
    }
    if (!json_is_object(root)) {
        json_decref(root);
        return rbc__fail(err, RBC_ERROR_FORMAT, "%s: byte 0: wanted a JSON object", path);
    }
    *out = root;
    return RBC_OK;
}

rbc_status rbc__file_load(const char *path, size_t limit_bytes, char **text, size_t *bytes,
                          rbc_error *err) {
    *text = NULL;
    rbc__source *source;
    RBC__TRY(rbc__source_open(path, RBC__SOURCE_FILE, &source, err));
    const uint64_t size = rbc__source_bytes(source);
    rbc_status status = RBC_OK;
    if (size > limit_bytes) {
        status = rbc__fail(err, RBC_ERROR_FORMAT, "%s: %llu bytes, wanted at most %zu", path,
                           (unsigned long long)size, limit_bytes);
    } else if (!(*text = malloc((size_t)size + 1))) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: %llu bytes", path,
                           (unsigned long long)size);
    } else {
        (*text)[size] = '\0';
        *bytes = (size_t)size;
        status = rbc__source_read(source, 0, size, *text, err);
    }
    if (status != RBC_OK) {
        free(*text);
        *text = NULL;
    }
    rbc__source_close(&source);
    return status;
}

const char *rbc__json_string(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

bool rbc__json_integer(const json_t *value, int64_t *out) {
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    const char *text = json_string_value(value);
    if (text == NULL || text[0] == '\0') {
        return false;
    }
    char *end;
    errno = 0;
    const long long number = strtoll(text, &end, 10);
    *out = number;
    return errno == 0 && *end == '\0';
}
