/* The full-gradient pass: loss, gradient and reference of many samples, a block of rows at a time, so
 * that rows are read from memory once, for their margins and for the gradient.
 *
 * A program fills the fields of a halp_pass, calls halp_pass_begin, halp_pass_run for ranges of rows,
 * and halp_pass_end. Nothing is checked.
 */
#ifndef HALP_PASS_H
#define HALP_PASS_H

#include "family.h"
#include "kernels.h"
#include "losses.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Of the data that a pass reads. */
typedef enum { HALP_DATA_I8, HALP_DATA_I16, HALP_DATA_F32, HALP_DATA_F64 } halp_data;

typedef struct {
    /* ---- What the caller fills in ---- */
    const halp_backend *backend;
    halp_data data;
    int fused; /* floats may use fused multiply-adds and any order; otherwise bits are the same on every
                  backend */
    const halp_loss *loss;
    size_t n, outputs;

    const void *x; /* rows, ldx elements apart, one unit of which is worth scale_x */
    size_t ldx;
    double scale_x;

    /* The model: floats like x, `outputs` rows; for integers 2 * outputs rows of int16, the high and
     * the low 15 bits of w / scale_w, all high rows first. */
    const void *w;
    size_t ldw;
    double scale_w;

    const double *targets; /* samples x target_count */
    size_t target_count;

    double *gradient; /* outputs rows, ldg apart: receives sum_i derivative_i x_i / scale_x */
    size_t ldg;
    double *reference; /* samples x outputs: receives the reference of every sample; or NULL */

    /* ---- State ---- */
    double total_loss; /* of the samples so far */
    double *margins, *derivatives;
    float *single;
    int64_t *parts;
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
