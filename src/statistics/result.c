#define _GNU_SOURCE

#include "statistics/result.h"

#include <isa-l/crc64.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"

#define MAX_NAME_BYTES (UINT64_C(1) << 16)
#define HEADER_BYTES   32 /* magic, key, checksum */

/* Nothing is counted further: two counts that are read can be added. */
#define MAX_COUNT (INT64_C(1) << 53)

static const char magic[8] = "RBCSTAT1";

static rbc_status out_of_memory(rbc_error *err) {
    return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "statistics: out of memory");
}

rbc_status rbc__statistics_create(const char *stream, rbc__dtype dtype, int32_t ndim,
                                  const int64_t *shape, bool is_ranked, rbc_statistics **out,
                                  rbc_error *err) {
    rbc_statistics *made = calloc(1, sizeof *made);
    *out = made;
    if (made == NULL) {
        return out_of_memory(err);
    }
    made->stream = strdup(stream);
    made->dtype = dtype;
    made->ndim = ndim;
    made->is_ranked = is_ranked;
    made->num_channels = 1;
    bool fits = true;
    for (int32_t i = 0; i < ndim; ++i) {
        made->shape[i] = shape[i];
        fits = fits && rbc__mul_size(made->num_channels, shape[i], &made->num_channels);
    }
    made->channels = fits ? calloc((size_t)made->num_channels + 1, sizeof *made->channels) : NULL;
    if (made->stream == NULL || made->channels == NULL) {
        rbc_statistics_destroy(out);
        return out_of_memory(err);
    }
    return RBC_OK;
}

void rbc_statistics_destroy(rbc_statistics **handle) {
    rbc_statistics *statistics = *handle;
    *handle = NULL;
    if (statistics == NULL) {
        return;
    }
    for (int64_t c = 0; statistics->channels != NULL && c < statistics->num_channels; ++c) {
        rbc__ranked_free(&statistics->channels[c].ranked);
    }
    free(statistics->channels);
    free(statistics->problem);
    free(statistics->stream);
    free(statistics);
}

void rbc_statistics_get_info(const rbc_statistics *statistics, rbc_statistics_info *out) {
    *out = (rbc_statistics_info){
        .stream = statistics->stream,
        .dtype = rbc__dtype_to_dlpack(statistics->dtype),
        .ndim = statistics->ndim,
        .num_channels = statistics->num_channels,
        .num_samples = statistics->num_samples,
        .num_episodes = statistics->num_episodes,
        .num_skipped = statistics->num_skipped,
        .problem = statistics->problem,
        .has_quantiles = statistics->is_ranked,
        .is_image = statistics->is_image,
    };
    for (int32_t i = 0; i < statistics->ndim; ++i) {
        out->shape[i] = statistics->shape[i];
    }
    for (int64_t c = 0; c < statistics->num_channels; ++c) {
        const double error = statistics->channels[c].ranked.error;
        out->rank_error = error > out->rank_error ? error : out->rank_error;
    }
}

static rbc_status find_channel(const rbc_statistics *statistics, int64_t channel,
                               const rbc__statistics_channel **out, rbc_error *err) {
    if (channel < 0 || channel >= statistics->num_channels) {
        return rbc__fail(err, RBC_ERROR_NOT_FOUND,
                         "statistics of stream '%s': channel %lld found, wanted 0 to %lld",
                         statistics->stream, (long long)channel,
                         (long long)statistics->num_channels - 1);
    }
    *out = &statistics->channels[channel];
    return RBC_OK;
}

rbc_status rbc_statistics_channel_get(const rbc_statistics *statistics, int64_t channel,
                                      rbc_statistics_channel *out, rbc_error *err) {
    const rbc__statistics_channel *found = NULL;
    RBC__TRY(find_channel(statistics, channel, &found, err));
    const rbc__moments *moments = &found->moments;
    const bool has_any = moments->count > 0;
    const bool is_constant = has_any && moments->min == moments->max;
    const double variance = moments->squares > 0 ? moments->squares / (double)moments->count : 0;
    *out = (rbc_statistics_channel){
        .count = moments->count,
        .num_nan = moments->num_nan,
        .num_positive_infinite = moments->num_positive_infinite,
        .num_negative_infinite = moments->num_negative_infinite,
        .mean = is_constant ? moments->min
                : has_any   ? moments->mean
                            : (double)NAN,
        .std = is_constant ? 0
               : has_any   ? sqrt(variance)
                           : (double)NAN,
        .min = has_any ? moments->min : (double)NAN,
        .max = has_any ? moments->max : (double)NAN,
    };
    return RBC_OK;
}

