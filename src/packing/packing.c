/* The kinds of steps, and the walk back through a chain of them. */
#include "packing/packing.h"

#include <stdio.h>
#include <string.h>

#include "packing/unpacker_state.h"

static bool accepts_element(uint32_t parameter) {
    return parameter >= 1;
}

static bool accepts_size_bytes(uint32_t parameter) {
    return parameter == 0 || parameter == 4;
}

static bool accepts_bits(uint32_t parameter) {
    return (parameter & UINT16_MAX) >= 1;
}

/* Deflate repeats 258 bytes for 2 bits. LZ4 and BloscLZ add 255 to a length by a byte; LZF repeats
 * 264 bytes and Snappy 64 for 3. A block of Zstandard is 128 KiB of at least 4 bytes. A block of
 * bzip2 is up to 46.6 MB, of more than 12 bytes. JPEG XL has no bound: pixels that are all alike take
 * a few dozen bytes, and a chunk of them no more than some ten megabytes. */
enum {
    GROWTH_DEFLATE = 1032,
    GROWTH_LZ4 = 255,
    GROWTH_LZF = 88,
    GROWTH_SNAPPY = 22,
    GROWTH_ZSTD = 32768,
    GROWTH_BZ2 = 4000000,
    GROWTH_JXL = 1000000,
};

static const rbc__method methods[] = {
    [RBC__PACKING_DEFLATE] = {.name = "deflate",
                              .growth = GROWTH_DEFLATE,
                              .undo = rbc__undo_deflate},
    [RBC__PACKING_ZLIB] = {.name = "zlib", .growth = GROWTH_DEFLATE, .undo = rbc__undo_zlib},
    [RBC__PACKING_GZIP] = {.name = "gzip", .growth = GROWTH_DEFLATE, .undo = rbc__undo_gzip},
    [RBC__PACKING_BZ2] = {.name = "bz2", .growth = GROWTH_BZ2, .undo = rbc__undo_bz2},
    [RBC__PACKING_LZ4_BLOCK] = {.name = "lz4_block",
                                .growth = GROWTH_LZ4,
                                .accepts = accepts_size_bytes,
                                .declares = rbc__lz4_block_declares,
                                .undo = rbc__undo_lz4_block},
    [RBC__PACKING_LZ4_FRAME] = {.name = "lz4_frame",
                                .growth = GROWTH_LZ4,
                                .undo = rbc__undo_lz4_frame},
    [RBC__PACKING_LZ4_HDF5] = {.name = "lz4_hdf5",
                               .growth = GROWTH_LZ4,
                               .declares = rbc__lz4_hdf5_declares,
                               .undo = rbc__undo_lz4_hdf5},
    [RBC__PACKING_ZSTD] = {.name = "zstd",
                           .growth = GROWTH_ZSTD,
                           .declares = rbc__zstd_declares,
                           .undo = rbc__undo_zstd},
    [RBC__PACKING_SNAPPY] = {.name = "snappy",
                             .growth = GROWTH_SNAPPY,
                             .declares = rbc__snappy_declares,
                             .undo = rbc__undo_snappy},
    [RBC__PACKING_LZF] = {.name = "lzf", .growth = GROWTH_LZF, .undo = rbc__undo_lzf},
    [RBC__PACKING_BLOSC] = {.name = "blosc",
                            .growth = GROWTH_ZSTD,
                            .declares = rbc__blosc_declares,
                            .undo = rbc__undo_blosc},
    [RBC__PACKING_SHUFFLE] = {.name = "shuffle",
                              .sizes = RBC__SIZE_KEPT,
                              .accepts = accepts_element,
                              .undo = rbc__undo_shuffle},
    [RBC__PACKING_BITSHUFFLE] = {.name = "bitshuffle",
                                 .sizes = RBC__SIZE_KEPT,
                                 .accepts = accepts_bits,
                                 .undo = rbc__undo_bitshuffle},
    [RBC__PACKING_BITSHUFFLE_LZ4] = {.name = "bitshuffle_lz4",
                                     .growth = GROWTH_LZ4,
                                     .accepts = accepts_element,
                                     .declares = rbc__bitshuffle_declares,
                                     .undo = rbc__undo_bitshuffle_lz4},
    [RBC__PACKING_BITSHUFFLE_ZSTD] = {.name = "bitshuffle_zstd",
                                      .growth = GROWTH_ZSTD,
                                      .accepts = accepts_element,
                                      .declares = rbc__bitshuffle_declares,
                                      .undo = rbc__undo_bitshuffle_zstd},
    [RBC__PACKING_FLETCHER32] = {.name = "fletcher32",
                                 .sizes = RBC__SIZE_CHECKSUM,
                                 .undo = rbc__undo_fletcher32},
    [RBC__PACKING_CRC32C] = {.name = "crc32c",
                             .sizes = RBC__SIZE_CHECKSUM,
                             .undo = rbc__undo_crc32c},
    [RBC__PACKING_JXL] = {.name = "jxl", .growth = GROWTH_JXL, .undo = rbc__undo_jxl},
    [RBC__PACKING_VARINT] = {.name = "varint", .growth = 8, .undo = rbc__undo_varint},
    [RBC__PACKING_ZIP] = {.name = "zip", .growth = GROWTH_DEFLATE, .undo = rbc__undo_zip},
};

