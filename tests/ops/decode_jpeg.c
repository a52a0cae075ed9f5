/* Batches of JPEGs through the C interface: outputs, masks, and what is refused. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>
#include <turbojpeg.h>

#include <robocache/robocache.h>

enum { H = 19, W = 23, COUNT = 5, BYTES = H * W * 3 };

typedef struct fixture {
    rbc_context *context;
    const void *bytes[COUNT];
    uint64_t num_bytes[COUNT];
    uint8_t pixels[COUNT][BYTES]; /* as the library decodes them */
    uint8_t out[COUNT * BYTES];
    int64_t shape[4];
    DLTensor dl;
} fixture;

static DLTensor tensor_of(void *data, int32_t ndim, int64_t *shape) {
    return (DLTensor){.data = data,
                      .device = {kDLCPU, 0},
                      .ndim = ndim,
                      .dtype = {kDLUInt, 8, 1},
                      .shape = shape};
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(rbc_context_create(NULL, &f->context, NULL), RBC_OK);
    for (int i = 0; i < COUNT; ++i) {
        for (int k = 0; k < BYTES; ++k) {
            f->pixels[i][k] = (uint8_t)(k * (i + 1));
        }
        tjhandle handle = tjInitCompress();
        unsigned char *jpeg = NULL;
        unsigned long size = 0;
        assert_int_equal(
            tjCompress2(handle, f->pixels[i], W, 0, H, TJPF_RGB, &jpeg, &size, TJSAMP_420, 80, 0),
            0);
        tjDestroy(handle);
        handle = tjInitDecompress();
        assert_int_equal(tjDecompress2(handle, jpeg, size, f->pixels[i], W, 0, H, TJPF_RGB, 0), 0);
        tjDestroy(handle);
        f->bytes[i] = jpeg;
        f->num_bytes[i] = size;
    }
    memcpy(f->shape, (int64_t[]){COUNT, H, W, 3}, sizeof f->shape);
    f->dl = tensor_of(f->out, 4, f->shape);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    for (int i = 0; i < COUNT; ++i) {
        tjFree((unsigned char *)(uintptr_t)f->bytes[i]);
    }
    rbc_context_destroy(&f->context);
    free(f);
    return 0;
}

static rbc_jpeg_batch *create(fixture *f, const rbc_jpeg_params *params) {
    rbc_jpeg_batch *batch = NULL;
    assert_int_equal(
        rbc_jpeg_batch_create(f->context, f->bytes, f->num_bytes, COUNT, params, &batch, NULL),
        RBC_OK);
    return batch;
}

static rbc_status decode(fixture *f, rbc_jpeg_batch *batch, const DLTensor *const *outs,
                         int64_t num_outs, const DLTensor *valid, rbc_error *err) {
    uint64_t bytes = 1;
    assert_int_equal(
        rbc_decode_jpeg_workspace(f->context, batch, (DLDevice){kDLCPU, 0}, &bytes, NULL), RBC_OK);
    assert_int_equal(bytes, 0);
    return rbc_decode_jpeg(f->context, batch, outs, num_outs, valid, NULL, NULL, err);
}

static void one_output_takes_all(void **state) {
    fixture *f = *state;
    const rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    rbc_jpeg_batch *batch = create(f, &params);
    assert_int_equal(rbc_jpeg_batch_size(batch), COUNT);
    rbc_jpeg_info info;
    rbc_jpeg_batch_info(batch, 1, &info);
    assert_int_equal(info.height, H);
    assert_int_equal(info.width, W);
    assert_int_equal(info.channels, 3);
    assert_int_equal(info.status, RBC_OK);
    assert_int_equal(info.on_cpu, 0);
    rbc_jpeg_batch_info(batch, COUNT, &info);
    assert_int_equal(info.status, RBC_ERROR_NOT_FOUND);
    for (int twice = 0; twice < 2; ++twice) {
        memset(f->out, 1, sizeof f->out);
        assert_int_equal(decode(f, batch, (const DLTensor *[]){&f->dl}, 1, NULL, NULL), RBC_OK);
        assert_memory_equal(f->out, f->pixels, sizeof f->out);
    }
    rbc_jpeg_batch_destroy(&batch);
    assert_null(batch);
    rbc_jpeg_batch_destroy(&batch);
}

static void an_output_each_must_lie_apart(void **state) {
    fixture *f = *state;
    const rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    rbc_jpeg_batch *batch = create(f, &params);
    DLTensor each[COUNT];
    const DLTensor *outs[COUNT];
    for (int i = 0; i < COUNT; ++i) {
        each[i] = tensor_of(f->out + (COUNT - 1 - i) * BYTES, 3, f->shape + 1);
        outs[i] = &each[i];
    }
    assert_int_equal(decode(f, batch, outs, COUNT, NULL, NULL), RBC_OK);
    for (int i = 0; i < COUNT; ++i) {
        assert_memory_equal(each[i].data, f->pixels[i], BYTES);
    }
    rbc_error err;
    each[3].data = f->out + 5;
    assert_int_equal(decode(f, batch, outs, COUNT, NULL, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "outs[3] overlaps outs[4]"));
    outs[2] = NULL;
    assert_int_equal(decode(f, batch, outs, COUNT, NULL, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "outs[2] is NULL"));
    assert_int_equal(decode(f, batch, outs, 1, NULL, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "1 outputs for 5 images; wanted one of four axes"));
    assert_int_equal(decode(f, batch, NULL, 0, NULL, &err), RBC_ERROR_INVALID_ARGUMENT);
    rbc_jpeg_batch_destroy(&batch);
}

