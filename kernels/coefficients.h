/* The random stream and the coefficients of an integer update of a batch: what every backend shares.
 * The contract is in family.h. */
#ifndef HALP_COEFFICIENTS_H
#define HALP_COEFFICIENTS_H

#include <math.h>

#include "family.h"

typedef struct {
    int budget;    /* the most that the |k| of an output add up to */
    int lowest;    /* of the exponents that they may share */
    int highest;   /* and F, the fraction bits of h and of the lanes */
    int lane_bits; /* of a random lane */
} halp_fixed;

static inline halp_fixed halp_fixed_i8(halp_batch_h h)
{
    return (halp_fixed){124, 0, h.exponent, 16};
}
static inline halp_fixed halp_fixed_i8i16(halp_batch_h h)
{
    (void)h;
    return (halp_fixed){124, -6, HALP_BATCH_FRACTION_I8I16, 32};
}
static inline halp_fixed halp_fixed_i16(halp_batch_h h)
{
    return (halp_fixed){1 << 14, 0, h.exponent, 32};
}

/* ---- The random stream -----------------------------------------------------------------------*/

static inline uint64_t halp_batch_draw(const halp_rng *rng, size_t i)
{
    return halp_splitmix64(rng->counter + (i + 1) * UINT64_C(0x9e3779b97f4a7c15));
}

static inline size_t halp_batch_blocks(size_t n, int lane_bits)
{
    const size_t columns = 8 * HALP_BLOCK_BYTES / (size_t)lane_bits;
    return (n + columns - 1) / columns;
}

/* Before the first draw, and after the last one. */
static inline void halp_batch_begin(halp_rng *rng, halp_fixed fixed)
{
    if (rng->blocks_left <= 0) halp_rng_advance(rng);
    halp_rng_format(rng, fixed.lane_bits, fixed.highest);
}

static inline void halp_batch_end(const halp_update *u, halp_fixed fixed)
{
    const size_t blocks = u->count * halp_batch_blocks(u->n, fixed.lane_bits);
    u->rng->counter += UINT64_C(0x9e3779b97f4a7c15) * (u->count * u->rows + blocks);
    u->rng->blocks_left -= blocks < HALP_BLOCKS_PER_POOL ? (int)blocks : HALP_BLOCKS_PER_POOL;
}

/* The lanes of block k of output r. */
static inline const void *halp_batch_lanes(const halp_update *u, halp_fixed fixed, size_t r,
                                           size_t k)
{
    const halp_rng *rng = u->rng;
    const size_t blocks = halp_batch_blocks(u->n, fixed.lane_bits);
    const uint64_t draw = halp_batch_draw(rng, u->count * u->rows + r * blocks + k);
    const uint64_t place = (draw >> 32) & (rng->places - 1);
    return (const char *)rng->lanes + place * ((uint32_t)fixed.lane_bits / 8);
}

/* ---- Coefficients ----------------------------------------------------------------------------*/

/* floor(log2(v)) of a number above 0; below -1000 for those that are not normal. */
static inline int halp_binary_exponent(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (int)((bits >> 52) & 0x7ff) - 1023;
}

/* sum_b ceil(|c_b| unit); the sum of |c_b| unit is small. */
static inline int32_t halp_rounded_up(const halp_update *u, size_t r, double unit)
{
    int32_t sum = 0;
    for (size_t b = 0; b < u->rows; b++) sum -= halp_floor(-fabs(u->c[b * u->count + r]) * unit);
    return sum;
}

/* The integers k of output r, and the exponent that they share. */
static inline int halp_round_coefficients(const halp_update *u, halp_fixed fixed, size_t r,
                                          int16_t *k)
{
    double sum = 0.0;
    for (size_t b = 0; b < u->rows; b++) sum += fabs(u->c[b * u->count + r]);
    /* Not below the largest e with sum_b |c_b| 2^e <= budget, though the sum has been rounded. */
    const int bound = halp_binary_exponent(fixed.budget * (1 + 0x1p-40) / sum);
    int e = bound < fixed.highest ? bound : fixed.highest;
    while (e >= fixed.lowest && halp_rounded_up(u, r, halp_power_of_2(e)) > fixed.budget) e--;
    double most = HUGE_VAL;
    if (e < fixed.lowest) {
        e = fixed.lowest;
        most = fixed.budget / (int)u->rows;
    }
    const double unit = halp_power_of_2(e);
    for (size_t b = 0; b < u->rows; b++) {
        const double uniform = halp_rng_uniform(u->rng, halp_batch_draw(u->rng, r * u->rows + b));
        const double scaled = halp_clip(u->c[b * u->count + r] * unit, most);
        k[b] = (int16_t)halp_floor(scaled + uniform);
    }
    return e;
}

#endif
