#define _GNU_SOURCE

#include "catalog/index_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "catalog/identity.h"
#include "catalog/part_index.h"
#include "catalog/unpack.h"
#include "core/cpu.h"
#include "core/error.h"
#include "core/fork.h"
#include "core/monotonic.h"

#define PROGRESS_NS 50000000L
#define COMMIT_NS   100000000L
#define MAX_THREADS 256
/* Parts read ahead of the one being written, for each thread: bounds the memory for results. */
#define PARTS_AHEAD 2

typedef struct part_result {
    rbc__part_index index;
    rbc_status status;
    rbc_error error;
    bool done;
} part_result;

typedef struct index_run {
    const rbc__index_job *job;
    part_result *results; /* [num_pending] */
    int32_t num_threads;
    pthread_mutex_t lock;
    pthread_cond_t part_done;
    pthread_cond_t may_go_on;
    int64_t next;    /* part to be indexed */
    int64_t written; /* parts before this one are in the catalog */
    atomic_bool stop;
    atomic_int_fast64_t bytes, episodes;
} index_run;

/* One part being indexed by one thread. */
typedef struct part_task {
    index_run *run;
    part_result *result;
    uint64_t bytes_reported;
    bool is_unpacked; /* progress is that of unpacking: the packed bytes are the part's */
} part_task;

static rbc_status take_episode(void *user, const rbc__episode_entry *entry, rbc_error *err) {
    part_task *task = user;
    if (atomic_load_explicit(&task->run->stop, memory_order_relaxed)) {
        return rbc__fail(err, RBC_ERROR_CANCELLED, "indexing was stopped");
    }
    RBC__TRY(rbc__part_index_add_episode(&task->result->index, entry, err));
    atomic_fetch_add_explicit(&task->run->episodes, 1, memory_order_relaxed);
    return RBC_OK;
}

static rbc_status take_damage(void *user, int64_t record, const rbc_error *problem,
                              rbc_error *err) {
    part_task *task = user;
    if (task->run->job->on_error == RBC_ON_ERROR_SKIP) {
        return rbc__part_index_add_skip(&task->result->index, record, problem->message, err);
    }
    return rbc__fail(err, problem->status, "%s", problem->message);
}

static rbc_status take_blobs(void *user, const rbc__blob_group *group, rbc_error *err) {
    part_task *task = user;
    return rbc__part_index_add_blobs(&task->result->index, group, err);
}

static rbc_status take_object(void *user, rbc__container kind, const uint8_t *data, size_t bytes,
                              rbc_error *err) {
    part_task *task = user;
    return rbc__part_index_add_object(&task->result->index, kind, data, bytes, err);
}

static rbc_status take_column(void *user, const void *data, size_t bytes, uint64_t *offset,
                              rbc_error *err) {
    part_task *task = user;
    return rbc__part_index_add_column(&task->result->index, data, bytes, offset, err);
}

static rbc_status take_told(void *user, const char *json, rbc_error *err) {
    part_task *task = user;
    return rbc__part_index_set_told(&task->result->index, json, err);
}

static int take_progress(void *user, uint64_t bytes_done) {
    part_task *task = user;
    if (!task->is_unpacked && bytes_done > task->bytes_reported) {
        atomic_fetch_add_explicit(&task->run->bytes,
                                  (int_fast64_t)(bytes_done - task->bytes_reported),
                                  memory_order_relaxed);
        task->bytes_reported = bytes_done;
    }
    return atomic_load_explicit(&task->run->stop, memory_order_relaxed);
}

static bool unpack_on(void *user, uint64_t packed_bytes) {
    return take_progress(user, packed_bytes) == 0;
}

/* Only what stays wrong for as long as the file is the same may be skipped: it is recorded, and the
 * file is not looked at again. Descriptors and memory run short, disks and networks fail, and
 * rights are given for a time; a file that is read while it is being written is whole later. */
