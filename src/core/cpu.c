#define _GNU_SOURCE

#include "core/cpu.h"

#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include <robocache/robocache.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* The builtins also ask whether the operating system saves the wide registers. */
static uint64_t detect(void) {
    uint64_t features = RBC_CPU_BASELINE;
    unsigned int eax = 0, ebx = 0, ecx = 0, edx = 0;
    __builtin_cpu_init();
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & bit_F16C) == 0 ||
        !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi2")) {
        return features;
    }
    features |= RBC_CPU_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
        features |= RBC_CPU_AVX512;
    }
    return features;
}
#elif defined(__aarch64__)
static uint64_t detect(void) {
    return RBC_CPU_NEON;
}
#else
static uint64_t detect(void) {
    return RBC_CPU_BASELINE;
}
#endif

#define DETECTED (UINT64_C(1) << 63)

uint64_t rbc__cpu_features(void) {
    static _Atomic uint64_t cached;
    uint64_t features = atomic_load_explicit(&cached, memory_order_relaxed);
    if (features == 0) {
        features = detect() | DETECTED;
        atomic_store_explicit(&cached, features, memory_order_relaxed);
    }
    return features & ~DETECTED;
}

uint64_t rbc_cpu_features(void) {
    return rbc__cpu_features();
}

int32_t rbc__num_cores(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) {
        return (int32_t)CPU_COUNT(&set);
    }
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= INT32_MAX ? (int32_t)online : 1;
}
