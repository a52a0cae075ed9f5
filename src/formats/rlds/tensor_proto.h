/* Serialized TensorProto messages, in which dlimp stores each array and list of images.
 * TensorProto { dtype = 1, tensor_shape = 2 { dim = 2 { size = 1 } }, tensor_content = 4,
 * string_val = 8, ... }: numbers are in tensor_content, strings in string_val. */
#ifndef RBC_FORMATS_RLDS_TENSOR_PROTO_H
#define RBC_FORMATS_RLDS_TENSOR_PROTO_H

#include "core/tensor.h"
#include "formats/rlds/wire.h"

typedef struct rbc__tensor_proto {
    bool is_string;
    rbc__dtype dtype; /* where it is not */
    int32_t ndim;
    int64_t shape[RBC_STREAM_MAX_DIMS];
    int64_t elements;
    uint64_t offset, bytes; /* numbers: of the values, little-endian, in the payload */
    rbc__wire message;      /* strings: the TensorProto, for rbc__tensor_proto_strings() */
} rbc__tensor_proto;

/* Parses the TensorProto at [offset, offset + bytes) of `payload`. FORMAT when it is none, when its
 * sizes do not agree, and for dtypes and encodings that tf.io.serialize_tensor does not write. */
rbc_status rbc__tensor_proto_parse(const rbc__wire *payload, uint64_t offset, uint64_t bytes,
                                   rbc__tensor_proto *out, rbc_error *err);

/* The next string of `message`, or `*more` false. */
rbc_status rbc__tensor_proto_next_string(rbc__wire *message, rbc__wire_field *out, bool *more,
                                         rbc_error *err);

#endif
