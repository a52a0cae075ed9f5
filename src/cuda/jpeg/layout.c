#include "cuda/jpeg/layout.h"

enum { ALIGNMENT = 256, STREAM_SLACK = 32 };

/* Goes through a batch, counting, and writing where arrays are given. */
typedef struct writer {
    rbc__jpeg_layout n; /* what came so far */
    uint64_t plane_bytes;
    jpeg_image *images;
    jpeg_scan *scans;
    jpeg_segment *segments;
    jpeg_bundle *bundles;
    jpeg_piece *pieces;
    uint64_t *table_sources;
    uint32_t *joined, *idct_tiles, *colour_tiles;
    uint32_t bundle_strands; /* in the last bundle, which takes more of the same scan */
    uint32_t bundle_lead;
} writer;

static uint64_t divide_up(uint64_t a, uint64_t b) {
    return (a + b - 1) / b;
}

/* ---- strands, bundles, pieces ---------------------------------------------------------------- */

static void open_bundle(writer *w, uint32_t lead) {
    if (w->bundles != NULL) {
        w->bundles[w->n.num_bundles] = (jpeg_bundle){
            .first = (uint32_t)w->n.num_strands,
            .scan = (uint32_t)w->n.num_scans,
            .lead = lead,
        };
    }
    ++w->n.num_bundles;
    w->bundle_strands = 0;
    w->bundle_lead = lead;
}

/* Puts a segment's strands into bundles: as few as a bundle takes stay together. */
static void add_strands(writer *w, uint32_t count) {
    const bool is_joined = count > JPEG_BUNDLE_STRANDS;
    if (w->bundle_lead + w->bundle_strands + count > JPEG_BUNDLE_STRANDS) {
        open_bundle(w, 0);
    }
    while (count > 0) {
        const uint32_t taken =
            count < JPEG_JOINED_STRANDS || !is_joined ? count : JPEG_JOINED_STRANDS;
        w->bundle_strands += taken;
        w->n.num_strands += taken;
        if (w->bundle_lead + w->bundle_strands > w->n.largest_bundle) {
            w->n.largest_bundle = w->bundle_lead + w->bundle_strands;
        }
        if (w->bundles != NULL) {
            w->bundles[w->n.num_bundles - 1].count = w->bundle_strands;
        }
        count -= taken;
        if (count > 0) {
            open_bundle(w, JPEG_LEAD_STRANDS);
        }
    }
}

static void add_pieces(writer *w, const rbc__jpeg_input *input, const rbc__jpeg_segment *segment) {
    for (uint32_t i = 0; w->pieces != NULL && i < segment->num_pieces; ++i) {
        const rbc__jpeg_piece *piece = &input->header->pieces[segment->first_piece + i];
        w->pieces[w->n.num_pieces + i] = (jpeg_piece){
            .from = input->stream + piece->begin,
            .bytes = piece->bytes,
            .at = piece->at,
            .segment = (uint32_t)w->n.num_segments,
            .flags = i + 1 == segment->num_pieces ? JPEG_PIECE_LAST : 0,
        };
    }
    w->n.num_pieces += segment->num_pieces;
}

static void add_segment(writer *w, const rbc__jpeg_input *input, const rbc__jpeg_scan *scan,
                        uint32_t number) {
    const rbc__jpeg_segment *segment = &input->header->segments[scan->first_segment + number];
    const uint32_t strands = (uint32_t)divide_up(segment->data_bytes, JPEG_STRAND_BITS / 8);
    const uint64_t mcus = (uint64_t)scan->mcus_per_row * scan->mcu_rows;
    const uint64_t interval = scan->restart_interval == 0 ? mcus : scan->restart_interval;
    const uint64_t first = number * interval;
    const uint64_t own = mcus - first < interval ? mcus - first : interval;
    const uint64_t first_strand = w->n.num_strands;
    add_pieces(w, input, segment);
    add_strands(w, strands);
    const uint32_t bundles =
        strands > JPEG_BUNDLE_STRANDS ? (uint32_t)divide_up(strands, JPEG_JOINED_STRANDS) : 1;
    if (w->segments != NULL) {
        w->segments[w->n.num_segments] = (jpeg_segment){
            .scan = (uint32_t)w->n.num_scans,
            .num_bits = 8 * segment->data_bytes,
            .first_strand = (uint32_t)first_strand,
            .num_strands = strands,
            .first_block = (uint32_t)(first * scan->mcu_blocks),
            .num_blocks = (uint32_t)(own * scan->mcu_blocks),
            .first_bundle = (uint32_t)w->n.num_bundles - bundles,
            .num_bundles = bundles,
        };
        if (bundles > 1) {
            w->joined[w->n.num_joined] = (uint32_t)w->n.num_segments;
        }
    }
    w->n.num_joined += bundles > 1;
    ++w->n.num_segments;
}

