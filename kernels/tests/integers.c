/* Integer kernels: every backend gives the bits of the scalar one, and leaves the random stream in
 * the same state. */
#include "harness.h"

#include <math.h>
#include <string.h>

static const size_t row_counts[] = {1, 2, 3, 4, 5, 7, 10};

/* ---- dot of int8 over the whole range, and the longest sums ----------------------------------*/

static void test_dot_i8_any(const halp_backend *b, const halp_backend *scalar, size_t n)
{
    int8_t *x = guarded(n, 1, random_below(4)), *y = guarded(n, 1, random_below(4));
    fill_i8(x, n, ANY);
    fill_i8(y, n, EXTREME);
    describe("%s dot_i8_any, n = %zu", b->name, n);
    CHECK(b->dot_i8_any(n, x, y) == b->dot_i8(n, x, y));
    if (n > 0) {
        x[random_below(n)] = -128;
        CHECK(b->dot_i8_any(n, x, y) == scalar->dot_i8(n, x, y));
        y[random_below(n)] = -128;
        CHECK(b->dot_i8_any(n, x, y) == scalar->dot_i8(n, x, y));
        memset(x, -128, n);
        CHECK(b->dot_i8_any(n, x, y) == scalar->dot_i8(n, x, y));
        memset(y, -128, n);
        CHECK(b->dot_i8_any(n, x, y) == 16384 * (int64_t)n);
    }
    release(x);
    release(y);
}

/* The longest runs of the largest products, whose sums are known without adding. */
static void test_longest_sums(const halp_backend *b)
{
    const size_t n = 200000;
    int8_t *x = guarded(n, sizeof *x, 1);
    int16_t *w = guarded(n, sizeof *w, 1), *v = guarded(n, sizeof *v, 3);
    const int64_t i8 = 127 * 127 * (int64_t)n, i8i16 = 127 * 32767 * (int64_t)n;
    const int64_t i16 = (int64_t)32767 * 32767 * (int64_t)n;
    describe("%s, the longest sums", b->name);

    fill_i8(x, n, HIGHEST);
    fill_i16(w, n, HIGHEST);
    fill_i16(v, n, HIGHEST);
    CHECK(b->dot_i8(n, x, x) == i8);
    CHECK(b->dot_i8i16(n, x, w) == i8i16);
    CHECK(b->dot_i16(n, v, w) == i16);
    for (size_t j = 0; j < n; j++) w[j] = -32767;
    CHECK(b->dot_i8i16(n, x, w) == -i8i16);
    CHECK(b->dot_i16(n, v, w) == -i16);
    fill_i16(v, n, ALTERNATING);
    fill_i16(w, n, ALTERNATING);
    fill_i8(x, n, ALTERNATING);
    CHECK(b->dot_i8(n, x, x) == i8);
    CHECK(b->dot_i8i16(n, x, w) == i8i16);
    CHECK(b->dot_i16(n, v, w) == i16);
    fill_i16(w, n, HIGHEST);
    CHECK(b->dot_i16(n, v, w) == 0);
    CHECK(b->dot_i8i16(n, x, w) == 0);
    release(x);
    release(w);
    release(v);
}

/* ---- axpy, ger -------------------------------------------------------------------------------*/

/* Around every border: of the fraction's range, of the vector path, of saturation. */
static const double steps[] = {
    0.0,      5e-324,
    1e-9,     0x1p-16,
    0x1p-14,  0.001,
    0x1p-8,   0.0078,
    0x1p-7,   0x1.fffffffp-7,
    0x1p-6,   0.03,
    0x1p-5,   0.0625,
    0.124999, 0.25,
    0.3,      0x1.fffffffffp-2,
    0.5,      0x1.0000000001p-1,
    0.75,     1.0,
    1.5,      2.49,
    37.2,     127.99,
    128.0,    254.9,
    255.0,    300.0,
    16383.99, 16384.0,
    1e6,      1e300,
};

typedef struct {
    halp_rng expected, got;
} rng_pair;

static void seed_pair(rng_pair *rng, uint64_t seed, halp_rounding rounding)
{
    memset(rng, 0, sizeof *rng); /* memcmp sees the padding, too */
    halp_rng_init(&rng->expected, seed, rounding);
    halp_rng_init(&rng->got, seed, rounding);
}

static bool same_state(const rng_pair *rng)
{
    return memcmp(&rng->expected, &rng->got, sizeof rng->got) == 0;
}

typedef enum { NO_H, NARROW_H, WIDE_H, H_KINDS } h_kind;

/* `count` vectors h, ldh entries apart; `values` has to be released. */
static halp_h random_h_i8(size_t ldh, size_t count, h_kind kind)
{
    const int exponent = 8 + (int)random_below(6);
    if (kind == NO_H) return (halp_h){NULL, exponent, 0};
    int16_t *values = guarded(count * ldh, sizeof *values, random_below(3));
    fill_i16(values, count * ldh, random_bits() & 1 ? ANY : EXTREME);
    for (size_t j = 0; kind == NARROW_H && j < count * ldh; j++)
        values[j] = (int16_t)(values[j] % (1 << 13));
    return (halp_h){values, exponent, kind == WIDE_H};
}