rbc_status rbc_statistics_quantile(const rbc_statistics *statistics, int64_t channel, double q,
                                   double *out, rbc_error *err) {
    const rbc__statistics_channel *found = NULL;
    RBC__TRY(find_channel(statistics, channel, &found, err));
    if (!(q >= 0 && q <= 1)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "quantile: found %g, wanted 0 to 1", q);
    }
    const int64_t count = found->moments.count;
    *out = (double)NAN;
    if (count == 0 || found->ranked.num_values == 0) {
        return RBC_OK;
    }
    const double at = q * (double)(count - 1);
    const int64_t rank = (int64_t)floor(at);
    const double share = at - (double)rank;
    const double low = rank == 0 ? found->moments.min : rbc__ranked_at(&found->ranked, rank);
    const double high =
        rank + 1 >= count - 1 ? found->moments.max : rbc__ranked_at(&found->ranked, rank + 1);
    if (rank >= count - 1) {
        *out = found->moments.max;
        return RBC_OK;
    }
    /* from the nearer end, as NumPy does, so that both ends are met */
    *out = share < 0.5 ? low + (high - low) * share : high - (high - low) * (1 - share);
    return RBC_OK;
}

/* ---- merging ---- */

static rbc_status check_alike(const rbc_statistics *a, const rbc_statistics *b, int64_t index,
                              rbc_error *err) {
    bool same = a->dtype == b->dtype && a->ndim == b->ndim && a->is_ranked == b->is_ranked;
    for (int32_t i = 0; same && i < a->ndim; ++i) {
        same = a->shape[i] == b->shape[i];
    }
    if (same) {
        return RBC_OK;
    }
    char mine[256];
    char theirs[256];
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "merge: part %lld is of stream '%s', %s %s, part 0 of '%s', %s %s; wanted one "
                     "dtype and shape",
                     (long long)index, b->stream, rbc__dtype_name(b->dtype),
                     rbc__format_shape(theirs, sizeof theirs, b->ndim, b->shape), a->stream,
                     rbc__dtype_name(a->dtype),
                     rbc__format_shape(mine, sizeof mine, a->ndim, a->shape));
}

static rbc_status merge_channels(const rbc_statistics *const *parts, int64_t num_parts,
                                 rbc_statistics *into, rbc_error *err) {
    const rbc__ranked **lists = calloc((size_t)num_parts, sizeof(rbc__ranked *));
    rbc_status status = lists != NULL ? RBC_OK : out_of_memory(err);
    for (int64_t c = 0; status == RBC_OK && c < into->num_channels; ++c) {
        for (int64_t p = 0; p < num_parts; ++p) {
            lists[p] = &parts[p]->channels[c].ranked;
            rbc__moments_merge(&into->channels[c].moments, &parts[p]->channels[c].moments);
        }
        if (into->is_ranked) {
            status = rbc__ranked_merge(lists, num_parts, &into->channels[c].ranked, err);
        }
    }
    free((void *)lists);
    return status;
}

rbc_status rbc_statistics_merge(const rbc_statistics *const *parts, int64_t num_parts,
                                rbc_statistics **out, rbc_error *err) {
    *out = NULL;
    if (num_parts < 1) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "merge: found no parts");
    }
    const rbc_statistics *first = parts[0];
    RBC__TRY(rbc__statistics_create(first->stream, first->dtype, first->ndim, first->shape,
                                    first->is_ranked, out, err));
    (*out)->is_image = first->is_image;
    rbc_status status = RBC_OK;
    for (int64_t p = 0; p < num_parts && status == RBC_OK; ++p) {
        status = check_alike(first, parts[p], p, err);
        (*out)->num_samples += parts[p]->num_samples;
        (*out)->num_episodes += parts[p]->num_episodes;
        (*out)->num_skipped += parts[p]->num_skipped;
        if ((*out)->problem == NULL && parts[p]->problem != NULL) {
            (*out)->problem = strdup(parts[p]->problem);
        }
    }
    if (status == RBC_OK) {
        status = merge_channels(parts, num_parts, *out, err);
    }
    if (status != RBC_OK) {
        rbc_statistics_destroy(out);
    }
    return status;
}

/* ---- as bytes ---- */

static void put_double(rbc__bytes *out, double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    rbc__bytes_fixed(out, bits, 8);
}

static void put_text(rbc__bytes *out, const char *text) {
    const size_t bytes = text != NULL ? strlen(text) : 0;
    rbc__bytes_varint(out, bytes);
    rbc__bytes_append(out, text != NULL ? text : "", bytes);
}

