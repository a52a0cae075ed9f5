/* What the launches of resample and fuse have in common: a job in the terms of the kernels, and how
 * it is cut into blocks. Interface of src/cuda/resample. */
#ifndef RBC_CUDA_RESAMPLE_LAUNCH_H
#define RBC_CUDA_RESAMPLE_LAUNCH_H

#include "backend.h"
#include "cuda/common/arithmetic.h"
#include "cuda/resample/resample_params.h"
#include "cuda/runtime/launch.h"

enum {
    RBC__CUDA_VEC16_BYTES = 16,
    RBC__CUDA_THREADS = 256,
    RBC__CUDA_BLOCKS_AT_ONCE = 4, /* on a multiprocessor */
    RBC__CUDA_SMALL_TILE_BYTES = 2 * RBC__CUDA_THREADS * RBC__CUDA_VEC16_BYTES,
    RBC__CUDA_ONE_TURN_BYTES = 192 * 1024,
    RBC__CUDA_MAX_ROW_BYTES = 1 << 22, /* so that offsets in a tile are 31-bit */
};

/* VALUE_ of a dtype; of bool that of u8. */
uint32_t rbc__cuda_value_of(rbc__dtype dtype);

int64_t rbc__cuda_stamp_bytes(rbc__time_type type);

/* Channels of all sources together. */
int64_t rbc__cuda_num_columns(const rbc__resample_job *job);

/* Whether NaN values of the source count as absent. */
bool rbc__cuda_skips_missing(rbc__dtype dtype, const rbc__resample_source *source);

/* The job without its tiles and sources. */
resample_launch rbc__cuda_describe_job(const rbc__resample_job *job);

/* Columns count from `first_column` on, in slices of `slice_bytes`. */
resample_source rbc__cuda_describe_source(rbc__dtype dtype, const rbc__resample_source *from,
                                          int64_t first_column, int64_t slice_bytes);

/* Gives each source its part of the shared memory for stamps; returns the bytes used. */
uint32_t rbc__cuda_share_cache(resample_source *sources, int32_t count, rbc__time_type type);

/* The number of targets that one block makes. `row`: bytes of an output row; `cached_bytes`: of
 * stamps that each block loads; `bracket_bytes`: shared memory for one target and source;
 * `least_bytes`: of output that is worth a block. */
int64_t rbc__cuda_choose_tile(const rbc__resample_job *job, int32_t multiprocessors, int64_t row,
                              int64_t cached_bytes, int64_t bracket_bytes, int64_t least_bytes);

void rbc__cuda_set_tile(resample_launch *launch, int64_t tile);

/* What kernels divide numbers below 2^31 by `divisor` with: n / divisor == n * magic >> shift. */
void rbc__cuda_divide_by(uint32_t divisor, uint32_t *magic, uint32_t *shift);

/* The row's slices, with what divides by them in the kernels. */
void rbc__cuda_set_row_slices(resample_launch *launch, uint32_t slices);

/* The largest power of two up to 16 that divides all addresses, strides and boundaries of rows. */
int64_t rbc__cuda_granule(const rbc__resample_job *job);

/* ---- kinds of launch: each queues the whole job ---- */

/* Whether sources have one mode each out of linear, hold and nearest, and rows are contiguous. */
bool rbc__cuda_has_whole_rows(const rbc__resample_job *job);

/* How a job is cut into strips, see strip_params.h. */
typedef struct rbc__cuda_strips {
    int64_t granule;
    uint32_t lanes_log;
    uint32_t num_strips; /* of one batch row */
    uint32_t stamps_begin, brackets_begin, shared_bytes;
    bool from_global[RESAMPLE_MAX_SOURCES]; /* samples are not fetched before they are needed */
    bool any_from_global;
} rbc__cuda_strips;

/* Whether short sources are better fetched whole, and how; only where rbc__cuda_has_whole_rows().
 */
bool rbc__cuda_cut_strips(const rbc__resample_job *job, int32_t multiprocessors,
                          rbc__cuda_strips *out);

/* Whether the job is of one simple source and bound by device memory; only where
 * rbc__cuda_has_whole_rows(). */
bool rbc__cuda_is_memory_bound(const rbc__resample_job *job, int32_t multiprocessors);

rbc_status rbc__cuda_launch_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                 rbc_error *err);
rbc_status rbc__cuda_launch_strips(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                   const rbc__cuda_strips *cut, rbc_error *err);
rbc_status rbc__cuda_launch_large(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                  rbc_error *err);

/* Any job. Takes several launches where sources or channel groups are many. UNSUPPORTED: more than
 * RBC__CUDA_MAX_ROW_BYTES channels. */
rbc_status rbc__cuda_launch_generic(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                    rbc_error *err);

/* ---- the gradient ---- */

/* Whether the kernels for whole rows will do: one mode, at most two samples a target, and 16 bytes
 * at a time wherever one looks. */
bool rbc__cuda_suits_backward_rows(const rbc__resample_job *job);

rbc_status rbc__cuda_launch_backward_rows(rbc__cuda_queue *queue, const rbc__resample_job *job,
                                          rbc_error *err);

#endif
