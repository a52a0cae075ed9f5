#include "loader/vector.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/half.h"
#include "layout/values.h"

/* Numbers that are computed with in one go. */
#define BLOCK 256

static rbc_status copy_numbers(const rbc_window *window, const char *name, const double *numbers,
                               int64_t count, double **out, rbc_error *err) {
    *out = NULL;
    if (numbers == NULL) {
        return RBC_OK;
    }
    for (int64_t i = 0; i < count; ++i) {
        if (!isfinite(numbers[i])) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "stream '%s': %s[%lld]: found %g, wanted a finite number",
                             window->stream, name, (long long)i, numbers[i]);
        }
    }
    *out = malloc((size_t)count * sizeof **out + 1);
    if (*out == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for the windows of a batch");
    }
    memcpy(*out, numbers, (size_t)count * sizeof **out);
    return RBC_OK;
}

static bool has_numbers(const rbc__used_stream *used, const rbc__window_spec *window) {
    return !rbc__window_takes_samples(window, used);
}

static rbc_status check_numbers(const rbc_window *window, const rbc__used_stream *used,
                                const rbc__window_spec *out, rbc_error *err) {
    const char *what = window->vector != RBC_VECTOR_NONE ? "is of a vector"
                       : window->scale != NULL           ? "has a scale"
                                                         : "has an offset";
    if (has_numbers(used, out)) {
        return RBC_OK;
    }
    return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                     "stream '%s': %s, but holds %s; wanted numbers%s", window->stream, what,
                     used->schema->kind == RBC_STREAM_TEXT                         ? "text"
                     : used->schema->kind == RBC_STREAM_IMAGE || out->made != NULL ? "images"
                     : out->voxels != NULL                                         ? "clouds"
                                           : "rows of any length",
                     used->schema->kind == RBC_STREAM_IMAGE || out->made != NULL
                         ? ", for images see rbc_image_params"
                         : "");
}

rbc_status rbc__vector_set(const rbc_window *window, const rbc__used_stream *used,
                           rbc__window_spec *out, rbc_error *err) {
    if (window->vector < RBC_VECTOR_NONE || window->vector > RBC_VECTOR_JOINS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "stream '%s': vector %d is no rbc_vector",
                         window->stream, window->vector);
    }
    out->is_vector = window->vector != RBC_VECTOR_NONE;
    out->pad_to = window->pad_to;
    if (window->pad_to < 0 || (window->pad_to > 0 && window->vector != RBC_VECTOR_BEGINS)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': pad_to is %lld; wanted at least 0, and 0 but where a vector "
                         "begins",
                         window->stream, (long long)window->pad_to);
    }
    if (out->is_vector || window->scale != NULL || window->offset != NULL) {
        RBC__TRY(check_numbers(window, used, out, err));
    }
    RBC__TRY(copy_numbers(window, "scale", window->scale, out->num_channels, &out->scale, err));
    RBC__TRY(copy_numbers(window, "offset", window->offset, out->num_channels, &out->offset, err));
    if ((out->scale != NULL || out->offset != NULL) && !rbc__dtype_is_float(out->dtype)) {
        out->dtype = RBC__F32;
    }
    return RBC_OK;
}

/* ---- vectors ------------------------------------------------------------------------------------
 */

static bool is_signed(rbc__dtype dtype) {
    return dtype == RBC__I8 || dtype == RBC__I16 || dtype == RBC__I32 || dtype == RBC__I64;
}

/* The smaller of two that is no smaller than a number. */
static rbc__dtype signed_of(int64_t bytes) {
    return bytes <= 2 ? RBC__I16 : bytes == 4 ? RBC__I32 : RBC__I64;
}

/* The dtype that numbers of both become; false: none. */
static bool join_dtypes(rbc__dtype a, rbc__dtype b, rbc__dtype *out) {
    const int64_t a_bytes = rbc__dtype_bytes(a);
    const int64_t b_bytes = rbc__dtype_bytes(b);
    if (rbc__dtype_is_float(a) && rbc__dtype_is_float(b)) {
        *out = a == b ? a : a_bytes == b_bytes ? RBC__F32 : a_bytes > b_bytes ? a : b;
    } else if (rbc__dtype_is_float(a) || rbc__dtype_is_float(b)) {
        *out = rbc__dtype_is_float(a) ? a : b;
    } else if (a == RBC__BOOL || b == RBC__BOOL) {
        *out = a == RBC__BOOL ? b : a;
    } else if (is_signed(a) == is_signed(b)) {
        *out = a_bytes >= b_bytes ? a : b;
    } else {
        const int64_t s_bytes = is_signed(a) ? a_bytes : b_bytes;
        const int64_t u_bytes = is_signed(a) ? b_bytes : a_bytes;
        if (u_bytes == 8) {
            return false;
        }
        *out = signed_of(2 * u_bytes > s_bytes ? 2 * u_bytes : s_bytes);
    }
    return true;
}

