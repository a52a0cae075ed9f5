/* A stand-in for libcuda.so.1 whose devices are the host: memory is the host's, and a stream is a
 * thread that does what is queued on it, in order, with pauses. So what is not ordered by events
 * happens in another order sooner or later, and is a race that a sanitizer sees.
 *
 * Copies, fills and the kernels of images, JPEGs, numbers and few voxels are done; any other kernel is an error
 * of its stream. */
#ifndef RBC_TESTS_HOST_DEVICE_H
#define RBC_TESTS_HOST_DEVICE_H

#include <stdatomic.h>

enum { HOST_DEVICE_COUNT = 2 };

/* Memory that is allocated; the library exports one as rbc_host_device_bytes. */
typedef struct host_device_bytes {
    atomic_llong on_device, pinned;
} host_device_bytes;

/* How long things take by the clock of their stream, which stands still otherwise. */
enum {
    HOST_DEVICE_COPY_NS = 100 * 1000,
    HOST_DEVICE_JPEG_NS = 1000 * 1000,
    HOST_DEVICE_IMAGE_NS = 10 * 1000 * 1000,
    HOST_DEVICE_ALIGN_NS = 100 * 1000 * 1000,
    HOST_DEVICE_OTHER_NS = 1000 * 1000 * 1000,
};

/* Whose kernels are launched. */
enum {
    HOST_DEVICE_JPEG,
    HOST_DEVICE_IMAGE,
    HOST_DEVICE_ALIGN,
    HOST_DEVICE_OTHER,
    HOST_DEVICE_KINDS
};

/* What a test asks and counts; the library exports one as rbc_host_device. Tests in Python know the
 * first six by where they lie. */
typedef struct host_device {
    atomic_int max_pause_us;  /* before each thing that a stream does */
    atomic_int fail_after;    /* calls that queue or allocate, until one fails; -1: none does */
    atomic_int is_capturing;  /* some thread captures a stream: calls that a capture forbids fail */
    atomic_int num_forbidden; /* such calls, of threads that had not said that they may */
    atomic_llong num_copies, num_launches;
    atomic_ulong held;                           /* a stream that does nothing meanwhile */
    atomic_llong launches_ns[HOST_DEVICE_KINDS]; /* what these take */
    atomic_ulong watched;                        /* a thread, as pthread_self() names it */
    atomic_int watched_waits;                    /* of it for the device */
    atomic_int num_streams, num_events;          /* alive */
    atomic_llong num_waits;                      /* of all threads for the device */
    atomic_int num_astray; /* events made or recorded where no device is current */
    atomic_ulong captured; /* a stream that is being captured into a graph */
} host_device;

#endif
