/* Template: dot and gemv. Rows of w are taken four at a time, to share the loads of x; a lone row
 * gets four accumulators of its own, to hide the latency of the additions. */
#include "vector.h"

/* ---- Integers: 32-bit lanes that are emptied before they can overflow ------------------------*/

/* Sum of the lanes, also where it does not fit 32 bits. */
HALP_INLINE int64_t v_sum_i32(vi v)
{
    const vi high = v_sra_i32(v, 16);
    return (int64_t)v_hsum_i32(high) * 65536 + v_hsum_i32(v_low_i32(v));
}

HALP_INLINE x_i8 load_x_i8(const int8_t *x) { return v_prepare_i8(v_load(x)); }
HALP_INLINE acc_i8 step_i8(acc_i8 acc, x_i8 x, vi w) { return v_dot_i8(acc, x, w); }
HALP_INLINE int64_t total_i8(const acc_i8 *acc, const int ways)
{
    vi sum = v_total_i8(acc[0]);
    for (int k = 1; k < ways; k++) sum = v_add_i32(sum, v_total_i8(acc[k]));
    return v_hsum_i32(sum);
}

typedef struct {
    vi sum;
} acc_i8i16;
HALP_INLINE vi load_x_i8i16(const int8_t *x) { return v_load_widen_i8(x); }
HALP_INLINE acc_i8i16 step_i8i16(acc_i8i16 acc, vi x, vi w)
{
    return (acc_i8i16){v_dot_i16(acc.sum, x, w)};
}
HALP_INLINE int64_t total_i8i16(const acc_i8i16 *acc, const int ways)
{
    vi sum = acc[0].sum;
    for (int k = 1; k < ways; k++) sum = v_add_i32(sum, acc[k].sum);
    return v_sum_i32(sum);
}

/* Sums of pairs of int16 products fill 32 bits at once. `low` adds them modulo 2^32, `high` adds
 * their upper halves; together they give the exact sum of up to 2^16 of them. */
typedef struct {
    vi low, high;
} acc_i16;
HALP_INLINE vi load_x_i16(const int16_t *x) { return v_load(x); }
HALP_INLINE acc_i16 step_i16(acc_i16 acc, vi x, vi w)
{
    const vi pairs = v_madd_i16(x, w);
    return (acc_i16){v_add_i32(acc.low, pairs), v_add_i32(acc.high, v_sra_i32(pairs, 16))};
}
HALP_INLINE int64_t total_i16(const acc_i16 *acc, const int ways)
{
    acc_i16 sum = acc[0];
    for (int k = 1; k < ways; k++)
        sum = (acc_i16){v_add_i32(sum.low, acc[k].low), v_add_i32(sum.high, acc[k].high)};
    uint32_t low[VBYTES / 4], high[VBYTES / 4];
    v_store(low, sum.low);
    v_store(high, sum.high);
    int64_t total = 0;
    for (int l = 0; l < VBYTES / 4; l++)
        total += (int64_t)(int32_t)high[l] * 65536 + (uint32_t)(low[l] - (high[l] << 16));
    return total;
}

#define FORMAT(op) op##_i8
#define DATA int8_t
#define MODEL int8_t
#define X x_i8
#define LANES V_I8
#define CHUNK 65536
#include "dot_int.h"

#define FORMAT(op) op##_i8i16
#define DATA int8_t
#define MODEL int16_t
#define X vi
#define LANES V_I16
#define CHUNK 2048
#include "dot_int.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define MODEL int16_t
#define X vi
#define LANES V_I16
#define CHUNK 65536
#include "dot_int.h"

/* Look for a -128 in y on the way, where dot_i8 is exact only without one. */
static int64_t HALP_NAME(halp_dot_i8_any)(size_t n, const int8_t *x, const int8_t *y)
{
    if (HALP_ANY_I8) return HALP_NAME(halp_dot_i8)(n, x, y);
    enum { ways = 4 };
    const size_t all = n;
    int64_t total = 0;
    vi low = v_zero();
    while (n > 0) {
        const size_t chunk = n < 65536 ? n : 65536;
        acc_i8 acc[ways];
        memset(acc, 0, sizeof acc);
        size_t j = 0;
        for (; j + ways * V_I8 <= chunk; j += ways * V_I8)
            for (int k = 0; k < ways; k++) {
                const vi y_j = v_opaque(v_load(y + j + k * V_I8)); /* one load for both uses */
                low = v_min_i8(low, y_j);
                acc[k] = step_i8(acc[k], load_x_i8(x + j + k * V_I8), y_j);
            }
        for (; j < chunk; j += V_I8) {
            const size_t m = chunk - j < V_I8 ? chunk - j : V_I8;
            const vi x_j = m < V_I8 ? v_load_tail(x + j, m) : v_load(x + j);
            const vi y_j = m < V_I8 ? v_load_tail(y + j, m) : v_load(y + j);
            low = v_min_i8(low, y_j);
            acc[0] = step_i8(acc[0], v_prepare_i8(x_j), y_j);
        }
        total += total_i8(acc, ways);
        x += chunk;
        y += chunk;
        n -= chunk;
    }
    int8_t lanes[V_I8];
    v_store(lanes, low);
    for (int l = 0; l < V_I8; l++)
        if (lanes[l] == -128) return halp_dot_i8_any_scalar(all, x - all, y - all);
    return total;
}

/* ---- Floats ----------------------------------------------------------------------------------*/

#define FORMAT(op) op##_f32
#define REAL float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#include "dot_float.h"

#define FORMAT(op) op##_f64
#define REAL double
#define LANES V_F64
#define VEC vd
#define V(op) vd_##op
#include "dot_float.h"