#define NUM_KINDS (sizeof methods / sizeof *methods)

static const rbc__method *find_method(uint32_t kind) {
    return kind < NUM_KINDS && methods[kind].name != NULL ? &methods[kind] : NULL;
}

const char *rbc__packing_name(uint32_t kind) {
    const rbc__method *method = find_method(kind);
    return method != NULL ? method->name : NULL;
}

rbc_status rbc__packing_find(const char *name, rbc__packing_kind *out, rbc_error *err) {
    char known[256] = "";
    size_t length = 0;
    for (uint32_t kind = RBC__PACKING_DEFLATE; kind < NUM_KINDS; ++kind) {
        const char *candidate = rbc__packing_name(kind);
        if (candidate == NULL) {
            continue;
        }
        if (strcmp(name, candidate) == 0) {
            *out = (rbc__packing_kind)kind;
            return RBC_OK;
        }
        const int written = snprintf(known + length, sizeof known - length, "%s%s",
                                     length > 0 ? ", " : "", candidate);
        length += (size_t)written < sizeof known - length ? (size_t)written : 0;
    }
    return rbc__fail(err, RBC_ERROR_UNSUPPORTED, "packing '%.100s' is not known; wanted one of %s",
                     name, known);
}

rbc_status rbc__packing_check(const rbc__packing *packing, rbc_error *err) {
    if (packing->num_steps > RBC__PACKING_MAX_STEPS) {
        return rbc__fail(err, RBC_ERROR_FORMAT, "packing has %u steps, wanted at most %d",
                         packing->num_steps, RBC__PACKING_MAX_STEPS);
    }
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        const rbc__packing_step *step = &packing->steps[i];
        const rbc__method *method = find_method(step->kind);
        if (method == NULL) {
            return rbc__fail(err, RBC_ERROR_UNSUPPORTED,
                             "packing step %u of %u: kind %u is not known", i + 1,
                             packing->num_steps, step->kind);
        }
        const bool is_accepted =
            method->accepts != NULL ? method->accepts(step->parameter) : step->parameter == 0;
        if (!is_accepted) {
            return rbc__fail(err, RBC_ERROR_FORMAT,
                             "packing step %u of %u, %s: parameter %u is none that it has", i + 1,
                             packing->num_steps, method->name, step->parameter);
        }
    }
    return RBC_OK;
}

uint32_t rbc__packing_bitshuffle(uint32_t element_bytes, uint32_t block_elements) {
    if (element_bytes > UINT16_MAX || block_elements / 8 > UINT16_MAX || block_elements % 8 != 0) {
        return 0;
    }
    return element_bytes == 0 ? 0 : element_bytes | block_elements / 8 << 16;
}

