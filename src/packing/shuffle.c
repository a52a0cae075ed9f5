/* Byte shuffle: first bytes of all elements, then second bytes, and so on. */
#include <string.h>

#include "packing/method.h"

/* The width is a constant where this is inlined, so that compilers turn the loop into vector shuffles:
 * 7 to 60 GB/s against 4 to 5 of the loop for any width. */
static inline __attribute__((always_inline)) void
interleave(const uint8_t *restrict in, uint8_t *restrict out, size_t count, size_t width) {
    for (size_t i = 0; i < count; ++i) {
        for (size_t j = 0; j < width; ++j) {
            out[i * width + j] = in[j * count + i];
        }
    }
}

/* By runs of elements that stay in the nearest cache while their bytes come in. */
static void interleave_any(const uint8_t *restrict in, uint8_t *restrict out, size_t count,
                           size_t width) {
    enum { RUN = 64 };
    for (size_t begin = 0; begin < count; begin += RUN) {
        const size_t end = count - begin < RUN ? count : begin + RUN;
        for (size_t j = 0; j < width; ++j) {
            for (size_t i = begin; i < end; ++i) {
                out[i * width + j] = in[j * count + i];
            }
        }
    }
}

rbc_status rbc__undo_shuffle(rbc__undoing *undoing, rbc_error *err) {
    (void)err;
    const size_t width = undoing->parameter;
    const size_t count = undoing->in_bytes / width;
    const size_t whole = count * width;
    switch (width) {
    case 2:
        interleave(undoing->in, undoing->out, count, 2);
        break;
    case 4:
        interleave(undoing->in, undoing->out, count, 4);
        break;
    case 8:
        interleave(undoing->in, undoing->out, count, 8);
        break;
    case 16:
        interleave(undoing->in, undoing->out, count, 16);
        break;
    default:
        interleave_any(undoing->in, undoing->out, count, width);
        break;
    }
    if (undoing->in_bytes > whole) {
        memcpy(undoing->out + whole, undoing->in + whole, undoing->in_bytes - whole);
    }
    undoing->out_bytes = undoing->in_bytes;
    return RBC_OK;
}
