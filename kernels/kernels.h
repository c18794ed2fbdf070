/* The contract of the kernels: what each one computes, for which values, and with which bits.
 *
 * Notation: x is a row of the data, w a vector of the model, c a scalar, h a vector that stays
 * constant over an epoch. Integer data and models use the symmetric range: -128 and -32768 never
 * occur, which the int8 dot product needs (|x| has to fit a signed byte).
 *
 * Every kernel takes any length from 0 and any alignment, reads `const` arguments only, and checks
 * nothing: the caller has checked types, shapes, ranges and finiteness. Arrays do not overlap,
 * except that x may be w itself.
 *
 * Integer results, and the results of the kernels named `_repro`, have the same bits on every
 * backend. The other floating-point kernels may round differently from one backend to the next.
 */
#ifndef HALP_KERNELS_H
#define HALP_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "cpu.h"
#include "family.h"
#include "losses.h"
#include "rounding.h"

/* The version of the package, as a number to compare: 0.1.0 is 100. */
#define HALP_VERSION_MAJOR 0
#define HALP_VERSION_MINOR 1
#define HALP_VERSION_PATCH 0
#define HALP_VERSION (HALP_VERSION_MAJOR * 10000 + HALP_VERSION_MINOR * 100 + HALP_VERSION_PATCH)

