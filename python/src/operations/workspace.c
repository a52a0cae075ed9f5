#define _GNU_SOURCE

#include "operations/workspace.h"

#include <stdlib.h>
#include <sys/mman.h>

/* A fresh workspace is mostly page faults: one is kept for the next call unless it is larger than
 * this. */
#define MAX_SPARE_BYTES (INT64_C(256) << 20)
#define HUGE_PAGE_BYTES (INT64_C(2) << 20)

/* Points are dealt out all over a workspace, so huge pages spare it most misses in the TLB. */
static void *new_host_memory(int64_t bytes, int64_t *capacity) {
    const int64_t unit = bytes >= HUGE_PAGE_BYTES ? HUGE_PAGE_BYTES : 64;
    *capacity = (bytes + unit - 1) / unit * unit;
    void *memory = aligned_alloc((size_t)unit, (size_t)*capacity);
#ifdef MADV_HUGEPAGE
    if (memory != NULL && unit == HUGE_PAGE_BYTES) {
        (void)madvise(memory, (size_t)*capacity, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

bool workspace_create(module_state *state, const tensor *like, uint64_t bytes, workspace *out) {
    if (bytes > (uint64_t)(INT64_MAX - HUGE_PAGE_BYTES)) {
        PyErr_NoMemory();
        return false;
    }
    out->bytes = (int64_t)bytes;
    if (bytes == 0) {
        return true;
    }
    const DLDataType byte = {kDLUInt, 8, 1};
    if (like->dl.device.device_type != kDLCPU) {
        const bool ok = tensor_create(state, like, byte, 1, &out->bytes, &out->device);
        out->dl = out->device.dl;
        return ok;
    }
    out->state = state;
    if (state->spare_bytes >= out->bytes) {
        out->host = state->spare;
        out->capacity = state->spare_bytes;
        state->spare = NULL;
        state->spare_bytes = 0;
    } else {
        out->host = new_host_memory(out->bytes, &out->capacity);
    }
    if (out->host == NULL) {
        PyErr_NoMemory();
        return false;
    }
    out->dl = (DLTensor){
        .data = out->host, .device = {kDLCPU, 0}, .ndim = 1, .dtype = byte, .shape = &out->bytes};
    return true;
}

const DLTensor *workspace_tensor(const workspace *scratch) {
    return scratch->bytes > 0 ? &scratch->dl : NULL;
}

void workspace_release(workspace *scratch) {
    tensor_release(&scratch->device);
    if (scratch->host != NULL && scratch->capacity <= MAX_SPARE_BYTES &&
        scratch->capacity > scratch->state->spare_bytes) {
        free(scratch->state->spare);
        scratch->state->spare = scratch->host;
        scratch->state->spare_bytes = scratch->capacity;
    } else {
        free(scratch->host);
    }
    scratch->host = NULL;
}
