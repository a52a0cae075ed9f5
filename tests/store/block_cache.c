/* The cache of blocks: read once and unpacked once among threads, failures that reach all who wait,
 * what is remembered and what is not, its bound. */
#define _GNU_SOURCE

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "core/error.h"
#include "store/block_cache.h"

enum { PACKED_BYTES = 100, DATA_BYTES = 1000 };

static rbc__block_cache *make_cache(int64_t max_bytes) {
    rbc__block_cache *cache = NULL;
    assert_int_equal(rbc__block_cache_create(max_bytes, &cache, NULL), RBC_OK);
    return cache;
}

static rbc__block_cache_counts counts_of(rbc__block_cache *cache) {
    rbc__block_cache_counts counts;
    rbc__block_cache_count(cache, &counts);
    return counts;
}

static rbc__block_key key_of(uint64_t number) {
    static const char owners[2];
    const uint64_t half = number / 2; /* of two datasets, which differ in nothing else */
    return (rbc__block_key){(int64_t)(half % 3), half / 3 * 4096, half % 7 == 0 ? 5 : 0,
                            RBC__KEY_BLOCK, &owners[number % 2]};
}

static rbc__cached_block *pin(rbc__block_cache *cache, uint64_t number) {
    const rbc__block_key key = key_of(number);
    rbc__cached_block *block = NULL;
    if (rbc__block_pin(cache, &key, &block, NULL) != RBC_OK) {
        abort(); /* cmocka's assertions are the main thread's */
    }
    return block;
}

static uint8_t *packed_of(uint64_t number) {
    uint8_t *packed = malloc(PACKED_BYTES);
    if (packed == NULL) {
        abort();
    }
    memset(packed, (int)(number % 251), PACKED_BYTES);
    return packed;
}

/* What unpacking does to a block: `status` where that is not OK. */
typedef struct unpacking {
    rbc_status status;
    int calls;
} unpacking;

static rbc_status unpack(void *user, const uint8_t *packed, size_t bytes, uint8_t **out,
                         size_t *out_bytes, rbc_error *err) {
    unpacking *how = user;
    if (how != NULL) {
        ++how->calls;
        if (how->status != RBC_OK) {
            return rbc__fail(err, how->status, "unpacking: it is %d", (int)how->status);
        }
    }
    if (bytes != PACKED_BYTES) {
        abort();
    }
    *out = malloc(DATA_BYTES);
    if (*out == NULL) {
        abort();
    }
    memset(*out, packed[PACKED_BYTES - 1], DATA_BYTES);
    *out_bytes = DATA_BYTES;
    return RBC_OK;
}

static bool is_data_of(uint64_t number, const uint8_t *data, size_t bytes) {
    bool is_same = bytes == DATA_BYTES;
    for (size_t i = 0; is_same && i < bytes; ++i) {
        is_same = data[i] == number % 251;
    }
    return is_same;
}

static rbc_status get(rbc__block_cache *cache, rbc__cached_block *block, unpacking *how,
                      bool *again, rbc_error *err) {
    const uint8_t *data = NULL;
    size_t bytes = 0;
    return rbc__block_get(cache, block, unpack, how, NULL, NULL, &data, &bytes, again, err);
}

/* Reads a block, which nobody has yet, and has it unpacked. */
static void read_block(rbc__block_cache *cache, rbc__cached_block *block, uint64_t number) {
    bool again;
    const uint32_t claim = rbc__block_claim(cache, block, NULL);
    assert_int_not_equal(claim, 0);
    rbc__block_hand_in(cache, block, claim, packed_of(number), PACKED_BYTES);
    assert_int_equal(get(cache, block, NULL, &again, NULL), RBC_OK);
}

/* Is the block there without reading? */
static bool is_kept(rbc__block_cache *cache, uint64_t number) {
    rbc__cached_block *block = pin(cache, number);
    const uint32_t claim = rbc__block_claim(cache, block, NULL);
    if (claim != 0) {
        rbc__block_fail(cache, block, claim, NULL);
    }
    rbc__block_unpin(cache, block);
    return claim == 0;
}

/* Who reads a block may hang. Once he has given up the first who waits claims it anew, and what comes
 * of the first reading is dropped, whatever that is. */
