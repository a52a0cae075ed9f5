#include "codec/jpeg_header.h"

#include <stdlib.h>
#include <string.h>

#include "codec/jpeg_markers.h"
#include "core/error.h"

enum {
    NUM_TABLES = 4,      /* of a kind */
    MAX_BYTES = 1 << 28, /* bits are counted in 32 */
};

/* Where the tables lie that are in force; 0: none has come. */
typedef struct tables {
    uint32_t dc[NUM_TABLES], ac[NUM_TABLES];
    uint32_t quant[NUM_TABLES];
    uint8_t quant_is_u16[NUM_TABLES];
} tables;

typedef struct walk {
    const uint8_t *bytes;
    uint32_t num_bytes; /* that are here */
    uint32_t at;
    const rbc__jpeg_digest *digest; /* of a stream that goes on elsewhere; or NULL */
    rbc__jpeg_start *start;         /* to be kept when the first scan is reached; or NULL */
    uint64_t stream_bytes;
    uint32_t marker_at; /* the one found last in the digest; 0: none */
    uint8_t marker;
    uint32_t stuffed; /* zeros behind 0xFF before w->at in the chunk of that marker */
    rbc__jpeg_header *header;
    tables tables;
    uint32_t restart_interval;
    uint32_t scanned; /* components, one bit each */
    uint8_t quant[RBC__JPEG_MAX_COMPONENTS];
    bool has_frame, has_jfif, has_adobe;
    uint8_t adobe_transform;
    bool no_memory;
    bool stops_at_scan; /* and says in `has_tables` what it knows then */
    bool has_tables;
} walk;

static uint32_t read_u16(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 8 | bytes[1];
}

static uint32_t divide_up(uint32_t a, uint32_t b) {
    return (a + b - 1) / b;
}

/* ---- segments ---- */

static void *one_more(void *items, uint32_t count, uint32_t *room, size_t bytes) {
    if (count < *room) {
        return items;
    }
    const uint32_t more = *room == 0 ? 16 : 2 * *room;
    void *grown = realloc(items, more * bytes);
    if (grown != NULL) {
        *room = more;
    }
    return grown;
}

static bool add_piece(walk *w, uint32_t begin, uint32_t end, uint32_t at) {
    rbc__jpeg_header *h = w->header;
    rbc__jpeg_piece *grown = one_more(h->pieces, h->num_pieces, &h->pieces_room, sizeof *h->pieces);
    if (grown == NULL) {
        w->no_memory = true;
        return false;
    }
    h->pieces = grown;
    h->pieces[h->num_pieces++] = (rbc__jpeg_piece){.begin = begin, .bytes = end - begin, .at = at};
    return true;
}

static bool add_segment(walk *w, uint32_t begin, uint32_t end, uint32_t stuffed,
                        uint32_t first_piece) {
    rbc__jpeg_header *h = w->header;
    rbc__jpeg_segment *grown =
        one_more(h->segments, h->num_segments, &h->segments_room, sizeof *h->segments);
    if (grown == NULL) {
        w->no_memory = true;
        return false;
    }
    h->segments = grown;
    h->segments[h->num_segments++] = (rbc__jpeg_segment){
        .begin = begin,
        .bytes = end - begin,
        .data_bytes = end - begin - stuffed,
        .first_piece = first_piece,
        .num_pieces = h->num_pieces - first_piece,
    };
    return true;
}

/* The segment from w->at up to the next marker, where w->at is then. */
static bool read_segment(walk *w) {
    const uint32_t begin = w->at;
    const uint32_t first_piece = w->header->num_pieces;
    uint32_t piece = begin; /* where the piece in hand begins */
    uint32_t piece_at = 0;  /* in the data */
    uint32_t stuffed = 0;   /* zeros so far */
    uint32_t at = begin;
    for (;;) {
        const uint8_t *found =
            at < w->num_bytes ? memchr(w->bytes + at, 0xFF, w->num_bytes - 1 - at) : NULL;
        if (found == NULL) {
            return false;
        }
        const uint32_t zero = (uint32_t)(found - w->bytes) + 1;
        const bool is_marker = w->bytes[zero] != 0;
        /* All zeros before here are counted, and the bytes up to here are no marker. */
        const uint32_t known = is_marker ? zero - 1 : zero + 1;
        while (known - piece > RBC__JPEG_PIECE_BYTES) {
            const uint32_t end = piece + RBC__JPEG_PIECE_BYTES;
            if (!add_piece(w, piece, end, piece_at)) {
                return false;
            }
            piece = end;
            piece_at = end - begin - stuffed;
        }
        if (is_marker) {
            w->at = known;
            return known > begin && add_piece(w, piece, known, piece_at) &&
                   add_segment(w, begin, known, stuffed, first_piece);
        }
        ++stuffed;
        at = zero + 1;
    }
}

