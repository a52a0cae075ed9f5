/* A small RLDS dataset with a stream of each kind: four episodes of two shards. */
#ifndef RBC_TESTS_FAULTS_DATA_H
#define RBC_TESTS_FAULTS_DATA_H

#include <robocache/robocache.h>

enum {
    STATE,       /* "observation/state", f32 [3], on the steps */
    IMU,         /* "observation/imu", f32 [2], with stamps of its own */
    IMU_TIME,    /* "observation/imu_time_ns" */
    IMAGE,       /* "observation/image", JPEG */
    MASK,        /* "observation/mask", PNG */
    CLOUD,       /* "observation/cloud", f32 [3], up to MAX_POINTS a step */
    INSTRUCTION, /* "language_instruction" */
    NUM_STREAMS
};

#define MAX_POINTS 3

/* Encodes the images, once. */
void data_prepare(void);
/* Writes the dataset to <root>/small/1.0.0, or, with `append`, two episodes more to what is there. */
rbc_status data_write(const char *root, int append, rbc_error *err);
/* Has gzip files in the place of its shards. */
void data_pack(const char *root);

#endif
