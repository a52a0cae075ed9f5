#include "io/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "io/foreign.h"
#include "io/source.h"

rbc_status rbc__json_parse(const char *text, size_t bytes, const char *path, json_t **out,
                           rbc_error *err) {
    *out = NULL;
    json_error_t problem;
    json_t *root = json_loadb(text, bytes, 0, &problem);
    if (root == NULL && json_error_code(&problem) == json_error_out_of_memory) {
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
