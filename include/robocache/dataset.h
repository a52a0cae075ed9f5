/* Datasets, which of their episodes are meant, and what lies in an episode.
 *
 * A dataset is a folder of files in a format RoboCache knows, and the catalog that says where each
 * step of each stream lies in them. */
#ifndef ROBOCACHE_DATASET_H
#define ROBOCACHE_DATASET_H

#include <robocache/base.h>
#include <robocache/jpeg.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct rbc_dataset rbc_dataset;

/* Called from the thread that opened or indexed, a few times a second. Return non-zero to stop:
 * what is indexed so far stays and the next call goes on from there. */
typedef struct rbc_progress {
    int64_t files_done, files_total;
    int64_t bytes_done, bytes_total;
    int64_t episodes; /* catalogued so far */
} rbc_progress;
typedef int (*rbc_progress_fn)(const rbc_progress *progress, void *user);

/* Called about twenty times a second from the thread that called, by what may take long. Return
 * non-zero to end the call with CANCELLED. */
typedef int (*rbc_interrupt_fn)(void *user);

typedef enum rbc_on_error {
    RBC_ON_ERROR_RAISE = 0, /* the first damaged record or sample ends the call with its error */
    RBC_ON_ERROR_SKIP = 1,  /* it is left out, counted and listed */
    RBC_ON_ERROR_MASK = 2,  /* loaders: its row stays, with nothing in it: all masks false; counted
                               and listed */
} rbc_on_error;

/* Files that are compressed as a whole and are about to be unpacked. */
typedef struct rbc_unpack_plan {
    const char *folder; /* that they go to */
    int64_t num_files;
    int64_t packed_bytes;
    int64_t unpacked_bytes; /* at least: the ends of gzip files say it, of the last member, modulo
                               4 GiB */
    int64_t num_unsaid;     /* files that do not say it, which count as none */
    int64_t free_bytes;     /* in the folder */
} rbc_unpack_plan;

/* On the thread that called, before the first is unpacked. Return non-zero to end with CANCELLED. */
typedef int (*rbc_unpack_fn)(const rbc_unpack_plan *plan, void *user);

typedef struct rbc_open_params {
    size_t struct_size;
    const char *catalog_path; /* NULL: "<dataset>/.robocache.sqlite", or, where that cannot be
                                 written or used, <hash>.sqlite in $ROBOCACHE_CACHE,
                                 $XDG_CACHE_HOME/robocache or ~/.cache/robocache */
    int32_t num_threads;      /* for indexing; 0: all cores */
    int32_t rebuild;          /* non-zero: make the catalog anew, whatever it holds; a file that is
                                 no catalog is left alone all the same */
    rbc_on_error on_error;    /* what a damaged record does to indexing */
    double control_rate_hz;   /* of data without time stamps; 0: what the format or table says */
    rbc_progress_fn progress;
    void *progress_user;
    rbc_jpeg_dct jpeg_dct;     /* of episodes, and of loaders that do not say */
    const char *unpack_folder; /* where RLDS files that are compressed as a whole (gzip, zlib) are
                                  unpacked to; NULL: they are FORMAT, whatever on_error says */
    rbc_unpack_fn unpacking;   /* NULL: nobody is told */
    void *unpacking_user;
} rbc_open_params;

#define RBC_OPEN_PARAMS_INIT                                                                       \
    {.struct_size = sizeof(rbc_open_params),                                                       \
     .catalog_path = NULL,                                                                         \
     .num_threads = 0,                                                                             \
     .rebuild = 0,                                                                                 \
     .on_error = RBC_ON_ERROR_RAISE,                                                               \
     .control_rate_hz = 0.0,                                                                       \
     .progress = NULL,                                                                             \
     .progress_user = NULL,                                                                        \
     .jpeg_dct = RBC_JPEG_DCT_DEFAULT,                                                             \
     .unpack_folder = NULL,                                                                        \
     .unpacking = NULL,                                                                            \
     .unpacking_user = NULL}

