/* The full-gradient pass: see pass.h. */
#include "pass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_BYTES = 1 << 18, /* of integers, at most: two blocks should fit the L2 cache */
    FLOAT_ROWS = 16,       /* floats gain more from few passes over the gradient */
};

static int is_integer(const halp_pass *pass) { return pass->format >= HALP_I16; }

static size_t data_bytes(const halp_pass *pass)
{
#define HALP_DATA_BYTES(name, code, data, model) sizeof(data),
    static const size_t bytes[HALP_FORMAT_COUNT] = {HALP_FORMATS(HALP_DATA_BYTES)};
#undef HALP_DATA_BYTES
    return bytes[pass->format];
}

static const char *row_of(const halp_pass *pass, size_t i)
{
    return (const char *)pass->x + i * pass->ldx * data_bytes(pass);
}

/* The largest rounded change of a derivative: 32 products with |x| <= 2^15 or 2^7 fit 31 bits. */
static int largest_change(const halp_pass *pass) { return data_bytes(pass) == 2 ? 1023 : 32767; }

int halp_pass_begin(halp_pass *pass)
{
    const size_t cells = HALP_MOST_ACCUMULATED * pass->outputs;
    pass->total_loss = pass->rounding = 0.0;
    pass->sums = malloc(cells * sizeof *pass->sums);
    pass->derivatives = malloc(cells * sizeof *pass->derivatives);
    pass->unit = malloc(pass->outputs * sizeof *pass->unit);
    pass->single = malloc(cells * sizeof *pass->single);
    pass->changes = malloc(cells * sizeof *pass->changes);
    if (pass->sums && pass->derivatives && pass->unit && pass->single && pass->changes) return 1;
    halp_pass_end(pass);
    return 0;
}

void halp_pass_end(halp_pass *pass)
{
    free(pass->sums);
    free(pass->derivatives);
    free(pass->unit);
    free(pass->single);
    free(pass->changes);
    pass->sums = pass->derivatives = pass->unit = NULL;
    pass->single = NULL;
    pass->changes = NULL;
}

/* ---- Margins of a block of rows, rows x outputs ----------------------------------------------*/

static void margins_of_f32(const halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    void (*gemv)(size_t, const float *, const float *, size_t, size_t, float *) =
        pass->fused ? pass->backend->gemv_f32 : pass->backend->gemv_f32_repro;
    if (count == 1) /* the rows share w */
        gemv(pass->n, pass->w, (const void *)row_of(pass, start), pass->ldx, rows, pass->single);
    else
        for (size_t i = 0; i < rows; i++)
            gemv(pass->n, (const void *)row_of(pass, start + i), pass->w, pass->ldw, count,
                 pass->single + i * count);
    for (size_t i = 0; i < rows * count; i++) pass->sums[i] = pass->single[i];
}

static void margins_of_f64(const halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    void (*gemv)(size_t, const double *, const double *, size_t, size_t, double *) =
        pass->fused ? pass->backend->gemv_f64 : pass->backend->gemv_f64_repro;
    if (count == 1)
        gemv(pass->n, pass->w, (const void *)row_of(pass, start), pass->ldx, rows, pass->sums);
    else
        for (size_t i = 0; i < rows; i++)
            gemv(pass->n, (const void *)row_of(pass, start + i), pass->w, pass->ldw, count,
                 pass->sums + i * count);
}

/* The kept margins of a block follow the model; a copy of them is left in `sums`. */
static void margins_of_integers(const halp_pass *pass, size_t start, size_t rows)
{
    const void *x[HALP_MOST_ACCUMULATED];
    const double unit = pass->scale_x * pass->scale_w;
    double *kept = pass->margins + start * pass->outputs;
    for (size_t i = 0; i < rows; i++) x[i] = row_of(pass, start + i);
    const halp_margins all = {
        .n = pass->n,
        .rows = rows,
        .count = pass->outputs,
        .x = x,
        .w = pass->w,
        .ldw = pass->ldw,
        .sums = pass->sums,
    };
    pass->backend->family[pass->format].margins(&all);
    for (size_t i = 0; i < rows * pass->outputs; i++)
        pass->sums[i] = kept[i] = unit * pass->sums[i] + (pass->moves ? kept[i] : 0.0);
}

/* ---- From margins to the gradient ------------------------------------------------------------*/

static void differentiate(halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    for (size_t i = 0; i < rows; i++)
        pass->total_loss += pass->loss->evaluate(count, pass->sums + i * count,
                                                 pass->targets + (start + i) * pass->target_count,
                                                 pass->derivatives + i * count);
    if (pass->reference)
        memcpy(pass->reference + start * count, pass->sums, rows * count * sizeof(double));
}

