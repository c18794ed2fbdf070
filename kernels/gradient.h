/* Template: the parts of a full-gradient pass. The variants named _repro, and those on integer
 * data, multiply and add separately and in one order, so that every backend gives the same bits. */
#include "vector.h"

typedef float f32x8 __attribute__((vector_size(32), aligned(4), may_alias));
typedef double f64x4 __attribute__((vector_size(32), aligned(8), may_alias));
typedef int32_t i32x4 __attribute__((vector_size(16), may_alias));

#define FORMAT(op) op##_f32_repro
#define REAL float
#define LANES 8
#define VEC f32x8
#include "gemv_repro.h"

#define FORMAT(op) op##_f64_repro
#define REAL double
#define LANES 4
#define VEC f64x4
#include "gemv_repro.h"

/* ---- accumulate ------------------------------------------------------------------------------*/

/* Fetch the share of the next block that goes with the bytes `from` to `to` of this one. */
HALP_INLINE void prefetch_share(const void *next, size_t from, size_t to)
{
    if (next)
        for (size_t line = from / 64 * 64; line < to; line += 64)
            HALP_PREFETCH_L2((const char *)next + line);
}

#define FORMAT(op) op##_f64
#define DATA double
#define WEIGHT double
#define LANES V_F64
#define VEC vd
#define V(op) vd_##op
#define LOAD(p) vd_load(p)
#define MULADD(a, b, c) vd_fma(a, b, c)
#include "accumulate_float.h"

#define FORMAT(op) op##_f32
#define DATA float
#define WEIGHT float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#define LOAD(p) vf_load(p)
#define MULADD(a, b, c) vf_fma(a, b, c)
#include "accumulate_float.h"

#define FORMAT(op) op##_f64_repro
#define DATA double
#define WEIGHT double
#define LANES V_F64
#define VEC vd
#define V(op) vd_##op
#define LOAD(p) vd_load(p)
#define MULADD(a, b, c) vd_muladd(a, b, c)
#include "accumulate_float.h"

#define FORMAT(op) op##_f32_repro
#define DATA float
#define WEIGHT float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#define LOAD(p) vf_load(p)
#define MULADD(a, b, c) vf_muladd(a, b, c)
#include "accumulate_float.h"

#define FORMAT(op) op##_i16
#define DATA int16_t
#define WEIGHT float
#define LANES V_F32
#define VEC vf
#define V(op) vf_##op
#define LOAD(p) vf_load_i16(p)
#define MULADD(a, b, c) vf_muladd(a, b, c)
#include "accumulate_float.h"

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
