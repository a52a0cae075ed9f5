#define _POSIX_C_SOURCE 200809L

#include "layout/blobs.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "io/endian.h"
#include "layout/layout.h"

#define MAX_PATTERN 4096
#define MAX_DIGITS  20

typedef struct name_group {
    const uint8_t *pattern;
    size_t pattern_bytes;
    int64_t first;
    uint64_t before, count; /* blobs of the groups before */
    unsigned width;
    const uint8_t *sizes;
} name_group;

struct rbc__blobs {
    size_t num_groups;
    uint64_t count;
    name_group groups[];
};

/* ---- patterns -----------------------------------------------------------------------------------
 */

/* The placeholder at `at`, "{}" or "{:0N}": its length, 0 where there is none. */
static size_t placeholder(const uint8_t *pattern, size_t bytes, size_t at, int *digits) {
    *digits = 1;
    if (at + 1 < bytes && pattern[at + 1] == '}') {
        return 2;
    }
    if (at + 4 > bytes || pattern[at + 1] != ':' || pattern[at + 2] != '0') {
        return 0;
    }
    size_t i = at + 3;
    int value = 0;
    while (i < bytes && pattern[i] >= '0' && pattern[i] <= '9' && value <= MAX_DIGITS) {
        value = value * 10 + (pattern[i++] - '0');
    }
    *digits = value;
    return i < bytes && pattern[i] == '}' && value >= 1 && value <= MAX_DIGITS ? i + 1 - at : 0;
}

/* Writes the name with `number` to `out`, which has room for it; its length, 0 where the pattern is
 * none. */
static size_t expand(const uint8_t *pattern, size_t bytes, int64_t number, char *out, size_t room) {
    size_t length = 0;
    for (size_t at = 0; at < bytes;) {
        const uint8_t byte = pattern[at];
        const bool is_brace = byte == '{' || byte == '}';
        if (length + MAX_DIGITS + 2 > room || byte == '\0') {
            return 0;
        }
        if (!is_brace || (at + 1 < bytes && pattern[at + 1] == byte)) {
            out[length++] = (char)byte;
            at += is_brace ? 2 : 1;
            continue;
        }
        int digits;
        const size_t taken = byte == '{' ? placeholder(pattern, bytes, at, &digits) : 0;
        if (taken == 0) {
            return 0;
        }
        length += (size_t)snprintf(out + length, room - length, "%0*" PRId64, digits, number);
        at += taken;
    }
    out[length] = '\0';
    return length;
}

/* Whether the path stays in the folder that it begins at. */
static bool stays_inside(const char *path) {
    if (path[0] == '/' || path[0] == '\0') {
        return false;
    }
    for (const char *part = path; part != NULL;) {
        const size_t length = strcspn(part, "/");
        if (length == 0 || (length == 1 && part[0] == '.') ||
            (length == 2 && part[0] == '.' && part[1] == '.')) {
            return false;
        }
        part = part[length] == '/' ? part + length + 1 : NULL;
    }
    return true;
}

static bool has_placeholder(const uint8_t *pattern, size_t bytes) {
    for (size_t i = 0; i < bytes; ++i) {
        if (pattern[i] == '{') {
            if (i + 1 == bytes || pattern[i + 1] != '{') {
                return true;
            }
            ++i;
        }
    }
    return false;
}

/* Numbers do not change which folder a path leads to: the longest name stands for all. */
static bool is_pattern(const uint8_t *pattern, size_t bytes, int64_t first, uint64_t count) {
    char name[2 * MAX_PATTERN];
    return bytes > 0 && bytes <= MAX_PATTERN && (count <= 1 || has_placeholder(pattern, bytes)) &&
           expand(pattern, bytes, first + (int64_t)count, name, sizeof name) > 0 &&
           stays_inside(name);
}

static bool are_numbers(int64_t first, uint64_t count) {
    return first >= 0 && count <= RBC__COLUMN_BLOB - 1 && first <= INT64_MAX - (int64_t)count;
}

rbc_status rbc__blob_group_check(const rbc__blob_group *group, rbc_error *err) {
    const char *pattern = group->pattern != NULL ? group->pattern : "";
    if (group->count < 0 || !are_numbers(group->first, (uint64_t)group->count)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "blobs '%s': %" PRId64 " of them from number %" PRId64
                         "; wanted are numbers from 0, fewer than 2^31",
                         pattern, group->count, group->first);
    }
    if (!is_pattern((const uint8_t *)pattern, strlen(pattern), group->first,
                    (uint64_t)group->count)) {
        return rbc__fail(err, RBC_ERROR_FORMAT,
                         "blobs '%s': wanted is a path within the dataset's folder, in which {} or "
                         "{:07} stands for the number where there are several",
                         pattern);
    }
    for (int64_t i = 0; group->sizes != NULL && i < group->count; ++i) {
        if (group->sizes[i] < 0) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "blobs '%s': number %" PRId64 " has %" PRId64 " bytes", pattern,
                             group->first + i, group->sizes[i]);
        }
    }
    return RBC_OK;
}