static size_t add_up(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* To how many bytes as many packed ones may lead. */
static size_t most_of(const rbc__method *method, size_t bytes) {
    if (method->sizes != RBC__SIZE_OTHER) {
        return bytes;
    }
    const bool is_bounded = method->growth > 0 && bytes <= SIZE_MAX / method->growth;
    return is_bounded ? bytes * method->growth : SIZE_MAX;
}

rbc_status rbc__packing_check_growth(const rbc__packing *packing, size_t packed_bytes,
                                     size_t unpacked_bytes, rbc_error *err) {
    size_t most = packed_bytes;
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        most = most_of(&methods[packing->steps[i].kind], most);
    }
    return unpacked_bytes <= most
               ? RBC_OK
               : rbc__fail(err, RBC_ERROR_FORMAT,
                           "packing of %zu bytes gives %zu at most, whatever they are; wanted %zu",
                           packed_bytes, most, unpacked_bytes);
}

/* What a compression may make of `bytes` at most. Those that are known add less than a quarter. */
static size_t grown(size_t bytes) {
    return add_up(bytes, add_up(bytes / 4, 65536));
}

typedef struct extent {
    size_t bytes;
    bool is_exact; /* else a bound */
} extent;

/* sizes[i]: what step i was given when the block was packed; sizes[num_steps]: the packed bytes. */
static void foretell(const rbc__packing *packing, extent unpacked, extent *sizes) {
    sizes[0] = unpacked;
    for (uint32_t i = 0; i < packing->num_steps; ++i) {
        extent size = sizes[i];
        switch (methods[packing->steps[i].kind].sizes) {
        case RBC__SIZE_OTHER:
            size = (extent){grown(size.bytes), false};
            break;
        case RBC__SIZE_CHECKSUM:
            size.bytes = add_up(size.bytes, 4);
            break;
        case RBC__SIZE_KEPT:
            break;
        }
        sizes[i + 1] = size;
    }
}

static rbc_status fail_long(const rbc__undoing *undoing, extent wanted, rbc_error *err) {
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "gives more bytes, wanted %s%zu",
                             wanted.is_exact ? "" : "at most ", wanted.bytes);
}

static rbc_status check_size(const rbc__undoing *undoing, uint64_t found, const char *verb,
                             extent wanted, rbc_error *err) {
    if (wanted.is_exact ? found == wanted.bytes : found <= wanted.bytes) {
        return RBC_OK;
    }
    return rbc__undoing_fail(undoing, err, RBC_ERROR_FORMAT, "%s %llu bytes, wanted %s%zu", verb,
                             (unsigned long long)found, wanted.is_exact ? "" : "at most ",
                             wanted.bytes);
}

/* Undoes a step whose result goes to `dst`, or to the buffer where that is NULL. */
static rbc_status undo_into(rbc__undoing *undoing, const rbc__method *method, extent wanted,
                            uint8_t *dst, rbc__buffer buffer, rbc_error *err) {
    uint64_t declared = 0;
    const bool is_declared = method->declares != NULL && method->declares(undoing, &declared);
    if (is_declared) {
        const extent most = {most_of(method, undoing->in_bytes), false};
        RBC__TRY(check_size(undoing, declared, "declares", wanted, err));
        RBC__TRY(check_size(undoing, declared, "declares", most, err));
    }
    undoing->is_exact = wanted.is_exact || is_declared;
    undoing->out_capacity = wanted.bytes;
    if (method->sizes == RBC__SIZE_KEPT) {
        undoing->out_capacity = undoing->in_bytes;
    } else if (is_declared) {
        undoing->out_capacity = (size_t)declared;
    } else if (!wanted.is_exact) { /* begins with a guess */
        const size_t guess =
            add_up(65536, undoing->in_bytes > SIZE_MAX / 4 ? SIZE_MAX : 4 * undoing->in_bytes);
        undoing->out_capacity = guess < wanted.bytes ? guess : wanted.bytes;
    }
    for (;;) {
        undoing->out = dst;
        if (dst == NULL) {
            RBC__TRY(
                rbc__undoing_reserve(undoing, buffer, undoing->out_capacity, &undoing->out, err));
        }
        undoing->out_bytes = 0;
        const rbc_status status = method->undo(undoing, err);
        if (status != RBC_END) {
            RBC__TRY(status);
            return check_size(undoing, undoing->out_bytes, "gives", wanted, err);
        }
        if (undoing->is_exact || undoing->out_capacity == wanted.bytes) {
            return fail_long(undoing, wanted, err);
        }
        undoing->out_capacity =
            undoing->out_capacity > wanted.bytes / 2 ? wanted.bytes : 2 * undoing->out_capacity;
    }
}

