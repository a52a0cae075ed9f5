/* Looks at every file that the catalog names: opening a dataset looks at those of its parts alone. */
#define _GNU_SOURCE

#include <errno.h>
#include <isa-l/crc64.h>
#include <stdio.h>
#include <stdlib.h>

#include "catalog/blob_names.h"
#include "catalog/database.h"
#include "catalog/dataset_state.h"
#include "catalog/identity.h"
#include "core/error.h"
#include "core/fork.h"

#define WINDOW_BYTES (UINT64_C(1) << 20)

typedef struct verification {
    rbc_dataset *dataset;
    rbc_file_problem_fn tell;
    void *user;
    rbc__watch watch;
    sqlite3_stmt *digests; /* of the parts, by their rows */
    rbc_verify_report *report;
} verification;

/* Is told of a file that is not as it should be, as `why` says. What says nothing of the file, such
 * as descriptors that run short, ends the verification. */
static rbc_status tell(verification *v, const char *path, rbc_file_problem_kind kind,
                       const rbc_error *why, rbc_error *err) {
    if (why->status == RBC_ERROR_OUT_OF_MEMORY || why->status == RBC_ERROR_CANCELLED ||
        why->status == RBC_ERROR_INTERNAL || why->device_code == EMFILE ||
        why->device_code == ENFILE || why->device_code == ENOMEM || why->device_code == EINTR) {
        return rbc__pass_on(why, err);
    }
    ++v->report->num_problems;
    if (v->tell == NULL) {
        return RBC_OK;
    }
    const rbc_file_problem problem = {kind, path, why->message};
    const int held = rbc__forks_let();
    const int stop = v->tell(&problem, v->user);
    rbc__forks_hold_again(held);
    return stop == 0 ? RBC_OK
                     : rbc__fail(err, RBC_ERROR_CANCELLED, "'%s': verification was cancelled",
                                 v->dataset->root);
}

static rbc_status tell_missing(verification *v, const char *path, const rbc_error *why,
                               rbc_error *err) {
    const int code = why->device_code;
    const bool is_missing = code == ENOENT || code == ENOTDIR || code == ELOOP;
    return tell(v, path, is_missing ? RBC_FILE_MISSING : RBC_FILE_UNREADABLE, why, err);
}

static rbc_status column_digest(rbc__source *source, int64_t *digest, rbc_error *err) {
    const uint64_t end = rbc__source_bytes(source);
    uint64_t crc = 0;
    uint8_t *window = malloc(WINDOW_BYTES);
    rbc_status status = window != NULL
                            ? RBC_OK
                            : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "verifying a column file");
    for (uint64_t at = 0; at < end && status == RBC_OK; at += WINDOW_BYTES) {
        const uint64_t bytes = end - at < WINDOW_BYTES ? end - at : WINDOW_BYTES;
        status = rbc__source_read(source, at, bytes, window, err);
        crc = status == RBC_OK ? crc64_ecma_refl(crc, window, bytes) : crc;
    }
    free(window);
    *digest = (int64_t)crc;
    return status;
}

static rbc_status part_digest(verification *v, int64_t part, int64_t *digest, rbc_error *err) {
    bool row = false;
    sqlite3_reset(v->digests);
    sqlite3_bind_int64(v->digests, 1, v->dataset->catalog->parts[part].id);
    RBC__TRY(rbc__statement_step(v->digests, &row, err));
    *digest = row ? sqlite3_column_int64(v->digests, 0) : 0;
    sqlite3_reset(v->digests);
    return RBC_OK;
}

/* What a file is held to beside its size. */
typedef enum digest_kind { NO_DIGEST, OF_ENDS, OF_ALL } digest_kind;

/* The digests of a file whose size is right: `*wanted` and `*found` are the same where none is
 * recorded. `*read` is false where the file could not be read, as `err` says. */
static rbc_status find_digests(verification *v, int64_t part, digest_kind kind, rbc__source *source,
                               int64_t *wanted, int64_t *found, bool *read, rbc_error *err) {
    *wanted = *found = 0;
    *read = true;
    rbc_status status = RBC_OK;
    if (kind == OF_ALL) {
        *wanted = v->dataset->catalog->parts[part].column_digest;
        status = column_digest(source, found, err);
    } else if (kind == OF_ENDS) {
        RBC__TRY(part_digest(v, part, wanted, err));
        if (*wanted == 0) { /* what was left out when it was indexed has none */
            return RBC_OK;
        }
        status = rbc__identity_digest(v->dataset->root, v->dataset->schema->parts[part].path, found,
                                      err);
    }
    *read = status == RBC_OK;
    return RBC_OK;
}