static halp_h random_h_i16(size_t ldh, size_t count, h_kind kind)
{
    const int exponent = (int)random_below(15);
    if (kind == NO_H) return (halp_h){NULL, exponent, 0};
    int16_t *values = guarded(count * ldh, sizeof *values, random_below(3));
    fill_i16(values, count * ldh, kind == NARROW_H ? ANY : EXTREME);
    return (halp_h){values, exponent, 0};
}
/* ---- One format after another ----------------------------------------------------------------*/

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define FILL_DATA fill_i8
#define FILL_MODEL fill_i8
#define RANDOM_H random_h_i8
#define ALIASES
#include "integers_format.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define FILL_DATA fill_i8
#define FILL_MODEL fill_i16
#define RANDOM_H random_h_i16
#include "integers_format.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define FILL_DATA fill_i16
#define FILL_MODEL fill_i16
#define RANDOM_H random_h_i16
#define ALIASES
#include "integers_format.h"

static double random_step(void)
{
    const double c = steps[random_below(COUNT(steps))];
    return random_bits() & 1 ? c : -c;
}

static void test_updates(const halp_backend *b, const halp_backend *scalar, halp_rounding rounding)
{
    rng_pair rng;
    seed_pair(&rng, 20180309, rounding);
    const size_t thorough[] = {1, 70, 700};
    for (size_t l = 0; l < COUNT(thorough); l++)
        for (size_t s = 0; s < 2 * COUNT(steps); s++)
            for (int kind = 0; kind < H_KINDS; kind++) {
                const double c = s & 1 ? -steps[s / 2] : steps[s / 2];
                test_axpy_i8(b, scalar, thorough[l], c, (h_kind)kind, &rng);
                test_axpy_i8i16(b, scalar, thorough[l], c, (h_kind)kind, &rng);
                test_axpy_i16(b, scalar, thorough[l], c, (h_kind)kind, &rng);
            }
    for (size_t l = 0; l < lengths_count; l++) {
        const size_t n = lengths[l];
        for (int repeat = 0; repeat < (n < 5000 ? 6 : 1); repeat++) {
            const h_kind kind = (h_kind)random_below(H_KINDS);
            test_axpy_i8(b, scalar, n, ldexp(random_real(), -repeat), kind, &rng);
            test_axpy_i8(b, scalar, n, random_step(), kind, &rng);
            test_axpy_i8i16(b, scalar, n, random_step(), kind, &rng);
            test_axpy_i16(b, scalar, n, random_step(), kind, &rng);
            test_alias_i8(b, scalar, n, random_step(), &rng);
            test_alias_i16(b, scalar, n, random_step(), &rng);
        }
        test_ger_i8(b, scalar, n, (h_kind)random_below(H_KINDS), &rng);
        test_ger_i8i16(b, scalar, n, (h_kind)random_below(H_KINDS), &rng);
        test_ger_i16(b, scalar, n, (h_kind)random_below(H_KINDS), &rng);
    }
}

/* ---- peak ------------------------------------------------------------------------------------*/

/* Modulo 2^32, in which the products of one sign soon wrap around. */
static void test_peak(const halp_backend *b, size_t n)
{
    const int8_t x = (int8_t)((int)random_below(255) - 127);
    const int8_t y = (int8_t)((int)random_below(255) - 127);
    const int16_t v = (int16_t)((int)random_below(65535) - 32767);
    const int16_t w = (int16_t)((int)random_below(65535) - 32767);
    describe("%s peak, n = %zu, of %d and %d, %d and %d", b->name, n, x, y, v, w);
    CHECK(b->peak_i8(n, x, y) == (uint32_t)(n * (uint64_t)(x * y)));
    CHECK(b->peak_i8i16(n, x, w) == (uint32_t)(n * (uint64_t)(x * w)));
    CHECK(b->peak_i16(n, v, w) == (uint32_t)(n * (uint64_t)(v * w)));
    CHECK(b->peak_i16(n, -32767, 32767) == (uint32_t)(n * (uint64_t)(-32767 * 32767)));
}

/* ---- Everything ------------------------------------------------------------------------------*/

void test_integers(const halp_backend *b, const halp_backend *scalar)
{
    for (size_t l = 0; l < lengths_count; l++) {
        for (int p = 0; p < PATTERNS; p++) {
            test_dot_i8(b, scalar, lengths[l], (pattern)p);
            test_dot_i8i16(b, scalar, lengths[l], (pattern)p);
            test_dot_i16(b, scalar, lengths[l], (pattern)p);
        }
        test_dot_i8_any(b, scalar, lengths[l]);
        test_peak(b, lengths[l]);
    }
    test_longest_sums(b);
    test_updates(b, scalar, HALP_STOCHASTIC);
    test_updates(b, scalar, HALP_NEAREST);
}
