/* Template: the parts of a full-gradient pass. The variants named _repro, and those on integer
 * data, multiply and add separately and in one order, so that every backend gives the same bits. */
#include "vector.h"

typedef float f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double f64x4 __attribute__((vector_size(32), aligned(8), may_alias));

/* 128 bytes' worth of partial sums, folded in halves; the compiler maps the 32-byte vectors to
 * whatever registers there are. */
#define DEFINE_GEMV_REPRO(type, scalar, vec, lanes)                                                \
    HALP_INLINE void repro_rows_##type(size_t n, const scalar *x, const scalar *w, size_t ld,      \
                                       const int rows, scalar *out)                                \
    {                                                                                              \
        enum { all = 4 * (lanes) };                                                                \
        vec acc[2][4] = {0};                                                                       \
        size_t j = 0;                                                                              \
        for (; j + all <= n; j += all)                                                             \
            for (int k = 0; k < 4; k++) {                                                          \
                const vec x_j = *(const vec *)(x + j + k * (lanes));                               \
                for (int r = 0; r < rows; r++)                                                     \
                    acc[r][k] += x_j * *(const vec *)(w + r * ld + j + k * (lanes));               \
            }                                                                                      \
        for (int r = 0; r < rows; r++) {                                                           \
            scalar partial[all];                                                                   \
            memcpy(partial, acc[r], sizeof partial);                                               \
            for (size_t i = j; i < n; i++) partial[i - j] += x[i] * w[r * ld + i];                 \
            for (int half = all / 2; half > 0; half /= 2)                                          \
                for (int l = 0; l < half; l++) partial[l] += partial[l + half];                    \
            out[r] = partial[0];                                                                   \
        }                                                                                          \
    }                                                                                              \
    static void HALP_NAME(halp_gemv_##type##_repro)(size_t n, const scalar *x, const scalar *w,    \
                                                    size_t ld, size_t count, scalar *out)          \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; r + 2 <= count; r += 2) repro_rows_##type(n, x, w + r * ld, ld, 2, out + r);        \
        for (; r < count; r++) repro_rows_##type(n, x, w + r * ld, ld, 1, out + r);                \
    }

DEFINE_GEMV_REPRO(f32, float, f32x8, 8)
DEFINE_GEMV_REPRO(f64, double, f64x4, 4)

/* ---- accumulate ------------------------------------------------------------------------------*/

/* `ways` vectors of columns and `outputs` outputs at a time, over all rows of the block; then one
 * flush into g. */
#define DEFINE_ACCUMULATE(name, data, weight, vec, v, lanes, load, muladd)                         \
    HALP_INLINE void tile_##name(size_t rows, const data *x, size_t ldx, size_t count,             \
                                 const weight *b, double *g, size_t ldg, const int ways,           \
                                 const int outputs)                                                \
    {                                                                                              \
        vec acc[12];                                                                               \
        for (int a = 0; a < 12; a++) acc[a] = v##_zero();                                          \
        for (size_t i = 0; i < rows; i++, x += ldx, b += count)                                    \
            for (int k = 0; k < ways; k++) {                                                       \
                const vec x_k = load(x + k * (lanes));                                             \
                for (int r = 0; r < outputs; r++)                                                  \
                    acc[r * ways + k] = muladd(v##_set1(b[r]), x_k, acc[r * ways + k]);            \
            }                                                                                      \
        for (int r = 0; r < outputs; r++)                                                          \
            for (int k = 0; k < ways; k++) {                                                       \
                weight sum[lanes];                                                                 \
                v##_store(sum, acc[r * ways + k]);                                                 \
                for (int l = 0; l < (lanes); l++) g[r * ldg + k * (lanes) + l] += sum[l];          \
            }                                                                                      \
    }                                                                                              \
    HALP_INLINE void columns_##name(size_t rows, const data *x, size_t ldx, size_t count,          \
                                    const weight *b, double *g, size_t ldg, const int ways,        \
                                    const int outputs)                                             \
    {                                                                                              \
        size_t r = 0;                                                                              \
        for (; r + outputs <= count; r += outputs)                                                 \
            tile_##name(rows, x, ldx, count, b + r, g + r * ldg, ldg, ways, outputs);              \
        for (; r < count; r++) tile_##name(rows, x, ldx, count, b + r, g + r * ldg, ldg, ways, 1); \
    }                                                                                              \
    static void HALP_NAME(halp_accumulate_##name)(size_t rows, size_t n, const data *x,            \
                                                  size_t ldx, size_t count, const weight *b,       \
                                                  double *g, size_t ldg)                           \
    {                                                                                              \
        size_t j = 0;                                                                              \
        if (count == 1)                                                                            \
            for (; j + 8 * (lanes) <= n; j += 8 * (lanes))                                         \
                tile_##name(rows, x + j, ldx, 1, b, g + j, ldg, 8, 1);                             \
        for (; j + 4 * (lanes) <= n; j += 4 * (lanes))                                             \
            columns_##name(rows, x + j, ldx, count, b, g + j, ldg, 4, 3);                          \
        for (; j + (lanes) <= n; j += (lanes))                                                     \
            columns_##name(rows, x + j, ldx, count, b, g + j, ldg, 1, 5);                          \
        for (; j < n; j++)                                                                         \
            for (size_t r = 0; r < count; r++) {                                                   \
                weight sum = 0;                                                                    \
                for (size_t i = 0; i < rows; i++)                                                  \
                    sum += b[i * count + r] * (weight)x[i * ldx + j];                              \
                g[r * ldg + j] += sum;                                                             \
            }                                                                                      \
    }

DEFINE_ACCUMULATE(f64, double, double, vd, vd, V_F64, vd_load, vd_fma)
DEFINE_ACCUMULATE(f32, float, float, vf, vf, V_F32, vf_load, vf_fma)
DEFINE_ACCUMULATE(f64_repro, double, double, vd, vd, V_F64, vd_load, vd_muladd)
DEFINE_ACCUMULATE(f32_repro, float, float, vf, vf, V_F32, vf_load, vf_muladd)
DEFINE_ACCUMULATE(i16, int16_t, float, vf, vf, V_F32, vf_load_i16, vf_muladd)
DEFINE_ACCUMULATE(i8, int8_t, float, vf, vf, V_F32, vf_load_i8, vf_muladd)
