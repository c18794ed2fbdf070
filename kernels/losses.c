/* The losses as rows of a table. */
#include "losses.h"

static double squared(size_t count, double *margins, const double *target, double *derivative)
{
    double loss = 0.0;
    for (size_t c = 0; c < count; c++) {
        derivative[c] = margins[c] - target[c];
        loss += 0.5 * derivative[c] * derivative[c];
    }
    return loss;
}

static void no_change(size_t count, const double *reference, double *q)
{
    (void)count, (void)reference, (void)q; /* (m + q - y) - (m - y) = q */
}

static double logistic(size_t count, double *margins, const double *target, double *derivative)
{
    (void)count;
    double two[2] = {0.0, margins[0]}; /* a softmax over the margins (0, m) */
    const double loss = halp_softmax(2, two) - target[0] * margins[0];
    margins[0] = two[1];
    derivative[0] = two[1] - target[0];
    return loss;
}

static void logistic_change(size_t count, const double *reference, double *q)
{
    (void)count;
    const double p[2] = {1.0 - reference[0], reference[0]};
    double two[2] = {0.0, q[0]};
    halp_softmax_change(2, p, two);
    q[0] = two[1];
}

static double softmax(size_t count, double *margins, const double *target, double *derivative)
{
    const size_t label = (size_t)target[0];
    const double at_label = margins[label];
    const double loss = halp_softmax(count, margins) - at_label;
    if (derivative != margins) memcpy(derivative, margins, count * sizeof *derivative);
    derivative[label] -= 1.0;
    return loss;
}

const halp_loss halp_losses[HALP_LOSS_COUNT] = {
    [HALP_SQUARED] = {"squared", squared, no_change, 0},
    [HALP_SOFTMAX] = {"softmax", softmax, halp_softmax_change, 1},
    [HALP_LOGISTIC] = {"logistic", logistic, logistic_change, 1},
};
