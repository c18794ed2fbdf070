/* The random stream and the coefficients of an integer update of a batch: what every backend shares.
 * The contract is in family.h. */
#ifndef HALP_COEFFICIENTS_H
#define HALP_COEFFICIENTS_H

#include <math.h>
#include <stdbool.h>

#include "family.h"

#define HALP_ALWAYS_INLINE static inline __attribute__((always_inline))

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

enum { HALP_OUTPUTS = 64 }; /* whose coefficients are computed at a time, side by side in vectors */

/* The largest exponents that keep the budget, or one below the lowest; their powers of 2. */
HALP_ALWAYS_INLINE void halp_choose_exponents(const halp_update *u, halp_fixed fixed, size_t first,
                                              const size_t some, int *e, double *unit)
{
    double sum[HALP_OUTPUTS];
    bool over;
    for (size_t r = 0; r < some; r++) sum[r] = 0.0;
    for (size_t b = 0; b < u->rows; b++)
        for (size_t r = 0; r < some; r++) sum[r] += fabs(u->c[b * u->count + first + r]);
    for (size_t r = 0; r < some; r++) {
        /* No less than the largest e with sum_b |c_b| 2^e <= budget, though the sum is rounded. */
        e[r] = halp_binary_exponent(fixed.budget * (1 + 0x1p-40) / sum[r]);
        e[r] = e[r] < fixed.highest ? e[r] : fixed.highest;
        e[r] = e[r] > fixed.lowest - 1 ? e[r] : fixed.lowest - 1;
        unit[r] = halp_power_of_2(e[r]);
    }
    do {
        double spent[HALP_OUTPUTS];
        over = false;
        for (size_t r = 0; r < some; r++) spent[r] = 0.0;
        for (size_t b = 0; b < u->rows; b++)
            for (size_t r = 0; r < some; r++)
                spent[r] += ceil(fabs(u->c[b * u->count + first + r]) * unit[r]);
        for (size_t r = 0; r < some; r++)
            if (spent[r] > fixed.budget && e[r] >= fixed.lowest) {
                e[r]--;
                unit[r] *= 0.5;
                over = true;
            }
    } while (over);
}

HALP_ALWAYS_INLINE void halp_round_some_coefficients(const halp_update *u, halp_fixed fixed,
                                                     size_t first, const size_t some,
                                                     int16_t (*k)[HALP_MOST_BATCH], int *e)
{
    double unit[HALP_OUTPUTS], most[HALP_OUTPUTS];
    halp_choose_exponents(u, fixed, first, some, e, unit);
    for (size_t r = 0; r < some; r++) {
        const bool saturated = e[r] < fixed.lowest;
        e[r] += saturated;
        unit[r] = saturated ? 2.0 * unit[r] : unit[r];
        most[r] = saturated ? fixed.budget / (int)u->rows : fixed.budget;
    }
    for (size_t b = 0; b < u->rows; b++) {
        double scaled[HALP_OUTPUTS];
        for (size_t r = 0; r < some; r++)
            scaled[r] = halp_clip(u->c[b * u->count + first + r] * unit[r], most[r]);
        for (size_t r = 0; r < some; r++) {
            const uint64_t draw = halp_batch_draw(u->rng, (first + r) * u->rows + b);
            k[r][b] = (int16_t)halp_floor(scaled[r] + halp_rng_uniform(u->rng, draw));
        }
    }
}

/* The integers k of some outputs from `first` on, and the exponent that those of each share. */
static inline void halp_round_coefficients(const halp_update *u, halp_fixed fixed, size_t first,
                                           size_t some, int16_t (*k)[HALP_MOST_BATCH], int *e)
{
    if (some == 1) /* the loops over outputs go */
        halp_round_some_coefficients(u, fixed, first, 1, k, e);
    else
        halp_round_some_coefficients(u, fixed, first, some, k, e);
}

#endif
