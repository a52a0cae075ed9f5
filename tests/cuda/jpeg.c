/* The JPEG kernels' arithmetic against libjpeg-turbo: same pixels or same refusal. */
#define _GNU_SOURCE

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <turbojpeg.h>

#include "codec/codec.h"
#include "codec/jpeg_header.h"
#include "jpeg_passes.h"
#include "jpeg_survey.h"

enum { MOST_SIDE = 700, MOST_BYTES = 4 * MOST_SIDE * MOST_SIDE };

static uint64_t random_state;

static uint32_t draw(uint32_t below) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

typedef struct picture {
    uint8_t *bytes;
    unsigned long num_bytes;
} picture;

/* Gradients and noise; `noise` 256 is noise alone. */
static picture encode(int height, int width, int subsampling, int quality, uint32_t noise) {
    uint8_t *pixels = malloc((size_t)height * (size_t)width * 3);
    assert_non_null(pixels);
    for (int i = 0; i < 3 * height * width; ++i) {
        const uint32_t smooth = (uint32_t)(i / 3 % width * 2 + i / 3 / width * 3 + i % 3 * 50);
        pixels[i] = (uint8_t)(noise == 256 ? draw(256) : smooth + (noise == 0 ? 0 : draw(noise)));
    }
    tjhandle handle = tjInitCompress();
    assert_non_null(handle);
    picture out = {NULL, 0};
    assert_int_equal(tjCompress2(handle, pixels, width, 0, height, TJPF_RGB, &out.bytes,
                                 &out.num_bytes, subsampling, quality, 0),
                     0);
    tjDestroy(handle);
    free(pixels);
    return out;
}

typedef struct fixture {
    rbc__decoder *accurate, *fast;
    uint8_t *wanted, *found;
} fixture;

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(rbc__decoder_create(RBC_JPEG_DCT_ACCURATE, &f->accurate, NULL), RBC_OK);
    assert_int_equal(rbc__decoder_create(RBC_JPEG_DCT_FAST, &f->fast, NULL), RBC_OK);
    f->wanted = malloc(MOST_BYTES);
    f->found = malloc(MOST_BYTES);
    assert_non_null(f->wanted);
    assert_non_null(f->found);
    random_state = 1;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    rbc__decoder_destroy(&f->accurate);
    rbc__decoder_destroy(&f->fast);
    free(f->wanted);
    free(f->found);
    free(f);
    return 0;
}

/* What the passes make of a stream, having found it to be what the library makes of it. */
static jpeg_passes_result check(fixture *f, const uint8_t *bytes, uint64_t num_bytes,
                                int64_t channels, bool is_fast) {
    rbc__image_shape shape;
    rbc__decoder *decoder = is_fast ? f->fast : f->accurate;
    if (rbc__image_probe(decoder, bytes, num_bytes, NULL, &shape, NULL) != RBC_OK ||
        shape.height * shape.width * 3 > MOST_BYTES) {
        return JPEG_PASSES_OTHER;
    }
    shape.channels = channels != 0 ? channels : shape.channels;
    const size_t size = (size_t)(shape.height * shape.width * shape.channels);
    memset(f->found, 0, size);
    const jpeg_passes_result result =
        jpeg_passes_decode(bytes, num_bytes, (uint32_t)shape.channels, is_fast, f->found);
    const bool is_whole = rbc__image_decode(decoder, bytes, num_bytes, NULL, &shape, f->wanted,
                                            shape.width * shape.channels, NULL) == RBC_OK;
    if (result != JPEG_PASSES_OTHER) {
        assert_int_equal(result == JPEG_PASSES_WHOLE, is_whole);
    }
    if (result == JPEG_PASSES_WHOLE) {
        assert_memory_equal(f->found, f->wanted, size);
    }
    return result;
}

static const int subsamplings[] = {TJSAMP_444,  TJSAMP_422, TJSAMP_420,
                                   TJSAMP_GRAY, TJSAMP_440, TJSAMP_411};
enum { NUM_SUBSAMPLINGS = sizeof subsamplings / sizeof *subsamplings };

static void pixels_equal_the_library(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 600; ++i) {
        const int height = 1 + (int)draw(70), width = 1 + (int)draw(70);
        picture p = encode(height, width, subsamplings[i % NUM_SUBSAMPLINGS], 1 + (int)draw(100),
                           (uint32_t[]){0, 40, 256}[i % 3]);
        assert_int_equal(check(f, p.bytes, p.num_bytes, (int[]){0, 1, 3}[draw(3)], i % 2 == 1),
                         JPEG_PASSES_WHOLE);
        tjFree(p.bytes);
    }
}

