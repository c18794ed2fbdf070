/* The vector vocabulary of the kernels, 16 bytes wide: NEON of AArch64. */
#include <arm_neon.h>
#include <string.h>

#define VBYTES 16
#define HALP_REGISTERS 32
#define HALP_REGISTER "+w"
#define HALP_PREFETCH(p) __builtin_prefetch(p)
#define HALP_PREFETCH_L2(p) __builtin_prefetch(p, 0, 2)

typedef int8x16_t vi;
typedef float32x4_t vf;
typedef float64x2_t vd;

#define V16(v) vreinterpretq_s16_s8(v)
#define V32(v) vreinterpretq_s32_s8(v)
#define FROM16(v) vreinterpretq_s8_s16(v)
#define FROM32(v) vreinterpretq_s8_s32(v)

static inline vi v_load(const void *p) { return vld1q_s8(p); }
static inline void v_store(void *p, vi v) { vst1q_s8(p, v); }
static inline vi v_zero(void) { return vdupq_n_s8(0); }
static inline vi v_set1_i16(int16_t v) { return FROM16(vdupq_n_s16(v)); }
static inline vi v_set1_i32(int32_t v) { return FROM32(vdupq_n_s32(v)); }
static inline vi v_load_widen_i8(const int8_t *p) { return FROM16(vmovl_s8(vld1_s8(p))); }
static inline vi v_xor(vi a, vi b) { return veorq_s8(a, b); }
static inline vi v_and(vi a, vi b) { return vandq_s8(a, b); }

/* int8 elements as 16-bit lanes scaled by 256: the even ones, the odd ones. */
static inline vi v_even_i8(vi x) { return FROM16(vshlq_n_s16(V16(x), 8)); }
static inline vi v_odd_i8(vi x) { return FROM16(vandq_s16(V16(x), vdupq_n_s16(-256))); }
static inline vi v_merge_i8(vi even, vi odd)
{
    return vbslq_s8(vreinterpretq_u8_s16(vdupq_n_s16(-256)), odd, even);
}

static inline vi v_mulhrs_i16(vi a, vi b) { return FROM16(vqrdmulhq_s16(V16(a), V16(b))); }
static inline vi v_add_i16(vi a, vi b) { return FROM16(vaddq_s16(V16(a), V16(b))); }
static inline vi v_subs_i16(vi a, vi b) { return FROM16(vqsubq_s16(V16(a), V16(b))); }
static inline vi v_max_i16(vi a, vi b) { return FROM16(vmaxq_s16(V16(a), V16(b))); }
static inline vi v_sra_i16(vi a, int n)
{
    return FROM16(vshlq_s16(V16(a), vdupq_n_s16((int16_t)-n)));
}
static inline vi v_subs_i8(vi a, vi b) { return vqsubq_s8(a, b); }
static inline vi v_min_i8(vi a, vi b) { return vminq_s8(a, b); }
static inline vi v_max_i8(vi a, vi b) { return vmaxq_s8(a, b); }
static inline vi v_set1_i8(int8_t v) { return vdupq_n_s8(v); }

/* int16 pairs: a_j u + b_j v in 32-bit lanes, for the low and the high four of each eight; uv holds
 * u and v side by side. */
static inline vi v_pairs_low_i16(vi a, vi b, vi uv)
{
    const int16x4_t u_v = vget_low_s16(V16(uv));
    const int32x4_t product = vmull_lane_s16(vget_low_s16(V16(a)), u_v, 0);
    return FROM32(vmlal_lane_s16(product, vget_low_s16(V16(b)), u_v, 1));
}
static inline vi v_pairs_high_i16(vi a, vi b, vi uv)
{
    const int16x4_t u_v = vget_low_s16(V16(uv));
    const int32x4_t product = vmull_lane_s16(vget_high_s16(V16(a)), u_v, 0);
    return FROM32(vmlal_lane_s16(product, vget_high_s16(V16(b)), u_v, 1));
}
/* The columns of zipped halves, in their order. */
static inline vi v_first_i16(vi low, vi high) { return (void)high, low; }
static inline vi v_second_i16(vi low, vi high) { return (void)low, high; }
static inline vi v_packs_i32(vi low, vi high)
{
    return FROM16(vcombine_s16(vqmovn_s32(V32(low)), vqmovn_s32(V32(high))));
}

