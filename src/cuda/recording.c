#include "cuda/recording.h"

#include <stdlib.h>
#include <string.h>

#include "core/error.h"

typedef struct rbc__cuda_recorded {
    rbc__cuda_step step;
    void *parameters; /* owned */
} recorded;

static _Thread_local rbc__cuda_recording *of_thread;

void rbc__cuda_record_begin(rbc__cuda_recording *recording) {
    of_thread = recording;
}

void rbc__cuda_record_end(void) {
    of_thread = NULL;
}

rbc__cuda_recording *rbc__cuda_recording_of_thread(void) {
    return of_thread;
}

static bool grow(rbc__cuda_recording *recording) {
    if (recording->count < recording->capacity) {
        return true;
    }
    const int32_t capacity = recording->capacity > 0 ? 2 * recording->capacity : 4;
    recorded *moved = realloc(recording->launches, (size_t)capacity * sizeof *moved);
    if (moved == NULL) {
        return false;
    }
    recording->launches = moved;
    recording->capacity = capacity;
    return true;
}

rbc_status rbc__cuda_recording_append(rbc__cuda_recording *recording, const rbc__cuda_step *step,
                                      const void *parameters, size_t parameter_bytes,
                                      rbc_error *err) {
    void *copy = malloc(parameter_bytes);
    if (copy == NULL || !grow(recording)) {
        free(copy);
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory to keep a launch of %zu bytes",
                         parameter_bytes);
    }
    memcpy(copy, parameters, parameter_bytes);
    recording->launches[recording->count++] = (recorded){*step, copy};
    return RBC_OK;
}

bool rbc__cuda_recording_is_whole(const rbc__cuda_recording *recording) {
    return recording->count > 0 && !recording->has_gaps;
}

rbc_status rbc__cuda_replay(const rbc__cuda_recording *recording, void *stream, rbc_error *err) {
    rbc__cuda_queue queue;
    RBC__TRY(rbc__cuda_enter(recording->device_id, stream, &queue, err));
    rbc_status status = RBC_OK;
    for (int32_t i = 0; status == RBC_OK && i < recording->count; ++i) {
        const recorded *launch = &recording->launches[i];
        status = rbc__cuda_submit(&queue, &launch->step, launch->parameters, err);
    }
    return rbc__cuda_leave(&queue, status);
}

void rbc__cuda_recording_free(rbc__cuda_recording *recording) {
    for (int32_t i = 0; i < recording->count; ++i) {
        free(recording->launches[i].parameters);
    }
    free(recording->launches);
    *recording = (rbc__cuda_recording){0};
}