/* Opens a dataset, indexing what is new or changed since last time (file size, mtime). At once when
 * nothing is. A call that fails, is cancelled or killed leaves the catalog that there was, and what
 * it had indexed for the next call to go on with, in the folder "<catalog>.partial"; the finished
 * catalog is the same to the byte. While another process indexes, the call waits, calling
 * `progress`. With on_error skip damaged records, and files that cannot be read, are left out and
 * listed; such a catalog is refused with on_error raise. A catalog may be anybody's and is trusted
 * in nothing. In the dataset's folder one that is not RoboCache's, damaged or of a later version is
 * left alone, and one in the cache is used instead: see catalog_passed_over. One given by path is
 * FORMAT then, and INVALID_ARGUMENT where it is that of another dataset; it is replaced only with
 * rebuild, and only where it is RoboCache's. With unpack_folder a
 * file that is compressed as a whole is unpacked, once, to "<folder>/<name>/<version>/<file>" (a "/"
 * in it is "%2F"), with a note "<file>.unpacked" beside it: unpacking is refused where the disk would
 * be left with less than 64 MiB, and ends with FORMAT for a file that unpacks to more than 64 MiB and
 * 256 times its size. From then on it is found where it lies, with or without unpack_folder; NOT_FOUND
 * where it is gone. NOT_FOUND, IO, FORMAT (damaged records), UNSUPPORTED
 * (no reader knows the files), CANCELLED. */
RBC_API rbc_status rbc_dataset_open(const char *path, const rbc_open_params *params,
                                    rbc_dataset **out, rbc_error *err);
/* Objects made from the dataset keep it alive; closing drops the caller's own hold. */
RBC_API void rbc_dataset_close(rbc_dataset **dataset);

typedef struct rbc_dataset_info {
    const char *name;    /* the dataset's own, "bridge_dataset" */
    const char *version; /* "1.0.0" or "" */
    const char *format;  /* "rlds" */
    const char *path;    /* absolute */
    const char *catalog_path;
    const char
        *catalog_passed_over; /* why the one in the dataset's folder is not used, or that one of
                                        an earlier version was made anew, in words; NULL: it is,
                                        there was none, or it cannot be written */
    double control_rate_hz;   /* 0: unknown */
    int64_t num_episodes;
    int64_t num_steps;
    int64_t num_bytes; /* of the data files, as far as the format tells their sizes */
    int64_t num_files;
    int64_t num_skipped; /* damaged records left out, see rbc_dataset_skipped() */
    int32_t num_streams;
    int32_t num_splits;
    int64_t num_tasks;
} rbc_dataset_info;

RBC_API void rbc_dataset_get_info(const rbc_dataset *dataset, rbc_dataset_info *out);

typedef enum rbc_stream_kind {
    RBC_STREAM_NUMERIC = 0, /* dense values, one of `shape` a sample */
    RBC_STREAM_IMAGE = 1,   /* encoded images; shape [H, W, C], -1 where not declared */
    RBC_STREAM_TEXT = 2,    /* one UTF-8 string a sample */
} rbc_stream_kind;

#define RBC_STREAM_MAX_DIMS 8

typedef struct rbc_stream_info {
    const char *name; /* "observation/state" */
    rbc_stream_kind kind;
    DLDataType dtype;  /* of one decoded element */
    int32_t is_ragged; /* non-zero: a step holds any number of samples. With `times` this is a
                          stream on a clock of its own; without, each step is one sample of variable
                          first extent, such as a point cloud */
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS]; /* of one sample; -1: not declared */
    const char *encoding;               /* "", "jpeg", "png" */
    const char *times;       /* name of the int64 ns stream with this one's stamps, or NULL */
    double rate_hz;          /* control rate, or measured over the first episode; 0: unknown */
    const char *unsupported; /* why its samples cannot be read, or NULL */
    const char *unit;        /* of its values, UTF-8 of at most 32 bytes, "m"; "": not said */
    double scale, offset;    /* value = scale * stored + offset; 1 and 0: they are the same. Numeric
                                streams are delivered as values. Images are delivered as stored, and
                                who wants values multiplies them, on the GPU for instance */
} rbc_stream_info;

/* NOT_FOUND / INVALID_ARGUMENT when there is no such stream. */
RBC_API rbc_status rbc_dataset_stream(const rbc_dataset *dataset, int32_t index,
                                      rbc_stream_info *out, rbc_error *err);
RBC_API rbc_status rbc_dataset_find_stream(const rbc_dataset *dataset, const char *name,
                                           int32_t *index, rbc_error *err);

