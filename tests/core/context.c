#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <robocache/robocache.h>

static void defaults_use_what_the_machine_has(void **state) {
    (void)state;
    rbc_context *context = NULL;
    assert_int_equal(rbc_context_create(NULL, &context, NULL), RBC_OK);
    assert_true(rbc_context_num_threads(context) >= 1);
    assert_int_equal(rbc_context_cpu_features(context), rbc_cpu_features());
    rbc_context_destroy(&context);
    assert_null(context);
    rbc_context_destroy(&context);
    rbc_context_destroy(NULL);
}

static void features_are_masked(void **state) {
    (void)state;
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    rbc_context *context = NULL;
    params.num_threads = 3;
    params.cpu_features = RBC_CPU_BASELINE;
    assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
    assert_int_equal(rbc_context_num_threads(context), 3);
    assert_int_equal(rbc_context_cpu_features(context), RBC_CPU_BASELINE);
    rbc_context_destroy(&context);
    params.cpu_features = RBC_CPU_AVX512;
    assert_int_equal(rbc_context_create(&params, &context, NULL), RBC_OK);
    assert_int_equal(rbc_context_cpu_features(context), RBC_CPU_BASELINE);
    rbc_context_destroy(&context);
}

static void bad_parameters_are_named(void **state) {
    (void)state;
    rbc_error err;
    rbc_context *context = (rbc_context *)&err;
    rbc_context_params params = RBC_CONTEXT_PARAMS_INIT;
    params.num_threads = -2;
    assert_int_equal(rbc_context_create(&params, &context, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_null(context);
    assert_non_null(strstr(err.message, "num_threads is -2"));
    params.num_threads = 1;
    params.struct_size = 0;
    assert_int_equal(rbc_context_create(&params, &context, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "struct_size is 0"));
    params.struct_size = sizeof params + 8;
    assert_int_equal(rbc_context_create(&params, &context, &err), RBC_ERROR_INVALID_ARGUMENT);
    assert_int_equal(rbc_context_create(NULL, NULL, &err), RBC_ERROR_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_use_what_the_machine_has),
        cmocka_unit_test(features_are_masked),
        cmocka_unit_test(bad_parameters_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
