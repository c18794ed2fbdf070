/* The full-gradient pass: loss, gradient and reference of many samples, a block of rows at a time, so
 * that rows are read from memory once, for their margins and for the gradient.
 *
 * Floats: everything is computed anew from the model w.
 *
 * Integers: what an epoch did not change is kept. The margins move by an integer dot product with what
 * the model moved by, or are one with the model itself. The gradient moves by the changes of the
 * derivatives, which are rounded at random to 15 bits (int8 data; 10 bits: int16 data) of a unit that
 * each block and output has for itself; what was rounded away is added by the next pass, since
 * `added` keeps the sum of all that the gradient holds of each sample (error feedback). So the error
 * of the gradient is a fixed fraction of its last change: see docs/theory.md.
 *
 * A program fills the fields of a halp_pass, calls halp_pass_begin, halp_pass_run for ranges of rows,
 * and halp_pass_end. Nothing is checked. Integers get the same bits on every backend.
 */
#ifndef HALP_PASS_H
#define HALP_PASS_H

#include "family.h"
#include "kernels.h"
#include "losses.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    /* ---- Filled in by the caller ---- */
    const halp_backend *backend;
    halp_format format; /* of x and w */
    int fused; /* floats may use fused multiply-adds and any order; else their bits are the same on
                  every backend */
    const halp_loss *loss;
    size_t n, outputs;

    const void *x; /* rows, ldx elements apart, one unit of which is worth scale_x */
    size_t ldx;
    double scale_x;

    const void *w; /* `outputs` rows, ldw elements apart, one unit of which is worth scale_w */
    size_t ldw;
    double scale_w;
    int moves; /* integers: the margins move by those of w, instead of being them */

    const double *targets; /* samples x target_count */
    size_t target_count;

    /* outputs rows, ldg apart, of sum_i derivative_i x_i / scale_x. Floats: added to. Integers: changes
     * are added to, begin with zeros; NULL: margins and references are wanted only. */
    double *gradient;
    size_t ldg;
    double *reference; /* samples x outputs: receives the reference of every sample; or NULL */
    double *margins;   /* samples x outputs, integers: kept from pass to pass */
    double *added;     /* samples x outputs, integers: kept from pass to pass, begins with zeros */
    uint64_t seed;     /* of the rounding: another one for each pass */

    /* ---- State ---- */
    double total_loss; /* of the samples so far */
    /* Sum of unit^2 over the changes: four times the most that rounding has added to the variance of the sum
     * of the changes. */
    double rounding;
    double *sums, *derivatives, *unit;
    float *single;
    int16_t *changes;
} halp_pass;

/* Allocates the work space of a block; 0 if memory is short. */
int halp_pass_begin(halp_pass *pass);

/* Adds the rows from `start` to before `stop` to the loss and the gradient. */
void halp_pass_run(halp_pass *pass, size_t start, size_t stop);

void halp_pass_end(halp_pass *pass);

#ifdef __cplusplus
}
#endif

#endif
