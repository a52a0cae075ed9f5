/* Tracks: groups of pictures and frames against what their packets say, counted one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../random.h"
#include "damage.h"
#include "layout/track.h"

enum { BLOBS = 3, BLOCKS = 500, MOST_PACKETS = 200 };

static const rbc__time_base TIME_BASE = {1, 15360};

static uint64_t state = 1;

static int64_t up_to(int64_t most) {
    return xorshift_up_to(&state, most);
}

static void encode(const rbc__track_packet *packets, int64_t num_packets, rbc__bytes *out) {
    rbc_error err;
    if (rbc__track_encode(packets, num_packets, TIME_BASE, out, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
}

static void decode(const rbc__bytes *bytes, rbc__track *out) {
    rbc_error err;
    if (rbc__track_decode(bytes->data, bytes->size, BLOBS, BLOCKS, out, &err) != RBC_OK) {
        fail_msg("%s", err.message);
    }
}

/* ---- against counting ---- */

static int64_t wanted_group(const rbc__track_packet *packets, int64_t packet) {
    int64_t keys = 0;
    int64_t key = 0;
    for (int64_t i = 0; i <= packet; ++i) {
        if (packets[i].is_key) {
            ++keys;
            key = i;
        }
    }
    return keys > 1 && packets[packet].pts < packets[key].pts ? keys - 2 : keys - 1;
}

/* Is frame a before frame b? */
static bool is_before(const rbc__track_packet *packets, const int64_t *groups, int64_t a,
                      int64_t b) {
    if (groups[a] != groups[b]) {
        return groups[a] < groups[b];
    }
    return packets[a].pts != packets[b].pts ? packets[a].pts < packets[b].pts : a < b;
}

static void check_groups(const rbc__track_packet *packets, int64_t num_packets,
                         const int64_t *groups, const rbc__track *track) {
    int64_t group = -1;
    int64_t frame = 0;
    for (int64_t i = 0; i < num_packets; ++i) {
        if (!packets[i].is_key) {
            continue;
        }
        ++group;
        int64_t frames = 0;
        int64_t end = i + 1;
        while (end < num_packets && !packets[end].is_key) {
            ++end;
        }
        for (int64_t j = 0; j < num_packets; ++j) {
            if (packets[j].is_shown && groups[j] == group) {
                ++frames;
                end = j >= end ? j + 1 : end;
            }
        }
        rbc__track_group found;
        assert_int_equal(rbc__track_group_at(track, group, &found, NULL), RBC_OK);
        assert_int_equal(found.first_packet, i);
        assert_int_equal(found.num_packets, end - i);
        assert_int_equal(found.first_frame, frame);
        assert_int_equal(found.num_frames, frames);
        frame += frames;
    }
    assert_int_equal(track->num_groups, group + 1);
    assert_int_equal(track->num_frames, frame);
}

static void check_frames(const rbc__track_packet *packets, int64_t num_packets,
                         const int64_t *groups, const rbc__track *track) {
    for (int64_t i = 0; i < num_packets; ++i) {
        if (!packets[i].is_shown) {
            continue;
        }
        int64_t frame = 0;
        int64_t position = 0;
        for (int64_t j = 0; j < num_packets; ++j) {
            if (packets[j].is_shown && is_before(packets, groups, j, i)) {
                ++frame;
                position += groups[j] == groups[i];
            }
        }
        rbc__track_frame found;
        assert_int_equal(rbc__track_frame_at(track, frame, &found, NULL), RBC_OK);
        assert_int_equal(found.packet, i);
        assert_int_equal(found.pts, packets[i].pts);
        assert_int_equal(found.group, groups[i]);
        assert_int_equal(found.position, position);
    }
}

static void check_packets(const rbc__track_packet *packets, int64_t num_packets,
                          const rbc__track *track) {
    assert_int_equal(track->num_packets, num_packets);
    for (int64_t i = 0; i < num_packets; ++i) {
        rbc__track_packet found;
        assert_int_equal(rbc__track_packet_at(track, i, &found, NULL), RBC_OK);
        assert_int_equal(found.number, packets[i].number);
        assert_int_equal(found.in_block, packets[i].in_block);
        assert_int_equal(found.is_key, packets[i].is_key);
        assert_int_equal(found.is_shown, packets[i].is_shown);
        assert_int_equal(found.offset, packets[i].offset);
        assert_int_equal(found.bytes, packets[i].bytes);
        assert_int_equal(found.pts, packets[i].pts);
    }
}

