/* The kernels of batches: several samples at a time, all at the same model.
 *
 * margins  sums[b * count + r] = x_b . w_r for samples x_b and outputs w_r.
 *          Integers: exact for every n < 2^22, where even 2^30 n is below 2^53. The data may use the
 *          whole range, -128 and -32768 included; the model keeps the symmetric range.
 *          Floats: the columns of each HALP_CHUNK are summed in the precision of the format, in an
 *          order that depends on the backend alone, and these sums are added in double, in order.
 *
 * update   one step of a batch, of rank `rows`, rounded once: with S_j = sum_b k_b x_bj,
 *
 *              t_j = floor((2^(F-e) S_j + H_j + r_j) / 2^F)
 *              w_j <- clamp(w_j - sat(t_j), -MAX, MAX)
 *
 *          for each output. sat clamps to the type of the model, MAX = 127 or 32767. H_j is h with F
 *          fraction bits, r_j a random lane uniform in [0, 2^F), and k_b = floor(c_b 2^e + u_b) with
 *          u_b uniform in [0, 1): E[t_j] = sum_b c_b x_bj + h_j wherever nothing saturates.
 *
 *          e is the exponent that the coefficients of an output share: the largest one, of those in
 *          the table, with sum_b ceil(|c_b| 2^e) <= BUDGET. |k_b| <= ceil(|c_b| 2^e), so that the
 *          budget holds for whatever u_b, and nothing is clipped, which would bias. Only where the
 *          least e breaks the budget is each |c_b| clipped to floor(BUDGET / rows) / 2^e first: such
 *          a step leads to the end of the range or beyond it.
 *
 *                   BUDGET  e          F = h.exponent unless said        H             |S|
 *          i8       124     0 .. F     0 .. 13                           |H| <= 8191   <= 15,872
 *          i8i16    124     -6 .. 14   14; H = h 2^exponent, 0 .. 14     |h| <= 32767  <= 15,872
 *          i16      2^14    0 .. F     0 .. 22                           |H| <= 2^29   <= 2^29
 *
 *          These bounds are what keeps the sums of the vector code within 16 or 32 bits: see update.h.
 *
 *          Floats: w <- w - (sum_b c_b x_b + factor h), b = 0, 1, ... and then h, the coefficients in
 *          the precision of the format. Fused multiply-adds where the backend has them.
 *
 *          Random stream, with draw(i) = splitmix64(counter + (i + 1) golden): draw r rows + b rounds
 *          the coefficient of output r and sample b (its low half), and draw count rows + r blocks + k
 *          places block k of the lanes of output r (its high half); `blocks` is the number of blocks
 *          of lanes in n columns. Lanes have 16 bits for i8, else 32. The counter ends behind all of
 *          these draws. The pool advances between updates only: before the first block, if as many
 *          blocks as it may serve have been taken. So every bit is a function of the seed, the batch,
 *          the output and the column, and whoever works on some columns alone gets the same ones.
 *
 * accumulate  g_rj += unit[r] sum_i k[i * count + r] x_ij over the rows of a block of integer data, at
 *          most HALP_MOST_ACCUMULATED of them: what the changes k of the derivatives add to a full
 *          gradient. The sum is exact: |k| <= 32767 for int8 data, 1023 for
 *          int16 data, so that it stays below 2^5 2^7 2^15 or 2^5 2^15 2^10. Units are powers of two,
 *          so that only the addition to g rounds.
 *
 * x, w, h and c do not overlap, except that rows of data may be the same row.
 */
#ifndef HALP_FAMILY_H
#define HALP_FAMILY_H

#include <stddef.h>
#include <stdint.h>

#include "formats.h"
#include "rounding.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HALP_MOST_BATCH = 64,       /* samples */
    HALP_MOST_ACCUMULATED = 32, /* rows */
    HALP_CHUNK = 1024, /* columns: what is worked on at a time; whole blocks of random lanes */
};

/* h of the whole batch: that of one sample times the number of samples. `ld` elements between the
 * outputs. A NULL `values` means 0, and the exponent still counts.
 *
 * Floats:  `values` are of the format; `factor` multiplies them.
 * i8:      int16, h_j = values[halp_lane_batch_i8(j)] / 2^exponent.
 * i8i16:   int16, h_j = values[j] 2^exponent / 2^14.
 * i16:     int32, h_j = values[halp_lane_i16(j)] / 2^exponent.
 * Integers have HALP_PADDED(n) entries in a row: halp_encode_batch_h makes them. */
typedef struct {
    const void *values;
    size_t ld;
    int exponent;
    double factor;
} halp_batch_h;

/* `next` of all of them: rows that will be read soon, which are fetched into the L2 cache meanwhile. */
typedef struct {
    size_t n, rows, count; /* columns, samples and outputs */
    const void *const *x;  /* a row of data for each sample */
    const void *w;         /* the model */
    size_t ldw;            /* elements between its rows */
    double *sums;          /* rows x count */
    const void *const *next;
    size_t next_rows; /* 0: none */
} halp_margins;

typedef struct {
    size_t n;             /* columns */
    size_t rows;          /* samples: 1 .. HALP_MOST_BATCH */
    size_t count;         /* outputs */
    const void *const *x; /* a row of data for each sample */
    void *w;              /* the model */
    size_t ldw;           /* elements between its rows */
    const double *c;      /* rows x count: those of a sample side by side; finite in the format */
    halp_batch_h h;
    halp_rng *rng; /* integers only */
    const void *const *next;
    size_t next_rows;
} halp_update;

typedef struct {
    size_t n, rows, count; /* columns, rows and outputs */
    const void *x;         /* rows of data, ldx elements apart */
    size_t ldx;
    const int16_t *k;   /* rows x count */
    const double *unit; /* count, powers of two */
    double *g;          /* count rows of n, ldg apart */
    size_t ldg;
    const void *const *next;
    size_t next_rows;
} halp_accumulation;

typedef struct {
    void (*margins)(const halp_margins *margins);
    void (*update)(const halp_update *update);
    void (*accumulate)(const halp_accumulation *accumulation); /* NULL for floats */
} halp_family;

/* Place of column j of a group of 64 in the 16-bit lanes of an i8 update: the low eight of each 16
 * first, then the high eight, as interleaving the bytes of two rows within 128 bits leaves them. */
static inline size_t halp_lane_batch_i8(size_t j)
{
    return (j & ~(size_t)63) + (((j >> 3) & 1) << 5) + (((j >> 4) & 3) << 3) + (j & 7);
}

enum { HALP_BATCH_FRACTION_I8I16 = 14 };

/* h of an integer format (count x n doubles, times factor) in fixed point, with the finest exponent
 * that holds the largest |factor h|; what no exponent holds is clipped. With an `rng` it is rounded at
 * random, so that its error averages out over several encodings; without, to nearest. `out`: count x
 * HALP_PADDED(n) entries, int32 for i16, else int16. No h (NULL) needs none. */
halp_batch_h halp_encode_batch_h(halp_format format, size_t n, size_t count, const double *h,
                                 double factor, halp_rng *rng, void *out);

#ifdef __cplusplus
}
#endif

#endif
