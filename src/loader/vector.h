/* What becomes of numbers on their way into a field that is not just their copy: streams that lie
 * side by side in one vector, another dtype, a scale and an offset.
 *
 * A vector is the field of a window and of those that join it, its parts. A window is plain where
 * it is a vector's only part and its samples are delivered as they are. */
#ifndef RBC_LOADER_VECTOR_H
#define RBC_LOADER_VECTOR_H

#include "loader/batch_spec.h"

/* Takes over scale and offset of a window whose channels are counted. INVALID_ARGUMENT,
 * OUT_OF_MEMORY. */
rbc_status rbc__vector_set(const rbc_window *window, const rbc__used_stream *used,
                           rbc__window_spec *out, rbc_error *err);

/* Makes the vectors, once all windows are set: their dtype and where each
 * part lies. INVALID_ARGUMENT naming the streams that do not go together. */
rbc_status rbc__vectors_join(rbc__batch_spec *spec, const rbc_window *windows, rbc_error *err);

/* Bytes of one sample as it is stored. */
int64_t rbc__vector_stored_bytes(const rbc__window_spec *window);

/* Makes of a sample what a window that is not plain delivers of it: `target` is the first byte of
 * the target in its field. `sample` NULL: there is none, and the part is zeros. It may lie where it
 * goes to. */
void rbc__vector_put(const rbc__window_spec *window, const uint8_t *sample, uint8_t *target);

#endif
