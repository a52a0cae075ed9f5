/* Memory that ends while a mixture is loaded: each shortage is raised, and once there is memory again
 * the epoch goes on as if there had been enough. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../limited_malloc.h"
#include "drive.h"

enum { MOST_ALLOCATIONS = 3000, BATCHES = 4, AT_LEAST = 20 };

static rbc_loader *open_mixture(rbc_selection *const *selections, rbc_on_error on_error) {
    setup *s = make_setup();
    rbc_mixture_member members[2];
    rbc_mixture_params mixture = RBC_MIXTURE_PARAMS_INIT;
    rbc_loader *loader = NULL;
    for (int i = 0; i < 2; ++i) {
        members[i] = (rbc_mixture_member)RBC_MIXTURE_MEMBER_INIT;
        members[i].name = i == 0 ? "a" : "b";
        members[i].weight = 1 + i;
        members[i].windows = s->windows;
        members[i].num_windows = s->params.num_windows;
        members[i].selection = selections[i];
    }
    mixture.members = members;
    mixture.num_members = 2;
    s->params.num_threads = 1;
    s->params.on_error = on_error;
    assert_int_equal(rbc_loader_create_mixture(&mixture, &s->params, &loader, NULL), RBC_OK);
    return loader;
}

/* The n-th allocation from the beginning of an epoch on, and all behind it, fail until that is told. */
static void a_mixture_goes_on_once_there_is_memory(void **state) {
    (void)state;
    if (!OWN_MALLOC) {
        skip();
    }
    static uint64_t wanted[MAX_BATCHES];
    static const rbc_on_error policies[] = {RBC_ON_ERROR_RAISE, RBC_ON_ERROR_SKIP,
                                            RBC_ON_ERROR_MASK};
    rbc_selection *selections[] = {fake_create(&make_setup()->fake),
                                   fake_create(&make_setup()->fake)};
    rbc_loader *loader = open_mixture(selections, RBC_ON_ERROR_RAISE);
    assert_true(drain(loader, wanted) > BATCHES); /* the fakes have made all of their files */
    rbc_loader_destroy(&loader);
    int64_t num_short = 0;
    for (int64_t n = 0; n < MOST_ALLOCATIONS; n += 1 + n / 100) {
        loader = open_mixture(selections, policies[n % 3]);
        countdown = n + 1;
        assert_int_equal(rbc_loader_seek(loader, 0, 0, NULL), RBC_OK);
        for (int i = 0; i < BATCHES;) {
            rbc_batch *batch = NULL;
            rbc_error error;
            const rbc_status status = rbc_loader_next(loader, -1, &batch, &error);
            if (status == RBC_OK) {
                assert_true(digest_of(batch) == wanted[i++]);
                rbc_batch_release(&batch);
            } else {
                countdown = -1;
                assert_int_equal(status, RBC_ERROR_OUT_OF_MEMORY);
                ++num_short;
            }
        }
        countdown = -1;
        rbc_loader_destroy(&loader);
    }
    for (int i = 0; i < 2; ++i) {
        rbc_selection_destroy(&selections[i]);
    }
    assert_true(num_short > AT_LEAST);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_mixture_goes_on_once_there_is_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
