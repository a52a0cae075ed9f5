#define _GNU_SOURCE

#include "io/tfrecord/shards.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/error.h"
#include "io/tfrecord/files.h"
#include "io/tfrecord/framing.h"

static const char name_template[] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}";

enum { MAX_ATTEMPTS = 1000 };

typedef struct split_files {
    char *name;
    FILE *file;           /* of the last shard, NULL when it is full */
    char *path;           /* of the last shard */
    uint64_t shard_bytes; /* in it */
    uint64_t num_bytes;   /* of all payloads */
    int64_t *lengths;
    int64_t num_shards;
} split_files;

struct rbc__shards {
    char *folder; /* while it is being written; NULL once published */
    char *parent;
    char *place;
    char *name;
    uint64_t shard_bytes;
    split_files *splits;
    int64_t num_splits;
};

/* ---- folders ------------------------------------------------------------------------------------
 */

static rbc_status make_folders(const char *path, rbc_error *err) {
    char *copy = strdup(path);
    if (!copy) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s", path);
    }
    int failed = 0;
    for (char *at = copy + 1; failed == 0; at++) {
        if (*at == '/' || *at == '\0') {
            const char kept = *at;
            *at = '\0';
            failed = mkdir(copy, 0777) == 0 || errno == EEXIST ? 0 : errno;
            *at = kept;
            if (kept == '\0') {
                break;
            }
        }
    }
    free(copy);
    return failed == 0 ? RBC_OK : rbc__fail_errno(err, failed, "%s: cannot be made", path);
}

static rbc_status make_own_folder(rbc__shards *shards, const char *version, rbc_error *err) {
    const size_t bytes = strlen(shards->parent) + strlen(version) + 48;
    shards->folder = malloc(bytes);
    if (!shards->folder) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s", shards->place);
    }
    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        (void)snprintf(shards->folder, bytes, "%s/.%s.incomplete-%d-%d", shards->parent, version,
                       (int)getpid(), i);
        if (mkdir(shards->folder, 0777) == 0) {
            return RBC_OK;
        }
        if (errno != EEXIST) {
            break;
        }
    }
    const rbc_status status = rbc__fail_errno(err, errno, "%s: cannot be made", shards->folder);
    free(shards->folder);
    shards->folder = NULL;
    return status;
}

static void remove_folder(const char *folder) {
    DIR *listing = opendir(folder);
    if (listing) {
        const int fd = dirfd(listing);
        for (struct dirent *entry; fd >= 0 && (entry = readdir(listing));) {
            (void)unlinkat(fd, entry->d_name, 0);
        }
        closedir(listing);
    }
    (void)rmdir(folder);
}

static rbc_status flush_folder(const char *folder, rbc_error *err) {
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool ok = fd >= 0 && fsync(fd) == 0;
    const int saved_errno = errno;
    if (fd >= 0) {
        close(fd);
    }
    return ok ? RBC_OK : rbc__fail_errno(err, saved_errno, "%s: cannot be flushed to disk", folder);
}

rbc_status rbc__shards_create(const char *path, const char *name, const char *version,
                              uint64_t shard_bytes, rbc__shards **out, rbc_error *err) {
    *out = NULL;
    rbc__shards *shards = calloc(1, sizeof *shards);
    if (!shards) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
    }
    struct stat info;
    shards->shard_bytes = shard_bytes;
    shards->name = strdup(name);
    rbc_status status = rbc__join_path(path, name, &shards->parent, err);
    if (status == RBC_OK) {
        status = rbc__join_path(shards->parent, version, &shards->place, err);
    }
    if (status == RBC_OK && !shards->name) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
    } else if (status == RBC_OK && stat(shards->place, &info) == 0) {
        status = rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                           "%s: is there already; datasets are not overwritten", shards->place);
    }
    if (status == RBC_OK) {
        status = make_folders(shards->parent, err);
    }
    if (status == RBC_OK) {
        status = make_own_folder(shards, version, err);
    }
    if (status != RBC_OK) {
        rbc__shards_destroy(&shards);
        return status;
    }
    *out = shards;
    return RBC_OK;
}

