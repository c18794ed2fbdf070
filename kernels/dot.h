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

/* `rows` rows of w with `ways` accumulators each; n is at most one chunk. */
#define DEFINE_DOT_INT(type, data, model, x_vector, lanes, chunk)                                  \
    HALP_INLINE void rows_##type(size_t n, const data *x, const model *w, size_t ld,               \
                                 const int rows, const int ways, int more, int64_t *out)           \
    {                                                                                              \
        acc_##type acc[4];                                                                         \
        memset(acc, 0, sizeof acc);                                                                \
        size_t j = 0;                                                                              \
        for (; j + (size_t)ways * (lanes) <= n; j += (size_t)ways * (lanes))                       \
            for (int k = 0; k < ways; k++) {                                                       \
                const x_vector x_j = load_x_##type(x + j + k * (lanes));                           \
                for (int r = 0; r < rows; r++)                                                     \
                    acc[r * ways + k] =                                                            \
                        step_##type(acc[r * ways + k], x_j, v_load(w + r * ld + j + k * (lanes))); \
            }                                                                                      \
        for (; j + (lanes) <= n; j += (lanes)) {                                                   \
            const x_vector x_j = load_x_##type(x + j);                                             \
            for (int r = 0; r < rows; r++)                                                         \
                acc[r * ways] = step_##type(acc[r * ways], x_j, v_load(w + r * ld + j));           \
        }                                                                                          \
        if (j < n) {                                                                               \
            data tail[lanes] = {0};                                                                \
            memcpy(tail, x + j, (n - j) * sizeof *x);                                              \
            const x_vector x_j = load_x_##type(tail);                                              \
            for (int r = 0; r < rows; r++)                                                         \
                acc[r * ways] = step_##type(acc[r * ways], x_j,                                    \
                                            v_load_tail(w + r * ld + j, (n - j) * sizeof *w));     \
        }                                                                                          \
        for (int r = 0; r < rows; r++)                                                             \
            out[r] = (more ? out[r] : 0) + total_##type(acc + r * ways, ways);                     \
    }                                                                                              \
    static void HALP_NAME(halp_gemv_##type)(size_t n, const data *x, const model *w, size_t ld,    \
                                            size_t count, int64_t *out)                            \
    {                                                                                              \
        size_t j = 0;                                                                              \
        do {                                                                                       \
            const size_t m = n - j < (chunk) ? n - j : (chunk);                                    \
            const model *w_j = w + j;                                                              \
            size_t r = 0;                                                                          \
            for (; r + 4 <= count; r += 4)                                                         \
                rows_##type(m, x + j, w_j + r * ld, ld, 4, 1, j > 0, out + r);                     \
            for (; r + 2 <= count; r += 2)                                                         \
                rows_##type(m, x + j, w_j + r * ld, ld, 2, 2, j > 0, out + r);                     \
            for (; r < count; r++) rows_##type(m, x + j, w_j + r * ld, ld, 1, 4, j > 0, out + r);  \
            j += m;                                                                                \
        } while (j < n);                                                                           \
    }                                                                                              \
    static int64_t HALP_NAME(halp_dot_##type)(size_t n, const data *x, const model *y)             \
    {                                                                                              \
        int64_t total = 0;                                                                         \
        for (size_t j = 0; j < n; j += (chunk))                                                    \
            rows_##type(n - j < (chunk) ? n - j : (chunk), x + j, y + j, 0, 1, 4, 1, &total);      \
        return total;                                                                              \
    }

DEFINE_DOT_INT(i8, int8_t, int8_t, x_i8, V_I8, (size_t)65536)
DEFINE_DOT_INT(i8i16, int8_t, int16_t, vi, V_I16, (size_t)2048)
DEFINE_DOT_INT(i16, int16_t, int16_t, vi, V_I16, (size_t)65536)

/* Where dot_i8 is exact only as long as y has no -128, look for one on the way. */
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

#define DEFINE_DOT_FLOAT(type, scalar, vec, v, lanes)                                              \
    HALP_INLINE void rows_##type(size_t n, const scalar *x, const scalar *w, size_t ld,            \
                                 const int rows, const int ways, scalar *out)                      \
    {                                                                                              \
        vec acc[8];                                                                                \
        for (int a = 0; a < 8; a++) acc[a] = v##_zero();                                           \
        size_t j = 0;                                                                              \
        for (; j + (size_t)ways * (lanes) <= n; j += (size_t)ways * (lanes))                       \
            for (int k = 0; k < ways; k++) {                                                       \
                const vec x_j = v##_load(x + j + k * (lanes));                                     \
                for (int r = 0; r < rows; r++)                                                     \
                    acc[r * ways + k] =                                                            \
                        v##_fma(x_j, v##_load(w + r * ld + j + k * (lanes)), acc[r * ways + k]);   \
            }                                                                                      \
        for (; j + (lanes) <= n; j += (lanes))                                                     \
            for (int r = 0; r < rows; r++)                                                         \
                acc[r * ways] = v##_fma(v##_load(x + j), v##_load(w + r * ld + j), acc[r * ways]); \
        for (int r = 0; r < rows; r++) {                                                           \
            for (int k = 1; k < ways; k++)                                                         \
                acc[r * ways] = v##_add(acc[r * ways], acc[r * ways + k]);                         \
            scalar partial[lanes], total = 0;                                                      \
            v##_store(partial, acc[r * ways]);                                                     \
            for (int l = 0; l < (lanes); l++) total += partial[l];                                 \
            for (size_t i = j; i < n; i++) total += x[i] * w[r * ld + i];                          \
            out[r] = total;                                                                        \
        }                                                                                          \
    }                                                                                              \
    static void HALP_NAME(halp_gemv_##type)(size_t n, const scalar *x, const scalar *w, size_t ld, \
                                            size_t count, scalar *out)                             \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; r + 4 <= count; r += 4) rows_##type(n, x, w + r * ld, ld, 4, 2, out + r);           \
        for (; r + 2 <= count; r += 2) rows_##type(n, x, w + r * ld, ld, 2, 4, out + r);           \
        for (; r < count; r++) rows_##type(n, x, w + r * ld, ld, 1, 8, out + r);                   \
    }                                                                                              \
    static scalar HALP_NAME(halp_dot_##type)(size_t n, const scalar *x, const scalar *y)           \
    {                                                                                              \
        scalar out;                                                                                \
        rows_##type(n, x, y, 0, 1, 8, &out);                                                       \
        return out;                                                                                \
    }

DEFINE_DOT_FLOAT(f32, float, vf, vf, V_F32)
DEFINE_DOT_FLOAT(f64, double, vd, vd, V_F64)
