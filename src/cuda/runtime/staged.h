/* Staged memory of CUDA devices. */
#ifndef RBC_CUDA_STAGED_H
#define RBC_CUDA_STAGED_H

#include "transfer.h"

extern const rbc__transfer_ops rbc__cuda_transfer_ops;

#endif
