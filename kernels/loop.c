/* The inner loop: see loop.h. */
#include "loop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* rho below which a floating-point model is folded, long before rho underflows. */
#define FOLD_BELOW 0.5

/* The l2 term of an integer model is part of h, and is brought up to date before it has changed by
 * this share of itself. */
#define STALE_BELOW 0.125

/* The share of its range of which an adaptive scale is doubled: it then uses some 44 % of the range.
 * Doubled at a half, an int8 model has a bit less to round to; close to the whole, it saturates. */
#define GROW_ABOVE 0.875

#define HALP_FORMAT_NAME(name, code, data, model) #name,
const char *const halp_format_names[HALP_FORMAT_COUNT] = {HALP_FORMATS(HALP_FORMAT_NAME)};
#undef HALP_FORMAT_NAME

static int is_integer(const halp_loop *loop) { return loop->format >= HALP_I16; }

static size_t model_bytes(const halp_loop *loop)
{
#define HALP_MODEL_BYTES(name, code, data, model) sizeof(model),
    static const size_t bytes[HALP_FORMAT_COUNT] = {HALP_FORMATS(HALP_MODEL_BYTES)};
#undef HALP_MODEL_BYTES
    return bytes[loop->format];
}

static int is_narrow(const halp_loop *loop) { return model_bytes(loop) == 1; }

static int largest_integer(const halp_loop *loop) { return is_narrow(loop) ? 127 : 32767; }

/* True if the kernels for one sample take the steps; not all formats have them. For an int16 model
 * these have few fraction bits: too few for a scale that does not shrink with the gradient, and for
 * steps below a unit. */
static int is_single(const halp_loop *loop)
{
    const int is_coarse = is_integer(loop) && !is_narrow(loop);
    return loop->batch_size == 1 && loop->format <= HALP_I8 &&
           !(is_coarse && (loop->origin || loop->targets || loop->tiny));
}

/* True if all of h is below a unit. */
static int is_tiny(const halp_loop *loop)
{
    for (size_t j = 0; loop->h && j < loop->outputs * loop->n; j++)
        if (fabs(loop->h[j]) >= 1.0) return 0;
    return 1;
}

static double shrink_of(const halp_loop *loop, size_t batch)
{
    return 1.0 - (double)batch * loop->step_size * loop->l2;
}

/* Floats: the most steps that leave rho at FOLD_BELOW or more, at least 1; 0 if all of them do. */
static int64_t steps_to_fold(const halp_loop *loop)
{
    const int64_t most = loop->samples / loop->batch_size + 1;
    const double shrink = shrink_of(loop, (size_t)loop->batch_size);
    if (is_integer(loop) || shrink == 1.0) return 0;
    double rho = 1.0;
    for (int64_t steps = 0; steps < most; steps++) {
        rho *= shrink;
        if (rho < FOLD_BELOW) return steps > 0 ? steps : 1;
    }
    return 0;
}

/* Integers: the steps between two encodings of h. Each has errors of its own, of at most 2^-13 units:
 * with T steps, n between two encodings, their sum has a standard deviation of at most
 * 2^-14 sqrt(n T) <= 1. */
static int64_t steps_to_encode(const halp_loop *loop)
{
    const int64_t steps = loop->samples / loop->batch_size + 1;
    const double shrunk = loop->batch_size * loop->step_size * loop->l2;
    int64_t every = (INT64_C(1) << 28) / steps;
    if (every > HALP_DITHER_STEPS) every = HALP_DITHER_STEPS;
    if (shrunk * (double)every > STALE_BELOW) every = (int64_t)(STALE_BELOW / shrunk);
    return every < 1 ? 1 : every;
}

/* ---- h in the format of the model ------------------------------------------------------------*/

static int32_t entry(const halp_loop *loop, const void *row, size_t j)
{
    return is_narrow(loop) ? ((const int8_t *)row)[j] : ((const int16_t *)row)[j];
}

static void set_entry(const halp_loop *loop, void *row, size_t j, int32_t value)
{
    if (is_narrow(loop))
        ((int8_t *)row)[j] = (int8_t)value;
    else
        ((int16_t *)row)[j] = (int16_t)value;
}

static char *model_row(const halp_loop *loop, const void *model, size_t r)
{
    return (char *)model + r * loop->ldz * model_bytes(loop);
}

/* Constant that a batch subtracts: B (h + step_size l2 (z - origin)). */
static void constant_part(halp_loop *loop, size_t batch)
{
    const double of_h = (double)batch * loop->h_factor;
    const double of_z = (double)batch * loop->step_size * loop->l2;
    for (size_t r = 0; r < loop->outputs; r++) {
        double *out = loop->constant + r * loop->n;
        const char *z = model_row(loop, loop->z, r);
        const char *origin = loop->origin ? model_row(loop, loop->origin, r) : NULL;
        for (size_t j = 0; j < loop->n; j++) {
            out[j] = loop->h ? of_h * loop->h[r * loop->n + j] : 0.0;
            if (of_z > 0.0)
                out[j] += of_z * (entry(loop, z, j) - (origin ? entry(loop, origin, j) : 0));
        }
    }
}

