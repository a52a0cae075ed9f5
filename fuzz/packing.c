/* Fuzzes chains of steps and the bytes that they are undone from: a count of steps, the wanted size
 * in 2 bytes, a kind and a parameter a step, and what is packed. */
#define _GNU_SOURCE

#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "packing/packing.h"

enum { ROOM = 1 << 16 };

/* Memory of ROOM bytes whose end no library crosses unseen, though none is built with
 * sanitizers. */
static uint8_t *end_of_guarded(void) {
    uint8_t *at = mmap(NULL, 2 * ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fuzz_require(at != MAP_FAILED);
    fuzz_require(mprotect(at + ROOM, ROOM, PROT_NONE) == 0);
    return at + ROOM;
}

static rbc__packing_step read_step(const uint8_t *at) {
    rbc__packing_step step = {at[0], at[1]};
    if (step.kind == RBC__PACKING_BITSHUFFLE) {
        step.parameter = rbc__packing_bitshuffle(at[1] % 64U, at[1] / 64U * 8U);
    }
    return step;
}

static void require_refusal(rbc_status status, const rbc_error *err) {
    fuzz_require(status == RBC_ERROR_FORMAT);
    fuzz_require(strncmp(err->message, "packing ", 8) == 0 ||
                 strncmp(err->message, "block that ", 11) == 0);
}

/* With its size told and not, a block gives the same or is refused. */
static void unpack(const rbc__packing *packing, const uint8_t *in, size_t in_bytes, size_t bytes) {
    static rbc__unpacker *unpacker;
    static uint8_t *out_end;
    rbc_error err;
    if (unpacker == NULL) {
        fuzz_require(rbc__unpacker_create(&unpacker, &err) == RBC_OK);
        out_end = end_of_guarded();
    }
    uint8_t *out = out_end - bytes;
    rbc__unpacked found;
    const rbc_status sized = rbc__unpack(unpacker, packing, in, in_bytes, out, bytes, &err);
    if (sized != RBC_OK) {
        require_refusal(sized, &err);
    }
    const rbc_status unsized =
        rbc__unpack_unsized(unpacker, packing, in, in_bytes, bytes, &found, &err);
    if (unsized != RBC_OK) {
        require_refusal(unsized, &err);
        fuzz_require(sized != RBC_OK);
        return;
    }
    fuzz_require(found.num_bytes <= bytes);
    fuzz_drain(found.bytes, found.num_bytes);
    fuzz_require((sized == RBC_OK) == (found.num_bytes == bytes));
    if (sized == RBC_OK && bytes > 0) {
        fuzz_require(memcmp(found.bytes, out, bytes) == 0);
    }
    fuzz_require(rbc__unpacker_bytes(unpacker) <= 64 * ROOM);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static uint8_t *in_end;
    if (in_end == NULL) {
        in_end = end_of_guarded();
    }
    rbc__packing packing = {0};
    if (size < 3 || size > ROOM) {
        return 0;
    }
    packing.num_steps = data[0] % (RBC__PACKING_MAX_STEPS + 2U);
    const size_t bytes = data[1] + 256U * data[2];
    size_t at = 3;
    for (uint32_t i = 0; i < packing.num_steps && i < RBC__PACKING_MAX_STEPS; ++i, at += 2) {
        if (size - at < 2) {
            return 0;
        }
        packing.steps[i] = read_step(data + at);
    }
    rbc_error err;
    const rbc_status status = rbc__packing_check(&packing, &err);
    if (status != RBC_OK) {
        fuzz_require(status == RBC_ERROR_FORMAT || status == RBC_ERROR_UNSUPPORTED);
        return 0;
    }
    const size_t in_bytes = size - at;
    memcpy(in_end - in_bytes, data + at, in_bytes);
    unpack(&packing, in_end - in_bytes, in_bytes, bytes);
    return 0;
}
