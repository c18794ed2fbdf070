/* Losses of linear models and their derivatives with respect to the margins, in plain double
 * arithmetic of one order, so that every CPU computes the same bits (libm does not promise that). */
#ifndef HALP_LOSSES_H
#define HALP_LOSSES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* e^x - 1 for |x| <= 700, to a few units in the last place, also for tiny x: Cody-Waite reduction
 * and a Taylor polynomial. */
static inline double halp_expm1(double x)
{
    const double shift = 0x1.8p52;
    const double shifted = x * 0x1.71547652b82fep0 + shift; /* x / ln 2, rounded */
    const double k = shifted - shift;
    const double r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = (p * r) * r + r;
    int64_t exponent;
    memcpy(&exponent, &shifted, sizeof exponent);
    exponent = (int64_t)((uint64_t)(exponent + 1023) << 52);
    double power;
    memcpy(&power, &exponent, sizeof power);
    return power * p + (power - 1.0);
}

/* Softmax of `count` margins, in place; returns logsumexp. */
static inline double halp_softmax(size_t count, double *a)
{
    double max = a[0], sum = 0.0;
    for (size_t c = 1; c < count; c++) max = a[c] > max ? a[c] : max;
    for (size_t c = 0; c < count; c++) {
        const double below = a[c] - max;
        a[c] = halp_expm1(below < -700.0 ? -700.0 : below) + 1.0;
    }
    for (size_t c = 0; c < count; c++) sum += a[c];
    for (size_t c = 0; c < count; c++) a[c] /= sum;
    return max + log(sum);
}

/* From e^q - 1 to softmax(m + q) - p, where p = softmax(m): p (e^q - 1 - s) / (1 + s) with
 * s = sum p (e^q - 1). */
static inline void halp_softmax_normalize(size_t count, const double *__restrict p,
                                          double *__restrict q)
{
    double sum = 0.0;
    for (size_t c = 0; c < count; c++) sum += p[c] * q[c];
    const double normalizer = 1.0 / (1.0 + sum);
    for (size_t c = 0; c < count; c++) q[c] = p[c] * (q[c] - sum) * normalizer;
}

/* Replace q by softmax(m + q) - p, where p = softmax(m). Unlike the difference of two softmaxes this
 * keeps its relative accuracy as q goes to zero, and it needs p only. */
static inline void halp_softmax_change(size_t count, const double *__restrict p,
                                       double *__restrict q)
{
    double max = q[0], min = q[0], sum = 0.0;
    for (size_t c = 1; c < count; c++) {
        max = q[c] > max ? q[c] : max;
        min = q[c] < min ? q[c] : min;
    }
    if (max < 30.0 && min > -30.0) {
        for (size_t c = 0; c < count; c++) q[c] = halp_expm1(q[c]);
        halp_softmax_normalize(count, p, q);
        return;
    }
    for (size_t c = 0; c < count; c++) {
        const double below = q[c] - max;
        q[c] = halp_expm1(below < -700.0 ? -700.0 : below) + 1.0;
        sum += p[c] * q[c];
    }
    for (size_t c = 0; c < count; c++) q[c] = sum > 0.0 ? p[c] * q[c] / sum - p[c] : NAN;
}

/* ---- The table -------------------------------------------------------------------------------*/

/* Functions of a loss that the inner loop and the full-gradient pass call. A sample has `count`
 * margins and the target y: `count` values, or one label. A backend has a table of them, by code
 * (losses_table.h). */
typedef struct {
    const char *name;
    /* Returns the loss; replaces the margins by the reference, which is what `change` needs to know
     * of them: themselves (squared), probabilities (of label 1: logistic; softmax). `derivative` may
     * be `margins`, which then holds the derivative. */
    double (*evaluate)(size_t count, double *margins, const double *target, double *derivative);
    /* Replaces q by loss'(m + q) - loss'(m) for each of `rows` samples, accurate as q goes to zero. */
    void (*change)(size_t rows, size_t count, const double *reference, double *q);
    int needs_reference; /* whether `change` reads the reference at all */
    int takes_labels;    /* whether a target is one label, instead of `count` values */
    int binary;          /* whether it has one margin, and the labels 0 and 1 */
} halp_loss;

typedef enum { HALP_SQUARED, HALP_SOFTMAX, HALP_LOGISTIC, HALP_LOSS_COUNT } halp_loss_code;

/* Prefetches the data of the next step: `bytes` from p on. */
static inline void halp_prefetch(const void *p, size_t bytes)
{
    for (size_t line = 0; line < bytes; line += 64) __builtin_prefetch((const char *)p + line);
}

#endif
