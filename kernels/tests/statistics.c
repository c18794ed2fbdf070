/* Stochastic rounding is unbiased, has the variance it should have, and is not correlated from one
 * step to the next nor from one element to its neighbour. The scalar backend is enough: the others
 * have its bits. All seeds are fixed, so that these tests cannot fail by chance. */
#include "harness.h"

#include <math.h>
#include <string.h>

enum { ELEMENTS = 64, DRAWS = 1 << 17 };

/* An update is unbiased to 2^-8 of a unit (kernels.h), a quantization to 2^-16. */
static const double UPDATE_BIAS = 0x1p-8, QUANTIZE_BIAS = 0x1p-16;
/* Steps that read the same pool share a lane with this probability (rounding.h). Within the 256
 * steps of a pool that correlates the draws, and the variance of their mean grows accordingly. */
static const double SHARED_16_BITS = 2.0 / (HALP_POOL_WORDS * 8 - HALP_BLOCK_BYTES);
static const double SHARED_32_BITS = 4.0 / (HALP_POOL_WORDS * 8 - HALP_BLOCK_BYTES);
static const double STANDARD_ERRORS = 6.0;

static double results[DRAWS][ELEMENTS];

/* Expected value of an element of the results. */
typedef struct {
    double mean, variance, largest_error;
} expectation;

static double variance_of_rounding(double v) { return (v - floor(v)) * (1.0 - (v - floor(v))); }

/* c x + h, where c is first rounded at random to a multiple of `unit`, then the sum to an integer.
 */
static expectation expect_update(double c, double x, double h, double unit)
{
    const double low = floor(c / unit) * unit, up = c / unit - floor(c / unit);
    const double from_c = unit * unit * x * x * up * (1.0 - up);
    const double from_sum = (1.0 - up) * variance_of_rounding(low * x + h) +
                            up * variance_of_rounding((low + unit) * x + h);
    return (expectation){-(c * x + h), from_c + from_sum, 1.0 + unit * fabs(x)};
}

static void check_moments(const expectation *expected, double bias, double shared)
{
    for (int j = 0; j < ELEMENTS; j++) {
        double sum = 0.0, squares = 0.0, largest = 0.0;
        for (int i = 0; i < DRAWS; i++) {
            const double error = results[i][j] - expected[j].mean;
            sum += error;
            squares += error * error;
            largest = fmax(largest, fabs(error));
        }
        const double repeats = 1.0 + HALP_BLOCKS_PER_POOL * shared;
        const double noise = STANDARD_ERRORS * sqrt(repeats / DRAWS);
        CHECK(fabs(sum / DRAWS) <= bias + noise * sqrt(expected[j].variance));
        CHECK(fabs(squares / DRAWS - expected[j].variance) <= bias + noise);
        CHECK(largest <= expected[j].largest_error + 2 * bias);
    }
}

/* Correlation of element j with element k, `lag` steps later. */
static double correlation(int j, int k, int lag)
{
    double mean_j = 0.0, mean_k = 0.0, jj = 0.0, kk = 0.0, jk = 0.0;
    const int draws = DRAWS - lag;
    for (int i = 0; i < draws; i++) {
        mean_j += results[i][j] / draws;
        mean_k += results[i + lag][k] / draws;
    }
    for (int i = 0; i < draws; i++) {
        const double a = results[i][j] - mean_j, b = results[i + lag][k] - mean_k;
        jj += a * a;
        kk += b * b;
        jk += a * b;
    }
    return jj > 0.0 && kk > 0.0 ? jk / sqrt(jj * kk) : 0.0;
}

/* `neighbours`: elements of one step are independent, too, which a step size that was rounded
 * coarsely for all of them precludes. */
static void check_correlations(double shared, bool neighbours)
{
    const int lags[] = {1, 2, 3, HALP_BLOCKS_PER_POOL - 1, HALP_BLOCKS_PER_POOL};
    const double noise = STANDARD_ERRORS * sqrt((1.0 + HALP_BLOCKS_PER_POOL * shared) / DRAWS);
    for (size_t l = 0; l < COUNT(lags); l++)
        for (int j = 0; j < ELEMENTS; j += 7)
            CHECK(fabs(correlation(j, j, lags[l])) <= shared + noise);
    for (int j = 1; j < ELEMENTS; j += 5) {
        CHECK(fabs(correlation(j, j - 1, 1)) <= shared + noise);
        if (neighbours) CHECK(fabs(correlation(j, j - 1, 0)) <= noise);
    }
}

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define FILL_DATA fill_i8
#define UNIT 0x1p-15
#define SHARED SHARED_16_BITS
#define ENCODE_H(h, out) halp_encode_h_i8(ELEMENTS, 1, h, 1.0, NULL, out)
#include "statistics_update.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define FILL_DATA fill_i8
#define UNIT 0x1p-8
#define SHARED SHARED_32_BITS
#define ENCODE_H(h, out) halp_encode_h_i16(ELEMENTS, 1, h, 1.0, HALP_FRACTION_I8I16, NULL, out)
#include "statistics_update.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define FILL_DATA fill_i16
#define UNIT 0x1p-16
#define SHARED SHARED_32_BITS
#define ENCODE_H(h, out) halp_encode_h_i16(ELEMENTS, 1, h, 1.0, HALP_FRACTION_I16, NULL, out)
#include "statistics_update.h"

#define REAL double
#define STORED int8_t
#define FROM_TO(op) op##_f64_i8
#include "statistics_quantize.h"

#define REAL float
#define STORED int16_t
#define FROM_TO(op) op##_f32_i16
#include "statistics_quantize.h"

void test_rounding(const halp_backend *scalar)
{
    const double steps[] = {0.0, 1e-5, 0.003, -0.0171, 0.11, -0.43};
    for (size_t s = 0; s < COUNT(steps); s++) {
        test_update_i8(scalar, steps[s], s);
        test_update_i8i16(scalar, steps[s], s);
        test_update_i16(scalar, steps[s], s);
    }
    test_update_i8(scalar, 0.731, 11); /* beyond 1/2: a whole part and a rest */
    test_mean_f64_i8(scalar);
    test_mean_f32_i16(scalar);
}
