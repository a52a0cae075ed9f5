/* Chained launches: on sm_90 and later a kernel may be started while the one before it in the
 * stream still drains. `launch_await` returns once that one is complete and its writes are visible;
 * nothing it may have written is touched before. `launch_release` lets the next kernel be started;
 * it calls launch_await itself. On older devices both do nothing, since launches do not overlap
 * there. */
#ifndef RBC_CUDA_LAUNCH_CUH
#define RBC_CUDA_LAUNCH_CUH

/* Blocks of 1024 threads that a multiprocessor takes at once. */
#if defined(__CUDA_ARCH__) && (__CUDA_ARCH__ == 860 || __CUDA_ARCH__ == 870 ||                     \
                               __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200)
#define BLOCKS_OF_1024 1
#else
#define BLOCKS_OF_1024 2
#endif

#define INLINE static __device__ __forceinline__

INLINE void launch_await(void) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

INLINE void launch_release(void) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

#endif
