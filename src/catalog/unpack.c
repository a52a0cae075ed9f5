#define _GNU_SOURCE

#include "catalog/unpack.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/fork.h"
#include "core/tensor.h"

static rbc_status look_whole(const rbc__index_job *job, int64_t position, rbc__whole *whole,
                             rbc_error *err) {
    *whole = RBC__WHOLE_PLAIN;
    return job->ops->packed != NULL && !job->ops->schema(job->reader)->parts[position].is_virtual
               ? job->ops->packed(job->reader, position, whole, err)
               : RBC_OK;
}

static rbc_status open_part(const rbc__index_job *job, int64_t position, rbc__source **out,
                            rbc_error *err) {
    char *path;
    *out = NULL;
    if (asprintf(&path, "%s/%s", job->root, job->ops->schema(job->reader)->parts[position].path) <
        0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "'%s': out of memory", job->root);
    }
    const rbc_status status = rbc__source_open(path, RBC__SOURCE_FILE, out, err);
    free(path);
    return status;
}

static rbc_status refuse(rbc__source *source, rbc__whole whole, rbc_error *err) {
    char size[64] = "";
    int64_t bytes;
    RBC__TRY(rbc__whole_size(source, whole, &bytes, err));
    if (whole == RBC__WHOLE_GZIP) {
        (void)snprintf(size, sizeof size, ", at least %lld unpacked", (long long)bytes);
    }
    return rbc__fail(err, RBC_ERROR_FORMAT,
                     "%s: the file is compressed with %s as a whole (%llu bytes%s): name a folder "
                     "to unpack it into (unpack= in Python, 'robocache index --unpack FOLDER')",
                     rbc__source_path(source), rbc__whole_name(whole),
                     (unsigned long long)rbc__source_bytes(source), size);
}

/* ---- what will be done --------------------------------------------------------------------------
 */

static rbc_status add_to_plan(const rbc__index_job *job, const rbc__unpack_folder *folder,
                              int64_t position, rbc__whole whole, rbc_unpack_plan *plan,
                              rbc_error *err) {
    char *path;
    rbc__source *source;
    rbc__file_identity made;
    rbc_error why;
    int64_t bytes = 0;
    RBC__TRY(open_part(job, position, &source, err));
    rbc_status status =
        rbc__unpacked_path(folder, job->ops->schema(job->reader)->parts[position].path, &path, err);
    if (status == RBC_OK &&
        rbc__unpacked_look(path, rbc__source_identity(source), false, &made, &why) != RBC_OK) {
        status = rbc__whole_size(source, whole, &bytes, err);
        /* what the end of a damaged file says is no more than its bytes can be */
        const int64_t most = rbc__source_identity(source)->bytes;
        bytes = bytes / RBC__UNPACK_MAX_RATIO > most ? most * RBC__UNPACK_MAX_RATIO : bytes;
        ++plan->num_files;
        plan->packed_bytes += most;
        plan->unpacked_bytes += bytes;
        plan->num_unsaid += whole != RBC__WHOLE_GZIP;
    }
    free(path);
    rbc__source_close(&source);
    return status;
}

static rbc_status tell_plan(const rbc__unpack_folder *folder, const rbc_open_params *params,
                            rbc_unpack_plan *plan, rbc_error *err) {
    plan->folder = rbc__unpack_folder_path(folder);
    RBC__TRY(rbc__unpack_folder_free_bytes(folder, &plan->free_bytes, err));
    if (params->unpacking != NULL) {
        const int held = rbc__forks_let();
        const int stop = params->unpacking(plan, params->unpacking_user);
        rbc__forks_hold_again(held);
        if (stop != 0) {
            return rbc__fail(err, RBC_ERROR_CANCELLED, "'%s': unpacking was cancelled",
                             plan->folder);
        }
    }
    if (plan->free_bytes - RBC__UNPACK_RESERVE_BYTES < plan->unpacked_bytes) {
        return rbc__fail(err, RBC_ERROR_IO,
                         "folder '%s' has %lld bytes free, of which 64 MiB stay so; unpacking %lld "
                         "files of %lld bytes takes at least %lld",
                         plan->folder, (long long)plan->free_bytes, (long long)plan->num_files,
                         (long long)plan->packed_bytes, (long long)plan->unpacked_bytes);
    }
    return RBC_OK;
}

static rbc_status make_plan(const rbc__index_job *job, const rbc_open_params *params,
                            rbc__unpack_folder **out, rbc_error *err) {
    const rbc__schema *schema = job->ops->schema(job->reader);
    rbc_unpack_plan plan = {0};
    for (int64_t i = 0; i < job->num_pending; ++i) {
        const int64_t position = job->pending[i].position;
        rbc__whole whole;
        rbc_error why;
        if (rbc__watch_stop(job->watch)) {
            return rbc__fail(err, RBC_ERROR_CANCELLED, "'%s': cancelled", job->root);
        }
        if (look_whole(job, position, &whole, &why) != RBC_OK || whole == RBC__WHOLE_PLAIN) {
            continue; /* what cannot be opened is told of when it is indexed */
        }
        if (*out == NULL) {
            RBC__TRY(rbc__unpack_folder_open(params->unpack_folder, schema->name, schema->version,
                                             out, err));
        }
        RBC__TRY(add_to_plan(job, *out, position, whole, &plan, err));
    }
    return plan.num_files > 0 ? tell_plan(*out, params, &plan, err) : RBC_OK;
}

rbc_status rbc__unpack_plan(const rbc__index_job *job, const rbc_open_params *params,
                            rbc__unpack_folder **out, rbc_error *err) {
    *out = NULL;
    if (params->unpack_folder == NULL) {
        return RBC_OK;
    }
    const rbc_status status = make_plan(job, params, out, err);
    if (status != RBC_OK) {
        rbc__unpack_folder_close(out);
    }
    return status;
}

/* ---- a part -------------------------------------------------------------------------------------
 */

rbc_status rbc__unpack_part(const rbc__index_job *job, int64_t position,
                            bool (*go_on)(void *user, uint64_t packed_bytes), void *user,
                            char **path, bool *refused, rbc_error *err) {
    const char *name = job->ops->schema(job->reader)->parts[position].path;
    rbc__whole whole;
    rbc__source *source;
    rbc__file_identity made;
    rbc_error why;
    *path = NULL;
    *refused = false;
    RBC__TRY(look_whole(job, position, &whole, err));
    if (whole == RBC__WHOLE_PLAIN) {
        return RBC_OK;
    }
    RBC__TRY(open_part(job, position, &source, err));
    rbc_status status = RBC_OK;
    if (job->unpack_folder == NULL) {
        *refused = true;
        status = refuse(source, whole, err);
    } else {
        status = rbc__unpacked_path(job->unpack_folder, name, path, err);
    }
    if (status == RBC_OK &&
        rbc__unpacked_look(*path, rbc__source_identity(source), false, &made, &why) != RBC_OK) {
        status = rbc__unpacked_make(job->unpack_folder, name, source, whole, go_on, user, err);
    }
    rbc__source_close(&source);
    if (status != RBC_OK) {
        free(*path);
        *path = NULL;
    }
    return status;
}
