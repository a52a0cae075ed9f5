/* Streams with memory of their own. */
#ifndef RBC_CUDA_PIPE_H
#define RBC_CUDA_PIPE_H

#include "cuda/runtime/staging.h"
#include "transfer.h"

extern const rbc__pipe_ops rbc__cuda_pipe_ops;

CUstream rbc__cuda_pipe_stream(const rbc__pipe *pipe);
rbc__cuda_stagings *rbc__cuda_pipe_stagings(rbc__pipe *pipe);

#endif
