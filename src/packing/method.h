/* What undoes one kind of step, and what it works on. Shared within src/packing. */
#ifndef RBC_PACKING_METHOD_H
#define RBC_PACKING_METHOD_H

#include "core/error.h"
#include "packing/packing.h"

/* One step being undone. */
typedef struct rbc__undoing {
    rbc__unpacker *unpacker;
    const rbc__packing *packing;
    uint32_t index; /* of the step */
    uint32_t parameter;
    const uint8_t *in; /* never NULL, nor is out */
    size_t in_bytes;
    uint8_t *out;
    size_t out_capacity;
    bool is_exact;    /* just as many bytes are wanted as fit; else as many or fewer */
    size_t out_bytes; /* the result */
} rbc__undoing;

typedef enum rbc__sizes {
    RBC__SIZE_OTHER,    /* a compression */
    RBC__SIZE_KEPT,     /* as many bytes come out as went in */
    RBC__SIZE_CHECKSUM, /* 4 bytes are behind the data, which lie as they are */
} rbc__sizes;

typedef struct rbc__method {
    const char *name;
    rbc__sizes sizes;
    uint32_t growth; /* SIZE_OTHER: to how many bytes a packed one leads at most; 0: no bound */
    /* NULL where the parameter is 0. */
    bool (*accepts)(uint32_t parameter);
    /* How many bytes the packed ones say that they give; NULL or false where they do not. */
    bool (*declares)(const rbc__undoing *undoing, uint64_t *out_bytes);
    /* SIZE_OTHER and SIZE_KEPT: fills out and out_bytes. SIZE_CHECKSUM: verifies the in_bytes at
     * `in`, which are 4 at least. RBC_END, without a message: the result is longer than fits, and
     * may be tried again with more where more is allowed. */
    rbc_status (*undo)(rbc__undoing *undoing, rbc_error *err);
} rbc__method;

/* As rbc__fail(), the message beginning with the step. */
rbc_status rbc__undoing_fail(const rbc__undoing *undoing, rbc_error *err, rbc_status status,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));
#ifdef __clang_analyzer__
#define rbc__undoing_fail(undoing, err, status, ...)                                               \
    ((void)rbc__undoing_fail(undoing, err, status, __VA_ARGS__), (status))
#endif

/* FORMAT unless `at` is the end of the packed bytes. */
rbc_status rbc__undoing_check_end(const rbc__undoing *undoing, size_t at, rbc_error *err);

bool rbc__lz4_block_declares(const rbc__undoing *undoing, uint64_t *out_bytes);
bool rbc__lz4_hdf5_declares(const rbc__undoing *undoing, uint64_t *out_bytes);
bool rbc__zstd_declares(const rbc__undoing *undoing, uint64_t *out_bytes);
bool rbc__snappy_declares(const rbc__undoing *undoing, uint64_t *out_bytes);
bool rbc__blosc_declares(const rbc__undoing *undoing, uint64_t *out_bytes);
bool rbc__bitshuffle_declares(const rbc__undoing *undoing, uint64_t *out_bytes);

rbc_status rbc__undo_deflate(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_zlib(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_gzip(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_bz2(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_lz4_block(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_lz4_frame(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_lz4_hdf5(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_zstd(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_snappy(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_lzf(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_blosc(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_shuffle(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_bitshuffle(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_bitshuffle_lz4(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_bitshuffle_zstd(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_fletcher32(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_crc32c(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_jxl(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_varint(rbc__undoing *undoing, rbc_error *err);
rbc_status rbc__undo_zip(rbc__undoing *undoing, rbc_error *err);

#endif
