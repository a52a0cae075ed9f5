/* The one table through which operations reach a backend.
 *
 * src/ops validates tensors once and turns them into jobs: plain pointers, byte strides and
 * extents. A backend runs a job and neither checks nor allocates; on the CPU it may use the
 * context's pool, on CUDA it queues on `cu_stream`. A job is borrowed for the call.
 * Shared within src. */
#ifndef RBC_BACKEND_H
#define RBC_BACKEND_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "codec/jpeg_batch.h"
#include "core/tensor.h"
#include "image/image.h"
#include "transfer.h"

typedef enum rbc__time_type {
    RBC__TIME_I64 = 0, /* nanoseconds */
    RBC__TIME_F64 = 1, /* seconds */
    RBC__TIME_F32 = 2,
} rbc__time_type;

/* A run of channels with one mode; groups of a source cover [0, D) in order, without holes. */
typedef struct rbc__channel_run {
    int64_t begin;
    int64_t end;
    rbc_resample_mode mode;
} rbc__channel_run;

typedef struct rbc__resample_source {
    const char *values;
    int64_t batch_stride_bytes, sample_stride_bytes, channel_stride_bytes;
    const char *times;
    int64_t times_batch_stride_bytes; /* 0: shared by the batch */
    int64_t times_stride_bytes;
    const char *lengths; /* NULL: num_samples everywhere */
    int64_t lengths_stride_bytes;
    bool lengths_are_i64; /* else int32 */
    int64_t num_samples;  /* S */
    int64_t num_channels; /* D */
    int64_t out_channel;  /* first column of this source in the output */
    const rbc__channel_run *runs;
    int32_t num_runs;
    rbc_outside outside;
    uint32_t flags; /* RBC_NAN_IS_MISSING, RBC_CHECK_TIMES */
    /* Limits in the unit of the times; integers for RBC__TIME_I64. Negative: none. */
    double max_gap, tolerance;
    int64_t max_gap_ns, tolerance_ns;
} rbc__resample_source;

typedef struct rbc__resample_job {
    int64_t batch;       /* B */
    int64_t num_targets; /* T */
    rbc__dtype dtype;    /* of values and output */
    rbc__time_type time_type;
    const char *targets;
    int64_t targets_batch_stride_bytes; /* 0: shared by the batch */
    int64_t targets_stride_bytes;
    char *out;
    int64_t out_batch_stride_bytes, out_target_stride_bytes, out_channel_stride_bytes;
    char *valid; /* one byte each, or NULL; [B, T] for resample, [B, T, N] for fuse */
    int64_t valid_batch_stride_bytes, valid_target_stride_bytes, valid_source_stride_bytes;
    char *dt; /* or NULL; only with one source */
    int64_t dt_batch_stride_bytes, dt_target_stride_bytes;
    const rbc__resample_source *sources;
    int32_t num_sources;
} rbc__resample_job;

/* Depth images that stand for points; H * W pixels are the points of a cloud, in row order. */
typedef struct rbc__depth_source {
    rbc__dtype dtype; /* RBC__U16, RBC__F32, RBC__F64 */
    int64_t height, width;
    const char *depth;
    int64_t batch_stride_bytes, row_stride_bytes, column_stride_bytes;
    const char *intrinsics;
    bool intrinsics_are_f64;
    int64_t intrinsics_stride_bytes[3]; /* batch (0: shared), row, column */
    const char *pose;                   /* NULL: identity */
    bool pose_is_f64;
    int64_t pose_stride_bytes[3];
    double depth_scale, min_depth, max_depth, pixel_offset;
} rbc__depth_source;

/* Points and features of a batch of clouds. */
typedef struct rbc__cloud {
    int64_t batch;          /* 1 without a batch axis */
    int64_t num_points;     /* N, below 2^31 */
    rbc__dtype point_dtype; /* RBC__F32, RBC__F64, RBC__F16, RBC__BF16 */
    const char *points;
    int64_t points_batch_stride_bytes, points_stride_bytes, axis_stride_bytes;
    const rbc__depth_source *depth; /* not NULL: f32 points come from here and `points` is NULL */
    rbc__dtype feature_dtype;
    int64_t num_features; /* F; 0 without features */
    const char *features;
    /* Point i is at (i / feature_row) * features_row_stride_bytes + (i % feature_row) *
     * features_stride_bytes; feature_row is the width of a depth image, else INT64_MAX. */
    int64_t feature_row;
    int64_t features_batch_stride_bytes, features_row_stride_bytes, features_stride_bytes;
    int64_t feature_stride_bytes;
    const char *lengths; /* values outside [0, N] are clamped by CUDA, refused before on the CPU */
    int64_t lengths_stride_bytes;
    bool lengths_are_i64;
} rbc__cloud;

