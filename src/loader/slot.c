#include "loader/slot.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "core/error.h"

struct rbc__slots {
    pthread_mutex_t lock;
    pthread_mutex_t rows_lock; /* of whoever allocates memory for rows, who holds no other lock */
    pid_t process;
    rbc__batch_spec *spec;
    DLDevice device;
    const rbc__transfer_ops *ops; /* NULL: of the host */
    rbc__transfer *transfer;
    rbc__staged *front; /* where the tensors of all batches are; NULL: each has its own */
    int32_t num_arenas;
    int64_t keep; /* slots that are not freed when they come back */
    int64_t total, num_free, peak;
    bool is_closed;
    int64_t num_more;
    rbc_batch *first_free, *last_free; /* as they came back */
    rbc_batch *captured;               /* given back, and held by streams that are being captured */
};

static void free_batch(rbc_batch *batch, rbc__slots *slots) {
    const rbc__batch_spec *spec = slots->spec;
    if (batch == NULL) {
        return;
    }
    for (int32_t i = 0; batch->text_refs != NULL && i < spec->num_text_fields; ++i) {
        free(batch->text_refs[i]);
    }
    for (int32_t i = 0; batch->arenas != NULL && i < batch->num_arenas; ++i) {
        free(batch->arenas[i].data);
    }
    free(batch->row_is_left_out);
    free(batch->arenas);
    free(batch->text_refs);
    free(batch->shapes);
    free(batch->fields);
    if (batch->staged != NULL) {
        slots->ops->release(slots->transfer, batch->staged);
    } else {
        free(batch->data);
    }
    free(batch);
}

static bool allocate_texts(rbc_batch *batch, const rbc__batch_spec *spec) {
    batch->text_refs = calloc((size_t)spec->num_text_fields + 1, sizeof(rbc__text_ref *));
    if (batch->text_refs == NULL) {
        return false;
    }
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        const rbc__field_spec *field = &spec->fields[i];
        if (field->text_index >= 0) {
            const size_t elements = (size_t)spec->batch_size * (size_t)field->row_elements;
            batch->text_refs[field->text_index] = calloc(elements, sizeof(rbc__text_ref));
            if (batch->text_refs[field->text_index] == NULL) {
                return false;
            }
        }
    }
    return true;
}

static rbc_status fail_memory(rbc__slots *slots, rbc_error *err) {
    pthread_mutex_lock(&slots->lock);
    const int64_t others = slots->total - 1;
    pthread_mutex_unlock(&slots->lock);
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                     "no memory for a batch of %lld bytes beside %lld others",
                     (long long)slots->spec->slot_bytes, (long long)others);
}

static int64_t at_least_some(int64_t bytes) {
    return bytes > 0 ? bytes : RBC__FIELD_ALIGN;
}

/* Memory for the rows. */
static rbc_status allocate_rows(rbc__slots *slots, rbc_batch *batch, rbc_error *err) {
    const rbc__batch_spec *spec = slots->spec;
    const int64_t bytes = at_least_some(spec->slot_bytes);
    uint8_t *tensors;
    if (slots->ops != NULL) {
        RBC__TRY(slots->ops->allocate(slots->transfer, at_least_some(spec->host_bytes), bytes,
                                      &batch->staged, err));
        batch->data = slots->ops->host(batch->staged);
        batch->there = slots->ops->device(batch->staged);
        tensors = slots->front != NULL ? slots->ops->device(slots->front) : batch->there;
    } else {
        batch->data = aligned_alloc(RBC__FIELD_ALIGN, (size_t)bytes);
        batch->there = tensors = batch->data;
        RBC__TRY(batch->data != NULL ? RBC_OK : fail_memory(slots, err));
    }
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        const rbc__field_spec *field = &spec->fields[i];
        batch->fields[i].tensor.data =
            field->kind == RBC_FIELD_TENSOR ? tensors + field->offset : NULL;
    }
    return RBC_OK;
}

