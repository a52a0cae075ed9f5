#include "formats/format.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/fork.h"

static const rbc__format *const built_in[] = {&rbc__rlds_format};

#define NUM_BUILT_IN ((int32_t)(sizeof built_in / sizeof built_in[0]))

/* Guards the formats that were registered. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const rbc__format **registered;
static int32_t num_registered;

/* A format by its number, the built-in ones first; NULL: there are no more. */
static const rbc__format *format_at(int32_t i) {
    const rbc__format *format = NULL;
    if (i < NUM_BUILT_IN) {
        return built_in[i];
    }
    pthread_mutex_lock(&lock);
    if (i - NUM_BUILT_IN < num_registered) {
        format = registered[i - NUM_BUILT_IN];
    }
    pthread_mutex_unlock(&lock);
    return format;
}

static rbc_status add(const rbc__format *format, bool replace, rbc_error *err) {
    int32_t at = 0;
    while (at < num_registered && strcmp(registered[at]->format, format->format) != 0) {
        ++at;
    }
    if (at < num_registered && !replace) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "format '%s': there is one of that name; replace it, or choose another",
                         format->format);
    }
    if (at == num_registered) {
        const rbc__format **grown =
            realloc(registered, ((size_t)num_registered + 1) * sizeof(const rbc__format *));
        if (grown == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "format '%s': out of memory",
                             format->format);
        }
        registered = grown;
        ++num_registered;
    }
    registered[at] = format;
    return RBC_OK;
}

rbc_status rbc__format_register(const rbc__format *format, bool replace, rbc_error *err) {
    RBC__HOLD_FORKS();
    for (int32_t i = 0; i < NUM_BUILT_IN; ++i) {
        if (strcmp(built_in[i]->format, format->format) == 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "format '%s': is built in; choose another name", format->format);
        }
    }
    pthread_mutex_lock(&lock);
    const rbc_status status = add(format, replace, err);
    pthread_mutex_unlock(&lock);
    return status;
}

/* What all formats look for, or are called, as the message of `err`. */
static rbc_status list_formats(bool with_names_only, rbc_error *err) {
    rbc_error listed;
    const rbc__format *format = format_at(0);
    rbc__fail(&listed, RBC_ERROR_UNSUPPORTED, with_names_only ? "%s" : "%s (looked for %s)",
              format->format, format->looks_for);
    for (int32_t i = 1; (format = format_at(i)) != NULL; ++i) {
        const rbc_error before = listed;
        rbc__fail(&listed, RBC_ERROR_UNSUPPORTED,
                  with_names_only ? "%s, %s" : "%s, %s (looked for %s)", before.message,
                  format->format, format->looks_for);
    }
    return rbc__pass_on(&listed, err);
}

static rbc_status find_named(const char *path, const char *name, const rbc__format **out,
                             rbc_error *err) {
    const rbc__format *format;
    for (int32_t i = 0; (format = format_at(i)) != NULL; ++i) {
        if (strcmp(format->format, name) == 0) {
            *out = format;
            return RBC_OK;
        }
    }
    list_formats(true, err);
    return rbc__fail_within(err, RBC_ERROR_UNSUPPORTED, "%s: found no format '%s'; the formats are",
                            path, name);
}

rbc_status rbc__format_find(const char *path, const char *name, const rbc__format **out,
                            rbc_error *err) {
    RBC__HOLD_FORKS();
    *out = NULL;
    struct stat info;
    if (stat(path, &info) != 0) {
        return errno == ENOENT || errno == ENOTDIR
                   ? rbc__fail(err, RBC_ERROR_NOT_FOUND, "%s: there is no such file or folder",
                               path)
                   : rbc__fail_errno(err, errno, "%s: cannot be looked at", path);
    }
    if (name != NULL) {
        return find_named(path, name, out, err);
    }
    const rbc__format *found = NULL;
    const rbc__format *format;
    for (int32_t i = 0; (format = format_at(i)) != NULL; ++i) {
        bool accepts = false;
        RBC__TRY(format->probe(format, path, &accepts, err));
        if (accepts && found != NULL) {
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT,
                "%s: formats '%s' and '%s' both know it; name the one that is meant: format='%s'",
                path, found->format, format->format, found->format);
        }
        found = accepts ? format : found;
    }
    *out = found;
    if (found != NULL) {
        return RBC_OK;
    }
    list_formats(false, err);
    return rbc__fail_within(err, RBC_ERROR_UNSUPPORTED,
                            "%s: no format knows what is there; there are", path);
}