/* Returns the encoded bytes. */
static size_t check_track(const rbc__track_packet *packets, int64_t num_packets) {
    int64_t groups[MOST_PACKETS];
    assert_true(num_packets <= MOST_PACKETS);
    for (int64_t i = 0; i < num_packets; ++i) {
        groups[i] = wanted_group(packets, i);
    }
    rbc__bytes encoded = {0};
    rbc__track track;
    encode(packets, num_packets, &encoded);
    decode(&encoded, &track);
    assert_memory_equal(&track.time_base, &TIME_BASE, sizeof TIME_BASE);
    check_packets(packets, num_packets, &track);
    check_groups(packets, num_packets, groups, &track);
    check_frames(packets, num_packets, groups, &track);
    const size_t size = encoded.size;
    rbc__bytes_free(&encoded);
    return size;
}

static void random_tracks_are_as_counted(void **unused) {
    (void)unused;
    rbc__track_packet packets[MOST_PACKETS];
    for (int trial = 0; trial < 2000; ++trial) {
        const int64_t num_packets = up_to(trial % 10 == 0 ? MOST_PACKETS : 30);
        const int64_t group = up_to(20);
        const int64_t jitter = up_to(2) * 512;
        const bool is_wild = up_to(9) == 0;
        const bool in_blocks = up_to(3) == 0;
        int64_t offset = up_to(1000);
        for (int64_t i = 0; i < num_packets; ++i) {
            packets[i] = (rbc__track_packet){
                .number = (uint32_t)(in_blocks ? up_to(BLOCKS - 1) : up_to(BLOBS - 1)),
                .in_block = in_blocks && up_to(20) > 0,
                .is_key = i == 0 || up_to(group) == 0,
                .is_shown = up_to(15) > 0,
                .offset = offset,
                .bytes = 1 + up_to(30000),
                .pts = is_wild ? up_to(1000) - 500 : i * 512 + up_to(jitter) * 3,
            };
            packets[i].number %= packets[i].in_block ? BLOCKS : BLOBS;
            offset += packets[i].bytes + (up_to(3) == 0 ? up_to(500) : 0);
        }
        check_track(packets, num_packets);
    }
}

/* ---- cases ---- */

/* Packets from text such as "K0 P3 b1 b2": K a key packet, P or b another, a following _ hides it,
 * then its pts. */
static int64_t read_packets(const char *text, rbc__track_packet *packets) {
    int64_t count = 0;
    int64_t offset = 100;
    while (*text != '\0') {
        rbc__track_packet *packet = &packets[count++];
        *packet = (rbc__track_packet){.is_key = *text == 'K', .is_shown = text[1] != '_'};
        char *end;
        packet->pts = strtoll(text + 1 + !packet->is_shown, &end, 10);
        packet->offset = offset;
        packet->bytes = 10;
        offset += 10;
        text = *end == ' ' ? end + 1 : end;
    }
    return count;
}

/* "packets first+count: pts of the frames" of each group. */
static void write_groups(const rbc__track *track, char *text, size_t size) {
    size_t at = 0;
    text[0] = '\0';
    for (int64_t i = 0; i < track->num_groups; ++i) {
        rbc__track_group group;
        assert_int_equal(rbc__track_group_at(track, i, &group, NULL), RBC_OK);
        at += (size_t)snprintf(text + at, size - at, "%s%d+%d:", i > 0 ? "; " : "",
                               (int)group.first_packet, (int)group.num_packets);
        for (int64_t j = 0; j < group.num_frames; ++j) {
            rbc__track_frame frame;
            assert_int_equal(rbc__track_frame_at(track, group.first_frame + j, &frame, NULL),
                             RBC_OK);
            assert_int_equal(frame.group, i);
            assert_int_equal(frame.position, j);
            at += (size_t)snprintf(text + at, size - at, " %d", (int)frame.pts);
        }
    }
}

