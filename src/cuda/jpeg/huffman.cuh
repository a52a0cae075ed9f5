/* Huffman decoding of a strand. Compiled for the device, and for the host by tests. */
#ifndef RBC_CUDA_JPEG_HUFFMAN_CUH
#define RBC_CUDA_JPEG_HUFFMAN_CUH

#include "cuda/jpeg/portable.cuh"

enum { HUFFMAN_NO_CODE = 17 << 8 };

/* An entry of a table for a code of `length` bits. */
INLINE uint32_t huffman_entry(uint32_t length, uint32_t symbol, bool is_dc) {
    const uint32_t size = symbol & 15, run = symbol >> 4;
    const uint32_t advance = is_dc ? 1 : size != 0 ? run + 1 : run == 15 ? 16 : JPEG_BLOCK;
    return advance << 16 | (length + size) << 8 | symbol;
}

INLINE uint32_t huffman_size(uint32_t entry) {
    return entry & 15;
}

INLINE uint32_t huffman_all(uint32_t entry) {
    return entry >> 8 & 31;
}

INLINE uint32_t huffman_advance(uint32_t entry) {
    return entry >> 16;
}

/* Of the bits that are no code, which counts as 17 bits that say zero. */
INLINE bool huffman_is_bad(uint32_t entry) {
    return (entry & 0xFF0F) == HUFFMAN_NO_CODE;
}

/* The entry of a code of more than 8 bits, of the 16 given. */
INLINE uint32_t huffman_by_length(const jpeg_table *table, uint32_t code) {
    uint32_t longer = 0;
    UNROLL
    for (int i = 0; i < 8; ++i) {
        longer += code >= table->limit[i];
    }
    if (longer == 8) {
        return huffman_entry(17, 0, table->is_dc != 0);
    }
    const uint32_t length = 9 + longer;
    const uint32_t place = (code >> (16 - length)) + table->offset[longer];
    return huffman_entry(length, table->symbols[place & 255], table->is_dc != 0);
}

/* The entry of the symbol that the next 32 bits begin with; `steps` are the table's. */
INLINE uint32_t huffman_find(const jpeg_table *table, uint32_t steps, uint32_t bits) {
    const uint32_t code = bits >> 16, second = steps & 0xFFFF, third = steps >> 16;
    const uint32_t long_at = 256 + ((code - second) >> 4);
    const uint32_t longest_at = 256 + ((third - second) >> 4) + (code - third);
    uint32_t at = code < second ? code >> 8 : code < third ? long_at : longest_at;
    at = at < JPEG_LOOK ? at : JPEG_LOOK;
    const uint32_t entry = table->look[at];
    return entry != 0 ? entry : huffman_by_length(table, code);
}

/* The value in the last `size` of the first `all` bits, F.12 of the standard. */
INLINE int32_t huffman_value(uint32_t bits, uint32_t all, uint32_t size) {
    const uint32_t value = bits << (all - size) >> 1 >> (31 - size);
    const uint32_t twice_half = 1u << size;
    return (int32_t)(value < twice_half >> 1 ? value - twice_half + 1 : value);
}

/* Fills in a table from the counts of its codes by length and the symbols behind them. Threads
 * [thread, ..) of `threads` share the work; all call it. */
INLINE void huffman_build(const uint8_t *counts, bool is_dc, jpeg_table *table, uint32_t thread,
                          uint32_t threads) {
    uint32_t first[17], place[17]; /* code and symbol that a length begins with */
    uint32_t code = 0, symbols = 0;
    for (int length = 1; length <= 16; ++length) {
        first[length] = code;
        place[length] = symbols;
        code = (code + counts[length - 1]) << 1;
        symbols += counts[length - 1];
    }
    const uint32_t second = (first[8] + counts[7]) << 8;
    const uint32_t third = (first[12] + counts[11]) << 4;
    const uint32_t third_at = 256 + (third - second) / 16;
    for (uint32_t i = thread; i <= JPEG_LOOK; i += threads) {
        /* The first of the codes that the entry is of. */
        const uint32_t bits = i < 256        ? i << 8
                              : i < third_at ? second + (i - 256) * 16
                                             : third + (i - third_at);
        const bool is_used = i == JPEG_LOOK ? false : i >= 256 || bits < second;
        uint32_t entry = 0;
        for (int length = 1; is_used && length <= 16; ++length) {
            const uint32_t own = bits >> (16 - length);
            if (entry == 0 && own >= first[length] && own - first[length] < counts[length - 1]) {
                const uint32_t at = 16 + place[length] + own - first[length];
                entry = huffman_entry((uint32_t)length, counts[at], is_dc);
            }
        }
        table->look[i] = entry;
    }
    for (uint32_t i = thread; i < 256; i += threads) {
        table->symbols[i] = i < symbols ? counts[16 + i] : 0;
    }
    if (thread == 0) {
        for (int length = 9; length <= 16; ++length) {
            table->limit[length - 9] =
                (uint16_t)((first[length] + counts[length - 1]) << (16 - length));
            table->offset[length - 9] = (uint16_t)(place[length] - first[length]);
        }
        table->steps = second | third << 16;
        table->is_dc = is_dc;
        table->reserved = 0;
    }
}