static void claims_that_are_given_up_are_taken_over(void **state) {
    (void)state;
    for (int how = 0; how < 3; ++how) {
        rbc__block_cache *cache = make_cache(1 << 20);
        rbc__cached_block *block = pin(cache, 1);
        atomic_bool has_given_up;
        bool again = false;
        rbc_error err;
        atomic_init(&has_given_up, false);
        const uint32_t first = rbc__block_claim(cache, block, &has_given_up);
        assert_int_not_equal(first, 0);
        assert_int_equal(rbc__block_claim(cache, block, NULL), 0); /* he has not, so far */
        atomic_store(&has_given_up, true);
        assert_int_equal(get(cache, block, NULL, &again, &err), RBC_OK);
        assert_true(again);
        const uint32_t second = rbc__block_claim(cache, block, NULL);
        assert_int_not_equal(second, 0);
        for (int late = 0; late < 2; ++late) { /* while the other reads, and when he has read */
            if (how == 0) {
                rbc__block_hand_in(cache, block, first, packed_of(2), PACKED_BYTES);
            } else if (how == 1) {
                uint8_t *whole = calloc(1, DATA_BYTES);
                assert_non_null(whole);
                assert_false(rbc__block_publish(cache, block, first, whole, DATA_BYTES));
                free(whole);
            } else {
                rbc__fail(&err, RBC_ERROR_FORMAT, "it is damaged");
                rbc__block_fail(cache, block, first, &err);
            }
            if (late == 0) {
                rbc__block_hand_in(cache, block, second, packed_of(1), PACKED_BYTES);
            }
            const uint8_t *data = NULL;
            size_t bytes = 0;
            assert_int_equal(
                rbc__block_get(cache, block, unpack, NULL, NULL, NULL, &data, &bytes, &again, &err),
                RBC_OK);
            assert_false(again);
            assert_true(is_data_of(1, data, bytes));
        }
        rbc__block_unpin(cache, block);
        rbc__block_cache_destroy(&cache);
    }
}

/* ---- one thread ---------------------------------------------------------------------------------
 */

static void a_block_is_handed_in_unpacked_and_found(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    rbc__block_cache *cache = make_cache(1 << 22);
    unpacking how = {RBC_OK, 0};
    for (int round = 0; round < 3; ++round) {
        for (uint64_t number = 0; number < COUNT; ++number) {
            const uint8_t *data = NULL;
            size_t bytes = 0;
            bool again = true;
            rbc__cached_block *block = pin(cache, number);
            const uint32_t claim = rbc__block_claim(cache, block, NULL);
            assert_int_equal(claim != 0, round == 0);
            if (claim != 0 && number % 2 == 0) {
                rbc__block_hand_in(cache, block, claim, packed_of(number), PACKED_BYTES);
            } else if (claim != 0) {
                uint8_t *whole = malloc(DATA_BYTES);
                assert_non_null(whole);
                memset(whole, (int)(number % 251), DATA_BYTES);
                assert_true(rbc__block_publish(cache, block, claim, whole, DATA_BYTES));
            }
            assert_int_equal(
                rbc__block_get(cache, block, unpack, &how, NULL, NULL, &data, &bytes, &again, NULL),
                RBC_OK);
            assert_false(again);
            assert_true(is_data_of(number, data, bytes));
            rbc__block_unpin(cache, block);
        }
    }
    const rbc__block_cache_counts counts = counts_of(cache);
    assert_int_equal(counts.num_reads, COUNT);
    assert_int_equal(counts.num_unpacked, COUNT);
    assert_int_equal(counts.num_found, 2 * COUNT);
    assert_int_equal(how.calls, COUNT / 2);
    rbc__block_cache_destroy(&cache);
    assert_null(cache);
}

