#include "jpeg_kernels.h"

#include <string.h>

#include "cuda/jpeg/huffman.cuh"
#include "cuda/jpeg/idct.cuh"
#include "cuda/jpeg/judge.cuh"
#include "cuda/jpeg/pixels.cuh"
#include "cuda/jpeg/zigzag.cuh"

static void put_byte(uint32_t *words, uint64_t at, uint8_t byte) {
    const uint32_t shift = 24 - 8 * (at % 4);
    words[at / 4] = (words[at / 4] & ~(UINT32_C(255) << shift)) | (uint32_t)byte << shift;
}

static void unstuff(const jpeg_launch *p, const jpeg_piece *piece) {
    const jpeg_segment *segment = &p->segments[piece->segment];
    uint32_t *words = p->words + (uint64_t)segment->first_strand * JPEG_STRAND_WORDS;
    uint64_t at = piece->at;
    for (uint32_t i = 0; i < piece->bytes; ++i) {
        const uint8_t *byte = p->streams + piece->from + i;
        if (*byte != 0 || byte[-1] != 0xFF) {
            put_byte(words, at++, *byte);
        }
    }
    for (uint32_t i = 0; i < segment->num_strands; ++i) {
        p->owners[segment->first_strand + i] = piece->segment;
    }
}

static huffman_strand strand_of(const jpeg_launch *p, uint32_t strand) {
    const jpeg_segment *segment = &p->segments[p->owners[strand]];
    const jpeg_scan *scan = &p->scans[segment->scan];
    const uint32_t end = (strand - segment->first_strand + 1) * JPEG_STRAND_BITS;
    return (huffman_strand){
        .words = p->words + (uint64_t)segment->first_strand * JPEG_STRAND_WORDS,
        .scan = scan,
        .tables = p->tables + scan->first_table,
        .end = end < segment->num_bits ? end : segment->num_bits,
    };
}

static jpeg_state start_of(const jpeg_launch *p, uint32_t strand) {
    const jpeg_segment *segment = &p->segments[p->owners[strand]];
    return (jpeg_state){.bit = (strand - segment->first_strand) * JPEG_STRAND_BITS};
}

static bool is_same(jpeg_state a, jpeg_state b) {
    return a.bit == b.bit && a.place == b.place;
}

/* Decodes a strand from `state` on and keeps what comes of it; true where its end stays. */
static bool flow(const jpeg_launch *p, uint32_t strand, jpeg_state *state) {
    const huffman_strand s = strand_of(p, strand);
    p->counts[strand] = huffman_decode(&s, state, NULL);
    const bool stays = is_same(p->states[strand], *state);
    p->states[strand] = *state;
    return stays;
}

/* The strands of a lead are decoded anew, and then are as the bundle before left them. */
static void synchronise_bundle(const jpeg_launch *p, uint32_t number) {
    const jpeg_bundle *bundle = &p->bundles[number];
    const uint32_t first = bundle->first - bundle->lead, count = bundle->lead + bundle->count;
    bool flows[JPEG_BUNDLE_STRANDS];
    jpeg_state states[JPEG_BUNDLE_STRANDS], kept[JPEG_LEAD_STRANDS];
    uint32_t kept_counts[JPEG_LEAD_STRANDS];
    memcpy(kept, &p->states[first], bundle->lead * sizeof *kept);
    memcpy(kept_counts, &p->counts[first], bundle->lead * sizeof *kept_counts);
    for (uint32_t i = 0; i < count; ++i) {
        states[i] = start_of(p, first + i);
        (void)flow(p, first + i, &states[i]);
        flows[i] = true;
    }
    bool any = true;
    for (uint32_t round = 1; any; ++round) {
        any = false;
        for (uint32_t i = 0; i < count; ++i) {
            const uint32_t next = first + i + round;
            if (flows[i] && i + round < count && p->owners[next] == p->owners[first + i]) {
                flows[i] = !flow(p, next, &states[i]);
                any = any || flows[i];
            } else {
                flows[i] = false;
            }
        }
    }
    if (bundle->lead != 0) {
        p->entered[number] = p->states[bundle->first - 1];
    }
    memcpy(&p->states[first], kept, bundle->lead * sizeof *kept);
    memcpy(&p->counts[first], kept_counts, bundle->lead * sizeof *kept_counts);
}

