/* Kernels for a driver that looks at none. */
#define X(name)                                                                                    \
    extern const unsigned char rbc__cuda_image_##name[];                                           \
    const unsigned char rbc__cuda_image_##name[1] = {0};
#include "cuda/images.def"
#undef X
