/* Template: update, the step of a batch. The rows of a piece of the columns are interleaved in pairs
 * once, so that one instruction multiplies and adds two samples; then each output takes them with its
 * coefficients in registers, and rounds once. A single output interleaves as it goes. Integers have the bits of the definition in family.h:
 *
 *     floor((2^(F-e) S + H + r) / 2^F) = floor((S + floor((H + r) / 2^(F-e))) / 2^e),  0 <= e <= F,
 *
 * because S is an integer. */
#include "coefficients.h"
#include "vector.h"

enum {
    PIECE_BYTES = 16384, /* of interleaved rows, at most: half of a small L1 cache */
    MOST_PAIRS = HALP_MOST_BATCH / 2,
};

/* The pairs of a batch: interleaved before, vector by vector and within a vector pair by pair; or as
 * rows, an even number of them. */
typedef struct {
    bool is_interleaved;
    const void *vector;      /* the pairs of the vector in turn */
    const void *const *rows; /* at column 0 of the piece */
} update_source;

typedef struct {
    vi low, high;
} two_vi;

/* Constants of the columns of an output beside its coefficients. */
typedef struct {
    vi bias;              /* for data that enter with one */
    vi scale, steep;      /* i8i16: factors of S and h, before and after F bits are dropped */
    int coarse, exponent; /* i8, i16: F - e, and e */
    bool is_steep;
} update_step;

HALP_INLINE vi bytes_i16(int low, int high)
{
    return v_set1_i16((int16_t)((low & 0xff) | (int)((unsigned)high << 8)));
}

HALP_INLINE vi halves_i32(int low, int high)
{
    return v_set1_i32((int32_t)(((uint32_t)low & 0xffff) | (uint32_t)high << 16));
}

/* Contribution of a bias of the data to the sums, negated: at most 128 124 = 15,872. */
HALP_INLINE vi bias_of(size_t rows, const int16_t *k)
{
    int sum = 0;
    for (size_t b = 0; b < rows; b++) sum += k[b];
    return v_set1_i16((int16_t)(-HALP_BIAS_I8 * sum));
}

/* ---- int8 ------------------------------------------------------------------------------------
 *
 * 16-bit lanes. A pair's sum of products is at most 255 124 = 31,620 with the bias, and does not
 * saturate. What has been added on the way may wrap around: the total is at most
 * 128 124 + 8191 + 8191 = 32,254 in size, h and lanes included, and comes out right. */

HALP_INLINE update_step step_of_i8(const halp_update *u, const int16_t *k, int e)
{
    return (update_step){.bias = bias_of(u->rows, k), .coarse = u->h.exponent - e, .exponent = e};
}

HALP_INLINE two_vi interleave_i8(const int8_t *x_0, const int8_t *x_1)
{
    const vi a = v_bias_i8(v_load(x_0)), b = v_bias_i8(v_load(x_1));
    return (two_vi){v_zip_low_i8(a, b), v_zip_high_i8(a, b)}; /* halp_lane_batch_i8 */
}

HALP_INLINE two_vi pair_i8(update_source x, size_t p, size_t j)
{
    const int8_t *both = (const int8_t *)x.vector + 2 * p * V_I8;
    if (x.is_interleaved) return (two_vi){v_load(both), v_load(both + V_I8)};
    return interleave_i8((const int8_t *)x.rows[2 * p] + j, (const int8_t *)x.rows[2 * p + 1] + j);
}

/* The products of int8 data, added up over the pairs. */
HALP_INLINE two_vi sums_i8(const size_t pairs, const vi *k, update_source x, size_t j, two_vi sum)
{
    for (size_t p = 0; p < pairs; p++) {
        const two_vi pair = pair_i8(x, p, j);
        sum.low = v_add_i16(sum.low, v_pairs_i8(pair.low, k[p]));
        sum.high = v_add_i16(sum.high, v_pairs_i8(pair.high, k[p]));
    }
    return sum;
}

HALP_INLINE vi offset_of_i8(update_step s, const int16_t *h, const uint16_t *lanes)
{
    return v_add_i16(v_sra_i16(v_add_i16(v_load(h), v_load(lanes)), s.coarse), s.bias);
}