/* The first who wants to write them allocates them. */
static rbc_status need_rows(rbc__slots *slots, rbc_batch *batch, rbc_error *err) {
    if (atomic_load_explicit(&batch->has_rows, memory_order_acquire)) {
        return RBC_OK;
    }
    rbc_status status = RBC_OK;
    pthread_mutex_lock(&slots->rows_lock);
    if (!atomic_load_explicit(&batch->has_rows, memory_order_relaxed)) {
        status = allocate_rows(slots, batch, err);
        atomic_store_explicit(&batch->has_rows, status == RBC_OK, memory_order_release);
    }
    pthread_mutex_unlock(&slots->rows_lock);
    return status;
}

static rbc_status allocate_batch(rbc__slots *slots, rbc_batch **out, rbc_error *err) {
    const rbc__batch_spec *spec = slots->spec;
    rbc_batch *batch = calloc(1, sizeof *batch);
    if (batch == NULL) {
        return fail_memory(slots, err);
    }
    const size_t num_fields = (size_t)spec->num_fields;
    batch->slots = slots;
    batch->num_arenas = slots->num_arenas;
    batch->fields = calloc(num_fields, sizeof *batch->fields);
    batch->shapes = calloc(num_fields * RBC__FIELD_MAX_DIMS, sizeof *batch->shapes);
    batch->arenas = calloc((size_t)slots->num_arenas, sizeof *batch->arenas);
    batch->row_is_left_out = malloc((size_t)spec->batch_size);
    if (batch->fields == NULL || batch->shapes == NULL || batch->arenas == NULL ||
        batch->row_is_left_out == NULL || !allocate_texts(batch, spec)) {
        free_batch(batch, slots);
        return fail_memory(slots, err);
    }
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        const rbc__field_spec *field = &spec->fields[i];
        int64_t *shape = batch->shapes + (size_t)i * RBC__FIELD_MAX_DIMS;
        memcpy(shape, field->shape, sizeof field->shape);
        batch->fields[i] = (rbc_field){.name = field->name,
                                       .kind = field->kind,
                                       .tensor = {.device = slots->device,
                                                  .ndim = field->ndim,
                                                  .dtype = field->dtype,
                                                  .shape = shape}};
    }
    *out = batch;
    return RBC_OK;
}

/* Of a device: what goes to and from it, and the front where addresses are to be fixed. */
static rbc_status prepare_device(rbc__slots *slots, const rbc__batch_spec *spec, DLDevice device,
                                 const rbc_device_allocator *allocator, bool is_fixed,
                                 rbc_error *err) {
    RBC__TRY(slots->ops->create(device.device_id, allocator, &slots->transfer, err));
    const rbc_status status =
        is_fixed ? slots->ops->allocate(slots->transfer, 0, at_least_some(spec->slot_bytes),
                                        &slots->front, err)
                 : RBC_OK;
    if (status != RBC_OK) {
        slots->ops->destroy(slots->transfer);
    }
    return status;
}

rbc_status rbc__slots_create(rbc__batch_spec *spec, DLDevice device,
                             const rbc_device_allocator *allocator, int32_t num_slots,
                             int32_t num_more, int32_t num_arenas, bool is_fixed, rbc__slots **out,
                             rbc_error *err) {
    const rbc__backend *backend;
    *out = NULL;
    RBC__TRY(rbc__backend_for(device, &backend, err));
    rbc__slots *slots = calloc(1, sizeof *slots);
    if (slots == NULL || pthread_mutex_init(&slots->lock, NULL) != 0 ||
        pthread_mutex_init(&slots->rows_lock, NULL) != 0) {
        free(slots);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %d batch slots", num_slots);
    }
    if (backend->transfer != NULL) {
        slots->ops = backend->transfer;
        const rbc_status status = prepare_device(slots, spec, device, allocator, is_fixed, err);
        if (status != RBC_OK) {
            pthread_mutex_destroy(&slots->rows_lock);
            pthread_mutex_destroy(&slots->lock);
            free(slots);
            return status;
        }
    }
    slots->process = getpid();
    slots->spec = spec;
    slots->device = device;
    slots->num_arenas = num_arenas;
    slots->keep = (int64_t)num_slots + RBC__SLOTS_SPARE;
    slots->num_more = num_more;
    *out = slots;
    return RBC_OK;
}