/* As read_segment(), of the digest. Pieces end where its chunks do. */
static bool read_segment_elsewhere(walk *w) {
    const rbc__jpeg_digest *d = w->digest;
    const uint32_t begin = w->at;
    const uint32_t first_piece = w->header->num_pieces;
    const uint64_t chunks = rbc__jpeg_num_chunks(w->stream_bytes, d->skew);
    uint64_t i = (begin + d->skew) / RBC__JPEG_PIECE_BYTES;
    uint32_t piece = begin;
    uint32_t stuffed = 0;
    uint32_t before = i == (w->marker_at + d->skew) / RBC__JPEG_PIECE_BYTES ? w->stuffed : 0;
    for (; i < chunks; ++i) {
        const uint32_t next = (uint32_t)(i + 1) * RBC__JPEG_PIECE_BYTES - d->skew;
        const uint32_t num_markers = d->counts[i] >> 16;
        if (num_markers > RBC__JPEG_CHUNK_MARKERS) {
            return false;
        }
        for (uint32_t k = 0; k < num_markers; ++k) {
            const uint32_t marker = d->markers[i][k];
            const uint32_t at = next - RBC__JPEG_PIECE_BYTES + (marker >> 20);
            if (at < begin || at >= next) { /* of a header before */
                continue;
            }
            w->stuffed = marker >> 8 & 0xFFF;
            w->marker = (uint8_t)marker;
            w->marker_at = at;
            w->at = at;
            return at > begin &&
                   (at == piece || add_piece(w, piece, at, piece - begin - stuffed)) &&
                   add_segment(w, begin, at, stuffed + w->stuffed - before, first_piece);
        }
        if (!add_piece(w, piece, next, piece - begin - stuffed)) {
            return false;
        }
        stuffed += (d->counts[i] & 0xFFFF) - before;
        before = 0;
        piece = next;
    }
    return false;
}

/* The code of the marker at w->at. */
static bool see_marker(const walk *w, uint8_t *code) {
    if (w->marker_at != 0 && w->at == w->marker_at) {
        *code = w->marker;
        return true;
    }
    if (w->at >= w->num_bytes || w->num_bytes - w->at < 2 || w->bytes[w->at] != 0xFF) {
        return false;
    }
    *code = w->bytes[w->at + 1];
    return true;
}

/* Zeros behind 0xFF before `end`. */
static uint32_t count_stuffed(const uint8_t *bytes, uint32_t end) {
    uint32_t count = 0;
    const uint8_t *at = bytes;
    while (at + 1 < bytes + end &&
           (at = memchr(at, 0xFF, (size_t)(bytes + end - 1 - at))) != NULL) {
        ++at;
        count += *at == 0;
    }
    return count;
}

static bool read_segments(walk *w, rbc__jpeg_scan *scan) {
    const uint64_t mcus = (uint64_t)scan->mcus_per_row * scan->mcu_rows;
    const uint64_t wanted = scan->restart_interval == 0
                                ? 1
                                : (mcus + scan->restart_interval - 1) / scan->restart_interval;
    if (wanted > w->num_bytes) {
        return false;
    }
    scan->first_segment = w->header->num_segments;
    scan->num_segments = (uint32_t)wanted;
    for (uint32_t i = 0; i < scan->num_segments; ++i) {
        if (!(w->digest != NULL ? read_segment_elsewhere(w) : read_segment(w))) {
            return false;
        }
        if (i + 1 < scan->num_segments) {
            uint8_t code = 0;
            if (!see_marker(w, &code) || code != RBC__JPEG_RST0 + i % 8) {
                return false;
            }
            w->at += 2;
        }
    }
    return true;
}

/* ---- marker segments ---- */

