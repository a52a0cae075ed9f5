/* The pool of decoders: which goes on with a group, who waits for whom, and what is kept. */
#define _DEFAULT_SOURCE

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "codec/video_pool.h"
#include "core/error.h"

enum { PACKETS = 20, BYTES = 1000 };

/* A codec whose pictures are packets in order. Packet `held` is decoded once `is_let` is set. */
typedef struct fake {
    rbc__video_decoder base;
    int64_t part, at;
} fake;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int64_t held, bad; /* packets; -1: none */
    bool is_let, is_there;
} control = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static rbc_status open_fake(const rbc__video_params *params, rbc__video_decoder **out,
                            rbc_error *err);

static fake *as_fake(const rbc__video_decoder *decoder) {
    return (fake *)(uintptr_t)decoder;
}

static int64_t progress_fake(const rbc__video_decoder *decoder, const rbc__video_group *group) {
    const fake *f = as_fake(decoder);
    return f->part == group->id.part && f->at <= group->frames[0].packet ? f->at : 0;
}

static void stop_at(int64_t packet) {
    pthread_mutex_lock(&control.lock);
    if (packet == control.held) {
        control.is_there = true;
        pthread_cond_broadcast(&control.changed);
        while (!control.is_let) {
            pthread_cond_wait(&control.changed, &control.lock);
        }
    }
    pthread_mutex_unlock(&control.lock);
}

static rbc_status decode_fake(rbc__video_decoder *decoder, const rbc__video_group *group,
                              int64_t *num_packets, rbc_error *err) {
    fake *f = as_fake(decoder);
    *num_packets = 0;
    if (progress_fake(decoder, group) == 0) {
        f->part = group->id.part;
        f->at = 0;
    }
    const int64_t end = group->frames[group->num_frames - 1].packet + 1;
    for (; f->at < end; ++f->at, ++*num_packets) {
        stop_at(f->at);
        if (f->at == control.bad) {
            return rbc__fail(err, RBC_ERROR_FORMAT, "packet %d is bad", (int)f->at);
        }
    }
    return RBC_OK;
}

static int64_t bytes_fake(const rbc__video_decoder *decoder) {
    (void)decoder;
    return BYTES;
}

static void close_fake(rbc__video_decoder *decoder) {
    free(decoder);
}

static const rbc__video_codec codec = {"fake",        open_fake,  decode_fake,
                                       progress_fake, bytes_fake, close_fake};

static rbc_status open_fake(const rbc__video_params *params, rbc__video_decoder **out,
                            rbc_error *err) {
    (void)params;
    fake *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return rbc__fail(err, RBC_ERROR_OUT_OF_MEMORY, "no memory");
    }
    f->base.codec = &codec;
    f->part = -1;
    *out = &f->base;
    return RBC_OK;
}

/* ---- calls --------------------------------------------------------------------------------------
 */

typedef struct wanted {
    rbc__video_pool *pool;
    int64_t part, first, last;
    rbc_status status;
} wanted;

static void *decode(void *user) {
    wanted *w = user;
    static const rbc__video_params params = {.codec = "fake", .pixel_format = ""};
    rbc__video_frame frames[PACKETS];
    int64_t count = 0;
    for (int64_t i = w->first; i <= w->last; ++i) {
        frames[count++] = (rbc__video_frame){.packet = i, .pts = i};
    }
    const rbc__video_group group = {
        .num_packets = PACKETS, .frames = frames, .num_frames = count, .id = {.part = w->part}};
    rbc_error err;
    w->status = rbc__video_pool_decode(w->pool, &codec, &params, &group, &err);
    return NULL;
}

static rbc_status decode_now(rbc__video_pool *pool, int64_t part, int64_t first, int64_t last) {
    wanted w = {pool, part, first, last, RBC_OK};
    (void)decode(&w);
    return w.status;
}

static pthread_t begin(wanted *w) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, decode, w), 0);
    return thread;
}

static void hold_at(int64_t packet) {
    control.held = packet;
    control.bad = -1;
    control.is_let = control.is_there = false;
}

static void wait_until_held(void) {
    pthread_mutex_lock(&control.lock);
    while (!control.is_there) {
        pthread_cond_wait(&control.changed, &control.lock);
    }
    pthread_mutex_unlock(&control.lock);
}

static void let_go(void) {
    pthread_mutex_lock(&control.lock);
    control.is_let = true;
    pthread_cond_broadcast(&control.changed);
    pthread_mutex_unlock(&control.lock);
}

static rbc__video_pool_counts count(rbc__video_pool *pool) {
    rbc__video_pool_counts counts;
    rbc__video_pool_count(pool, &counts);
    return counts;
}

static rbc__video_pool *make_pool(int64_t max_bytes, int32_t num_kept) {
    rbc__video_pool *pool;
    assert_int_equal(rbc__video_pool_create(max_bytes, num_kept, &pool, NULL), RBC_OK);
    hold_at(-1);
    return pool;
}

/* ---- tests --------------------------------------------------------------------------------------
 */

