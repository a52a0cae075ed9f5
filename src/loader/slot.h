/* Batch slots: fixed memory for one batch each, handed round between workers and consumer.
 *
 * The pool keeps num_slots + RBC__SLOTS_SPARE of them. One more is allocated whenever none is free,
 * so that a consumer who holds many batches never makes the loader wait, and a slot given back is
 * freed while there are more than the pool keeps. The one that was given back first is the next; where
 * work that is queued on a device still uses it, one more is allocated of the `num_more` that the pool
 * may keep for that. A slot that is given back while a stream that uses it is captured counts as held
 * until that is over. A slot is handed out with one reference. The pool
 * itself lives until its owner has closed it and the last slot has come back.
 *
 * A slot of another device has its rows on the host until it is sent, and its tensors there.
 *
 * In a child process made by fork() nothing here locks or frees: its copies of the slots stay.
 * Shared within src/loader. */
#ifndef RBC_LOADER_SLOT_H
#define RBC_LOADER_SLOT_H

#include <stdatomic.h>

#include <robocache/robocache.h>

#include "loader/batch_spec.h"
#include "transfer.h"

/* A loop holds the batch it works on, and for a moment the next one too. */
#define RBC__SLOTS_SPARE 2

typedef struct rbc__slots rbc__slots;

/* Strings of the rows that one worker filled, each with a NUL behind it. */
typedef struct rbc__text_arena {
    char *data;
    size_t used, bytes;
} rbc__text_arena;

typedef struct rbc__text_ref {
    int32_t arena;
    size_t offset;
    uint64_t num_bytes;
} rbc__text_ref;

struct rbc_batch {
    rbc__slots *slots;
    atomic_llong references;
    rbc_batch *next_free;
    int64_t position; /* where its round begins in the epoch */
    int64_t num_rows;
    atomic_bool has_rows; /* `data`, `there` and `staged` are set, once rows were to be written */
    uint8_t *data;        /* on the host */
    uint8_t *there;       /* on its device; `data` where that is the host */
    rbc__staged *staged;  /* what `data` is the host's part of; NULL: the tensors are in `data` */
    rbc_field *fields;    /* shapes of their tensors point into `shapes` */
    int64_t *shapes;      /* [num_fields][RBC__FIELD_MAX_DIMS] */
    rbc__text_ref **text_refs; /* [num_text_fields] of [batch_size * row_elements] */
    rbc__text_arena *arenas;   /* [num_arenas] */
    int32_t num_arenas;
    uint8_t *row_is_left_out; /* [batch_size] */
};

/* Takes the spec over, on success alone; `device` is where the fields of a batch are, in memory of
 * `allocator`, `num_arenas` the number of workers that can fill one at a time, and `num_more` are slots
 * for batches that are given back, but used by work that is queued. With `is_fixed`, which is for
 * devices, the tensors of all batches are in one place there, the front. UNSUPPORTED, INVALID_ARGUMENT, DEVICE: the device
 * cannot be used. */
rbc_status rbc__slots_create(rbc__batch_spec *spec, DLDevice device,
                             const rbc_device_allocator *allocator, int32_t num_slots,
                             int32_t num_more, int32_t num_arenas, bool is_fixed, rbc__slots **out,
                             rbc_error *err);
/* Takes back what streams held that are captured no more. Before it is closed, which any thread may do, and
 * later than streams are there. */
void rbc__slots_take_back(rbc__slots *slots);
/* Frees the slots that are not handed out; the others when they come back. */
void rbc__slots_close(rbc__slots **handle);

/* A slot for `num_rows` rows, one reference, no text, no row left out. OUT_OF_MEMORY. */
rbc_status rbc__slots_acquire(rbc__slots *slots, int64_t num_rows, rbc_batch **out, rbc_error *err);

/* Returns once the batch's rows may be written: their memory is allocated when that is first asked, and a
 * slot that was sent before may still be read. Of several threads at once, which hold no lock: what
 * memory comes from may want others. OUT_OF_MEMORY, DEVICE. */
rbc_status rbc__batch_await(rbc_batch *batch, rbc_error *err);
/* Lets what is made on the pipe from now on be made behind all that used the slot before. DEVICE. */
rbc_status rbc__batch_follow(const rbc_batch *batch, rbc__pipe *pipe, rbc_error *err);
/* Sends what was made on the host to where the tensors are; on the host it is there. DEVICE. */
rbc_status rbc__batch_send(rbc_batch *batch, rbc_error *err);

/* Batches that are in flight: given back, and used by work that is queued on their device. */
int64_t rbc__slots_num_in_flight(rbc__slots *slots);

typedef struct rbc__slots_counts {
    int64_t total, in_use, peak;
    int64_t host_bytes;   /* of all slots */
    int64_t device_bytes; /* the same on their device, where that is another than the host */
    int64_t copy_ns;      /* that it took for what was sent there */
} rbc__slots_counts;
void rbc__slots_count(rbc__slots *slots, rbc__slots_counts *out);

const rbc__batch_spec *rbc__slots_spec(const rbc__slots *slots);

/* First byte of row `row` of tensor field `field`; where the field is made there, on the device. */
static inline uint8_t *rbc__batch_row(const rbc_batch *batch, const rbc__field_spec *field,
                                      int64_t row) {
    return (field->is_there ? batch->there : batch->data) + field->offset + row * field->row_bytes;
}

/* Copies a string to element `element` of text field `text_index`; workers that write to one batch
 * at the same time use different arenas. OUT_OF_MEMORY. */
rbc_status rbc__batch_put_text(rbc_batch *batch, int32_t arena, int32_t text_index, int64_t element,
                               const void *text, uint64_t num_bytes, rbc_error *err);

/* Closes the gaps of the rows that are left out and sets the shapes. DEVICE. */
rbc_status rbc__batch_finish(rbc_batch *batch, rbc_error *err);
/* Queues a move of bytes on the batch's device, which come to lie `to` from its beginning. DEVICE. */
rbc_status rbc__batch_move(const rbc_batch *batch, int64_t to, int64_t from, int64_t bytes,
                           rbc_error *err);

/* Puts the slot back among the free ones, and frees those that are not kept: without locks, likewise. */
void rbc__slots_release(rbc_batch *batch);
/* Puts a slot that was never delivered back, and frees nothing. */
void rbc__slots_put_back(rbc_batch *batch);

#endif
