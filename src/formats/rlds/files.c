#define _GNU_SOURCE

#include "formats/rlds/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/error.h"

enum { MAX_DEPTH = 3 };

static const char *const split_folders[] = {"train", "val", "validation", "test"};

rbc_status rbc__join_path(const char *a, const char *b, char **out, rbc_error *err) {
    const size_t bytes = strlen(a) + strlen(b) + 2;
    *out = malloc(bytes);
    if (!*out) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a path of %zu bytes", bytes);
    }
    const char *between = a[0] != '\0' && b[0] != '\0' && a[strlen(a) - 1] != '/' ? "/" : "";
    (void)snprintf(*out, bytes, "%s%s%s", a, between, b);
    return RBC_OK;
}

bool rbc__is_version(const char *name) {
    int major;
    int minor;
    int patch;
    int end = 0;
    return name[0] >= '0' && name[0] <= '9' &&
           sscanf(name, "%9d.%9d.%9d%n", &major, &minor, &patch, &end) == 3 && name[end] == '\0';
}

static int compare_versions(const char *a, const char *b) {
    int left[3] = {0};
    int right[3] = {0};
    (void)sscanf(a, "%9d.%9d.%9d", &left[0], &left[1], &left[2]);
    (void)sscanf(b, "%9d.%9d.%9d", &right[0], &right[1], &right[2]);
    for (int i = 0; i < 3; ++i) {
        if (left[i] != right[i]) {
            return left[i] < right[i] ? -1 : 1;
        }
    }
    return 0;
}

/* ---- listing a folder --------------------------------------------------------------------------
 */

typedef struct listing {
    char **names; /* sorted */
    size_t count, capacity;
} listing;

static void free_listing(listing *list) {
    for (size_t i = 0; i < list->count; ++i) {
        free(list->names[i]);
    }
    free(list->names);
    *list = (listing){0};
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static rbc_status add_name(listing *list, const char *name, rbc_error *err) {
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity ? 2 * list->capacity : 32;
        char **names = realloc(list->names, capacity * sizeof *names);
        if (names == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%zu file names", list->count);
        }
        list->names = names;
        list->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%zu file names", list->count);
    }
    list->names[list->count++] = copy;
    return RBC_OK;
}

static bool is_shard(const char *name) {
    return strstr(name, ".tfrecord") != NULL;
}

static bool is_metadata(const char *name) {
    return strcmp(name, "features.json") == 0 || strcmp(name, "dataset_info.json") == 0;
}

/* Names in a folder that tell of a dataset: shards, metadata and what may be a folder, hidden ones
 * left out. Other files, of which there may be a million, are neither kept nor looked at. */
static rbc_status list_folder(const char *path, listing *out, rbc_error *err) {
    *out = (listing){0};
    DIR *folder = opendir(path);
    if (folder == NULL) {
        return rbc__fail_errno(err, errno, "%s: cannot be listed", path);
    }
    rbc_status status = RBC_OK;
    while (status == RBC_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            status =
                errno == 0 ? RBC_OK : rbc__fail_errno(err, errno, "%s: cannot be listed", path);
            break;
        }
        const bool may_tell =
            entry->d_type != DT_REG || is_shard(entry->d_name) || is_metadata(entry->d_name);
        if (entry->d_name[0] != '.' && may_tell) {
            status = add_name(out, entry->d_name, err);
        }
    }
    closedir(folder);
    if (status != RBC_OK) {
        free_listing(out);
        return status;
    }
    if (out->count > 0) {
        qsort(out->names, out->count, sizeof *out->names, compare_names);
    }
    return RBC_OK;
}

/* What cannot be told now is an error: a split must not be left out because memory was short. */
static rbc_status is_folder(const char *path, const char *name, bool *is_one, rbc_error *err) {
    char *joined;
    struct stat info;
    RBC__TRY(rbc__join_path(path, name, &joined, err));
    const bool exists = stat(joined, &info) == 0;
    *is_one = exists && S_ISDIR(info.st_mode);
    rbc_status status = RBC_OK;
    if (!exists && errno != ENOENT && errno != ENOTDIR && errno != ELOOP && errno != EACCES) {
        status = rbc__fail_errno(err, errno, "%s: cannot be looked at", joined);
    }
    free(joined);
    return status;
}

/* ---- the folder of the dataset ------------------------------------------------------------------
 */

static bool has_metadata(const listing *names) {
    for (size_t i = 0; i < names->count; ++i) {
        if (is_metadata(names->names[i])) {
            return true;
        }
    }
    return false;
}

