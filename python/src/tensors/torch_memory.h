/* Memory on a device that PyTorch's allocator gives. */
#ifndef RBC_PYTHON_TORCH_MEMORY_H
#define RBC_PYTHON_TORCH_MEMORY_H

#include <robocache/robocache.h>

/* What allocates there for as long as the process lasts, or NULL: PyTorch is not loaded in this process, is
 * built without CUDA, or lacks a function, which `*why` says. */
const rbc_device_allocator *torch_memory_find(const char **why);

#endif