/* What a strand is decoded with. */
typedef struct huffman_strand {
    const uint32_t *words; /* of the segment */
    bool is_spread;        /* after every JPEG_STRAND_WORDS of them one is left out */
    const jpeg_scan *scan;
    const jpeg_table *tables; /* of the scan */
    uint32_t end;             /* the first symbol at or behind this bit is not the strand's */
} huffman_strand;

INLINE uint32_t word_of(const huffman_strand *strand, uint32_t number) {
    return strand->is_spread ? strand->words[number + number / JPEG_STRAND_WORDS]
                             : load_word(strand->words + number);
}

/* Where coefficients go; the place of each in its block is that of rows. Those of a block that
 * begins in the strand can be kept until it ends and stored by rows: fewer stores, and a longer way
 * for each. Others are stored one by one, as the strand before has the rest. */
typedef struct huffman_sink {
    int16_t *block;        /* the one in hand; zeros */
    uint32_t blocks;       /* it and those that follow in the segment */
    uint32_t flags;        /* JPEG_BAD_CODE */
    uint32_t end;          /* the bit behind the last block; 0: it was not reached */
    const uint8_t *places; /* by number in zigzag order */
    int16_t *kept;         /* zeros between blocks, its rows `kept_stride` apart; or NULL */
    uint32_t kept_stride;
    uint32_t rows; /* of `kept` that are not zeros, one bit each */
    bool keeps;    /* of the block in hand */
} huffman_sink;

INLINE void sink_put(huffman_sink *sink, uint32_t place, int32_t value) {
    if (sink->keeps) {
        sink->kept[place / 8 * sink->kept_stride + place % 8] = (int16_t)value;
        sink->rows |= 1u << place / 8;
    } else {
        sink->block[place] = (int16_t)value;
    }
}

/* Stores what is kept of the block in hand, which ends. */
INLINE void sink_end_block(huffman_sink *sink) {
    if (sink->rows != 0) {
        eight_values row[8]; /* loaded all at once */
        UNROLL
        for (uint32_t i = 0; i < 8; ++i) {
            row[i] = load_eight(sink->kept + i * sink->kept_stride);
        }
        UNROLL
        for (uint32_t i = 0; i < 8; ++i) {
            if ((sink->rows >> i & 1) != 0) {
                store_eight(sink->block + 8 * i, row[i]);
                clear_eight(sink->kept + i * sink->kept_stride);
            }
        }
        sink->rows = 0;
    }
    sink->keeps = sink->kept != 0;
}

/* Stores what is kept of the block in hand, which goes on in the next strand. */
INLINE void sink_end_strand(huffman_sink *sink) {
    for (uint32_t i = 0; i < 8; ++i) {
        for (uint32_t j = 0; j < 8 && (sink->rows >> i & 1) != 0; ++j) {
            const int16_t value = sink->kept[i * sink->kept_stride + j];
            if (value != 0) {
                sink->block[8 * i + j] = value;
            }
        }
    }
}

/* Decodes from `state` on, which becomes the state at the strand's end; returns how many blocks are
 * completed. With `sink`, coefficients are kept, DC as differences.
 *
 * A warp's threads are at different symbols, so every path that one of them takes costs all: the
 * common steps are computed by every thread for every symbol and chosen among, not branched to. */
