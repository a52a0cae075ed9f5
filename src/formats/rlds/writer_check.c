#include "formats/rlds/writer_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "io/utf8.h"

static const char stamps_suffix[] = "_time_ns";

void rbc__writer_checker_free(rbc__writer_checker *checker) {
    rbc__decoder_destroy(&checker->decoder);
    rbc__scratch_free(&checker->pixels);
}

/* ---- what is declared ---------------------------------------------------------------------------
 */

static bool is_named_stamps_of(const rbc__writer_feature *stamps,
                               const rbc__writer_feature *stream) {
    const size_t length = strlen(stream->key);
    return strncmp(stamps->key, stream->key, length) == 0 &&
           strcmp(stamps->key + length, stamps_suffix) == 0;
}

rbc_status rbc__writer_find_stamps(rbc__writer_feature *features, int32_t count, rbc_error *err) {
    for (int32_t i = 0; i < count; ++i) {
        rbc__writer_feature *stream = &features[i];
        stream->stamps = -1;
        for (int32_t j = 0; j < count && stream->in_steps; ++j) {
            const rbc__writer_feature *stamps = &features[j];
            if (!stamps->in_steps || !is_named_stamps_of(stamps, stream)) {
                continue;
            }
            if (stamps->kind != RBC_STREAM_NUMERIC || stamps->dtype != RBC__I64 ||
                stamps->ndim != 0) {
                char shape[128];
                return rbc__fail(
                    err, RBC_ERROR_INVALID_ARGUMENT,
                    "%s: the stamps of '%s' are int64 nanoseconds, one a sample; %s of shape %s "
                    "was declared",
                    stamps->name, stream->name,
                    stamps->kind == RBC_STREAM_NUMERIC ? rbc__dtype_name(stamps->dtype)
                    : stamps->kind == RBC_STREAM_IMAGE ? "an image"
                                                       : "text",
                    rbc__format_shape(shape, sizeof shape, stamps->ndim, stamps->shape));
            }
            if (stamps->is_ragged != stream->is_ragged) {
                return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                                 "%s: it is %sragged and '%s', whose stamps it holds, is %s",
                                 stamps->name, stamps->is_ragged ? "" : "not ", stream->name,
                                 stream->is_ragged ? "ragged" : "not");
            }
            stream->stamps = j;
        }
    }
    return RBC_OK;
}

/* ---- one stream ---------------------------------------------------------------------------------
 */

/* "sample 7", and in which step it is where steps hold any number. */
static const char *name_sample(const rbc_rlds_data *data, int64_t sample, char text[64]) {
    int64_t step = 0;
    int64_t before = 0;
    if (data->row_lengths == NULL) {
        (void)snprintf(text, 64, "sample %" PRId64, sample);
        return text;
    }
    while (before + data->row_lengths[step] <= sample) {
        before += data->row_lengths[step++];
    }
    (void)snprintf(text, 64, "step %" PRId64 ", sample %" PRId64, step, sample - before);
    return text;
}

static rbc_status check_numbers(const rbc__writer_feature *feature, const rbc_rlds_data *data,
                                int64_t samples, rbc_error *err) {
    int64_t shape[RBC_STREAM_MAX_DIMS + 1];
    rbc__dtype dtype;
    const int32_t lead = feature->in_steps ? 1 : 0;
    RBC__TRY(rbc__tensor_check(data->values, feature->name, &dtype, err));
    if (data->values->device.device_type != kDLCPU) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: the tensor is not on the CPU",
                         feature->name);
    }
    if (dtype != feature->dtype) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%s: dtype is %s, %s was declared",
                         feature->name, rbc__dtype_name(dtype), rbc__dtype_name(feature->dtype));
    }
    shape[0] = samples;
    memcpy(shape + lead, feature->shape, (size_t)feature->ndim * sizeof shape[0]);
    return rbc__tensor_check_shape(data->values, feature->name, feature->ndim + lead, shape, err);
}

static rbc_status check_image(rbc__writer_checker *checker, const rbc__writer_feature *feature,
                              const uint8_t *bytes, uint64_t num_bytes, rbc_error *err) {
    const char *encoding = rbc__image_encoding(bytes, num_bytes);
    if (encoding != NULL && strcmp(encoding, feature->encoding) != 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "encoded as %s, %s was declared",
                         encoding, feature->encoding);
    }
    if (checker->decoder == NULL) {
        RBC__TRY(rbc__decoder_create(RBC_JPEG_DCT_FAST, &checker->decoder, err));
    }
    rbc__image_shape found;
    RBC__TRY(rbc__image_probe(checker->decoder, bytes, num_bytes, NULL, &found, err));
    const int64_t shape[3] = {found.height, found.width, found.channels};
    bool fits = found.bits == 8 * (int32_t)rbc__dtype_bytes(feature->dtype);
    for (int i = 0; i < 3; ++i) {
        fits = fits && (feature->shape[i] < 0 || feature->shape[i] == shape[i]);
    }
    if (!fits) {
        char is[128];
        char wanted[128];
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "an image of shape %s and uint%d, %s and %s was declared",
                         rbc__format_shape(is, sizeof is, 3, shape), (int)found.bits,
                         rbc__format_shape(wanted, sizeof wanted, 3, feature->shape),
                         rbc__dtype_name(feature->dtype));
    }
    const int64_t row_bytes = found.width * found.channels * (found.bits / 8);
    RBC__TRY(rbc__scratch_reserve(&checker->pixels, (size_t)(row_bytes * found.height), err));
    return rbc__image_decode(checker->decoder, bytes, num_bytes, NULL, &found, checker->pixels.data,
                             row_bytes, err);
}