static void join(const jpeg_launch *p, const jpeg_segment *segment) {
    for (bool changed = true; changed;) {
        changed = false;
        for (uint32_t i = 1; i < segment->num_bundles; ++i) {
            const uint32_t first = segment->first_strand + i * JPEG_JOINED_STRANDS;
            const uint32_t end = segment->first_strand + segment->num_strands;
            jpeg_state state = p->states[first - 1];
            if (is_same(state, p->entered[segment->first_bundle + i])) {
                continue;
            }
            p->entered[segment->first_bundle + i] = state;
            changed = true;
            for (uint32_t j = first; j < end && j < first + JPEG_JOINED_STRANDS; ++j) {
                if (flow(p, j, &state)) {
                    break;
                }
            }
        }
    }
}

static void add_up(const jpeg_launch *p, const jpeg_segment *segment) {
    uint32_t before = 0;
    for (uint32_t i = 0; i < segment->num_strands; ++i) {
        const uint32_t own = p->counts[segment->first_strand + i];
        p->counts[segment->first_strand + i] = before;
        before += own;
    }
}

static void add_up_dc(const jpeg_launch *p, const jpeg_segment *segment) {
    const jpeg_scan *scan = &p->scans[segment->scan];
    uint32_t sums[JPEG_COMPONENTS] = {0};
    for (uint32_t i = 0; i < segment->num_blocks; i += scan->mcu_blocks) {
        int16_t *mcu =
            p->coefficients + (scan->first_block + segment->first_block + i) * (uint64_t)JPEG_BLOCK;
        mcu_dc dc = dc_load(scan, mcu);
        dc_add_up(scan, &dc, sums);
        dc_store(scan, &dc, mcu);
    }
}

static void write_strand(const jpeg_launch *p, uint32_t strand) {
    const jpeg_segment *segment = &p->segments[p->owners[strand]];
    const huffman_strand s = strand_of(p, strand);
    const uint32_t before = p->counts[strand];
    if (before >= segment->num_blocks) {
        return;
    }
    int16_t kept[JPEG_BLOCK] = {0};
    jpeg_state state =
        strand == segment->first_strand ? start_of(p, strand) : p->states[strand - 1];
    huffman_sink sink = {
        .block =
            p->coefficients + (s.scan->first_block + segment->first_block + before) * JPEG_BLOCK,
        .blocks = segment->num_blocks - before,
        .places = zigzag,
        .kept = p->keeps_rows ? kept : NULL,
        .kept_stride = 8,
        .keeps = p->keeps_rows && state.place % JPEG_BLOCK == 0,
    };
    (void)huffman_decode(&s, &state, &sink);
    jpeg_found *found = &p->found[s.scan->image];
    found->flags |= sink.flags;
    if (sink.end != 0) {
        ++found->segments;
        found->flags |= huffman_end(sink.end, segment->num_bits);
    }
}

static void transform(const jpeg_launch *p, const jpeg_image *image, const jpeg_component *c) {
    int32_t steps[JPEG_BLOCK];
    const uint8_t *quant = p->streams + image->stream + c->quant_at;
    for (int i = 0; i < JPEG_BLOCK; ++i) {
        const uint32_t step =
            c->quant_is_u16 ? (uint32_t)quant[2 * i] << 8 | quant[2 * i + 1] : quant[i];
        steps[zigzag[i]] = quant_step(step, aan_scales[zigzag[i]], p->is_fast != 0);
    }
    for (uint32_t b = 0; b < c->num_blocks; ++b) {
        const uint32_t x = b % c->blocks_per_row, y = b / c->blocks_per_row;
        const int16_t *in =
            p->coefficients + (c->first_block + block_in_scan(c, x, y)) * JPEG_BLOCK;
        int32_t v[8][8];
        bool flat = true;
        for (int i = 8; i < JPEG_BLOCK; ++i) {
            flat = flat && in[i] == 0;
        }
        for (int column = 0; column < 8; ++column) {
            int32_t one[8];
            for (int i = 0; i < 8; ++i) {
                one[i] = wrap16(in[8 * i + column] * steps[8 * i + column]);
            }
            idct_column(one, p->is_fast != 0, flat);
            for (int i = 0; i < 8; ++i) {
                v[i][column] = one[i];
            }
        }
        for (int row = 0; row < 8; ++row) {
            idct_row(v[row], p->is_fast != 0);
            uint8_t *out = p->planes + c->plane +
                           ((uint64_t)y * 8 + (uint32_t)row) * 8 * c->blocks_per_row + 8 * x;
            for (int i = 0; i < 8; ++i) {
                out[i] = (uint8_t)v[row][i];
            }
        }
    }
}

