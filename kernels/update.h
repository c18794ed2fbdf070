/* Template: update, the step of a batch. The rows of a piece of the columns are interleaved in pairs
 * once, so that one instruction multiplies and adds two samples; then each output takes them with its
 * coefficients in registers, and rounds once. Integers have the bits of the definition in family.h:
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

/* What the columns of an output need beside its coefficients. */
typedef struct {
    vi bias;              /* for data that enter with one */
    vi scale, steep;      /* i8i16: factors of S and h, before and after F bits are dropped */
    int coarse, exponent; /* i8, i16: F - e, and e */
    bool is_steep;
} update_step;

/* The lines of the rows of `next` that go with this byte of a row. */
HALP_INLINE void prefetch_rows(const halp_update *u, size_t rows, size_t byte)
{
    if (byte % 64 == 0)
        for (size_t b = 0; b < rows; b++) HALP_PREFETCH_L2((const char *)u->next[b] + byte);
}

HALP_INLINE vi bytes_i16(int low, int high)
{
    return v_set1_i16((int16_t)((low & 0xff) | (int)((unsigned)high << 8)));
}

HALP_INLINE vi halves_i32(int low, int high)
{
    return v_set1_i32((int32_t)(((uint32_t)low & 0xffff) | (uint32_t)high << 16));
}

/* What a bias of the data adds to the sums, with the opposite sign: at most 128 124 = 15,872. */
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

HALP_INLINE void interleave_i8(const int8_t *x_0, const int8_t *x_1, int8_t *out)
{
    const vi a = v_bias_i8(v_load(x_0)), b = v_bias_i8(v_load(x_1));
    v_store(out, v_zip_low_i8(a, b)); /* halp_lane_batch_i8 */
    v_store(out + V_I8, v_zip_high_i8(a, b));
}

HALP_INLINE vi sum_i8(const size_t pairs, const vi *k, const int8_t *x, vi sum)
{
    for (size_t p = 0; p < pairs; p++)
        sum = v_add_i16(sum, v_pairs_i8(v_load(x + 2 * p * V_I8), k[p]));
    return sum;
}

HALP_INLINE vi offset_of_i8(update_step s, const int16_t *h, const uint16_t *lanes)
{
    return v_add_i16(v_sra_i16(v_add_i16(v_load(h), v_load(lanes)), s.coarse), s.bias);
}

HALP_INLINE vi move_i8(const size_t pairs, update_step s, const vi *k, const int8_t *x,
                       const int16_t *h, const uint16_t *lanes, size_t j, size_t lane)
{
    (void)j;
    const vi low = sum_i8(pairs, k, x, offset_of_i8(s, h + lane, lanes + lane));
    const vi high = sum_i8(pairs, k, x + V_I8, offset_of_i8(s, h + lane + 32, lanes + lane + 32));
    return v_packs_i16(v_sra_i16(low, s.exponent), v_sra_i16(high, s.exponent));
}

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define LANE uint16_t
#define FIXED_H int16_t
#define LANES ((size_t)V_I8)
#define GROUP ((size_t)64)
#define INTERLEAVED (2 * LANES)
#define PAIR(k_0, k_1) bytes_i16(k_0, k_1)
#define SUBTRACT(w, t) v_max_i8(v_subs_i8(w, t), v_set1_i8(-127))
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

HALP_INLINE void interleave_i8i16(const int8_t *x_0, const int8_t *x_1, int8_t *out)
{
    const vi a = v_load_widen_i8(x_0), b = v_load_widen_i8(x_1);
    v_store(out, v_bias_i8(v_merge_i8(a, v_even_i8(b))));
}

HALP_INLINE vi move_i8i16(const size_t pairs, update_step s, const vi *k, const int8_t *x,
                          const int16_t *h, const uint32_t *lanes, size_t j, size_t lane)
{
    vi sum = s.bias;
    for (size_t p = 0; p < pairs; p++)
        sum = v_add_i16(sum, v_pairs_i8(v_load(x + p * VBYTES), k[p]));
    const vi h_j = v_load(h + j);
    vi low = v_add_i32(v_pairs_low_i16(sum, h_j, s.scale), v_load(lanes + lane));
    vi high = v_add_i32(v_pairs_high_i16(sum, h_j, s.scale), v_load(lanes + lane + 16));
    low = v_sra_i32(low, HALP_BATCH_FRACTION_I8I16);
    high = v_sra_i32(high, HALP_BATCH_FRACTION_I8I16);
    if (s.is_steep) {
        low = v_add_i32(low, v_pairs_low_i16(sum, h_j, s.steep));
        high = v_add_i32(high, v_pairs_high_i16(sum, h_j, s.steep));
    }
    return v_packs_i32(low, high);
}

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define LANE uint32_t
#define FIXED_H int16_t
#define LANES ((size_t)V_I16)
#define GROUP ((size_t)32)
#define INTERLEAVED (2 * LANES)
#define PAIR(k_0, k_1) bytes_i16(k_0, k_1)
#define SUBTRACT(w, t) v_max_i16(v_subs_i16(w, t), v_set1_i16(-32767))
#include "update_format.h"

/* ---- int16 -----------------------------------------------------------------------------------
 *
 * 32-bit lanes: |S| <= 2^29, |H| <= 2^29 and r < 2^22 together stay below 2^31, on the way too. */

HALP_INLINE update_step step_of_i16(const halp_update *u, const int16_t *k, int e)
{
    (void)k;
    return (update_step){.coarse = u->h.exponent - e, .exponent = e};
}

HALP_INLINE void interleave_i16(const int16_t *x_0, const int16_t *x_1, int16_t *out)
{
    const vi a = v_load(x_0), b = v_load(x_1);
    v_store(out, v_zip_low_i16(a, b)); /* halp_lane_i16 */
    v_store(out + V_I16, v_zip_high_i16(a, b));
}

HALP_INLINE vi sum_i16(const size_t pairs, const vi *k, const int16_t *x, vi sum)
{
    for (size_t p = 0; p < pairs; p++)
        sum = v_add_i32(sum, v_madd_i16(v_load(x + 2 * p * V_I16), k[p]));
    return sum;
}

HALP_INLINE vi offset_of_i16(update_step s, const int32_t *h, const uint32_t *lanes)
{
    return v_sra_i32(v_add_i32(v_load(h), v_load(lanes)), s.coarse);
}

HALP_INLINE vi move_i16(const size_t pairs, update_step s, const vi *k, const int16_t *x,
                        const int32_t *h, const uint32_t *lanes, size_t j, size_t lane)
{
    (void)j;
    const vi low = sum_i16(pairs, k, x, offset_of_i16(s, h + lane, lanes + lane));
    const vi high =
        sum_i16(pairs, k, x + V_I16, offset_of_i16(s, h + lane + 16, lanes + lane + 16));
    return v_packs_i32(v_sra_i32(low, s.exponent), v_sra_i32(high, s.exponent));
}

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define LANE uint32_t
#define FIXED_H int32_t
#define LANES ((size_t)V_I16)
#define GROUP ((size_t)32)
#define INTERLEAVED (2 * LANES)
#define PAIR(k_0, k_1) halves_i32(k_0, k_1)
#define SUBTRACT(w, t) v_max_i16(v_subs_i16(w, t), v_set1_i16(-32767))
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