static bool may_skip(const rbc_error *error) {
    switch (error->status) {
    case RBC_ERROR_FORMAT:
    case RBC_ERROR_NOT_FOUND:
    case RBC_ERROR_UNSUPPORTED:
        return true;
    case RBC_ERROR_IO: /* nothing there, or no regular file */
        return error->device_code == ENOENT || error->device_code == ENOTDIR ||
               error->device_code == ELOOP || error->device_code == EISDIR ||
               error->device_code == EINVAL;
    default:
        return false;
    }
}

static void index_part(index_run *run, int64_t number) {
    const rbc__index_job *job = run->job;
    part_result *result = &run->results[number];
    part_task task = {run, result, 0, false};
    rbc__index_sink sink = {.episode = take_episode,
                            .damaged = take_damage,
                            .progress = take_progress,
                            .blobs = take_blobs,
                            .object = take_object,
                            .column = take_column,
                            .told = take_told,
                            .user = &task};
    const int64_t position = job->pending[number].position;
    const rbc__part_schema *part = &job->ops->schema(job->reader)->parts[position];
    bool refused = false;
    result->status = rbc__unpack_part(job, position, unpack_on, &task, &result->index.unpacked,
                                      &refused, &result->error);
    if (result->status == RBC_OK) {
        sink.unpacked = result->index.unpacked;
        task.is_unpacked = sink.unpacked != NULL;
        result->status = job->ops->index_part(job->reader, position, &sink, &result->error);
    }
    if (result->status == RBC_OK && !part->is_virtual) {
        result->status =
            rbc__identity_digest(job->root, part->path, &result->index.digest, &result->error);
    }
    if (job->on_error == RBC_ON_ERROR_SKIP && result->status != RBC_OK && !refused &&
        may_skip(&result->error)) {
        result->status =
            rbc__part_index_add_skip(&result->index, -1, result->error.message, &result->error);
    }
}