static rbc_status check_entry(rbc__writer_checker *checker, const rbc__writer_feature *feature,
                              const uint8_t *bytes, uint64_t num_bytes, rbc_error *err) {
    uint64_t bad_at;
    if (num_bytes > 0 && bytes == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "%" PRIu64 " bytes at NULL", num_bytes);
    }
    if (feature->kind == RBC_STREAM_IMAGE) {
        return num_bytes > 0 ? check_image(checker, feature, bytes, num_bytes, err) : RBC_OK;
    }
    if (!rbc__utf8_check(bytes, num_bytes, &bad_at)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "not UTF-8 at its byte %" PRIu64, bad_at);
    }
    return RBC_OK;
}

static rbc_status check_entries(rbc__writer_checker *checker, const rbc__writer_feature *feature,
                                const rbc_rlds_data *data, int64_t samples, rbc_error *err) {
    if (data->num_samples != samples ||
        (samples > 0 && (data->bytes == NULL || data->num_bytes == NULL))) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: %" PRId64 " samples of bytes, wanted %" PRId64, feature->name,
                         data->num_samples, samples);
    }
    for (int64_t i = 0; i < samples; ++i) {
        const rbc_status status =
            check_entry(checker, feature, data->bytes[i], data->num_bytes[i], err);
        if (status != RBC_OK) {
            char text[64];
            return rbc__fail_within(
                err, status == RBC_ERROR_OUT_OF_MEMORY ? status : RBC_ERROR_INVALID_ARGUMENT,
                "%s: %s", feature->name, name_sample(data, i, text));
        }
    }
    return RBC_OK;
}

static rbc_status count_samples(const rbc__writer_feature *feature, const rbc_rlds_data *data,
                                int64_t num_steps, int64_t *samples, rbc_error *err) {
    *samples = feature->in_steps ? num_steps : 1;
    if (!feature->is_ragged) {
        return RBC_OK;
    }
    if (data->row_lengths == NULL && num_steps > 0) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "%s: it is ragged, but row_lengths is NULL", feature->name);
    }
    *samples = 0;
    for (int64_t i = 0; i < num_steps; ++i) {
        if (data->row_lengths[i] < 0 || !rbc__add_size(*samples, data->row_lengths[i], samples)) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: row_lengths[%" PRId64 "] is %" PRId64, feature->name, i,
                             data->row_lengths[i]);
        }
    }
    return RBC_OK;
}

static rbc_status check_data(rbc__writer_checker *checker, const rbc__writer_feature *feature,
                             const rbc_rlds_data *data, int64_t num_steps, rbc_error *err) {
    int64_t samples;
    RBC__TRY(count_samples(feature, data, num_steps, &samples, err));
    return feature->kind == RBC_STREAM_NUMERIC
               ? check_numbers(feature, data, samples, err)
               : check_entries(checker, feature, data, samples, err);
}

/* ---- stamps -------------------------------------------------------------------------------------
 */

static rbc_status check_stamps(const rbc__writer_feature *stamps, const rbc_rlds_data *data,
                               const rbc__writer_feature *stream, const rbc_rlds_data *samples,
                               int64_t num_steps, rbc_error *err) {
    for (int64_t i = 0; stamps->is_ragged && i < num_steps; ++i) {
        if (data->row_lengths[i] != samples->row_lengths[i]) {
            return rbc__fail(
                err, RBC_ERROR_INVALID_ARGUMENT,
                "%s: step %" PRId64 " has %" PRId64 " stamps, '%s' has %" PRId64 " samples there",
                stamps->name, i, data->row_lengths[i], stream->name, samples->row_lengths[i]);
        }
    }
    const uint8_t *at = rbc__tensor_data(data->values);
    const int64_t stride = rbc__tensor_stride_bytes(data->values, 0);
    int64_t before = INT64_MIN;
    for (int64_t i = 0; i < data->values->shape[0]; i++, at += stride) {
        int64_t stamp;
        memcpy(&stamp, at, sizeof stamp);
        if (stamp < before) {
            char text[64];
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: %s: stamps go back to %" PRId64 " after %" PRId64, stamps->name,
                             name_sample(data, i, text), stamp, before);
        }
        before = stamp;
    }
    return RBC_OK;
}

rbc_status rbc__writer_check(rbc__writer_checker *checker, const rbc__writer_feature *features,
                             int32_t count, int64_t num_steps, const rbc_rlds_data *streams,
                             int32_t num_streams, const rbc_rlds_data *metadata, rbc_error *err) {
    for (int32_t i = 0; i < count; ++i) {
        const rbc_rlds_data *data = i < num_streams ? &streams[i] : &metadata[i - num_streams];
        RBC__TRY(check_data(checker, &features[i], data, num_steps, err));
    }
    for (int32_t i = 0; i < num_streams; ++i) {
        const int32_t j = features[i].stamps;
        if (j >= 0) {
            RBC__TRY(
                check_stamps(&features[j], &streams[j], &features[i], &streams[i], num_steps, err));
        }
    }
    return RBC_OK;
}