typedef struct rbc_split_info {
    const char *name;
    int64_t num_episodes;
    int64_t num_steps;
} rbc_split_info;
RBC_API rbc_status rbc_dataset_split(const rbc_dataset *dataset, int32_t index, rbc_split_info *out,
                                     rbc_error *err);

/* Text of task `index` in [0, num_tasks), and how many episodes have it. Borrowed until the next
 * call on the same thread. */
RBC_API rbc_status rbc_dataset_task(const rbc_dataset *dataset, int64_t index, const char **text,
                                    int64_t *num_episodes, rbc_error *err);

/* Record `index` in [0, num_skipped) left out of the catalog, as the error message it caused. */
RBC_API rbc_status rbc_dataset_skipped(const rbc_dataset *dataset, int64_t index,
                                       const char **message, rbc_error *err);

/* A file that is not what the catalog was made of. */
typedef enum rbc_file_problem_kind {
    RBC_FILE_MISSING = 0,
    RBC_FILE_CHANGED = 1,    /* other size or bytes, or written to since the dataset was opened */
    RBC_FILE_UNREADABLE = 2, /* it is there, but cannot be opened or read, or is no file */
} rbc_file_problem_kind;

typedef struct rbc_file_problem {
    rbc_file_problem_kind kind;
    const char *path;    /* absolute */
    const char *message; /* names the file, what was found and what was wanted */
} rbc_file_problem;

/* Borrowed for the call, on the thread that called. Return non-zero to end with CANCELLED. */
typedef int (*rbc_file_problem_fn)(const rbc_file_problem *problem, void *user);

typedef struct rbc_verify_report {
    int64_t num_files;   /* looked at */
    int64_t num_bytes;   /* that those have which could be opened */
    int64_t num_unsized; /* files of which the catalog knows no size: that they open is all */
    int64_t num_problems;
} rbc_verify_report;

/* Looks at every file that the catalog names, which opening does for those alone that are a part
 * each. A part's own file is held to its size, to the time of change that it had when the dataset
 * was opened, and to a digest of its first and last 4 KiB; a column file to a digest of all of it;
 * any other to its size, where the format told it. `problem` (NULL: they are counted only) is told
 * of each that is missing, changed or unreadable, in the dataset's order; `interrupt` (NULL
 * allowed) may end it. One descriptor at a time. OK whatever the files are like; IO where
 * descriptors run short, CANCELLED. */
RBC_API rbc_status rbc_dataset_verify(rbc_dataset *dataset, rbc_file_problem_fn problem,
                                      rbc_interrupt_fn interrupt, void *user,
                                      rbc_verify_report *out, rbc_error *err);

/* ---- Selections: which episodes ---- */

typedef struct rbc_selection rbc_selection;

/* Episodes of `split` (NULL: all) for which the SQL expression `where` (NULL: all) holds, in the
 * dataset's order. Columns: id, split, task, num_steps, bytes, file, record, and `task MATCH
 * 'word'` for full-text search. The expression is run on a read-only connection that admits only
 * expressions, with texts of at most 64 KiB. `interrupt` (NULL allowed) may end it.
 * INVALID_ARGUMENT with SQLite's own words, NOT_FOUND for an unknown split, CANCELLED. */
RBC_API rbc_status rbc_selection_create(rbc_dataset *dataset, const char *split, const char *where,
                                        rbc_interrupt_fn interrupt, void *user, rbc_selection **out,
                                        rbc_error *err);
/* Those of `selection` for which `where` holds and, with `split`, that are in it. */
RBC_API rbc_status rbc_selection_refine(const rbc_selection *selection, const char *split,
                                        const char *where, rbc_interrupt_fn interrupt, void *user,
                                        rbc_selection **out, rbc_error *err);
/* The episodes ids[0..count), in that order; each must exist. */
RBC_API rbc_status rbc_selection_from_ids(rbc_dataset *dataset, const int64_t *ids, int64_t count,
                                          rbc_selection **out, rbc_error *err);
/* The episodes at positions[0..count) of `selection`, in that order, with what is kept of them. */
RBC_API rbc_status rbc_selection_take(const rbc_selection *selection, const int64_t *positions,
                                      int64_t count, rbc_selection **out, rbc_error *err);

