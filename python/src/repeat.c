#include "repeat.h"

#include <string.h>

#include "voxel.h"

enum {
    REPEATS = 16,
    MIN_IDLE = 256,  /* calls after which launches that are kept give way */
    ALIGNMENT = 256, /* addresses decide launches by where they lie in so many bytes */
};

typedef enum repeat_stage {
    SEEN = 0,
    LEARNING, /* the call that is recorded has not come back */
    REFUSED,  /* launches cannot be queued again */
    READY,
} repeat_stage;

/* A call and, where its like came a second time, its launches. */
typedef struct repeat {
    uint64_t used;
    repeat_stage stage;
    int32_t in_use; /* calls that launch without the GIL */
    size_t num_words;
    uint64_t words[REPEAT_WORDS];
    rbc__cuda_recording launches;
    rbc__cuda_relocation places;
    /* The bytes that each tensor reaches, from where it begins. */
    int64_t low[RBC__CUDA_RELOCATED_TENSORS], high[RBC__CUDA_RELOCATED_TENSORS];
    int64_t space_bytes;
} repeat;

typedef struct repeats {
    uint64_t clock;
    int32_t latest; /* what was found last */
    repeat items[REPEATS];
} repeats;

static uint64_t *add_words(call_description *description, size_t count) {
    if (description->is_too_long || count > REPEAT_WORDS - description->num_words) {
        description->is_too_long = true;
        return NULL;
    }
    uint64_t *words = description->words + description->num_words;
    description->num_words += count;
    return words;
}

void description_add(call_description *description, const uint64_t *words, size_t count) {
    uint64_t *added = add_words(description, count);
    for (size_t i = 0; added != NULL && i < count; i++) {
        added[i] = words[i];
    }
}

static uint64_t address_of(const DLTensor *t) {
    return (uint64_t)(uintptr_t)t->data + t->byte_offset;
}

void description_add_output(call_description *description, tensor *t) {
    const DLTensor *dl = &t->dl;
    const size_t ndim = (size_t)dl->ndim;
    uint64_t *words = add_words(description, 3 + (dl->strides != NULL ? 2 : 1) * ndim);
    /* One place stays for scratch memory. */
    if (words == NULL || description->num_tensors == RBC__CUDA_RELOCATED_TENSORS - 1) {
        description->is_too_long = true;
        return;
    }
    description->tensors[description->num_tensors++] = &t->dl;
    words[0] = (uint64_t)dl->device.device_type << 32 | (uint32_t)dl->device.device_id;
    words[1] = (uint64_t)dl->dtype.code << 32 | (uint64_t)dl->dtype.bits << 16 | dl->dtype.lanes;
    words[2] = address_of(dl) % ALIGNMENT << 48 | (uint64_t)(dl->strides != NULL) << 33 |
               (uint64_t)(dl->data != NULL) << 32 | ndim;
    for (size_t i = 0; i < ndim; i++) {
        words[3 + i] = (uint64_t)dl->shape[i];
    }
    for (size_t i = 0; dl->strides != NULL && i < ndim; i++) {
        words[3 + ndim + i] = (uint64_t)dl->strides[i];
    }
}

void description_add_input(call_description *description, tensor *t) {
    description_add_output(description, t);
    description->num_inputs = description->num_tensors;
}

static void forget(repeat *item) {
    rbc__cuda_recording_free(&item->launches);
    memset(item, 0, sizeof *item);
}

static bool is_of(const repeat *item, const call_description *description) {
    return item->num_words == description->num_words &&
           memcmp(item->words, description->words, item->num_words * sizeof *item->words) == 0;
}

static repeat *find(repeats *known, const call_description *description) {
    if (is_of(&known->items[known->latest], description)) {
        return &known->items[known->latest];
    }
    for (int32_t i = 0; i < REPEATS; i++) {
        if (is_of(&known->items[i], description)) {
            known->latest = i;
            return &known->items[i];
        }
    }
    return NULL;
}

/* Keeps the description in place of the one not used for longest, unless that is in use. */
static void note(repeats *known, const call_description *description) {
    repeat *oldest = NULL;
    for (int i = 0; i < REPEATS; i++) {
        repeat *item = &known->items[i];
        const bool is_free = item->in_use == 0 && item->stage != LEARNING &&
                             (item->stage != READY || known->clock - item->used >= MIN_IDLE);
        if (is_free && (oldest == NULL || item->used < oldest->used)) {
            oldest = item;
        }
    }
    if (oldest != NULL) {
        forget(oldest);
        oldest->used = known->clock;
        oldest->num_words = description->num_words;
        memcpy(oldest->words, description->words, oldest->num_words * sizeof *oldest->words);
    }
}

/* Runs the operation as if its tensors lay elsewhere, launching nothing, to see where in the
 * launches' parameters their addresses are. */
