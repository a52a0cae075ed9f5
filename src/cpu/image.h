/* What is made of images, on the CPU. */
#ifndef RBC_CPU_IMAGE_H
#define RBC_CPU_IMAGE_H

#include "backend.h"

rbc_status rbc__cpu_image(rbc_context *context, const rbc__image_job *job, int32_t device_id,
                          void *cu_stream, rbc_error *err);
uint64_t rbc__cpu_image_workspace_bytes(const rbc__image_job *job);

#endif
