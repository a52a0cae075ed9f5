/* Fuzzes the parser of layouts, which a catalog holds: samples lie where their runs say, tables
 * within the layout, blocks within what they hold unpacked. What was parsed is written, and parsed
 * from that, the same again. An input is a layout. */
#include "fuzz.h"

#include <string.h>

#include "layout/layout.h"

enum { ORIGIN = 1000, NUM_STREAMS = 6, MAX_SAMPLES = 64 };

static const rbc__layout_stream streams[NUM_STREAMS] = {
    {0, RBC__ENCODING_TEXT, RBC__U8},    {0, RBC__ENCODING_IMAGE, RBC__U8},
    {28, RBC__ENCODING_PLAIN, RBC__F32}, {1, RBC__ENCODING_VARINT, RBC__I64},
    {0, RBC__ENCODING_NPY, RBC__F64},    {UINT64_C(1) << 60, RBC__ENCODING_PLAIN, RBC__U8},
};

/* One of few samples of a run: from its begin and from its end. */
static uint64_t pick(const rbc__run *run, uint64_t i) {
    return run->first + (i % 2 == 0 ? i / 2 : run->count - 1 - i / 2);
}

static void check_run(const rbc__layout *layout, const rbc__run *run) {
    const uint8_t *begin = (const uint8_t *)layout;
    const bool is_bytes = run->container != RBC__IN_ARRAY && run->container != RBC__IN_TRACK;
    fuzz_require(run->offset <= INT64_MAX && run->bytes <= INT64_MAX - run->offset);
    fuzz_require(run->packing <= layout->num_packings);
    fuzz_require(rbc__encoding_has(run->encoding, run->dtype));
    if (run->container == RBC__IN_BLOCK) {
        fuzz_require(run->number < layout->num_blocks &&
                     run->offset + run->bytes <= layout->blocks[run->number].unpacked_bytes);
    }
    if (run->form != RBC__FORM_EVEN) {
        const uint64_t numbers = run->form == RBC__FORM_SPANS ? 2 : 1;
        fuzz_require(run->table > begin && run->table <= begin + layout->bytes);
        fuzz_require(run->width >= 1 && run->width <= 8 &&
                     run->count <=
                         (uint64_t)(begin + layout->bytes - run->table) / (numbers * run->width));
    }
    for (uint64_t i = 0; i < run->count && i < MAX_SAMPLES; ++i) {
        const uint64_t sample = pick(run, i);
        uint64_t offset;
        uint64_t bytes;
        fuzz_require(rbc__layout_find(layout, run->id, sample) == run);
        if (!is_bytes || !rbc__run_sample(run, sample, &offset, &bytes)) {
            continue;
        }
        fuzz_require(offset >= run->offset && bytes <= run->bytes &&
                     offset - run->offset <= run->bytes - bytes);
        if (run->container == RBC__IN_LAYOUT) {
            fuzz_drain(run->table + offset, bytes);
        }
    }
}

static void check_layout(const rbc__layout *layout) {
    for (uint32_t i = 0; i < layout->num_blocks; ++i) {
        const rbc__block *block = &layout->blocks[i];
        fuzz_require(block->packing < layout->num_packings && block->offset <= INT64_MAX &&
                     block->packed_bytes <= INT64_MAX - block->offset);
    }
    for (uint32_t i = 0; i < layout->num_packings; ++i) {
        fuzz_require(rbc__packing_check(&layout->packings[i], NULL) == RBC_OK);
    }
    uint32_t at = 0;
    for (uint32_t id = 0; id < 2 * NUM_STREAMS; ++id) {
        uint64_t samples = 0;
        fuzz_require(layout->first_run[id] == at);
        for (; at < layout->first_run[id + 1]; ++at) {
            fuzz_require(layout->runs[at].id == id && layout->runs[at].first == samples);
            samples += layout->runs[at].count;
        }
        fuzz_require(rbc__layout_num_samples(layout, id) == samples && samples <= INT64_MAX);
    }
    fuzz_require(at == layout->num_runs);
    for (uint32_t i = 0; i < layout->num_runs; ++i) {
        check_run(layout, &layout->runs[i]);
    }
}

static void require_same_run(const rbc__run *a, const rbc__run *b) {
    const bool is_bytes = a->container != RBC__IN_ARRAY && a->container != RBC__IN_TRACK;
    fuzz_require(a->id == b->id && a->container == b->container && a->form == b->form);
    fuzz_require(a->width == b->width && a->encoding == b->encoding && a->dtype == b->dtype);
    fuzz_require(a->packing == b->packing && a->number == b->number && a->first == b->first);
    fuzz_require(a->count == b->count && a->offset == b->offset && a->bytes == b->bytes);
    if (a->form == RBC__FORM_EVEN && is_bytes) {
        fuzz_require(a->sample_bytes == b->sample_bytes && a->stride == b->stride);
    }
    size_t table_bytes = a->container == RBC__IN_LAYOUT ? (size_t)a->bytes : 0;
    if (a->form != RBC__FORM_EVEN) {
        table_bytes = (size_t)a->count * a->width * (a->form == RBC__FORM_SPANS ? 2 : 1);
    }
    fuzz_require(table_bytes == 0 || memcmp(a->table, b->table, table_bytes) == 0);
}

static void write_again(const rbc__layout *layout) {
    rbc__layout_writer writer = {.streams = streams, .num_streams = NUM_STREAMS};
    rbc__bytes encoded = {0};
    rbc__layout *again;
    rbc__layout_begin(&writer, layout->num_steps, ORIGIN);
    for (uint32_t i = 0; i < layout->num_packings; ++i) {
        fuzz_require(rbc__layout_add_packing(&writer, &layout->packings[i]) == i);
    }
    for (uint32_t i = 0; i < layout->num_blocks; ++i) {
        fuzz_require(rbc__layout_add_block(&writer, &layout->blocks[i]) == i);
    }
    for (uint32_t i = 0; i < layout->num_runs; ++i) {
        rbc__layout_add_run(&writer, &layout->runs[i]);
    }
    fuzz_require(rbc__layout_end(&writer, &encoded, NULL) == RBC_OK);
    fuzz_require(rbc__layout_parse(streams, NUM_STREAMS, encoded.data, encoded.size, ORIGIN, "fuzz",
                                   &again, NULL) == RBC_OK);
    fuzz_require(again->num_steps == layout->num_steps && again->num_runs == layout->num_runs);
    fuzz_require(again->num_blocks == layout->num_blocks);
    for (uint32_t i = 0; i < layout->num_blocks; ++i) {
        const rbc__block *a = &layout->blocks[i];
        const rbc__block *b = &again->blocks[i];
        fuzz_require(a->blob == b->blob && a->packing == b->packing && a->offset == b->offset &&
                     a->packed_bytes == b->packed_bytes && a->unpacked_bytes == b->unpacked_bytes);
    }
    for (uint32_t i = 0; i < layout->num_runs; ++i) {
        require_same_run(&layout->runs[i], &again->runs[i]);
    }
    free(again);
    rbc__bytes_free(&encoded);
    rbc__layout_writer_free(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rbc__layout *layout;
    rbc_error err;
    if (rbc__layout_parse(streams, NUM_STREAMS, data, size, ORIGIN, "fuzz", &layout, &err) !=
        RBC_OK) {
        fuzz_require(layout == NULL && strncmp(err.message, "fuzz: ", 6) == 0);
        return 0;
    }
    check_layout(layout);
    write_again(layout);
    free(layout);
    return 0;
}