static bool read_frame(walk *w, const uint8_t *body, uint32_t length) {
    rbc__jpeg_header *h = w->header;
    if (w->has_frame || length < 6 || body[0] != 8) {
        return false;
    }
    h->height = read_u16(body + 1);
    h->width = read_u16(body + 3);
    h->num_components = body[5];
    if (h->height == 0 || h->width == 0 || (h->num_components != 1 && h->num_components != 3) ||
        length != 6 + 3 * h->num_components) {
        return false;
    }
    h->h_max = h->v_max = 1;
    for (uint32_t i = 0; i < h->num_components; ++i) {
        rbc__jpeg_component *c = &h->components[i];
        const uint8_t *entry = body + 6 + 3 * (size_t)i;
        c->id = entry[0];
        c->h = entry[1] >> 4;
        c->v = entry[1] & 15;
        w->quant[i] = entry[2];
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || w->quant[i] >= NUM_TABLES) {
            return false;
        }
        h->h_max = c->h > h->h_max ? c->h : h->h_max;
        h->v_max = c->v > h->v_max ? c->v : h->v_max;
        for (uint32_t j = 0; j < i; ++j) {
            if (h->components[j].id == c->id) {
                return false;
            }
        }
    }
    for (uint32_t i = 0; i < h->num_components; ++i) {
        rbc__jpeg_component *c = &h->components[i];
        if (h->h_max % c->h != 0 || h->v_max % c->v != 0) {
            return false;
        }
        c->width = divide_up(h->width * c->h, h->h_max * 8);
        c->height = divide_up(h->height * c->v, h->v_max * 8);
    }
    w->has_frame = true;
    return true;
}

static bool read_huffman(walk *w, uint32_t at, uint32_t length) {
    while (length > 16) {
        const uint8_t *body = w->bytes + at;
        uint32_t count = 0;
        for (int i = 1; i <= 16; ++i) {
            count += body[i];
        }
        const uint32_t number = body[0] & 0xEF;
        if (number >= NUM_TABLES || count > 256 || count > length - 17) {
            return false;
        }
        *((body[0] & 0x10) != 0 ? &w->tables.ac[number] : &w->tables.dc[number]) = at + 1;
        at += 17 + count;
        length -= 17 + count;
    }
    return length == 0;
}

static bool read_quantisation(walk *w, uint32_t at, uint32_t length) {
    while (length > 0) {
        const uint8_t first = w->bytes[at];
        const uint32_t number = first & 15;
        const bool is_u16 = first >> 4 != 0;
        const uint32_t bytes = is_u16 ? 128 : 64;
        if (number >= NUM_TABLES || length < 1 + bytes) {
            return false;
        }
        w->tables.quant[number] = at + 1;
        w->tables.quant_is_u16[number] = is_u16;
        at += 1 + bytes;
        length -= 1 + bytes;
    }
    return true;
}

/* Counts must be those of a prefix code without the code of ones alone, and the categories of DC
 * differences below 16. */
static bool check_code(const uint8_t *counts, bool is_dc) {
    uint32_t code = 0;
    uint32_t symbols = 0;
    for (int length = 1; length <= 16; ++length) {
        code += counts[length - 1];
        symbols += counts[length - 1];
        if (counts[length - 1] != 0 && code >= UINT32_C(1) << length) {
            return false;
        }
        code <<= 1;
    }
    for (uint32_t i = 0; is_dc && i < symbols; ++i) {
        if (counts[16 + i] > 15) {
            return false;
        }
    }
    return true;
}

/* The library refuses a component in a position behind its own in the frame. */
static bool read_scan_component(walk *w, rbc__jpeg_scan *scan, uint32_t number,
                                const uint8_t *entry) {
    rbc__jpeg_header *h = w->header;
    uint32_t i = 0;
    while (i < h->num_components && h->components[i].id != entry[0]) {
        ++i;
    }
    const uint32_t dc = entry[1] >> 4;
    const uint32_t ac = entry[1] & 15;
    if (i == h->num_components || i < number || (w->scanned >> i & 1) != 0 || dc >= NUM_TABLES ||
        ac >= NUM_TABLES || w->tables.quant[w->quant[i]] == 0 || w->tables.dc[dc] == 0 ||
        w->tables.ac[ac] == 0) {
        return false;
    }
    rbc__jpeg_component *c = &h->components[i];
    w->scanned |= UINT32_C(1) << i;
    scan->component[number] = i;
    scan->dc_at[number] = w->tables.dc[dc];
    scan->ac_at[number] = w->tables.ac[ac];
    c->quant_at = w->tables.quant[w->quant[i]];
    c->quant_is_u16 = w->tables.quant_is_u16[w->quant[i]];
    scan->mcu_blocks += (uint32_t)c->h * c->v;
    return check_code(w->bytes + scan->dc_at[number], true) &&
           check_code(w->bytes + scan->ac_at[number], false);
}

