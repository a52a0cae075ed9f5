/* A small RLDS dataset on disk: 6 episodes with a stream of each kind. */
#ifndef RBC_TESTS_LOADER_WRITTEN_H
#define RBC_TESTS_LOADER_WRITTEN_H

#define HEIGHT      6
#define WIDTH       8
#define PIXEL_BYTES (HEIGHT * WIDTH * 3)
#define MAX_POINTS  5

enum {
    STATE,       /* "observation/state", f32 [7], on the steps */
    IMU,         /* "observation/imu", f32 [3], with stamps of its own */
    IMU_TIME,    /* "observation/imu_time_ns" */
    IMAGE,       /* "observation/image", PNG; each sixth is empty */
    CLOUD,       /* "observation/cloud", f32 [3], up to MAX_POINTS a step */
    INSTRUCTION, /* "language_instruction" */
    NUM_STREAMS
};

/* Makes a folder `root` and in it the dataset's folder `path`. */
void write_dataset(char root[64], char path[128]);
void remove_dataset(const char *root);

#endif
