/* Calls that look like an earlier one: where the tensors differ from that call's in their addresses
 * alone, its launches are queued with this call's, and nothing is checked or described again. */
#ifndef RBC_PYTHON_REPEAT_H
#define RBC_PYTHON_REPEAT_H

#include "cuda/runtime/relocation.h"
#include "operation.h"

enum { REPEAT_WORDS = 256 };

/* What decides a call's launches: its tensors but for their addresses, and its options. */
struct call_description {
    DLTensor *tensors[RBC__CUDA_RELOCATED_TENSORS]; /* outputs last */
    int32_t num_tensors, num_inputs;
    bool is_too_long;
    size_t num_words;
    uint64_t words[REPEAT_WORDS];
};

/* Runs `op` on `call`, whose outputs were made, as op->run() does. */
bool repeat_run(const operation *op, module_state *state, void *call);

/* Frees what the calls of a module left behind. */
void repeat_clear(module_state *state);

#endif