/* Several pieces, bundles that are joined, and strands that agree late. */
static void large_images_equal_the_library(void **state) {
    fixture *f = *state;
    for (int i = 0; i < 2 * NUM_SUBSAMPLINGS; ++i) {
        picture p = encode(MOST_SIDE - i, MOST_SIDE - 3 * i, subsamplings[i / 2],
                           i % 2 == 0 ? 75 : 97, i % 2 == 0 ? 30 : 256);
        assert_int_equal(check(f, p.bytes, p.num_bytes, 0, false), JPEG_PASSES_WHOLE);
        tjFree(p.bytes);
    }
}

/* Where a piece ends between 0xFF and the zero stuffed behind it, or one byte to either side. */
static void pieces_end_anywhere(void **state) {
    (void)state;
    picture p = encode(200, 300, TJSAMP_444, 100, 256);
    rbc__jpeg_header header = {0};
    assert_int_equal(rbc__jpeg_header_read(p.bytes, p.num_bytes, &header, NULL), RBC_OK);
    assert_true(header.is_plain);
    assert_int_equal(header.num_segments, 1);
    const rbc__jpeg_segment *segment = header.segments;
    assert_int_equal(segment->first_piece + segment->num_pieces, header.num_pieces);
    uint32_t at = 0;
    uint32_t begin = segment->begin;
    for (uint32_t i = 0; i < segment->num_pieces; ++i) {
        const rbc__jpeg_piece *piece = &header.pieces[i];
        assert_int_equal(piece->begin, begin);
        assert_int_equal(piece->at, at);
        assert_in_range(piece->bytes, 1, RBC__JPEG_PIECE_BYTES);
        for (uint32_t j = begin; j < begin + piece->bytes; ++j) {
            at += p.bytes[j] != 0 || p.bytes[j - 1] != 0xFF;
        }
        begin += piece->bytes;
    }
    assert_int_equal(begin, segment->begin + segment->bytes);
    assert_int_equal(at, segment->data_bytes);
    rbc__jpeg_header_free(&header);
    tjFree(p.bytes);
}

/* A digest's header is that of the whole stream, but for where pieces end; or it says nothing. */
static bool check_digest(const uint8_t *bytes, uint32_t num_bytes, uint32_t skew,
                         const picture *first) {
    rbc__jpeg_header whole = {0};
    rbc__jpeg_header header = {0};
    rbc__jpeg_start start = {0};
    jpeg_survey_result of_first = jpeg_survey_run(first->bytes, (uint32_t)first->num_bytes, 3);
    assert_int_equal(rbc__jpeg_header_read_digest(&of_first.digest, first->num_bytes, &start, true,
                                                  &header, NULL),
                     RBC_OK);
    jpeg_survey_result survey = jpeg_survey_run(bytes, num_bytes, skew);
    survey.digest.alike = jpeg_survey_compare(&of_first, &survey);
    assert_int_equal(rbc__jpeg_header_read(bytes, num_bytes, &whole, NULL), RBC_OK);
    assert_int_equal(
        rbc__jpeg_header_read_digest(&survey.digest, num_bytes, &start, false, &header, NULL),
        RBC_OK);
    const bool is_plain = header.is_plain;
    if (is_plain) {
        assert_true(whole.is_plain);
        assert_int_equal(header.num_segments, whole.num_segments);
        assert_int_equal(header.end, whole.end);
        assert_memory_equal(header.components, whole.components, sizeof whole.components);
        assert_memory_equal(header.scans, whole.scans, sizeof whole.scans);
        for (uint32_t i = 0; i < header.num_segments; ++i) {
            const rbc__jpeg_segment *a = &header.segments[i];
            const rbc__jpeg_segment *b = &whole.segments[i];
            assert_int_equal(a->begin, b->begin);
            assert_int_equal(a->bytes, b->bytes);
            assert_int_equal(a->data_bytes, b->data_bytes);
            uint32_t begin = a->begin;
            uint32_t at = 0;
            for (uint32_t k = 0; k < a->num_pieces; ++k) {
                const rbc__jpeg_piece *piece = &header.pieces[a->first_piece + k];
                assert_int_equal(piece->begin, begin);
                assert_int_equal(piece->at, at);
                assert_in_range(piece->bytes, 1, RBC__JPEG_PIECE_BYTES);
                for (uint32_t j = begin; j < begin + piece->bytes; ++j) {
                    at += bytes[j] != 0 || bytes[j - 1] != 0xFF;
                }
                begin += piece->bytes;
            }
            assert_int_equal(begin, a->begin + a->bytes);
            assert_int_equal(at, a->data_bytes);
        }
    }
    rbc__jpeg_header_free(&whole);
    rbc__jpeg_header_free(&header);
    jpeg_survey_free(&of_first);
    jpeg_survey_free(&survey);
    return is_plain;
}