static void *index_parts(void *user) {
    index_run *run = user;
    const int64_t ahead = (int64_t)run->num_threads * PARTS_AHEAD;
    pthread_mutex_lock(&run->lock);
    while (!atomic_load(&run->stop) && run->next < run->job->num_pending) {
        if (run->next >= run->written + ahead) {
            pthread_cond_wait(&run->may_go_on, &run->lock);
            continue;
        }
        const int64_t number = run->next++;
        pthread_mutex_unlock(&run->lock);
        index_part(run, number);
        pthread_mutex_lock(&run->lock);
        run->results[number].done = true;
        pthread_cond_signal(&run->part_done);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static rbc_status cancelled(const index_run *run, rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_CANCELLED,
                     "indexing was cancelled after %lld of %lld files; the next call goes on from "
                     "there",
                     (long long)(run->job->done.files_done + run->written),
                     (long long)run->job->done.files_total);
}

static rbc_status report(index_run *run, rbc_error *err) {
    const rbc__index_job *job = run->job;
    rbc_progress now = job->done;
    now.files_done += run->written; /* changed by this thread alone */
    now.bytes_done += atomic_load(&run->bytes);
    now.episodes += atomic_load(&run->episodes);
    if (job->progress != NULL) {
        *job->progress = now;
    }
    return rbc__watch_ask(job->watch) ? cancelled(run, err) : RBC_OK;
}

static bool is_past(const struct timespec *at) {
    return rbc__now_ns() >= rbc__timespec_ns(*at);
}

/* Whether part `number` is indexed before `until`. */
static bool await_part(index_run *run, int64_t number, const struct timespec *until) {
    int timed_out = 0;
    pthread_mutex_lock(&run->lock);
    while (!run->results[number].done && timed_out == 0) {
        timed_out = pthread_cond_timedwait(&run->part_done, &run->lock, until);
    }
    const bool done = run->results[number].done;
    pthread_mutex_unlock(&run->lock);
    return done;
}

static rbc_status write_part(index_run *run, int64_t number, rbc__part_index_writer *writer,
                             rbc_error *err) {
    part_result *result = &run->results[number];
    if (result->status != RBC_OK) {
        return rbc__pass_on(&result->error, err);
    }
    RBC__TRY(rbc__part_index_write(writer, run->job->pending[number].id, &result->index, err));
    rbc__part_index_free(&result->index);
    pthread_mutex_lock(&run->lock);
    run->written = number + 1;
    pthread_cond_broadcast(&run->may_go_on);
    pthread_mutex_unlock(&run->lock);
    return RBC_OK;
}

/* Commits ten times a second: a commit waits for the disk, and small parts are many. */
static rbc_status write_parts(index_run *run, rbc__part_index_writer *writer, rbc_error *err) {
    int64_t number = 0;
    struct timespec commit_at = rbc__after_ns(COMMIT_NS);
    while (number < run->job->num_pending) {
        const struct timespec until = rbc__after_ns(PROGRESS_NS);
        while (number < run->job->num_pending && await_part(run, number, &until)) {
            RBC__TRY(write_part(run, number++, writer, err));
            if (is_past(&until)) {
                break;
            }
        }
        if (number == run->job->num_pending || is_past(&commit_at)) {
            RBC__TRY(rbc__part_index_writer_commit(writer, err));
            commit_at = rbc__after_ns(COMMIT_NS);
        }
        RBC__TRY(report(run, err));
    }
    return RBC_OK;
}

static rbc_status run_threads(index_run *run, rbc_error *err) {
    pthread_t threads[MAX_THREADS];
    int32_t started = 0;
    int failed = 0;
    while (started < run->num_threads && failed == 0) {
        failed = pthread_create(&threads[started], NULL, index_parts, run);
        started += failed == 0;
    }
    rbc_status status = RBC_OK;
    if (started == 0) {
        status = rbc__fail_errno(err, failed, "indexing: no thread could be started");
    }
    rbc__part_index_writer *writer = NULL;
    if (status == RBC_OK) {
        status = rbc__part_index_writer_create(run->job->db, run->job->catalog_path,
                                               run->job->folder, &writer, err);
    }
    if (status == RBC_OK) {
        status = write_parts(run, writer, err);
        if (status != RBC_OK) { /* what was whole before the failure stays */
            rbc__part_index_writer_commit(writer, NULL);
        }
        if (status == RBC_ERROR_CANCELLED) {
            status = cancelled(run, err);
        }
    }
    rbc__part_index_writer_destroy(&writer);
    pthread_mutex_lock(&run->lock);
    atomic_store(&run->stop, true);
    pthread_cond_broadcast(&run->may_go_on);
    pthread_mutex_unlock(&run->lock);
    const int held = rbc__forks_let(); /* a format in Python may wait for a thread that forks */
    for (int32_t i = 0; i < started; ++i) {
        pthread_join(threads[i], NULL);
    }
    rbc__forks_hold_again(held);
    return status;
}

static int32_t choose_threads(const rbc__index_job *job) {
    int64_t threads = job->num_threads;
    if (threads == 0) {
        threads = rbc__num_cores();
    }
    threads = threads < job->num_pending ? threads : job->num_pending;
    return (int32_t)(threads < MAX_THREADS ? threads : MAX_THREADS);
}

rbc_status rbc__index_run(const rbc__index_job *job, rbc_error *err) {
    if (job->num_pending == 0) {
        return RBC_OK;
    }
    index_run run = {.job = job, .num_threads = choose_threads(job)};
    run.results = calloc((size_t)job->num_pending, sizeof *run.results);
    if (run.results == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "indexing: out of memory");
    }
    pthread_mutex_init(&run.lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&run.part_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_cond_init(&run.may_go_on, NULL);
    const rbc_status status = run_threads(&run, err);
    for (int64_t i = 0; i < job->num_pending; ++i) {
        rbc__part_index_free(&run.results[i].index);
    }
    pthread_cond_destroy(&run.may_go_on);
    pthread_cond_destroy(&run.part_done);
    pthread_mutex_destroy(&run.lock);
    free(run.results);
    return status;
}
