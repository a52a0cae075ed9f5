#include "core/context.h"

#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/error.h"
#include "core/params.h"

#define MAX_THREADS 1024

rbc_status rbc_context_create(const rbc_context_params *params, rbc_context **out, rbc_error *err) {
    if (out == NULL) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT, "out is NULL");
    }
    *out = NULL;
    rbc_context_params known = RBC_CONTEXT_PARAMS_INIT;
    if (params != NULL) {
        RBC__TRY(rbc__params_read(params, &known, sizeof known, "params", err));
    }
    if (known.num_threads < 0 || known.num_threads > MAX_THREADS) {
        return rbc__fail(err, RBC_ERROR_INVALID_ARGUMENT,
                         "params.num_threads is %d; wanted 0 (all cores) to %d", known.num_threads,
                         MAX_THREADS);
    }
    rbc_context *context = calloc(1, sizeof *context);
    if (context == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory for a context");
    }
    context->cpu_features = known.cpu_features & rbc__cpu_features();
    if ((context->cpu_features & RBC_CPU_AVX2) == 0) {
        context->cpu_features &= ~RBC_CPU_AVX512;
    }
    int32_t num_threads = known.num_threads;
    if (num_threads == 0) {
        num_threads = rbc__num_cores();
        num_threads = num_threads < MAX_THREADS ? num_threads : MAX_THREADS;
    }
    const rbc_status status = rbc__pool_create(num_threads, &context->pool, err);
    if (status != RBC_OK) {
        free(context);
        return status;
    }
    *out = context;
    return RBC_OK;
}

void rbc_context_destroy(rbc_context **context) {
    if (context == NULL || *context == NULL) {
        return;
    }
    rbc__pool_destroy(&(*context)->pool);
    free(*context);
    *context = NULL;
}

uint64_t rbc_context_cpu_features(const rbc_context *context) {
    return context->cpu_features;
}

int32_t rbc_context_num_threads(const rbc_context *context) {
    return rbc__pool_num_threads(context->pool);
}
