/* What a loader makes of each sample: its windows, checked once, and the fields of a batch.
 *
 * A batch slot is one allocation. Each tensor field is a C-order array of batch_size rows that
 * begins at a multiple of RBC__FIELD_ALIGN bytes. Fields that are made on a device come last, so that
 * those before them are copied there as one. Shared within src/loader. */
#ifndef RBC_LOADER_BATCH_SPEC_H
#define RBC_LOADER_BATCH_SPEC_H

#include <stdbool.h>

#include <robocache/robocache.h>

#include "backend.h"
#include "codec/codec.h"
#include "core/tensor.h"
#include "layout/schema.h"
#include "loader/clock.h"

#define RBC__FIELD_ALIGN    256
#define RBC__FIELD_MAX_DIMS (RBC_STREAM_MAX_DIMS + 3)

/* A stream that at least one window reads; with another offset of its clock it is another. */
typedef struct rbc__used_stream {
    int32_t stream;
    const rbc__stream_schema *schema; /* borrowed from the dataset */
    int32_t times;                    /* stream with its stamps, or -1: it lies on the steps */
    int64_t sample_bytes;             /* of one numeric sample (a point, in a cloud); else 0 */
    bool is_cloud;                    /* ragged without stamps: a step is one sample */
    int64_t clock_offset_ns;          /* added to its stamps, or to the times of its steps */
} rbc__used_stream;

typedef struct rbc__window_spec {
    int32_t stream_at; /* index into `used` */
    int64_t width;
    /* [width] each: a target is `ticks` periods after the sample's tick and `offsets_ns` after
     * that, one of which is 0: offsets within the clock's snap of a tick are that tick. */
    int64_t *ticks, *offsets_ns;
    bool is_consecutive; /* ticks that follow each other one by one */
    /* Ticks are steps, so that samples are picked by index, without times. */
    bool is_exact;
    bool is_held;   /* every mode is hold: valid behind the last sample too */
    bool is_future; /* its only tick, 0, is from one that is drawn */
    rbc_future future;
    rbc_outside outside;
    rbc__channel_run *runs; /* covering [0, num_channels) */
    int32_t num_runs;
    rbc__channel_run *empty_runs;     /* [num_runs] of the same modes, without channels */
    rbc__channel_run held_run;        /* of all channels, of what is taken as it is */
    bool has_reduction;               /* mean, max or min among the runs */
    bool has_nearest;                 /* nearest among the runs */
    int64_t max_gap_ns, tolerance_ns; /* -1: no limit; with the clock's snap to spare */
    rbc__dtype dtype;                 /* of the field */
    rbc__dtype stored;                /* of the stream */
    rbc__dtype job_dtype; /* what the resampling kernel is told: signed for unsigned, same size */
    int64_t num_channels;
    /* ---- of a vector, see vector.h ---- */
    int32_t head;      /* window that the vector begins with: itself where it joins none */
    int32_t num_parts; /* windows that make it up */
    bool is_vector;
    bool is_plain;
    int64_t begin_bytes; /* of its own part in a target */
    int64_t pad_to;      /* elements of a target at least; of the head; 0: no more than there are */
    int64_t tail_bytes;  /* of zeros behind the last part */
    int64_t target_channels; /* of all parts; of the head */
    double *scale, *offset;  /* [num_channels], or NULL */
    /* ---- */
    int64_t max_points;
    int64_t target_bytes;           /* delivered for one target, of all parts; 0 for text */
    rbc__image_shape image;         /* as stored; -1 until it is known */
    rbc__image_spec *made;          /* what is made of images; NULL: they are delivered as stored */
    struct rbc__voxel_spec *voxels; /* what is made of clouds; NULL: they are delivered as stored */
    int32_t value_field, pad_field, valid_field;
    int32_t lengths_field, dropped_field, future_field; /* -1: none */
} rbc__window_spec;