void rbc__shards_destroy(rbc__shards **shards) {
    rbc__shards *closing = *shards;
    *shards = NULL;
    if (!closing) {
        return;
    }
    for (int64_t i = 0; i < closing->num_splits; i++) {
        if (closing->splits[i].file) {
            (void)fclose(closing->splits[i].file);
        }
        free(closing->splits[i].name);
        free(closing->splits[i].path);
        free(closing->splits[i].lengths);
    }
    if (closing->folder) {
        remove_folder(closing->folder);
    }
    free(closing->splits);
    free(closing->folder);
    free(closing->parent);
    free(closing->place);
    free(closing->name);
    free(closing);
}

const char *rbc__shards_folder(const rbc__shards *shards) {
    return shards->folder;
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* Before the number of shards is known. */
static rbc_status draft_path(const rbc__shards *shards, const char *split, int64_t shard,
                             char **out, rbc_error *err) {
    char name[32];
    char *joined;
    (void)snprintf(name, sizeof name, ".%05" PRId64, shard);
    RBC__TRY(rbc__join_path(shards->folder, split, &joined, err));
    const size_t bytes = strlen(joined) + sizeof name;
    *out = malloc(bytes);
    if (*out) {
        (void)snprintf(*out, bytes, "%s%s", joined, name);
    }
    free(joined);
    return *out ? RBC_OK : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "a path of %zu bytes", bytes);
}

static rbc_status find_split(rbc__shards *shards, const char *name, split_files **out,
                             rbc_error *err) {
    for (int64_t i = 0; i < shards->num_splits; i++) {
        if (strcmp(shards->splits[i].name, name) == 0) {
            *out = &shards->splits[i];
            return RBC_OK;
        }
    }
    split_files *splits =
        realloc(shards->splits, (size_t)(shards->num_splits + 1) * sizeof *splits);
    if (splits) {
        shards->splits = splits;
        *out = &splits[shards->num_splits];
        **out = (split_files){.name = strdup(name)};
    }
    if (!splits || !(*out)->name) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", name);
    }
    shards->num_splits++;
    return RBC_OK;
}

static rbc_status begin_shard(const rbc__shards *shards, split_files *split, rbc_error *err) {
    int64_t *lengths = realloc(split->lengths, (size_t)(split->num_shards + 1) * sizeof *lengths);
    if (!lengths) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", split->name);
    }
    split->lengths = lengths;
    lengths[split->num_shards] = 0;
    free(split->path);
    split->path = NULL;
    RBC__TRY(draft_path(shards, split->name, split->num_shards, &split->path, err));
    split->file = fopen(split->path, "wbxe");
    if (!split->file) {
        return rbc__fail_errno(err, errno, "%s: cannot be made", split->path);
    }
    split->num_shards++;
    split->shard_bytes = 0;
    return RBC_OK;
}

static rbc_status end_shard(split_files *split, rbc_error *err) {
    if (!split->file) {
        return RBC_OK;
    }
    const bool flushed = fflush(split->file) == 0 && fsync(fileno(split->file)) == 0;
    int saved_errno = errno;
    const bool closed = fclose(split->file) == 0;
    split->file = NULL;
    saved_errno = flushed ? errno : saved_errno;
    return flushed && closed
               ? RBC_OK
               : rbc__fail_errno(err, saved_errno, "%s: byte %" PRIu64 ": cannot be written",
                                 split->path, split->shard_bytes);
}

