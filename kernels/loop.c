/* The inner loop: see loop.h. */
#include "loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int is_integer(halp_format format) { return format >= HALP_I16; }

/* ---- h in the format of the model ------------------------------------------------------------*/

/* rho is in (0, 1] between two foldings, and the h of an integer model should be divided by it: its
 * mean is. */
static double mean_rho(const halp_loop *loop)
{
    const double shrink = 1.0 - loop->step_size * loop->l2;
    if (loop->fold_every == 0 || shrink == 1.0) return 1.0;
    const double every = (double)loop->fold_every;
    return shrink * (1.0 - pow(shrink, every)) / ((1.0 - shrink) * every);
}

static void encode_h(halp_loop *loop)
{
    const size_t count = loop->outputs, n = loop->n;
    loop->fixed = (halp_h){NULL, loop->format == HALP_I8 ? 13 : 0, 0};
    if (loop->h == NULL) return;
    switch (loop->format) {
    case HALP_F64:
        memcpy(loop->h_values, loop->h, count * n * sizeof(double));
        break;
    case HALP_F32:
        for (size_t j = 0; j < count * n; j++) ((float *)loop->h_values)[j] = (float)loop->h[j];
        break;
    case HALP_I8:
        loop->fixed = halp_encode_h_i8(n, count, loop->h, 1.0 / mean_rho(loop), loop->h_values);
        break;
    default:
        loop->fixed = halp_encode_h_i16(
            n, count, loop->h, 1.0 / mean_rho(loop),
            loop->format == HALP_I16 ? HALP_FRACTION_I16 : HALP_FRACTION_I8I16, loop->h_values);
    }
}

int halp_loop_begin(halp_loop *loop)
{
    static const size_t bytes[HALP_FORMAT_COUNT] = {8, 4, 2, 2, 2};
    loop->ldh = is_integer(loop->format) ? HALP_PADDED(loop->n) : loop->n;
    loop->beta = malloc(loop->outputs * sizeof *loop->beta);
    loop->sums = malloc(loop->outputs * sizeof(double));
    loop->h_values = loop->h ? malloc(loop->outputs * loop->ldh * bytes[loop->format]) : NULL;
    loop->rho = 1.0;
    loop->until_fold = loop->fold_every;
    if (!loop->beta || !loop->sums || (loop->h && !loop->h_values)) {
        halp_loop_end(loop);
        return 0;
    }
    encode_h(loop);
    return 1;
}

void halp_loop_end(halp_loop *loop)
{
    free(loop->beta);
    free(loop->sums);
    free(loop->h_values);
    loop->beta = loop->sums = loop->h_values = NULL;
}

/* ---- One step --------------------------------------------------------------------------------*/

/* q_c = x^T (the true model z_c). */
static void margins(const halp_loop *loop, const void *x, double *q)
{
    const halp_backend *k = loop->backend;
    const double scale = loop->scale_x * loop->scale_z * loop->rho;
    const size_t n = loop->n, ld = loop->ldz, count = loop->outputs;
    const int64_t *exact = loop->sums;
    switch (loop->format) {
    case HALP_F64:
        k->gemv_f64(n, x, loop->z, ld, count, q);
        for (size_t c = 0; c < count; c++) q[c] *= scale;
        return;
    case HALP_F32:
        k->gemv_f32(n, x, loop->z, ld, count, loop->sums);
        for (size_t c = 0; c < count; c++) q[c] = scale * ((const float *)loop->sums)[c];
        return;
    case HALP_I16:
        k->gemv_i16(n, x, loop->z, ld, count, loop->sums);
        break;
    case HALP_I8I16:
        k->gemv_i8i16(n, x, loop->z, ld, count, loop->sums);
        break;
    default:
        k->gemv_i8(n, x, loop->z, ld, count, loop->sums);
    }
    for (size_t c = 0; c < count; c++) q[c] = scale * (double)exact[c];
}

