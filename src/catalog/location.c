#define _GNU_SOURCE

#include "catalog/location.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"
#include "core/hash.h"

static rbc_status format_path(char **out, rbc_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static rbc_status format_path(char **out, rbc_error *err, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(out, format, arguments);
    va_end(arguments);
    if (length < 0) {
        *out = NULL;
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "path of the catalog: out of memory");
    }
    return RBC_OK;
}

rbc_status rbc__location_in_dataset(const char *root, const char *file, char **out,
                                    rbc_error *err) {
    return file == NULL ? format_path(out, err, "%s/.robocache.sqlite", root)
                        : format_path(out, err, "%s/.%s.robocache.sqlite", root, file);
}

bool rbc__location_is_read_only(const char *root) {
    struct stat status;
    return stat(root, &status) == 0 && (status.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) == 0;
}

static rbc_status cache_folder(char **out, rbc_error *err) {
    const char *own = getenv("ROBOCACHE_CACHE");
    if (own != NULL && own[0] != '\0') {
        return format_path(out, err, "%s", own);
    }
    const char *xdg = getenv("XDG_CACHE_HOME");
    if (xdg != NULL && xdg[0] == '/') { /* its specification ignores relative ones */
        return format_path(out, err, "%s/robocache", xdg);
    }
    const char *home = getenv("HOME");
    if (home != NULL && home[0] != '\0') {
        return format_path(out, err, "%s/.cache/robocache", home);
    }
    return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                     "the dataset's folder cannot be written and there is no other place for its "
                     "catalog: set ROBOCACHE_CACHE, or give a catalog path");
}

static rbc_status make_folders(char *path, rbc_error *err) {
    int first_failed = 0; /* of those above, which is why the last fails */
    for (char *at = path + 1;; ++at) {
        const char kept = *at;
        if (kept != '/' && kept != '\0') {
            continue;
        }
        *at = '\0';
        const int failed = mkdir(path, S_IRWXU) != 0 && errno != EEXIST ? errno : 0;
        *at = kept;
        first_failed = first_failed != 0 ? first_failed : failed;
        if (kept == '\0') {
            return failed == 0 ? RBC_OK
                               : rbc__fail_errno(err, first_failed,
                                                 "folder '%s' for catalogs cannot be made", path);
        }
    }
}

rbc_status rbc__location_in_cache(const char *root, const char *file, char **out, rbc_error *err) {
    char *folder;
    RBC__TRY(cache_folder(&folder, err));
    uint64_t hash = rbc__hash_text(RBC__HASH_EMPTY, root);
    if (file != NULL) {
        hash = rbc__hash_text(rbc__hash_text(hash, "/"), file);
    }
    rbc_status status = make_folders(folder, err);
    char *real = status == RBC_OK ? realpath(folder, NULL) : NULL;
    if (status == RBC_OK && real == NULL) {
        status = rbc__fail_errno(err, errno, "folder '%s' for catalogs cannot be found", folder);
    }
    if (status == RBC_OK) {
        status = format_path(out, err, "%s/%016llx.sqlite", real, (unsigned long long)hash);
    }
    free(real);
    free(folder);
    return status;
}

/* Links within a path are followed once, here: nothing is written through one later. */
rbc_status rbc__location_given(const char *path, char **out, rbc_error *err) {
    *out = realpath(path, NULL);
    if (*out != NULL) {
        return RBC_OK;
    }
    struct stat info;
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    if (errno != ENOENT || *name == '\0') {
        return rbc__fail_errno(err, errno, "catalog '%s' cannot be had", path);
    }
    if (lstat(path, &info) == 0) {
        return format_path(out, err, "%s", path); /* a link that leads nowhere: found out later */
    }
    char *folder = slash == NULL ? strdup(".") : strndup(path, (size_t)(slash - path) + 1);
    char *real = folder != NULL ? realpath(folder, NULL) : NULL;
    rbc_status status = RBC_OK;
    if (real == NULL) {
        status = folder == NULL ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "path of the catalog")
                                : rbc__fail_errno(err, errno, "catalog '%s': its folder", path);
    }
    if (status == RBC_OK) {
        status = format_path(out, err, "%s/%s", real[1] != '\0' ? real : "", name);
    }
    free(folder);
    free(real);
    return status;
}
