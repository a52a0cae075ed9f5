#define _GNU_SOURCE

#include "formats/rlds/shards.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/error.h"
#include "formats/rlds/files.h"
#include "formats/rlds/framing.h"
#include "formats/rlds/staging.h"

static const char name_template[] = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}";

typedef struct split_files {
    char *name;
    int file;             /* of the last shard, -1 when it is full */
    char *path;           /* of the last shard */
    uint64_t shard_bytes; /* in it */
    uint64_t num_bytes;   /* of all payloads */
    int64_t *lengths;
    int64_t num_shards;
} split_files;

struct rbc__shards {
    rbc__staging *staging;
    char *name;
    uint64_t shard_bytes;
    split_files *splits;
    int64_t num_splits;
    bool is_broken; /* a file is not what it should be, and cannot be mended */
};

rbc_status rbc__shards_create(const char *path, const char *name, const char *version,
                              uint64_t shard_bytes, bool may_append, rbc__shards **out,
                              rbc_error *err) {
    *out = NULL;
    rbc__shards *shards = calloc(1, sizeof *shards);
    if (shards) {
        shards->shard_bytes = shard_bytes;
        shards->name = strdup(name);
    }
    rbc_status status =
        shards && shards->name
            ? rbc__staging_create(path, name, version, may_append, &shards->staging, err)
            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: no memory to write it", path);
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
    if (closing == NULL) {
        return;
    }
    for (int64_t i = 0; i < closing->num_splits; ++i) {
        if (closing->splits[i].file >= 0) {
            close(closing->splits[i].file);
        }
        free(closing->splits[i].name);
        free(closing->splits[i].path);
        free(closing->splits[i].lengths);
    }
    rbc__staging_destroy(&closing->staging);
    free(closing->splits);
    free(closing->name);
    free(closing);
}

const char *rbc__shards_folder(const rbc__shards *shards) {
    return rbc__staging_folder(shards->staging);
}

const char *rbc__shards_replaced(const rbc__shards *shards) {
    return rbc__staging_replaced(shards->staging);
}

/* ---- writing ------------------------------------------------------------------------------------
 */

/* Before the number of shards is known. */
static rbc_status draft_path(const rbc__shards *shards, const char *split, int64_t shard,
                             char **out, rbc_error *err) {
    char name[32];
    char *joined;
    (void)snprintf(name, sizeof name, ".%05" PRId64, shard);
    RBC__TRY(rbc__join_path(rbc__shards_folder(shards), split, &joined, err));
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
    for (int64_t i = 0; i < shards->num_splits; ++i) {
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
        **out = (split_files){.name = strdup(name), .file = -1};
    }
    if (splits == NULL || !(*out)->name) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", name);
    }
    ++shards->num_splits;
    return RBC_OK;
}

static rbc_status begin_shard(const rbc__shards *shards, split_files *split, rbc_error *err) {
    int64_t *lengths = realloc(split->lengths, (size_t)(split->num_shards + 1) * sizeof *lengths);
    if (lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", split->name);
    }
    split->lengths = lengths;
    lengths[split->num_shards] = 0;
    free(split->path);
    split->path = NULL;
    RBC__TRY(draft_path(shards, split->name, split->num_shards, &split->path, err));
    split->file = open(split->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (split->file < 0) {
        return rbc__fail_errno(err, errno, "%s: cannot be made", split->path);
    }
    ++split->num_shards;
    split->shard_bytes = 0;
    return RBC_OK;
}

static rbc_status end_shard(split_files *split, rbc_error *err) {
    if (split->file < 0) {
        return RBC_OK;
    }
    const bool flushed = fsync(split->file) == 0;
    int saved_errno = errno;
    const bool closed = close(split->file) == 0;
    split->file = -1;
    saved_errno = flushed ? errno : saved_errno;
    return flushed && closed
               ? RBC_OK
               : rbc__fail_errno(err, saved_errno, "%s: byte %" PRIu64 ": cannot be written",
                                 split->path, split->shard_bytes);
}

static rbc_status broken(const rbc__shards *shards, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_IO, "%s: a file could not be written before; it is given up",
                     rbc__staging_destination(shards->staging));
}

static bool write_all(int file, struct iovec *parts, int count) {
    while (count > 0) {
        ssize_t written = writev(file, parts, count);
        if (written < 0 && errno != EINTR) {
            return false;
        }
        for (written = written < 0 ? 0 : written; count > 0; parts++, count--) {
            if ((size_t)written < parts->iov_len) {
                parts->iov_base = (uint8_t *)parts->iov_base + written;
                parts->iov_len -= (size_t)written;
                break;
            }
            written -= (ssize_t)parts->iov_len;
        }
    }
    return true;
}

rbc_status rbc__shards_append(rbc__shards *shards, const char *split_name, const void *payload,
                              uint64_t bytes, rbc_error *err) {
    uint8_t header[RBC__TFRECORD_HEADER_BYTES];
    uint8_t footer[RBC__TFRECORD_FOOTER_BYTES];
    split_files *split = NULL;
    if (shards->is_broken) {
        return broken(shards, err);
    }
    RBC__TRY(find_split(shards, split_name, &split, err));
    if (split->file >= 0 && split->shard_bytes >= shards->shard_bytes) {
        shards->is_broken = end_shard(split, err) != RBC_OK;
        if (shards->is_broken) {
            return RBC_ERROR_IO;
        }
    }
    if (split->file < 0) {
        RBC__TRY(begin_shard(shards, split, err));
    }
    rbc__frame_make_header(bytes, header);
    rbc__frame_make_footer(payload, bytes, footer);
    struct iovec parts[] = {{header, sizeof header},
                            {(void *)(uintptr_t)payload, (size_t)bytes},
                            {footer, sizeof footer}};
    if (!write_all(split->file, parts, 3)) {
        const rbc_status status = rbc__fail_errno(
            err, errno, "%s: byte %" PRIu64 ": cannot be written", split->path, split->shard_bytes);
        /* The episodes before it stay whole, so that they can be kept. */
        shards->is_broken = ftruncate(split->file, (off_t)split->shard_bytes) != 0 ||
                            lseek(split->file, (off_t)split->shard_bytes, SEEK_SET) < 0;
        return status;
    }
    split->shard_bytes += sizeof header + bytes + sizeof footer;
    split->num_bytes += bytes;
    ++split->lengths[split->num_shards - 1];
    return RBC_OK;
}