static bool has_shards(const listing *names) {
    for (size_t i = 0; i < names->count; ++i) {
        if (is_shard(names->names[i])) {
            return true;
        }
    }
    return false;
}

static bool is_split_folder(const char *name) {
    for (size_t i = 0; i < sizeof split_folders / sizeof split_folders[0]; ++i) {
        if (strcmp(name, split_folders[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* A folder whose shards are in train/, val/ ... without metadata there. */
static rbc_status has_split_folders(const char *path, const listing *names, bool *found,
                                    rbc_error *err) {
    *found = false;
    for (size_t i = 0; i < names->count && !*found; ++i) {
        listing inside;
        char *joined;
        rbc_error problem;
        if (!is_split_folder(names->names[i])) {
            continue;
        }
        RBC__TRY(rbc__join_path(path, names->names[i], &joined, err));
        const rbc_status status = list_folder(joined, &inside, &problem);
        free(joined);
        if (status != RBC_OK && rbc__is_shortage(&problem)) {
            rbc__pass_on(&problem, err);
            return status;
        }
        *found = status == RBC_OK && has_shards(&inside) && !has_metadata(&inside);
        free_listing(&inside);
    }
    return RBC_OK;
}

static rbc_status find_at_depth(const char *path, int depth, char **folder, rbc_error *err);

/* `*folder` is `name` with what was found inside it. */
static rbc_status find_inside(const char *path, const char *name, int depth, char **folder,
                              rbc_error *err) {
    char *joined;
    char *inside;
    RBC__TRY(rbc__join_path(path, name, &joined, err));
    rbc_status status = find_at_depth(joined, depth + 1, &inside, err);
    if (status == RBC_OK) {
        status = rbc__join_path(name, inside, folder, err);
        free(inside);
    }
    free(joined);
    return status;
}

static rbc_status find_in_children(const char *path, const listing *names, int depth, char **folder,
                                   rbc_error *err) {
    const char *newest = NULL;
    for (size_t i = 0; i < names->count; ++i) {
        bool is_one = false;
        if (rbc__is_version(names->names[i])) {
            RBC__TRY(is_folder(path, names->names[i], &is_one, err));
        }
        if (is_one && (newest == NULL || compare_versions(names->names[i], newest) > 0)) {
            newest = names->names[i];
        }
    }
    if (newest) {
        return find_inside(path, newest, depth, folder, err);
    }
    rbc_error problem;
    for (size_t i = 0; i < names->count; ++i) {
        char *found;
        bool is_one;
        rbc_status status = is_folder(path, names->names[i], &is_one, &problem);
        if (status == RBC_OK && !is_one) {
            continue;
        }
        if (status == RBC_OK) {
            status = find_inside(path, names->names[i], depth, &found, &problem);
        }
        if (status != RBC_OK && status != RBC_ERROR_NOT_FOUND &&
            (status != RBC_ERROR_IO || rbc__is_shortage(&problem))) {
            free(*folder);
            *folder = NULL;
            rbc__pass_on(&problem, err);
            return status;
        }
        if (status == RBC_OK && *folder) {
            rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                      "%s: holds several datasets, '%s' and '%s' among them; give the path of one",
                      path, *folder, found);
            free(found);
            free(*folder);
            *folder = NULL;
            return RBC_ERROR_INVALID_ARGUMENT;
        }
        if (status == RBC_OK) {
            *folder = found;
        }
    }
    return *folder ? RBC_OK
                   : rbc__fail(err, RBC_ERROR_NOT_FOUND,
                               "%s: there is no features.json, dataset_info.json or *.tfrecord* "
                               "here or in the folders inside",
                               path);
}

static rbc_status find_at_depth(const char *path, int depth, char **folder, rbc_error *err) {
    listing names;
    *folder = NULL;
    RBC__TRY(list_folder(path, &names, err));
    bool is_here = has_metadata(&names) || has_shards(&names);
    rbc_status status = is_here ? RBC_OK : has_split_folders(path, &names, &is_here, err);
    if (status != RBC_OK) {
        free_listing(&names);
        return status;
    }
    if (is_here) {
        *folder = strdup("");
        status = *folder ? RBC_OK : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s", path);
    } else if (depth >= MAX_DEPTH) {
        status = rbc__fail(err, RBC_ERROR_NOT_FOUND, "%s: there is no dataset here", path);
    } else {
        status = find_in_children(path, &names, depth, folder, err);
    }
    free_listing(&names);
    return status;
}

rbc_status rbc__rlds_find_folder(const char *path, char **folder, rbc_error *err) {
    return find_at_depth(path, 0, folder, err);
}

/* ---- the shards --------------------------------------------------------------------------------
 */

static rbc_status add_file(rbc__schema *schema, const char *folder, const char *name,
                           const char *split, int64_t num_records, rbc_error *err) {
    if ((schema->num_parts & (schema->num_parts - 1)) == 0) {
        const size_t capacity = schema->num_parts ? 2 * (size_t)schema->num_parts : 1;
        rbc__part_schema *files = realloc(schema->parts, capacity * sizeof *files);
        if (files == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%lld files",
                             (long long)schema->num_parts);
        }
        schema->parts = files;
    }
    rbc__part_schema *file = &schema->parts[schema->num_parts];
    *file = (rbc__part_schema){.num_records = num_records};
    RBC__TRY(rbc__join_path(folder, name, &file->path, err));
    file->split = strdup(split);
    if (file->split == NULL) {
        free(file->path);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "the name of a split");
    }
    ++schema->num_parts;
    return RBC_OK;
}

static rbc_status add_declared(const rbc__split_shards *split, const char *folder, const char *name,
                               const char *info_path, rbc__schema *schema, rbc_error *err) {
    for (int64_t i = 0; i < split->num_shards; ++i) {
        char *shard;
        RBC__TRY(rbc__shard_name(split->filepath_template, name, split->name, i, split->num_shards,
                                 info_path, &shard, err));
        const rbc_status status =
            add_file(schema, folder, shard, split->name, split->lengths[i], err);
        free(shard);
        RBC__TRY(status);
    }
    return RBC_OK;
}

/* "name-train.tfrecord-00000-of-00001" is of split "train"; `fallback` where that is not told. */
static void split_of(const char *name, const char *fallback, char *split, size_t split_bytes) {
    const char *end = strstr(name, ".tfrecord");
    const char *begin = end;
    while (begin > name && begin[-1] != '-') {
        begin--;
    }
    if (begin == name) {
        begin = fallback;
        end = fallback + strlen(fallback);
        for (size_t i = 0; i < sizeof split_folders / sizeof split_folders[0]; ++i) {
            const size_t length = strlen(split_folders[i]);
            if (strncmp(name, split_folders[i], length) == 0 && name[length] == '.') {
                begin = name;
                end = name + length;
            }
        }
    }
    (void)snprintf(split, split_bytes, "%.*s", (int)(end - begin), begin);
}

/* Shards on disk in `folder`: those of split `want`, or all. */
static rbc_status add_on_disk(const char *path, const char *folder, const char *want,
                              const char *fallback, rbc__schema *schema, rbc_error *err) {
    char *joined;
    listing names;
    RBC__TRY(rbc__join_path(path, folder, &joined, err));
    rbc_status status = list_folder(joined, &names, err);
    free(joined);
    for (size_t i = 0; i < names.count && status == RBC_OK; ++i) {
        char split[256];
        if (!is_shard(names.names[i])) {
            continue;
        }
        split_of(names.names[i], fallback, split, sizeof split);
        if (want == NULL || strcmp(split, want) == 0) {
            status = add_file(schema, folder, names.names[i], split, -1, err);
        }
    }
    free_listing(&names);
    return status;
}

static rbc_status add_split_folders(const char *path, const char *folder, rbc__schema *schema,
                                    rbc_error *err) {
    for (size_t i = 0; i < sizeof split_folders / sizeof split_folders[0]; ++i) {
        char *inside;
        bool is_one;
        RBC__TRY(rbc__join_path(folder, split_folders[i], &inside, err));
        rbc_status status = is_folder(path, inside, &is_one, err);
        if (status == RBC_OK && is_one) {
            status = add_on_disk(path, inside, NULL, split_folders[i], schema, err);
        }
        free(inside);
        RBC__TRY(status);
    }
    return RBC_OK;
}

rbc_status rbc__rlds_list_files(const char *path, const char *folder, const rbc__dataset_info *info,
                                rbc__schema *schema, rbc_error *err) {
    for (int64_t i = 0; info && i < info->num_splits; ++i) {
        const rbc__split_shards *split = &info->splits[i];
        RBC__TRY(split->num_shards > 0
                     ? add_declared(split, folder, schema->name, path, schema, err)
                     : add_on_disk(path, folder, split->name, "", schema, err));
    }
    if (info == NULL || info->num_splits == 0) {
        RBC__TRY(add_on_disk(path, folder, NULL, "all", schema, err));
        if (schema->num_parts == 0) {
            RBC__TRY(add_split_folders(path, folder, schema, err));
        }
    }
    if (schema->num_parts == 0) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND, "%s/%s: there is no *.tfrecord* file", path,
                         folder);
    }
    return RBC_OK;
}
