#include "jpeg_survey.h"

#include <stdlib.h>

#include "cuda/jpeg/jpeg_params.h"

jpeg_survey_result jpeg_survey_run(const uint8_t *bytes, uint32_t num_bytes, uint32_t skew) {
    const size_t chunks = (size_t)rbc__jpeg_num_chunks(num_bytes, skew);
    jpeg_survey_result s = {
        .counts = calloc(chunks + 1, sizeof *s.counts),
        .markers = calloc(chunks + 1, sizeof *s.markers),
    };
    if (s.counts == NULL || s.markers == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < num_bytes; ++i) {
        const uint32_t chunk = (i + skew) / RBC__JPEG_PIECE_BYTES;
        s.counts[chunk] += i > 0 && bytes[i] == 0 && bytes[i - 1] == 0xFF;
        if (bytes[i] == 0xFF && i + 1 < num_bytes && bytes[i + 1] != 0) {
            const uint32_t number = s.counts[chunk] >> 16;
            if (number < RBC__JPEG_CHUNK_MARKERS) {
                s.markers[chunk][number] = (i + skew) % RBC__JPEG_PIECE_BYTES << 20 |
                                           (s.counts[chunk] & 0xFFFF) << 8 | bytes[i + 1];
            }
            s.counts[chunk] += 1U << 16;
        }
    }
    const uint32_t head = JPEG_HEAD_BYTES - skew;
    s.digest = (rbc__jpeg_digest){
        .head = bytes,
        .head_bytes = num_bytes < head ? num_bytes : head,
        .skew = skew,
        .counts = s.counts,
        .markers = (const uint32_t(*)[RBC__JPEG_CHUNK_MARKERS])s.markers,
    };
    return s;
}

uint32_t jpeg_survey_compare(const jpeg_survey_result *first, const jpeg_survey_result *second) {
    const rbc__jpeg_digest *a = &first->digest;
    const rbc__jpeg_digest *b = &second->digest;
    uint32_t alike = 0;
    while (alike < JPEG_ALIKE_BYTES && alike < a->head_bytes && alike < b->head_bytes &&
           a->head[alike] == b->head[alike]) {
        ++alike;
    }
    return alike;
}

void jpeg_survey_free(jpeg_survey_result *survey) {
    free(survey->counts);
    free(survey->markers);
}
