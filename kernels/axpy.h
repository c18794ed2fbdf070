/* Template: axpy, the fused update w <- w - (c x + h). Integer updates go block by block of random
 * lanes, and within a block group by group of 64 (int8) or 32 (int16) elements. */
#include "vector.h"

/* ---- int8 ------------------------------------------------------------------------------------*/

/* `coarse` > 0: the products have that many fraction bits less than h and the lanes. */
HALP_INLINE vi offset_i8(const int16_t *h, const uint16_t *lanes, int coarse)
{
    const vi sum = v_add_i16(v_load(h), v_load(lanes));
    return coarse ? v_sra_i16(sum, coarse) : sum;
}

HALP_INLINE void group_i8(int8_t *w, const int8_t *x, vi mantissa, int fraction, int coarse,
                          const int16_t *h, const uint16_t *lanes)
{
    for (int k = 0; k < 64; k += V_I8) {
        const vi x_k = v_opaque(v_load(x + k));  /* one load, not one for each use */
        const int even = k / 2, odd = even + 32; /* halp_lane_i8 */
        const vi t_even = v_add_i16(v_mulhrs_i16(v_even_i8(x_k), mantissa),
                                    offset_i8(h + even, lanes + even, coarse));
        const vi t_odd = v_add_i16(v_mulhrs_i16(v_odd_i8(x_k), mantissa),
                                   offset_i8(h + odd, lanes + odd, coarse));
        /* t >> fraction fits a byte: even ones are left in the low byte, odd ones in the high. */
        const vi t = v_merge_i8(v_sra_i16(t_even, fraction), v_sra_i16(t_odd, fraction - 8));
        v_store(w + k, v_max_i8(v_subs_i8(v_load(w + k), t), v_set1_i8(-127)));
    }
}

/* Fewer than 64 elements. */
HALP_COLD void tail_i8(size_t n, int8_t *w, const int8_t *x, halp_step_i8 c, int coarse,
                       const int16_t *h, const uint16_t *lanes)
{
    int8_t w_tail[64] = {0}, x_tail[64] = {0};
    memcpy(w_tail, w, n);
    memcpy(x_tail, x, n);
    group_i8(w_tail, x_tail, v_set1_i16(c.mantissa), c.fraction, coarse, h, lanes);
    memcpy(w, w_tail, n);
}

HALP_INLINE void block_i8(size_t n, int8_t *w, const int8_t *x, halp_step_i8 c, int coarse,
                          const int16_t *h, const uint16_t *lanes, const char *next)
{
    const vi mantissa = v_set1_i16(c.mantissa);
    size_t j = 0;
    for (; j + 64 <= n; j += 64) {
        HALP_PREFETCH_L2(next + j);
        group_i8(w + j, x + j, mantissa, c.fraction, coarse, h + j, lanes + j);
    }
    if (j < n) tail_i8(n - j, w + j, x + j, c, coarse, h + j, lanes + j);
}

HALP_INLINE void HALP_NAME(halp_axpy_i8)(size_t n, int8_t *w, const int8_t *x, double c, halp_h h,
                                         halp_rng *rng, const void *next)
{
    halp_rng_format(rng, 16, h.exponent);
    uint64_t draw = halp_rng_draw(rng);
    const halp_step_i8 step = halp_split_i8(c, h.exponent, halp_rng_uniform(rng, draw));
    const int coarse = h.exponent - step.fraction;
    const char *next_row = next ? next : x;
    const size_t block = HALP_BLOCK_BYTES / 2;
    for (size_t j = 0; j < n; j += block) {
        if (j > 0) draw = halp_rng_draw(rng);
        const size_t m = n - j < block ? n - j : block;
        const int16_t *h_j = h.values ? h.values + j : halp_no_h;
        const uint16_t *lanes = halp_rng_block(rng, draw);
        if (step.whole || h.wide)
            halp_block_i8_scalar(m, w + j, x + j, step, h_j, h.exponent, lanes);
        else if (coarse)
            block_i8(m, w + j, x + j, step, coarse, h_j, lanes, next_row + j);
        else
            block_i8(m, w + j, x + j, step, 0, h_j, lanes, next_row + j);
    }
}

/* ---- int16 -----------------------------------------------------------------------------------*/

#define FORMAT(op) op##_i16
#define DATA int16_t
#define LOAD(p) v_load(p)
#define FRACTION HALP_FRACTION_I16
#include "axpy_i16.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define LOAD(p) v_load_widen_i8(p)
#define FRACTION HALP_FRACTION_I8I16
#include "axpy_i16.h"

/* ---- Floats ----------------------------------------------------------------------------------*/

#define FORMAT(op) op##_f32
#define REAL float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#include "axpy_float.h"

#define FORMAT(op) op##_f64
#define REAL double
#define LANES V_F64
#define VEC vd
#define V(op) vd_##op
#include "axpy_float.h"
