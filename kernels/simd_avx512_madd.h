/* Products of 8- and 16-bit integers without the VNNI instructions. */
#include "simd_avx512.h"

/* Four products of int8 summed in each 32-bit lane. */
#define HALP_ANY_I8 0 /* exact also for y = -128 */
typedef struct {
    vi abs;
    __mmask64 negative;
} x_i8;
typedef struct {
    vi sum;
} acc_i8;
static inline x_i8 v_prepare_i8(vi x) { return (x_i8){_mm512_abs_epi8(x), _mm512_movepi8_mask(x)}; }
static inline vi v_part_i8(vi sum, x_i8 x, vi y)
{
    const vi signed_y = _mm512_mask_sub_epi8(y, x.negative, v_zero(), y);
    const vi pairs = _mm512_maddubs_epi16(x.abs, signed_y);
    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
static inline vi v_excess_i8(vi excess, vi y) { return (void)y, excess; }
static inline acc_i8 v_dot_i8(acc_i8 acc, x_i8 x, vi y)
{
    return (acc_i8){v_part_i8(acc.sum, x, y)};
}
static inline vi v_total_i8(acc_i8 acc) { return acc.sum; }
static inline vi v_dot_i16(vi acc, vi a, vi b)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(a, b));
}
