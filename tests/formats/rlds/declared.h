/* Streams that a test declares to a writer, and what it gives it. */
#ifndef RBC_TESTS_FORMATS_RLDS_DECLARED_H
#define RBC_TESTS_FORMATS_RLDS_DECLARED_H

#include <robocache/robocache.h>

static const DLDataType f32 = {kDLFloat, 32, 1};
static const DLDataType i64 = {kDLInt, 64, 1};

static inline rbc_stream_info stream(const char *name, rbc_stream_kind kind, DLDataType dtype,
                                     int32_t ndim, int64_t a, int64_t b, int64_t c) {
    return (rbc_stream_info){.name = name,
                             .kind = kind,
                             .dtype = dtype,
                             .ndim = ndim,
                             .shape = {a, b, c},
                             .encoding = kind == RBC_STREAM_IMAGE ? "png" : ""};
}

static inline DLTensor tensor(void *data, DLDataType dtype, int32_t ndim, int64_t *shape) {
    return (DLTensor){
        .data = data, .device = {kDLCPU, 0}, .ndim = ndim, .dtype = dtype, .shape = shape};
}

#endif