static const char *name_of(const rbc__batch_spec *spec, const rbc__window_spec *window) {
    return spec->used[window->stream_at].schema->name;
}

static bool same_targets(const rbc__window_spec *a, const rbc__window_spec *b) {
    return a->width == b->width && a->outside == b->outside && a->is_future == b->is_future &&
           memcmp(&a->future, &b->future, sizeof a->future) == 0 &&
           memcmp(a->ticks, b->ticks, (size_t)a->width * sizeof *a->ticks) == 0 &&
           memcmp(a->offsets_ns, b->offsets_ns, (size_t)a->width * sizeof *a->offsets_ns) == 0;
}

/* Window `at` goes on with the vector that begins at `head`. */
static rbc_status join(rbc__batch_spec *spec, int32_t head, int32_t at, rbc_error *err) {
    rbc__window_spec *first = &spec->windows[head];
    const rbc__window_spec *window = &spec->windows[at];
    if (!first->is_vector) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' joins the window of stream '%s', which begins no vector",
                         name_of(spec, window), name_of(spec, first));
    }
    if (!same_targets(first, window)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' joins the window of stream '%s', but has other ticks or "
                         "another outside",
                         name_of(spec, window), name_of(spec, first));
    }
    if (!join_dtypes(first->dtype, window->dtype, &first->dtype)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "streams '%s' and '%s' make one vector, but no integer dtype holds both "
                         "%s and %s: a scale, of 1 too, makes floats of one of them",
                         name_of(spec, first), name_of(spec, window), rbc__dtype_name(first->dtype),
                         rbc__dtype_name(window->dtype));
    }
    if (!rbc__add_size(first->target_channels, window->num_channels, &first->target_channels)) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s' makes a vector too large to address", name_of(spec, window));
    }
    return RBC_OK;
}

/* The vector that begins at window `head`, if one does, gets its padding. */
static rbc_status pad(rbc__batch_spec *spec, int32_t head, rbc_error *err) {
    rbc__window_spec *first = &spec->windows[head];
    if (first->head != head || first->pad_to == 0) {
        return RBC_OK;
    }
    if (first->target_channels > first->pad_to) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "stream '%s': pad_to is %lld; the vector that begins with it has %lld "
                         "elements",
                         name_of(spec, first), (long long)first->pad_to,
                         (long long)first->target_channels);
    }
    rbc__window_spec *last = &spec->windows[head + first->num_parts - 1];
    last->tail_bytes = (first->pad_to - first->target_channels) * rbc__dtype_bytes(first->dtype);
    first->target_channels = first->pad_to;
    return RBC_OK;
}

/* Of what a sample becomes in a target. */
static int64_t part_bytes(const rbc__window_spec *window) {
    return window->num_channels * rbc__dtype_bytes(window->dtype);
}

rbc_status rbc__vectors_join(rbc__batch_spec *spec, const rbc_window *windows, rbc_error *err) {
    int32_t head = 0;
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc_window window;
        RBC__TRY(rbc__window_at(windows, i, &window, err));
        rbc__window_spec *out = &spec->windows[i];
        if (window.vector != RBC_VECTOR_JOINS) {
            head = i;
        } else if (i == 0) {
            return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                             "stream '%s' joins a vector, but there is no window before it",
                             window.stream);
        } else {
            RBC__TRY(join(spec, head, i, err));
        }
        out->head = head;
        spec->windows[head].num_parts += 1;
    }
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        RBC__TRY(pad(spec, i, err));
    }
    for (int32_t i = 0; i < spec->num_windows; ++i) {
        rbc__window_spec *window = &spec->windows[i];
        const rbc__window_spec *first = &spec->windows[window->head];
        const rbc__used_stream *used = &spec->used[window->stream_at];
        window->num_parts = first->num_parts;
        window->dtype = first->dtype;
        window->is_plain =
            !has_numbers(used, window) || (window->num_parts == 1 && window->scale == NULL &&
                                           window->offset == NULL && window->pad_to == 0);
        if (window->head < i) {
            window->begin_bytes =
                spec->windows[i - 1].begin_bytes + part_bytes(&spec->windows[i - 1]);
        }
    }
    return RBC_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------
 */

