/* The kinds of steps, and the walk back through a chain of them. */
#include "packing/packing.h"

#include <libdeflate.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "packing/method.h"

static bool accepts_element(uint32_t parameter) {
    return parameter >= 1;
}

static const rbc__method methods[] = {
    [RBC__PACKING_DEFLATE] = {.name = "deflate", .undo = rbc__undo_deflate},
    [RBC__PACKING_ZLIB] = {.name = "zlib", .undo = rbc__undo_zlib},
    [RBC__PACKING_GZIP] = {.name = "gzip", .undo = rbc__undo_gzip},
    [RBC__PACKING_SHUFFLE] = {.name = "shuffle",
                              .sizes = RBC__SIZE_KEPT,
                              .accepts = accepts_element,
                              .undo = rbc__undo_shuffle},
    [RBC__PACKING_FLETCHER32] = {.name = "fletcher32",
                                 .sizes = RBC__SIZE_CHECKSUM,
                                 .undo = rbc__undo_fletcher32},
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
    for (uint32_t kind = 0; kind < NUM_KINDS; ++kind) {
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

rbc_status rbc__unpacker_create(rbc__unpacker **out, rbc_error *err) {
    *out = calloc(1, sizeof **out);
    return *out != NULL ? RBC_OK
                        : rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "unpacker: out of memory");
}

void rbc__unpacker_destroy(rbc__unpacker **unpacker) {
    if (*unpacker == NULL) {
        return;
    }
    libdeflate_free_decompressor((*unpacker)->deflate);
    free((*unpacker)->scratch[0]);
    free((*unpacker)->scratch[1]);
    free(*unpacker);
    *unpacker = NULL;
}

size_t rbc__unpacker_bytes(const rbc__unpacker *unpacker) {
    return unpacker->scratch_bytes[0] + unpacker->scratch_bytes[1];
}

rbc_status(rbc__undoing_fail)(const rbc__undoing *undoing, rbc_error *err, rbc_status status,
                              const char *format, ...) {
    char text[RBC_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return rbc__fail(err, status, "packing step %u of %u, %s: %s", undoing->index + 1,
                     undoing->packing->num_steps,
                     rbc__packing_name(undoing->packing->steps[undoing->index].kind), text);
}

static size_t add_up(size_t a, size_t b) {
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
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

static rbc_status reserve(const rbc__undoing *undoing, int scratch, size_t bytes, uint8_t **out,
                          rbc_error *err) {
    rbc__unpacker *unpacker = undoing->unpacker;
    bytes += bytes == 0;
    if (unpacker->scratch_bytes[scratch] < bytes) {
        free(unpacker->scratch[scratch]);
        unpacker->scratch_bytes[scratch] = 0;
        unpacker->scratch[scratch] = malloc(bytes);
        if (unpacker->scratch[scratch] == NULL) {
            return rbc__undoing_fail(undoing, err, RBC_ERROR_OUT_OF_MEMORY,
                                     "%zu bytes of memory cannot be had", bytes);
        }
        unpacker->scratch_bytes[scratch] = bytes;
    }
    *out = unpacker->scratch[scratch];
    return RBC_OK;
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

/* Undoes a step whose result goes to `dst`, or to scratch where that is NULL. */
static rbc_status undo_into(rbc__undoing *undoing, const rbc__method *method, extent wanted,
                            uint8_t *dst, int scratch, rbc_error *err) {
    uint64_t declared = 0;
    const bool is_declared = method->declares != NULL && method->declares(undoing, &declared);
    if (is_declared) {
        RBC__TRY(check_size(undoing, declared, "declares", wanted, err));
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
            RBC__TRY(reserve(undoing, scratch, undoing->out_capacity, &undoing->out, err));
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
    int scratch = 0;
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
        RBC__TRY(undo_into(&undoing, method, sizes[i], is_last ? dst : NULL, scratch, err));
        at = undoing.out;
        num_bytes = undoing.out_bytes;
        scratch ^= 1;
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