/* ---- the shards of a dataset that is added to ---------------------------------------------------
 */

/* Takes one over as the split's next shard. `*file` is the inode of what was linked. */
static rbc_status adopt_shard(rbc__shards *shards, split_files *split, const char *name,
                              int64_t num_records, ino_t *file, rbc_error *err) {
    const int64_t framing = RBC__TFRECORD_HEADER_BYTES + RBC__TFRECORD_FOOTER_BYTES;
    char *to = NULL;
    uint64_t bytes = 0;
    int64_t *lengths = realloc(split->lengths, (size_t)(split->num_shards + 1) * sizeof *lengths);
    if (lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", split->name);
    }
    split->lengths = lengths;
    RBC__TRY(draft_path(shards, split->name, split->num_shards, &to, err));
    const rbc_status status = rbc__staging_link(shards->staging, name, to, file, &bytes, err);
    free(to);
    RBC__TRY(status);
    split->num_bytes += bytes - (uint64_t)(num_records * framing);
    lengths[split->num_shards++] = num_records;
    return RBC_OK;
}

static rbc_status adopt_split(rbc__shards *shards, const rbc__split_shards *from, ino_t *files,
                              rbc_error *err) {
    split_files *split = NULL;
    RBC__TRY(find_split(shards, from->name, &split, err));
    for (int64_t i = 0; i < from->num_shards; ++i) {
        char *name;
        RBC__TRY(rbc__shard_name(from->filepath_template, shards->name, from->name, i,
                                 from->num_shards, rbc__shards_replaced(shards), &name, err));
        const rbc_status status =
            adopt_shard(shards, split, name, from->lengths[i], &files[i], err);
        free(name);
        RBC__TRY(status);
    }
    return RBC_OK;
}

rbc_status rbc__shards_adopt(rbc__shards *shards, const rbc__dataset_info *info, rbc_error *err) {
    int64_t num_shards = 0;
    for (int64_t i = 0; i < info->num_splits; ++i) {
        num_shards += info->splits[i].num_shards;
    }
    ino_t *files = calloc((size_t)num_shards + 1, sizeof *files);
    if (files == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%" PRId64 " shards", num_shards);
    }
    rbc_status status = RBC_OK;
    int64_t done = 0;
    for (int64_t i = 0; i < info->num_splits && status == RBC_OK; ++i) {
        status = adopt_split(shards, &info->splits[i], files + done, err);
        done += info->splits[i].num_shards;
    }
    if (status == RBC_OK) {
        status = rbc__staging_link_others(shards->staging, files, num_shards, err);
    }
    free(files);
    return status;
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
                                 rbc__shards_folder(shards), &name, err);
    }
    if (status == RBC_OK) {
        status = rbc__join_path(rbc__shards_folder(shards), name, &path, err);
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
    if (split->path && split->lengths[split->num_shards - 1] == 0) {
        split->num_shards--; /* its first record could not be written */
        (void)unlink(split->path);
    }
    for (int64_t i = 0; i < split->num_shards; ++i) {
        RBC__TRY(name_shard(shards, split, i, err));
    }
    const size_t count = (size_t)split->num_shards;
    out->name = strdup(split->name);
    out->filepath_template = strdup(name_template);
    out->lengths = calloc(count + 1, sizeof *out->lengths);
    if (out->name == NULL || out->filepath_template == NULL || out->lengths == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "split '%s'", split->name);
    }
    memcpy(out->lengths, split->lengths, count * sizeof *out->lengths);
    out->num_shards = split->num_shards;
    return RBC_OK;
}

rbc_status rbc__shards_finish(rbc__shards *shards, rbc__dataset_info *info, uint64_t **num_bytes,
                              rbc_error *err) {
    const size_t count = (size_t)shards->num_splits;
    *info = (rbc__dataset_info){0};
    *num_bytes = NULL;
    if (shards->is_broken) {
        return broken(shards, err);
    }
    int64_t num_records = 0;
    for (size_t i = 0; i < count; ++i) {
        for (int64_t j = 0; j < shards->splits[i].num_shards; ++j) {
            num_records += shards->splits[i].lengths[j];
        }
    }
    if (num_records == 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: no episode has been added",
                         rbc__staging_destination(shards->staging));
    }
    rbc_status status = RBC_OK;
    info->splits = calloc(count, sizeof *info->splits);
    *num_bytes = calloc(count, sizeof **num_bytes);
    if (info->splits == NULL || !*num_bytes) {
        status = rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%zu splits", count);
    }
    for (size_t i = 0; i < count && status == RBC_OK; ++i) {
        if (shards->splits[i].num_bytes > 0) {
            const int64_t at = info->num_splits++;
            (*num_bytes)[at] = shards->splits[i].num_bytes;
            status = finish_split(shards, &shards->splits[i], &info->splits[at], err);
        }
    }
    if (status != RBC_OK) {
        rbc__dataset_info_free(info);
        free(*num_bytes);
        *num_bytes = NULL;
    }
    return status;
}

rbc_status rbc__shards_publish(rbc__shards *shards, rbc_error *err) {
    return rbc__staging_publish(shards->staging, err);
}
