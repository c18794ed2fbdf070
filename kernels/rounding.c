/* The slow half of rounding.h: seeding, advancing and cutting the pool, splitting step sizes. */
#include "kernels.h"

#include <math.h>
#include <string.h>

void halp_rng_init(halp_rng *rng, uint64_t seed, halp_rounding rounding)
{
    rng->counter = halp_splitmix64(seed);
    for (int i = 0; i < HALP_POOL_WORDS; i++)
        rng->pool[i] = halp_rng_draw(rng) | 1; /* xorshift must not start at zero */
    rng->rounding = rounding;
    rng->blocks_left = HALP_BLOCKS_PER_POOL;
    halp_rng_recut(rng, 16, 8);
}

void halp_rng_recut(halp_rng *rng, int lane_bits, int fraction)
{
    rng->lane_bits = lane_bits;
    rng->lane_fraction = fraction;
    rng->places = 8 * (HALP_POOL_WORDS * 8 - HALP_BLOCK_BYTES) / (uint32_t)lane_bits;
    const uint64_t ones = lane_bits == 16 ? 0x0001000100010001u : 0x0000000100000001u;
    const uint64_t mask = ones * ((UINT64_C(1) << fraction) - 1);
    const int drop = lane_bits - fraction;
    if (rng->rounding == HALP_NEAREST)
        for (int i = 0; i < HALP_POOL_WORDS; i++)
            rng->lanes[i] = fraction > 0 ? ones << (fraction - 1) : 0;
    else
        for (int i = 0; i < HALP_POOL_WORDS; i++) rng->lanes[i] = (rng->pool[i] >> drop) & mask;
}

void halp_rng_advance(halp_rng *rng)
{
    rng->blocks_left = HALP_BLOCKS_PER_POOL;
    if (rng->rounding == HALP_NEAREST) return;
    for (int i = 0; i < HALP_POOL_WORDS; i++) {
        uint64_t s = rng->pool[i];
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        rng->pool[i] = s;
    }
    halp_rng_recut(rng, rng->lane_bits, rng->lane_fraction);
}

static double largest(size_t n, const double *h)
{
    double max = 0.0;
    for (size_t j = 0; j < n; j++) max = fabs(h[j]) > max ? fabs(h[j]) : max;
    return max;
}

static int16_t nearest_i16(double v) { return (int16_t)halp_floor(halp_clip(v, 32766.5) + 0.5); }

/* v rounded as `rng` says, or to nearest; |result| <= limit, an integer. */
static int32_t round_h(double v, double limit, halp_rng *rng)
{
    const double uniform = rng ? halp_rng_uniform(rng, halp_rng_draw(rng)) : 0.5;
    return halp_floor(halp_clip(halp_clip(v, limit) + uniform, limit));
}

static int16_t rounded_i16(double v, halp_rng *rng)
{
    return rng ? (int16_t)round_h(v, 32767.0, rng) : nearest_i16(v);
}

halp_h halp_encode_h_i8(size_t n, size_t count, const double *h, double factor, halp_rng *rng,
                        int16_t *out)
{
    const double max = largest(n * count, h) * fabs(factor), limit = (1 << 13) - 1;
    int exponent = 13;
    while (exponent > 8 && max * (1 << exponent) > limit) exponent--;
    const double unit = factor * (1 << exponent);
    const halp_h encoded = {out, exponent, max * (1 << exponent) > limit};
    for (size_t r = 0; r < count; r++, h += n, out += HALP_PADDED(n)) {
        memset(out, 0, HALP_PADDED(n) * sizeof *out);
        for (size_t j = 0; j < n; j++) out[halp_lane_i8(j)] = rounded_i16(h[j] * unit, rng);
    }
    return encoded;
}

halp_h halp_encode_h_i16(size_t n, size_t count, const double *h, double factor, int fraction_bits,
                         halp_rng *rng, int16_t *out)
{
    const double max = largest(n * count, h) * fabs(factor) * (1 << fraction_bits);
    int exponent = 0;
    while (exponent < 14 && max > 32767.0 * (1 << exponent)) exponent++;
    const double unit = factor * (1 << fraction_bits) / (1 << exponent);
    const halp_h encoded = {out, exponent, 0};
    for (size_t r = 0; r < count; r++, h += n, out += HALP_PADDED(n)) {
        memset(out, 0, HALP_PADDED(n) * sizeof *out);
        for (size_t j = 0; j < n; j++) out[j] = rounded_i16(h[j] * unit, rng);
    }
    return encoded;
}

/* ---- h of a batch ----------------------------------------------------------------------------*/

/* Of the exponents 0 .. finest the largest with max 2^exponent <= limit, or 0. */
static int finest_exponent(double max, double limit, int finest)
{
    while (finest > 0 && max * (1 << finest) > limit) finest--;
    return finest;
}

halp_batch_h halp_encode_batch_h(halp_format format, size_t n, size_t count, const double *h,
                                 double factor, halp_rng *rng, void *out)
{
    const size_t ld = HALP_PADDED(n);
    const int finest = format == HALP_I8 ? 13 : format == HALP_I16 ? 22 : 14;
    const double limit = format == HALP_I8 ? 8191.0 : format == HALP_I16 ? 0x1p29 : 32767.0;
    const double max = h ? largest(n * count, h) * fabs(factor) : 0.0;
    const int exponent = finest_exponent(max, limit, finest);
    const double unit = factor * (1 << exponent);
    /* i8i16 says by how much more than 2^-14 a unit of h is worth. */
    const halp_batch_h encoded = {h ? out : NULL, ld,
                                  format == HALP_I8I16 ? 14 - exponent : exponent, 1.0};
    if (!h) return encoded;
    memset(out, 0, count * ld * (format == HALP_I16 ? sizeof(int32_t) : sizeof(int16_t)));
    for (size_t r = 0; r < count; r++)
        for (size_t j = 0; j < n; j++) {
            const int32_t h_j = round_h(h[r * n + j] * unit, limit, rng);
            if (format == HALP_I16)
                ((int32_t *)out)[r * ld + halp_lane_i16(j)] = h_j;
            else
                ((int16_t *)out)[r * ld + (format == HALP_I8 ? halp_lane_batch_i8(j) : j)] =
                    (int16_t)h_j;
        }
    return encoded;
}

void halp_encode_b(size_t rows, size_t count, const double *b, double *unit, int32_t *parts)
{
    for (size_t r = 0; r < count; r++) {
        double max = 0.0;
        for (size_t i = 0; i < rows; i++) {
            const double magnitude = fabs(b[i * count + r]);
            max = magnitude > max ? magnitude : max;
        }
        int exponent;
        frexp(max, &exponent);
        /* Not below the least double, of which every b is a multiple: the parts are then exact. */
        unit[r] = ldexp(1.0, exponent < -1046 ? -1074 : exponent - 28);
        /* 2^28 units of 2^996 are no double any more. */
        const double most = exponent == 1024 ? 0x1p28 - 1.0 : 0x1p28;
        for (size_t i = 0; i < rows; i += 2) {
            int32_t *pair = parts + i * count + 2 * r;
            pair[0] = pair[1] = 0;
            for (size_t k = 0; k < 2 && i + k < rows; k++) {
                const double units = b[(i + k) * count + r] / unit[r] + 0.5;
                const int32_t whole = halp_floor(halp_clip(units, most));
                const int32_t high = (whole + (1 << 13)) >> 14, low = whole - high * (1 << 14);
                pair[0] |= (int32_t)(((uint32_t)high & 0xffff) << (16 * k));
                pair[1] |= (int32_t)(((uint32_t)low & 0xffff) << (16 * k));
            }
        }
    }
}
