#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/tensor.h"

static float storage[64];

static DLTensor tensor_of(int32_t ndim, int64_t *shape, int64_t *strides) {
    return (DLTensor){.data = storage,
                      .device = {kDLCPU, 0},
                      .ndim = ndim,
                      .dtype = {kDLFloat, 32, 1},
                      .shape = shape,
                      .strides = strides};
}

static void dtypes_go_to_dlpack_and_back(void **state) {
    (void)state;
    for (int i = 0; i < RBC__NUM_DTYPES; ++i) {
        rbc__dtype back;
        assert_true(rbc__dtype_from_dlpack(rbc__dtype_to_dlpack((rbc__dtype)i), &back));
        assert_int_equal(back, i);
    }
    rbc__dtype dtype;
    assert_false(rbc__dtype_from_dlpack((DLDataType){kDLFloat, 32, 4}, &dtype));
    assert_false(rbc__dtype_from_dlpack((DLDataType){kDLComplex, 64, 1}, &dtype));
    assert_int_equal(rbc__dtype_bytes(RBC__BF16), 2);
    assert_int_equal(rbc__dtype_bytes(RBC__BOOL), 1);
    assert_string_equal(rbc__dtype_name(RBC__U64), "uint64");
    assert_true(rbc__dtype_is_float(RBC__BF16));
    assert_false(rbc__dtype_is_float(RBC__I64));
}

static void refuses(const DLTensor *tensor, const char *text) {
    rbc_error err;
    rbc__dtype dtype;
    assert_int_equal(rbc__tensor_check(tensor, "points", &dtype, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, text));
    assert_true(strncmp(err.message, "points", 6) == 0);
}

static void bad_tensors_are_refused_by_name(void **state) {
    (void)state;
    int64_t shape[3] = {2, 3, 4};
    refuses(NULL, "NULL");
    DLTensor tensor = tensor_of(3, NULL, NULL);
    refuses(&tensor, "no shape");
    tensor = tensor_of(-1, shape, NULL);
    refuses(&tensor, "-1 dimensions");
    tensor = tensor_of(3, shape, NULL);
    tensor.data = NULL;
    refuses(&tensor, "[2, 3, 4]");
    tensor = tensor_of(3, shape, NULL);
    tensor.dtype.lanes = 2;
    refuses(&tensor, "2 lanes");
    tensor = tensor_of(3, shape, NULL);
    tensor.byte_offset = 2;
    refuses(&tensor, "multiple of 4");
    tensor.byte_offset = UINT64_MAX - 3;
    refuses(&tensor, "2^63");
    int64_t negative[2] = {3, -5};
    tensor = tensor_of(2, negative, NULL);
    refuses(&tensor, "-5");
    tensor = tensor_of(65, shape, NULL);
    refuses(&tensor, "at most 64");
    int64_t huge[3] = {INT64_C(1) << 31, INT64_C(1) << 31, 2};
    tensor = tensor_of(3, huge, NULL);
    refuses(&tensor, "2^63");
    int64_t wild[3] = {INT64_MAX / 4, 1, 1};
    tensor = tensor_of(3, shape, wild);
    refuses(&tensor, "2^63");
    int64_t lowest[3] = {INT64_MIN / 4, 1, 1};
    tensor = tensor_of(3, shape, lowest);
    refuses(&tensor, "2^63");
}

static void good_tensors_pass(void **state) {
    (void)state;
    rbc__dtype dtype;
    int64_t shape[3] = {2, 3, 4};
    DLTensor tensor = tensor_of(3, shape, NULL);
    assert_int_equal(rbc__tensor_check(&tensor, "t", &dtype, NULL), RBC_OK);
    assert_int_equal(dtype, RBC__F32);
    int64_t empty[2] = {0, 7};
    tensor = tensor_of(2, empty, NULL);
    tensor.data = NULL;
    assert_int_equal(rbc__tensor_check(&tensor, "t", &dtype, NULL), RBC_OK);
    tensor = tensor_of(0, NULL, NULL);
    assert_int_equal(rbc__tensor_check(&tensor, "t", &dtype, NULL), RBC_OK);
    assert_int_equal(rbc__tensor_num_elements(&tensor), 1);
}

