/* Which instruction sets this processor has, and how many cores there are. */
#ifndef RBC_CORE_CPU_H
#define RBC_CORE_CPU_H

#include <stdint.h>

/* RBC_CPU_* bits, operating system support included; computed once. */
uint64_t rbc__cpu_features(void);

/* Processors this process may run on; a container often allows fewer than the machine has. At
 * least 1. */
int32_t rbc__num_cores(void);

#endif