void rbc__blob_group_encode(const rbc__blob_group *group, rbc__bytes *out) {
    const size_t bytes = strlen(group->pattern);
    uint64_t largest = 0;
    rbc__bytes_varint(out, bytes);
    rbc__bytes_append(out, group->pattern, bytes);
    rbc__bytes_varint(out, (uint64_t)group->first);
    rbc__bytes_varint(out, (uint64_t)group->count);
    for (int64_t i = 0; group->sizes != NULL && i < group->count; ++i) {
        largest = (uint64_t)group->sizes[i] > largest ? (uint64_t)group->sizes[i] : largest;
    }
    const unsigned width = group->sizes != NULL ? rbc__layout_width(largest) : 0;
    rbc__bytes_byte(out, (uint8_t)width);
    for (int64_t i = 0; group->sizes != NULL && i < group->count; ++i) {
        rbc__bytes_fixed(out, (uint64_t)group->sizes[i], width);
    }
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static bool take_group(const uint8_t *data, uint64_t end, uint64_t *at, uint64_t before,
                       name_group *out) {
    uint64_t pattern_bytes;
    uint64_t first;
    if (!rbc__varint_read(data, end, at, &pattern_bytes) || pattern_bytes > end - *at) {
        return false;
    }
    out->pattern = data + *at;
    out->pattern_bytes = (size_t)pattern_bytes;
    *at += pattern_bytes;
    if (!rbc__varint_read(data, end, at, &first) || first > INT64_MAX ||
        !rbc__varint_read(data, end, at, &out->count) || *at >= end) {
        return false;
    }
    out->first = (int64_t)first;
    out->width = data[(*at)++];
    out->before = before;
    out->sizes = data + *at;
    if (out->width > 8 || !are_numbers(out->first, out->count) ||
        before + out->count >= RBC__COLUMN_BLOB ||
        (out->width > 0 && out->count > (end - *at) / out->width)) {
        return false;
    }
    *at += out->count * out->width;
    return is_pattern(out->pattern, out->pattern_bytes, out->first, out->count);
}

rbc_status rbc__blobs_parse(const uint8_t *encoded, size_t bytes, const char *name,
                            rbc__blobs **out, rbc_error *err) {
    size_t num_groups = 0;
    uint64_t at = 0;
    uint64_t before = 0;
    name_group one;
    *out = NULL;
    for (; at < bytes; before += one.count, ++num_groups) {
        if (!take_group(encoded, bytes, &at, before, &one)) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "%s: byte %" PRIu64 " of the names of its files: they are damaged",
                             name, at);
        }
    }
    rbc__blobs *blobs = malloc(sizeof *blobs + num_groups * sizeof(name_group) + bytes);
    if (blobs == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory for the names of its files",
                         name);
    }
    uint8_t *copy = (uint8_t *)(blobs->groups + num_groups);
    if (bytes > 0) { /* of a part without blobs there is nothing */
        memcpy(copy, encoded, bytes);
    }
    blobs->num_groups = num_groups;
    blobs->count = before;
    at = before = 0;
    for (size_t i = 0; i < num_groups; before += blobs->groups[i++].count) {
        (void)take_group(copy, bytes, &at, before, &blobs->groups[i]);
    }
    *out = blobs;
    return RBC_OK;
}

uint64_t rbc__blobs_count(const rbc__blobs *blobs) {
    return blobs->count;
}

rbc_status rbc__blobs_path(const rbc__blobs *blobs, uint32_t number, char **path, int64_t *size,
                           rbc_error *err) {
    char name[2 * MAX_PATTERN];
    size_t low = 0;
    size_t high = blobs->num_groups;
    *path = NULL;
    *size = -1;
    if (number < 1 || number > blobs->count) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "no file %" PRIu32 ": the part has %" PRIu64,
                         number, blobs->count);
    }
    while (high - low > 1) {
        const size_t middle = low + (high - low) / 2;
        if (blobs->groups[middle].before <= number - 1) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const name_group *in = &blobs->groups[low];
    const uint64_t i = number - 1 - in->before;
    if (expand(in->pattern, in->pattern_bytes, in->first + (int64_t)i, name, sizeof name) > 0) {
        *path = strdup(name);
    }
    if (*path == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the name of file %" PRIu32, number);
    }
    if (in->width > 0) {
        const uint64_t stored = rbc__load_uint(in->sizes + i * in->width, in->width);
        *size = stored <= INT64_MAX ? (int64_t)stored : INT64_MAX;
    }
    return RBC_OK;
}