/* Pinned blocks stay whatever the bound is; of others those that were not used for longest go. */
static void the_bound_is_kept(void **state) {
    (void)state;
    enum { ROOM = 20, MAX_BYTES = ROOM * (DATA_BYTES + 200) };
    rbc__block_cache *cache = make_cache(MAX_BYTES);
    rbc__cached_block *pinned[3 * ROOM];
    for (uint64_t i = 0; i < 3 * ROOM; ++i) {
        pinned[i] = pin(cache, i);
        read_block(cache, pinned[i], i);
    }
    assert_true(counts_of(cache).bytes > 3 * ROOM * DATA_BYTES);
    for (uint64_t i = 0; i < 3 * ROOM; ++i) {
        bool again;
        assert_int_equal(get(cache, pinned[i], NULL, &again, NULL), RBC_OK);
        rbc__block_unpin(cache, pinned[i]);
    }
    assert_true(counts_of(cache).bytes <= MAX_BYTES);
    assert_true(counts_of(cache).bytes > MAX_BYTES - 2 * (DATA_BYTES + 200));
    assert_true(counts_of(cache).peak_bytes >= 3 * ROOM * DATA_BYTES);
    assert_true(is_kept(cache, 3 * ROOM - 1));
    assert_false(is_kept(cache, 0));
    /* one that is used again and again outlives many */
    for (uint64_t i = 0; i < 10 * ROOM; ++i) {
        rbc__cached_block *block = pin(cache, 1000 + i);
        read_block(cache, block, 1000 + i);
        rbc__block_unpin(cache, block);
        assert_true(is_kept(cache, 3 * ROOM - 1));
        assert_true(counts_of(cache).bytes <= MAX_BYTES);
    }
    assert_false(is_kept(cache, 3 * ROOM - 2));
    rbc__block_cache_destroy(&cache);
    /* nothing is kept without room, and yet all can be had */
    cache = make_cache(0);
    for (uint64_t i = 0; i < 10; ++i) {
        rbc__cached_block *block = pin(cache, i);
        read_block(cache, block, i);
        rbc__block_unpin(cache, block);
        assert_int_equal(counts_of(cache).bytes, 0);
    }
    rbc__block_cache_destroy(&cache);
}

static void damage_is_remembered_and_a_shortage_is_not(void **state) {
    (void)state;
    static const struct {
        rbc_status status;
        bool is_remembered;
    } cases[] = {
        {RBC_ERROR_FORMAT, true},         {RBC_ERROR_UNSUPPORTED, true},
        {RBC_ERROR_OUT_OF_MEMORY, false}, {RBC_ERROR_IO, false},
        {RBC_ERROR_CANCELLED, false},     {RBC_OK, false}, /* nothing is said */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        for (int in_unpacking = 0; in_unpacking < 2; ++in_unpacking) {
            rbc__block_cache *cache = make_cache(1 << 20);
            rbc__cached_block *block = pin(cache, 1);
            rbc_error err;
            rbc_error problem = {.status = cases[i].status};
            unpacking how = {cases[i].status, 0};
            bool again = false;
            strcpy(problem.message, "no such bytes");
            if (in_unpacking && cases[i].status == RBC_OK) {
                rbc__block_unpin(cache, block);
                rbc__block_cache_destroy(&cache);
                continue;
            }
            const uint32_t claim = rbc__block_claim(cache, block, NULL);
            assert_int_not_equal(claim, 0);
            if (in_unpacking) {
                rbc__block_hand_in(cache, block, claim, packed_of(1), PACKED_BYTES);
                assert_int_equal(get(cache, block, &how, &again, &err), cases[i].status);
            } else {
                rbc__block_fail(cache, block, claim, cases[i].status != RBC_OK ? &problem : NULL);
            }
            rbc__block_unpin(cache, block);
            block = pin(cache, 1);
            if (cases[i].is_remembered) {
                assert_int_equal(rbc__block_claim(cache, block, NULL), 0);
                for (int round = 0; round < 2; ++round) {
                    assert_int_equal(get(cache, block, NULL, &again, &err), cases[i].status);
                    assert_int_equal(err.status, cases[i].status);
                    assert_non_null(
                        strstr(err.message, in_unpacking ? "unpacking: it is" : "no such bytes"));
                }
            } else if (in_unpacking) { /* what was read is there, and unpacked now */
                assert_int_equal(rbc__block_claim(cache, block, NULL), 0);
                assert_int_equal(get(cache, block, NULL, &again, &err), RBC_OK);
                assert_false(again);
            } else {
                assert_int_equal(get(cache, block, NULL, &again, &err), RBC_OK);
                assert_true(again);
                read_block(cache, block, 1);
            }
            rbc__block_unpin(cache, block);
            rbc__block_cache_destroy(&cache);
        }
    }
}