static void colour(const jpeg_launch *p, const jpeg_image *image) {
    for (uint32_t y = 0; y < image->height; ++y) {
        for (uint32_t x = 0; x < image->width; ++x) {
            uint32_t v[JPEG_COMPONENTS] = {0};
            for (uint32_t i = 0; i < (is_one_plane(image) ? 1 : image->num_components); ++i) {
                const jpeg_component *c = &image->components[i];
                v[i] = upsampled(c, p->planes + c->plane, x, y);
            }
            const uint32_t pixel = pixel_of(image->colour, image->channels, v[0], v[1], v[2]);
            for (uint32_t i = 0; i < image->channels; ++i) {
                image->out[((uint64_t)y * image->width + x) * image->channels + i] =
                    (uint8_t)(pixel >> 8 * i);
            }
        }
    }
}

/* ---- kernels ---- */

static void prepare(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    memset(p->coefficients, 0, p->num_blocks * JPEG_BLOCK * sizeof *p->coefficients);
    memset(p->found, 0, p->num_images * sizeof *p->found);
    for (uint32_t i = 0; i < p->num_pieces; ++i) {
        unstuff(p, &p->pieces[i]);
    }
    for (uint32_t i = 0; i < p->num_tables; ++i) {
        const uint64_t source = p->table_sources[i];
        huffman_build(p->streams + (source & ~JPEG_SOURCE_IS_DC), (source & JPEG_SOURCE_IS_DC) != 0,
                      &p->tables[i], 0, 1);
    }
}

static void strand(const jpeg_launch *p, unsigned blocks) {
    for (unsigned i = 0; i < blocks; ++i) {
        synchronise_bundle(p, i);
    }
}

static void join_all(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_joined; ++i) {
        join(p, &p->segments[p->joined[i]]);
    }
}

static void offset(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_segments; ++i) {
        add_up(p, &p->segments[i]);
    }
}

static void write_all(const jpeg_launch *p, unsigned blocks) {
    for (unsigned i = 0; i < blocks; ++i) {
        for (uint32_t k = 0; k < p->bundles[i].count; ++k) {
            write_strand(p, p->bundles[i].first + k);
        }
    }
}

static void dc(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_segments; ++i) {
        add_up_dc(p, &p->segments[i]);
    }
}

static void verdict(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_images; ++i) {
        const jpeg_image *image = &p->images[i];
        p->verdicts[i] =
            verdict_of(image, &p->found[i], p->streams, p->scans + image->first_scan, p->tables);
        if (p->valid != NULL) {
            p->valid[image->number] = (uint8_t)p->verdicts[i];
        }
    }
}

static void idct(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_images; ++i) {
        const jpeg_image *image = &p->images[i];
        for (uint32_t c = 0; c < (is_one_plane(image) ? 1 : image->num_components); ++c) {
            transform(p, image, &image->components[c]);
        }
    }
}

static void colour_all(const jpeg_launch *p, unsigned blocks) {
    (void)blocks;
    for (uint32_t i = 0; i < p->num_images; ++i) {
        const jpeg_image *image = &p->images[i];
        if (p->verdicts[i] != 0) {
            colour(p, image);
        } else {
            memset(image->out, 0, (size_t)image->height * image->width * image->channels);
        }
    }
}

bool jpeg_kernels_run(const char *kernel, unsigned blocks, const jpeg_launch *launch) {
    static const struct {
        const char *name;
        void (*run)(const jpeg_launch *p, unsigned blocks);
    } kernels[] = {
        {"rbc__jpeg_prepare_cuda", prepare},   {"rbc__jpeg_strand_cuda", strand},
        {"rbc__jpeg_join_cuda", join_all},     {"rbc__jpeg_offset_cuda", offset},
        {"rbc__jpeg_write_cuda", write_all},   {"rbc__jpeg_dc_cuda", dc},
        {"rbc__jpeg_verdict_cuda", verdict},   {"rbc__jpeg_idct_cuda", idct},
        {"rbc__jpeg_colour_cuda", colour_all},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i) {
        if (strcmp(kernel, kernels[i].name) == 0) {
            kernels[i].run(launch, blocks);
            return true;
        }
    }
    return false;
}