/* Encodes h and the l2 term for steps on `batch` samples, rounding them at random. */
static void encode(halp_loop *loop, size_t batch)
{
    loop->encoded_for = batch;
    if (loop->constant == NULL) return;
    constant_part(loop, batch);
    if (is_single(loop) && loop->format == HALP_I8)
        loop->h_single = halp_encode_h_i8(loop->n, loop->outputs, loop->constant, 1.0, loop->rng,
                                          loop->h_values);
    else if (is_single(loop))
        loop->h_single =
            halp_encode_h_i16(loop->n, loop->outputs, loop->constant, 1.0,
                              loop->format == HALP_I16 ? HALP_FRACTION_I16 : HALP_FRACTION_I8I16,
                              loop->rng, loop->h_values);
    else
        loop->h_batch = halp_encode_batch_h(loop->format, loop->n, loop->outputs, loop->constant,
                                            1.0, loop->rng, loop->h_values);
}

/* ---- Begin and end ---------------------------------------------------------------------------*/

static void start(halp_loop *loop)
{
    loop->rho = loop->h_factor = 1.0;
    loop->reach = 0.0;
    loop->saturated = loop->steps = 0;
    loop->encoded_for = 0;
    loop->tiny = is_tiny(loop);
    loop->fold_every = steps_to_fold(loop);
    loop->encode_every = steps_to_encode(loop);
    loop->ldh = is_integer(loop) ? HALP_PADDED(loop->n) : loop->n;
    loop->h_single = (halp_h){NULL, is_narrow(loop) ? 13 : 0, 0};
    loop->h_batch = (halp_batch_h){NULL, loop->ldh, 0, 1.0};
    if (is_integer(loop))
        loop->h_batch = halp_encode_batch_h(loop->format, loop->n, 0, NULL, 1.0, NULL, NULL);
}

static int allocate(halp_loop *loop)
{
    const size_t cells = loop->outputs * (size_t)loop->batch_size;
    const int encodes = is_integer(loop) && (loop->h || loop->l2 > 0.0);
    loop->q = malloc(3 * cells * sizeof *loop->q);
    loop->sums = malloc(loop->outputs * sizeof(double));
    loop->h_values = loop->h || encodes ? malloc(loop->outputs * loop->ldh * sizeof(double)) : NULL;
    loop->constant = encodes ? malloc(loop->outputs * loop->n * sizeof(double)) : NULL;
    return loop->q && loop->sums && (loop->h_values || !(loop->h || encodes)) &&
           (loop->constant || !encodes);
}

int halp_loop_begin(halp_loop *loop)
{
    start(loop);
    if (!allocate(loop)) {
        halp_loop_end(loop);
        return 0;
    }
    loop->p = loop->q + loop->outputs * (size_t)loop->batch_size;
    loop->margins_p = loop->p + loop->outputs * (size_t)loop->batch_size;
    if (loop->h && !is_integer(loop)) {
        loop->h_batch.values = loop->h_values;
        for (size_t j = 0; j < loop->outputs * loop->n; j++)
            if (loop->format == HALP_F64)
                ((double *)loop->h_values)[j] = loop->h[j];
            else
                ((float *)loop->h_values)[j] = (float)loop->h[j];
    }
    return 1;
}

void halp_loop_end(halp_loop *loop)
{
    free(loop->q);
    free(loop->sums);
    free(loop->h_values);
    free(loop->constant);
    loop->q = loop->p = loop->margins_p = loop->constant = NULL;
    loop->sums = loop->h_values = NULL;
}

/* ---- The model between steps -----------------------------------------------------------------*/

/* Floats: z <- rho z, rho <- 1. */
static void fold(halp_loop *loop)
{
    const halp_backend *k = loop->backend;
    for (size_t r = 0; r < loop->outputs; r++) {
        void *z = model_row(loop, loop->z, r);
        if (loop->format == HALP_F64)
            k->axpy_f64(loop->n, z, z, 1.0 - loop->rho, NULL, 0, NULL);
        else
            k->axpy_f32(loop->n, z, z, (float)(1.0 - loop->rho), NULL, 0, NULL);
    }
    loop->rho = 1.0;
}

/* Return the largest |z| of a row, and count the entries at an end of their range. */
static int inspect_i8(size_t n, const int8_t *z, int64_t *saturated)
{
    int largest = 0, at_end = 0;
    for (size_t j = 0; j < n; j++) {
        const int used = abs(z[j]);
        largest = used > largest ? used : largest;
        at_end += used == 127;
    }
    *saturated += at_end;
    return largest;
}

