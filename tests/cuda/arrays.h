/* Arrays that lie on the host and on CUDA device 0, for tests that compare the two. */
#ifndef RBC_TESTS_CUDA_ARRAYS_H
#define RBC_TESTS_CUDA_ARRAYS_H

#include <stddef.h>
#include <stdint.h>

#include <robocache/robocache.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct array {
    int64_t shape[5];
    DLTensor host, device;
    void *data;
    size_t bytes;
} array;

extern const DLDataType f32, f64, f16, bf16, i64, i32, u8, u16;

/* Made by the program's main file. */
extern rbc_context *context;

/* From 0 up to 1; the same numbers in each run. */
double uniform(void);

size_t item_bytes(DLDataType dtype);

/* Zeros, on the host; `data` is to be freed. */
array array_new(DLDataType dtype, int ndim, const int64_t *shape);

/* Copies an input to the device, or makes room for an output there. Shapes are set only now,
 * because arrays are returned by value. */
void to_device(array *a, int is_input);

/* Numbers within scale / 2 of the offset; halves of either sign from 2^-14 to 2; integers up to
 * 0x7f in each byte. */
void fill(array *a, double scale, double offset);

/* Rows of n sorted stamps from low to high, a few of them equal. */
void fill_times(array *a, int64_t rows, int64_t n, double low, double high);

/* The device holds the host's bytes. */
void assert_same(array *a);

/* The call succeeded. */
void check(rbc_status status, const rbc_error *err);

#endif
