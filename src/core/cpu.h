/* Which instruction sets this processor has. */
#ifndef RBC_CORE_CPU_H
#define RBC_CORE_CPU_H

#include <stdint.h>

/* RBC_CPU_* bits, operating system support included; computed once. */
uint64_t rbc__cpu_features(void);

#endif