/* ---- several threads ----------------------------------------------------------------------------
 */

enum { THREADS = 8, BLOCKS = 60 };

typedef struct worker {
    rbc__block_cache *cache;
    pthread_barrier_t *start;
    pthread_t thread;
    const atomic_bool *cancel;
    uint64_t seed;
    int rounds;
    int num_bad; /* blocks that were not what they are */
    int num_cancelled, num_failed, num_again;
    bool is_damaged; /* who claims fails it */
} worker;

static uint64_t any(worker *self) {
    return xorshift_number(&self->seed) >> 16;
}

/* Pins several blocks, reads those that it has claimed, and gets all: as requests do. */
static void use_blocks(worker *self, const uint64_t *numbers, int count) {
    rbc__cached_block *blocks[8];
    uint32_t claims[8];
    for (int i = 0; i < count; ++i) {
        blocks[i] = pin(self->cache, numbers[i]);
        claims[i] = rbc__block_claim(self->cache, blocks[i], NULL);
    }
    for (int i = 0; i < count; ++i) {
        if (claims[i] != 0 && any(self) % 16 == 0) { /* a shortage: another has to read it */
            rbc__block_fail(self->cache, blocks[i], claims[i], NULL);
        } else if (claims[i] != 0) {
            rbc__block_hand_in(self->cache, blocks[i], claims[i], packed_of(numbers[i]),
                               PACKED_BYTES);
        }
    }
    for (int i = 0; i < count; ++i) {
        const uint8_t *data = NULL;
        size_t bytes = 0;
        bool again = true;
        while (again) {
            if (rbc__block_get(self->cache, blocks[i], unpack, NULL, self->cancel, NULL, &data,
                               &bytes, &again, NULL) != RBC_OK) {
                ++self->num_failed;
            } else if (again) {
                const uint32_t claim = rbc__block_claim(self->cache, blocks[i], NULL);
                if (claim != 0) {
                    rbc__block_hand_in(self->cache, blocks[i], claim, packed_of(numbers[i]),
                                       PACKED_BYTES);
                }
            }
            self->num_again += again;
        }
        self->num_bad += !is_data_of(numbers[i], data, bytes);
    }
    for (int i = 0; i < count; ++i) {
        rbc__block_unpin(self->cache, blocks[i]);
    }
}

static void *use_any(void *argument) {
    worker *self = argument;
    pthread_barrier_wait(self->start);
    for (int round = 0; round < self->rounds; ++round) {
        uint64_t numbers[8];
        const int count = 1 + (int)(any(self) % 8);
        for (int i = 0; i < count; ++i) {
            numbers[i] = any(self) % BLOCKS;
        }
        use_blocks(self, numbers, count);
    }
    return NULL;
}

/* Every thread wants every block, each beginning elsewhere. */
static void *use_all(void *argument) {
    worker *self = argument;
    const uint64_t begin = any(self) % BLOCKS;
    pthread_barrier_wait(self->start);
    for (uint64_t i = 0; i < BLOCKS; ++i) {
        const uint64_t number = (begin + i) % BLOCKS;
        const uint8_t *data = NULL;
        size_t bytes = 0;
        bool again;
        rbc__cached_block *block = pin(self->cache, number);
        const uint32_t claim = rbc__block_claim(self->cache, block, NULL);
        if (claim != 0) {
            rbc__block_hand_in(self->cache, block, claim, packed_of(number), PACKED_BYTES);
        }
        if (rbc__block_get(self->cache, block, unpack, NULL, NULL, NULL, &data, &bytes, &again,
                           NULL) != RBC_OK ||
            again || !is_data_of(number, data, bytes)) {
            ++self->num_bad;
        }
        rbc__block_unpin(self->cache, block);
    }
    return NULL;
}

