#include "formats/rlds/writer_episode.h"

#include <string.h>

#include "formats/rlds/example.h"
#include "formats/rlds/wire.h"
#include "layout/values.h"

/* Tags of length-delimited fields. */
enum { TAG_1 = 1 << 3 | RBC__WIRE_LEN, TAG_2 = 2 << 3 | RBC__WIRE_LEN };

static uint64_t len_size(uint64_t bytes) {
    return 1 + rbc__varint_size(bytes) + bytes;
}

static void begin_len(rbc__bytes *out, uint8_t tag, uint64_t bytes) {
    rbc__bytes_byte(out, tag);
    rbc__bytes_varint(out, bytes);
}

/* Opens the map entry of `key` + `suffix` and the Feature in it, up to the list message, whose own
 * bytes follow. */
static void begin_feature(rbc__bytes *out, const char *key, const char *suffix, rbc__list_kind kind,
                          uint64_t list_bytes) {
    const uint64_t key_bytes = strlen(key) + strlen(suffix);
    const uint64_t feature_bytes = len_size(list_bytes);
    begin_len(out, TAG_1, len_size(key_bytes) + len_size(feature_bytes));
    begin_len(out, TAG_1, key_bytes);
    rbc__bytes_append(out, key, strlen(key));
    rbc__bytes_append(out, suffix, strlen(suffix));
    begin_len(out, TAG_2, feature_bytes);
    begin_len(out, (uint8_t)(kind << 3 | RBC__WIRE_LEN), list_bytes);
}

/* ---- numbers -----------------------------------------------------------------------------------
 */

static float load_float(const uint8_t *at, rbc__dtype dtype) {
    float f32;
    double f64;
    uint16_t half;
    uint32_t bits;
    switch (dtype) {
    case RBC__F64:
        memcpy(&f64, at, sizeof f64);
        return (float)f64;
    case RBC__F16:
        memcpy(&half, at, sizeof half);
        return (float)rbc__values_from_f16(half);
    case RBC__BF16:
        memcpy(&half, at, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f32, &bits, sizeof f32);
        return f32;
    default:
        memcpy(&f32, at, sizeof f32);
        return f32;
    }
}

#define LOAD(type)                                                                                 \
    do {                                                                                           \
        type value;                                                                                \
        memcpy(&value, at, sizeof value);                                                          \
        return (uint64_t)(int64_t)value;                                                           \
    } while (0)

/* As int64 holds it: negative numbers are ten-byte varints. */
static uint64_t load_int(const uint8_t *at, rbc__dtype dtype) {
    switch (dtype) {
    case RBC__I8:
        LOAD(int8_t);
    case RBC__I16:
        LOAD(int16_t);
    case RBC__I32:
        LOAD(int32_t);
    case RBC__U16:
        LOAD(uint16_t);
    case RBC__U32:
        LOAD(uint32_t);
    case RBC__I64:
    case RBC__U64:
        LOAD(int64_t);
    case RBC__BOOL:
        return *at != 0;
    default:
        return *at;
    }
}

typedef void (*element_fn)(void *user, const uint8_t *at, rbc__dtype dtype);

/* Calls `each` for all elements in C order. */
static void for_each_element(const DLTensor *tensor, rbc__dtype dtype, element_fn each,
                             void *user) {
    int64_t index[RBC_STREAM_MAX_DIMS + 1] = {0};
    int64_t strides[RBC_STREAM_MAX_DIMS + 1] = {0};
    const int64_t count = rbc__tensor_num_elements(tensor);
    const uint8_t *at = rbc__tensor_data(tensor);
    for (int32_t i = 0; i < tensor->ndim; ++i) {
        strides[i] = rbc__tensor_stride_bytes(tensor, i);
    }
    for (int64_t i = 0; i < count; ++i) {
        each(user, at, dtype);
        for (int32_t axis = tensor->ndim - 1; axis >= 0; --axis) {
            at += strides[axis];
            if (++index[axis] < tensor->shape[axis]) {
                break;
            }
            at -= strides[axis] * tensor->shape[axis];
            index[axis] = 0;
        }
    }
}

