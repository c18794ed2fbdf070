/* Products of 8- and 16-bit integers with the VNNI instructions. */
#include "simd_avx512.h"

/* vpdpbusd wants one unsigned factor: x + 128. What that adds, 128 y, is summed beside it. */
#define HALP_ANY_I8 1 /* exact also for y = -128 */
typedef struct {
    vi biased;
} x_i8;
typedef struct {
    vi sum, excess;
} acc_i8;
static inline x_i8 v_prepare_i8(vi x)
{
    return (x_i8){_mm512_xor_si512(x, _mm512_set1_epi8(-128))};
}
static inline vi v_part_i8(vi sum, x_i8 x, vi y) { return _mm512_dpbusd_epi32(sum, x.biased, y); }
static inline vi v_excess_i8(vi excess, vi y)
{
    return _mm512_dpbusd_epi32(excess, _mm512_set1_epi8(-128), y);
}
static inline acc_i8 v_dot_i8(acc_i8 acc, x_i8 x, vi y)
{
    return (acc_i8){v_part_i8(acc.sum, x, y), v_excess_i8(acc.excess, y)};
}
static inline vi v_total_i8(acc_i8 acc) { return _mm512_sub_epi32(acc.sum, acc.excess); }
static inline vi v_dot_i16(vi acc, vi a, vi b) { return _mm512_dpwssd_epi32(acc, a, b); }
