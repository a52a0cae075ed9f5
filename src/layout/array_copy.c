#include "layout/array_copy.h"

#include <string.h>

/* An axis of what is copied: its extent, and bytes between neighbours at both ends. */
typedef struct axis {
    int64_t extent, from_stride, to_stride;
} axis;

/* Runs of `run` bytes along two axes. Inlined with a constant run this is loads and stores. */
__attribute__((always_inline)) static inline void
copy_runs(const axis *outer, const axis *inner, size_t run, const uint8_t *from, uint8_t *to) {
    for (int64_t i = 0; i < outer->extent; ++i) {
        const uint8_t *run_from = from + i * outer->from_stride;
        uint8_t *run_to = to + i * outer->to_stride;
        for (int64_t j = 0; j < inner->extent; ++j) {
            memcpy(run_to, run_from, run);
            run_from += inner->from_stride;
            run_to += inner->to_stride;
        }
    }
}

/* One element again and again, `extent` times. */
static void repeat(const uint8_t *element, size_t element_bytes, int64_t extent, uint8_t *to) {
    if (element_bytes == 1) {
        memset(to, *element, (size_t)extent);
        return;
    }
    const size_t bytes = element_bytes * (size_t)extent;
    memcpy(to, element, element_bytes);
    for (size_t done = element_bytes; done < bytes;) {
        const size_t more = done < bytes - done ? done : bytes - done;
        memcpy(to + done, to, more);
        done += more;
    }
}

static void copy_plane(const axis *outer, const axis *inner, size_t run, const uint8_t *from,
                       uint8_t *to) {
    if (inner->from_stride == 0 && inner->to_stride == (int64_t)run) {
        for (int64_t i = 0; i < outer->extent; ++i) {
            repeat(from, run, inner->extent, to + i * outer->to_stride);
        }
        return;
    }
    switch (run) {
    case 1:
        copy_runs(outer, inner, 1, from, to);
        break;
    case 2:
        copy_runs(outer, inner, 2, from, to);
        break;
    case 3:
        copy_runs(outer, inner, 3, from, to);
        break;
    case 4:
        copy_runs(outer, inner, 4, from, to);
        break;
    case 8:
        copy_runs(outer, inner, 8, from, to);
        break;
    case 16:
        copy_runs(outer, inner, 16, from, to);
        break;
    default:
        copy_runs(outer, inner, run, from, to);
    }
}

/* Copies elements along `num_axes` axes, outermost first, none of them empty. */
static void copy_box(const axis *axes, int32_t num_axes, int64_t element_bytes, const uint8_t *from,
                     uint8_t *to) {
    /* Innermost first, without axes of extent 1, and neighbours that are one made one. */
    axis merged[RBC__ARRAY_MAX_DIMS + 2];
    int32_t count = 0;
    int64_t run = element_bytes;
    for (int32_t i = num_axes - 1; i >= 0; --i) {
        const axis *next = &axes[i];
        axis *last = count > 0 ? &merged[count - 1] : NULL;
        if (next->extent == 1) {
            continue;
        }
        if (last == NULL && next->from_stride == run && next->to_stride == run) {
            run *= next->extent;
        } else if (last != NULL && next->from_stride == last->from_stride * last->extent &&
                   next->to_stride == last->to_stride * last->extent) {
            last->extent *= next->extent;
        } else {
            merged[count++] = *next;
        }
    }
    while (count < 2) {
        merged[count++] = (axis){1, 0, 0};
    }
    int64_t at[RBC__ARRAY_MAX_DIMS + 2] = {0};
    for (;;) {
        copy_plane(&merged[1], &merged[0], (size_t)run, from, to);
        int32_t i = 2;
        for (; i < count; ++i) {
            from += merged[i].from_stride;
            to += merged[i].to_stride;
            if (++at[i] < merged[i].extent) {
                break;
            }
            from -= merged[i].from_stride * merged[i].extent;
            to -= merged[i].to_stride * merged[i].extent;
            at[i] = 0;
        }
        if (i == count) {
            return;
        }
    }
}

/* The axes of what a chunk has of the rows; moves `to` there. */
static void find_axes(const rbc__array *array, int64_t index, int64_t first, int64_t count,
                      axis axes[RBC__ARRAY_MAX_DIMS], rbc__array_piece *piece, uint8_t **to) {
    *piece = rbc__array_piece_of(array, index, first, count);
    *to += (piece->first - first) * array->row_bytes;
    axes[0] = (axis){piece->count, array->chunk_stride[0], array->stride[0]};
    for (int32_t i = array->ndim - 1; i > 0; --i) {
        const int64_t begin = index % array->grid[i] * array->chunk_shape[i];
        const int64_t rest = array->shape[i] - begin;
        index /= array->grid[i];
        axes[i] = (axis){rest < array->chunk_shape[i] ? rest : array->chunk_shape[i],
                         array->chunk_stride[i], array->stride[i]};
        *to += begin * array->stride[i];
    }
}

void rbc__array_copy(const rbc__array *array, int64_t index, int64_t first, int64_t count,
                     const uint8_t *piece, uint8_t *rows) {
    axis axes[RBC__ARRAY_MAX_DIMS];
    rbc__array_piece of;
    find_axes(array, index, first, count, axes, &of, &rows);
    if (array->outermost != 0) { /* the piece is the whole chunk */
        piece += of.first % array->chunk_shape[0] * array->chunk_stride[0];
    }
    copy_box(axes, array->ndim, array->element_bytes, piece, rows);
}

void rbc__array_fill(const rbc__array *array, int64_t index, int64_t first, int64_t count,
                     uint8_t *rows) {
    static const uint8_t zero = 0;
    axis axes[RBC__ARRAY_MAX_DIMS + 1];
    rbc__array_piece of;
    find_axes(array, index, first, count, axes, &of, &rows);
    for (int32_t i = 0; i < array->ndim; ++i) {
        axes[i].from_stride = 0;
    }
    if (array->fill != NULL) {
        copy_box(axes, array->ndim, array->element_bytes, array->fill, rows);
        return;
    }
    axes[array->ndim] = (axis){array->element_bytes, 0, 1};
    copy_box(axes, array->ndim + 1, 1, &zero, rows);
}
