#include "formats/rlds/dlimp.h"

#include <stdlib.h>
#include <string.h>

#include "codec/codec.h"
#include "core/error.h"
#include "formats/rlds/framing.h"
#include "formats/rlds/tensor_proto.h"

enum { MAX_KEY_BYTES = 1024 };

typedef struct derivation {
    rbc__wire payload;
    rbc__leaves *leaves;
} derivation;

static rbc_status describe_strings(const derivation *state, rbc__tensor_proto *tensor,
                                   rbc__leaf *leaf, rbc_error *err) {
    rbc__wire_field string;
    bool more;
    leaf->kind = RBC_STREAM_TEXT;
    leaf->dtype = RBC__U8;
    if (tensor->ndim > 1) {
        leaf->unsupported = "strings have a shape of their own";
    }
    RBC__TRY(rbc__tensor_proto_next_string(&tensor->message, &string, &more, err));
    if (more) {
        const char *encoding =
            rbc__image_encoding(state->payload.data + string.offset, string.bytes);
        leaf->encoding = encoding != NULL ? encoding : "";
    }
    if (leaf->encoding[0] != '\0') {
        leaf->kind = RBC_STREAM_IMAGE;
        leaf->ndim = 3;
        leaf->shape[0] = leaf->shape[1] = leaf->shape[2] = -1;
    }
    return RBC_OK;
}

static rbc_status describe_tensor(const derivation *state, rbc__tensor_proto *tensor,
                                  rbc__leaf *leaf, rbc_error *err) {
    leaf->storage = RBC__STORED_TENSOR;
    leaf->list = RBC__LIST_BYTES;
    leaf->in_steps = tensor->ndim > 0;
    if (tensor->is_string) {
        return describe_strings(state, tensor, leaf, err);
    }
    leaf->kind = RBC_STREAM_NUMERIC;
    leaf->dtype = tensor->dtype;
    for (int32_t i = 1; i < tensor->ndim; ++i) {
        leaf->shape[leaf->ndim++] = tensor->shape[i];
    }
    return RBC_OK;
}

static rbc_status derive(void *user, const rbc__feature *feature, rbc_error *err) {
    const derivation *state = user;
    char key[MAX_KEY_BYTES];
    rbc__leaf leaf = {.key = key, .rows = -1, .encoding = "", .dtype = RBC__U8};
    rbc__list list;
    rbc__chunk chunk;
    rbc__tensor_proto tensor;
    bool more = false;
    if (feature->key_bytes >= MAX_KEY_BYTES || memchr(feature->key, 0, feature->key_bytes)) {
        return rbc__wire_fail(&state->payload, feature->offset, err,
                              "the key of a feature is too long or no text");
    }
    memcpy(key, feature->key, feature->key_bytes);
    key[feature->key_bytes] = '\0';
    RBC__TRY(rbc__list_open(&state->payload, feature->offset, feature->bytes, &list, err));
    leaf.list = list.kind;
    if (list.kind == RBC__LIST_BYTES) {
        RBC__TRY(rbc__list_next(&list, &chunk, &more, err));
        leaf.kind = RBC_STREAM_TEXT;
    } else {
        leaf.dtype = list.kind == RBC__LIST_FLOAT ? RBC__F32 : RBC__I64;
        leaf.ndim = 1;
        leaf.shape[0] = -1;
    }
    if (more && rbc__tensor_proto_parse(&state->payload, chunk.offset, chunk.bytes, &tensor,
                                        NULL) == RBC_OK) {
        RBC__TRY(describe_tensor(state, &tensor, &leaf, err));
    } else if (strncmp(key, "steps/", 6) == 0) {
        return RBC_OK; /* flat lists, whose shapes are not told */
    } else {
        leaf.is_sequence = leaf.kind == RBC_STREAM_TEXT;
    }
    return rbc__leaves_add(state->leaves, &leaf, err);
}

rbc_status rbc__dlimp_leaves(rbc__source *source, rbc__leaves *out, rbc_error *err) {
    rbc__scratch scratch = {0};
    rbc__frame frame;
    const uint8_t *payload;
    const char *path = rbc__source_path(source);
    *out = (rbc__leaves){0};
    rbc_status status = rbc__frame_first(source, &scratch, &frame, err);
    if (status == RBC_OK) {
        status = rbc__frame_payload(source, &frame, &scratch, &payload, err);
    }
    if (status == RBC_OK) {
        derivation state = {{payload, 0, frame.bytes, frame.offset, path}, out};
        status = rbc__example_walk(&state.payload, derive, &state, err);
    }
    if (status == RBC_OK) {
        status = rbc__leaves_finish(out, path, err);
    }
    if (status == RBC_OK && out->num_streams == 0) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s: byte %d: no feature of the first record is a TensorProto, and no "
                           "features.json declares 'steps'",
                           path, RBC__TFRECORD_HEADER_BYTES);
    }
    rbc__scratch_free(&scratch);
    if (status != RBC_OK) {
        rbc__leaves_free(out);
    }
    return status;
}
