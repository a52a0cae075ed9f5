/* What the survey kernel finds of a stream, found on the host. */
#ifndef RBC_TESTS_CUDA_JPEG_SURVEY_H
#define RBC_TESTS_CUDA_JPEG_SURVEY_H

#include "codec/jpeg_header.h"

typedef struct jpeg_survey_result {
    rbc__jpeg_digest digest; /* borrows the stream */
    uint32_t *counts;
    uint32_t (*markers)[RBC__JPEG_CHUNK_MARKERS];
} jpeg_survey_result;

/* Of a stream that begins `skew` bytes, below 16, behind where a chunk would; `alike` is 0. Aborts
 * without memory. */
jpeg_survey_result jpeg_survey_run(const uint8_t *bytes, uint32_t num_bytes, uint32_t skew);

/* As how many bytes the second begins with the first does. */
uint32_t jpeg_survey_compare(const jpeg_survey_result *first, const jpeg_survey_result *second);

void jpeg_survey_free(jpeg_survey_result *survey);

#endif