typedef struct rbc__field_spec {
    char *name;
    rbc_field_kind kind;
    DLDataType dtype;
    int32_t ndim;
    int64_t shape[RBC__FIELD_MAX_DIMS]; /* shape[0] is the batch size */
    int64_t row_elements;
    int64_t row_bytes;  /* 0 for text */
    int64_t offset;     /* from the slot's first byte */
    bool is_there;      /* made on the batch's device, not on the host */
    int32_t text_index; /* among the text fields, or -1 */
} rbc__field_spec;

typedef struct rbc__batch_spec {
    int64_t batch_size;
    rbc__used_stream *used;
    int32_t num_used;
    rbc__window_spec *windows;
    int32_t num_windows;
    int64_t max_width;
    int64_t images_per_sample; /* and grids */
    rbc_jpeg_dct jpeg_dct;
    rbc__field_spec *fields;
    int32_t num_fields;
    int32_t num_text_fields;
    int32_t index_field, id_field, step_field, time_field, task_field;
    int32_t dataset_field, number_field; /* of a mixture; -1: there is one dataset */
    int32_t *absent;                     /* [num_absent] fields of streams that the dataset lacks */
    int32_t num_absent;
    int64_t slot_bytes;
    int64_t host_bytes; /* of them, those of fields that are made on the host */
} rbc__batch_spec;

typedef struct rbc__batch_spec_params {
    const char *dataset_name;
    const rbc__schema *schema; /* must outlive the spec */
    const rbc_window *windows;
    int32_t num_windows;
    int32_t batch_size;
    const rbc__clock *clock;
    rbc_jpeg_dct jpeg_dct; /* not DEFAULT */
} rbc__batch_spec_params;

/* Checks the windows. INVALID_ARGUMENT naming window and stream, NOT_FOUND for a stream that is not
 * there, UNSUPPORTED, OUT_OF_MEMORY. rbc__batch_fields_add() adds the fields once the shape of each
 * image is known. */
rbc_status rbc__batch_spec_create(const rbc__batch_spec_params *params, rbc__batch_spec **out,
                                  rbc_error *err);
void rbc__batch_spec_destroy(rbc__batch_spec **spec);

/* Whether a window takes whole samples, and something else is made of them than numbers. */
static inline bool rbc__window_takes_samples(const rbc__window_spec *window,
                                             const rbc__used_stream *used) {
    return used->schema->kind != RBC_STREAM_NUMERIC || used->is_cloud || window->made != NULL ||
           window->voxels != NULL;
}

/* Whether the numbers of a window are made on the batch's device. */
static inline bool rbc__window_is_aligned_there(const rbc__batch_spec *spec,
                                                const rbc__window_spec *window) {
    return spec->fields[window->value_field].is_there &&
           !rbc__window_takes_samples(window, &spec->used[window->stream_at]);
}

/* Whether the images of a window have to be looked at for the shape of its field. */
bool rbc__window_needs_shape(const rbc__window_spec *window, const rbc__used_stream *used);

/* Names, shapes and offsets of the fields; those of mixtures say which dataset a row is of.
 * INVALID_ARGUMENT when two have one name or a slot would not fit int64. */
rbc_status rbc__batch_fields_add(rbc__batch_spec *spec, const rbc_window *windows, bool is_mixture,
                                 rbc_error *err);

/* Has the fields of grids made on the batch's device, where it decodes those of images of 8 bits
 * that come encoded, and where it aligns those of numbers of which something is made: they are put
 * behind the others in the slots of all specs, whose fields are the same. Whether there are any. */
bool rbc__batch_fields_split(rbc__batch_spec *const *specs, int32_t count, bool decodes,
                             bool aligns);

/* Window `index` as this library knows it, whatever struct_size the caller was built with; the
 * windows lie struct_size of the first apart. INVALID_ARGUMENT on a bad struct_size. */
rbc_status rbc__window_at(const rbc_window *windows, int32_t index, rbc_window *out,
                          rbc_error *err);

/* Slots that a loader prepares ahead when the caller leaves it open: num_threads + 2, fewer, but at
 * least 3, where they would take more than RBC__SLOTS_DEFAULT_BYTES. */
#define RBC__SLOTS_DEFAULT_BYTES (INT64_C(512) << 20)
int32_t rbc__slots_default(int32_t num_threads, int64_t slot_bytes);

#endif