rbc_status rbc__shards_append(rbc__shards *shards, const char *split_name, const void *payload,
                              uint64_t bytes, rbc_error *err) {
    uint8_t header[RBC__TFRECORD_HEADER_BYTES];
    uint8_t footer[RBC__TFRECORD_FOOTER_BYTES];
    split_files *split = NULL;
    RBC__TRY(find_split(shards, split_name, &split, err));
    if (split->file && split->shard_bytes >= shards->shard_bytes) {
        RBC__TRY(end_shard(split, err));
    }
    if (!split->file) {
        RBC__TRY(begin_shard(shards, split, err));
    }
    rbc__frame_make_header(bytes, header);
    rbc__frame_make_footer(payload, bytes, footer);
    if (fwrite(header, sizeof header, 1, split->file) != 1 ||
        (bytes > 0 && fwrite(payload, (size_t)bytes, 1, split->file) != 1) ||
        fwrite(footer, sizeof footer, 1, split->file) != 1) {
        return rbc__fail_errno(err, errno, "%s: byte %" PRIu64 ": cannot be written", split->path,
                               split->shard_bytes);
    }
    split->shard_bytes += sizeof header + bytes + sizeof footer;
    split->num_bytes += bytes;
    split->lengths[split->num_shards - 1]++;
    return RBC_OK;
}

/* ---- the end ------------------------------------------------------------------------------------
 */

static rbc_status name_shard(const rbc__shards *shards, const split_files *split, int64_t shard,
                             rbc_error *err) {
    char *draft = NULL;
    char *name = NULL;
    char *path = NULL;
    rbc_status status = draft_path(shards, split->name, shard, &draft, err);
    if (status == RBC_OK) {
        status = rbc__shard_name(name_template, shards->name, split->name, shard, split->num_shards,
                                 shards->folder, &name, err);
    }
    if (status == RBC_OK) {
        status = rbc__join_path(shards->folder, name, &path, err);
    }
    if (status == RBC_OK && rename(draft, path) != 0) {
        status = rbc__fail_errno(err, errno, "%s: cannot be renamed to %s", draft, name);
    }
    free(draft);
    free(name);
    free(path);
    return status;
}

static rbc_status finish_split(const rbc__shards *shards, split_files *split,
                               rbc__split_shards *out, rbc_error *err) {
    RBC__TRY(end_shard(split, err));
    for (int64_t i = 0; i < split->num_shards; i++) {
        RBC__TRY(name_shard(shards, split, i, err));
    }
    const size_t bytes = (size_t)split->num_shards * sizeof *out->lengths;
    out->name = strdup(split->name);
    out->filepath_template = strdup(name_template);
    out->lengths = malloc(bytes);
    if (!out->name || !out->filepath_template || !out->lengths) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", split->name);
    }
    memcpy(out->lengths, split->lengths, bytes);
    out->num_shards = split->num_shards;
    return RBC_OK;
}

rbc_status rbc__shards_finish(rbc__shards *shards, rbc__dataset_info *info, uint64_t **num_bytes,
                              rbc_error *err) {
    const size_t count = (size_t)shards->num_splits;
    *info = (rbc__dataset_info){0};
    *num_bytes = NULL;
    if (count == 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: no episode has been added",
                         shards->place);
    }
    rbc_status status = RBC_OK;
    info->splits = calloc(count, sizeof *info->splits);
    *num_bytes = calloc(count, sizeof **num_bytes);
    if (!info->splits || !*num_bytes) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%zu splits", count);
    }
    for (size_t i = 0; i < count && status == RBC_OK; i++) {
        info->num_splits = (int64_t)i + 1;
        (*num_bytes)[i] = shards->splits[i].num_bytes;
        status = finish_split(shards, &shards->splits[i], &info->splits[i], err);
    }
    if (status != RBC_OK) {
        rbc__dataset_info_free(info);
        free(*num_bytes);
        *num_bytes = NULL;
    }
    return status;
}

rbc_status rbc__shards_publish(rbc__shards *shards, rbc_error *err) {
    RBC__TRY(flush_folder(shards->folder, err));
    if (rename(shards->folder, shards->place) != 0) {
        return rbc__fail_errno(err, errno, "%s: cannot be renamed to %s", shards->folder,
                               shards->place);
    }
    free(shards->folder);
    shards->folder = NULL;
    return flush_folder(shards->parent, err);
}
