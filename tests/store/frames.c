/* Frames of tracks: packets in a file, in blocks, in both; kept for all who want them, or decoded to
 * where they go. */
#include "fixture.h"

#include <stdatomic.h>

#include "layout/object.h"

enum { GAP = 7, AT = 1000, PACKED_AT = 20000, MAX_FRAMES = 16 };

static void picture(int64_t number, uint8_t *out) {
    for (int i = 0; i < FRAME_BYTES; ++i) {
        out[i] = (uint8_t)(number * 31 + i * 7);
    }
}

/* What a track is made of, before it is encoded. */
typedef struct making {
    rbc__track_packet packets[MAX_FRAMES];
    int64_t num_packets;
    rbc__block blocks[MAX_FRAMES];
    uint32_t num_blocks;
    rbc__packing packings[2];
} making;

static rbc__track_packet *add_packet(making *m, uint32_t number, bool in_block, int64_t offset,
                                     int64_t pts, bool is_key) {
    rbc__track_packet *packet = &m->packets[m->num_packets++];
    *packet = (rbc__track_packet){.number = number,
                                  .in_block = in_block,
                                  .is_key = is_key,
                                  .is_shown = true,
                                  .offset = offset,
                                  .bytes = FRAME_BYTES,
                                  .pts = pts};
    return packet;
}

/* A block of `count` pictures from `first` on, with a few bytes before each. */
static uint32_t add_block(fixture *f, making *m, uint64_t at, int64_t first, int64_t count,
                          uint64_t *packed_bytes) {
    uint8_t bytes[MAX_FRAMES * (GAP + FRAME_BYTES)] = {0};
    size_t packed;
    for (int64_t i = 0; i < count; ++i) {
        picture(first + i, bytes + i * (GAP + FRAME_BYTES) + GAP);
    }
    const size_t size = (size_t)count * (GAP + FRAME_BYTES);
    uint8_t *zlib = zlib_pack(bytes, size, &packed);
    put_bytes(f, at, zlib, packed);
    free(zlib);
    m->blocks[m->num_blocks] =
        (rbc__block){.packing = 1, .offset = at, .packed_bytes = packed, .unpacked_bytes = size};
    *packed_bytes = packed;
    return m->num_blocks++;
}

