/* Reading metadata files with jansson, with errors that name the file and the position. */
#ifndef RBC_IO_JSON_H
#define RBC_IO_JSON_H

#include <stdbool.h>

#include <jansson.h>
#include <robocache/robocache.h>

/* Parses `bytes` of JSON text, which must be an object. `path` is for messages. The caller owns the
 * reference. FORMAT with line, column and byte offset of the first mistake; OUT_OF_MEMORY. */
rbc_status rbc__json_parse(const char *text, size_t bytes, const char *path, json_t **out,
                           rbc_error *err);

/* Loads a whole file into malloc'ed memory, NUL-terminated; at most `limit_bytes`. */
rbc_status rbc__file_load(const char *path, size_t limit_bytes, char **text, size_t *bytes,
                          rbc_error *err);

/* String member `key`, or NULL when there is none. */
const char *rbc__json_string(const json_t *object, const char *key);

/* An integer, written as a number or, as protobuf's JSON does for 64 bits, as a string. */
bool rbc__json_integer(const json_t *value, int64_t *out);

#endif
