/* The inner loop of every algorithm and format: steps between two full gradients.
 *
 * SGD, SVRG, HALP and their low-precision kin differ in three things only: the point about which the
 * model z is represented, the derivative that is subtracted, and the format of z. One step on a batch
 * of samples, all at the same z, is for every one of them
 *
 *     q_i    = x_i^T (the true model)
 *     beta_i = the derivative of the loss at q_i, or its change from the centre
 *     z      = Q(z - (sum_i c_i x_i + B h)),  c_i = step_size * beta_i
 *
 * (in the units of x and z), B being the samples of the batch. One sample a step is the paper. The l2
 * term is part of h for integer models, where it shall be rounded together with the rest. For floats
 * it is the factor rho: the true model is rho z, rho shrinks by 1 - B step_size l2 a step and is folded
 * into z now and then.
 *
 * A program fills the fields of a halp_loop, calls halp_loop_begin, halp_loop_run as often as it
 * likes, and halp_loop_end. Nothing is checked. Integer models get the same bits on every backend.
 */
#ifndef HALP_LOOP_H
#define HALP_LOOP_H

#include "family.h"
#include "kernels.h"
#include "losses.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    HALP_CHECK_STEPS = 256,  /* between two looks at how much of its range an integer model uses */
    HALP_DITHER_STEPS = 1024 /* at most, between two roundings of h */
};

typedef struct {
    /* ---- Filled in by the caller ---- */
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
    int grows; /* double scale_z whenever z has used 7/8 of its range; needs an origin of 0 */

    /* Of variance-reduced algorithms: data of the centre. */
    const double *reference; /* samples x outputs: of the loss there; NULL if it needs none */
    const void *origin;      /* the z of the centre, in the format and layout of z; NULL: 0 */
    const double *margins;   /* samples x outputs: x_i^T (the true origin); NULL: 0 */
    /* Of the others: samples x target_count. NULL: variance-reduced. */
    const double *targets;
    size_t target_count;

    const double
        *h; /* outputs x n: the constant that a sample subtracts, in units of scale_z; or NULL */
    double step_size, l2; /* batch_size * step_size * l2 < 1 */
    int batch_size;       /* 1 .. HALP_MOST_BATCH */
    int64_t samples;      /* that the caller means to take altogether */
    halp_rng *rng;        /* of integer formats */

    /* ---- Results ---- */
    double rho;
    double reach;      /* the largest |z| seen, in its value */
    int64_t saturated; /* the most entries seen at an end of the range */

    /* ---- State ---- */
    int64_t steps;        /* taken */
    int64_t fold_every;   /* steps between two foldings of rho into z; 0: never */
    int64_t encode_every; /* steps between two encodings of h */
    double h_factor;      /* of h, since scale_z has grown */
    int tiny;             /* all of h is below a unit */
    double *constant;     /* the constant that a batch subtracts, outputs x n */
    halp_h h_single;      /* h of a step on one sample, integers */
    halp_batch_h h_batch; /* h of a step on a batch */
    size_t encoded_for;   /* samples */
    void *h_values;       /* h in the format of the model */
    size_t ldh;
    double *q, *p, *margins_p; /* of a batch: samples x outputs */
    void *sums;                /* outputs, of 8 bytes */
    const void *rows[HALP_MOST_BATCH], *next[HALP_MOST_BATCH];
} halp_loop;

/* Allocates the buffers of the steps; 0 if memory is short. */
int halp_loop_begin(halp_loop *loop);

/* Takes steps on `count` samples, of which every batch_size make a batch, and the rest the last one.
 * Returns how many samples were taken: fewer than asked for means that the next step was not finite,
 * and the run has diverged. Of several calls each but the last has a multiple of batch_size samples;
 * no bit depends on how an epoch is cut. */
int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count);

/* Looks at how much of its range z uses, as halp_loop_run does every HALP_CHECK_STEPS. */
void halp_loop_inspect(halp_loop *loop);

void halp_loop_end(halp_loop *loop);

#ifdef __cplusplus
}
#endif

#endif
