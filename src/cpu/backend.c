#include "backend.h"

const rbc__backend rbc__cpu_backend = {
    .name = "cpu",
    .device_type = kDLCPU,
};
