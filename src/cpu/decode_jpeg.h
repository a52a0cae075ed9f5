/* Decoding JPEGs on the CPU, through libjpeg-turbo. */
#ifndef RBC_CPU_DECODE_JPEG_H
#define RBC_CPU_DECODE_JPEG_H

#include "backend.h"

rbc_status rbc__cpu_decode_jpeg(rbc_context *context, const rbc__jpeg_job *job, int32_t device_id,
                                void *cu_stream, rbc_error *err);
rbc_status rbc__cpu_decode_jpeg_workspace_bytes(const rbc__jpeg_job *job, uint64_t *bytes,
                                                rbc_error *err);

#endif