static bool choose_colour(walk *w) {
    rbc__jpeg_header *h = w->header;
    if (h->num_components == 1) {
        h->colour = RBC__JPEG_GREY;
    } else if (w->has_jfif) {
        h->colour = RBC__JPEG_YCC;
    } else if (w->has_adobe) {
        h->colour = w->adobe_transform == 0 ? RBC__JPEG_RGB : RBC__JPEG_YCC;
        return w->adobe_transform <= 1;
    } else {
        const rbc__jpeg_component *c = h->components;
        h->colour =
            c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B' ? RBC__JPEG_RGB : RBC__JPEG_YCC;
    }
    return true;
}

/* What is kept of a walk that has come to the data of the first scan. */
typedef struct kept {
    walk walk;
    rbc__jpeg_header header;
} kept;

_Static_assert(sizeof(kept) <= sizeof(((rbc__jpeg_start *)NULL)->kept), "a start holds a walk");

static void keep_start(const walk *w) {
    kept *k = (kept *)(void *)w->start->kept;
    k->walk = *w;
    k->header = *w->header;
    w->start->bytes = w->at;
}

static bool read_scan(walk *w, const uint8_t *body, uint32_t length) {
    rbc__jpeg_header *h = w->header;
    static const uint8_t sequential[3] = {0, 63, 0};
    const uint32_t count = length > 0 ? body[0] : 0;
    if (!w->has_frame || count < 1 || count > h->num_components || length != 4 + 2 * count ||
        memcmp(body + 1 + 2 * (size_t)count, sequential, sizeof sequential) != 0 ||
        h->num_scans == h->num_components || (h->num_scans == 0 && !choose_colour(w))) {
        return false;
    }
    rbc__jpeg_scan *scan = &h->scans[h->num_scans++];
    *scan = (rbc__jpeg_scan){.num_components = count, .restart_interval = w->restart_interval};
    for (uint32_t i = 0; i < count; ++i) {
        if (!read_scan_component(w, scan, i, body + 1 + 2 * (size_t)i)) {
            return false;
        }
    }
    if (w->stops_at_scan) {
        w->has_tables = count == h->num_components;
        return false;
    }
    if (count == 1) {
        const rbc__jpeg_component *c = &h->components[scan->component[0]];
        scan->mcu_blocks = 1;
        scan->mcus_per_row = c->width;
        scan->mcu_rows = c->height;
    } else {
        scan->mcus_per_row = divide_up(h->width, h->h_max * 8);
        scan->mcu_rows = divide_up(h->height, h->v_max * 8);
    }
    if (scan->mcu_blocks > RBC__JPEG_MAX_MCU_BLOCKS) {
        return false;
    }
    w->stuffed = w->digest != NULL ? count_stuffed(w->bytes, w->at) : 0;
    if (w->start != NULL && h->num_scans == 1) {
        keep_start(w);
    }
    return read_segments(w, scan);
}

static bool read_application(walk *w, uint8_t marker, const uint8_t *body, uint32_t length) {
    if (marker == RBC__JPEG_APP0 && length >= 14 && memcmp(body, "JFIF", 5) == 0) {
        w->has_jfif = true;
        return body[5] == 1; /* of another version the library warns */
    }
    if (marker == RBC__JPEG_APP14 && length >= 12 && memcmp(body, "Adobe", 5) == 0) {
        w->has_adobe = true;
        w->adobe_transform = body[11];
    }
    return true;
}

/* The marker segment `marker` with `length` bytes at `at`. */
static bool read_marker(walk *w, uint8_t marker, uint32_t at, uint32_t length) {
    const uint8_t *body = w->bytes + at;
    w->at = at + length;
    switch (marker) {
    case RBC__JPEG_SOF0:
    case RBC__JPEG_SOF1:
        return read_frame(w, body, length);
    case RBC__JPEG_DHT:
        return read_huffman(w, at, length);
    case RBC__JPEG_DQT:
        return read_quantisation(w, at, length);
    case RBC__JPEG_DRI:
        w->restart_interval = length == 2 ? read_u16(body) : 0;
        w->header->has_restarts |= w->restart_interval != 0;
        return length == 2;
    case RBC__JPEG_SOS:
        return read_scan(w, body, length);
    default:
        return (marker >= RBC__JPEG_APP0 && marker <= RBC__JPEG_APP15 &&
                read_application(w, marker, body, length)) ||
               marker == RBC__JPEG_COM;
    }
}

