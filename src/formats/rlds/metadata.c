#include <inttypes.h>
#include <math.h>
#include <string.h>

#include <jansson.h>

#include "core/error.h"
#include "formats/rlds/parsed_episode.h"
#include "formats/rlds/tensor_proto.h"
#include "io/endian.h"
#include "io/utf8.h"

/* JSON has no bytes: what is no text is told by its size. */
static json_t *text_to_json(const uint8_t *bytes, uint64_t num_bytes) {
    uint64_t bad_at;
    if (rbc__utf8_check(bytes, num_bytes, &bad_at)) {
        return json_stringn((const char *)bytes, (size_t)num_bytes);
    }
    return json_pack("{s:I}", "num_bytes", (json_int_t)num_bytes);
}

/* Nor has it NaN and infinity: they are null. */
static json_t *float_to_json(const uint8_t *at) {
    const uint32_t bits = rbc__load_u32(at);
    float value;
    memcpy(&value, &bits, sizeof value);
    return isfinite(value) ? json_real((double)value) : json_null();
}

static json_t *int_to_json(const rbc__leaf *leaf, int64_t value) {
    return leaf->dtype == RBC__BOOL ? json_boolean(value != 0) : json_integer(value);
}

/* Appends the values of one chunk to `array`; false when there is no memory. */
static bool chunk_to_json(const rbc__leaf *leaf, const rbc__list *list, const rbc__chunk *chunk,
                          json_t *array) {
    const uint8_t *data = list->feature.data;
    uint64_t at = chunk->offset;
    const uint64_t end = chunk->offset + chunk->bytes;
    if (list->kind == RBC__LIST_BYTES) {
        return json_array_append_new(array, text_to_json(data + at, chunk->bytes)) == 0;
    }
    while (at < end) {
        uint64_t value = 0;
        json_t *item;
        if (list->kind == RBC__LIST_FLOAT) {
            item = float_to_json(data + at);
            at += 4;
        } else if (rbc__varint_read(data, end, &at, &value)) {
            item = int_to_json(leaf, (int64_t)value);
        } else {
            return true;
        }
        if (json_array_append_new(array, item) != 0) {
            return false;
        }
    }
    return true;
}

/* The strings of a TensorProto; one of numbers is told by its shape. */
static rbc_status tensor_to_json(const rbc__list *list, const rbc__chunk *chunk, json_t *array,
                                 rbc_error *err) {
    rbc__tensor_proto tensor;
    RBC__TRY(rbc__tensor_proto_parse(&list->feature, chunk->offset, chunk->bytes, &tensor, err));
    if (!tensor.is_string) {
        json_t *shape = json_array();
        for (int32_t i = 0; i < tensor.ndim; ++i) {
            json_array_append_new(shape, json_integer(tensor.shape[i]));
        }
        json_array_append_new(
            array, json_pack("{s:s,s:o}", "dtype", rbc__dtype_name(tensor.dtype), "shape", shape));
        return RBC_OK;
    }
    for (;;) {
        rbc__wire_field string;
        bool more;
        RBC__TRY(rbc__tensor_proto_next_string(&tensor.message, &string, &more, err));
        if (!more) {
            return RBC_OK;
        }
        json_array_append_new(array,
                              text_to_json(list->feature.data + string.offset, string.bytes));
    }
}

/* A flat array as nested ones, by the extents of `leaf` from `axis` on; takes `*at` on behind what
 * it used. A first extent that is not declared is what there is. */
static json_t *nest(const json_t *flat, const rbc__leaf *leaf, int32_t axis, size_t *at) {
    if (axis == leaf->ndim) {
        return json_incref(json_array_get(flat, (*at)++));
    }
    json_t *array = json_array();
    for (int64_t i = 0; array && (leaf->shape[axis] < 0 || i < leaf->shape[axis]); ++i) {
        if (*at == json_array_size(flat) ||
            json_array_append_new(array, nest(flat, leaf, axis + 1, at)) != 0) {
            break;
        }
    }
    return array;
}

/* Adds leaf `id` to `object`. */
static rbc_status leaf_to_json(rbc__parsed_episode *episode, uint32_t id, rbc__scratch *scratch,
                               json_t *object, rbc_error *err) {
    const rbc__leaf *leaf = &episode->reader->leaves.items[id];
    rbc__list list;
    rbc__chunk chunk;
    bool more = true;
    bool has_memory = true;
    RBC__TRY(rbc__parsed_episode_list(episode, &episode->spans[id], scratch, &list, err));
    json_t *array = json_array();
    rbc_status status = RBC_OK;
    while (status == RBC_OK && more && array && has_memory) {
        status = rbc__list_next(&list, &chunk, &more, err);
        if (status == RBC_OK && more && leaf->storage == RBC__STORED_TENSOR) {
            status = tensor_to_json(&list, &chunk, array, err);
        } else if (status == RBC_OK && more) {
            has_memory = chunk_to_json(leaf, &list, &chunk, array);
        }
    }
    if (status != RBC_OK) {
        json_decref(array);
        return status;
    }
    size_t at = 0;
    json_t *value = leaf->ndim == 0 && json_array_size(array) != 1 ? json_incref(array)
                                                                   : nest(array, leaf, 0, &at);
    json_decref(array);
    if (!has_memory || json_object_set_new(object, leaf->name, value) != 0) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "metadata '%s'", leaf->name);
    }
    return RBC_OK;
}

rbc_status rbc__rlds_metadata(rbc__parsed_episode *episode, rbc__scratch *scratch, char **json,
                              rbc_error *err) {
    const rbc__leaves *leaves = &episode->reader->leaves;
    json_t *object = json_object();
    rbc_status status = RBC_OK;
    *json = NULL;
    for (int32_t i = leaves->num_streams; i < leaves->count && status == RBC_OK && object; ++i) {
        if (episode->spans[i].form == RBC__FORM_WALK) {
            status = leaf_to_json(episode, (uint32_t)i, scratch, object, err);
        }
    }
    if (status == RBC_OK) {
        *json = json_dumps(object, JSON_COMPACT);
        if (!*json) {
            status =
                rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "%s: byte %" PRIu64 ": metadata as JSON",
                          rbc__source_path(episode->source), episode->offset);
        }
    }
    json_decref(object);
    return status;
}
