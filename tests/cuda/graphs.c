/* Launches that become graphs, and captures, against a stand-in for the driver. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cuda/runtime/capture.h"
#include "on_stub.h"

/* At `block`; what the launch was given goes into `parameters`. */
static void resample_at(uintptr_t block, char *parameters) {
    const DLDevice device = {kDLCUDA, 0};
    CHECK(resample_on(device, device, (char *)block, NULL, NULL) == RBC_OK);
    memcpy(parameters, stub->last_parameters, STUB_PARAMETER_BYTES);
}

static void launches_seen_again_become_a_graph(void) {
    load_stub(STUB);
    char first[STUB_PARAMETER_BYTES];
    char other[STUB_PARAMETER_BYTES];
    char again[STUB_PARAMETER_BYTES];
    resample_at(0x7000000, first);
    CHECK(stub->graphs_launched == 0);
    resample_at(0x8000000, other);
    resample_at(0x7000000, again);
    CHECK(stub->graphs_made == 1 && stub->graphs_launched == 2 && stub->launched[0] == 3);
    CHECK(memcmp(first, other, sizeof first) != 0);
    CHECK(memcmp(first, again, sizeof first) == 0);
    stub->launch_result = 719;
    FAILS(RBC_ERROR_DEVICE, 719, "launching rbc__", "CUDA_ERROR_LAUNCH_FAILED");
}

static void each_stream_has_its_own_graph(void) {
    load_stub(STUB);
    /* One after the other until they are kept: where launches that were seen once are noted, those
     * of one stream may take the place of another's. */
    for (int i = 0; i < 2; ++i) {
        for (int turn = 0; turn < 3; ++turn) {
            CHECK(resample(0, stream_number(i), NULL) == RBC_OK);
        }
    }
    CHECK(stub->graphs_made == 2 && stub->graphs_launched == 4);
    for (int call = 0; call < 4; ++call) {
        CHECK(resample(0, stream_number(call % 2), NULL) == RBC_OK);
        CHECK(stub->last_stream == stream_number(call % 2));
    }
    CHECK(stub->graphs_made == 2 && stub->graphs_launched == 8);
}

static void captured_streams_get_plain_launches(void) {
    load_stub(STUB);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    stub->is_capturing = 1;
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(stub->graphs_made == 0 && stub->graphs_launched == 0 && stub->launched[0] == 3);
}

static void a_driver_may_refuse_graphs(void) {
    load_stub(STUB);
    stub->graph_result = 2;
    for (int turn = 0; turn < 4; ++turn) {
        CHECK(resample(0, NULL, NULL) == RBC_OK);
    }
    CHECK(stub->launched[0] == 4 && stub->graphs_launched == 0 && stub->graphs_alive == 0);
}

static void unused_graphs_give_way(void) {
    load_stub(STUB);
    for (int i = 0; i < 2 * RBC__CUDA_GRAPHS; ++i) {
        for (int turn = 0; turn < 3; ++turn) {
            CHECK(resample(0, stream_number(i), NULL) == RBC_OK);
        }
    }
    CHECK(stub->graphs_made == RBC__CUDA_GRAPHS); /* all of them in use lately */
    for (int turn = 0; turn < 400; ++turn) {
        CHECK(resample(0, stream_number(0), NULL) == RBC_OK);
    }
    for (int turn = 0; turn < 3; ++turn) {
        CHECK(resample(0, stream_number(1000), NULL) == RBC_OK);
    }
    CHECK(stub->graphs_made == RBC__CUDA_GRAPHS + 1);
    CHECK(stub->graphs_alive == 2 * RBC__CUDA_GRAPHS);
}

static void graphs_of_streams_that_are_gone_give_way(void) {
    load_stub(STUB);
    for (int i = 0; i < RBC__CUDA_GRAPHS; ++i) {
        for (int turn = 0; turn < 3; ++turn) {
            CHECK(resample(0, stream_number(i), NULL) == RBC_OK);
        }
    }
    for (int turn = 0; turn < 400; ++turn) {
        CHECK(resample(0, stream_number(1000), NULL) == RBC_OK);
    }
    CHECK(stub->graphs_made == RBC__CUDA_GRAPHS + 1);
}

/* Two launches of one kernel in one shape, the parameters of the second all `value`. */
static void launch_twice(char value) {
    rbc__cuda_queue queue;
    const rbc__cuda_shape shape = {.blocks = 1, .blocks_y = 1, .threads = 32};
    char first[STUB_PARAMETER_BYTES] = {0};
    char second[STUB_PARAMETER_BYTES];
    memset(second, value, sizeof second);
    CHECK(rbc__cuda_enter(0, NULL, &queue, NULL) == RBC_OK);
    CHECK(rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, shape, &first, NULL) == RBC_OK);
    CHECK(rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, shape, &second, NULL) == RBC_OK);
    CHECK(rbc__cuda_leave(&queue, RBC_OK) == RBC_OK);
    CHECK(memcmp(stub->last_parameters, second, sizeof second) == 0);
}

