/* Fuzzes the parser of layouts, which a catalog holds, and the spans that it finds: none may lie
 * outside of the record or of the layout. An input is the size of the record (u16) and the layout
 * behind its version and fingerprint. */
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "formats/rlds/layout.h"

enum { FINGERPRINT = 0x52424331, FIXED_BYTES = 5, MAX_IDS = 32, MAX_SAMPLES = 64 };

static const char features[] =
    "{\"featuresDict\":{\"features\":{\"steps\":{\"sequence\":{\"feature\":{\"featuresDict\":{"
    "\"features\":{"
    "\"state\":{\"tensor\":{\"shape\":{\"dimensions\":[\"7\"]},\"dtype\":\"float32\"}},"
    "\"count\":{\"tensor\":{\"dtype\":\"int64\"}},"
    "\"image\":{\"image\":{\"encodingFormat\":\"png\"}},"
    "\"text\":{\"text\":{}},"
    "\"cloud\":{\"sequence\":{\"feature\":{\"tensor\":{\"shape\":{\"dimensions\":[\"3\"]},"
    "\"dtype\":\"float32\"}},\"length\":\"-1\"}},"
    "\"huge\":{\"tensor\":{\"shape\":{\"dimensions\":[\"1152921504606846976\"]},"
    "\"dtype\":\"uint8\"}}"
    "}}},\"length\":\"-1\"}},\"note\":{\"text\":{}}}}}";

static void check_span(const rbc__layout_span *span, const uint8_t *layout, size_t layout_bytes,
                       uint64_t record_bytes) {
    fuzz_require(span->offset <= record_bytes && span->bytes <= record_bytes - span->offset);
    if (span->form != RBC__FORM_INDEX && span->form != RBC__FORM_SPANS) {
        return;
    }
    const uint64_t numbers = span->form == RBC__FORM_INDEX ? 1 : 2;
    const uint64_t bytes = span->samples * numbers * span->parameter;
    fuzz_require(span->table >= layout && span->table <= layout + layout_bytes &&
                 bytes <= (uint64_t)(layout + layout_bytes - span->table));
    for (uint64_t i = 0; i < span->samples && i < MAX_SAMPLES; ++i) {
        uint64_t offset;
        uint64_t size;
        const uint64_t sample = i % 2 == 0 ? i / 2 : span->samples - 1 - i / 2;
        if (rbc__layout_span_sample(span, sample, &offset, &size)) {
            uint64_t entry;
            fuzz_require(offset >= span->offset && size <= span->bytes &&
                         offset - span->offset <= span->bytes - size);
            fuzz_require(!rbc__entry_size(size, &entry) || entry < size);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rbc__leaves leaves;
    if (leaves.count == 0) {
        fuzz_require(rbc__features_parse(features, strlen(features), "features.json", &leaves,
                                         NULL) == RBC_OK);
        fuzz_require(rbc__layout_num_ids(&leaves) <= MAX_IDS);
    }
    if (size < 2) {
        return 0;
    }
    const uint64_t record_bytes = (uint64_t)data[0] << 8 | data[1];
    const size_t layout_bytes = FIXED_BYTES + size - 2;
    uint8_t *layout = malloc(layout_bytes); /* its very size, so that the sanitizers see its end */
    fuzz_require(layout != NULL);
    layout[0] = 1;
    for (int i = 0; i < 4; ++i) {
        layout[1 + i] = (uint8_t)(FINGERPRINT >> (8 * i));
    }
    memcpy(layout + FIXED_BYTES, data + 2, size - 2);
    rbc__layout_span spans[MAX_IDS] = {0};
    uint64_t num_steps;
    if (rbc__layout_decode(&leaves, FINGERPRINT, layout, layout_bytes, record_bytes, "fuzz", spans,
                           &num_steps, NULL) == RBC_OK) {
        for (uint32_t i = 0; i < rbc__layout_num_ids(&leaves); ++i) {
            if (spans[i].form != RBC__FORM_NONE) {
                check_span(&spans[i], layout, layout_bytes, record_bytes);
            }
        }
    }
    free(layout);
    return 0;
}
