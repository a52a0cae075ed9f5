/* The kernels of yuv_rows.c against the arithmetic of yuv.h, pixel by pixel, for each instruction
 * set that this processor has; and coefficients against exact ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <robocache/robocache.h>

#include "codec/yuv.h"
#include "core/cpu.h"

static uint32_t seed = 1;

static uint32_t next_number(void) {
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static int32_t mul(int32_t a, int32_t b) {
    return ((a * b >> 14) + 1) >> 1;
}

static uint8_t clamp(int32_t value) {
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static int32_t sample(const rbc__yuv_picture *p, int plane, int32_t row, int32_t x) {
    const uint8_t *at = p->planes[plane] + row * p->strides[plane];
    uint16_t wide;
    if (p->bits == 8) {
        return at[x];
    }
    memcpy(&wide, at + 2 * (size_t)x, sizeof wide);
    return wide;
}

/* The number of the chroma next to pixel `at` that is on its other side. */
static int32_t far_of(int32_t at, int32_t count) {
    const int32_t far = at / 2 + (at % 2 == 0 ? -1 : 1);
    return far < 0 ? 0 : far >= count ? count - 1 : far;
}

static int32_t column(const rbc__yuv_picture *p, int plane, int32_t row, int32_t x) {
    if (!p->halves_y) {
        return 4 * sample(p, plane, row, x);
    }
    return 3 * sample(p, plane, row / 2, x) + sample(p, plane, far_of(row, (p->height + 1) / 2), x);
}

static int32_t chroma(const rbc__yuv_picture *p, int plane, int32_t row, int32_t x) {
    const int32_t blend = p->halves_x ? 3 * column(p, plane, row, x / 2) +
                                            column(p, plane, row, far_of(x, (p->width + 1) / 2))
                                      : 4 * column(p, plane, row, x);
    return (blend - (1 << (p->bits + 3))) * (1 << (12 - p->bits));
}

static int32_t luma(const rbc__yuv_picture *p, int plane, int32_t row, int32_t x) {
    const int32_t y = sample(p, plane, row, x) * (1 << (15 - p->bits)) - p->coefficients.black;
    return mul(y, p->coefficients.luma) + 16;
}

static void check_pixel(const rbc__yuv_picture *p, int32_t row, int32_t x, const uint8_t *rgb,
                        const uint8_t *gray, const uint8_t *planes) {
    const rbc__yuv_coefficients *c = &p->coefficients;
    const int32_t y = luma(p, 0, row, x);
    const int32_t u = chroma(p, 1, row, x);
    const int32_t v = chroma(p, 2, row, x);
    assert_int_equal(rgb[0], clamp((y + mul(v, c->v_to_r)) >> 5));
    assert_int_equal(rgb[1], clamp((y - mul(u, c->u_to_g) - mul(v, c->v_to_g)) >> 5));
    assert_int_equal(rgb[2], clamp((y + mul(u, c->u_to_b)) >> 5));
    assert_int_equal(*gray, clamp(y >> 5));
    if (!p->halves_x && !p->halves_y) {
        for (int plane = 0; plane < 3; ++plane) {
            assert_int_equal(planes[plane], clamp(luma(p, plane, row, x) >> 5));
        }
    }
}

/* A picture of random samples, or of the extreme ones. */
static void check_picture(const rbc__yuv_kernels *kernels, rbc__yuv_picture p, bool is_extreme) {
    uint8_t *memory[3];
    const size_t pixels = (size_t)p.width * (size_t)p.height;
    uint8_t *rgb = malloc(3 * pixels);
    uint8_t *gray = malloc(pixels);
    uint8_t *planes = malloc(3 * pixels);
    assert_true(rgb != NULL && gray != NULL && planes != NULL);
    for (int i = 0; i < 3; ++i) {
        const int32_t width = i > 0 && p.halves_x ? (p.width + 1) / 2 : p.width;
        const int32_t height = i > 0 && p.halves_y ? (p.height + 1) / 2 : p.height;
        const size_t bytes = p.bits == 8 ? 1 : 2;
        p.strides[i] = (int64_t)((size_t)width * bytes) + 2 * i;
        memory[i] = malloc((size_t)p.strides[i] * (size_t)height);
        assert_non_null(memory[i]);
        p.planes[i] = memory[i];
        for (int32_t row = 0; row < height; ++row) {
            for (int32_t x = 0; x < width; ++x) {
                const uint32_t top = (1U << p.bits) - 1;
                const uint16_t value =
                    (uint16_t)(is_extreme ? (next_number() & 1) * top : next_number() & top);
                uint8_t *at = memory[i] + row * p.strides[i] + (int64_t)((size_t)x * bytes);
                memcpy(at, &value, bytes);
            }
        }
    }
    kernels->to_rgb(&p, rgb);
    kernels->to_gray(&p, gray);
    if (!p.halves_x && !p.halves_y) {
        kernels->planes_to_rgb(&p, planes);
    }
    for (int32_t row = 0; row < p.height; ++row) {
        for (int32_t x = 0; x < p.width; ++x) {
            const size_t at = (size_t)row * (size_t)p.width + (size_t)x;
            check_pixel(&p, row, x, rgb + 3 * at, gray + at, planes + 3 * at);
        }
    }
    for (int i = 0; i < 3; ++i) {
        free(memory[i]);
    }
    free(rgb);
    free(gray);
    free(planes);
}