static int inspect_i16(size_t n, const int16_t *z, int64_t *saturated)
{
    int largest = 0, at_end = 0;
    for (size_t j = 0; j < n; j++) {
        const int used = abs(z[j]);
        largest = used > largest ? used : largest;
        at_end += used == 32767;
    }
    *saturated += at_end;
    return largest;
}

/* Returns the largest |z|. */
static int inspect(halp_loop *loop)
{
    int largest = 0;
    int64_t saturated = 0;
    for (size_t r = 0; r < loop->outputs; r++) {
        const void *z = model_row(loop, loop->z, r);
        const int used = is_narrow(loop) ? inspect_i8(loop->n, z, &saturated)
                                         : inspect_i16(loop->n, z, &saturated);
        largest = used > largest ? used : largest;
    }
    if (saturated > loop->saturated) loop->saturated = saturated;
    if (largest * loop->scale_z > loop->reach) loop->reach = largest * loop->scale_z;
    return largest;
}

void halp_loop_inspect(halp_loop *loop)
{
    if (is_integer(loop)) inspect(loop);
}

/* Doubles the scale: z <- Q(z / 2). */
static void grow(halp_loop *loop)
{
    uint64_t bits = 0;
    size_t left = 0;
    for (size_t r = 0; r < loop->outputs; r++) {
        char *z = model_row(loop, loop->z, r);
        for (size_t j = 0; j < loop->n; j++, left--, bits >>= 1) {
            if (left == 0) bits = halp_rng_draw(loop->rng), left = 64;
            set_entry(loop, z, j, (entry(loop, z, j) + (int32_t)(bits & 1)) >> 1);
        }
    }
    loop->scale_z *= 2.0;
    loop->h_factor *= 0.5;
    loop->encoded_for = 0;
}

/* ---- One step --------------------------------------------------------------------------------*/

static void margins_of_one(const halp_loop *loop, double scale)
{
    const halp_backend *k = loop->backend;
    const size_t n = loop->n, ld = loop->ldz, count = loop->outputs;
    const void *x = loop->rows[0];
    if (loop->format == HALP_F64) {
        k->gemv_f64(n, x, loop->z, ld, count, loop->q);
        for (size_t c = 0; c < count; c++) loop->q[c] *= scale;
    } else if (loop->format == HALP_F32) {
        k->gemv_f32(n, x, loop->z, ld, count, loop->sums);
        for (size_t c = 0; c < count; c++) loop->q[c] = scale * ((const float *)loop->sums)[c];
    } else {
        if (loop->format == HALP_I16)
            k->gemv_i16(n, x, loop->z, ld, count, loop->sums);
        else if (loop->format == HALP_I8I16)
            k->gemv_i8i16(n, x, loop->z, ld, count, loop->sums);
        else
            k->gemv_i8(n, x, loop->z, ld, count, loop->sums);
        for (size_t c = 0; c < count; c++)
            loop->q[c] = scale * (double)((const int64_t *)loop->sums)[c];
    }
}

/* Margins of the batch: x_i^T (the true model), less those of the origin. */
static void margins(const halp_loop *loop, size_t batch, size_t next_rows)
{
    const double scale = loop->scale_x * loop->scale_z;
    const size_t cells = batch * loop->outputs;
    if (is_single(loop)) {
        margins_of_one(loop, loop->margins ? scale : scale * loop->rho);
    } else {
        const halp_margins all = {
            .n = loop->n,
            .rows = batch,
            .count = loop->outputs,
            .x = loop->rows,
            .w = loop->z,
            .ldw = loop->ldz,
            .sums = loop->q,
            .next = loop->next,
            .next_rows = next_rows,
        };
        loop->backend->family[loop->format].margins(&all);
        for (size_t k = 0; k < cells; k++) loop->q[k] *= loop->margins ? scale : scale * loop->rho;
    }
    if (loop->margins)
        for (size_t k = 0; k < cells; k++)
            loop->q[k] = loop->rho * (loop->q[k] - loop->margins_p[k]);
}

/* Collects what is known of the samples of a batch, and fetches that of a later one. */
static void gather(const halp_loop *loop, const int32_t *samples, size_t batch,
                   const int32_t *later, size_t later_batch)
{
    const size_t count = loop->outputs, bytes = count * sizeof(double);
    for (size_t b = 0; b < batch; b++) {
        const size_t at = (size_t)samples[b] * count;
        if (loop->reference) memcpy(loop->p + b * count, loop->reference + at, bytes);
        if (loop->margins) memcpy(loop->margins_p + b * count, loop->margins + at, bytes);
    }
    for (size_t b = 0; b < later_batch; b++) {
        const size_t at = (size_t)later[b] * count;
        if (loop->reference) halp_prefetch(loop->reference + at, bytes);
        if (loop->margins) halp_prefetch(loop->margins + at, bytes);
    }
}