static rbc_status compare(verification *v, int64_t part, digest_kind kind,
                          const rbc__named_file *parsed, rbc__source *source, rbc_error *err) {
    const rbc__file_identity *identity = rbc__source_identity(source);
    const int64_t wanted = parsed->expected != NULL ? parsed->expected->bytes : parsed->bytes;
    int64_t digest_wanted;
    int64_t digest_found;
    bool read;
    rbc_error why;
    v->report->num_bytes += identity->bytes;
    v->report->num_unsized += wanted < 0 && parsed->expected == NULL;
    if (wanted < 0 && parsed->expected != NULL) {
        rbc__fail(&why, RBC_ERROR_IO, "'%s' was not there when it was indexed", parsed->path);
        return tell(v, parsed->path, RBC_FILE_CHANGED, &why, err);
    }
    if (wanted >= 0 && wanted != identity->bytes) {
        rbc__fail(&why, RBC_ERROR_IO, "'%s' has %lld bytes, the catalog wants %lld", parsed->path,
                  (long long)identity->bytes, (long long)wanted);
        return tell(v, parsed->path, RBC_FILE_CHANGED, &why, err);
    }
    if (parsed->expected != NULL && !rbc__file_identity_equal(identity, parsed->expected)) {
        rbc__fail(&why, RBC_ERROR_IO,
                  "'%s' has been written to or replaced since the dataset was opened",
                  parsed->path);
        return tell(v, parsed->path, RBC_FILE_CHANGED, &why, err);
    }
    if (find_digests(v, part, kind, source, &digest_wanted, &digest_found, &read, &why) != RBC_OK) {
        return rbc__pass_on(&why, err);
    }
    if (!read) {
        return tell_missing(v, parsed->path, &why, err);
    }
    if (digest_wanted != digest_found) {
        rbc__fail(&why, RBC_ERROR_IO,
                  "'%s' has the size that the catalog wants, but other bytes: their digest is "
                  "%016llx, the catalog wants %016llx",
                  parsed->path, (unsigned long long)digest_found,
                  (unsigned long long)digest_wanted);
        return tell(v, parsed->path, RBC_FILE_CHANGED, &why, err);
    }
    return RBC_OK;
}

/* Frees the place's path. */
static rbc_status verify_place(verification *v, int64_t part, digest_kind kind,
                               rbc__named_file *parsed, rbc_error *err) {
    rbc__source *source;
    rbc_error why;
    rbc_status status = rbc__source_open(parsed->path, RBC__SOURCE_FILE, &source, &why);
    if (status == RBC_OK) {
        status = compare(v, part, kind, parsed, source, err);
        rbc__source_close(&source);
    } else if (parsed->expected == NULL || parsed->expected->bytes >= 0 ||
               why.device_code != ENOENT) { /* else it was not there when it was indexed either */
        status = tell_missing(v, parsed->path, &why, err);
    } else {
        status = RBC_OK;
    }
    ++v->report->num_files;
    free(parsed->path);
    return status;
}

static rbc_status verify_blob(verification *v, int64_t part, uint32_t number, digest_kind kind,
                              rbc_error *err) {
    rbc__named_file parsed = {.bytes = -1};
    if (rbc__watch_stop(&v->watch)) {
        return rbc__fail(err, RBC_ERROR_CANCELLED,
                         "'%s': verification was cancelled after %lld files", v->dataset->root,
                         (long long)v->report->num_files);
    }
    RBC__TRY(rbc__blob_names_find(v->dataset->names, rbc__blob_id(part, number), &parsed, err));
    return verify_place(v, part, kind, &parsed, err);
}

/* The file that was indexed, where another, unpacked, is blob 0. */
static rbc_status verify_packed(verification *v, int64_t part, rbc_error *err) {
    rbc__named_file parsed = {.bytes = -1, .expected = &v->dataset->catalog->parts[part].identity};
    if (asprintf(&parsed.path, "%s/%s", v->dataset->root, v->dataset->schema->parts[part].path) <
        0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", v->dataset->root);
    }
    return verify_place(v, part, OF_ENDS, &parsed, err);
}

static rbc_status verify_part(verification *v, int64_t part, rbc_error *err) {
    const rbc__catalog_part *known = &v->dataset->catalog->parts[part];
    uint64_t count;
    if (known->unpacked != NULL) {
        RBC__TRY(verify_packed(v, part, err));
    }
    if (!v->dataset->schema->parts[part].is_virtual) {
        RBC__TRY(verify_blob(v, part, 0, known->unpacked != NULL ? NO_DIGEST : OF_ENDS, err));
    }
    RBC__TRY(rbc__blob_names_count(v->dataset->names, part, &count, err));
    for (uint64_t i = 1; i <= count; ++i) {
        RBC__TRY(verify_blob(v, part, (uint32_t)i, NO_DIGEST, err));
    }
    return known->column_bytes > 0 ? verify_blob(v, part, RBC__COLUMN_BLOB, OF_ALL, err) : RBC_OK;
}

rbc_status rbc_dataset_verify(rbc_dataset *dataset, rbc_file_problem_fn problem,
                              rbc_interrupt_fn interrupt, void *user, rbc_verify_report *out,
                              rbc_error *err) {
    RBC__HOLD_FORKS();
    verification v = {.dataset = dataset,
                      .tell = problem,
                      .user = user,
                      .watch = {.ask = interrupt, .user = user},
                      .report = out};
    sqlite3 *db;
    *out = (rbc_verify_report){0};
    RBC__TRY(rbc__catalog_connect(dataset->catalog, NULL, &db, err));
    rbc_status status =
        rbc__statement_prepare(db, "SELECT digest FROM parts WHERE id = ?", &v.digests, err);
    for (int64_t i = 0; i < dataset->schema->num_parts && status == RBC_OK; ++i) {
        status = verify_part(&v, i, err);
    }
    rbc__statement_finish(&v.digests);
    rbc__database_close(&db);
    return status;
}
