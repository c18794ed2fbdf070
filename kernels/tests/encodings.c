/* Real step sizes, vectors h and weights b as the integers that the kernels work with. */
#include "harness.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* A step size is split into integers that give it back. */
static void test_split(void)
{
    for (int i = 0; i < 100000; i++) {
        const double c = ldexp(random_real(), 9 - (int)random_below(24));
        const double uniform = 0.5 * (random_real() + 1.0);
        const int max_fraction = 8 + (int)random_below(6);
        const halp_step_i8 s = halp_split_i8(c, max_fraction, uniform);
        const double unit = ldexp(1.0, -7 - s.fraction);
        const double error = fabs(s.whole + s.mantissa * unit - c);
        describe("halp_split_i8(%a, %d)", c, max_fraction);
        CHECK(8 <= s.fraction && s.fraction <= max_fraction);
        CHECK(-(1 << 14) <= s.mantissa && s.mantissa <= 1 << 14);
        CHECK(fabs(c) < 255.0 ? error <= unit : abs(s.whole) == 255);
        describe("halp_split_i16(%a)", c);
        CHECK(fabs(halp_split_i16(c, 16, uniform) - c * 65536) <= 1.0);
    }
}

/* Rounded to nearest and saturated; the lowest value may be left out. */
static bool rounds(double exact, int16_t value)
{
    if (fabs(exact) >= 32766.0) return abs(value) >= 32766 && (exact > 0) == (value > 0);
    return fabs(value - exact) <= 0.5 + 1e-6;
}

/* Rounded to nearest, in its lane, with zeros behind; the exponent as fine as it goes. */
static void test_h(size_t n, double magnitude)
{
    enum { count = 2 };
    const size_t padded = HALP_PADDED(n);
    double *h = guarded(count * n, sizeof *h, 1), largest = 0.0;
    int16_t *out = guarded(count * padded, sizeof *out, 1);
    const double factor = -0.37;
    for (size_t j = 0; j < count * n; j++) {
        h[j] = magnitude * random_real();
        largest = fmax(largest, fabs(h[j] * factor));
    }

    describe("halp_encode_h_i8, n = %zu, |h| < %g", n, magnitude);
    const halp_h i8 = halp_encode_h_i8(n, count, h, factor, NULL, out);
    double unit = ldexp(1.0, i8.exponent);
    CHECK(8 <= i8.exponent && i8.exponent <= 13);
    CHECK(i8.values == out);
    CHECK(i8.wide == (largest * unit > 8191.0));
    CHECK(!i8.wide || i8.exponent == 8);
    CHECK(i8.exponent == 13 || 2.0 * largest * unit > 8191.0);
    for (size_t r = 0; r < count; r++) {
        double sum = 0.0, expected_sum = 0.0;
        for (size_t j = 0; j < n; j++) {
            CHECK(rounds(h[r * n + j] * factor * unit, out[r * padded + halp_lane_i8(j)]));
            expected_sum += fabs((double)out[r * padded + halp_lane_i8(j)]);
        }
        for (size_t j = 0; j < padded; j++) sum += fabs((double)out[r * padded + j]);
        CHECK(sum == expected_sum); /* nothing but zeros in the other lanes */
    }

    describe("halp_encode_h_i16, n = %zu, |h| < %g", n, magnitude);
    const halp_h i16 = halp_encode_h_i16(n, count, h, factor, HALP_FRACTION_I16, NULL, out);
    unit = ldexp(1.0, HALP_FRACTION_I16 - i16.exponent);
    CHECK(0 <= i16.exponent && i16.exponent <= 14);
    CHECK(i16.exponent == 0 || 2.0 * largest * unit > 32767.0);
    for (size_t r = 0; r < count; r++)
        for (size_t j = 0; j < padded; j++) {
            const double exact = j < n ? h[r * n + j] * factor * unit : 0.0;
            CHECK(j < n ? rounds(exact, out[r * padded + j]) : out[r * padded + j] == 0);
        }
    release(h);
    release(out);
}

/* The two 16-bit parts of row i, taken out of its pair, give b back to half a unit. */
static void test_b(size_t rows, double magnitude)
{
    enum { count = 3 };
    double *b = guarded(rows * count, sizeof *b, 0), unit[count];
    int32_t *parts = guarded((rows + rows % 2) * count, sizeof *parts, 1);
    for (size_t i = 0; i < rows * count; i++) b[i] = magnitude * random_real();
    if (rows > 1 && magnitude > 0.0) {
        b[0] = magnitude; /* the ends of the range themselves */
        b[count] = -magnitude;
        b[1] = DBL_TRUE_MIN;
    }
    describe("halp_encode_b, %zu rows, |b| < %g", rows, magnitude);
    halp_encode_b(rows, count, b, unit, parts);
    for (size_t r = 0; r < count; r++)
        for (size_t i = 0; i < rows + rows % 2; i++) {
            const int32_t *pair = parts + i / 2 * 2 * count + 2 * r;
            int16_t high[2], low[2];
            for (int k = 0; k < 2; k++) {
                high[k] = (int16_t)((uint32_t)pair[0] >> (16 * k));
                low[k] = (int16_t)((uint32_t)pair[1] >> (16 * k));
            }
            const double back = unit[r] * (high[i % 2] * 16384.0 + low[i % 2]);
            CHECK(unit[r] > 0.0);
            if (magnitude > 0.0 && magnitude < 0x1p-1046) CHECK(unit[r] == DBL_TRUE_MIN);
            CHECK(abs(high[i % 2]) <= 1 << 14 && abs(low[i % 2]) <= 1 << 14);
            const double exact = i < rows ? b[i * count + r] : 0.0;
            const double bound = fabs(exact) > DBL_MAX * (1.0 - 0x1p-29) ? 1.0 : 0.5;
            CHECK(fabs(back - exact) <= bound * unit[r]);
        }
    release(b);
    release(parts);
}

void test_encodings(void)
{
    test_split();
    const double magnitudes[] = {0.0, 1e-320, 1e-9, 0.01, 1.0, 20.0, 100.0, 1e4, 1e12};
    for (size_t m = 0; m < COUNT(magnitudes); m++) {
        for (size_t n = 0; n < 140; n += 23) test_h(n, magnitudes[m]);
        for (size_t rows = 0; rows <= HALP_MOST_ROWS; rows += 9) test_b(rows, magnitudes[m]);
    }
    const double ends[] = {DBL_TRUE_MIN, 0x1p-1060, 0x1p-1047, 0x1p-1046, 0x1p-1045,
                           DBL_MIN,      1e-300,    1e-280,    0x1p-901,  0x1p-899,
                           1e280,        1e300,     DBL_MAX};
    for (size_t m = 0; m < COUNT(ends); m++)
        for (size_t rows = 0; rows <= HALP_MOST_ROWS; rows += 9) test_b(rows, ends[m]);
}