static void accumulate_floats(const halp_pass *pass, size_t start, size_t rows)
{
    const halp_backend *k = pass->backend;
    const size_t n = pass->n, count = pass->outputs, ldx = pass->ldx, ldg = pass->ldg;
    const void *x = row_of(pass, start);
    /* Fetching ahead was measured to slow floats down: their blocks fill the L2 cache. */
    if (pass->format == HALP_F64) {
        void (*accumulate)(size_t, size_t, const double *, size_t, size_t, const double *, double *,
                           size_t, const void *) =
            pass->fused ? k->accumulate_f64 : k->accumulate_f64_repro;
        accumulate(rows, n, x, ldx, count, pass->derivatives, pass->gradient, ldg, NULL);
        return;
    }
    void (*accumulate)(size_t, size_t, const float *, size_t, size_t, const float *, double *,
                       size_t, const void *) =
        pass->fused ? k->accumulate_f32 : k->accumulate_f32_repro;
    for (size_t i = 0; i < rows * count; i++) pass->single[i] = (float)pass->derivatives[i];
    accumulate(rows, n, x, ldx, count, pass->single, pass->gradient, ldg, NULL);
}

/* A sample that has diverged changes nothing; its loss tells. */
static double wanted_change(const halp_pass *pass, const double *added, size_t at)
{
    const double change = pass->derivatives[at] - added[at];
    return isfinite(change) ? change : 0.0;
}

/* The unit of the changes of output c: a power of two, so that `added` holds them exactly for as long
 * as they have not shrunk by 2^37. */
static double unit_of_changes(const halp_pass *pass, const double *added, size_t rows, size_t c)
{
    double most = 0.0;
    for (size_t i = 0; i < rows; i++) {
        const double change = fabs(wanted_change(pass, added, i * pass->outputs + c));
        most = change > most ? change : most;
    }
    int exponent;
    frexp(most / largest_change(pass), &exponent); /* most / largest < 2^exponent */
    return ldexp(1.0, most > 0.0 && exponent > -1000 ? exponent : -1000);
}

/* The changes of a block in integers, which `added` takes note of. */
static void round_changes(halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    double *added = pass->added + start * count;
    for (size_t c = 0; c < count; c++) {
        const double unit = pass->unit[c] = unit_of_changes(pass, added, rows, c);
        pass->rounding += (double)rows * unit * unit;
        for (size_t i = 0; i < rows; i++) {
            const size_t at = i * count + c;
            const uint64_t random = halp_splitmix64(pass->seed + ((start + i) * count + c + 1) *
                                                                     UINT64_C(0x9e3779b97f4a7c15));
            const double uniform = (double)(int64_t)(random >> 32) * 0x1p-32;
            const int32_t change = halp_floor(wanted_change(pass, added, at) / unit + uniform);
            pass->changes[at] = (int16_t)change;
            added[at] += unit * change;
        }
    }
}

/* The rows of a block, of which there are `later` more after them. */
static void accumulate_integers(halp_pass *pass, size_t start, size_t rows, size_t later)
{
    const void *next[HALP_MOST_ACCUMULATED];
    for (size_t i = 0; i < rows && i < later; i++) next[i] = row_of(pass, start + rows + i);
    round_changes(pass, start, rows);
    const halp_accumulation all = {
        .n = pass->n,
        .rows = rows,
        .count = pass->outputs,
        .x = row_of(pass, start),
        .ldx = pass->ldx,
        .k = pass->changes,
        .unit = pass->unit,
        .g = pass->gradient,
        .ldg = pass->ldg,
        .next = next,
        .next_rows = rows < later ? rows : later,
    };
    pass->backend->family[pass->format].accumulate(&all);
}

static size_t rows_of_a_block(const halp_pass *pass)
{
    if (!is_integer(pass)) return FLOAT_ROWS;
    const size_t row_bytes = (size_t)(row_of(pass, 1) - row_of(pass, 0));
    const size_t fitting = BLOCK_BYTES / (row_bytes ? row_bytes : 1);
    return fitting < 4 ? 4 : fitting > HALP_MOST_ACCUMULATED ? HALP_MOST_ACCUMULATED : fitting;
}

void halp_pass_run(halp_pass *pass, size_t start, size_t stop)
{
    const size_t most = rows_of_a_block(pass);
    for (size_t row = start; row < stop;) {
        const size_t rows = stop - row < most ? stop - row : most;
        if (is_integer(pass))
            margins_of_integers(pass, row, rows);
        else if (pass->format == HALP_F32)
            margins_of_f32(pass, row, rows);
        else
            margins_of_f64(pass, row, rows);
        differentiate(pass, row, rows);
        if (pass->gradient && is_integer(pass))
            accumulate_integers(pass, row, rows, stop - row - rows);
        else if (pass->gradient)
            accumulate_floats(pass, row, rows);
        row += rows;
    }
}
