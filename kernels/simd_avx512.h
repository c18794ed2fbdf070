/* The vector vocabulary of the kernels, 64 bytes wide: AVX-512 F and BW. */
#include "simd_x86.h"

#define VBYTES 64
#define HALP_REGISTERS 32
#define HALP_REGISTER "+v"

typedef __m512i vi;
typedef __m512 vf;
typedef __m512d vd;

static inline vi v_load(const void *p) { return _mm512_loadu_si512(p); }
static inline void v_store(void *p, vi v) { _mm512_storeu_si512(p, v); }
static inline vi v_zero(void) { return _mm512_setzero_si512(); }
static inline vi v_set1_i16(int16_t v) { return _mm512_set1_epi16(v); }
static inline vi v_set1_i32(int32_t v) { return _mm512_set1_epi32(v); }
static inline vi v_load_widen_i8(const int8_t *p)
{
    return _mm512_cvtepi8_epi16(_mm256_loadu_si256((const void *)p));
}
static inline vi v_xor(vi a, vi b) { return _mm512_xor_si512(a, b); }
static inline vi v_and(vi a, vi b) { return _mm512_and_si512(a, b); }

/* int8 elements as 16-bit lanes scaled by 256: the even ones, the odd ones. */
static inline vi v_even_i8(vi x) { return _mm512_slli_epi16(x, 8); }
static inline vi v_odd_i8(vi x) { return _mm512_and_si512(x, _mm512_set1_epi16(-256)); }
static inline vi v_merge_i8(vi even, vi odd)
{
    return _mm512_mask_blend_epi8(0xaaaaaaaaaaaaaaaau, even, odd);
}

static inline vi v_mulhrs_i16(vi a, vi b) { return _mm512_mulhrs_epi16(a, b); }
static inline vi v_add_i16(vi a, vi b) { return _mm512_add_epi16(a, b); }
static inline vi v_subs_i16(vi a, vi b) { return _mm512_subs_epi16(a, b); }
static inline vi v_max_i16(vi a, vi b) { return _mm512_max_epi16(a, b); }
static inline vi v_sra_i16(vi a, int n) { return _mm512_sra_epi16(a, _mm_cvtsi32_si128(n)); }
static inline vi v_subs_i8(vi a, vi b) { return _mm512_subs_epi8(a, b); }
static inline vi v_min_i8(vi a, vi b) { return _mm512_min_epi8(a, b); }
static inline vi v_max_i8(vi a, vi b) { return _mm512_max_epi8(a, b); }
static inline vi v_set1_i8(int8_t v) { return _mm512_set1_epi8(v); }

/* int16 pairs: a_j u + b_j v in 32-bit lanes, for the low and the high four of each eight; uv holds
 * u and v side by side. */
static inline vi v_pairs_low_i16(vi a, vi b, vi uv)
{
    return _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), uv);
}
static inline vi v_pairs_high_i16(vi a, vi b, vi uv)
{
    return _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), uv);
}
/* The columns of zipped halves, in their order. */
static inline vi v_first_i16(vi low, vi high)
{
    const vi order = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
    return _mm512_permutex2var_epi64(low, order, high);
}
static inline vi v_second_i16(vi low, vi high)
{
    const vi order = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
    return _mm512_permutex2var_epi64(low, order, high);
}
static inline vi v_packs_i32(vi low, vi high) { return _mm512_packs_epi32(low, high); }

/* Interleaved elements of two vectors, and the inverse with saturation, within 128 bits. */
static inline vi v_zip_low_i8(vi a, vi b) { return _mm512_unpacklo_epi8(a, b); }
static inline vi v_zip_high_i8(vi a, vi b) { return _mm512_unpackhi_epi8(a, b); }
static inline vi v_zip_low_i16(vi a, vi b) { return _mm512_unpacklo_epi16(a, b); }
static inline vi v_zip_high_i16(vi a, vi b) { return _mm512_unpackhi_epi16(a, b); }
static inline vi v_packs_i16(vi low, vi high) { return _mm512_packs_epi16(low, high); }
/* Sums of pairs of products of int8, in 16-bit lanes: x enters as x + HALP_BIAS_I8. */
#define HALP_BIAS_I8 128
static inline vi v_bias_i8(vi x) { return v_xor(x, _mm512_set1_epi8(-128)); }
static inline vi v_pairs_i8(vi x, vi k) { return _mm512_maddubs_epi16(x, k); }
static inline vi v_madd_i16(vi a, vi b) { return _mm512_madd_epi16(a, b); }
static inline vi v_add_i32(vi a, vi b) { return _mm512_add_epi32(a, b); }
/* The low 16 bits of each 32-bit lane, unsigned. */
static inline vi v_low_i32(vi a) { return _mm512_and_si512(a, _mm512_set1_epi32(0xffff)); }
static inline int32_t v_hsum_i32(vi a) { return _mm512_reduce_add_epi32(a); }
static inline vi v_sra_i32(vi a, int n) { return _mm512_sra_epi32(a, _mm_cvtsi32_si128(n)); }

static inline vf vf_bits(vi a) { return _mm512_castsi512_ps(a); }
static inline vi vf_to_bits(vf a) { return _mm512_castps_si512(a); }
static inline float vf_sum(vf a)
{
    const __m256 high = _mm256_castsi256_ps(_mm512_extracti64x4_epi64(_mm512_castps_si512(a), 1));
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 pairs = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}
static inline vf vf_zero(void) { return _mm512_setzero_ps(); }
static inline vf vf_set1(float v) { return _mm512_set1_ps(v); }
static inline vf vf_load(const float *p) { return _mm512_loadu_ps(p); }
static inline vf vf_load_i16(const int16_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const void *)p)));
}
static inline vf vf_muladd(vf a, vf b, vf c) { return _mm512_add_ps(_mm512_mul_ps(a, b), c); }
static inline void vf_store(float *p, vf v) { _mm512_storeu_ps(p, v); }
static inline vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
static inline vf vf_fnma(vf a, vf b, vf c) { return _mm512_fnmadd_ps(a, b, c); }

static inline vd vd_bits(vi a) { return _mm512_castsi512_pd(a); }
static inline vi vd_to_bits(vd a) { return _mm512_castpd_si512(a); }
static inline double vd_sum(vd a)
{
    const __m256d high = _mm256_castsi256_pd(_mm512_extracti64x4_epi64(_mm512_castpd_si512(a), 1));
    const __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(a), high);
    const __m128d half = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(half, _mm_unpackhi_pd(half, half)));
}
static inline vd vd_zero(void) { return _mm512_setzero_pd(); }
static inline vd vd_set1(double v) { return _mm512_set1_pd(v); }
static inline vd vd_load(const double *p) { return _mm512_loadu_pd(p); }
static inline vd vd_muladd(vd a, vd b, vd c) { return _mm512_add_pd(_mm512_mul_pd(a, b), c); }
static inline void vd_store(double *p, vd v) { _mm512_storeu_pd(p, v); }
static inline vd vd_add(vd a, vd b) { return _mm512_add_pd(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return _mm512_fmadd_pd(a, b, c); }
static inline vd vd_fnma(vd a, vd b, vd c) { return _mm512_fnmadd_pd(a, b, c); }
