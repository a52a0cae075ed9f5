/* Memory of CUDA device 0, for tests. */
#ifndef RBC_TESTS_CUDA_GPU_H
#define RBC_TESTS_CUDA_GPU_H

#include <robocache/robocache.h>

/* Why there is no device to test on, or NULL; makes its context. */
const char *gpu_missing(void);

/* Device memory of `bytes`, filled from `host` where that is not NULL, else with 0xa5. */
void *gpu_new(const void *host, size_t bytes);
void gpu_fill(void *device, unsigned char value, size_t bytes);
void gpu_read(void *host, const void *device, size_t bytes);
/* Frees all memory of gpu_new(). */
void gpu_free_all(void);

#endif