typedef struct rbc__voxelize_job {
    rbc__cloud cloud;
    rbc_voxel_reduce reduce;
    int64_t grid[3];      /* each in [1, 2^31), the product too far from overflow for any output */
    double voxel_size[3]; /* as given; finite and positive in the type computed in, too */
    double origin[3];     /* resolved */
    char *out;            /* C order, contiguous */
    int32_t *counts;      /* contiguous, or NULL */
    int64_t *dropped;     /* [batch], contiguous, or NULL */
    char *workspace;
    uint64_t workspace_bytes;
} rbc__voxelize_job;

typedef struct rbc__voxelize_sparse_job {
    rbc__cloud cloud;
    rbc_voxel_preset preset;
    rbc_voxel_reduce reduce;
    int64_t grid[3]; /* 0, 0, 0: no bounds */
    double voxel_size[3];
    double origin[3]; /* resolved unless origin_from_cloud */
    double upper[3];
    double scale; /* 0: from the cloud */
    bool origin_from_cloud;
    int64_t max_points; /* INT64_MAX: no limit */
    int64_t max_voxels; /* M */
    /* As rbc_voxelize_sparse_outputs; all contiguous, NULL where not wanted. */
    int32_t *coordinates, *num_voxels, *counts;
    char *features, *voxels;
    int32_t *point_indices, *point_to_voxel, *point_coordinates;
    int64_t *dropped;
    double *origins;
    char *workspace;
    uint64_t workspace_bytes;
} rbc__voxelize_sparse_job;

typedef struct rbc__depth_job {
    int64_t batch;
    rbc__depth_source source;
    float *points;    /* contiguous */
    int32_t *lengths; /* not NULL: valid points first, then NaN */
} rbc__depth_job;

/* Streams of JPEGs in a device's memory. */
typedef struct rbc__jpeg_streams {
    const uint8_t *data; /* of all; an image's are those from `at` on */
    uint64_t num_bytes;
    rbc__jpeg_image *images;
    int64_t count; /* at least 1 */
    int32_t device_id;
    void *cu_stream; /* on which they come to be there */
} rbc__jpeg_streams;

typedef struct rbc__jpeg_job {
    rbc__jpeg_image *images;
    int64_t count;
    const uint8_t *streams; /* on the device, of `streams_bytes`; NULL: they are on the host */
    uint64_t streams_bytes;
    rbc_jpeg_dct dct;
    uint8_t *valid; /* [count], contiguous; NULL: the first failure is the call's error */
    char *workspace;
    uint64_t workspace_bytes;
    void *kept; /* RBC__JPEG_KEPT_BYTES of the batch, zeros at first, for the backend to keep */
    rbc__pipe *pipe; /* whose stream it goes on, which takes copies too; NULL: another stream */
} rbc__jpeg_job;

enum { RBC__JPEG_KEPT_BYTES = 512 };

/* One image as it is stored, rows row_stride_bytes apart, and what is done to it. */
typedef struct rbc__image_item {
    const void *pixels;
    int64_t row_stride_bytes;
    int32_t height, width; /* as stored */
    rbc__image_draw draw;
    void *out; /* contiguous */
} rbc__image_item;

typedef struct rbc__image_job {
    const rbc__image_spec *spec;
    const rbc__image_item *items;
    int64_t count;
    char *workspace;
    uint64_t workspace_bytes;
    rbc__pipe *pipe; /* as above */
} rbc__image_job;

/* Numbers of one row that a window takes of a stream, which are resampled, scaled, and put into a
 * batch: all but that is on the host. Element i is made at target first + i * step. */
typedef struct rbc__align_item {
    rbc__resample_source source; /* of int64 stamps, side by side, and samples of `stored` */
    rbc__dtype stored;
    const int64_t *targets; /* [num_targets] */
    int64_t num_targets;
    int64_t first, step, count;
    const uint8_t *nothing;       /* [count], 1: there is no value; NULL: all 0 */
    bool is_nan;                  /* NaN stands for no value, else zero */
    const double *scale, *offset; /* [channels], or NULL; computed in float64, rounded once */
    rbc__dtype dtype; /* of the output; that of the samples unless it is of floats or holds
                                     their integers */
    uint8_t *out;     /* of the first element, channels side by side */
    int64_t out_stride_bytes;
    int64_t tail_bytes; /* of zeros behind the channels of an element */
} rbc__align_item;

