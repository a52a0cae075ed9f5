#include <stdint.h>
#include <string.h>

#include "core/error.h"
#include "core/monotonic.h"
#include "io/utf8.h"
#include "loader/fetch.h"

/* A window that reaches further than this many samples per sample taken is read one by one. */
#define SPARSE_FACTOR 4
#define SPARSE_MIN    64

void rbc__deliver_nothing(const rbc__window_spec *window, uint8_t *dst) {
    if (window->outside != RBC_OUTSIDE_NAN) {
        memset(dst, 0, (size_t)window->target_bytes);
        return;
    }
    const uint64_t nan = rbc__dtype_nan(window->dtype); /* in the low bytes: little endian */
    const int64_t step = rbc__dtype_bytes(window->dtype);
    for (int64_t at = 0; at < window->target_bytes; at += step) {
        memcpy(dst + at, &nan, (size_t)step);
    }
}

static rbc_status deliver_numeric(rbc__fetch *fetch, const rbc__row *row,
                                  const rbc__window_spec *window, uint8_t *dst, rbc_error *err) {
    const int64_t *picks = fetch->picks;
    const int64_t width = window->width;
    const int64_t bytes = window->target_bytes;
    if (window->is_consecutive && picks[0] >= 0 && picks[width - 1] == picks[0] + width - 1) {
        return rbc__episode_cache_read(fetch->cache, row->episode, window->stream_at, picks[0],
                                       width, dst, err);
    }
    int64_t first = INT64_MAX;
    int64_t last = -1;
    for (int64_t i = 0; i < width; ++i) {
        if (picks[i] >= 0) {
            first = picks[i] < first ? picks[i] : first;
            last = picks[i] > last ? picks[i] : last;
        }
    }
    const bool is_sparse = row->episode->streams[window->stream_at].values == NULL &&
                           last - first > SPARSE_MIN + SPARSE_FACTOR * width;
    const uint8_t *values = NULL;
    if (last >= 0 && !is_sparse) {
        RBC__TRY(rbc__episode_cache_values(fetch->cache, row->episode, window->stream_at, first,
                                           last - first + 1, &values, err));
    }
    for (int64_t i = 0; i < width; i++, dst += bytes) {
        if (picks[i] < 0) {
            rbc__deliver_nothing(window, dst);
        } else if (is_sparse) {
            RBC__TRY(rbc__episode_cache_read(fetch->cache, row->episode, window->stream_at,
                                             picks[i], 1, dst, err));
        } else {
            memcpy(dst, values + (picks[i] - first) * bytes, (size_t)bytes);
        }
    }
    return RBC_OK;
}

static rbc_status decode(rbc__fetch *fetch, const rbc__row *row, const rbc__window_spec *window,
                         int64_t index, const uint8_t *encoded, uint8_t *dst, rbc_error *err) {
    const rbc__span *span = &fetch->spans[index];
    const int64_t begin = rbc__now_ns();
    const char *stream = fetch->spec->used[window->stream_at].schema->name;
    const rbc_status status =
        rbc__image_decode(fetch->decoder, encoded, span->bytes, stream, &window->image, dst,
                          window->target_bytes / window->image.height, err);
    fetch->stats.decode_ns += rbc__now_ns() - begin;
    ++fetch->stats.images_decoded;
    if (status != RBC_OK) {
        return rbc__fail_within(err, status, "%s: byte %llu: sample %lld",
                                rbc__cached_episode_path(row->episode),
                                (unsigned long long)span->offset, (long long)fetch->picks[index]);
    }
    return RBC_OK;
}

/* The first target that takes the same sample as target `index`. */
static int64_t same_sample_before(const int64_t *picks, int64_t index) {
    int64_t same = 0;
    while (picks[same] != picks[index]) {
        ++same;
    }
    return same;
}

/* Finds the encoded images of the window. Images of neighbouring steps mostly lie side by side:
 * where little else is between them, `whole` is one run of bytes that holds them all. */
static rbc_status locate_images(rbc__fetch *fetch, const rbc__row *row,
                                const rbc__window_spec *window, rbc__span *whole, rbc_error *err) {
    uint64_t begin = UINT64_MAX;
    uint64_t end = 0;
    uint64_t wanted = 0;
    for (int64_t i = 0; i < window->width; ++i) {
        rbc__span *span = &fetch->spans[i];
        *span = (rbc__span){0};
        if (fetch->picks[i] < 0 || same_sample_before(fetch->picks, i) < i) {
            continue;
        }
        RBC__TRY(rbc__episode_cache_locate(fetch->cache, row->episode, window->stream_at,
                                           fetch->picks[i], span, err));
        if (span->bytes > 0) {
            begin = span->offset < begin ? span->offset : begin;
            end = span->offset + span->bytes > end ? span->offset + span->bytes : end;
            wanted += span->bytes;
        }
    }
    *whole = (rbc__span){0};
    if (wanted > 0 && end - begin <= wanted + wanted / 4) {
        *whole = (rbc__span){.offset = begin, .bytes = end - begin};
    }
    return RBC_OK;
}

