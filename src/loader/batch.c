#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "loader/slot.h"

#define ARENA_MIN_BYTES 256

rbc_status rbc__batch_put_text(rbc_batch *batch, int32_t arena, int32_t text_index, int64_t element,
                               const void *text, uint64_t num_bytes, rbc_error *err) {
    rbc__text_arena *a = &batch->arenas[arena];
    size_t needed = 0;
    if (__builtin_add_overflow(a->used, num_bytes, &needed) || needed > SIZE_MAX / 4) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a string of %llu bytes",
                         (unsigned long long)num_bytes);
    }
    ++needed;
    if (needed > a->bytes) {
        size_t bytes = a->bytes > 0 ? a->bytes : ARENA_MIN_BYTES;
        while (bytes < needed) {
            bytes *= 2;
        }
        char *data = realloc(a->data, bytes);
        if (data == NULL) {
            return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for %zu bytes of strings",
                             bytes);
        }
        a->data = data;
        a->bytes = bytes;
    }
    batch->text_refs[text_index][element] =
        (rbc__text_ref){.arena = arena, .offset = a->used, .num_bytes = num_bytes};
    if (num_bytes > 0) {
        memcpy(a->data + a->used, text, (size_t)num_bytes);
    }
    a->data[needed - 1] = '\0';
    a->used = needed;
    return RBC_OK;
}

static rbc_status move_row(rbc_batch *batch, const rbc__batch_spec *spec, int64_t from, int64_t to,
                           rbc_error *err) {
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        const rbc__field_spec *field = &spec->fields[i];
        if (field->is_there) {
            RBC__TRY(rbc__batch_move(batch, field->offset + to * field->row_bytes,
                                     field->offset + from * field->row_bytes, field->row_bytes,
                                     err));
        } else if (field->text_index < 0) {
            memcpy(rbc__batch_row(batch, field, to), rbc__batch_row(batch, field, from),
                   (size_t)field->row_bytes);
        } else {
            rbc__text_ref *refs = batch->text_refs[field->text_index];
            memcpy(refs + to * field->row_elements, refs + from * field->row_elements,
                   (size_t)field->row_elements * sizeof *refs);
        }
    }
    return RBC_OK;
}

rbc_status rbc__batch_finish(rbc_batch *batch, rbc_error *err) {
    const rbc__batch_spec *spec = rbc__slots_spec(batch->slots);
    int64_t kept = 0;
    for (int64_t row = 0; row < batch->num_rows; ++row) {
        if (batch->row_is_left_out[row]) {
            continue;
        }
        if (kept != row) {
            RBC__TRY(move_row(batch, spec, row, kept, err));
        }
        ++kept;
    }
    batch->num_rows = kept;
    for (int32_t i = 0; i < spec->num_fields; ++i) {
        batch->fields[i].tensor.shape[0] = kept;
    }
    return RBC_OK;
}

int64_t rbc_batch_position(const rbc_batch *batch) {
    return batch->position;
}

int32_t rbc_batch_num_fields(const rbc_batch *batch) {
    return rbc__slots_spec(batch->slots)->num_fields;
}

const rbc_field *rbc_batch_field(const rbc_batch *batch, int32_t index) {
    return index >= 0 && index < rbc_batch_num_fields(batch) ? &batch->fields[index] : NULL;
}

const char *rbc_batch_text(const rbc_batch *batch, int32_t field, int64_t element,
                           uint64_t *num_bytes) {
    const rbc__batch_spec *spec = rbc__slots_spec(batch->slots);
    if (field < 0 || field >= spec->num_fields || spec->fields[field].text_index < 0 ||
        element < 0 || element >= batch->num_rows * spec->fields[field].row_elements) {
        return NULL;
    }
    const rbc__text_ref *ref = &batch->text_refs[spec->fields[field].text_index][element];
    if (num_bytes != NULL) {
        *num_bytes = ref->num_bytes;
    }
    return batch->arenas[ref->arena].data + ref->offset;
}

void rbc_batch_retain(rbc_batch *batch) {
    atomic_fetch_add_explicit(&batch->references, 1, memory_order_relaxed);
}

void rbc_batch_release(rbc_batch **batch) {
    rbc_batch *released = *batch;
    *batch = NULL;
    if (released != NULL &&
        atomic_fetch_sub_explicit(&released->references, 1, memory_order_acq_rel) == 1) {
        rbc__slots_release(released);
    }
}
