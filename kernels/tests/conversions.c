/* quantize, dequantize, lowest, read: every backend gives the bits of the scalar one. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* Within and beyond the range, halves, whole numbers, and the extremes of the type. */
static double value_to_quantize(double scale, double limit, double largest)
{
    switch (random_below(8)) {
    case 0:
        return scale * floor(limit * random_real());
    case 1:
        return scale * (floor(limit * random_real()) + 0.5);
    case 2:
        return scale * random_real();
    case 3:
        return random_bits() & 1 ? largest : -largest;
    case 4:
        return random_bits() & 1 ? 0.0 : -0.0;
    default:
        return scale * limit * 1.3 * random_real();
    }
}

static const double scales[] = {1.0, 0.01, 0x1p-7, 3.7e5, 1e-30};
#define REAL double
#define STORED int16_t
#define LIMIT 32767.0
#define LARGEST 1e300
#define FROM_TO(op) op##_f64_i16
#define TO_FROM(op) op##_i16_f64
#include "conversions_format.h"

#define REAL double
#define STORED int8_t
#define LIMIT 127.0
#define LARGEST DBL_MAX
#define FROM_TO(op) op##_f64_i8
#define TO_FROM(op) op##_i8_f64
#include "conversions_format.h"

#define REAL float
#define STORED int16_t
#define LIMIT 32767.0
#define LARGEST FLT_MAX
#define FROM_TO(op) op##_f32_i16
#define TO_FROM(op) op##_i16_f32
#include "conversions_format.h"

#define REAL float
#define STORED int8_t
#define LIMIT 127.0
#define LARGEST 1e38
#define FROM_TO(op) op##_f32_i8
#define TO_FROM(op) op##_i8_f32
#include "conversions_format.h"

static void test_lowest(const halp_backend *b, size_t n)
{
    int8_t *x = guarded(n, sizeof *x, random_below(4));
    int16_t *w = guarded(n, sizeof *w, random_below(4));
    describe("%s lowest, n = %zu", b->name, n);
    for (size_t j = 0; j < n; j++) x[j] = (int8_t)random_below(128);
    for (size_t j = 0; j < n; j++) w[j] = (int16_t)random_below(32768);
    CHECK(b->lowest_i8(n, x) == 0);
    CHECK(b->lowest_i16(n, w) == 0);
    if (n > 0) {
        x[random_below(n)] = -5;
        w[random_below(n)] = -300;
        CHECK(b->lowest_i8(n, x) == -5);
        CHECK(b->lowest_i16(n, w) == -300);
        x[random_below(n)] = INT8_MIN;
        w[random_below(n)] = INT16_MIN;
        CHECK(b->lowest_i8(n, x) == INT8_MIN);
        CHECK(b->lowest_i16(n, w) == INT16_MIN);
    }
    release(x);
    release(w);
}

static void test_read(const halp_backend *b, const halp_backend *scalar, size_t n)
{
    unsigned char *bytes = guarded(n, 1, random_below(4));
    for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)random_bits();
    describe("%s read, n = %zu", b->name, n);
    CHECK(b->read(n, bytes) == scalar->read(n, bytes));
    release(bytes);
}

void test_conversions(const halp_backend *b, const halp_backend *scalar)
{
    for (size_t l = 0; l < lengths_count; l++) {
        const size_t n = lengths[l];
        for (int r = 0; r < 2; r++) {
            const halp_rounding rounding = r ? HALP_NEAREST : HALP_STOCHASTIC;
            test_quantize_f64_i16(b, scalar, n, rounding);
            test_quantize_f64_i8(b, scalar, n, rounding);
            test_quantize_f32_i16(b, scalar, n, rounding);
            test_quantize_f32_i8(b, scalar, n, rounding);
        }
        test_lowest(b, n);
        test_read(b, scalar, n);
    }
}