static rbc_status deliver_images(rbc__fetch *fetch, const rbc__row *row,
                                 const rbc__window_spec *window, uint8_t *dst, uint8_t *valid,
                                 rbc_error *err) {
    const int64_t bytes = window->target_bytes;
    rbc__span whole;
    const uint8_t *encoded = NULL;
    RBC__TRY(locate_images(fetch, row, window, &whole, err));
    RBC__TRY(rbc__episode_cache_view(fetch->cache, row->episode, &whole, &encoded, err));
    for (int64_t i = 0; i < window->width; ++i) {
        const rbc__span *span = &fetch->spans[i];
        const int64_t same = same_sample_before(fetch->picks, i);
        uint8_t *at = dst + i * bytes;
        if (same < i) {
            memcpy(at, dst + same * bytes, (size_t)bytes);
            fetch->has_image[i] = fetch->has_image[same];
        } else if (span->bytes == 0 || bytes == 0) {
            memset(at, 0, (size_t)bytes);
            fetch->has_image[i] = span->bytes > 0;
        } else {
            const uint8_t *image = NULL;
            if (encoded != NULL) {
                image = encoded + (span->offset - whole.offset);
            } else {
                RBC__TRY(rbc__episode_cache_view(fetch->cache, row->episode, span, &image, err));
            }
            RBC__TRY(decode(fetch, row, window, i, image, at, err));
            fetch->has_image[i] = 1;
        }
        valid[i] = valid[i] && fetch->has_image[i];
    }
    return RBC_OK;
}

static rbc_status deliver_text(rbc__fetch *fetch, const rbc__row *row,
                               const rbc__window_spec *window, rbc_error *err) {
    const rbc__field_spec *field = &fetch->spec->fields[window->value_field];
    for (int64_t i = 0; i < window->width; ++i) {
        const uint8_t *text = NULL;
        rbc__span span = {0};
        if (fetch->picks[i] >= 0) {
            RBC__TRY(rbc__episode_cache_locate(fetch->cache, row->episode, window->stream_at,
                                               fetch->picks[i], &span, err));
            RBC__TRY(rbc__episode_cache_view(fetch->cache, row->episode, &span, &text, err));
        }
        uint64_t bad_at = 0;
        if (!rbc__utf8_check(text, span.bytes, &bad_at)) {
            return rbc__fail(
                err, RBC_ERROR_FORMAT, "%s: byte %llu: stream '%s': sample %lld is not UTF-8",
                rbc__cached_episode_path(row->episode), (unsigned long long)(span.offset + bad_at),
                fetch->spec->used[window->stream_at].schema->name, (long long)fetch->picks[i]);
        }
        RBC__TRY(rbc__batch_put_text(row->batch, row->arena, field->text_index,
                                     row->index * field->row_elements + i, text, span.bytes, err));
    }
    return RBC_OK;
}

static rbc_status deliver_clouds(rbc__fetch *fetch, const rbc__row *row,
                                 const rbc__window_spec *window, uint8_t *dst, rbc_error *err) {
    const rbc__used_stream *used = &fetch->spec->used[window->stream_at];
    const int64_t *begins = row->episode->streams[window->stream_at].row_begins;
    uint8_t *lengths =
        rbc__batch_row(row->batch, &fetch->spec->fields[window->lengths_field], row->index);
    for (int64_t i = 0; i < window->width; i++, dst += window->target_bytes) {
        const int64_t step = fetch->picks[i];
        const int64_t points = step < 0 ? 0 : begins[step + 1] - begins[step];
        if (points > window->max_points) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "%s: stream '%s': step %lld has %lld rows, max_points is %lld",
                             rbc__cached_episode_path(row->episode), used->schema->name,
                             (long long)step, (long long)points, (long long)window->max_points);
        }
        const int64_t bytes = points * used->sample_bytes;
        if (points > 0) {
            RBC__TRY(rbc__episode_cache_read(fetch->cache, row->episode, window->stream_at,
                                             begins[step], points, dst, err));
        }
        memset(dst + bytes, 0, (size_t)(window->target_bytes - bytes));
        memcpy(lengths + (size_t)i * sizeof points, &points, sizeof points);
    }
    return RBC_OK;
}

rbc_status rbc__deliver_picks(rbc__fetch *fetch, const rbc__row *row,
                              const rbc__window_spec *window, uint8_t *valid, rbc_error *err) {
    const rbc__used_stream *used = &fetch->spec->used[window->stream_at];
    uint8_t *dst =
        rbc__batch_row(row->batch, &fetch->spec->fields[window->value_field], row->index);
    switch (used->schema->kind) {
    case RBC_STREAM_IMAGE:
        return deliver_images(fetch, row, window, dst, valid, err);
    case RBC_STREAM_TEXT:
        return deliver_text(fetch, row, window, err);
    case RBC_STREAM_NUMERIC:
        break;
    }
    return used->is_cloud ? deliver_clouds(fetch, row, window, dst, err)
                          : deliver_numeric(fetch, row, window, dst, err);
}