int64_t rbc__vector_stored_bytes(const rbc__window_spec *window) {
    return window->num_channels * rbc__dtype_bytes(window->stored);
}

/* Integers of a dtype that holds those of the stored one. */
static void put_integers(const rbc__window_spec *window, const uint8_t *sample, uint8_t *dst) {
    const size_t from = (size_t)rbc__dtype_bytes(window->stored);
    const size_t to = (size_t)rbc__dtype_bytes(window->dtype);
    for (int64_t i = 0; i < window->num_channels; ++i) {
        uint64_t bits = 0; /* little endian */
        memcpy(&bits, sample + (size_t)i * from, from);
        if (is_signed(window->stored) && from < 8 && (bits >> (8 * from - 1) & 1) != 0) {
            bits |= UINT64_MAX << (8 * from);
        }
        memcpy(dst + (size_t)i * to, &bits, to);
    }
}

static void narrow(const double *values, int64_t count, rbc__dtype dtype, uint8_t *dst) {
    if (dtype == RBC__F64) {
        memcpy(dst, values, (size_t)count * sizeof *values);
        return;
    }
    float floats[BLOCK];
    for (int64_t i = 0; i < count; ++i) {
        floats[i] = (float)values[i];
    }
    if (dtype == RBC__F32) {
        memcpy(dst, floats, (size_t)count * sizeof *floats);
        return;
    }
    for (int64_t i = 0; i < count; ++i) {
        const uint16_t half =
            dtype == RBC__F16 ? rbc__f16_of_f32(floats[i]) : rbc__bf16_of_f32(floats[i]);
        memcpy(dst + 2 * i, &half, sizeof half);
    }
}

static void put_floats(const rbc__window_spec *window, const uint8_t *sample, uint8_t *dst) {
    const int64_t from = rbc__dtype_bytes(window->stored);
    const int64_t to = rbc__dtype_bytes(window->dtype);
    double values[BLOCK];
    for (int64_t done = 0; done < window->num_channels; done += BLOCK) {
        const int64_t count =
            window->num_channels - done < BLOCK ? window->num_channels - done : BLOCK;
        rbc__values_widen(sample + done * from, (uint64_t)count, window->stored, values);
        for (int64_t i = 0; window->scale != NULL && i < count; ++i) {
            values[i] *= window->scale[done + i];
        }
        for (int64_t i = 0; window->offset != NULL && i < count; ++i) {
            values[i] += window->offset[done + i];
        }
        narrow(values, count, window->dtype, dst + done * to);
    }
}

/* The same of float32 with scale and offset, the usual case, in a third of the time. */
static void put_f32(const rbc__window_spec *window, const uint8_t *sample, uint8_t *dst) {
    const float *from = (const float *)(const void *)sample;
    float *to = (float *)(void *)dst;
    for (int64_t i = 0; i < window->num_channels; ++i) {
        to[i] = (float)((double)from[i] * window->scale[i] + window->offset[i]);
    }
}

void rbc__vector_put(const rbc__window_spec *window, const uint8_t *sample, uint8_t *target) {
    uint8_t *dst = target + window->begin_bytes;
    memset(dst + part_bytes(window), 0, (size_t)window->tail_bytes);
    if (sample == NULL) {
        memset(dst, 0, (size_t)part_bytes(window));
    } else if (window->stored == window->dtype && window->scale == NULL && window->offset == NULL) {
        if (sample != dst) {
            memcpy(dst, sample, (size_t)part_bytes(window));
        }
    } else if (window->stored == RBC__F32 && window->dtype == RBC__F32 && window->scale != NULL &&
               window->offset != NULL) {
        put_f32(window, sample, dst);
    } else if (rbc__dtype_is_float(window->dtype)) {
        put_floats(window, sample, dst);
    } else {
        put_integers(window, sample, dst);
    }
}
