/* Template: the parts of a full-gradient pass. The variants named _repro, and those on integer
 * data, multiply and add separately and in one order, so that every backend gives the same bits. */
#include "vector.h"

typedef float f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double f64x4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef int32_t i32x4 __attribute__((vector_size(16), may_alias));

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

/* Fetch the share of the next block that goes with the bytes `from` to `to` of this one. */
HALP_INLINE void prefetch_share(const void *next, size_t from, size_t to)
{
    if (next)
        for (size_t line = from / 64 * 64; line < to; line += 64)
            HALP_PREFETCH_L2((const char *)next + line);
}

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
                                                  double *g, size_t ldg, const void *next)         \
    {                                                                                              \
        size_t j = 0;                                                                              \
        if (count == 1)                                                                            \
            for (; j + 8 * (lanes) <= n; j += 8 * (lanes)) {                                       \
                tile_##name(rows, x + j, ldx, 1, b, g + j, ldg, 8, 1);                             \
                prefetch_share(next, j *rows * sizeof *x, (j + 8 * (lanes)) * rows * sizeof *x);   \
            }                                                                                      \
        for (; j + 4 * (lanes) <= n; j += 4 * (lanes)) {                                           \
            columns_##name(rows, x + j, ldx, count, b, g + j, ldg, 4, 3);                          \
            prefetch_share(next, j *rows * sizeof *x, (j + 4 * (lanes)) * rows * sizeof *x);       \
        }                                                                                          \
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

/* int8: exact sums of integers, two rows at a time. V_I16 columns and `outputs` outputs at once. */
HALP_INLINE void tile_i8(size_t rows, const int8_t *x, size_t ldx, size_t count, const double *unit,
                         const int32_t *parts, double *g, size_t ldg, const int outputs)
{
    enum { LOW = 0, HIGH = 1 }; /* which four of each eight columns, see v_pairs_low_i16 */
    vi coarse[3][2], fine[3][2];
    for (int r = 0; r < outputs; r++)
        for (int half = LOW; half <= HIGH; half++) coarse[r][half] = fine[r][half] = v_zero();
    for (size_t i = 0; i < rows; i += 2, x += 2 * ldx, parts += 2 * count) {
        /* The partner of a last odd row has zero weight: any row will do. */
        const vi x_0 = v_load_widen_i8(x), x_1 = v_load_widen_i8(x + (i + 1 < rows ? ldx : 0));
        for (int r = 0; r < outputs; r++) {
            const vi b_coarse = v_set1_i32(parts[2 * r]), b_fine = v_set1_i32(parts[2 * r + 1]);
            coarse[r][LOW] = v_add_i32(coarse[r][LOW], v_pairs_low_i16(x_0, x_1, b_coarse));
            coarse[r][HIGH] = v_add_i32(coarse[r][HIGH], v_pairs_high_i16(x_0, x_1, b_coarse));
            fine[r][LOW] = v_add_i32(fine[r][LOW], v_pairs_low_i16(x_0, x_1, b_fine));
            fine[r][HIGH] = v_add_i32(fine[r][HIGH], v_pairs_high_i16(x_0, x_1, b_fine));
        }
    }
    for (int r = 0; r < outputs; r++)
        for (int half = LOW; half <= HIGH; half++) {
            i32x4 high[VBYTES / 16], low[VBYTES / 16];
            v_store(high, coarse[r][half]);
            v_store(low, fine[r][half]);
            for (int l = 0; l < VBYTES / 16; l++)
                *(f64x4 *)(g + r * ldg + 8 * l + 4 * half) +=
                    unit[r] * (16384.0 * __builtin_convertvector(high[l], f64x4) +
                               __builtin_convertvector(low[l], f64x4));
        }
}

/* Fewer than V_I16 columns. */
HALP_COLD void column_tail_i8(size_t rows, size_t n, const int8_t *x, size_t ldx, size_t count,
                              const double *unit, const int32_t *parts, double *g, size_t ldg)
{
    int8_t whole[HALP_MOST_ROWS * V_I16] = {0};
    double sums[V_I16];
    for (size_t i = 0; i < rows; i++) memcpy(whole + i * V_I16, x + i * ldx, n);
    for (size_t r = 0; r < count; r++) {
        memset(sums, 0, sizeof sums);
        memcpy(sums, g + r * ldg, n * sizeof *g);
        tile_i8(rows, whole, V_I16, count, unit + r, parts + 2 * r, sums, 0, 1);
        memcpy(g + r * ldg, sums, n * sizeof *g);
    }
}

static void HALP_NAME(halp_accumulate_i8)(size_t rows, size_t n, const int8_t *x, size_t ldx,
                                          size_t count, const double *b, double *g, size_t ldg,
                                          const void *next)
{
    enum { outputs = 3 };
    for (size_t r = 0; r < count; r += outputs) {
        const size_t some = count - r < outputs ? count - r : outputs;
        double unit[outputs], b_r[outputs * HALP_MOST_ROWS];
        int32_t parts[outputs * HALP_MOST_ROWS];
        for (size_t i = 0; i < rows; i++)
            memcpy(b_r + i * some, b + i * count + r, some * sizeof *b);
        halp_encode_b(rows, some, b_r, unit, parts);
        double *g_r = g + r * ldg;
        for (size_t j = 0; j < n; j += V_I16) {
            if (n - j < V_I16) {
                column_tail_i8(rows, n - j, x + j, ldx, some, unit, parts, g_r + j, ldg);
                break;
            }
            if (r == 0) prefetch_share(next, j * rows, (j + V_I16) * rows);
            if (some == outputs)
                tile_i8(rows, x + j, ldx, some, unit, parts, g_r + j, ldg, outputs);
            else if (some == 2)
                tile_i8(rows, x + j, ldx, some, unit, parts, g_r + j, ldg, 2);
            else
                tile_i8(rows, x + j, ldx, some, unit, parts, g_r + j, ldg, 1);
        }
    }
}

#include "changes.h"
