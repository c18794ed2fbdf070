/* Template: the losses as rows of a table. Every backend has one of its own, compiled for its
 * instruction set: the same operations in the same order, hence the same bits. */
#include "losses.h"

static double loss_squared(size_t count, double *margins, const double *target, double *derivative)
{
    double loss = 0.0;
    for (size_t c = 0; c < count; c++) {
        derivative[c] = margins[c] - target[c];
        loss += 0.5 * derivative[c] * derivative[c];
    }
    return loss;
}

/* (m + q - y) - (m - y) = q */
static void change_squared(size_t rows, size_t count, const double *reference, double *q)
{
    (void)rows, (void)count, (void)reference, (void)q;
}

static double loss_logistic(size_t count, double *margins, const double *target, double *derivative)
{
    (void)count;
    double two[2] = {0.0, margins[0]}; /* a softmax over the margins (0, m) */
    const double loss = halp_softmax(2, two) - target[0] * margins[0];
    margins[0] = two[1];
    derivative[0] = two[1] - target[0];
    return loss;
}

static void change_logistic(size_t rows, size_t count, const double *reference, double *q)
{
    (void)count;
    for (size_t i = 0; i < rows; i++) {
        const double p[2] = {1.0 - reference[i], reference[i]};
        double two[2] = {0.0, q[i]};
        halp_softmax_change(2, p, two);
        q[i] = two[1];
    }
}

static double loss_softmax(size_t count, double *margins, const double *target, double *derivative)
{
    const size_t label = (size_t)target[0];
    const double at_label = margins[label];
    const double loss = halp_softmax(count, margins) - at_label;
    if (derivative != margins) memcpy(derivative, margins, count * sizeof *derivative);
    derivative[label] -= 1.0;
    return loss;
}

/* halp_softmax_change of every sample; where all of them are moderate the exponentials are computed in
 * one long loop, which the compiler vectorizes. */
static void change_softmax(size_t rows, size_t count, const double *restrict reference,
                           double *restrict q)
{
    int moderate = 1;
    for (size_t k = 0; k < rows * count; k++) moderate &= q[k] < 30.0 && q[k] > -30.0;
    if (!moderate) {
        for (size_t i = 0; i < rows; i++)
            halp_softmax_change(count, reference + i * count, q + i * count);
        return;
    }
    for (size_t k = 0; k < rows * count; k++) q[k] = halp_expm1(q[k]);
    for (size_t i = 0; i < rows; i++, reference += count, q += count)
        halp_softmax_normalize(count, reference, q);
}

static const halp_loss HALP_NAME(halp_losses)[HALP_LOSS_COUNT] = {
    [HALP_SQUARED] = {"squared", loss_squared, change_squared, 0, 0, 0},
    [HALP_SOFTMAX] = {"softmax", loss_softmax, change_softmax, 1, 1, 0},
    [HALP_LOGISTIC] = {"logistic", loss_logistic, change_logistic, 1, 1, 1},
};