/* Steps [first, end) of an episode. */
typedef struct rbc_step_range {
    int64_t first, end;
} rbc_step_range;

/* The same episodes without the steps that lie in no range: num_ranges[i] of them, one behind the
 * other in `ranges`, are of the episode at position i. The ranges of an episode ascend and do not
 * overlap. Of a selection that keeps some steps only, those in both are kept; episodes of which
 * nothing is kept are left out. A step that is not kept is no sample of a loader, but windows of
 * those beside it reach into it. INVALID_ARGUMENT naming the episode. */
RBC_API rbc_status rbc_selection_keep_steps(const rbc_selection *selection,
                                            const int64_t *num_ranges, const rbc_step_range *ranges,
                                            rbc_selection **out, rbc_error *err);
/* The ranges kept of the episode at `position`, borrowed: `*count` of them. NULL, and 0, where
 * nothing has been left out of any episode, or there is no such position. */
RBC_API const rbc_step_range *rbc_selection_ranges(const rbc_selection *selection, int64_t position,
                                                   int64_t *count);
RBC_API void rbc_selection_destroy(rbc_selection **selection);
RBC_API int64_t rbc_selection_size(const rbc_selection *selection);
/* Those kept, where some are left out. */
RBC_API int64_t rbc_selection_num_steps(const rbc_selection *selection);
RBC_API int64_t rbc_selection_id(const rbc_selection *selection, int64_t index);
RBC_API rbc_dataset *rbc_selection_dataset(const rbc_selection *selection);

/* ---- Episodes ---- */

typedef struct rbc_episode rbc_episode;

typedef struct rbc_episode_info {
    int64_t id;
    int64_t num_steps;
    int64_t duration_ns; /* last minus first stamp of the default reference streams (see the clock
                            of a loader), else of the steps; INT64_MAX at most */
    int64_t bytes;       /* of the record */
    int64_t record;      /* index of the record in its file */
    int64_t offset;      /* byte offset of the record in its file */
    const char *file;    /* relative to the dataset's path */
    const char *split;
    const char *task;     /* "" where there is none */
    const char *metadata; /* JSON object */
} rbc_episode_info;

RBC_API rbc_status rbc_episode_open(rbc_dataset *dataset, int64_t id, rbc_episode **out,
                                    rbc_error *err);
RBC_API void rbc_episode_close(rbc_episode **episode);
RBC_API void rbc_episode_get_info(const rbc_episode *episode, rbc_episode_info *out);

/* Samples of stream `stream` in this episode: num_steps, or, for a ragged stream, the total over
 * the steps. `row_lengths` (int64 [num_steps], or NULL) receives the samples of each step. */
RBC_API rbc_status rbc_episode_count(rbc_episode *episode, int32_t stream, int64_t *num_samples,
                                     int64_t *row_lengths, rbc_error *err);

/* Writes samples [first, first + count) of a numeric or image stream, decoded, to `dst`, C order,
 * dtype of the stream. `dst_bytes` must be exactly count * bytes of a sample; for images of
 * undeclared shape ask rbc_episode_image_shape() first. An empty image (padding) is all zeros. */
RBC_API rbc_status rbc_episode_read(rbc_episode *episode, int32_t stream, int64_t first,
                                    int64_t count, void *dst, uint64_t dst_bytes, rbc_error *err);
/* Stamps of those samples in ns; from the control rate where the stream has no stamps of its own
 * (INVALID_ARGUMENT, asking for one, where that is unknown). */
RBC_API rbc_status rbc_episode_times(rbc_episode *episode, int32_t stream, int64_t first,
                                     int64_t count, int64_t *dst, rbc_error *err);
RBC_API rbc_status rbc_episode_image_shape(rbc_episode *episode, int32_t stream, int64_t sample,
                                           int64_t shape[3], rbc_error *err);
/* The bytes of one sample of a text or image stream as they lie in the file, borrowed until the
 * next call on this episode. Text is checked to be UTF-8. */
RBC_API rbc_status rbc_episode_bytes(rbc_episode *episode, int32_t stream, int64_t sample,
                                     const void **bytes, uint64_t *num_bytes, rbc_error *err);

#ifdef __cplusplus
}
#endif
#endif
