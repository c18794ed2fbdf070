/* The inner loop of every algorithm and format: steps on samples between two full gradients.
 *
 * SGD, SVRG, HALP and their low-precision kin differ in three things only: the point about which the
 * model z is represented, the derivative that is subtracted, and the format of z. One step on sample i
 * is, for every one of them,
 *
 *     q    = x_i^T z                                     (times the scales of x and z)
 *     beta = the derivative of the loss at q, or its change from the centre
 *     z    = Q(z - (c x_i + h)),  c = step_size * beta
 *
 * and the l2 term is the factor rho: the true model is rho z, and rho shrinks by 1 - step_size * l2 a
 * step. It is folded into z now and then.
 *
 * A program fills the fields of a halp_loop, calls halp_loop_begin, halp_loop_run as often as it
 * likes, and halp_loop_end. Nothing is checked.
 */
#ifndef HALP_LOOP_H
#define HALP_LOOP_H

#include "family.h"
#include "kernels.h"
#include "losses.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    /* ---- What the caller fills in ---- */
    const halp_backend *backend;
    halp_format format;
    const halp_loss *loss;
    size_t n, outputs; /* columns, and rows of the model */

    const void *x; /* rows of data, `row_bytes` apart, one unit of which is worth scale_x */
    size_t row_bytes;
    double scale_x;

    void *z; /* `outputs` rows of n, ldz elements apart, one unit of which is worth scale_z */
    size_t ldz;
    double scale_z;

    int centred;             /* z is a displacement from the centre */
    const double *reference; /* samples x outputs, of the loss at the centre; or NULL */
    const double *targets;   /* samples x target_count: of algorithms without a centre */
    size_t target_count;

    const double
        *h; /* outputs x n, in units of scale_z: what a step subtracts in any case; or NULL */
    double step_size, l2;
    int64_t fold_every; /* steps between two foldings of rho into z; 0: never */
    halp_rng *rng;      /* of integer formats */

    /* ---- State ---- */
    double rho;
    int64_t until_fold;
    halp_h fixed;   /* h of an integer model */
    void *h_values; /* h in the format of the model, outputs rows, ldh elements apart */
    size_t ldh;
    double *beta; /* outputs */
    void *sums;   /* outputs, of 8 bytes */
} halp_loop;

/* Allocates what the steps need and encodes h; 0 if memory is short. */
int halp_loop_begin(halp_loop *loop);

/* Takes a step on each of `count` samples; returns how many were taken. Fewer than asked for means
 * that the next step was not finite: the run has diverged. */
int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count);

void halp_loop_end(halp_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
