/* A dataset that lives in memory and stands in for the catalog, so that a test of the loader says
 * which stamps, images and failures there are. Every value is a function of episode, stream and
 * sample. */
#ifndef RBC_TESTS_LOADER_FAKE_H
#define RBC_TESTS_LOADER_FAKE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "catalog/dataset.h"

/* Streams, in this order. */
enum {
    FAKE_STATE,    /* f32 [7], on the steps */
    FAKE_ACTION,   /* f64 [2, 2], on the steps */
    FAKE_COUNT,    /* i64 [], on the steps */
    FAKE_IMU,      /* f32 [3], with stamps of its own, jittered, some of them equal */
    FAKE_IMU_TIME, /* i64 [] */
    FAKE_POSE,     /* f64 [5]: a quaternion and a gripper; the stamps of FAKE_IMU */
    FAKE_IMAGE,    /* u8 [6, 8, 3] PNG or JPEG, on the steps; each fifth is empty */
    FAKE_CAMERA,   /* u8 [-1, -1, 3] PNG; the stamps of FAKE_IMU */
    FAKE_CLOUD,    /* f32 [3], any number of points a step */
    FAKE_NOTE,     /* text, on the steps */
    FAKE_NUM_STREAMS
};

#define FAKE_IMAGE_HEIGHT 6
#define FAKE_IMAGE_WIDTH  8
#define FAKE_IMAGE_BYTES  (FAKE_IMAGE_HEIGHT * FAKE_IMAGE_WIDTH * 3)
#define FAKE_MAX_POINTS   9
#define FAKE_BLOCK_IMAGES 4

typedef struct fake_params {
    int64_t num_episodes;
    double control_rate_hz;
    bool has_stamps;         /* episodes begin and end where FAKE_IMU does; else streams with stamps
                                are not in the schema */
    int64_t failing_episode; /* its record does not open; -1: none */
    int64_t failing_step;    /* reading FAKE_STATE across it fails, in every third episode; -1 */
    int64_t unsorted_episode; /* its stamps decrease once; -1 */
    int64_t read_us;          /* a read takes so long */
    int64_t short_every;      /* of so many calls of the store one fails for a shortage, which ones
                                 is chance; 0: none */
    bool is_remote;           /* the reads of a request take read_us together */
    atomic_bool *hangs;       /* reads return only once it is false; NULL: at once */
    bool is_packed;           /* FAKE_IMAGE lies in blocks of FAKE_BLOCK_IMAGES */
    atomic_int *until_hang;   /* counts reads down: the one that makes it 0 hangs; NULL: all do */
    bool is_jpeg;             /* FAKE_IMAGE: pixels are about those of fake_pixels() */
    bool damages_images;      /* and each sixth of them is cut short */
} fake_params;

#define FAKE_PARAMS_INIT {20, 5.0, false, -1, -1, -1, 0, 0, false, NULL, false, NULL, false, false}

/* The selection holds the dataset; destroy it with rbc_selection_destroy(). */
rbc_selection *fake_create(const fake_params *params);

int64_t fake_num_steps(int64_t episode);
int64_t fake_id(int64_t episode);
/* Samples of FAKE_IMU, and their stamps: malloc'ed. */
int64_t fake_num_stamps(int64_t episode);
int64_t *fake_stamps(int64_t episode);
/* Samples [0, count) of a numeric stream: malloc'ed. */
void *fake_values(int64_t episode, int32_t stream, int64_t count);
int64_t fake_sample_bytes(int32_t stream);
int64_t fake_num_points(int64_t episode, int64_t step);
void fake_pixels(int64_t episode, int32_t stream, int64_t sample, uint8_t *dst);
bool fake_image_is_empty(int32_t stream, int64_t sample);
void fake_note(int64_t episode, int64_t step, char *dst, size_t bytes);

/* Cursors that are taken now, over all fakes. */
int64_t fake_num_open(void);

#endif
