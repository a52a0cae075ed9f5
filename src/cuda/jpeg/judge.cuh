/* What libjpeg-turbo says of an image whose codes or segments do not come out even.
 *
 * Its fast decoding of MCUs takes bits that are no code for a zero and says nothing; it is used
 * without restart intervals and while 512 bytes a block are left of the stream, wherever the image
 * ends. Its careful decoding, used elsewhere and for MCUs within which the fast one saw a marker,
 * warns, and a warning is a refusal. Whole bytes behind the last block are a warning unless they
 * were in the bit buffer already. So the verdict hangs on how far it reads ahead, and here that is
 * gone through: MCU by MCU, on one thread, for the few images that need it. */
#ifndef RBC_CUDA_JPEG_JUDGE_CUH
#define RBC_CUDA_JPEG_JUDGE_CUH

#include "cuda/jpeg/huffman.cuh"

enum {
    JUDGE_CAREFUL_BITS = 57, /* the careful one reads until it has as many */
    JUDGE_FAST_BLOCK_BYTES = 512,
};

typedef struct judge {
    const uint8_t *bytes;
    uint32_t num_bytes, at;
    uint64_t buffer;
    uint32_t left; /* bits in it */
    bool met_marker;
    uint32_t discarded; /* bytes skipped of which no warning was given yet */
} judge;

/* Reads ahead; false where `needed` bits are not to be had before a marker. */
INLINE bool judge_fill(judge *j, uint32_t needed) {
    while (!j->met_marker && j->left < JUDGE_CAREFUL_BITS) {
        if (j->at == j->num_bytes) {
            return false;
        }
        uint32_t byte = j->bytes[j->at++];
        if (byte == 0xFF) {
            do {
                if (j->at == j->num_bytes) {
                    return false;
                }
                byte = j->bytes[j->at++];
            } while (byte == 0xFF);
            if (byte != 0) {
                j->met_marker = true;
                break;
            }
            byte = 0xFF;
        }
        j->buffer = j->buffer << 8 | byte;
        j->left += 8;
    }
    return needed <= j->left;
}

INLINE bool judge_have(judge *j, uint32_t needed) {
    return j->left >= needed || judge_fill(j, needed);
}

/* The next 32 bits, zeros behind those that are there. */
INLINE uint32_t judge_peek(const judge *j) {
    return (uint32_t)(j->left >= 32 ? j->buffer >> (j->left - 32) : j->buffer << (32 - j->left));
}

INLINE uint32_t judge_length(uint32_t entry) {
    return huffman_all(entry) - huffman_size(entry);
}

/* Takes a code in the careful way; false: it warns. */
INLINE bool judge_code(judge *j, const jpeg_table *table, uint32_t *entry) {
    if (j->left < 8) {
        if (!judge_fill(j, 0)) {
            return false;
        }
        if (j->left < 8) {
            *entry = huffman_find(table, table->steps, judge_peek(j));
            if (judge_length(*entry) > j->left) {
                return false;
            }
            j->left -= judge_length(*entry);
            return true;
        }
    }
    if (judge_peek(j) >> 16 < (table->steps & 0xFFFF)) {
        *entry = huffman_find(table, table->steps, judge_peek(j));
        j->left -= judge_length(*entry);
        return true;
    }
    if (!judge_have(j, 9)) {
        return false;
    }
    uint32_t length = 9;
    uint32_t code = judge_peek(j) >> 23;
    j->left -= 9;
    while (code << (16 - length) >= table->limit[length - 9]) {
        if (length == 16 || !judge_have(j, 1)) {
            return false;
        }
        code = code << 1 | judge_peek(j) >> 31;
        --j->left;
        ++length;
    }
    *entry = huffman_by_length(table, code << (16 - length));
    return true;
}

INLINE const jpeg_table *judge_table(const jpeg_scan *scan, const jpeg_table *tables,
                                     uint32_t block, uint32_t k) {
    return tables + (scan->block_tables >> (6 * block + (k == 0 ? 0 : 3)) & 7);
}

INLINE bool judge_careful_mcu(judge *j, const jpeg_scan *scan, const jpeg_table *tables) {
    for (uint32_t block = 0; block < scan->mcu_blocks; ++block) {
        for (uint32_t k = 0; k < JPEG_BLOCK;) {
            uint32_t entry;
            if (!judge_code(j, judge_table(scan, tables, block, k), &entry) ||
                !judge_have(j, huffman_size(entry))) {
                return false;
            }
            j->left -= huffman_size(entry);
            k += huffman_advance(entry);
        }
    }
    return true;
}

