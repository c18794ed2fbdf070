/* Template: the parts of a full-gradient pass. The variants named _repro, and those on integer
 * data, multiply and add separately and in an order of their own, so that every backend gives the
 * same bits; the compiler maps their 32-byte vectors to whatever registers there are. */
#include "vector.h"

typedef float f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double f64x4 __attribute__((vector_size(32), aligned(8), may_alias));

/* 128 bytes' worth of partial sums, folded in halves. */
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

typedef double f64x8 __attribute__((vector_size(64), aligned(8), may_alias));
typedef int8_t i8x8 __attribute__((vector_size(8), aligned(1), may_alias));
typedef int16_t i16x8 __attribute__((vector_size(16), aligned(2), may_alias));
typedef int32_t i32x8 __attribute__((vector_size(32), aligned(4), may_alias));

#define LOAD_F32(x) (*(const f32x8 *)(x))
#define LOAD_F64(x) (*(const f64x4 *)(x))
#define LOAD_I16(x)                                                                                \
    __builtin_convertvector(__builtin_convertvector(*(const i16x8 *)(x), i32x8), f32x8)
#define LOAD_I8(x)                                                                                 \
    __builtin_convertvector(__builtin_convertvector(*(const i8x8 *)(x), i32x8), f32x8)

/* Four vectors of columns at a time, over all rows of the block; then one flush into g. */
#define DEFINE_ACCUMULATE(name, data, weight, vec, lanes, load, wide)                              \
    HALP_INLINE void columns_##name(size_t rows, const data *x, size_t ldx, size_t count,          \
                                    const weight *b, double *g, const int ways)                    \
    {                                                                                              \
        vec acc[4] = {0};                                                                          \
        for (size_t i = 0; i < rows; i++)                                                          \
            for (int k = 0; k < ways; k++)                                                         \
                acc[k] += b[i * count] * load(x + i * ldx + k * (lanes));                          \
        for (int k = 0; k < ways; k++)                                                             \
            *(wide *)(g + k * (lanes)) += __builtin_convertvector(acc[k], wide);                   \
    }                                                                                              \
    static void HALP_NAME(halp_accumulate_##name)(size_t rows, size_t n, const data *x,            \
                                                  size_t ldx, size_t count, const weight *b,       \
                                                  double *g, size_t ldg)                           \
    {                                                                                              \
        size_t j = 0;                                                                              \
        for (; j + 4 * (lanes) <= n; j += 4 * (lanes))                                             \
            for (size_t r = 0; r < count; r++)                                                     \
                columns_##name(rows, x + j, ldx, count, b + r, g + r * ldg + j, 4);                \
        for (; j + (lanes) <= n; j += (lanes))                                                     \
            for (size_t r = 0; r < count; r++)                                                     \
                columns_##name(rows, x + j, ldx, count, b + r, g + r * ldg + j, 1);                \
        for (; j < n; j++)                                                                         \
            for (size_t r = 0; r < count; r++) {                                                   \
                weight sum = 0;                                                                    \
                for (size_t i = 0; i < rows; i++)                                                  \
                    sum += b[i * count + r] * (weight)x[i * ldx + j];                              \
                g[r * ldg + j] += sum;                                                             \
            }                                                                                      \
    }

DEFINE_ACCUMULATE(f64_repro, double, double, f64x4, 4, LOAD_F64, f64x4)
DEFINE_ACCUMULATE(f32_repro, float, float, f32x8, 8, LOAD_F32, f64x8)
DEFINE_ACCUMULATE(i16, int16_t, float, f32x8, 8, LOAD_I16, f64x8)
DEFINE_ACCUMULATE(i8, int8_t, float, f32x8, 8, LOAD_I8, f64x8)

/* The floating-point baselines take fused multiply-adds where there are any. */
#define DEFINE_ACCUMULATE_FUSED(type, scalar, vec, v, lanes)                                       \
    HALP_INLINE void fused_columns_##type(size_t rows, const scalar *x, size_t ldx, size_t count,  \
                                          const scalar *b, double *g, const int ways)              \
    {                                                                                              \
        vec acc[4];                                                                                \
        for (int k = 0; k < ways; k++) acc[k] = v##_zero();                                        \
        for (size_t i = 0; i < rows; i++)                                                          \
            for (int k = 0; k < ways; k++)                                                         \
                acc[k] =                                                                           \
                    v##_fma(v##_set1(b[i * count]), v##_load(x + i * ldx + k * (lanes)), acc[k]);  \
        for (int k = 0; k < ways; k++) {                                                           \
            scalar sum[lanes];                                                                     \
            v##_store(sum, acc[k]);                                                                \
            for (int l = 0; l < (lanes); l++) g[k * (lanes) + l] += sum[l];                        \
        }                                                                                          \
    }                                                                                              \
    static void HALP_NAME(halp_accumulate_##type)(size_t rows, size_t n, const scalar *x,          \
                                                  size_t ldx, size_t count, const scalar *b,       \
                                                  double *g, size_t ldg)                           \
    {                                                                                              \
        size_t j = 0;                                                                              \
        for (; j + 4 * (lanes) <= n; j += 4 * (lanes))                                             \
            for (size_t r = 0; r < count; r++)                                                     \
                fused_columns_##type(rows, x + j, ldx, count, b + r, g + r * ldg + j, 4);          \
        for (; j + (lanes) <= n; j += (lanes))                                                     \
            for (size_t r = 0; r < count; r++)                                                     \
                fused_columns_##type(rows, x + j, ldx, count, b + r, g + r * ldg + j, 1);          \
        for (; j < n; j++)                                                                         \
            for (size_t r = 0; r < count; r++) {                                                   \
                scalar sum = 0;                                                                    \
                for (size_t i = 0; i < rows; i++) sum += b[i * count + r] * x[i * ldx + j];        \
                g[r * ldg + j] += sum;                                                             \
            }                                                                                      \
    }

DEFINE_ACCUMULATE_FUSED(f64, double, vd, vd, V_F64)
DEFINE_ACCUMULATE_FUSED(f32, float, vf, vf, V_F32)