/* Replaces margins by the derivatives that the step follows. */
static void derivatives(const halp_loop *loop, const int32_t *samples, size_t batch)
{
    const size_t count = loop->outputs;
    if (loop->targets == NULL) {
        loop->loss->change(batch, count, loop->p, loop->q);
        return;
    }
    for (size_t b = 0; b < batch; b++) {
        double *q = loop->q + b * count;
        loop->loss->evaluate(count, q, loop->targets + (size_t)samples[b] * loop->target_count, q);
    }
}

/* z <- Q(z - (sum_b c_b x_b + B h)), c in q. */
static void update(halp_loop *loop, size_t batch, const void *const *next, size_t next_rows)
{
    const halp_backend *k = loop->backend;
    const size_t n = loop->n, ld = loop->ldz, count = loop->outputs;
    if (!is_single(loop)) {
        halp_update step = {
            .n = n,
            .rows = batch,
            .count = count,
            .x = loop->rows,
            .w = loop->z,
            .ldw = ld,
            .c = loop->q,
            .h = loop->h_batch,
            .rng = loop->rng,
            .next = next,
            .next_rows = next_rows,
        };
        if (!is_integer(loop)) step.h.factor = (double)batch / loop->rho;
        k->family[loop->format].update(&step);
        return;
    }
    const void *x = loop->rows[0], *after = next_rows ? next[0] : x;
    if (loop->format == HALP_F64)
        k->ger_f64(n, loop->z, ld, count, x, loop->q, loop->h_values, loop->ldh, 1.0 / loop->rho,
                   after);
    else if (loop->format == HALP_F32)
        k->ger_f32(n, loop->z, ld, count, x, loop->q, loop->h_values, loop->ldh,
                   (float)(1.0 / loop->rho), after);
    else if (loop->format == HALP_I16)
        k->ger_i16(n, loop->z, ld, count, x, loop->q, loop->h_single, loop->ldh, loop->rng, after);
    else if (loop->format == HALP_I8I16)
        k->ger_i8i16(n, loop->z, ld, count, x, loop->q, loop->h_single, loop->ldh, loop->rng,
                     after);
    else
        k->ger_i8(n, loop->z, ld, count, x, loop->q, loop->h_single, loop->ldh, loop->rng, after);
}

/* A step on `batch` samples; 0 if it is not finite. */
static int step(halp_loop *loop, const int32_t *samples, size_t batch, const int32_t *later,
                size_t later_batch)
{
    const char *x = loop->x;
    for (size_t b = 0; b < batch; b++) loop->rows[b] = x + (size_t)samples[b] * loop->row_bytes;
    for (size_t b = 0; b < later_batch; b++) loop->next[b] = x + (size_t)later[b] * loop->row_bytes;
    gather(loop, samples, batch, later, later_batch);
    /* Memory is read all the time, if each half of a later batch is fetched by one of the two. */
    const size_t half = is_single(loop) ? 0 : later_batch / 2;
    margins(loop, batch, half);
    derivatives(loop, samples, batch);
    if (is_integer(loop) && (loop->encoded_for != batch || loop->steps % loop->encode_every == 0))
        encode(loop, batch);

    loop->steps++;
    if (!is_integer(loop)) loop->rho *= shrink_of(loop, batch);
    const double to_steps = loop->step_size * loop->scale_x / (loop->scale_z * loop->rho);
    for (size_t k = 0; k < batch * loop->outputs; k++) {
        loop->q[k] *= to_steps;
        if (!isfinite(loop->format == HALP_F32 ? (double)(float)loop->q[k] : loop->q[k])) return 0;
    }
    update(loop, batch, loop->next + half, later_batch - half);
    if (loop->fold_every && loop->steps % loop->fold_every == 0) fold(loop);
    if (is_integer(loop) && loop->steps % HALP_CHECK_STEPS == 0) {
        const int used = inspect(loop);
        if (loop->grows && used > GROW_ABOVE * largest_integer(loop)) grow(loop);
    }
    return 1;
}

int64_t halp_loop_run(halp_loop *loop, const int32_t *samples, int64_t count)
{
    const int64_t most = loop->batch_size;
    int64_t t = 0;
    while (t < count) {
        const int64_t batch = count - t < most ? count - t : most;
        const int64_t later = t + 2 * most, left = count - later;
        const int64_t later_batch = left < 0 ? 0 : left < most ? left : most;
        if (!step(loop, samples + t, (size_t)batch, samples + (later_batch ? later : t),
                  (size_t)later_batch))
            break;
        t += batch;
    }
    return t;
}
