/* What resample and fuse share: one stream of samples, read from Python arguments.
 * Interface of python/src/operations. */
#ifndef RBC_PYTHON_RESAMPLE_H
#define RBC_PYTHON_RESAMPLE_H

#include "tensors/tensor.h"

/* Arguments of one stream, borrowed; NULL where not given. */
typedef struct stream_args {
    PyObject *values, *times, *lengths;
    PyObject *mode, *outside, *channels, *max_gap, *tolerance;
    const char *values_name, *times_name; /* for messages */
} stream_args;

typedef struct stream_input {
    tensor values, times, lengths;
    rbc_channel_group *groups;
    rbc_resample_source source;
} stream_input;

/* Zero-initialise `out`, release it with stream_release() also after failure. `like` is the first
 * tensor of the call, NULL for the first stream. `flags` are RBC_NAN_IS_MISSING and such. */
bool stream_read(module_state *state, const stream_args *args, const tensor *like, uint32_t flags,
                 stream_input *out);
void stream_release(stream_input *stream);
/* As tensor_keep(), for all tensors of a stream. */
bool stream_keep(stream_input *stream);

bool parse_resample_mode(module_state *state, PyObject *object, rbc_resample_mode *mode);
bool parse_outside(module_state *state, PyObject *object, rbc_outside *outside);
/* [(slice | int | (begin, end), mode), ...]; the groups are freed with PyMem_Free(). */
bool parse_channels(module_state *state, PyObject *object, int64_t num_channels,
                    rbc_channel_group **groups, int32_t *num_groups);

/* Views [T, ...] as [1, T, ...]; `shape` and `strides` have room for t's axes and one more. */
DLTensor add_batch_axis(const DLTensor *t, int64_t *shape, int64_t *strides);

#endif