typedef struct rbc__align_items {
    const rbc__align_item *items;
    int64_t count;
    uint8_t *device; /* memory of the pipe, of align_bytes(), which does not look at it */
    rbc__pipe *pipe; /* whose stream it goes on */
} rbc__align_items;

typedef struct rbc__backend {
    const char *name; /* "cpu", "cuda" */
    DLDeviceType device_type;
    rbc_status (*resample)(rbc_context *context, const rbc__resample_job *job, int32_t device_id,
                           void *cu_stream, rbc_error *err);
    /* The adjoint: job->out is read as the gradient of the output, and the one source's values are
     * overwritten with their gradient. dtype is RBC__F32 or RBC__F64, modes those of
     * rbc_resample_backward(). */
    rbc_status (*resample_backward)(rbc_context *context, const rbc__resample_job *job,
                                    int32_t device_id, void *cu_stream, rbc_error *err);
    rbc_status (*voxelize)(rbc_context *context, const rbc__voxelize_job *job, int32_t device_id,
                           void *cu_stream, rbc_error *err);
    /* Pointers of the job, sizes and strides apart, are not looked at. */
    uint64_t (*voxelize_workspace_bytes)(rbc_context *context, const rbc__voxelize_job *job);
    rbc_status (*voxelize_sparse)(rbc_context *context, const rbc__voxelize_sparse_job *job,
                                  int32_t device_id, void *cu_stream, rbc_error *err);
    uint64_t (*voxelize_sparse_workspace_bytes)(rbc_context *context,
                                                const rbc__voxelize_sparse_job *job);
    rbc_status (*depth_to_points)(rbc_context *context, const rbc__depth_job *job,
                                  int32_t device_id, void *cu_stream, rbc_error *err);
    rbc_status (*decode_jpeg)(rbc_context *context, const rbc__jpeg_job *job, int32_t device_id,
                              void *cu_stream, rbc_error *err);
    /* Outputs and workspace are not looked at. */
    rbc_status (*decode_jpeg_workspace_bytes)(const rbc__jpeg_job *job, uint64_t *bytes,
                                              rbc_error *err);
    /* Finds what the headers are read from, having waited for the streams; the digests lie in memory
     * that `held` stands for. NULL, as the next two, of a backend on the host. UNSUPPORTED: the stream
     * is being captured. */
    rbc_status (*survey_jpegs)(const rbc__jpeg_streams *streams, rbc__jpeg_digest *digests,
                               void **held, rbc_error *err);
    /* Copies streams that are not plain to the host, where images->bytes then are. */
    rbc_status (*fetch_jpegs)(const rbc__jpeg_streams *streams, void **held, rbc_error *err);
    /* NULL is nothing. Also after a failure. */
    void (*release_jpegs)(void *held);
    /* Pixels and outputs are not looked at for the workspace. */
    rbc_status (*image)(rbc_context *context, const rbc__image_job *job, int32_t device_id,
                        void *cu_stream, rbc_error *err);
    uint64_t (*image_workspace_bytes)(const rbc__image_job *job);
    /* Copies what items need to the device and makes all of them in one launch. NULL, as the next, of
     * a backend on the host. */
    rbc_status (*align)(rbc_context *context, const rbc__align_items *list, int32_t device_id,
                        void *cu_stream, rbc_error *err);
    int64_t (*align_bytes)(const rbc__align_items *list);
    const rbc__transfer_ops *transfer; /* NULL, as the next, of a backend on the host */
    const rbc__pipe_ops *pipe;
} rbc__backend;

/* The backend for tensors on `device`, or an UNSUPPORTED error that says why there is none.
 * Backends register themselves in the table of src/ops/backend.c, one line each. */
rbc_status rbc__backend_for(DLDevice device, const rbc__backend **out, rbc_error *err);

/* INVALID_ARGUMENT: names the first time of the job that may not be, by batch row, by source, by
 * sample, then the targets, or says that a row's ends are too far apart. For a backend that found
 * one; stamps and lengths are read on the host. */
rbc_status rbc__report_bad_time(const rbc__resample_job *job, rbc_error *err);

extern const rbc__backend rbc__cpu_backend;
extern const rbc__backend rbc__cuda_backend;

#endif