/* ---- scans ---------------------------------------------------------------------------------- */

/* Tables of one scan. */
typedef struct known_tables {
    uint64_t sources[JPEG_SCAN_TABLES];
    uint32_t count;
} known_tables;

/* The number among them of the one at `source`. */
static uint32_t find_table(writer *w, known_tables *known, uint64_t source) {
    for (uint32_t i = 0; i < known->count; ++i) {
        if (known->sources[i] == source) {
            return i;
        }
    }
    if (w->table_sources != NULL) {
        w->table_sources[w->n.num_tables + known->count] = source;
    }
    known->sources[known->count] = source;
    return known->count++;
}

static bool is_followed_by_scan(const rbc__jpeg_header *header, const rbc__jpeg_scan *scan,
                                const rbc__jpeg_scan *next) {
    const rbc__jpeg_segment *last = &header->segments[scan->first_segment + scan->num_segments - 1];
    const uint32_t marker = last->begin + last->bytes;
    /* A scan header takes 2 bytes of marker, 6 and 2 a component. */
    return header->segments[next->first_segment].begin == marker + 8 + 2 * next->num_components;
}

static void describe_scan(writer *w, const rbc__jpeg_input *input, uint32_t number) {
    const rbc__jpeg_header *header = input->header;
    const rbc__jpeg_scan *scan = &header->scans[number];
    jpeg_scan described = {
        .image = (uint32_t)w->n.num_images,
        .begin = header->segments[scan->first_segment].begin,
        .mcu_blocks = scan->mcu_blocks,
        .num_mcus = scan->mcus_per_row * scan->mcu_rows,
        .restart_interval = scan->restart_interval,
        .first_table = (uint32_t)w->n.num_tables,
        .is_followed = number + 1 < header->num_scans &&
                       is_followed_by_scan(header, scan, &header->scans[number + 1]),
        .first_block = w->n.num_blocks,
    };
    known_tables known = {.count = 0};
    uint32_t block = 0;
    for (uint32_t i = 0; i < scan->num_components; ++i) {
        const rbc__jpeg_component *c = &header->components[scan->component[i]];
        const uint32_t dc =
            find_table(w, &known, (input->stream + scan->dc_at[i]) | JPEG_SOURCE_IS_DC);
        const uint32_t ac = find_table(w, &known, input->stream + scan->ac_at[i]);
        const uint32_t blocks = scan->num_components == 1 ? 1 : (uint32_t)c->h * c->v;
        for (uint32_t j = 0; j < blocks; ++j, ++block) {
            described.block_tables |= (uint64_t)(dc | ac << 3) << (6 * block);
            described.block_components |= i << (2 * block);
        }
    }
    described.num_tables = known.count;
    w->n.num_tables += known.count;
    if (w->scans != NULL) {
        w->scans[w->n.num_scans] = described;
    }
}

static void add_scan(writer *w, const rbc__jpeg_input *input, uint32_t number) {
    const rbc__jpeg_scan *scan = &input->header->scans[number];
    describe_scan(w, input, number);
    w->bundle_strands = JPEG_BUNDLE_STRANDS; /* the first segment begins a bundle */
    w->bundle_lead = 0;
    for (uint32_t i = 0; i < scan->num_segments; ++i) {
        add_segment(w, input, scan, i);
    }
    w->n.num_blocks += (uint64_t)scan->mcus_per_row * scan->mcu_rows * scan->mcu_blocks;
    ++w->n.num_scans;
}

/* ---- images --------------------------------------------------------------------------------- */

static void fill(uint32_t *tiles, uint64_t first, uint64_t count, uint32_t value) {
    for (uint64_t i = 0; tiles != NULL && i < count; ++i) {
        tiles[first + i] = value;
    }
}

