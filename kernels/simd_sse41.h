/* The vector vocabulary of the kernels, 16 bytes wide: SSE4.1. */
#include "simd_x86.h"

#define VBYTES 16
#define HALP_REGISTERS 16
#define HALP_REGISTER "+x"

typedef __m128i vi;
typedef __m128 vf;
typedef __m128d vd;

static inline vi v_load(const void *p) { return _mm_loadu_si128(p); }
static inline void v_store(void *p, vi v) { _mm_storeu_si128(p, v); }
static inline vi v_zero(void) { return _mm_setzero_si128(); }
static inline vi v_set1_i16(int16_t v) { return _mm_set1_epi16(v); }
static inline vi v_set1_i32(int32_t v) { return _mm_set1_epi32(v); }
static inline vi v_load_widen_i8(const int8_t *p)
{
    return _mm_cvtepi8_epi16(_mm_loadl_epi64((const void *)p));
}
static inline vi v_xor(vi a, vi b) { return _mm_xor_si128(a, b); }
static inline vi v_and(vi a, vi b) { return _mm_and_si128(a, b); }

/* int8 elements as 16-bit lanes scaled by 256: the even ones, the odd ones. */
static inline vi v_even_i8(vi x) { return _mm_slli_epi16(x, 8); }
static inline vi v_odd_i8(vi x) { return _mm_and_si128(x, _mm_set1_epi16(-256)); }
static inline vi v_merge_i8(vi even, vi odd)
{
    return _mm_blendv_epi8(even, odd, _mm_set1_epi16(-256));
}

static inline vi v_mulhrs_i16(vi a, vi b) { return _mm_mulhrs_epi16(a, b); }
static inline vi v_add_i16(vi a, vi b) { return _mm_add_epi16(a, b); }
static inline vi v_subs_i16(vi a, vi b) { return _mm_subs_epi16(a, b); }
static inline vi v_max_i16(vi a, vi b) { return _mm_max_epi16(a, b); }
static inline vi v_sra_i16(vi a, int n) { return _mm_sra_epi16(a, _mm_cvtsi32_si128(n)); }
static inline vi v_subs_i8(vi a, vi b) { return _mm_subs_epi8(a, b); }
static inline vi v_min_i8(vi a, vi b) { return _mm_min_epi8(a, b); }
static inline vi v_max_i8(vi a, vi b) { return _mm_max_epi8(a, b); }
static inline vi v_set1_i8(int8_t v) { return _mm_set1_epi8(v); }

/* int16 pairs: a_j u + b_j v in 32-bit lanes, for the low and the high four of each eight; uv holds
 * u and v side by side. */
static inline vi v_pairs_low_i16(vi a, vi b, vi uv)
{
    return _mm_madd_epi16(_mm_unpacklo_epi16(a, b), uv);
}
static inline vi v_pairs_high_i16(vi a, vi b, vi uv)
{
    return _mm_madd_epi16(_mm_unpackhi_epi16(a, b), uv);
}
/* The columns of zipped halves, in their order. */
static inline vi v_first_i16(vi low, vi high) { return (void)high, low; }
static inline vi v_second_i16(vi low, vi high) { return (void)low, high; }
static inline vi v_packs_i32(vi low, vi high) { return _mm_packs_epi32(low, high); }