/* Replaces the margins of sample i by the derivatives that its step follows. */
static void derivatives(const halp_loop *loop, int64_t i, double *q)
{
    const size_t count = loop->outputs;
    const double *reference = loop->reference ? loop->reference + (size_t)i * count : NULL;
    if (loop->centred) {
        loop->loss->change(count, reference, q);
        return;
    }
    if (loop->targets) {
        loop->loss->evaluate(count, q, loop->targets + (size_t)i * loop->target_count, q);
        return;
    }
    if (loop->loss->needs_reference) halp_softmax(count, q);
    for (size_t c = 0; c < count; c++) q[c] -= reference[c];
}

/* z_c <- Q(z_c - (c_c x + h_c)). */
static void update(const halp_loop *loop, const void *x, const double *c, const void *next)
{
    const halp_backend *k = loop->backend;
    const size_t n = loop->n, ld = loop->ldz, count = loop->outputs, ldh = loop->ldh;
    switch (loop->format) {
    case HALP_F64:
        k->ger_f64(n, loop->z, ld, count, x, c, loop->h_values, ldh, 1.0 / loop->rho, next);
        break;
    case HALP_F32:
        k->ger_f32(n, loop->z, ld, count, x, c, loop->h_values, ldh, (float)(1.0 / loop->rho),
                   next);
        break;
    case HALP_I16:
        k->ger_i16(n, loop->z, ld, count, x, c, loop->fixed, ldh, loop->rng, next);
        break;
    case HALP_I8I16:
        k->ger_i8i16(n, loop->z, ld, count, x, c, loop->fixed, ldh, loop->rng, next);
        break;
    default:
        k->ger_i8(n, loop->z, ld, count, x, c, loop->fixed, ldh, loop->rng, next);
    }
}

/* z <- Q(rho z), rho <- 1: an update of z by itself. */
static void fold(halp_loop *loop)
{
    const halp_backend *k = loop->backend;
    const double c = 1.0 - loop->rho;
    const halp_h none = {NULL, loop->format == HALP_I8 ? 13 : 0, 0};
    static const size_t bytes[HALP_FORMAT_COUNT] = {8, 4, 2, 2, 1};
    for (size_t r = 0; r < loop->outputs; r++) {
        void *z = (char *)loop->z + r * loop->ldz * bytes[loop->format];
        switch (loop->format) {
        case HALP_F64:
            k->axpy_f64(loop->n, z, z, c, NULL, 0, NULL);
            break;
        case HALP_F32:
            k->axpy_f32(loop->n, z, z, (float)c, NULL, 0, NULL);
            break;
        case HALP_I8:
            k->axpy_i8(loop->n, z, z, c, none, loop->rng, NULL);
            break;
        default:
            k->axpy_i16(loop->n, z, z, c, none, loop->rng, NULL);
        }
    }
    loop->rho = 1.0;
    loop->until_fold = loop->fold_every;
}

static int step(halp_loop *loop, int64_t i, int64_t later)
{
    const char *x = (const char *)loop->x + (size_t)i * loop->row_bytes;
    const char *next = (const char *)loop->x + (size_t)later * loop->row_bytes;
    if (loop->reference)
        halp_prefetch(loop->reference + (size_t)later * loop->outputs,
                      loop->outputs * sizeof(double));
    margins(loop, x, loop->beta);
    derivatives(loop, i, loop->beta);
    loop->rho *= 1.0 - loop->step_size * loop->l2;
    const double to_steps = loop->step_size * loop->scale_x / (loop->scale_z * loop->rho);
    for (size_t c = 0; c < loop->outputs; c++) {
        loop->beta[c] *= to_steps;
        if (!isfinite(loop->beta[c])) return 0;
    }
    update(loop, x, loop->beta, next);
    if (loop->fold_every > 0 && --loop->until_fold == 0) fold(loop);
    return 1;
}

int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count)
{
    int64_t t = 0;
    while (t < count && step(loop, samples[t], t + 2 < count ? samples[t + 2] : samples[t])) t++;
    return t;
}
