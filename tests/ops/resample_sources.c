#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <robocache/robocache.h>

enum { SAMPLES = 3, TARGETS = 2, OLD_BYTES = offsetof(rbc_resample_source, max_gap) };

static float values[2][SAMPLES] = {{1.0F, 2.0F, 4.0F}, {8.0F, 6.0F, 2.0F}};
static float times[SAMPLES] = {0.0F, 1.0F, 2.0F};
static float targets[TARGETS] = {0.5F, 1.5F};
static float out[TARGETS][2];
static int64_t values_shape[] = {SAMPLES, 1};
static int64_t times_shape[] = {SAMPLES};
static int64_t targets_shape[] = {TARGETS};
static int64_t out_shape[] = {TARGETS, 2};

static DLTensor tensor(void *data, int32_t ndim, int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = {kDLCPU, 0},
                      .ndim = ndim,
                      .dtype = {kDLFloat, 32, 1},
                      .shape = shape};
}

/* Two sources as an array of structs of `bytes`, which say that they have `claimed`. */
static rbc_status fuse(size_t bytes, size_t claimed, rbc_error *err) {
    const DLTensor t = tensor(times, 1, times_shape);
    const DLTensor v[2] = {tensor(values[0], 2, values_shape), tensor(values[1], 2, values_shape)};
    const DLTensor q = tensor(targets, 1, targets_shape);
    const DLTensor o = tensor(out, 2, out_shape);
    _Alignas(rbc_resample_source) char sources[2 * sizeof(rbc_resample_source) + 16];
    memset(sources, 0x7f, sizeof sources);
    for (int i = 0; i < 2; ++i) {
        rbc_resample_source source = RBC_RESAMPLE_SOURCE_INIT;
        source.struct_size = i == 0 ? bytes : claimed;
        source.values = &v[i];
        source.times = &t;
        memcpy(sources + (size_t)i * bytes, &source, bytes < sizeof source ? bytes : sizeof source);
    }
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    const rbc_status status =
        rbc_fuse(context, (const rbc_resample_source *)(void *)sources, 2, &q, &o, NULL, NULL, err);
    rbc_context_destroy(&context);
    return status;
}

static void shorter_structs_are_completed(void **state) {
    (void)state;
    rbc_error err;
    const size_t sizes[] = {sizeof(rbc_resample_source), OLD_BYTES};
    for (int i = 0; i < 2; ++i) {
        memset(out, 0, sizeof out);
        assert_int_equal(fuse(sizes[i], sizes[i], &err), RBC_OK);
        assert_true(out[0][0] == 1.5F && out[0][1] == 7.0F);
        assert_true(out[1][0] == 3.0F && out[1][1] == 4.0F);
    }
}

static void other_sizes_are_refused(void **state) {
    (void)state;
    rbc_error err;
    const size_t sizes[] = {0, 4, OLD_BYTES + 4, sizeof(rbc_resample_source) + 8};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        assert_int_equal(fuse(sizes[i], sizes[i], &err), RBC_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, "struct_size"));
    }
    assert_int_equal(fuse(OLD_BYTES, sizeof(rbc_resample_source), &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "sources[1].struct_size"));
    assert_int_equal(fuse(sizeof(rbc_resample_source), OLD_BYTES, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "sources[1].struct_size"));
    assert_int_equal(fuse(8, 8, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "sources[0].values"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shorter_structs_are_completed),
        cmocka_unit_test(other_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
