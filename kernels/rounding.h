/* The random stream of stochastic rounding, defined without regard to any vector width.
 *
 * A pool of 768 independent xorshift64 generators (Marsaglia 2003) holds 6 KiB of random bits, cut
 * into lanes of 16 or 32 bits of which the top `lane_fraction` bits are kept. A kernel rounds a
 * block of 2 KiB of lanes at a time, read from a fresh random place in the pool, and every 256
 * blocks the whole pool advances. Two steps therefore share the lane of an element with probability
 * 1/2048 (1/1024 for 32-bit lanes) within a pool and never beyond it.
 *
 * A vector takes one draw of 64 bits: the low half rounds its step size, the high half places its
 * first block. Each further block takes a draw of its own.
 */
#ifndef HALP_ROUNDING_H
#define HALP_ROUNDING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HALP_POOL_WORDS = 768,
    HALP_BLOCK_BYTES = 2048,
    HALP_BLOCKS_PER_POOL = 256,
};

typedef enum { HALP_STOCHASTIC, HALP_NEAREST } halp_rounding;

typedef struct {
    uint64_t lanes[HALP_POOL_WORDS];
    uint64_t pool[HALP_POOL_WORDS];
    uint64_t counter;  /* splitmix64 (Steele, Lea, Flood 2014): places and scalar draws */
    int blocks_left;   /* before the pool advances; below 0 behind a large batch */
    int lane_bits;     /* 16 or 32 */
    int lane_fraction; /* bits kept of each lane */
    uint32_t places;   /* where a block can start; a power of two */
    halp_rounding rounding;
} halp_rng;

void halp_rng_init(halp_rng *rng, uint64_t seed, halp_rounding rounding);

/* Cut the pool into lanes of `lane_bits` bits, uniform in [0, 2^fraction); with nearest rounding all
 * are 2^(fraction-1), or 0 without fraction bits. Costs nothing when the lanes are so already. */
void halp_rng_recut(halp_rng *rng, int lane_bits, int fraction);
void halp_rng_advance(halp_rng *rng);

static inline void halp_rng_format(halp_rng *rng, int lane_bits, int fraction)
{
    if (rng->lane_bits != lane_bits || rng->lane_fraction != fraction)
        halp_rng_recut(rng, lane_bits, fraction);
}

static inline uint64_t halp_splitmix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline uint64_t halp_rng_draw(halp_rng *rng)
{
    rng->counter += 0x9e3779b97f4a7c15u;
    return halp_splitmix64(rng->counter);
}

/* The block of lanes that a draw names. */
static inline const void *halp_rng_block(halp_rng *rng, uint64_t draw)
{
    if (rng->blocks_left <= 0) halp_rng_advance(rng);
    rng->blocks_left--;
    const uint64_t place = (draw >> 32) & (rng->places - 1);
    return (const char *)rng->lanes + place * ((uint32_t)rng->lane_bits / 8);
}

/* Uniform in [0, 1), or 1/2 when rounding to nearest. */
static inline double halp_rng_uniform(const halp_rng *rng, uint64_t draw)
{
    return rng->rounding == HALP_NEAREST ? 0.5 : (double)(int64_t)(draw & 0xffffffffu) * 0x1p-32;
}

/* ---- A real step size as the integers of an update -------------------------------------------*/

/* c = whole + mantissa / 2^(7+fraction): whole = 0 and the finest fraction for small |c|. */
typedef struct {
    int16_t mantissa; /* |mantissa| <= 2^14 */
    int fraction;     /* 8 .. max_fraction */
    int whole;        /* |whole| <= 255 */
} halp_step_i8;

static inline int32_t halp_floor(double v)
{
    const int32_t truncated = (int32_t)v;
    return truncated - (truncated > v);
}

static inline double halp_clip(double v, double limit)
{
    return v > limit ? limit : v < -limit ? -limit : v;
}

/* 2^k, |k| <= 1000. */
static inline double halp_power_of_2(int k)
{
    const uint64_t bits = (uint64_t)(k + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

static inline halp_step_i8 halp_split_i8(double c, int max_fraction, double uniform)
{
    c = halp_clip(c, 255.0);
    const int whole = -0.5 <= c && c <= 0.5 ? 0 : halp_floor(c + 0.5);
    c -= whole;
    uint64_t bits;
    memcpy(&bits, &c, sizeof bits);
    const int exponent = (int)((bits >> 52) & 0x7ff) - 1023; /* |c| < 2^(exponent+1) */
    const int wanted = 6 - exponent;
    const int fraction = wanted < 8 ? 8 : wanted > max_fraction ? max_fraction : wanted;
    const int32_t mantissa = halp_floor(c * halp_power_of_2(7 + fraction) + uniform);
    return (halp_step_i8){(int16_t)(mantissa > 1 << 14 ? 1 << 14 : mantissa), fraction, whole};
}

/* c 2^F rounded at random, |result| <= 2^30. */
static inline int32_t halp_split_i16(double c, int fraction_bits, double uniform)
{
    return halp_floor(halp_clip(c * (1 << fraction_bits), 0x1p30) + uniform);
}

#ifdef __cplusplus
}
#endif

#endif