static void equal_launches_keep_their_order(void) {
    load_stub(STUB);
    for (char value = 1; value < 5; ++value) {
        launch_twice(value);
    }
    CHECK(stub->graphs_made == 1 && stub->graphs_launched == 3);
}

static void what_is_flushed_is_launched_at_once(void) {
    load_stub(STUB);
    rbc__cuda_capture capture = {0};
    rbc__cuda_queue queue;
    const rbc__cuda_shape shape = {.blocks = 1, .blocks_y = 1, .threads = 32};
    const char parameters[STUB_PARAMETER_BYTES] = {0};
    rbc__cuda_capture_begin(&capture);
    CHECK(rbc__cuda_enter(0, NULL, &queue, NULL) == RBC_OK);
    CHECK(rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, shape, &parameters, NULL) == RBC_OK);
    CHECK(stub->launched[0] == 0);
    CHECK(rbc__cuda_flush(&queue, NULL) == RBC_OK);
    CHECK(stub->launched[0] == 1);
    for (int i = 0; i < 2 * RBC__CUDA_MAX_LAUNCHES; ++i) {
        CHECK(rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, shape, &parameters, NULL) == RBC_OK);
    }
    CHECK(rbc__cuda_leave(&queue, RBC_OK) == RBC_OK);
    CHECK(stub->launched[0] == 1 + 2 * RBC__CUDA_MAX_LAUNCHES);
    rbc__cuda_capture_end();
    CHECK(!rbc__cuda_capture_is_whole(&capture));
    rbc__cuda_capture_free(&capture);
}

static void a_failed_call_launches_nothing(void) {
    load_stub(STUB);
    rbc__cuda_queue queue;
    const rbc__cuda_shape shape = {.blocks = 1, .blocks_y = 1, .threads = 32};
    const rbc__cuda_shape large = {.blocks = INT64_C(1) << 31, .blocks_y = 1, .threads = 32};
    const char parameters[STUB_PARAMETER_BYTES] = {0};
    rbc_error err;
    CHECK(rbc__cuda_enter(0, NULL, &queue, &err) == RBC_OK);
    CHECK(rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, shape, &parameters, &err) == RBC_OK);
    const rbc_status status =
        rbc__cuda_launch(&queue, (rbc__cuda_kernel)0, large, &parameters, &err);
    CHECK(status == RBC_ERROR_UNSUPPORTED && strstr(err.message, "2147483648") != NULL);
    CHECK(rbc__cuda_leave(&queue, status) == RBC_ERROR_UNSUPPORTED);
    CHECK(stub->launched[0] == 0 && stub->pushed == stub->popped);
}

static void captured_launches_run_again(void) {
    load_stub(STUB);
    stub->num_devices = 2;
    rbc__cuda_capture capture = {0};
    rbc__cuda_capture_begin(&capture);
    CHECK(resample(1, NULL, NULL) == RBC_OK);
    rbc__cuda_capture_end();
    CHECK(rbc__cuda_capture_is_whole(&capture));
    CHECK(resample(0, NULL, NULL) == RBC_OK); /* not captured */
    rbc_error err;
    CHECK(rbc__cuda_replay(&capture, (void *)(uintptr_t)0x30, &err) == RBC_OK);
    CHECK(stub->launched[0] == 1 && stub->launched[1] == 2);
    CHECK(stub->last_stream == (void *)(uintptr_t)0x30);
    CHECK(stub->graphs_made == 1 && stub->graphs_launched == 1);
    stub->is_capturing = 1;
    CHECK(rbc__cuda_replay(&capture, NULL, &err) == RBC_OK);
    CHECK(stub->launched[1] == 3 && stub->graphs_launched == 1);
    stub->launch_result = 719;
    CHECK(rbc__cuda_replay(&capture, NULL, &err) == RBC_ERROR_DEVICE);
    CHECK(err.device_code == 719 && strstr(err.message, "CUDA device 1") != NULL);
    CHECK(stub->pushed == stub->popped);
    rbc__cuda_capture_free(&capture);
    CHECK(!rbc__cuda_capture_is_whole(&capture));
    CHECK(stub->graphs_alive == 0);
}

static void two_calls_are_no_capture(void) {
    load_stub(STUB);
    rbc__cuda_capture capture = {0};
    rbc__cuda_capture_begin(&capture);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    CHECK(resample(0, NULL, NULL) == RBC_OK);
    rbc__cuda_capture_end();
    CHECK(!rbc__cuda_capture_is_whole(&capture));
    rbc__cuda_capture_free(&capture);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(launches_seen_again_become_a_graph),
        CASE(each_stream_has_its_own_graph),
        CASE(captured_streams_get_plain_launches),
        CASE(a_driver_may_refuse_graphs),
        CASE(unused_graphs_give_way),
        CASE(graphs_of_streams_that_are_gone_give_way),
        CASE(equal_launches_keep_their_order),
        CASE(what_is_flushed_is_launched_at_once),
        CASE(a_failed_call_launches_nothing),
        CASE(captured_launches_run_again),
        CASE(two_calls_are_no_capture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