static void destroy(rbc__slots *slots) {
    if (slots->front != NULL) {
        slots->ops->release(slots->transfer, slots->front);
    }
    if (slots->ops != NULL) {
        slots->ops->destroy(slots->transfer);
    }
    pthread_mutex_destroy(&slots->rows_lock);
    pthread_mutex_destroy(&slots->lock);
    rbc__batch_spec_destroy(&slots->spec);
    free(slots);
}

/* Puts a slot among the free ones, with the lock held. */
static void put_back(rbc__slots *slots, rbc_batch *batch) {
    batch->next_free = NULL;
    *(slots->last_free != NULL ? &slots->last_free->next_free : &slots->first_free) = batch;
    slots->last_free = batch;
    ++slots->num_free;
}

/* Those whose streams are captured no more are free. With the lock held. */
static void look_at_captured(rbc__slots *slots) {
    for (rbc_batch **at = &slots->captured; *at != NULL;) {
        rbc_batch *batch = *at;
        if (slots->ops->give_back(slots->transfer, batch->staged)) {
            *at = batch->next_free;
            put_back(slots, batch);
        } else {
            at = &batch->next_free;
        }
    }
}

/* The first of the free slots; there is one. With the lock held. */
static rbc_batch *take_first(rbc__slots *slots) {
    rbc_batch *batch = slots->first_free;
    slots->first_free = batch->next_free;
    slots->last_free = slots->first_free != NULL ? slots->last_free : NULL;
    slots->num_free--;
    return batch;
}

/* A slot that is not kept, which counts until it is gone, so that nobody destroys the spec meanwhile.
 * With the lock held. */
static rbc_batch *take_surplus(rbc__slots *slots) {
    const bool is_kept = !slots->is_closed && slots->total <= slots->keep + slots->num_more;
    return slots->first_free == NULL || is_kept ? NULL : take_first(slots);
}

/* Frees what is not kept. Takes the lock, which is held, and whoever frees the last slot of a closed pool
 * destroys that. */
static void trim(rbc__slots *slots) {
    for (rbc_batch *batch; (batch = take_surplus(slots)) != NULL;) {
        pthread_mutex_unlock(&slots->lock);
        free_batch(batch, slots);
        pthread_mutex_lock(&slots->lock);
        slots->total--;
    }
    const bool is_last = slots->is_closed && slots->total == 0;
    pthread_mutex_unlock(&slots->lock);
    if (is_last) {
        destroy(slots);
    }
}

void rbc__slots_take_back(rbc__slots *slots) {
    pthread_mutex_lock(&slots->lock);
    look_at_captured(slots);
    pthread_mutex_unlock(&slots->lock);
}

void rbc__slots_close(rbc__slots **handle) {
    rbc__slots *slots = *handle;
    *handle = NULL;
    if (slots == NULL || slots->process != getpid()) {
        return;
    }
    pthread_mutex_lock(&slots->lock);
    slots->is_closed = true;
    trim(slots);
}

/* Whether the next free slot, if there is one, is to be left alone. With the lock held. */
static bool wants_more(const rbc__slots *slots) {
    const rbc_batch *next = slots->first_free;
    return next == NULL || (slots->total < slots->keep + slots->num_more && next->staged != NULL &&
                            slots->ops->is_in_flight(slots->transfer, next->staged));
}