static bool read_markers(walk *w) {
    rbc__jpeg_header *h = w->header;
    for (;;) {
        uint8_t marker = 0;
        if (!see_marker(w, &marker)) {
            return false;
        }
        if (marker == 0xFF) { /* fill byte */
            ++w->at;
            continue;
        }
        if (marker == RBC__JPEG_EOI) {
            h->end = w->at;
            return h->num_components != 0 && w->scanned == (UINT32_C(1) << h->num_components) - 1;
        }
        if (w->at >= w->num_bytes || w->num_bytes - w->at < 4) {
            return false;
        }
        const uint32_t length = read_u16(w->bytes + w->at + 2);
        if (length < 2 || length > w->num_bytes - w->at - 2 ||
            !read_marker(w, marker, w->at + 4, length - 2)) {
            return false;
        }
    }
}

static bool read_all(walk *w) {
    if (w->num_bytes < 2 || w->bytes[0] != 0xFF || w->bytes[1] != RBC__JPEG_SOI) {
        return false;
    }
    w->at = 2;
    return read_markers(w);
}

/* Goes on where the walk of a stream that begins alike stood. */
static bool read_rest(walk *w, const rbc__jpeg_start *start) {
    const kept *k = (const kept *)(const void *)start->kept;
    rbc__jpeg_header *h = w->header;
    const rbc__jpeg_header own = *h;
    const walk before = *w;
    *h = k->header;
    h->segments_room = own.segments_room;
    h->pieces_room = own.pieces_room;
    h->segments = own.segments;
    h->pieces = own.pieces;
    *w = k->walk;
    w->bytes = before.bytes;
    w->num_bytes = before.num_bytes;
    w->digest = before.digest;
    w->start = NULL;
    w->stream_bytes = before.stream_bytes;
    w->header = h;
    return read_segments(w, &h->scans[0]) && read_markers(w);
}

static rbc_status read_header(walk *w, const rbc__jpeg_start *start, rbc__jpeg_header *out,
                              rbc_error *err) {
    *out = (rbc__jpeg_header){
        .segments_room = out->segments_room,
        .pieces_room = out->pieces_room,
        .segments = out->segments,
        .pieces = out->pieces,
    };
    w->header = out;
    out->is_plain =
        w->stream_bytes <= MAX_BYTES && (start != NULL ? read_rest(w, start) : read_all(w));
    return w->no_memory ? rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY,
                                    "JPEG: no memory to list the data of %llu bytes",
                                    (unsigned long long)w->stream_bytes)
                        : RBC_OK;
}

rbc_status rbc__jpeg_header_read(const uint8_t *bytes, uint64_t num_bytes, rbc__jpeg_header *out,
                                 rbc_error *err) {
    walk w = {.bytes = bytes, .num_bytes = (uint32_t)num_bytes, .stream_bytes = num_bytes};
    return read_header(&w, NULL, out, err);
}

rbc_status rbc__jpeg_header_read_digest(const rbc__jpeg_digest *digest, uint64_t num_bytes,
                                        rbc__jpeg_start *start, bool keeps, rbc__jpeg_header *out,
                                        rbc_error *err) {
    walk w = {
        .bytes = digest->head,
        .num_bytes = digest->head_bytes,
        .digest = digest,
        .start = keeps ? start : NULL,
        .stream_bytes = num_bytes,
    };
    const bool is_alike = start->bytes != 0 && digest->alike >= start->bytes;
    return read_header(&w, is_alike ? start : NULL, out, err);
}

bool rbc__jpeg_has_tables(const uint8_t *bytes, uint64_t num_bytes) {
    rbc__jpeg_header header = {0};
    walk w = {.bytes = bytes, .header = &header, .stops_at_scan = true};
    w.num_bytes = num_bytes < MAX_BYTES ? (uint32_t)num_bytes : MAX_BYTES;
    (void)read_all(&w);
    return w.has_tables;
}

void rbc__jpeg_header_free(rbc__jpeg_header *header) {
    free(header->segments);
    free(header->pieces);
    *header = (rbc__jpeg_header){0};
}