/* In place of NULL, where there are no bytes. */
static uint8_t nothing[1];

/* The result is at *out: dst where that is given and a step has written there, or elsewhere. */
static rbc_status undo_steps(rbc__unpacker *unpacker, const rbc__packing *packing,
                             const uint8_t *packed, size_t packed_bytes, extent unpacked,
                             uint8_t *dst, rbc__unpacked *out, rbc_error *err) {
    extent sizes[RBC__PACKING_MAX_STEPS + 1];
    foretell(packing, unpacked, sizes);
    rbc__undoing undoing = {.unpacker = unpacker, .packing = packing};
    const uint8_t *at = packed_bytes > 0 ? packed : nothing;
    size_t num_bytes = packed_bytes;
    rbc__buffer buffer = RBC__BUFFER_EVEN;
    for (uint32_t i = packing->num_steps; i-- > 0;) {
        const rbc__method *method = &methods[packing->steps[i].kind];
        undoing.index = i;
        undoing.parameter = packing->steps[i].parameter;
        undoing.in = at;
        undoing.in_bytes = num_bytes;
        if (method->sizes == RBC__SIZE_CHECKSUM) {
            if (num_bytes < 4) {
                return rbc__undoing_fail(&undoing, err, RBC_ERROR_FORMAT,
                                         "%zu bytes, wanted at least the 4 of a checksum",
                                         num_bytes);
            }
            RBC__TRY(method->undo(&undoing, err));
            num_bytes -= 4;
            RBC__TRY(check_size(&undoing, num_bytes, "gives", sizes[i], err));
            continue;
        }
        if (method->sizes == RBC__SIZE_KEPT) {
            RBC__TRY(check_size(&undoing, num_bytes, "has", sizes[i], err));
        }
        const bool is_last = i == 0 && dst != NULL;
        RBC__TRY(undo_into(&undoing, method, sizes[i], is_last ? dst : NULL, buffer, err));
        at = undoing.out;
        num_bytes = undoing.out_bytes;
        buffer = buffer == RBC__BUFFER_EVEN ? RBC__BUFFER_ODD : RBC__BUFFER_EVEN;
    }
    *out = (rbc__unpacked){at, num_bytes};
    return RBC_OK;
}

static rbc_status check_plain(const rbc__packing *packing, size_t packed_bytes, extent wanted,
                              rbc_error *err) {
    if (packing->num_steps > 0 ||
        (wanted.is_exact ? packed_bytes == wanted.bytes : packed_bytes <= wanted.bytes)) {
        return RBC_OK;
    }
    return rbc__fail(err, RBC_ERROR_FORMAT, "block that is not packed has %zu bytes, wanted %s%zu",
                     packed_bytes, wanted.is_exact ? "" : "at most ", wanted.bytes);
}

rbc_status rbc__unpack(rbc__unpacker *unpacker, const rbc__packing *packing, const void *packed,
                       size_t packed_bytes, void *dst, size_t unpacked_bytes, rbc_error *err) {
    const extent wanted = {unpacked_bytes, true};
    uint8_t *into = unpacked_bytes > 0 ? dst : nothing;
    rbc__unpacked found;
    RBC__TRY(check_plain(packing, packed_bytes, wanted, err));
    RBC__TRY(rbc__packing_check_growth(packing, packed_bytes, unpacked_bytes, err));
    RBC__TRY(undo_steps(unpacker, packing, packed, packed_bytes, wanted, into, &found, err));
    if (found.bytes != into && unpacked_bytes > 0) {
        memcpy(into, found.bytes, unpacked_bytes);
    }
    return RBC_OK;
}

rbc_status rbc__unpack_unsized(rbc__unpacker *unpacker, const rbc__packing *packing,
                               const void *packed, size_t packed_bytes, size_t max_bytes,
                               rbc__unpacked *out, rbc_error *err) {
    const extent wanted = {max_bytes, false};
    RBC__TRY(check_plain(packing, packed_bytes, wanted, err));
    return undo_steps(unpacker, packing, packed, packed_bytes, wanted, NULL, out, err);
}