#ifdef __cplusplus
extern "C" {
#endif

/* h for an integer model, in the units of the model, as 16-bit fixed point.
 *
 * int8 model:   h_j = values[halp_lane_i8(j)] / 2^exponent, exponent 8..13, and `values` has
 *               HALP_PADDED(n) entries, all below 2^13 unless `wide` is set (it costs speed).
 * int16 model:  h_j = values[j] * 2^exponent / 2^F, exponent 0..14, F = 16 for int16 data and 8
 *               for int8 data.
 * halp_encode_* make them; a NULL `values` means h = 0 (exponent still counts). */
typedef struct {
    const int16_t *values;
    int exponent;
    int wide;
} halp_h;

/* Lengths are padded to whole groups of 64 elements where a kernel works group by group. */
#define HALP_PADDED(n) (((n) + 63) & ~(size_t)63)

/* Place of element j of a group in the lanes of an int8 update: the 32 even elements of each
 * 64 first, then the 32 odd ones. Vectors of 16, 32 and 64 bytes all find theirs side by side. */
static inline size_t halp_lane_i8(size_t j)
{
    return (j & ~(size_t)63) + ((j & 1) << 5) + ((j & 63) >> 1);
}

/* The same for the 32-bit lanes of an int16 update: groups of 32 elements; the low four of each
 * eight first, then the high four, as unpacking within 128 bits leaves them. */
static inline size_t halp_lane_i16(size_t j)
{
    return (j & ~(size_t)31) + (((j >> 2) & 1) << 4) + (((j & 31) >> 3) << 2) + (j & 3);
}

/* h (n doubles, times factor) as fixed point, saturated, with the finest exponent that holds the
 * largest |h|. Rounded to nearest; at random where there is an `rng`. `out`: HALP_PADDED(n) entries, vectors one after another when
 * count > 1 (they share the exponent). */
halp_h halp_encode_h_i8(size_t n, size_t count, const double *h, double factor, halp_rng *rng,
                        int16_t *out);
halp_h halp_encode_h_i16(size_t n, size_t count, const double *h, double factor, int fraction_bits,
                         halp_rng *rng, int16_t *out);

/* Weights of a block of rows for the sums of accumulate_i8: b_ir = unit[r] (2^14 high + low) to half a
 * unit (a whole one from 2^1024 (1 - 2^-29) on, exactly below 2^-1046), both parts at most 2^14 in size. Rows go in pairs, whose parts share an int32, the first row's
 * below: parts[i / 2][r][0 high, 1 low]. The partner of a last odd row has zero weight. */
enum { HALP_MOST_ROWS = 64 };
void halp_encode_b(size_t rows, size_t count, const double *b, double *unit, int32_t *parts);

#define HALP_FRACTION_I16 16  /* int16 data, int16 model */
#define HALP_FRACTION_I8I16 8 /* int8 data, int16 model */

/* ---- One backend: the same operations for one instruction set --------------------------------
 *
 * dot     sum_j x_j y_j. Exact for integers: 32-bit accumulators, emptied into 64 bits every 65,536
 *         elements (int8), 2,048 (int8 x int16) or 65,536 (int16) so that they cannot overflow; the
 *         64-bit sum is exact for every n < 2^33.
 *         dot_i8_any takes -128 too, for callers who have not checked their data.
 * gemv    out_r = dot(x, w_r) for `count` rows w_r, `ld` elements apart.
 * axpy    w <- w - (c x + h).
 *         Floats: w <- w - (c x + k h); a NULL h means 0.
 *         int8:  c = c_int + c_m / 2^(7+f), f <= exponent of h, see halp_split_i8; with
 *                p_j = round_half_up(x_j c_m / 2^7) and r_j the random lane, uniform in
 *                [0, 2^exponent):
 *                t_j = (p_j + ((h_j + r_j) >> (exponent - f))) >> f
 *                w_j <- clamp(w_j - (t_j + c_int x_j), -127, 127)
 *         int16: c_m = c 2^F rounded at random to an integer, r_j uniform in [0, 2^F):
 *                t_j = sat16((c_m x_j + h_j 2^exponent + r_j) >> F)
 *                w_j <- clamp(w_j - t_j, -32767, 32767)
 *         so that E[w] = w - (c x + h) to 2^-8 of a unit wherever nothing saturates. A step beyond
 *         +-128 (int8) or +-32768 (int16) units saturates too. |c| <= 255 for int8; |c| < 2^14 for
 *         int16; larger ones saturate.
 *         `rng` gives the random lanes, or halves when it rounds to nearest.
 *         `next` (or NULL) is the row of data that will be read after this one: it is prefetched
 *         into the L2 cache, a cache line for each one worked on.
 * ger     the axpy of `count` rows of w that share x: c[r], h rows `ldh` entries apart.
 * accumulate  g_rj += sum_i b_ir x_ij over the `rows` rows of a block of data, `count` outputs r:
 *         the sum over the block in the precision of b, in the order of the rows, then one
 *         addition in double. `next` (or NULL) is the block that will be read after this one: it is
 *         fetched into the L2 cache meanwhile. For int8 the sum is one of integers: the b of an output are rounded to
 *         multiples of a power of two, 2^-28 of the largest (halp_encode_b); at most 64 rows.
 * quantize    q_j = x_j / scale rounded up with probability equal to its fraction (16 bits of it),
 *         clamped to the symmetric range. Division in double. `nearest`: half rounds up.
 * dequantize  q_j * scale, multiplied in double.
 * lowest      the smallest element, or 0 if none is negative: finds what is out of range.
 * read    the exclusive-or of `n` bytes: memory bandwidth without arithmetic.
 * peak    the sum of `n` products x y, for integers modulo 2^32: arithmetic without memory, by the
 *         instructions of dot.
 */
typedef struct halp_backend {
    const char *name;
    uint32_t required; /* HALP_CPU_* bits */

    double (*dot_f64)(size_t n, const double *x, const double *y);
    float (*dot_f32)(size_t n, const float *x, const float *y);
    int64_t (*dot_i16)(size_t n, const int16_t *x, const int16_t *y);
    int64_t (*dot_i8i16)(size_t n, const int8_t *x, const int16_t *y);
    int64_t (*dot_i8)(size_t n, const int8_t *x, const int8_t *y);
    int64_t (*dot_i8_any)(size_t n, const int8_t *x, const int8_t *y);

    void (*gemv_f64)(size_t n, const double *x, const double *w, size_t ld, size_t count,
                     double *out);
    void (*gemv_f32)(size_t n, const float *x, const float *w, size_t ld, size_t count, float *out);
    void (*gemv_i16)(size_t n, const int16_t *x, const int16_t *w, size_t ld, size_t count,
                     int64_t *out);
    void (*gemv_i8i16)(size_t n, const int8_t *x, const int16_t *w, size_t ld, size_t count,
                       int64_t *out);
    void (*gemv_i8)(size_t n, const int8_t *x, const int8_t *w, size_t ld, size_t count,
                    int64_t *out);
    void (*gemv_f64_repro)(size_t n, const double *x, const double *w, size_t ld, size_t count,
                           double *out);
    void (*gemv_f32_repro)(size_t n, const float *x, const float *w, size_t ld, size_t count,
                           float *out);

    void (*axpy_f64)(size_t n, double *w, const double *x, double c, const double *h, double k,
                     const void *next);
    void (*axpy_f32)(size_t n, float *w, const float *x, float c, const float *h, float k,
                     const void *next);
    void (*axpy_i16)(size_t n, int16_t *w, const int16_t *x, double c, halp_h h, halp_rng *rng,
                     const void *next);
    void (*axpy_i8i16)(size_t n, int16_t *w, const int8_t *x, double c, halp_h h, halp_rng *rng,
                       const void *next);
    void (*axpy_i8)(size_t n, int8_t *w, const int8_t *x, double c, halp_h h, halp_rng *rng,
                    const void *next);

    void (*ger_f64)(size_t n, double *w, size_t ld, size_t count, const double *x, const double *c,
                    const double *h, size_t ldh, double k, const void *next);
    void (*ger_f32)(size_t n, float *w, size_t ld, size_t count, const float *x, const double *c,
                    const float *h, size_t ldh, float k, const void *next);
    void (*ger_i16)(size_t n, int16_t *w, size_t ld, size_t count, const int16_t *x,
                    const double *c, halp_h h, size_t ldh, halp_rng *rng, const void *next);
    void (*ger_i8i16)(size_t n, int16_t *w, size_t ld, size_t count, const int8_t *x,
                      const double *c, halp_h h, size_t ldh, halp_rng *rng, const void *next);
    void (*ger_i8)(size_t n, int8_t *w, size_t ld, size_t count, const int8_t *x, const double *c,
                   halp_h h, size_t ldh, halp_rng *rng, const void *next);

    void (*accumulate_f64)(size_t rows, size_t n, const double *x, size_t ldx, size_t count,
                           const double *b, double *g, size_t ldg, const void *next);
    void (*accumulate_f32)(size_t rows, size_t n, const float *x, size_t ldx, size_t count,
                           const float *b, double *g, size_t ldg, const void *next);
    void (*accumulate_f64_repro)(size_t rows, size_t n, const double *x, size_t ldx, size_t count,
                                 const double *b, double *g, size_t ldg, const void *next);
    void (*accumulate_f32_repro)(size_t rows, size_t n, const float *x, size_t ldx, size_t count,
                                 const float *b, double *g, size_t ldg, const void *next);
    void (*accumulate_i16)(size_t rows, size_t n, const int16_t *x, size_t ldx, size_t count,
                           const float *b, double *g, size_t ldg, const void *next);
    void (*accumulate_i8)(size_t rows, size_t n, const int8_t *x, size_t ldx, size_t count,
                          const double *b, double *g, size_t ldg, const void *next);

    void (*quantize_f64_i16)(size_t n, const double *x, double scale, int16_t *q, halp_rng *rng);
    void (*quantize_f64_i8)(size_t n, const double *x, double scale, int8_t *q, halp_rng *rng);
    void (*quantize_f32_i16)(size_t n, const float *x, double scale, int16_t *q, halp_rng *rng);
    void (*quantize_f32_i8)(size_t n, const float *x, double scale, int8_t *q, halp_rng *rng);
    void (*dequantize_i16_f64)(size_t n, const int16_t *q, double scale, double *x);
    void (*dequantize_i8_f64)(size_t n, const int8_t *q, double scale, double *x);
    void (*dequantize_i16_f32)(size_t n, const int16_t *q, double scale, float *x);
    void (*dequantize_i8_f32)(size_t n, const int8_t *q, double scale, float *x);

    int (*lowest_i16)(size_t n, const int16_t *x);
    int (*lowest_i8)(size_t n, const int8_t *x);

    uint64_t (*read)(size_t n, const void *bytes);
    double (*peak_f64)(size_t n, double x, double y);
    float (*peak_f32)(size_t n, float x, float y);
    uint32_t (*peak_i16)(size_t n, int16_t x, int16_t y);
    uint32_t (*peak_i8i16)(size_t n, int8_t x, int16_t y);
    uint32_t (*peak_i8)(size_t n, int8_t x, int8_t y);

    halp_family family[HALP_FORMAT_COUNT]; /* the kernels of batches: see family.h */
    const halp_loss *losses;               /* by halp_loss_code: see losses.h */
} halp_backend;

/* ---- Choosing a backend ----------------------------------------------------------------------*/

/* Those compiled in, best first; NULL-terminated. The last is "scalar". */
extern const halp_backend *const halp_backends[];

int halp_usable(const halp_backend *backend);    /* does this CPU have what it needs? */
const halp_backend *halp_find(const char *name); /* compiled in under that name, or NULL */
const halp_backend *halp_best(void);             /* the first usable one */

#ifdef __cplusplus
}
#endif

#endif