HALP_INLINE two_vi move_i8(const size_t pairs, update_step s, const vi *k, update_source x,
                           const int16_t *h, const uint16_t *lanes, size_t j, size_t lane)
{
    const two_vi offset = {offset_of_i8(s, h + lane, lanes + lane),
                           offset_of_i8(s, h + lane + 32, lanes + lane + 32)};
    const two_vi sum = sums_i8(pairs, k, x, j, offset);
    return (two_vi){
        .low = v_packs_i16(v_sra_i16(sum.low, s.exponent), v_sra_i16(sum.high, s.exponent))};
}

HALP_INLINE void subtract_i8(int8_t *w, two_vi t)
{
    v_store(w, v_max_i8(v_subs_i8(v_load(w), t.low), v_set1_i8(-127)));
}

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define LANE uint16_t
#define FIXED_H int16_t
#define LANES ((size_t)V_I8)
#define GROUP ((size_t)64)
#define INTERLEAVE(x_0, x_1) interleave_i8(x_0, x_1)
#define PAIR(k_0, k_1) bytes_i16(k_0, k_1)
#include "update_format.h"

/* ---- int8 data, int16 model ------------------------------------------------------------------
 *
 * The 16-bit sums of int8, at most 15,872 in size, and h: interleaved and multiplied by 2^(14-e) and
 * 2^exponent, both at most 2^14. In 32-bit lanes |2^14 15,872 + 2^14 32,767| + 2^14 < 2^30.
 * For e < 0, t = 2^-e S + floor((H + r) / 2^14), where 2^6 15,872 + 2^15 is far below 2^31. */

HALP_INLINE update_step step_of_i8i16(const halp_update *u, const int16_t *k, int e)
{
    const int h_factor = 1 << u->h.exponent;
    return (update_step){
        .bias = bias_of(u->rows, k),
        .scale = halves_i32(e < 0 ? 0 : 1 << (HALP_BATCH_FRACTION_I8I16 - e), h_factor),
        .steep = halves_i32(e < 0 ? 1 << -e : 0, 0),
        .is_steep = e < 0,
    };
}

/* V_I16 columns: t, from their S. */
HALP_INLINE vi rounded_i8i16(update_step s, vi sum, const int16_t *h, const uint32_t *lanes)
{
    const vi h_j = v_load(h);
    vi low = v_add_i32(v_pairs_low_i16(sum, h_j, s.scale), v_load(lanes));
    vi high = v_add_i32(v_pairs_high_i16(sum, h_j, s.scale), v_load(lanes + 16));
    low = v_sra_i32(low, HALP_BATCH_FRACTION_I8I16);
    high = v_sra_i32(high, HALP_BATCH_FRACTION_I8I16);
    if (s.is_steep) {
        low = v_add_i32(low, v_pairs_low_i16(sum, h_j, s.steep));
        high = v_add_i32(high, v_pairs_high_i16(sum, h_j, s.steep));
    }
    return v_packs_i32(low, high);
}

/* The columns of zipped halves, in their order. */
HALP_INLINE two_vi in_order(two_vi zipped)
{
    return (two_vi){v_first_i16(zipped.low, zipped.high), v_second_i16(zipped.low, zipped.high)};
}

/* Several outputs share interleaved rows, which are put in order once for all of their sums. */
HALP_INLINE two_vi interleave_i8i16(const int8_t *x_0, const int8_t *x_1)
{
    return in_order(interleave_i8(x_0, x_1));
}

HALP_INLINE two_vi move_i8i16(const size_t pairs, update_step s, const vi *k, update_source x,
                              const int16_t *h, const uint32_t *lanes, size_t j, size_t lane)
{
    enum { NEXT = V_I16 < 32 ? V_I16 / 2 : V_I16 }; /* lanes behind: halp_lane_i16 */
    two_vi sum = sums_i8(pairs, k, x, j, (two_vi){s.bias, s.bias});
    if (!x.is_interleaved) sum = in_order(sum);
    lanes += lane;
    return (two_vi){
        rounded_i8i16(s, sum.low, h + j, lanes),
        rounded_i8i16(s, sum.high, h + j + V_I16, lanes + NEXT),
    };
}