static uint32_t add_track(fixture *f, making *m, const char *codec) {
    m->packings[1] = one_step(RBC__PACKING_ZLIB);
    const rbc__track_description described = {.video = {.codec = codec, .pixel_format = ""},
                                              .time_base = {1, 90000},
                                              .packets = m->packets,
                                              .num_packets = m->num_packets,
                                              .blocks = m->blocks,
                                              .num_blocks = m->num_blocks,
                                              .packings = m->packings,
                                              .num_packings = 2};
    rbc_error err;
    if (rbc__track_object_encode(&described, &f->tracks[f->num_tracks], &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
    return f->num_tracks++;
}

static void lay_out(fixture *f, uint32_t track, uint64_t count) {
    begin_layout(f, count);
    const rbc__run run = {.id = FRAMES,
                          .container = RBC__IN_TRACK,
                          .encoding = RBC__ENCODING_FRAME,
                          .dtype = RBC__U8,
                          .number = track,
                          .count = count};
    rbc__layout_add_run(&f->writer, &run);
    end_layout(f);
}

/* Twelve pictures in groups of four: the first group in the file, the second in two blocks, and the
 * third in the file and in one of those. */
static uint32_t mixed_track(fixture *f) {
    making m = {0};
    uint64_t packed;
    for (int64_t i = 0; i < 4; ++i) {
        uint8_t bytes[FRAME_BYTES];
        picture(i, bytes);
        put_bytes(f, AT + (uint64_t)i * (FRAME_BYTES + GAP), bytes, sizeof bytes);
        add_packet(&m, 0, false, AT + i * (FRAME_BYTES + GAP), i, i == 0);
    }
    const uint32_t first = add_block(f, &m, PACKED_AT, 4, 3, &packed);
    const uint32_t second = add_block(f, &m, PACKED_AT + packed, 7, 3, &packed);
    for (int64_t i = 4; i < 7; ++i) {
        add_packet(&m, first, true, (i - 4) * (GAP + FRAME_BYTES) + GAP, i, i == 4);
    }
    for (int64_t i = 7; i < 10; ++i) {
        add_packet(&m, second, true, (i - 7) * (GAP + FRAME_BYTES) + GAP, i, i == 8);
    }
    for (int64_t i = 10; i < 12; ++i) {
        uint8_t bytes[FRAME_BYTES];
        picture(i, bytes);
        const uint64_t at = put_bytes(f, 60000 - (uint64_t)i * 1000, bytes, sizeof bytes);
        add_packet(&m, 0, false, (int64_t)at, i, false);
    }
    return add_track(f, &m, "raw");
}

static void want_frames(fixture *f, const int64_t *frames, int64_t count, uint8_t *dst,
                        uint32_t *wants) {
    rbc__request_begin(f->request);
    for (int64_t i = 0; i < count; ++i) {
        rbc_error err;
        if (rbc__request_sample(f->request, &f->parsed, FRAMES, frames[i], &wants[i], &err) !=
            RBC_OK) {
            fail_msg("%s", err.message);
        }
        if (dst != NULL) {
            rbc__request_put(f->request, wants[i], dst + i * FRAME_BYTES);
        }
    }
}

static void assert_frames(fixture *f, const int64_t *frames, const uint32_t *wants, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        uint8_t wanted[FRAME_BYTES];
        rbc__sample sample;
        picture(frames[i], wanted);
        rbc__request_get(f->request, wants[i], &sample);
        assert_non_null(sample.bytes);
        assert_int_equal(sample.num_bytes, FRAME_BYTES);
        assert_memory_equal(sample.bytes, wanted, FRAME_BYTES);
    }
}

static rbc__video_pool_counts count(fixture *f) {
    rbc__video_pool_counts counts;
    rbc__video_pool_count(f->videos, &counts);
    return counts;
}

static void frames_of_packets_anywhere(void **state) {
    static const int64_t orders[][6] = {
        {0, 1, 2, 3, 4, 5}, {11, 7, 3, 4, 9, 7}, {6, 6, 6, 7, 7, 8}, {10, 2, 2, 11, 10, 5}};
    fixture *f = *state;
    lay_out(f, mixed_track(f), 12);
    for (int keeps = 0; keeps < 2; ++keeps) {
        for (int is_split = 0; is_split < 2; ++is_split) {
            make_request(f, is_split, keeps);
            for (size_t k = 0; k < sizeof orders / sizeof *orders; ++k) {
                uint8_t dst[6 * FRAME_BYTES];
                uint32_t wants[6];
                want_frames(f, orders[k], 6, k % 2 == 0 ? dst : NULL, wants);
                must_run(f);
                assert_frames(f, orders[k], wants, 6);
            }
        }
    }
}

/* Frames that are put somewhere are there, but for those that others have already. */
static void frames_go_to_where_they_are_put(void **state) {
    static const int64_t frames[] = {5, 9, 5, 0};
    fixture *f = *state;
    uint8_t dst[4 * FRAME_BYTES];
    uint32_t wants[4];
    lay_out(f, mixed_track(f), 12);
    want_frames(f, frames, 4, dst, wants);
    must_run(f);
    for (int i = 0; i < 4; ++i) {
        rbc__sample sample;
        rbc__request_get(f->request, wants[i], &sample);
        assert_ptr_equal(sample.bytes, dst + (i == 2 ? 0 : i) * FRAME_BYTES);
    }
    assert_frames(f, frames, wants, 4);
    assert_int_equal(count(f).num_packets, 3); /* those that are wanted, each once */
    assert_int_equal(count(f).num_groups, 3);
}

/* Kept pictures are decoded once, all of a group; each block is read once. */
static void kept_pictures_are_decoded_once(void **state) {
    fixture *f = *state;
    lay_out(f, mixed_track(f), 12);
    make_request(f, false, true);
    for (int64_t i = 11; i >= 0; --i) {
        uint32_t want;
        want_frames(f, &i, 1, NULL, &want);
        must_run(f);
        assert_frames(f, &i, &want, 1);
    }
    rbc__block_cache_counts blocks;
    rbc__block_cache_count(f->cache, &blocks);
    assert_int_equal(count(f).num_groups, 3);
    assert_int_equal(count(f).num_packets, 12);
    /* two blocks, packets of the first group and those of the last that are in no block */
    assert_int_equal(blocks.num_reads, 4);
    assert_int_equal(blocks.num_unpacked, 5); /* packets are not packed, pictures are unpacked */
}

/* A group that is larger than a quarter of the cache is kept in segments. */
static void large_groups_are_kept_in_segments(void **state) {
    fixture *f = *state;
    lay_out(f, mixed_track(f), 12);
    rbc__request_destroy(&f->request);
    rbc__block_cache_destroy(&f->cache);
    assert_int_equal(rbc__block_cache_create(4 * 3 * FRAME_BYTES + 4, &f->cache, NULL), RBC_OK);
    make_request(f, false, true);
    const int64_t all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    uint32_t wants[12];
    want_frames(f, all, 12, NULL, wants);
    must_run(f);
    assert_frames(f, all, wants, 12);
    rbc__block_cache_counts blocks;
    rbc__block_cache_count(f->cache, &blocks);
    assert_int_equal(blocks.num_unpacked, 2 + 6); /* blocks, and segments of pictures */
    assert_int_equal(count(f).num_groups, 3);     /* in one go */
    assert_int_equal(count(f).num_packets, 12);
    for (int64_t i = 0; i < 12; ++i) {
        want_frames(f, &i, 1, NULL, wants);
        must_run(f);
        assert_frames(f, &i, wants, 1);
    }
}

/* A block that is damaged fails the frames that need it, and names them. */
static void damaged_blocks_name_the_stream(void **state) {
    fixture *f = *state;
    lay_out(f, mixed_track(f), 12);
    f->blobs[0][PACKED_AT + 20] ^= 0xff;
    for (int keeps = 0; keeps < 2; ++keeps) {
        make_request(f, false, keeps);
        for (int again = 0; again < 2; ++again) {
            static const int64_t frames[] = {0, 5};
            uint32_t wants[2];
            int32_t rank;
            rbc__request_begin(f->request);
            for (int i = 0; i < 2; ++i) {
                rbc__request_for(f->request, i, 0);
                assert_int_equal(
                    rbc__request_sample(f->request, &f->parsed, FRAMES, frames[i], &wants[i], NULL),
                    RBC_OK);
            }
            rbc__request_read(f->request, NULL);
            rbc__request_finish(f->request, NULL);
            assert_null(rbc__request_failure(f->request, 0, &rank));
            assert_frames(f, frames, wants, 1);
            const rbc_error *problem = rbc__request_failure(f->request, 1, &rank);
            assert_non_null(problem);
            assert_int_equal(problem->status, RBC_ERROR_FORMAT);
            assert_contains(problem->message,
                            "first.bin: byte 20000: stream 'frames' of record 7: ");
        }
    }
}

/* Packets that cannot be decoded fail each frame of their group, whoever found it out. */
static void damaged_packets_name_the_stream(void **state) {
    fixture *f = *state;
    making m = {0};
    add_packet(&m, 0, false, AT, 0, true);
    add_packet(&m, 0, false, AT + FRAME_BYTES, 1, false)->bytes = FRAME_BYTES - 1;
    lay_out(f, add_track(f, &m, "raw"), 2);
    for (int keeps = 0; keeps < 2; ++keeps) {
        make_request(f, false, keeps);
        for (int again = 0; again < 2; ++again) {
            static const int64_t frames[] = {1};
            uint32_t want;
            want_frames(f, frames, 1, NULL, &want);
            const rbc_error *problem = run_request(f);
            assert_non_null(problem);
            assert_int_equal(problem->status, RBC_ERROR_FORMAT);
            assert_contains(problem->message, "first.bin: byte 1000: stream 'frames' of record 7: "
                                              "packet 1, of raw pixels, has 71 bytes");
        }
    }
}

/* Segments of a group that are decoded in one go fail each by itself. */
static void a_damaged_packet_fails_its_segment(void **state) {
    fixture *f = *state;
    making m = {0};
    for (int64_t i = 0; i < 3; ++i) {
        uint8_t bytes[FRAME_BYTES];
        picture(i, bytes);
        const uint64_t at = put_bytes(f, AT + (uint64_t)i * FRAME_BYTES, bytes, sizeof bytes);
        add_packet(&m, 0, false, (int64_t)at, i, i == 0)->bytes -= i == 1;
    }
    lay_out(f, add_track(f, &m, "raw"), 3);
    rbc__request_destroy(&f->request);
    rbc__block_cache_destroy(&f->cache);
    assert_int_equal(rbc__block_cache_create(4 * FRAME_BYTES + 4, &f->cache, NULL), RBC_OK);
    make_request(f, false, true);
    for (int again = 0; again < 2; ++again) {
        uint32_t wants[3];
        rbc__request_begin(f->request);
        for (int i = 0; i < 3; ++i) {
            rbc__request_for(f->request, i, 0);
            assert_int_equal(
                rbc__request_sample(f->request, &f->parsed, FRAMES, i, &wants[i], NULL), RBC_OK);
        }
        rbc__request_read(f->request, NULL);
        rbc__request_finish(f->request, NULL);
        for (int i = 0; i < 3; ++i) {
            int32_t rank;
            const rbc_error *problem = rbc__request_failure(f->request, i, &rank);
            assert_true((problem != NULL) == (i == 1));
            if (problem != NULL) {
                assert_contains(problem->message, "packet 1, of raw pixels, has 71 bytes");
            }
        }
        static const int64_t good[] = {0, 2};
        const uint32_t good_wants[] = {wants[0], wants[2]};
        assert_frames(f, good, good_wants, 2);
    }
}

/* A store that fails is a shortage: the next request succeeds. */
static void a_failing_store_is_no_damage(void **state) {
    static const int64_t frames[] = {5};
    fixture *f = *state;
    uint32_t want;
    lay_out(f, mixed_track(f), 12);
    for (int keeps = 0; keeps < 2; ++keeps) {
        make_request(f, false, keeps);
        rbc__block_cache *cache = f->cache;
        rbc__request_destroy(&f->request);
        rbc__block_cache_destroy(&cache);
        assert_int_equal(rbc__block_cache_create(1 << 20, &f->cache, NULL), RBC_OK);
        make_request(f, false, keeps);
        f->store.bad_status = RBC_ERROR_IO;
        f->store.bad_begin = PACKED_AT;
        f->store.bad_end = PACKED_AT + 10;
        want_frames(f, frames, 1, NULL, &want);
        const rbc_error *problem = run_request(f);
        assert_non_null(problem);
        assert_int_equal(problem->status, RBC_ERROR_IO);
        f->store.bad_status = RBC_OK;
        want_frames(f, frames, 1, NULL, &want);
        must_run(f);
        assert_frames(f, frames, &want, 1);
    }
}

/* Decoding stops where it is asked to, which is no damage. */
static void decoding_is_cancelled(void **state) {
    static const int64_t frames[] = {1, 2};
    fixture *f = *state;
    uint32_t wants[2];
    int32_t rank;
    lay_out(f, mixed_track(f), 12);
    for (int keeps = 0; keeps < 2; ++keeps) {
        atomic_bool cancel;
        atomic_init(&cancel, false);
        make_request(f, false, keeps);
        want_frames(f, frames, 2, NULL, wants);
        rbc__request_read(f->request, &cancel);
        atomic_store(&cancel, true);
        rbc__request_finish(f->request, &cancel);
        const rbc_error *problem = rbc__request_failure(f->request, 0, &rank);
        assert_non_null(problem);
        assert_int_equal(problem->status, RBC_ERROR_CANCELLED);
        want_frames(f, frames, 2, NULL, wants);
        must_run(f);
        assert_frames(f, frames, wants, 2);
    }
}

/* What a stranger's catalog may say of a track. */
static void damaged_tracks_are_refused(void **state) {
    static const struct {
        const char *what;
        uint32_t number;
        int64_t offset, bytes;
        uint64_t unpacked;
        const char *message;
    } cases[] = {
        {"a packet past the end of its block", 0, 100, FRAME_BYTES, 150,
         "found 72 bytes from byte 100 on, of a block of 150"},
        {"a block that is not there", 9, 0, FRAME_BYTES, 150, "block 9"},
        {"a block that cannot be so large", 0, 0, FRAME_BYTES, UINT64_C(1) << 40,
         "block 0 of a track in the catalog: it is damaged"},
        {"a block that is no block of the file", 0, 0, FRAME_BYTES, 1000000, "first.bin: byte 0"},
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        making m = {.num_blocks = 1};
        m.blocks[0] =
            (rbc__block){.packing = 1, .packed_bytes = 100, .unpacked_bytes = cases[i].unpacked};
        rbc__track_packet *packet = add_packet(&m, cases[i].number, true, cases[i].offset, 0, true);
        packet->bytes = cases[i].bytes;
        lay_out(f, add_track(f, &m, "raw"), 1);
        rbc_error err;
        uint32_t want;
        rbc__request_begin(f->request);
        if (rbc__request_sample(f->request, &f->parsed, FRAMES, 0, &want, &err) == RBC_OK) {
            const rbc_error *problem = run_request(f);
            assert_non_null(problem);
            err = *problem;
        }
        if (err.status != RBC_ERROR_FORMAT || strstr(err.message, cases[i].message) == NULL) {
            fail_msg("%s: %s", cases[i].what, err.message);
        }
    }
}

static void other_codecs_are_named(void **state) {
    fixture *f = *state;
    making m = {0};
    rbc_error err;
    uint32_t want;
    add_packet(&m, 0, false, AT, 0, true);
    lay_out(f, add_track(f, &m, "cinepak"), 1);
    assert_int_equal(rbc__request_sample(f->request, &f->parsed, FRAMES, 0, &want, &err),
                     RBC_ERROR_UNSUPPORTED);
    assert_contains(err.message, "'frames' is video of codec 'cinepak'");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_of_packets_anywhere, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(frames_go_to_where_they_are_put, make_fixture,
                                        free_fixture),
        cmocka_unit_test_setup_teardown(kept_pictures_are_decoded_once, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(large_groups_are_kept_in_segments, make_fixture,
                                        free_fixture),
        cmocka_unit_test_setup_teardown(damaged_blocks_name_the_stream, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(a_damaged_packet_fails_its_segment, make_fixture,
                                        free_fixture),
        cmocka_unit_test_setup_teardown(damaged_packets_name_the_stream, make_fixture,
                                        free_fixture),
        cmocka_unit_test_setup_teardown(a_failing_store_is_no_damage, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(decoding_is_cancelled, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(damaged_tracks_are_refused, make_fixture, free_fixture),
        cmocka_unit_test_setup_teardown(other_codecs_are_named, make_fixture, free_fixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