static void shapes_are_compared_and_shown(void **state) {
    (void)state;
    rbc_error err;
    int64_t shape[3] = {2, 3, 4};
    const DLTensor tensor = tensor_of(3, shape, NULL);
    assert_int_equal(rbc__tensor_check_shape(&tensor, "t", 3, (int64_t[]){2, -1, 4}, &err), RBC_OK);
    assert_int_equal(rbc__tensor_check_shape(&tensor, "t", 3, (int64_t[]){2, -1, 5}, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_string_equal(err.message, "t has shape [2, 3, 4]; wanted [2, any, 5]");
    assert_int_equal(rbc__tensor_check_shape(&tensor, "t", 2, (int64_t[]){2, 3}, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    char small[8];
    assert_string_equal(rbc__format_shape(small, sizeof small, 3, (int64_t[]){1000, 2000, 3}),
                        "[1000, ");
}

static void devices_have_names(void **state) {
    (void)state;
    char text[40];
    assert_string_equal(rbc__format_device(text, sizeof text, (DLDevice){kDLCPU, 0}), "the CPU");
    assert_string_equal(rbc__format_device(text, sizeof text, (DLDevice){kDLCUDA, 3}),
                        "CUDA device 3");
    assert_string_equal(rbc__format_device(text, sizeof text, (DLDevice){kDLROCM, 1}),
                        "device 1 of DLPack type 10");
}

static void strides_default_to_c_order(void **state) {
    (void)state;
    int64_t shape[3] = {2, 3, 4}, c_order[3] = {12, 4, 1}, transposed[3] = {4, 8, 1};
    DLTensor tensor = tensor_of(3, shape, NULL);
    assert_int_equal(rbc__tensor_stride_bytes(&tensor, 0), 48);
    assert_int_equal(rbc__tensor_stride_bytes(&tensor, 2), 4);
    assert_true(rbc__tensor_is_contiguous(&tensor));
    tensor = tensor_of(3, shape, c_order);
    assert_true(rbc__tensor_is_contiguous(&tensor));
    tensor = tensor_of(3, shape, transposed);
    assert_false(rbc__tensor_is_contiguous(&tensor));
    assert_int_equal(rbc__tensor_stride_bytes(&tensor, 1), 32);
}

static void overlap_follows_the_strides(void **state) {
    (void)state;
    int64_t shape[1] = {4}, forward[1] = {2}, backward[1] = {-2};
    DLTensor a = tensor_of(1, shape, forward), b = tensor_of(1, shape, backward);
    a.byte_offset = 32;
    uintptr_t begin, end;
    rbc__tensor_extent(&a, &begin, &end);
    assert_int_equal(begin, (uintptr_t)storage + 32);
    assert_int_equal(end, (uintptr_t)storage + 32 + 28);
    b.byte_offset = 28;
    rbc__tensor_extent(&b, &begin, &end);
    assert_int_equal(begin, (uintptr_t)storage + 4);
    assert_int_equal(end, (uintptr_t)storage + 32);
    assert_false(rbc__tensors_overlap(&a, &b));
    b.byte_offset = 32;
    assert_true(rbc__tensors_overlap(&a, &b));
    int64_t none[1] = {0};
    b = tensor_of(1, none, NULL);
    b.byte_offset = 40;
    assert_false(rbc__tensors_overlap(&a, &b));
}

static void elements_that_share_memory_are_found(void **state) {
    (void)state;
    static const struct {
        int64_t shape[3], strides[3];
        bool overlaps;
    } cases[] = {
        {{2, 3, 4}, {12, 4, 1}, false},        {{2, 3, 4}, {1, 2, 6}, false},
        {{2, 3, 4}, {-12, 4, -1}, false},      {{2, 3, 4}, {0, 4, 1}, true},
        {{1, 3, 4}, {0, 4, 1}, false},         {{2, 3, 4}, {11, 4, 1}, true},
        {{2, 3, 4}, {4, 4, 1}, true},          {{2, 3, 4}, {12, 3, 1}, true},
        {{2, 3, 4}, {24, 8, 2}, false},        {{0, 3, 4}, {0, 0, 0}, false},
        {{1, 1, 4}, {INT64_MIN, 0, 1}, false}, {{2, 3, 4}, {-11, -4, 1}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        int64_t shape[3], strides[3];
        memcpy(shape, cases[i].shape, sizeof shape);
        memcpy(strides, cases[i].strides, sizeof strides);
        const DLTensor tensor = tensor_of(3, shape, strides);
        assert_int_equal(rbc__tensor_overlaps_itself(&tensor), cases[i].overlaps);
    }
}

static void size_arithmetic_notices_overflow(void **state) {
    (void)state;
    int64_t out;
    assert_true(rbc__mul_size(3, 7, &out));
    assert_int_equal(out, 21);
    assert_false(rbc__mul_size(INT64_MAX, 2, &out));
    assert_true(rbc__add_size(INT64_MAX - 1, 1, &out));
    assert_false(rbc__add_size(INT64_MAX, 1, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dtypes_go_to_dlpack_and_back),
        cmocka_unit_test(bad_tensors_are_refused_by_name),
        cmocka_unit_test(good_tensors_pass),
        cmocka_unit_test(shapes_are_compared_and_shown),
        cmocka_unit_test(devices_have_names),
        cmocka_unit_test(strides_default_to_c_order),
        cmocka_unit_test(overlap_follows_the_strides),
        cmocka_unit_test(elements_that_share_memory_are_found),
        cmocka_unit_test(size_arithmetic_notices_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
