#include "formats/rlds/metadata.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "core/error.h"
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

static json_t *shape_to_json(const rbc__tensor_proto *tensor) {
    json_t *shape = json_array();
    for (int32_t i = 0; i < tensor->ndim; ++i) {
        if (json_array_append_new(shape, json_integer(tensor->shape[i])) != 0) {
            json_decref(shape);
            return NULL;
        }
    }
    return json_pack("{s:s,s:o}", "dtype", rbc__dtype_name(tensor->dtype), "shape", shape);
}

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "metadata of an episode: out of memory");
}

/* The strings of a TensorProto; one of numbers is told by its shape. */
static rbc_status tensor_to_json(const rbc__list *list, const rbc__chunk *chunk, json_t *array,
                                 rbc_error *err) {
    rbc__tensor_proto tensor;
    RBC__TRY(rbc__tensor_proto_parse(&list->feature, chunk->offset, chunk->bytes, &tensor, err));
    if (!tensor.is_string) {
        return json_array_append_new(array, shape_to_json(&tensor)) == 0 ? RBC_OK
                                                                         : out_of_memory(err);
    }
    for (;;) {
        rbc__wire_field string;
        bool more;
        RBC__TRY(rbc__tensor_proto_next_string(&tensor.message, &string, &more, err));
        if (!more) {
            return RBC_OK;
        }
        if (json_array_append_new(
                array, text_to_json(list->feature.data + string.offset, string.bytes)) != 0) {
            return out_of_memory(err);
        }
    }
}

/* A flat array as nested ones, by the extents of `leaf` from `axis` on; takes `*at` on behind what
 * it used. A first extent that is not declared is what there is. NULL where there is no memory. */
static json_t *nest(const json_t *flat, const rbc__leaf *leaf, int32_t axis, size_t *at) {
    if (axis == leaf->ndim) {
        return json_incref(json_array_get(flat, (*at)++));
    }
    json_t *array = json_array();
    for (int64_t i = 0; array && (leaf->shape[axis] < 0 || i < leaf->shape[axis]); ++i) {
        if (*at == json_array_size(flat)) {
            break;
        }
        if (json_array_append_new(array, nest(flat, leaf, axis + 1, at)) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

struct rbc__metadata {
    json_t *object;
};

rbc_status rbc__metadata_create(rbc__metadata **out, rbc_error *err) {
    *out = malloc(sizeof **out);
    if (*out == NULL) {
        return out_of_memory(err);
    }
    (*out)->object = json_object();
    if ((*out)->object == NULL) {
        rbc__metadata_destroy(out);
        return out_of_memory(err);
    }
    return RBC_OK;
}

void rbc__metadata_destroy(rbc__metadata **metadata) {
    if (*metadata != NULL) {
        json_decref((*metadata)->object);
        free(*metadata);
        *metadata = NULL;
    }
}

rbc_status rbc__metadata_add(rbc__metadata *metadata, const rbc__wire *payload,
                             const rbc__leaf *leaf, uint64_t offset, uint64_t bytes,
                             rbc_error *err) {
    rbc__list list;
    rbc__chunk chunk;
    bool more = true;
    bool has_memory = true;
    RBC__TRY(rbc__list_open(payload, offset, bytes, &list, err));
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
    const bool is_set = json_object_set_new(metadata->object, leaf->name, value) == 0;
    return has_memory && is_set ? RBC_OK : out_of_memory(err);
}

rbc_status rbc__metadata_text(const rbc__metadata *metadata, char **json, rbc_error *err) {
    *json = json_dumps(metadata->object, JSON_COMPACT);
    return *json != NULL ? RBC_OK : out_of_memory(err);
}
