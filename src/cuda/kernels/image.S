/* One fat binary: RBC__CUDA_SYMBOL names it, RBC__CUDA_IMAGE is its path. */
    .section .rodata
    .balign 64
    .globl RBC__CUDA_SYMBOL
    .hidden RBC__CUDA_SYMBOL
    .type RBC__CUDA_SYMBOL, %object
RBC__CUDA_SYMBOL:
    .incbin RBC__CUDA_IMAGE
    .size RBC__CUDA_SYMBOL, . - RBC__CUDA_SYMBOL
    .section .note.GNU-stack, "", %progbits
