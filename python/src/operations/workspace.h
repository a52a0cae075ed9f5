/* Scratch memory of a call: plain on the CPU, from the framework's allocator elsewhere. */
#ifndef RBC_PYTHON_WORKSPACE_H
#define RBC_PYTHON_WORKSPACE_H

#include "tensors/tensor.h"

/* Zero-initialise. */
typedef struct workspace {
    tensor device;
    void *host;
    int64_t bytes, capacity;
    module_state *state; /* whose spare memory `host` was or becomes */
    DLTensor dl;
} workspace;

bool workspace_create(module_state *state, const tensor *like, uint64_t bytes, workspace *out);
/* NULL where no bytes are needed. */
const DLTensor *workspace_tensor(const workspace *scratch);
void workspace_release(workspace *scratch);

#endif