static void describe_component(const writer *w, const rbc__jpeg_header *header, uint32_t number,
                               const uint64_t *scan_blocks, jpeg_image *image) {
    const rbc__jpeg_component *c = &header->components[number];
    jpeg_component *out = &image->components[number];
    *out = (jpeg_component){
        .h = header->h_max / c->h,
        .v = header->v_max / c->v,
        .blocks_per_row = c->width,
        .num_blocks = c->width * c->height,
        .quant_at = c->quant_at,
        .quant_is_u16 = c->quant_is_u16,
        .plane = w->plane_bytes,
        .first_tile = (uint32_t)w->n.num_idct_tiles,
    };
    out->width = (uint32_t)divide_up(header->width, out->h);
    out->height = (uint32_t)divide_up(header->height, out->v);
    for (uint32_t i = 0; i < header->num_scans; ++i) {
        const rbc__jpeg_scan *scan = &header->scans[i];
        uint32_t before = 0;
        for (uint32_t j = 0; j < scan->num_components; ++j) {
            const rbc__jpeg_component *other = &header->components[scan->component[j]];
            if (scan->component[j] == number) {
                const bool is_alone = scan->num_components == 1;
                out->first_block = scan_blocks[i];
                out->mcu_h = is_alone ? 1 : c->h;
                out->mcu_v = is_alone ? 1 : c->v;
                out->mcu_blocks = scan->mcu_blocks;
                out->mcu_first = before;
                out->mcus_per_row = scan->mcus_per_row;
            }
            before += (uint32_t)other->h * other->v;
        }
    }
}

static void add_component(writer *w, const rbc__jpeg_header *header, uint32_t number,
                          const uint64_t *scan_blocks, jpeg_image *image) {
    const rbc__jpeg_component *c = &header->components[number];
    const uint32_t blocks = c->width * c->height;
    const uint64_t tiles = divide_up(blocks, JPEG_IDCT_BLOCKS);
    if (w->images != NULL) {
        describe_component(w, header, number, scan_blocks, image);
    }
    fill(w->idct_tiles, w->n.num_idct_tiles, tiles, 4 * (uint32_t)w->n.num_images + number);
    w->n.num_idct_tiles += tiles;
    w->plane_bytes += (uint64_t)blocks * JPEG_BLOCK;
}