static void put_channel(rbc__bytes *out, const rbc__statistics_channel *channel) {
    const rbc__moments *moments = &channel->moments;
    rbc__bytes_varint(out, (uint64_t)moments->count);
    rbc__bytes_varint(out, (uint64_t)moments->num_nan);
    rbc__bytes_varint(out, (uint64_t)moments->num_positive_infinite);
    rbc__bytes_varint(out, (uint64_t)moments->num_negative_infinite);
    put_double(out, moments->mean);
    put_double(out, moments->squares);
    put_double(out, moments->min);
    put_double(out, moments->max);
    put_double(out, channel->ranked.error);
    rbc__bytes_varint(out, (uint64_t)channel->ranked.num_values);
    int64_t before = 0;
    for (int64_t i = 0; i < channel->ranked.num_values; ++i) {
        put_double(out, channel->ranked.values[i]);
        rbc__bytes_varint(out, (uint64_t)(channel->ranked.up_to[i] - before));
        before = channel->ranked.up_to[i];
    }
}

void rbc__statistics_encode(const rbc_statistics *statistics, const rbc__statistics_key *key,
                            rbc__bytes *out) {
    rbc__bytes body = {0};
    put_text(&body, statistics->stream);
    rbc__bytes_byte(&body, (uint8_t)statistics->dtype);
    rbc__bytes_byte(&body, (uint8_t)statistics->ndim);
    for (int32_t i = 0; i < statistics->ndim; ++i) {
        rbc__bytes_varint(&body, (uint64_t)statistics->shape[i]);
    }
    rbc__bytes_byte(&body, statistics->is_ranked);
    rbc__bytes_byte(&body, statistics->is_image);
    rbc__bytes_varint(&body, (uint64_t)statistics->num_samples);
    rbc__bytes_varint(&body, (uint64_t)statistics->num_episodes);
    rbc__bytes_varint(&body, (uint64_t)statistics->num_skipped);
    put_text(&body, statistics->problem);
    for (int64_t c = 0; c < statistics->num_channels; ++c) {
        put_channel(&body, &statistics->channels[c]);
    }
    rbc__bytes_append(out, magic, sizeof magic);
    rbc__bytes_fixed(out, key->low, 8);
    rbc__bytes_fixed(out, key->high, 8);
    rbc__bytes_fixed(
        out, crc64_ecma_refl(0, body.data != NULL ? body.data : (const uint8_t *)"", body.size), 8);
    rbc__bytes_append(out, body.data, body.size);
    out->failed = out->failed || body.failed;
    rbc__bytes_free(&body);
}

/* Reads on while what it reads is there. */
typedef struct reader {
    const uint8_t *data;
    uint64_t at, end;
    bool failed; /* it is none of ours */
    bool has_no_memory;
} reader;

static uint64_t get_fixed(reader *from, unsigned width) {
    if (from->failed || from->end - from->at < width) {
        from->failed = true;
        return 0;
    }
    uint64_t value = 0;
    for (unsigned i = 0; i < width; ++i) {
        value |= (uint64_t)from->data[from->at++] << (8 * i);
    }
    return value;
}