static void check_kernels(const rbc__yuv_kernels *kernels) {
    static const int32_t sizes[][2] = {{1, 1},  {2, 2},  {3, 5},    {16, 64},  {7, 33},
                                       {5, 66}, {4, 97}, {2, 1026}, {3, 1537}, {2, 512}};
    static const int32_t depths[] = {8, 10, 12};
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; ++size) {
        for (int kind = 0; kind < 3 * 3 * 2 * 2; ++kind) {
            rbc__yuv_picture p = {.height = sizes[size][0],
                                  .width = sizes[size][1],
                                  .bits = depths[kind % 3],
                                  .halves_x = kind / 3 % 3 > 0,
                                  .halves_y = kind / 3 % 3 > 1};
            assert_true(rbc__yuv_coefficients_of(9, kind / 9 % 2 == 1, p.bits, &p.coefficients));
            check_picture(kernels, p, kind / 18 == 1);
        }
    }
}

static void test_kernels(void **state) {
    (void)state;
    check_kernels(&rbc__yuv_kernels_baseline);
#ifdef __x86_64__
    if ((rbc__cpu_features() & RBC_CPU_AVX2) != 0) {
        check_kernels(&rbc__yuv_kernels_avx2);
    }
    if ((rbc__cpu_features() & RBC_CPU_AVX512) != 0) {
        check_kernels(&rbc__yuv_kernels_avx512);
    }
#endif
}

static void test_coefficients(void **state) {
    static const struct {
        int32_t matrix;
        double red, blue;
    } known[] = {{1, 0.2126, 0.0722}, {2, 0.299, 0.114}, {6, 0.299, 0.114}, {9, 0.2627, 0.0593}};
    (void)state;
    for (int kind = 0; kind < 4 * 3 * 2; ++kind) {
        rbc__yuv_coefficients c;
        const int32_t bits = 8 + 2 * (kind / 4 % 3);
        const bool is_full = kind / 12 == 1;
        const double red = known[kind % 4].red;
        const double blue = known[kind % 4].blue;
        const double green = 1 - red - blue;
        const double full = 255 * ldexp(1, bits - 8) / (ldexp(1, bits) - 1);
        const double chroma_scale = is_full ? full : 255.0 / 224;
        assert_true(rbc__yuv_coefficients_of(known[kind % 4].matrix, is_full, bits, &c));
        assert_true(fabs(c.luma / 8192.0 - (is_full ? full : 255.0 / 219)) < 1 / 8192.0);
        assert_true(fabs(c.v_to_r / 4096.0 - 2 * (1 - red) * chroma_scale) < 1 / 4096.0);
        assert_true(fabs(c.u_to_b / 4096.0 - 2 * (1 - blue) * chroma_scale) < 1 / 4096.0);
        assert_true(fabs(c.u_to_g / 4096.0 - 2 * (1 - blue) * blue / green * chroma_scale) <
                    1 / 4096.0);
        assert_true(fabs(c.v_to_g / 4096.0 - 2 * (1 - red) * red / green * chroma_scale) <
                    1 / 4096.0);
        assert_int_equal(c.black, is_full ? 0 : 2048);
    }
    rbc__yuv_coefficients c;
    assert_false(rbc__yuv_coefficients_of(8, true, 8, &c));
    assert_false(rbc__yuv_coefficients_of(-1, true, 8, &c));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kernels),
                                       cmocka_unit_test(test_coefficients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
