/* Names of kernels that are compiled once per ISA. RBC__ISA comes from the compiler's command line:
 * RBC__KERNEL(voxel_load) is rbc__voxel_load_avx2 in a source compiled with -DRBC__ISA=avx2.
 * Shared within src/cpu/kernels. */
#ifndef RBC_CPU_KERNELS_ISA_H
#define RBC_CPU_KERNELS_ISA_H

#ifndef RBC__ISA
#define RBC__ISA baseline
#endif

#define RBC__KERNEL_JOIN_(name, isa) rbc__##name##_##isa
#define RBC__KERNEL_JOIN(name, isa)  RBC__KERNEL_JOIN_(name, isa)
#define RBC__KERNEL(name)            RBC__KERNEL_JOIN(name, RBC__ISA)

#endif