static void damage_is_masked_or_returned(void **state) {
    fixture *f = *state;
    rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    params.height = H;
    params.width = W;
    f->num_bytes[1] -= 20;
    f->num_bytes[3] = 0;
    rbc_jpeg_batch *batch = create(f, &params);
    rbc_error err;
    const DLTensor *outs[] = {&f->dl};
    assert_int_equal(decode(f, batch, outs, 1, NULL, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "image 1: damaged JPEG"));
    uint8_t mask[COUNT];
    int64_t count = COUNT;
    DLTensor valid = tensor_of(mask, 1, &count);
    memset(f->out, 1, sizeof f->out);
    assert_int_equal(decode(f, batch, outs, 1, &valid, NULL), RBC_OK);
    static const uint8_t zeros[BYTES];
    for (int i = 0; i < COUNT; ++i) {
        assert_int_equal(mask[i], i != 1 && i != 3);
        assert_memory_equal(f->out + i * BYTES, mask[i] ? f->pixels[i] : zeros, BYTES);
    }
    rbc_jpeg_batch_destroy(&batch);
}

/* Each ends where a page does, behind which nothing may be read. */
static void nothing_is_read_behind_the_end(void **state) {
    fixture *f = *state;
    const rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t room = (f->num_bytes[0] / page + 1) * page;
    uint8_t *memory =
        mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + room, page, PROT_NONE), 0);
    for (uint64_t cut = 0; cut < f->num_bytes[0]; ++cut) {
        const void *bytes = memcpy(memory + room - cut, f->bytes[0], cut);
        rbc_jpeg_batch *batch = NULL;
        assert_int_equal(rbc_jpeg_batch_create(f->context, &bytes, &cut, 1, &params, &batch, NULL),
                         RBC_OK);
        rbc_jpeg_info info;
        rbc_jpeg_batch_info(batch, 0, &info);
        assert_true(info.status != RBC_OK || info.on_cpu == 1);
        rbc_jpeg_batch_destroy(&batch);
    }
    munmap(memory, room + page);
}

static void a_tensor_is_divided(void **state) {
    fixture *f = *state;
    uint8_t data[COUNT * 4096];
    int64_t offsets[COUNT + 1] = {0};
    for (int i = 0; i < COUNT; ++i) {
        assert_in_range(f->num_bytes[i], 1, 4096);
        memcpy(data + offsets[i], f->bytes[i], f->num_bytes[i]);
        offsets[i + 1] = offsets[i] + (int64_t)f->num_bytes[i];
    }
    DLTensor tensor = tensor_of(data, 1, (int64_t[]){offsets[COUNT]});
    const rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    rbc_jpeg_batch *batch = NULL;
    assert_int_equal(rbc_jpeg_batch_create_from(f->context, &tensor, offsets, COUNT, &params, NULL,
                                                &batch, NULL),
                     RBC_OK);
    const DLTensor *out = &f->dl;
    assert_int_equal(rbc_decode_jpeg(f->context, batch, &out, 1, NULL, NULL, NULL, NULL), RBC_OK);
    assert_memory_equal(f->out, f->pixels, sizeof f->out);
    rbc_jpeg_batch_destroy(&batch);

    rbc_error err;
    offsets[1] = -1;
    assert_int_equal(
        rbc_jpeg_batch_create_from(f->context, &tensor, offsets, COUNT, NULL, NULL, &batch, &err),
        RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "offsets are 0 to -1 for image 0; wanted them to ascend"));
    assert_null(batch);
    tensor.dtype.bits = 16;
    assert_int_equal(
        rbc_jpeg_batch_create_from(f->context, &tensor, offsets, COUNT, NULL, NULL, &batch, &err),
        RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "wanted contiguous uint8"));
}

static void parameters_are_checked(void **state) {
    fixture *f = *state;
    static const struct {
        int64_t height, width;
        int32_t channels;
        rbc_jpeg_dct dct;
        const char *message;
    } wrong[] = {
        {4, 0, 0, RBC_JPEG_DCT_DEFAULT, "size is 4x0"},
        {-4, -4, 0, RBC_JPEG_DCT_DEFAULT, "size is -4x-4"},
        {0, 0, 2, RBC_JPEG_DCT_DEFAULT, "channels is 2"},
        {0, 0, 0, (rbc_jpeg_dct)7, "jpeg_dct is 7"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
        params.height = wrong[i].height;
        params.width = wrong[i].width;
        params.channels = wrong[i].channels;
        params.dct = wrong[i].dct;
        rbc_jpeg_batch *batch = (rbc_jpeg_batch *)f;
        rbc_error err;
        assert_int_equal(
            rbc_jpeg_batch_create(f->context, f->bytes, f->num_bytes, COUNT, &params, &batch, &err),
            RBC_ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(err.message, wrong[i].message));
        assert_null(batch);
    }
    rbc_jpeg_batch *batch;
    rbc_error err;
    const rbc_jpeg_params params = RBC_JPEG_PARAMS_INIT;
    assert_int_equal(rbc_jpeg_batch_create(f->context, NULL, NULL, 3, &params, &batch, &err),
                     RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_jpeg_batch_create(f->context, NULL, NULL, 0, &params, &batch, &err),
                     RBC_OK);
    f->shape[0] = 0;
    assert_int_equal(decode(f, batch, (const DLTensor *[]){&f->dl}, 1, NULL, NULL), RBC_OK);
    rbc_jpeg_batch_destroy(&batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_output_takes_all, setup, teardown),
        cmocka_unit_test_setup_teardown(an_output_each_must_lie_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_masked_or_returned, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_read_behind_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_tensor_is_divided, setup, teardown),
        cmocka_unit_test_setup_teardown(parameters_are_checked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