/* One to four changes: bits, bytes, what is cut out, put in, or put behind. */
static uint64_t mutate(const picture *p, uint8_t *out) {
    uint64_t size = p->num_bytes;
    memcpy(out, p->bytes, size);
    for (uint32_t n = 1 + draw(4); n > 0; --n) {
        const uint64_t first = draw(5) == 0 ? 2 : size / 3;
        const uint64_t at = first + draw((uint32_t)(size - first - 3));
        const uint64_t length = 1 + draw(3);
        switch (draw(7)) {
        case 0:
            out[at] ^= (uint8_t)(1 << draw(8));
            break;
        case 1:
            out[at] = (uint8_t)draw(256);
            break;
        case 2:
            memmove(out + at, out + at + length, size - at - length);
            size -= length;
            break;
        case 3:
            memmove(out + at + length, out + at, size - at);
            memset(out + at, (int)draw(256), length);
            size += length;
            break;
        case 4: /* zeros, or other bytes, before the end */
            memmove(out + size - 2 + length, out + size - 2, 2);
            memset(out + size - 2, draw(2) == 0 ? 0 : (int)draw(255), length);
            size += length;
            break;
        case 5: /* bits that are no code */
            out[at] = 0xFF;
            out[at + 1] = 0;
            break;
        default: /* more bytes behind the image, which the library may count on */
            memset(out + size, 0, 4000);
            size += 4000;
            break;
        }
    }
    return size;
}

static void digests_say_what_streams_do(void **state) {
    (void)state;
    uint8_t *bytes = malloc(MOST_BYTES);
    assert_non_null(bytes);
    int counts[2][2] = {{0}};
    picture other = encode(90, 70, TJSAMP_422, 60, 40);
    for (int i = 0; i < 120; ++i) {
        const int restarts = i % 3; /* where the markers of a chunk may be more than it lists */
        const char *intervals[] = {"0", "1", "1B"};
        assert_int_equal(setenv("TJ_RESTART", intervals[restarts], 1), 0);
        picture p =
            encode(8 + (int)draw(200), 8 + (int)draw(200), subsamplings[i % NUM_SUBSAMPLINGS],
                   30 + (int)draw(70), (uint32_t[]){40, 256}[i % 2]);
        for (uint32_t skew = 0; skew < 16; ++skew) {
            const picture *first = skew % 2 == 0 ? &p : &other;
            const bool is_plain = check_digest(p.bytes, (uint32_t)p.num_bytes, skew, first);
            assert_true(is_plain || restarts != 0);
            ++counts[restarts != 0][is_plain];
            for (int k = 0; k < 4; ++k) {
                const uint64_t size = mutate(&p, bytes);
                (void)check_digest(bytes, (uint32_t)size, skew, first);
            }
        }
        tjFree(p.bytes);
    }
    assert_int_equal(unsetenv("TJ_RESTART"), 0);
    tjFree(other.bytes);
    assert_true(counts[1][true] > 100);
    assert_true(counts[1][false] > 100);
    free(bytes);
}

static void damage_is_judged_as_the_library_does(void **state) {
    fixture *f = *state;
    uint8_t *bytes = malloc(MOST_BYTES);
    assert_non_null(bytes);
    int count[3] = {0, 0, 0};
    for (int i = 0; i < 60; ++i) {
        picture p = encode(8 + (int)draw(60), 8 + (int)draw(60), subsamplings[i % NUM_SUBSAMPLINGS],
                           40 + (int)draw(60), (uint32_t[]){40, 256}[i % 2]);
        for (int k = 0; k < 60; ++k) {
            const uint64_t size = mutate(&p, bytes);
            ++count[check(f, bytes, size, 0, k % 2 == 1)];
        }
        tjFree(p.bytes);
    }
    assert_true(count[JPEG_PASSES_DAMAGED] > 500);
    assert_true(count[JPEG_PASSES_WHOLE] > 500);
    free(bytes);
}

/* The library takes components of a scan in the order of the frame alone. */
static void components_come_in_any_order(void **state) {
    static const uint8_t orders[][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1},
                                        {3, 1, 2}, {3, 2, 1}, {1, 1, 2}};
    fixture *f = *state;
    picture p = encode(16, 24, TJSAMP_444, 80, 40);
    uint8_t *scan = memmem(p.bytes, p.num_bytes, "\xff\xda\x00\x0c\x03", 5);
    assert_non_null(scan);
    for (size_t i = 0; i < sizeof orders / sizeof *orders; ++i) {
        for (int k = 0; k < 3; ++k) {
            scan[5 + 2 * k] = orders[i][k];
        }
        assert_int_equal(check(f, p.bytes, p.num_bytes, 0, false),
                         i == 0 ? JPEG_PASSES_WHOLE : JPEG_PASSES_OTHER);
    }
    tjFree(p.bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pixels_equal_the_library, setup, teardown),
        cmocka_unit_test_setup_teardown(large_images_equal_the_library, setup, teardown),
        cmocka_unit_test_setup_teardown(pieces_end_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(digests_say_what_streams_do, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_is_judged_as_the_library_does, setup, teardown),
        cmocka_unit_test_setup_teardown(components_come_in_any_order, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