static bool rehearse(const operation *op, module_state *state, void *call,
                     const call_description *description, repeat *item) {
    uint64_t addresses[RBC__CUDA_RELOCATED_TENSORS] = {0};
    void *data[RBC__CUDA_RELOCATED_TENSORS];
    for (int32_t i = 0; i < description->num_tensors; i++) {
        DLTensor *dl = description->tensors[i];
        uintptr_t begin, end;
        rbc__tensor_extent(dl, &begin, &end);
        addresses[i] = address_of(dl);
        item->low[i] = (int64_t)(begin - addresses[i]);
        item->high[i] = (int64_t)(end - addresses[i]);
        data[i] = dl->data;
        dl->data = (void *)((uintptr_t)dl->data + rbc__cuda_distance(i));
    }
    rbc__cuda_recording moved = {.is_rehearsal = true};
    rbc__cuda_record_begin(&moved);
    const bool ok = op->run(state, call);
    rbc__cuda_record_end();
    if (!ok) {
        PyErr_Clear();
    }
    for (int32_t i = 0; i < description->num_tensors; i++) {
        description->tensors[i]->data = data[i];
    }
    const bool found = ok && rbc__cuda_recording_is_whole(&moved) &&
                       rbc__cuda_relocation_find(item->launches.batch, moved.batch, addresses,
                                                 description->num_tensors, &item->places);
    rbc__cuda_recording_free(&moved);
    return found;
}

/* Runs the operation and keeps its launches. */
static bool learn(const operation *op, module_state *state, void *call,
                  call_description *description, repeat *item) {
    item->stage = LEARNING;
    rbc__cuda_record_begin(&item->launches);
    const bool ok = op->run(state, call);
    rbc__cuda_record_end();
    workspace *space = op->space != NULL ? op->space(call) : NULL;
    if (space != NULL && space->bytes > 0) {
        item->space_bytes = space->bytes;
        description->tensors[description->num_tensors++] = &space->dl;
    }
    const bool is_whole = ok && rbc__cuda_recording_is_whole(&item->launches);
    if (is_whole && rehearse(op, state, call, description, item)) {
        item->stage = READY;
    } else {
        rbc__cuda_recording_free(&item->launches);
        item->stage = REFUSED;
    }
    return ok;
}

/* Whether an output has bytes of another tensor. */
static bool overlaps(const repeat *item, const call_description *description,
                     const uint64_t *addresses) {
    for (int32_t i = description->num_inputs; i < description->num_tensors; i++) {
        const uint64_t begin = addresses[i] + (uint64_t)item->low[i];
        const uint64_t end = addresses[i] + (uint64_t)item->high[i];
        for (int32_t j = 0; j < i; j++) {
            if (begin < addresses[j] + (uint64_t)item->high[j] &&
                addresses[j] + (uint64_t)item->low[j] < end && begin < end) {
                return true;
            }
        }
    }
    return false;
}

static bool again(const operation *op, module_state *state, void *call,
                  call_description *description, repeat *item) {
    tensor *lead = op->lead(call);
    bool is_aligned = true;
    if (item->space_bytes > 0) {
        workspace *space = op->space(call);
        if (!workspace_create(state, lead, (uint64_t)item->space_bytes, space)) {
            return false;
        }
        description->tensors[description->num_tensors++] = &space->dl;
        is_aligned = address_of(&space->dl) % ALIGNMENT == 0;
    }
    uint64_t addresses[RBC__CUDA_RELOCATED_TENSORS] = {0};
    for (int32_t i = 0; i < description->num_tensors; i++) {
        addresses[i] = address_of(description->tensors[i]);
    }
    if (!is_aligned || overlaps(item, description, addresses)) {
        return op->run(state, call);
    }
    rbc_error err;
    bool launched = false;
    PyThreadState *thread = NULL;
    if (worth_releasing(rbc__tensor_num_elements(description->tensors[description->num_inputs]))) {
        item->in_use++;
        thread = PyEval_SaveThread();
    }
    const rbc_status status = rbc__cuda_relocation_launch(&item->places, &item->launches, addresses,
                                                          lead->stream, &launched, &err);
    if (thread != NULL) {
        PyEval_RestoreThread(thread);
        item->in_use--;
    }
    if (status != RBC_OK) {
        raise_error(state, &err);
        return false;
    }
    return launched || op->run(state, call);
}

bool repeat_run(const operation *op, module_state *state, void *call) {
    const tensor *lead = op->lead(call);
    if (op->describe == NULL || lead->framework.kind != FRAMEWORK_EXCHANGE ||
        lead->dl.device.device_type != kDLCUDA) {
        return op->run(state, call);
    }
    if (state->repeats == NULL) {
        state->repeats = PyMem_Calloc(1, sizeof *state->repeats);
    }
    call_description description;
    description.num_tensors = 0;
    description.num_inputs = 0;
    description.is_too_long = false;
    description.num_words = 0;
    const uint64_t begin[2] = {(uint64_t)(uintptr_t)op, (uint64_t)(uintptr_t)lead->stream};
    description_add(&description, begin, 2);
    op->describe(call, &description);
    if (state->repeats == NULL || description.is_too_long) {
        return op->run(state, call);
    }
    state->repeats->clock++;
    repeat *item = find(state->repeats, &description);
    if (item == NULL) {
        note(state->repeats, &description);
        return op->run(state, call);
    }
    item->used = state->repeats->clock;
    return item->stage == READY  ? again(op, state, call, &description, item)
           : item->stage == SEEN ? learn(op, state, call, &description, item)
                                 : op->run(state, call);
}

void repeat_clear(module_state *state) {
    for (int i = 0; state->repeats != NULL && i < REPEATS; i++) {
        forget(&state->repeats->items[i]);
    }
    PyMem_Free(state->repeats);
    state->repeats = NULL;
}
