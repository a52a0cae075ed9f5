/* Fuzzes the walk over a JPEG's markers, of any bytes: what it finds lies in the stream, and the
 * pieces of a segment are its bytes and no others. The walk over what a device tells of a stream finds
 * the same, or nothing. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "codec/jpeg_header.h"
#include "jpeg_survey.h"

static void check_segment(const rbc__jpeg_header *h, const rbc__jpeg_segment *s,
                          const uint8_t *bytes, size_t size) {
    fuzz_require(s->begin < size && s->bytes > 0 && s->bytes <= size - s->begin &&
                 s->num_pieces > 0 && s->first_piece <= h->num_pieces &&
                 s->num_pieces <= h->num_pieces - s->first_piece);
    uint32_t at = s->begin;
    uint32_t data = 0;
    for (uint32_t i = 0; i < s->num_pieces; ++i) {
        const rbc__jpeg_piece *piece = &h->pieces[s->first_piece + i];
        fuzz_require(piece->begin == at && piece->at == data && piece->bytes > 0 &&
                     piece->bytes <= RBC__JPEG_PIECE_BYTES);
        for (const uint32_t end = at + piece->bytes; at < end; ++at) {
            data += !(at > s->begin && bytes[at] == 0 && bytes[at - 1] == 0xFF);
        }
    }
    fuzz_require(at == s->begin + s->bytes && data == s->data_bytes);
}

static void check_scan(const rbc__jpeg_header *h, const rbc__jpeg_scan *scan, const uint8_t *bytes,
                       size_t size) {
    fuzz_require(scan->num_components >= 1 && scan->num_components <= h->num_components &&
                 scan->mcu_blocks >= 1 && scan->mcu_blocks <= RBC__JPEG_MAX_MCU_BLOCKS &&
                 scan->mcus_per_row >= 1 && scan->mcu_rows >= 1);
    for (uint32_t i = 0; i < scan->num_components; ++i) {
        const uint32_t tables[] = {scan->dc_at[i], scan->ac_at[i]};
        for (int t = 0; t < 2; ++t) {
            uint32_t symbols = 0;
            fuzz_require(tables[t] + 16 <= size);
            for (uint32_t k = 0; k < 16; ++k) {
                symbols += bytes[tables[t] + k];
            }
            fuzz_require(tables[t] + 16 + symbols <= size);
        }
        fuzz_require(scan->component[i] < h->num_components);
        const rbc__jpeg_component *c = &h->components[scan->component[i]];
        fuzz_require(c->quant_at + (c->quant_is_u16 ? 128U : 64U) <= size && c->width >= 1 &&
                     c->height >= 1);
    }
    fuzz_require(scan->num_segments >= 1 && scan->first_segment <= h->num_segments &&
                 scan->num_segments <= h->num_segments - scan->first_segment);
    for (uint32_t i = 0; i < scan->num_segments; ++i) {
        check_segment(h, &h->segments[scan->first_segment + i], bytes, size);
    }
}

static void check_header(const rbc__jpeg_header *h, const uint8_t *bytes, size_t size) {
    if (!h->is_plain) {
        return;
    }
    fuzz_require(h->height >= 1 && h->width >= 1 && h->num_scans >= 1 && h->end < size - 1);
    fuzz_require(bytes[h->end] == 0xFF && bytes[h->end + 1] == 0xD9);
    for (uint32_t i = 0; i < h->num_scans; ++i) {
        check_scan(h, &h->scans[i], bytes, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rbc__jpeg_header h; /* read into again and again, as the operation does */
    uint8_t *bytes = malloc(size + (size == 0)); /* its very size, so that the sanitizers see it */
    fuzz_require(bytes != NULL);
    memcpy(bytes, data, size);
    (void)rbc__jpeg_has_tables(bytes, size);
    fuzz_require(rbc__jpeg_header_read(bytes, size, &h, NULL) == RBC_OK);
    const bool is_plain = h.is_plain;
    check_header(&h, bytes, size);
    rbc__jpeg_start start = {0};
    jpeg_survey_result survey = jpeg_survey_run(bytes, (uint32_t)size, (uint32_t)(size % 16));
    for (int turn = 0; turn < 2; ++turn) { /* the second time from the start kept in the first */
        fuzz_require(rbc__jpeg_header_read_digest(&survey.digest, size, &start, turn == 0, &h,
                                                  NULL) == RBC_OK);
        fuzz_require(is_plain || !h.is_plain);
        check_header(&h, bytes, size);
        survey.digest.alike = jpeg_survey_compare(&survey, &survey);
    }
    jpeg_survey_free(&survey);
    free(bytes);
    return 0;
}
