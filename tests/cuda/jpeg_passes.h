/* The passes of the JPEG kernels, one after the other on the host, with their own arithmetic. */
#ifndef RBC_TESTS_CUDA_JPEG_PASSES_H
#define RBC_TESTS_CUDA_JPEG_PASSES_H

#include <stdbool.h>
#include <stdint.h>

typedef enum jpeg_passes_result {
    JPEG_PASSES_OTHER = 0,   /* not for the kernels: libjpeg-turbo decodes it */
    JPEG_PASSES_DAMAGED = 1, /* refused */
    JPEG_PASSES_WHOLE = 2,   /* `out` holds its pixels */
} jpeg_passes_result;

/* Decodes one image into rows without gaps. Aborts without memory. */
jpeg_passes_result jpeg_passes_decode(const uint8_t *bytes, uint64_t num_bytes, uint32_t channels,
                                      bool is_fast, uint8_t *out);

#endif