static void append_float(void *user, const uint8_t *at, rbc__dtype dtype) {
    const float value = load_float(at, dtype);
    rbc__bytes_append(user, &value, sizeof value);
}

static void append_int(void *user, const uint8_t *at, rbc__dtype dtype) {
    rbc__bytes_varint(user, load_int(at, dtype));
}

static void measure_int(void *user, const uint8_t *at, rbc__dtype dtype) {
    *(uint64_t *)user += rbc__varint_size(load_int(at, dtype));
}

static void append_numbers(const rbc__writer_feature *feature, const char *suffix,
                           const DLTensor *values, rbc__bytes *out) {
    const bool is_float = rbc__dtype_is_float(feature->dtype);
    uint64_t bytes = 4 * (uint64_t)rbc__tensor_num_elements(values);
    if (!is_float) {
        bytes = 0;
        for_each_element(values, feature->dtype, measure_int, &bytes);
    }
    begin_feature(out, feature->key, suffix, is_float ? RBC__LIST_FLOAT : RBC__LIST_INT64,
                  bytes > 0 ? len_size(bytes) : 0);
    if (bytes > 0) {
        begin_len(out, TAG_1, bytes);
        for_each_element(values, feature->dtype, is_float ? append_float : append_int, out);
    }
}

static void append_row_lengths(const rbc__writer_feature *feature, const int64_t *rows,
                               int64_t num_steps, rbc__bytes *out) {
    uint64_t bytes = 0;
    for (int64_t i = 0; i < num_steps; ++i) {
        bytes += rbc__varint_size((uint64_t)rows[i]);
    }
    begin_feature(out, feature->key, "/ragged_row_lengths_0", RBC__LIST_INT64,
                  bytes > 0 ? len_size(bytes) : 0);
    if (bytes > 0) {
        begin_len(out, TAG_1, bytes);
        for (int64_t i = 0; i < num_steps; ++i) {
            rbc__bytes_varint(out, (uint64_t)rows[i]);
        }
    }
}

/* ---- bytes -------------------------------------------------------------------------------------
 */

static void append_entries(const rbc__writer_feature *feature, const char *suffix,
                           const rbc_rlds_data *data, rbc__bytes *out) {
    uint64_t bytes = 0;
    for (int64_t i = 0; i < data->num_samples; ++i) {
        bytes += len_size(data->num_bytes[i]);
    }
    begin_feature(out, feature->key, suffix, RBC__LIST_BYTES, bytes);
    for (int64_t i = 0; i < data->num_samples; ++i) {
        begin_len(out, TAG_1, data->num_bytes[i]);
        rbc__bytes_append(out, data->bytes[i], (size_t)data->num_bytes[i]);
    }
}

/* ---- the episode -------------------------------------------------------------------------------
 */

static void append_data(const rbc__writer_feature *feature, const rbc_rlds_data *data,
                        int64_t num_steps, rbc__bytes *out) {
    const char *suffix = feature->is_ragged ? "/ragged_flat_values" : "";
    if (feature->kind == RBC_STREAM_NUMERIC) {
        append_numbers(feature, suffix, data->values, out);
    } else {
        append_entries(feature, suffix, data, out);
    }
    if (feature->is_ragged) {
        append_row_lengths(feature, data->row_lengths, num_steps, out);
    }
}

rbc_status rbc__writer_episode(const rbc__writer_feature *features, int32_t count,
                               int64_t num_steps, const rbc_rlds_data *streams, int32_t num_streams,
                               const rbc_rlds_data *metadata, rbc__bytes *out, rbc_error *err) {
    rbc__bytes entries = {0};
    for (int32_t i = 0; i < count; ++i) {
        const rbc_rlds_data *data = i < num_streams ? &streams[i] : &metadata[i - num_streams];
        append_data(&features[i], data, num_steps, &entries);
    }
    begin_len(out, TAG_1, entries.size);
    rbc__bytes_append(out, entries.data, entries.size);
    const rbc_status status = rbc__bytes_check(&entries, err);
    rbc__bytes_free(&entries);
    return status == RBC_OK ? rbc__bytes_check(out, err) : status;
}