static double get_double(reader *from) {
    const uint64_t bits = get_fixed(from, 8);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* A number from 0 to `most`. */
static int64_t get_number(reader *from, int64_t most) {
    uint64_t value = 0;
    if (from->failed || !rbc__varint_read(from->data, from->end, &from->at, &value) ||
        value > (uint64_t)most) {
        from->failed = true;
        return 0;
    }
    return (int64_t)value;
}

static char *get_text(reader *from) {
    const int64_t bytes = get_number(from, (int64_t)MAX_NAME_BYTES);
    if (from->failed || from->end - from->at < (uint64_t)bytes) {
        from->failed = true;
        return NULL;
    }
    char *text = strndup((const char *)from->data + from->at, (size_t)bytes);
    from->has_no_memory = from->has_no_memory || text == NULL;
    from->at += (uint64_t)bytes;
    return text;
}

static rbc_status get_ranked(reader *from, int64_t count, rbc__ranked *out, rbc_error *err) {
    out->error = get_double(from);
    const int64_t num_values = get_number(from, RBC__RANKS_KEPT);
    out->values = malloc((size_t)(num_values + 1) * sizeof *out->values);
    out->up_to = malloc((size_t)(num_values + 1) * sizeof *out->up_to);
    if (out->values == NULL || out->up_to == NULL) {
        return out_of_memory(err);
    }
    int64_t all = 0;
    for (int64_t i = 0; i < num_values && !from->failed; ++i) {
        const double value = get_double(from);
        all += get_number(from, count - all);
        from->failed = from->failed || !isfinite(value) ||
                       (i > 0 && (value <= out->values[i - 1] || all <= out->up_to[i - 1]));
        out->values[i] = value;
        out->up_to[i] = all;
        ++out->num_values;
    }
    from->failed =
        from->failed || (num_values > 0 && all != count) || !(out->error >= 0 && out->error <= 1);
    return RBC_OK;
}

static rbc_status get_channel(reader *from, rbc__statistics_channel *out, rbc_error *err) {
    rbc__moments *moments = &out->moments;
    moments->count = get_number(from, MAX_COUNT);
    moments->num_nan = get_number(from, MAX_COUNT);
    moments->num_positive_infinite = get_number(from, MAX_COUNT);
    moments->num_negative_infinite = get_number(from, MAX_COUNT);
    moments->mean = get_double(from);
    moments->squares = get_double(from);
    moments->min = get_double(from);
    moments->max = get_double(from);
    from->failed = from->failed || !(moments->squares >= 0 || moments->count == 0);
    return from->failed ? RBC_OK : get_ranked(from, moments->count, &out->ranked, err);
}

static rbc_status get_all(reader *from, rbc_statistics **out, rbc_error *err) {
    char *stream = get_text(from);
    const uint64_t dtype = get_fixed(from, 1);
    const uint64_t ndim = get_fixed(from, 1);
    int64_t shape[RBC_STREAM_MAX_DIMS] = {0};
    int64_t channels = 1;
    from->failed = from->failed || dtype >= RBC__NUM_DTYPES || ndim > RBC_STREAM_MAX_DIMS;
    for (uint64_t i = 0; i < ndim && !from->failed; ++i) {
        shape[i] = get_number(from, INT32_MAX);
        from->failed = from->failed || !rbc__mul_size(channels, shape[i], &channels);
    }
    from->failed = from->failed || (uint64_t)channels > from->end; /* each takes some bytes */
    const bool is_ranked = get_fixed(from, 1) != 0;
    const bool is_image = get_fixed(from, 1) != 0;
    if (from->failed || from->has_no_memory) {
        free(stream);
        return from->failed ? RBC_OK : out_of_memory(err);
    }
    rbc_status status = rbc__statistics_create(stream, (rbc__dtype)dtype, (int32_t)ndim, shape,
                                               is_ranked, out, err);
    free(stream);
    RBC__TRY(status);
    rbc_statistics *made = *out;
    made->is_image = is_image;
    made->num_samples = get_number(from, MAX_COUNT);
    made->num_episodes = get_number(from, MAX_COUNT);
    made->num_skipped = get_number(from, MAX_COUNT);
    made->problem = get_text(from);
    if (made->problem != NULL && made->problem[0] == '\0') {
        free(made->problem);
        made->problem = NULL;
    }
    for (int64_t c = 0; c < made->num_channels && status == RBC_OK && !from->failed; ++c) {
        status = get_channel(from, &made->channels[c], err);
    }
    from->failed = from->failed || from->at != from->end;
    return status == RBC_OK && from->has_no_memory ? out_of_memory(err) : status;
}

rbc_status rbc__statistics_decode(const uint8_t *data, size_t bytes, const rbc__statistics_key *key,
                                  const char *name, rbc_statistics **out, rbc_error *err) {
    *out = NULL;
    reader from = {.data = data, .at = sizeof magic, .end = bytes};
    from.failed = bytes < HEADER_BYTES || memcmp(data, magic, sizeof magic) != 0;
    const uint64_t low = get_fixed(&from, 8);
    const uint64_t high = get_fixed(&from, 8);
    const uint64_t checksum = get_fixed(&from, 8);
    from.failed = from.failed || (key != NULL && (key->low != low || key->high != high)) ||
                  checksum != crc64_ecma_refl(0, data + from.at, bytes - from.at);
    rbc_status status = from.failed ? RBC_OK : get_all(&from, out, err);
    if (status == RBC_OK && from.failed) {
        status = rbc__fail(err, RBC_ERROR_FORMAT,
                           "%s: byte %llu: found what is no statistics of this data, or damaged",
                           name, (unsigned long long)from.at);
    }
    if (status != RBC_OK) {
        rbc_statistics_destroy(out);
    }
    return status;
}

rbc_status rbc_statistics_save(const rbc_statistics *statistics, void **data, uint64_t *bytes,
                               rbc_error *err) {
    const rbc__statistics_key none = {0};
    rbc__bytes out = {0};
    rbc__statistics_encode(statistics, &none, &out);
    *data = NULL;
    *bytes = 0;
    const rbc_status status = rbc__bytes_check(&out, err);
    if (status != RBC_OK) {
        rbc__bytes_free(&out);
        return status;
    }
    *data = out.data;
    *bytes = out.size;
    return RBC_OK;
}

rbc_status rbc_statistics_load(const void *data, uint64_t bytes, rbc_statistics **out,
                               rbc_error *err) {
    return rbc__statistics_decode(data, (size_t)bytes, NULL, "statistics", out, err);
}