/* All want block 0; who claims it says so once the others wait or are about to. */
static void *want_one(void *argument) {
    worker *self = argument;
    rbc_error err = {0};
    bool again = false;
    const uint8_t *data;
    size_t bytes;
    rbc__cached_block *block = pin(self->cache, 0);
    const uint32_t claim = rbc__block_claim(self->cache, block, NULL);
    pthread_barrier_wait(self->start);
    if (claim != 0 && self->is_damaged) {
        rbc__fail(&err, RBC_ERROR_FORMAT, "it is damaged");
        rbc__block_fail(self->cache, block, claim, &err);
    }
    const rbc_status status = rbc__block_get(self->cache, block, unpack, NULL, self->cancel, NULL,
                                             &data, &bytes, &again, &err);
    self->num_failed += status == RBC_ERROR_FORMAT && strcmp(err.message, "it is damaged") == 0;
    self->num_cancelled += status == RBC_ERROR_CANCELLED;
    self->num_again += again;
    pthread_barrier_wait(self->start);
    if (claim != 0 && !self->is_damaged) {
        rbc__block_fail(self->cache, block, claim, NULL);
    }
    rbc__block_unpin(self->cache, block);
    return NULL;
}

/* Runs `body` in all threads, adding up what they have counted. */
static worker run_threads(rbc__block_cache *cache, void *(*body)(void *), const worker *how) {
    worker workers[THREADS];
    worker sum = {0};
    pthread_barrier_t start;
    assert_int_equal(pthread_barrier_init(&start, NULL, THREADS), 0);
    for (int i = 0; i < THREADS; ++i) {
        workers[i] = *how;
        workers[i].cache = cache;
        workers[i].start = &start;
        workers[i].seed = (uint64_t)i + 1;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; ++i) {
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
        sum.num_bad += workers[i].num_bad;
        sum.num_failed += workers[i].num_failed;
        sum.num_cancelled += workers[i].num_cancelled;
        sum.num_again += workers[i].num_again;
    }
    pthread_barrier_destroy(&start);
    return sum;
}

static void blocks_are_read_and_unpacked_once_among_threads(void **state) {
    (void)state;
    rbc__block_cache *cache = make_cache(1 << 20);
    const worker sum = run_threads(cache, use_all, &(worker){0});
    assert_int_equal(sum.num_bad, 0);
    const rbc__block_cache_counts counts = counts_of(cache);
    assert_int_equal(counts.num_reads, BLOCKS);
    assert_int_equal(counts.num_unpacked, BLOCKS);
    assert_int_equal(counts.num_found, (THREADS - 1) * BLOCKS);
    rbc__block_cache_destroy(&cache);
}

/* With hardly any room, and readings that come to nothing. */
static void threads_have_their_blocks_whatever_the_room(void **state) {
    (void)state;
    for (int64_t room = 0; room < BLOCKS; room += 15) {
        rbc__block_cache *cache = make_cache(room * DATA_BYTES);
        const worker sum = run_threads(cache, use_any, &(worker){.rounds = 300});
        assert_int_equal(sum.num_bad, 0);
        assert_int_equal(sum.num_failed, 0);
        assert_true(counts_of(cache).bytes <= room * DATA_BYTES);
        rbc__block_cache_destroy(&cache);
    }
}

static void a_failure_reaches_all_who_wait(void **state) {
    (void)state;
    rbc__block_cache *cache = make_cache(1 << 20);
    const worker sum = run_threads(cache, want_one, &(worker){.is_damaged = true});
    assert_int_equal(sum.num_failed, THREADS);
    assert_int_equal(counts_of(cache).num_reads, 1);
    rbc__block_cache_destroy(&cache);
}

/* Who waits for a reader that does not come back is let go. */
static void waiting_can_be_stopped(void **state) {
    (void)state;
    const atomic_bool cancel = true;
    rbc__block_cache *cache = make_cache(1 << 20);
    const worker sum = run_threads(cache, want_one, &(worker){.cancel = &cancel});
    assert_int_equal(sum.num_cancelled, THREADS);
    rbc__block_cache_destroy(&cache);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_that_are_given_up_are_taken_over),
        cmocka_unit_test(a_block_is_handed_in_unpacked_and_found),
        cmocka_unit_test(the_bound_is_kept),
        cmocka_unit_test(damage_is_remembered_and_a_shortage_is_not),
        cmocka_unit_test(blocks_are_read_and_unpacked_once_among_threads),
        cmocka_unit_test(threads_have_their_blocks_whatever_the_room),
        cmocka_unit_test(a_failure_reaches_all_who_wait),
        cmocka_unit_test(waiting_can_be_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