static void groups_are_what_is_decoded_together(void **unused) {
    (void)unused;
    static const struct {
        const char *name, *packets, *groups;
    } cases[] = {
        {"nothing", "", ""},
        {"one picture", "K0", "0+1: 0"},
        {"all are keys", "K0 K1 K2", "0+1: 0; 1+1: 1; 2+1: 2"},
        {"a key every two", "K0 P1 K2 P3", "0+2: 0 1; 2+2: 2 3"},
        {"closed groups, reordered", "K0 P3 b1 b2 K4 P6 b5", "0+4: 0 1 2 3; 4+3: 4 5 6"},
        {"open groups", "K2 b0 b1 P5 b3 b4 K8 b6 b7 P9", "0+9: 0 1 2 3 4 5 6 7; 6+4: 8 9"},
        {"an open group, then a closed one", "K0 P1 K4 b2 b3 P5 K6 P7",
         "0+5: 0 1 2 3; 2+4: 4 5; 6+2: 6 7"},
        {"before the first key's pts", "K3 b1 b2 P4", "0+4: 1 2 3 4"},
        {"an edit list hides the begin", "K_0 P_1 P2 P3 K4", "0+4: 2 3; 4+1: 4"},
        {"an edit list hides the end", "K0 P1 K2 P_3", "0+2: 0 1; 2+2: 2"},
        {"a group that is not shown", "K0 P1 K_2 P_3 K4", "0+2: 0 1; 2+2:; 4+1: 4"},
        {"hidden packets that are shown before the key", "K0 P1 K4 b_2 b3", "0+5: 0 1 3; 2+3: 4"},
        {"hidden packets alone are", "K0 P1 K4 b_2 b_3 P5", "0+2: 0 1; 2+4: 4 5"},
        {"hidden references (VP9)", "K0 P_1 P1 P_3 P3", "0+5: 0 1 3"},
        {"one pts twice", "K0 P1 P1 K2", "0+3: 0 1 1; 3+1: 2"},
        {"pts that jump", "K0 P1 K1000 P5000", "0+2: 0 1; 2+2: 1000 5000"},
        {"below zero", "K-5 P-4", "0+2: -5 -4"},
        {"a clock set back between groups", "K100 P101 K50 P51", "0+2: 100 101; 2+2: 50 51"},
        {"a clock set back in a group", "K100 P101 K102 P50 P51 K52",
         "0+5: 50 51 100 101; 2+3: 102; 5+1: 52"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__track_packet packets[16];
        const int64_t count = read_packets(cases[i].packets, packets);
        check_track(packets, count);
        rbc__bytes encoded = {0};
        rbc__track track;
        char text[256];
        encode(packets, count, &encoded);
        decode(&encoded, &track);
        write_groups(&track, text, sizeof text);
        if (strcmp(text, cases[i].groups) != 0) {
            fail_msg("%s: found '%s', wanted '%s'", cases[i].name, text, cases[i].groups);
        }
        rbc__bytes_free(&encoded);
    }
}

static void tracks_take_few_bytes(void **unused) {
    (void)unused;
    enum { PACKETS = 100000 };
    rbc__track_packet *packets = calloc(PACKETS, sizeof *packets);
    assert_non_null(packets);
    int64_t offset = 48;
    for (int64_t i = 0; i < PACKETS; ++i) { /* a key packet every two, as LeRobot writes */
        packets[i] = (rbc__track_packet){.is_key = i % 2 == 0,
                                         .is_shown = true,
                                         .offset = offset,
                                         .bytes = (i % 2 == 0 ? 9000 : 1500) + up_to(1000),
                                         .pts = i * 512};
        offset += packets[i].bytes;
    }
    rbc__bytes encoded = {0};
    encode(packets, PACKETS, &encoded);
    assert_true(encoded.size <= (size_t)6 * PACKETS);
    encoded.size = 0;
    for (int64_t i = 0; i < PACKETS; ++i) { /* groups of 250 whose packets are not in order */
        static const int64_t order[4] = {0, 2, -1, -1};
        packets[i].is_key = i % 250 == 0;
        packets[i].pts = (i + (i % 250 == 0 ? 0 : order[i % 4])) * 512;
    }
    encode(packets, PACKETS, &encoded);
    assert_true(encoded.size <= (size_t)9 * PACKETS);
    rbc__bytes_free(&encoded);
    free(packets);
}

/* ---- what cannot be, and damage ---- */

static void packets_that_cannot_be_are_refused(void **unused) {
    (void)unused;
    const rbc__track_packet good = {.is_key = true, .is_shown = true, .bytes = 1};
    rbc__track_packet not_key = good;
    rbc__track_packet negative = good;
    rbc__track_packet empty = good;
    rbc__track_packet far = good;
    rbc__track_packet no_pts = good;
    not_key.is_key = false;
    negative.offset = -1;
    empty.bytes = 0;
    far.offset = INT64_MAX;
    no_pts.pts = INT64_MIN;
    const struct {
        rbc__track_packet packets[2];
        int64_t num_packets;
        rbc__time_base time_base;
        const char *wanted;
    } cases[] = {
        {{not_key}, 1, {1, 30}, "packet 0 of a track is no key packet"},
        {{good, negative}, 2, {1, 30}, "packet 1 of a track: found 1 bytes from byte -1 on"},
        {{good, empty}, 2, {1, 30}, "packet 1 of a track: found 0 bytes"},
        {{good, far}, 2, {1, 30}, "sizes within int64"},
        {{good, no_pts}, 2, {1, 30}, "packet 1 of a track has no pts"},
        {{good}, 1, {0, 30}, "time base of 0/30 s"},
        {{good}, 1, {1, 0}, "time base of 1/0 s"},
        {{good}, -1, {1, 30}, "found -1 packets"},
        {{good}, INT64_C(1) << 31, {1, 30}, "found 2147483648 packets"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        rbc__bytes encoded = {0};
        rbc_error err = {0};
        const rbc_status status = rbc__track_encode(cases[i].packets, cases[i].num_packets,
                                                    cases[i].time_base, &encoded, &err);
        if (status != RBC_ERROR_INVALID_ARGUMENT || strstr(err.message, cases[i].wanted) == NULL) {
            fail_msg("case %zu: status %d, '%s', wanted '%s'", i, (int)status, err.message,
                     cases[i].wanted);
        }
        rbc__bytes_free(&encoded);
    }
    rbc__track_packet extreme = good;
    extreme.offset = INT64_MAX - 1;
    extreme.pts = INT64_MIN + 1;
    check_track((rbc__track_packet[]){good, extreme}, 2);
}

/* All that may be asked of a track that was decoded; the sanitizers see what is out of bounds. */
static void walk(const rbc__track *track) {
    enum { MOST = 64 };
    rbc_error err;
    for (int64_t i = 0; i < track->num_groups && i < MOST; ++i) {
        rbc__track_group group;
        if (rbc__track_group_at(track, i, &group, &err) == RBC_OK) {
            assert_true(group.first_packet >= 0 && group.num_packets > 0 &&
                        group.first_packet <= track->num_packets - group.num_packets);
            assert_true(group.first_frame >= 0 && group.num_frames >= 0 &&
                        group.first_frame <= track->num_frames - group.num_frames);
        } else {
            assert_int_equal(err.status, RBC_ERROR_FORMAT);
        }
    }
    for (int64_t i = 0; i < track->num_frames && i < MOST; ++i) {
        rbc__track_frame frame;
        rbc__track_group group;
        if (rbc__track_frame_at(track, i, &frame, &err) == RBC_OK) {
            assert_true(frame.group >= 0 && frame.group < track->num_groups);
            assert_int_equal(rbc__track_group_at(track, frame.group, &group, &err), RBC_OK);
            assert_true(frame.position == i - group.first_frame && frame.position >= 0 &&
                        frame.position < group.num_frames);
            assert_true(frame.packet >= group.first_packet &&
                        frame.packet < group.first_packet + group.num_packets);
        } else {
            assert_int_equal(err.status, RBC_ERROR_FORMAT);
        }
    }
    for (int64_t i = 0; i < track->num_packets && i < MOST; ++i) {
        rbc__track_packet packet;
        if (rbc__track_packet_at(track, i, &packet, &err) == RBC_OK) {
            assert_true(packet.number < (packet.in_block ? BLOCKS : BLOBS));
            assert_true(packet.offset >= 0 && packet.bytes > 0 &&
                        packet.bytes <= INT64_MAX - packet.offset);
        } else {
            assert_int_equal(err.status, RBC_ERROR_FORMAT);
        }
    }
}

static rbc_status try(const uint8_t *bytes, size_t size) {
    rbc__track track;
    rbc_error err;
    const rbc_status status = rbc__track_decode(bytes, size, BLOBS, BLOCKS, &track, &err);
    if (status == RBC_OK) {
        walk(&track);
    }
    return status;
}

static void damaged_tracks_are_refused_or_stay_within(void **unused) {
    (void)unused;
    rbc__track_packet packets[16];
    const int64_t count = read_packets("K2 b0 b1 P5 b_3 b4 K8 b6 b7 P9 K10 P11", packets);
    packets[3].in_block = true;
    packets[3].number = 400;
    packets[5].bytes = 70000;
    rbc__bytes encoded = {0};
    rbc__track track;
    encode(packets, count, &encoded);
    damage_all(try, &encoded, &state);
    rbc_error err;
    rbc__track_packet packet;
    assert_int_equal(rbc__track_decode(encoded.data, encoded.size, BLOBS, 400, &track, &err),
                     RBC_OK);
    assert_int_equal(rbc__track_packet_at(&track, 3, &packet, &err), RBC_ERROR_FORMAT);
    assert_non_null(strstr(err.message, "packet 3 of a track in the catalog: found 10 bytes"));
    assert_non_null(
        strstr(err.message, "of block 400 on, wanted them within int64 and one of 400"));
    rbc__bytes_free(&encoded);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_tracks_are_as_counted),
        cmocka_unit_test(groups_are_what_is_decoded_together),
        cmocka_unit_test(tracks_take_few_bytes),
        cmocka_unit_test(packets_that_cannot_be_are_refused),
        cmocka_unit_test(damaged_tracks_are_refused_or_stay_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
