/* What a resample launch passes to its kernel; read by the host and the device compiler.
 * Interface of src/cuda/resample. */
#ifndef RBC_CUDA_RESAMPLE_PARAMS_H
#define RBC_CUDA_RESAMPLE_PARAMS_H

#include <stdint.h>

#include "cuda/common/dtypes.h"

enum {
    RESAMPLE_MAX_SOURCES = 12,    /* of one launch; more streams take several */
    RESAMPLE_MAX_RUNS = 40,       /* likewise */
    RESAMPLE_MAX_TILE = 256,      /* targets of one block */
    RESAMPLE_ROW_PAIR_BYTES = 24, /* shared memory for one source and target of a tile */
    RESAMPLE_TARGET_BYTES = 104,  /* the same in the kernel for any mode */
};

/* Values of rbc__time_type, rbc_resample_mode and rbc_outside; the host asserts that they agree. */
enum {
    CLOCK_I64 = 0,
    CLOCK_F64 = 1,
    CLOCK_F32 = 2,
};

enum {
    MODE_LINEAR = 0,
    MODE_HOLD = 1,
    MODE_NEAREST = 2,
    MODE_CUBIC = 3,
    MODE_SLERP = 4,
    MODE_ANGLE = 5,
    MODE_MEAN = 6,
    MODE_MAX = 7,
    MODE_MIN = 8,
};

enum {
    OUTSIDE_HOLD = 0,
    OUTSIDE_NAN = 1,
    OUTSIDE_ZERO = 2,
    OUTSIDE_EXTRAPOLATE = 3,
};

/* A limit in the unit of the times: ns for CLOCK_I64, else seconds. Negative: none. */
typedef struct resample_limit {
    int64_t ns;
    double seconds;
} resample_limit;

/* The first 64 bytes are all that the simple kernels read. Strides are in bytes. */
typedef struct resample_source {
    const char *values;
    int64_t batch_stride, sample_stride;
    const char *times;
    int64_t times_batch_stride;
    uint32_t num_samples32; /* num_samples where it fits */
    uint32_t cache_begin;   /* first byte of its stamps in shared memory */
    uint32_t out_begin,
        out_end;             /* columns of the output row: bytes, elements in the any-mode kernel */
    uint32_t mode;           /* of the first channel */
    uint32_t cache_capacity; /* stamps that fit in shared memory */

    int64_t channel_stride, times_stride;
    int64_t num_samples;
    const char *lengths; /* NULL: num_samples everywhere */
    int64_t lengths_stride;
    resample_limit max_gap, tolerance;
    uint32_t lengths_are_i64;
    uint32_t outside;
    uint32_t nan_is_missing;
    uint32_t first_run, end_run;
    uint32_t modes; /* bits 1 << mode of all its runs */
} resample_source;

/* Channels of a source that share a mode; columns of the output row in elements. */
typedef struct resample_run {
    uint32_t begin, end;
    uint32_t mode;
    uint32_t source;
} resample_run;

/* The first 96 bytes are all that the simple kernels read. */
typedef struct resample_launch {
    const char *targets;
    int64_t targets_batch_stride, targets_stride;
    char *out;
    int64_t out_batch_stride, out_target_stride;
    uint32_t num_targets32;
    uint32_t num_sources;
    uint32_t tile;       /* targets of one block */
    uint32_t num_tiles;  /* of one batch row */
    uint32_t row_slices; /* of one output row: 16-byte vectors, bytes when packed, else elements */
    uint32_t row_magic;  /* n / row_slices == n * row_magic >> row_shift for n < 2^31 */
    uint32_t row_shift;
    uint32_t brackets_begin; /* byte of shared memory behind the stamps */
    uint32_t time_type;
    uint32_t element_bytes;

    uint32_t nan_words[4]; /* NaN in the dtype of the output, 16 bytes of it */
    int64_t num_targets;
    int64_t out_channel_stride;
    char *valid; /* NULL: not wanted */
    int64_t valid_batch_stride, valid_target_stride, valid_source_stride;
    char *dt; /* NULL: not wanted */
    int64_t dt_batch_stride, dt_target_stride;
    uint32_t num_runs;
    uint32_t integer;   /* VALUE_ of a dtype that is not computed with */
    uint32_t continues; /* `valid` of the first source also depends on what is there already */
    uint32_t unused;    /* no holes: launches are compared by their bytes */
} resample_launch;

typedef struct resample_launch_many {
    resample_launch launch;
    resample_source sources[RESAMPLE_MAX_SOURCES];
} resample_launch_many;

typedef struct resample_launch_runs {
    resample_launch launch;
    resample_source sources[RESAMPLE_MAX_SOURCES];
    resample_run runs[RESAMPLE_MAX_RUNS];
} resample_launch_runs;

#endif
