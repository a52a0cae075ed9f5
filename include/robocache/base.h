/* What every part of the interface builds on: status and errors, versions, contexts, and what holds
 * for every operation. */
#ifndef ROBOCACHE_BASE_H
#define ROBOCACHE_BASE_H

#include <dlpack/dlpack.h>
#include <stdint.h>

#include <robocache/version.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define RBC_API __attribute__((visibility("default")))
#else
#define RBC_API
#endif

/* ---- Status and errors ---- */

typedef enum rbc_status {
    RBC_OK = 0,
    RBC_ERROR_INVALID_ARGUMENT = 1, /* a parameter is wrong; the message names it */
    RBC_ERROR_OUT_OF_MEMORY = 2,
    RBC_ERROR_IO = 3,          /* the operating system refused: missing, unreadable, disk full */
    RBC_ERROR_FORMAT = 4,      /* a file's content is damaged or not what its metadata says */
    RBC_ERROR_NOT_FOUND = 5,   /* no such stream, split, episode */
    RBC_ERROR_UNSUPPORTED = 6, /* valid, but this build or device cannot do it */
    RBC_ERROR_CANCELLED = 7,   /* a progress callback or a destroy asked to stop */
    RBC_ERROR_DEVICE = 8,      /* the CUDA driver reported an error; see device_code */
    RBC_ERROR_INTERNAL = 9,    /* a defect in RoboCache */
    RBC_END = 10,              /* not an error: no batch is left in this epoch */
    RBC_TIMEOUT = 11,          /* not an error: nothing was ready within the time given */
} rbc_status;

#define RBC_ERROR_MESSAGE_BYTES 1024

/* Owned by the caller, usually on the stack; needs no initialisation and no release. */
typedef struct rbc_error {
    rbc_status status;
    int32_t device_code; /* CUresult, or errno for RBC_ERROR_IO; 0 where neither applies */
    char message[RBC_ERROR_MESSAGE_BYTES];
} rbc_error;

/* A short constant name such as "invalid argument"; never NULL, whatever the value. */
RBC_API const char *rbc_status_name(rbc_status status);

/* Version of the library that is loaded, "major.minor.patch"; compare with RBC_VERSION_STRING. */
RBC_API const char *rbc_version(void);

/* ---- Context ---------------------------------------------------------------------------------
 * A context owns the thread pool that the CPU backend spreads one operation over, and the choice of
 * instruction set. Operations on one context from several threads at once are serialised only while
 * they share the pool. */

typedef struct rbc_context rbc_context;

/* CPU features, in the order in which kernels are preferred. Bits for rbc_context_params. */
#define RBC_CPU_BASELINE UINT64_C(0)
#define RBC_CPU_AVX2     (UINT64_C(1) << 0) /* AVX2, FMA, F16C, BMI2 */
#define RBC_CPU_AVX512   (UINT64_C(1) << 1) /* AVX-512 F, BW, DQ, VL */
#define RBC_CPU_NEON     (UINT64_C(1) << 2)

typedef struct rbc_context_params {
    size_t struct_size;
    int32_t num_threads;   /* threads an operation may use, the caller's included; 0: all cores */
    uint64_t cpu_features; /* RBC_CPU_* bits that may be used; those not present are ignored */
} rbc_context_params;

#define RBC_CONTEXT_PARAMS_INIT                                                                    \
    {.struct_size = sizeof(rbc_context_params), .num_threads = 0, .cpu_features = UINT64_MAX}

/* `params` may be NULL for the defaults. INVALID_ARGUMENT, OUT_OF_MEMORY, IO (no thread). */
RBC_API rbc_status rbc_context_create(const rbc_context_params *params, rbc_context **out,
                                      rbc_error *err);
RBC_API void rbc_context_destroy(rbc_context **context);

/* RBC_CPU_* bits of this processor, and those the context uses after its mask. */
RBC_API uint64_t rbc_cpu_features(void);
RBC_API uint64_t rbc_context_cpu_features(const rbc_context *context);
RBC_API int32_t rbc_context_num_threads(const rbc_context *context);

/* ---- Operations ------------------------------------------------------------------------------
 * Tensors of one call are all on the CPU or all on one CUDA device; anything else is
 * INVALID_ARGUMENT. `stream` is a CUstream for CUDA tensors (NULL: the legacy default stream) and
 * ignored for CPU tensors; CUDA work is queued on it and nothing synchronises. Outputs are
 * allocated by the caller, must not overlap inputs, each other or themselves, and are fully
 * written. Any strides are taken; arrays whose last axis is contiguous and 16-byte aligned are
 * fastest.
 * Sizes are 64-bit; B, S, T, D or N may be 0. */

#ifdef __cplusplus
}
#endif
#endif
