#include "core/error.h"
#include "layout/layout.h"
#include "layout/layout_code.h"

void rbc__layout_begin(rbc__layout_writer *writer, uint64_t num_steps, uint64_t origin) {
    writer->num_steps = num_steps;
    writer->origin = writer->end = origin;
    writer->container = RBC__IN_BLOB;
    writer->number = 0;
    writer->block_end = 0;
    writer->num_packings = writer->num_blocks = writer->num_runs = 0;
    writer->packings.size = writer->blocks.size = writer->runs.size = 0;
}

uint8_t rbc__layout_add_packing(rbc__layout_writer *writer, const rbc__packing *packing) {
    rbc__bytes_varint(&writer->packings, packing->num_steps);
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        rbc__bytes_varint(&writer->packings, packing->steps[i].kind);
        rbc__bytes_varint(&writer->packings, packing->steps[i].parameter);
    }
    return (uint8_t)writer->num_packings++;
}

uint32_t rbc__layout_add_block(rbc__layout_writer *writer, const rbc__block *block) {
    rbc__bytes_varint(&writer->blocks, block->blob);
    rbc__bytes_byte(&writer->blocks, block->packing);
    rbc__bytes_varint(&writer->blocks, rbc__zigzag(block->offset - writer->block_end));
    rbc__bytes_varint(&writer->blocks, block->packed_bytes);
    rbc__bytes_varint(&writer->blocks, block->unpacked_bytes);
    writer->block_end = block->offset + block->packed_bytes;
    return writer->num_blocks++;
}

/* The bytes of the run from its offset to its end, by its form. */
static uint64_t extent_of(const rbc__run *run, uint64_t stride) {
    if (run->form != RBC__FORM_EVEN) {
        uint64_t bytes;
        (void)rbc__layout_table_extent(run, &bytes);
        return bytes;
    }
    if (run->container == RBC__IN_ARRAY || run->container == RBC__IN_TRACK) {
        return run->count;
    }
    return run->count > 0 ? stride * (run->count - 1) + run->sample_bytes : 0;
}

void rbc__layout_add_run(rbc__layout_writer *writer, const rbc__run *run) {
    const rbc__layout_stream row_lengths = {8, RBC__ENCODING_PLAIN, RBC__I64};
    const rbc__layout_stream *stream =
        run->id < writer->num_streams ? &writer->streams[run->id] : &row_lengths;
    const uint64_t stride = run->stride != 0 ? run->stride : run->sample_bytes;
    const bool is_even = run->form == RBC__FORM_EVEN;
    const bool is_bytes = run->container != RBC__IN_ARRAY && run->container != RBC__IN_TRACK;
    const bool is_same = run->container == writer->container;
    const uint32_t number_before = is_same ? writer->number : 0;
    unsigned more = run->encoding != stream->encoding || run->dtype != stream->dtype
                        ? RBC__RUN_HAS_ENCODING
                        : 0;
    more |= run->packing != 0 ? RBC__RUN_HAS_PACKING : 0;
    more |=
        is_even && is_bytes && run->sample_bytes != stream->sample_bytes ? RBC__RUN_HAS_SIZE : 0;
    more |= is_even && is_bytes && stride != run->sample_bytes ? RBC__RUN_HAS_GAP : 0;
    unsigned flags = run->form | (unsigned)run->container << RBC__RUN_CONTAINER_SHIFT;
    flags |= run->count != writer->num_steps ? RBC__RUN_HAS_COUNT : 0;
    flags |= run->number != number_before ? RBC__RUN_HAS_NUMBER : 0;
    flags |= more != 0 ? RBC__RUN_HAS_MORE : 0;
    rbc__bytes *out = &writer->runs;
    rbc__bytes_varint(out, run->id);
    rbc__bytes_byte(out, (uint8_t)flags);
    if (more != 0) {
        rbc__bytes_byte(out, (uint8_t)more);
    }
    if (flags & RBC__RUN_HAS_NUMBER) {
        rbc__bytes_varint(out, rbc__zigzag((uint64_t)run->number - number_before));
    }
    if (flags & RBC__RUN_HAS_COUNT) {
        rbc__bytes_varint(out, run->count);
    }
    if (run->container != RBC__IN_LAYOUT) {
        const bool goes_on = is_same && run->number == writer->number;
        const bool is_own = run->container == RBC__IN_BLOB && run->number == 0;
        const uint64_t from = goes_on ? writer->end : is_own ? writer->origin : 0;
        rbc__bytes_varint(out, rbc__zigzag(run->offset - from));
    }
    if (more & RBC__RUN_HAS_ENCODING) {
        rbc__bytes_byte(out, run->encoding);
        rbc__bytes_byte(out, run->dtype);
    }
    if (more & RBC__RUN_HAS_PACKING) {
        rbc__bytes_byte(out, run->packing);
    }
    if (more & RBC__RUN_HAS_SIZE) {
        rbc__bytes_varint(out, run->sample_bytes);
    }
    if (more & RBC__RUN_HAS_GAP) {
        rbc__bytes_varint(out, stride - run->sample_bytes);
    }
    const uint64_t extent = extent_of(run, stride);
    if (!is_even) {
        const uint64_t numbers = run->form == RBC__FORM_SPANS ? 2 : 1;
        rbc__bytes_byte(out, run->width);
        rbc__bytes_append(out, run->table, (size_t)(run->count * numbers * run->width));
    } else if (run->container == RBC__IN_LAYOUT) {
        rbc__bytes_append(out, run->table, (size_t)extent);
    }
    writer->container = run->container;
    writer->number = run->number;
    writer->end = run->container == RBC__IN_LAYOUT ? extent : run->offset + extent;
    ++writer->num_runs;
}

rbc_status rbc__layout_end(const rbc__layout_writer *writer, rbc__bytes *out, rbc_error *err) {
    RBC__TRY(rbc__bytes_check(&writer->packings, err));
    RBC__TRY(rbc__bytes_check(&writer->blocks, err));
    RBC__TRY(rbc__bytes_check(&writer->runs, err));
    const bool has_blocks = writer->num_packings > 0 || writer->num_blocks > 0;
    rbc__bytes_byte(out,
                    (uint8_t)(RBC__LAYOUT_VERSION | (has_blocks ? RBC__LAYOUT_HAS_BLOCKS : 0)));
    rbc__bytes_varint(out, writer->num_steps);
    if (has_blocks) {
        rbc__bytes_varint(out, writer->num_packings);
        rbc__bytes_varint(out, writer->num_blocks);
    }
    rbc__bytes_varint(out, writer->num_runs);
    rbc__bytes_append(out, writer->packings.data, writer->packings.size);
    rbc__bytes_append(out, writer->blocks.data, writer->blocks.size);
    rbc__bytes_append(out, writer->runs.data, writer->runs.size);
    return rbc__bytes_check(out, err);
}

void rbc__layout_writer_free(rbc__layout_writer *writer) {
    rbc__bytes_free(&writer->packings);
    rbc__bytes_free(&writer->blocks);
    rbc__bytes_free(&writer->runs);
}

unsigned rbc__layout_width(uint64_t value) {
    unsigned width = 1;
    for (; width < 8 && value >> (8 * width) != 0; ++width) {
    }
    return width;
}