rbc_status rbc__slots_acquire(rbc__slots *slots, int64_t num_rows, rbc_batch **out,
                              rbc_error *err) {
    pthread_mutex_lock(&slots->lock);
    look_at_captured(slots);
    rbc_batch *batch = wants_more(slots) ? NULL : take_first(slots);
    if (batch == NULL) {
        ++slots->total;
        slots->peak = slots->total > slots->peak ? slots->total : slots->peak;
    }
    pthread_mutex_unlock(&slots->lock);
    const rbc_status status = batch == NULL ? allocate_batch(slots, &batch, err) : RBC_OK;
    if (status != RBC_OK) {
        pthread_mutex_lock(&slots->lock);
        slots->total--;
        pthread_mutex_unlock(&slots->lock);
        return status;
    }
    batch->next_free = NULL;
    atomic_store_explicit(&batch->references, 1, memory_order_relaxed);
    batch->num_rows = num_rows;
    memset(batch->row_is_left_out, 0, (size_t)num_rows);
    for (int32_t i = 0; i < batch->num_arenas; ++i) {
        batch->arenas[i].used = 0;
    }
    *out = batch;
    return RBC_OK;
}

void rbc__slots_put_back(rbc_batch *batch) {
    rbc__slots *slots = batch->slots;
    pthread_mutex_lock(&slots->lock);
    put_back(slots, batch);
    pthread_mutex_unlock(&slots->lock);
}

void rbc__slots_release(rbc_batch *batch) {
    rbc__slots *slots = batch->slots;
    if (slots->process != getpid()) {
        return;
    }
    const bool is_free =
        batch->staged == NULL || slots->ops->give_back(slots->transfer, batch->staged);
    pthread_mutex_lock(&slots->lock);
    look_at_captured(slots);
    if (is_free) {
        put_back(slots, batch);
    } else {
        batch->next_free = slots->captured;
        slots->captured = batch;
    }
    trim(slots);
}

rbc_status rbc__batch_await(rbc_batch *batch, rbc_error *err) {
    rbc__slots *slots = batch->slots;
    RBC__TRY(need_rows(slots, batch, err));
    return batch->staged == NULL ? RBC_OK : slots->ops->await(slots->transfer, batch->staged, err);
}

rbc_status rbc__batch_follow(const rbc_batch *batch, rbc__pipe *pipe, rbc_error *err) {
    const rbc__slots *slots = batch->slots;
    return slots->ops->follow(slots->transfer, batch->staged, pipe, err);
}

rbc_status rbc__batch_move(const rbc_batch *batch, int64_t to, int64_t from, int64_t bytes,
                           rbc_error *err) {
    const rbc__slots *slots = batch->slots;
    return slots->ops->move(slots->transfer, batch->staged, to, from, bytes, err);
}

rbc_status rbc__batch_send(rbc_batch *batch, rbc_error *err) {
    const rbc__slots *slots = batch->slots;
    return batch->staged == NULL ? RBC_OK : slots->ops->send(slots->transfer, batch->staged, err);
}

rbc_status rbc_batch_order(rbc_batch *batch, void *stream, rbc_error *err) {
    const rbc__slots *slots = batch->slots;
    if (batch->staged == NULL) {
        return RBC_OK;
    }
    return slots->front != NULL
               ? slots->ops->deliver(slots->transfer, batch->staged, slots->front, stream, err)
               : slots->ops->order(slots->transfer, batch->staged, stream, err);
}

int64_t rbc__slots_num_in_flight(rbc__slots *slots) {
    return slots->ops != NULL ? slots->ops->num_in_flight(slots->transfer) : 0;
}

void rbc__slots_count(rbc__slots *slots, rbc__slots_counts *out) {
    pthread_mutex_lock(&slots->lock);
    *out = (rbc__slots_counts){
        .total = slots->total,
        .in_use = slots->total - slots->num_free,
        .peak = slots->peak,
        .host_bytes = slots->total * slots->spec->host_bytes,
        .device_bytes = slots->ops != NULL
                            ? (slots->total + (slots->front != NULL)) * slots->spec->slot_bytes
                            : 0,
        .copy_ns = slots->ops != NULL ? slots->ops->copy_ns(slots->transfer) : 0};
    pthread_mutex_unlock(&slots->lock);
}

const rbc__batch_spec *rbc__slots_spec(const rbc__slots *slots) {
    return slots->spec;
}
