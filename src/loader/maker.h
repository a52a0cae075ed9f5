/* What decodes, voxelizes and aligns: a table of functions, each for many rows at once. The CPU's is
 * here; that of devices, which decodes, voxelizes and aligns there, is in device_maker.c.
 *
 * A maker is used by one thread at a time. */
#ifndef RBC_LOADER_MAKER_H
#define RBC_LOADER_MAKER_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "backend.h"
#include "codec/codec.h"
#include "io/source.h"
#include "loader/voxels.h"

/* An image to be decoded to `dst`, or to be decoded, and what `made` says to be made of it. */
typedef struct rbc__decode_job {
    const uint8_t *encoded;
    uint64_t num_bytes;
    rbc__image_shape shape; /* with `made`, height and width are those of the image that is found */
    const rbc__image_spec *made; /* NULL: pixels go to dst as they are */
    uint64_t key;                /* of what is drawn for it */
    bool is_pixels; /* nothing to decode: `encoded` are the pixels, of that shape; with `made` */
    bool is_reused; /* set where its pixels were there, decoded for the job before */
    bool is_ros;    /* rows of pixels, else what its first bytes say */
    uint8_t pixels; /* rbc__ros_pixels, then */
    uint8_t *dst;
    int64_t row_bytes, bytes; /* of a row of pixels without `made`, and of all */
    bool is_there;            /* `dst` is on the batch's device */
    bool is_nothing;          /* there: nothing, but zeros, or NaN of `dtype` */
    bool is_nan;
    rbc__dtype dtype;
    bool was_there;     /* set where it was decoded on the device */
    const char *stream; /* for messages */
    rbc_status status;
    rbc_error *problem; /* malloc'ed where it failed; NULL: no memory */
    /* ---- the caller's own ---- */
    int32_t window;
    int64_t row, target, pick;
    int64_t blob;
    uint64_t offset;
} rbc__decode_job;

/* Pixels that another job decodes. */
typedef struct rbc__copy_job {
    int64_t from; /* number of the decode job */
    uint8_t *dst;
    int64_t bytes;
    int32_t window;
    int64_t row, target;
} rbc__copy_job;

/* Numbers to be resampled: one source, one row. */
typedef struct rbc__align_job {
    rbc__resample_source source;
    rbc__resample_job job; /* its `sources` is set by the maker */
    rbc_status status;
    rbc_error *problem; /* as above */
    /* ---- the caller's own ---- */
    int32_t window;
    int64_t row;
} rbc__align_job;

/* Points, or a depth image, that become a grid. */
typedef struct rbc__voxel_job {
    const rbc__voxel_spec *spec;
    const uint8_t *points;
    int64_t num_points;
    uint8_t *out;
    int64_t *dropped;
    int64_t same; /* number of an earlier job that makes the same; -1: there is none */
    rbc_status status;
    rbc_error *problem; /* as above */
    /* ---- the caller's own ---- */
    const uint8_t *source; /* what the points are decoded from, or these */
    int64_t decode;        /* number of the job that decodes them; -1: they are there */
    int32_t window;
    int64_t row;
} rbc__voxel_job;

/* Jobs of each kind, in arrays that grow. */
typedef struct rbc__list_of_jobs {
    rbc__decode_job *decode;
    int64_t num_decode, decode_room;
    rbc__copy_job *copy;
    int64_t num_copy, copy_room;
    rbc__voxel_job *voxel;
    int64_t num_voxel, voxel_room;
    rbc__align_job *align;
    int64_t num_align, align_room;
} rbc__list_of_jobs;

/* NULL: no memory. */
rbc__decode_job *rbc__jobs_add_decode(rbc__list_of_jobs *jobs);
rbc__copy_job *rbc__jobs_add_copy(rbc__list_of_jobs *jobs);
rbc__voxel_job *rbc__jobs_add_voxel(rbc__list_of_jobs *jobs);
rbc__align_job *rbc__jobs_add_align(rbc__list_of_jobs *jobs);
void rbc__jobs_clear(rbc__list_of_jobs *jobs);
void rbc__jobs_free(rbc__list_of_jobs *jobs);

typedef struct rbc__maker rbc__maker;

typedef struct rbc__maker_ops {
    /* Decodes and copies into the batch; each decode job says how it went. */
    void (*decode)(rbc__maker *maker, rbc_batch *batch, rbc__list_of_jobs *jobs);
    /* Makes grids of the batch, of jobs whose status is RBC_OK. */
    void (*voxelize)(rbc__maker *maker, rbc_batch *batch, rbc__voxel_job *jobs, int64_t count);
    void (*align)(rbc__maker *maker, rbc__align_job *jobs, int64_t count);
    /* Queues the making of numbers of the batch on its device: what `items` point to is not needed any
     * more. NULL of the CPU's, as the next. OUT_OF_MEMORY, DEVICE. */
    rbc_status (*align_there)(rbc__maker *maker, rbc_batch *batch, const rbc__align_item *items,
                              int64_t count, rbc_error *err);
    /* Returns once they are made. DEVICE. */
    rbc_status (*await_there)(rbc__maker *maker, rbc_error *err);
    void (*destroy)(rbc__maker *maker);
} rbc__maker_ops;

struct rbc__maker {
    const rbc__maker_ops *ops;
    rbc__decoder *decoder;          /* of headers, on the CPU; NULL where there are no images */
    const rbc__backend *backend;    /* the CPU's, also for what is chosen by resampling */
    rbc_context *context;           /* of one thread */
    bool is_on_host;                /* a device leaves the images of the next range to this core */
    rbc__scratch pixels, workspace; /* of one image that another is made of, of one grid */
};

rbc_status rbc__maker_create(rbc_jpeg_dct jpeg_dct, bool has_images, rbc__maker **out,
                             rbc_error *err);

/* What stands for nothing in `bytes` of a dtype: zeros, or NaN. */
void rbc__put_nothing(rbc__dtype dtype, bool is_nan, int64_t bytes, uint8_t *dst);

/* ---- for makers of other devices ---- */

/* What one job says, on the host and into `dst` there. `*before` is the job whose pixels the maker
 * holds, or NULL, before and after. */
rbc_status rbc__maker_run(rbc__maker *maker, rbc__decode_job *job, const rbc__decode_job **before,
                          void *dst, rbc_error *err);
/* Notes that a job failed. */
void rbc__decode_job_fail(rbc__decode_job *job, const rbc_error *problem);
void rbc__voxel_job_fail(rbc__voxel_job *job, const rbc_error *problem);
void rbc__maker_align(rbc__maker *maker, rbc__align_job *jobs, int64_t count);
void rbc__maker_clear(rbc__maker *maker);
/* `maker` is zeros; to be cleared also after a failure. */
rbc_status rbc__maker_init(rbc__maker *maker, rbc_jpeg_dct jpeg_dct, bool has_images,
                           rbc_error *err);

static inline void rbc__maker_destroy(rbc__maker **maker) {
    if (*maker != NULL) {
        (*maker)->ops->destroy(*maker);
        *maker = NULL;
    }
}

#endif