INLINE uint32_t huffman_decode(const huffman_strand *strand, jpeg_state *state,
                               huffman_sink *sink) {
    const uint64_t block_tables = strand->scan->block_tables;
    const uint32_t mcu_blocks = strand->scan->mcu_blocks;
    uint32_t bit = state->bit;
    uint32_t block = state->place / JPEG_BLOCK;
    uint32_t k = state->place % JPEG_BLOCK;
    uint32_t following = block + 1 == mcu_blocks ? 0 : block + 1;
    const jpeg_table *ac = strand->tables + (block_tables >> (6 * block + 3) & 7);
    const jpeg_table *next_dc = strand->tables + (block_tables >> (6 * following) & 7);
    const jpeg_table *table = k == 0 ? strand->tables + (block_tables >> (6 * block) & 7) : ac;
    uint32_t ac_steps = ac->steps, next_dc_steps = next_dc->steps, steps = table->steps;
    uint32_t completed = 0;
    uint32_t word = bit / 32;
    uint32_t high = word_of(strand, word), low = word_of(strand, word + 1);
    uint32_t later = word_of(strand, word + 2);
    while (bit < strand->end) {
        const uint32_t bits = join_words(high, low, bit % 32);
        const uint32_t entry = huffman_find(table, steps, bits);
        const uint32_t all = huffman_all(entry);
        if (sink != 0) {
            const uint32_t number = k + huffman_advance(entry) - 1;
            const uint32_t size = huffman_size(entry);
            sink->flags |= huffman_is_bad(entry) ? JPEG_BAD_CODE : 0;
            if (size != 0) {
                sink_put(sink, sink->places[number < 63 ? number : 63],
                         huffman_value(bits, all, size));
            }
        }
        bit += all;
        const bool is_crossed = bit / 32 != word;
        word = bit / 32;
        high = is_crossed ? low : high;
        low = is_crossed ? later : low;
        later = word_of(strand, word + 2);
        k += huffman_advance(entry);
        const bool is_done = k >= JPEG_BLOCK;
        table = is_done ? next_dc : ac;
        steps = is_done ? next_dc_steps : ac_steps;
        if (is_done) {
            k = 0;
            block = following;
            following = block + 1 == mcu_blocks ? 0 : block + 1;
            ac = strand->tables + (block_tables >> (6 * block + 3) & 7);
            next_dc = strand->tables + (block_tables >> (6 * following) & 7);
            ac_steps = ac->steps;
            next_dc_steps = next_dc->steps;
            ++completed;
            if (sink != 0) {
                sink_end_block(sink);
                sink->block += JPEG_BLOCK;
                if (--sink->blocks == 0) {
                    sink->end = bit;
                    break;
                }
            }
        }
    }
    if (sink != 0) {
        sink_end_strand(sink);
    }
    state->bit = bit;
    state->place = block * JPEG_BLOCK + k;
    return completed;
}

/* What the bit behind a segment's last block says, as JPEG_OVERRUN or JPEG_REST. */
INLINE uint32_t huffman_end(uint32_t end, uint32_t num_bits) {
    return end > num_bits ? JPEG_OVERRUN : num_bits - end >= 8 ? JPEG_REST : 0;
}

/* DC of an MCU's blocks. */
typedef struct mcu_dc {
    uint32_t values[JPEG_MCU_BLOCKS];
} mcu_dc;

/* Loads them, all at once. */
INLINE mcu_dc dc_load(const jpeg_scan *scan, const int16_t *mcu) {
    mcu_dc dc;
    UNROLL
    for (uint32_t block = 0; block < JPEG_MCU_BLOCKS; ++block) {
        dc.values[block] =
            block < scan->mcu_blocks ? (uint32_t)(int32_t)mcu[block * JPEG_BLOCK] : 0;
    }
    return dc;
}

/* Makes values of differences: adds to each those before it of its component of the scan, of which
 * `sums` are the sums before the MCU, and then those behind it. */
INLINE void dc_add_up(const jpeg_scan *scan, mcu_dc *dc, uint32_t sums[JPEG_COMPONENTS]) {
    UNROLL
    for (uint32_t block = 0; block < JPEG_MCU_BLOCKS; ++block) {
        const uint32_t component = scan->block_components >> (2 * block) & 3;
        uint32_t now = 0;
        UNROLL
        for (uint32_t i = 0; i < JPEG_COMPONENTS; ++i) {
            sums[i] += component == i ? dc->values[block] : 0;
            now = component == i ? sums[i] : now;
        }
        dc->values[block] = now;
    }
}

INLINE void dc_store(const jpeg_scan *scan, const mcu_dc *dc, int16_t *mcu) {
    UNROLL
    for (uint32_t block = 0; block < JPEG_MCU_BLOCKS; ++block) {
        if (block < scan->mcu_blocks) {
            mcu[block * JPEG_BLOCK] = (int16_t)(uint16_t)dc->values[block];
        }
    }
}

#endif