/* w <- w - t, saturated, for a vector of an int16 model. */
HALP_INLINE void subtract_vector_i16(int16_t *w, vi t)
{
    v_store(w, v_max_i16(v_subs_i16(v_load(w), t), v_set1_i16(-32767)));
}

HALP_INLINE void subtract_i8i16(int16_t *w, two_vi t)
{
    subtract_vector_i16(w, t.low);
    subtract_vector_i16(w + V_I16, t.high);
}

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define LANE uint32_t
#define FIXED_H int16_t
#define LANES ((size_t)V_I8)
#define GROUP (LANES < 32 ? (size_t)32 : LANES)
#define INTERLEAVE(x_0, x_1) interleave_i8i16(x_0, x_1)
#define PAIR(k_0, k_1) bytes_i16(k_0, k_1)
#include "update_format.h"

/* ---- int16 -----------------------------------------------------------------------------------
 *
 * 32-bit lanes: |S| <= 2^29, |H| <= 2^29 and r < 2^22 together stay below 2^31, on the way too. */

HALP_INLINE update_step step_of_i16(const halp_update *u, const int16_t *k, int e)
{
    (void)k;
    return (update_step){.coarse = u->h.exponent - e, .exponent = e};
}

HALP_INLINE two_vi interleave_i16(const int16_t *x_0, const int16_t *x_1)
{
    const vi a = v_load(x_0), b = v_load(x_1);
    return (two_vi){v_zip_low_i16(a, b), v_zip_high_i16(a, b)}; /* halp_lane_i16 */
}

HALP_INLINE two_vi pair_i16(update_source x, size_t p, size_t j)
{
    const int16_t *both = (const int16_t *)x.vector + 2 * p * V_I16;
    if (x.is_interleaved) return (two_vi){v_load(both), v_load(both + V_I16)};
    return interleave_i16((const int16_t *)x.rows[2 * p] + j,
                          (const int16_t *)x.rows[2 * p + 1] + j);
}

HALP_INLINE vi offset_of_i16(update_step s, const int32_t *h, const uint32_t *lanes)
{
    return v_sra_i32(v_add_i32(v_load(h), v_load(lanes)), s.coarse);
}

HALP_INLINE two_vi move_i16(const size_t pairs, update_step s, const vi *k, update_source x,
                            const int32_t *h, const uint32_t *lanes, size_t j, size_t lane)
{
    vi low = offset_of_i16(s, h + lane, lanes + lane);
    vi high = offset_of_i16(s, h + lane + 16, lanes + lane + 16);
    for (size_t p = 0; p < pairs; p++) {
        const two_vi pair = pair_i16(x, p, j);
        low = v_add_i32(low, v_madd_i16(pair.low, k[p]));
        high = v_add_i32(high, v_madd_i16(pair.high, k[p]));
    }
    return (two_vi){.low = v_packs_i32(v_sra_i32(low, s.exponent), v_sra_i32(high, s.exponent))};
}

HALP_INLINE void subtract_i16(int16_t *w, two_vi t) { subtract_vector_i16(w, t.low); }

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define LANE uint32_t
#define FIXED_H int32_t
#define LANES ((size_t)V_I16)
#define GROUP ((size_t)32)
#define INTERLEAVE(x_0, x_1) interleave_i16(x_0, x_1)
#define PAIR(k_0, k_1) halves_i32(k_0, k_1)
#include "update_format.h"

/* ---- Floats ----------------------------------------------------------------------------------*/

#define FORMAT(op) op##_f32
#define REAL float
#define LANES ((size_t)V_F32)
#define VEC vf
#define V(op) vf_##op
#include "update_float.h"

#define FORMAT(op) op##_f64
#define REAL double
#define LANES ((size_t)V_F64)
#define VEC vd
#define V(op) vd_##op
#include "update_float.h"