/* Interleaved elements of two vectors, and the inverse with saturation. */
static inline vi v_zip_low_i8(vi a, vi b) { return vzip1q_s8(a, b); }
static inline vi v_zip_high_i8(vi a, vi b) { return vzip2q_s8(a, b); }
static inline vi v_zip_low_i16(vi a, vi b) { return FROM16(vzip1q_s16(V16(a), V16(b))); }
static inline vi v_zip_high_i16(vi a, vi b) { return FROM16(vzip2q_s16(V16(a), V16(b))); }
static inline vi v_packs_i16(vi low, vi high)
{
    return vcombine_s8(vqmovn_s16(V16(low)), vqmovn_s16(V16(high)));
}
/* Sums of pairs of products of int8, in 16-bit lanes: x enters as x + HALP_BIAS_I8. */
#define HALP_BIAS_I8 0
static inline vi v_bias_i8(vi x) { return x; }
static inline vi v_pairs_i8(vi x, vi k)
{
    const int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(k));
    return FROM16(vpaddq_s16(low, vmull_high_s8(x, k)));
}

static inline vi v_madd_i16(vi a, vi b)
{
    const int32x4_t low = vmull_s16(vget_low_s16(V16(a)), vget_low_s16(V16(b)));
    return FROM32(vpaddq_s32(low, vmull_high_s16(V16(a), V16(b))));
}
static inline vi v_add_i32(vi a, vi b) { return FROM32(vaddq_s32(V32(a), V32(b))); }
/* The low 16 bits of each 32-bit lane, unsigned. */
static inline vi v_low_i32(vi a) { return vandq_s8(a, FROM32(vdupq_n_s32(0xffff))); }
static inline int32_t v_hsum_i32(vi a) { return vaddvq_s32(V32(a)); }
static inline vi v_sra_i32(vi a, int n) { return FROM32(vshlq_s32(V32(a), vdupq_n_s32(-n))); }

/* Four products of int8 summed in each 32-bit lane. */
#define HALP_ANY_I8 0 /* exact also for y = -128 */
typedef struct {
    vi x;
} x_i8;
typedef struct {
    vi sum;
} acc_i8;
static inline x_i8 v_prepare_i8(vi x) { return (x_i8){x}; }
static inline vi v_part_i8(vi sum, x_i8 x, vi y)
{
    const int16x8_t low = vmull_s8(vget_low_s8(x.x), vget_low_s8(y));
    return FROM32(vpadalq_s16(V32(sum), vmlal_high_s8(low, x.x, y)));
}
static inline vi v_excess_i8(vi excess, vi y) { return (void)y, excess; }
static inline acc_i8 v_dot_i8(acc_i8 acc, x_i8 x, vi y)
{
    return (acc_i8){v_part_i8(acc.sum, x, y)};
}
static inline vi v_total_i8(acc_i8 acc) { return acc.sum; }
static inline vi v_dot_i16(vi acc, vi a, vi b)
{
    const int32x4_t low = vmlal_s16(V32(acc), vget_low_s16(V16(a)), vget_low_s16(V16(b)));
    return FROM32(vmlal_high_s16(low, V16(a), V16(b)));
}

static inline vf vf_bits(vi a) { return vreinterpretq_f32_s8(a); }
static inline vi vf_to_bits(vf a) { return vreinterpretq_s8_f32(a); }
static inline float vf_sum(vf a) { return vaddvq_f32(a); }
static inline vf vf_zero(void) { return vdupq_n_f32(0); }
static inline vf vf_set1(float v) { return vdupq_n_f32(v); }
static inline vf vf_load(const float *p) { return vld1q_f32(p); }
static inline vf vf_load_i16(const int16_t *p) { return vcvtq_f32_s32(vmovl_s16(vld1_s16(p))); }
static inline vf vf_muladd(vf a, vf b, vf c) { return vaddq_f32(vmulq_f32(a, b), c); }
static inline void vf_store(float *p, vf v) { vst1q_f32(p, v); }
static inline vf vf_add(vf a, vf b) { return vaddq_f32(a, b); }
static inline vf vf_fma(vf a, vf b, vf c) { return vfmaq_f32(c, a, b); }
static inline vf vf_fnma(vf a, vf b, vf c) { return vfmsq_f32(c, a, b); }

static inline vd vd_bits(vi a) { return vreinterpretq_f64_s8(a); }
static inline vi vd_to_bits(vd a) { return vreinterpretq_s8_f64(a); }
static inline double vd_sum(vd a) { return vaddvq_f64(a); }
static inline vd vd_zero(void) { return vdupq_n_f64(0); }
static inline vd vd_set1(double v) { return vdupq_n_f64(v); }
static inline vd vd_load(const double *p) { return vld1q_f64(p); }
static inline vd vd_muladd(vd a, vd b, vd c) { return vaddq_f64(vmulq_f64(a, b), c); }
static inline void vd_store(double *p, vd v) { vst1q_f64(p, v); }
static inline vd vd_add(vd a, vd b) { return vaddq_f64(a, b); }
static inline vd vd_fma(vd a, vd b, vd c) { return vfmaq_f64(c, a, b); }
static inline vd vd_fnma(vd a, vd b, vd c) { return vfmsq_f64(c, a, b); }