/* Interleaved elements of two vectors, and the inverse with saturation, within 128 bits. */
static inline vi v_zip_low_i8(vi a, vi b) { return _mm_unpacklo_epi8(a, b); }
static inline vi v_zip_high_i8(vi a, vi b) { return _mm_unpackhi_epi8(a, b); }
static inline vi v_zip_low_i16(vi a, vi b) { return _mm_unpacklo_epi16(a, b); }
static inline vi v_zip_high_i16(vi a, vi b) { return _mm_unpackhi_epi16(a, b); }
static inline vi v_packs_i16(vi low, vi high) { return _mm_packs_epi16(low, high); }
/* Sums of pairs of products of int8, in 16-bit lanes: x enters as x + HALP_BIAS_I8. */
#define HALP_BIAS_I8 128
static inline vi v_bias_i8(vi x) { return v_xor(x, _mm_set1_epi8(-128)); }
static inline vi v_pairs_i8(vi x, vi k) { return _mm_maddubs_epi16(x, k); }
static inline vi v_madd_i16(vi a, vi b) { return _mm_madd_epi16(a, b); }
static inline vi v_add_i32(vi a, vi b) { return _mm_add_epi32(a, b); }
/* The low 16 bits of each 32-bit lane, unsigned. */
static inline vi v_low_i32(vi a) { return _mm_and_si128(a, _mm_set1_epi32(0xffff)); }
static inline int32_t v_hsum_i32(vi a)
{
    const vi pairs = _mm_add_epi32(a, _mm_shuffle_epi32(a, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(pairs, _mm_shuffle_epi32(pairs, 0xb1)));
}
static inline vi v_sra_i32(vi a, int n) { return _mm_sra_epi32(a, _mm_cvtsi32_si128(n)); }

/* Four products of int8 summed in each 32-bit lane. */
#define HALP_ANY_I8 0 /* exact also for y = -128 */
typedef struct {
    vi abs, x;
} x_i8;
typedef struct {
    vi sum;
} acc_i8;
static inline x_i8 v_prepare_i8(vi x) { return (x_i8){_mm_abs_epi8(x), x}; }
static inline vi v_part_i8(vi sum, x_i8 x, vi y)
{
    const vi pairs = _mm_maddubs_epi16(x.abs, _mm_sign_epi8(y, x.x));
    return _mm_add_epi32(sum, _mm_madd_epi16(pairs, _mm_set1_epi16(1)));
}
static inline vi v_excess_i8(vi excess, vi y) { return (void)y, excess; }
static inline acc_i8 v_dot_i8(acc_i8 acc, x_i8 x, vi y)
{
    return (acc_i8){v_part_i8(acc.sum, x, y)};
}
static inline vi v_total_i8(acc_i8 acc) { return acc.sum; }
static inline vi v_dot_i16(vi acc, vi a, vi b) { return _mm_add_epi32(acc, _mm_madd_epi16(a, b)); }

static inline vf vf_bits(vi a) { return _mm_castsi128_ps(a); }
static inline vi vf_to_bits(vf a) { return _mm_castps_si128(a); }
static inline float vf_sum(vf a)
{
    const vf pairs = _mm_add_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}
static inline vf vf_zero(void) { return _mm_setzero_ps(); }
static inline vf vf_set1(float v) { return _mm_set1_ps(v); }
static inline vf vf_load(const float *p) { return _mm_loadu_ps(p); }
static inline vf vf_load_i16(const int16_t *p)
{
    return _mm_cvtepi32_ps(_mm_cvtepi16_epi32(_mm_loadl_epi64((const void *)p)));
}
static inline vf vf_muladd(vf a, vf b, vf c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline void vf_store(float *p, vf v) { _mm_storeu_ps(p, v); }
static inline vf vf_add(vf a, vf b) { return _mm_add_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm_add_ps(_mm_mul_ps(a, b), c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm_sub_ps(c, _mm_mul_ps(a, b)); }

static inline vd vd_bits(vi a) { return _mm_castsi128_pd(a); }
static inline vi vd_to_bits(vd a) { return _mm_castpd_si128(a); }
static inline double vd_sum(vd a) { return _mm_cvtsd_f64(_mm_add_sd(a, _mm_unpackhi_pd(a, a))); }
static inline vd vd_zero(void) { return _mm_setzero_pd(); }
static inline vd vd_set1(double v) { return _mm_set1_pd(v); }
static inline vd vd_load(const double *p) { return _mm_loadu_pd(p); }
static inline vd vd_muladd(vd a, vd b, vd c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
static inline void vd_store(double *p, vd v) { _mm_storeu_pd(p, v); }
static inline vd vd_add(vd a, vd b) { return _mm_add_pd(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return _mm_add_pd(_mm_mul_pd(a, b), c); }
static inline vd vd_fnma(vd a, vd b, vd c) { return _mm_sub_pd(c, _mm_mul_pd(a, b)); }