static void a_group_is_gone_on_with(void **state) {
    (void)state;
    rbc__video_pool *pool = make_pool(10 * BYTES, 1);
    for (int64_t first = 0; first < PACKETS; first += 4) {
        assert_int_equal(decode_now(pool, 0, first, first + 3), RBC_OK);
    }
    assert_int_equal(count(pool).num_packets, PACKETS);
    assert_int_equal(count(pool).num_opened, 1);
    assert_int_equal(decode_now(pool, 0, 2, 3), RBC_OK); /* behind it: anew */
    assert_int_equal(count(pool).num_packets, PACKETS + 4);
    rbc__video_pool_destroy(&pool);
}

/* Frames behind those that a decoder is at work for wait for it, however many there are of them and in
 * whatever order they come; frames ahead and other groups do not. */
static void later_frames_wait(void **state) {
    (void)state;
    rbc__video_pool *pool = make_pool(10 * BYTES, 4);
    wanted at_work = {pool, 0, 4, 7, RBC_OK};
    wanted later[] = {
        {pool, 0, 16, 19, RBC_OK}, {pool, 0, 8, 11, RBC_OK}, {pool, 0, 12, 15, RBC_OK}};
    pthread_t threads[3];
    hold_at(6);
    pthread_t first = begin(&at_work);
    wait_until_held();
    assert_int_equal(decode_now(pool, 0, 0, 3), RBC_OK);
    assert_int_equal(decode_now(pool, 1, 0, 3), RBC_OK);
    for (int i = 0; i < 3; ++i) {
        threads[i] = begin(&later[i]);
    }
    usleep(50000); /* those that did not wait would be done */
    assert_int_equal(count(pool).num_packets, 8);
    let_go();
    (void)pthread_join(first, NULL);
    for (int i = 0; i < 3; ++i) {
        (void)pthread_join(threads[i], NULL);
        assert_int_equal(later[i].status, RBC_OK);
    }
    assert_int_equal(count(pool).num_packets, 8 + PACKETS);
    assert_int_equal(count(pool).num_opened, 2);
    rbc__video_pool_destroy(&pool);
}

/* The decoder that is farther on its way is waited for, though another one, that is not, is idle. */
static void the_farther_one_is_waited_for(void **state) {
    (void)state;
    rbc__video_pool *pool = make_pool(10 * BYTES, 4);
    wanted at_work = {pool, 0, 6, 9, RBC_OK};
    wanted later = {pool, 0, 10, 12, RBC_OK};
    hold_at(6);
    pthread_t first = begin(&at_work);
    wait_until_held();
    assert_int_equal(decode_now(pool, 0, 0, 3), RBC_OK);
    pthread_t second = begin(&later);
    usleep(50000);
    let_go();
    (void)pthread_join(first, NULL);
    (void)pthread_join(second, NULL);
    assert_int_equal(count(pool).num_packets, 4 + 13);
    rbc__video_pool_destroy(&pool);
}

/* Where the one that was waited for fails, its followers begin anew and meet the damage themselves. */
static void a_failure_lets_go_who_waits(void **state) {
    (void)state;
    rbc__video_pool *pool = make_pool(10 * BYTES, 4);
    wanted at_work = {pool, 0, 4, 7, RBC_OK};
    wanted later = {pool, 0, 8, 9, RBC_OK};
    hold_at(5);
    control.bad = 5;
    pthread_t first = begin(&at_work);
    wait_until_held();
    pthread_t second = begin(&later);
    let_go();
    (void)pthread_join(first, NULL);
    (void)pthread_join(second, NULL);
    assert_int_equal(at_work.status, RBC_ERROR_FORMAT);
    assert_int_equal(later.status, RBC_ERROR_FORMAT);
    assert_int_equal(count(pool).bytes, 0);
    rbc__video_pool_destroy(&pool);
}

/* So many are kept whatever they take; more only within the bound. */
static void kept_are_bounded(void **state) {
    static const struct {
        int64_t max_bytes;
        int32_t num_kept;
        int64_t left;
    } cases[] = {{0, 2, 2}, {0, 0, 0}, {3 * BYTES, 1, 3}, {9 * BYTES, 1, 4}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        rbc__video_pool *pool = make_pool(cases[i].max_bytes, cases[i].num_kept);
        wanted at_work[4];
        pthread_t threads[4];
        hold_at(1);
        for (int k = 0; k < 4; ++k) {
            at_work[k] = (wanted){pool, k, 0, 3, RBC_OK};
            threads[k] = begin(&at_work[k]);
        }
        while (count(pool).num_opened < 4) {
            usleep(1000);
        }
        let_go();
        for (int k = 0; k < 4; ++k) {
            (void)pthread_join(threads[k], NULL);
        }
        assert_int_equal(count(pool).bytes, cases[i].left * BYTES);
        assert_int_equal(count(pool).peak_bytes, 4 * BYTES);
        rbc__video_pool_destroy(&pool);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_group_is_gone_on_with),
        cmocka_unit_test(later_frames_wait),
        cmocka_unit_test(the_farther_one_is_waited_for),
        cmocka_unit_test(a_failure_lets_go_who_waits),
        cmocka_unit_test(kept_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
