/* A training loop on a stand-in for a device: batches are taken and copied by a stream, sometime. Shared
 * within tests/cuda. */
#ifndef RBC_TESTS_TRAINING_H
#define RBC_TESTS_TRAINING_H

#include "../loader/drive.h"
#include "cuda/runtime/driver.h"
#include "host_device.h"

/* Set by training_begin(). */
extern host_device *device;
extern host_device_bytes *bytes;
extern const rbc__cuda_driver *driver;

/* What a batch holds, text behind the tensors. */
typedef struct copied {
    uint8_t *bytes;
    uint64_t num_bytes;
} copied;

extern const DLDevice cpu, cuda0;

/* Loads the stand-in; false, having said why, where it cannot be. */
bool training_begin(void);

CUstream make_stream(int32_t device_id);
rbc_loader *open_on(setup *s, DLDevice where);

/* Copies a batch; of one on a device, `stream` does so sometime. */
copied copy_batch(const rbc_batch *batch, CUstream stream);
/* All batches of a loader from here on; none is waited for. */
int64_t train(rbc_loader *loader, CUstream stream, copied *out);
void compare(const copied *a, const copied *b, int64_t count);
void drop(copied *batches, int64_t count);

/* Nothing of the stand-in's is left but `num_streams`. */
void check_left(int num_streams);

#endif