static void add_image(writer *w, const rbc__jpeg_input *input) {
    const rbc__jpeg_header *header = input->header;
    jpeg_image image = {
        .stream = input->stream,
        .num_bytes = input->num_bytes,
        .end = header->end,
        .width = header->width,
        .height = header->height,
        .num_components = header->num_components,
        .colour = (uint32_t)header->colour,
        .first_tile = (uint32_t)w->n.num_colour_tiles,
        .number = input->number,
        .first_scan = (uint32_t)w->n.num_scans,
        .num_scans = header->num_scans,
        .num_segments = header->num_segments,
        .channels = input->channels,
        .out = input->out,
    };
    uint64_t scan_blocks[JPEG_COMPONENTS] = {0};
    for (uint32_t i = 0; i < header->num_scans; ++i) {
        scan_blocks[i] = w->n.num_blocks;
        add_scan(w, input, i);
    }
    /* Of a grey picture of YCC nothing but the first component is looked at. */
    const bool is_grey = image.channels == 1 && header->colour == RBC__JPEG_YCC;
    for (uint32_t i = 0; i < (is_grey ? 1 : header->num_components); ++i) {
        add_component(w, header, i, scan_blocks, &image);
    }
    const uint64_t groups = divide_up(header->width, JPEG_COLOUR_PIXELS) * header->height;
    const uint64_t tiles = divide_up(groups, JPEG_COLOUR_GROUPS);
    fill(w->colour_tiles, w->n.num_colour_tiles, tiles, (uint32_t)w->n.num_images);
    w->n.num_colour_tiles += tiles;
    if (w->images != NULL) {
        w->images[w->n.num_images] = image;
    }
    ++w->n.num_images;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static uint64_t place(uint64_t *at, uint64_t count, uint64_t bytes) {
    const uint64_t begin = *at;
    *at = divide_up(begin + count * bytes, ALIGNMENT) * ALIGNMENT;
    return begin;
}

bool rbc__jpeg_layout_measure(const rbc__jpeg_input *inputs, uint64_t count, uint64_t streams_bytes,
                              rbc__jpeg_layout *out) {
    writer w = {0};
    for (uint64_t i = 0; i < count; ++i) {
        add_image(&w, &inputs[i]);
    }
    rbc__jpeg_layout *n = &w.n;
    uint64_t at = 0;
    n->images = place(&at, n->num_images, sizeof(jpeg_image));
    n->scans = place(&at, n->num_scans, sizeof(jpeg_scan));
    n->segments = place(&at, n->num_segments, sizeof(jpeg_segment));
    n->bundles = place(&at, n->num_bundles, sizeof(jpeg_bundle));
    n->pieces = place(&at, n->num_pieces, sizeof(jpeg_piece));
    n->table_sources = place(&at, n->num_tables, sizeof(uint64_t));
    n->joined = place(&at, n->num_joined, sizeof(uint32_t));
    n->idct_tiles = place(&at, n->num_idct_tiles, sizeof(uint32_t));
    n->colour_tiles = place(&at, n->num_colour_tiles, sizeof(uint32_t));
    n->description_bytes = at;
    n->streams_bytes = streams_bytes;
    n->streams = place(&at, 1, streams_bytes + STREAM_SLACK);
    n->tables = place(&at, n->num_tables, sizeof(jpeg_table));
    n->words = place(&at, n->num_strands * JPEG_STRAND_WORDS + JPEG_SLACK_WORDS, sizeof(uint32_t));
    n->owners = place(&at, n->num_strands, sizeof(uint32_t));
    n->states = place(&at, n->num_strands, sizeof(jpeg_state));
    n->entered = place(&at, n->num_bundles, sizeof(jpeg_state));
    n->counts = place(&at, n->num_strands, sizeof(uint32_t));
    n->coefficients = place(&at, n->num_blocks, JPEG_BLOCK * sizeof(int16_t));
    n->found = place(&at, n->num_images, sizeof(jpeg_found));
    n->verdicts = place(&at, n->num_images, sizeof(uint32_t));
    n->planes = place(&at, 1, w.plane_bytes);
    n->bytes = at;
    *out = *n;
    const uint64_t most = INT32_MAX;
    return n->num_strands < most && n->num_idct_tiles < most && n->num_colour_tiles < most &&
           n->num_pieces < most;
}

void rbc__jpeg_layout_describe(const rbc__jpeg_input *inputs, const rbc__jpeg_layout *layout,
                               unsigned char *out) {
    writer w = {
        .images = (jpeg_image *)(void *)(out + layout->images),
        .scans = (jpeg_scan *)(void *)(out + layout->scans),
        .segments = (jpeg_segment *)(void *)(out + layout->segments),
        .bundles = (jpeg_bundle *)(void *)(out + layout->bundles),
        .pieces = (jpeg_piece *)(void *)(out + layout->pieces),
        .table_sources = (uint64_t *)(void *)(out + layout->table_sources),
        .joined = (uint32_t *)(void *)(out + layout->joined),
        .idct_tiles = (uint32_t *)(void *)(out + layout->idct_tiles),
        .colour_tiles = (uint32_t *)(void *)(out + layout->colour_tiles),
    };
    for (uint64_t i = 0; i < layout->num_images; ++i) {
        add_image(&w, &inputs[i]);
    }
    if (layout->num_pieces > 0) {
        w.pieces[layout->num_pieces - 1].flags |= JPEG_PIECE_VERY_LAST;
    }
}

jpeg_launch rbc__jpeg_layout_launch(const rbc__jpeg_layout *layout,
                                    const unsigned char *description, unsigned char *base,
                                    bool is_fast) {
    const unsigned char *d = description;
    return (jpeg_launch){
        .images = (const jpeg_image *)(const void *)(d + layout->images),
        .scans = (const jpeg_scan *)(const void *)(d + layout->scans),
        .segments = (const jpeg_segment *)(const void *)(d + layout->segments),
        .bundles = (const jpeg_bundle *)(const void *)(d + layout->bundles),
        .pieces = (const jpeg_piece *)(const void *)(d + layout->pieces),
        .table_sources = (const uint64_t *)(const void *)(d + layout->table_sources),
        .joined = (const uint32_t *)(const void *)(d + layout->joined),
        .idct_tiles = (const uint32_t *)(const void *)(d + layout->idct_tiles),
        .colour_tiles = (const uint32_t *)(const void *)(d + layout->colour_tiles),
        .streams = d + layout->streams,
        .streams_end = layout->streams_bytes + STREAM_SLACK,
        .num_images = (uint32_t)layout->num_images,
        .num_segments = (uint32_t)layout->num_segments,
        .num_tables = (uint32_t)layout->num_tables,
        .num_joined = (uint32_t)layout->num_joined,
        .num_pieces = (uint32_t)layout->num_pieces,
        .is_fast = is_fast,
        .tables = (jpeg_table *)(void *)(base + layout->tables),
        .words = (uint32_t *)(void *)(base + layout->words),
        .owners = (uint32_t *)(void *)(base + layout->owners),
        .states = (jpeg_state *)(void *)(base + layout->states),
        .entered = (jpeg_state *)(void *)(base + layout->entered),
        .counts = (uint32_t *)(void *)(base + layout->counts),
        .coefficients = (int16_t *)(void *)(base + layout->coefficients),
        .num_blocks = layout->num_blocks,
        .found = (jpeg_found *)(void *)(base + layout->found),
        .planes = base + layout->planes,
        .verdicts = (uint32_t *)(void *)(base + layout->verdicts),
    };
}