INLINE void judge_fast_fill(judge *j) {
    if (j->left > 16) {
        return;
    }
    for (int i = 0; i < 6; ++i) {
        const uint32_t byte = j->bytes[j->at++];
        j->buffer = j->buffer << 8 | byte;
        j->left += 8;
        if (byte == 0xFF && j->bytes[j->at] == 0) {
            ++j->at;
        } else if (byte == 0xFF) {
            j->met_marker = true;
            --j->at;
            j->buffer &= ~(uint64_t)0xFF;
        }
    }
}

/* False, and nothing has happened, where a marker was seen. */
INLINE bool judge_fast_mcu(judge *j, const jpeg_scan *scan, const jpeg_table *tables) {
    const judge before = *j;
    for (uint32_t block = 0; block < scan->mcu_blocks; ++block) {
        for (uint32_t k = 0; k < JPEG_BLOCK;) {
            judge_fast_fill(j);
            const jpeg_table *table = judge_table(scan, tables, block, k);
            const uint32_t entry = huffman_find(table, table->steps, judge_peek(j));
            j->left -= judge_length(entry);
            if (huffman_size(entry) != 0) {
                judge_fast_fill(j);
                j->left -= huffman_size(entry);
            }
            k += huffman_advance(entry);
        }
    }
    if (j->met_marker) {
        *j = before;
        return false;
    }
    return true;
}

/* Goes on behind the next marker, which is there; false where bytes are skipped to get to it. */
INLINE bool judge_marker(judge *j) {
    while (!j->met_marker) {
        uint32_t byte = 0;
        while (j->at < j->num_bytes && (byte = j->bytes[j->at++]) != 0xFF) {
            ++j->discarded;
        }
        while (j->at < j->num_bytes && byte == 0xFF) {
            byte = j->bytes[j->at++];
        }
        j->met_marker = byte != 0 || j->at == j->num_bytes;
        j->discarded += j->met_marker ? 0 : 2;
        if (j->met_marker && j->discarded != 0) {
            return false;
        }
    }
    return true;
}

INLINE bool judge_scan(judge *j, const jpeg_scan *scan, const jpeg_table *tables) {
    j->at = scan->begin;
    j->left = 0;
    j->met_marker = false;
    for (uint32_t mcu = 0; mcu < scan->num_mcus; ++mcu) {
        if (scan->restart_interval != 0 && mcu != 0 && mcu % scan->restart_interval == 0) {
            j->discarded += j->left / 8;
            j->left = 0;
            if (!judge_marker(j)) {
                return false;
            }
            j->met_marker = false;
        }
        const bool is_fast = scan->restart_interval == 0 && !j->met_marker &&
                             j->num_bytes - j->at >= JUDGE_FAST_BLOCK_BYTES * scan->mcu_blocks;
        if (!(is_fast && judge_fast_mcu(j, scan, tables)) && !judge_careful_mcu(j, scan, tables)) {
            return false;
        }
    }
    return true;
}

/* Zeros that some cameras put behind the last scan are no damage. */
INLINE bool judge_is_padding(const judge *j, uint32_t end) {
    for (uint32_t i = 1; i <= j->discarded && i <= end; ++i) {
        if (j->bytes[end - i] != 0) {
            return false;
        }
    }
    return true;
}

/* Whether the image is decoded without a warning. `scans` are its own, `tables` of the batch. */
INLINE bool judge_image(const jpeg_image *image, const uint8_t *streams, const jpeg_scan *scans,
                        const jpeg_table *tables) {
    judge j;
    j.bytes = streams + image->stream;
    j.num_bytes = image->num_bytes;
    j.at = 0;
    j.buffer = 0;
    j.left = 0;
    j.met_marker = false;
    j.discarded = 0;
    for (uint32_t i = 0; i < image->num_scans; ++i) {
        const jpeg_scan *scan = &scans[i];
        if (!judge_scan(&j, scan, tables + scan->first_table)) {
            return false;
        }
        const bool is_last = i + 1 == image->num_scans;
        if (!judge_marker(&j)) {
            return is_last && judge_is_padding(&j, image->end);
        }
        if (!is_last && !scan->is_followed && j.discarded != 0) {
            return false;
        }
    }
    return true;
}

/* Whether an image in which the write pass found this is one that libjpeg-turbo takes. */
INLINE bool verdict_of(const jpeg_image *image, const jpeg_found *found, const uint8_t *streams,
                       const jpeg_scan *scans, const jpeg_table *tables) {
    if (found->segments != image->num_segments || (found->flags & JPEG_OVERRUN) != 0) {
        return false;
    }
    return found->flags == 0 || judge_image(image, streams, scans, tables);
}

#endif
