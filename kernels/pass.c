/* The full-gradient pass: see pass.h. */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_ROWS = 32,       /* at most */
    BLOCK_BYTES = 1 << 18, /* of integers, at most: two blocks should fit the L2 cache */
    FLOAT_ROWS = 16,       /* floats gain more from few passes over the gradient */
};

static int is_integer(const halp_pass *pass) { return pass->data <= HALP_DATA_I16; }

static const char *row_of(const halp_pass *pass, size_t i)
{
    static const size_t bytes[] = {1, 2, 4, 8};
    return (const char *)pass->x + i * pass->ldx * bytes[pass->data];
}

int halp_pass_begin(halp_pass *pass)
{
    const size_t cells = BLOCK_ROWS * pass->outputs;
    pass->total_loss = 0.0;
    pass->margins = malloc(cells * sizeof *pass->margins);
    pass->derivatives = malloc(cells * sizeof *pass->derivatives);
    pass->single = malloc(cells * sizeof *pass->single);
    pass->parts = malloc(2 * pass->outputs * sizeof *pass->parts);
    if (pass->margins && pass->derivatives && pass->single && pass->parts) return 1;
    halp_pass_end(pass);
    return 0;
}

void halp_pass_end(halp_pass *pass)
{
    free(pass->margins);
    free(pass->derivatives);
    free(pass->single);
    free(pass->parts);
    pass->margins = pass->derivatives = NULL;
    pass->single = NULL;
    pass->parts = NULL;
}

/* ---- Margins of a block of rows, rows x outputs ----------------------------------------------*/

static void margins_of_integers(const halp_pass *pass, size_t start, size_t rows)
{
    const halp_backend *k = pass->backend;
    const size_t count = pass->outputs;
    const double unit = pass->scale_x * pass->scale_w;
    for (size_t i = 0; i < rows; i++) {
        const void *x = row_of(pass, start + i);
        if (pass->data == HALP_DATA_I8)
            k->gemv_i8i16(pass->n, x, pass->w, pass->ldw, 2 * count, pass->parts);
        else
            k->gemv_i16(pass->n, x, pass->w, pass->ldw, 2 * count, pass->parts);
        for (size_t c = 0; c < count; c++)
            pass->margins[i * count + c] =
                unit * (32768.0 * (double)pass->parts[c] + (double)pass->parts[count + c]);
    }
}

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
    for (size_t i = 0; i < rows * count; i++) pass->margins[i] = pass->single[i];
}

static void margins_of_f64(const halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    void (*gemv)(size_t, const double *, const double *, size_t, size_t, double *) =
        pass->fused ? pass->backend->gemv_f64 : pass->backend->gemv_f64_repro;
    if (count == 1)
        gemv(pass->n, pass->w, (const void *)row_of(pass, start), pass->ldx, rows, pass->margins);
    else
        for (size_t i = 0; i < rows; i++)
            gemv(pass->n, (const void *)row_of(pass, start + i), pass->w, pass->ldw, count,
                 pass->margins + i * count);
}

/* ---- From margins to the gradient ------------------------------------------------------------*/

static void differentiate(halp_pass *pass, size_t start, size_t rows)
{
    const size_t count = pass->outputs;
    for (size_t i = 0; i < rows; i++) {
        double *margins = pass->margins + i * count;
        pass->total_loss +=
            pass->loss->evaluate(count, margins, pass->targets + (start + i) * pass->target_count,
                                 pass->derivatives + i * count);
    }
    if (pass->reference)
        memcpy(pass->reference + start * count, pass->margins,
               rows * count * sizeof *pass->reference);
}

static void accumulate(const halp_pass *pass, size_t start, size_t rows)
{
    const halp_backend *k = pass->backend;
    const size_t n = pass->n, count = pass->outputs, ldx = pass->ldx, ldg = pass->ldg;
    const void *x = row_of(pass, start);
    /* Fetching ahead was measured to slow floats down: their blocks fill the L2 cache. */
    const void *next = is_integer(pass) ? row_of(pass, start + rows) : NULL;
    const double *b = pass->derivatives;
    if (pass->data == HALP_DATA_F64) {
        (pass->fused ? k->accumulate_f64 : k->accumulate_f64_repro)(rows, n, x, ldx, count, b,
                                                                    pass->gradient, ldg, next);
        return;
    }
    if (pass->data == HALP_DATA_I8) {
        k->accumulate_i8(rows, n, x, ldx, count, b, pass->gradient, ldg, next);
        return;
    }
    for (size_t i = 0; i < rows * count; i++) pass->single[i] = (float)b[i];
    if (pass->data == HALP_DATA_I16)
        k->accumulate_i16(rows, n, x, ldx, count, pass->single, pass->gradient, ldg, next);
    else
        (pass->fused ? k->accumulate_f32 : k->accumulate_f32_repro)(
            rows, n, x, ldx, count, pass->single, pass->gradient, ldg, next);
}

static size_t rows_of_a_block(const halp_pass *pass)
{
    if (!is_integer(pass)) return FLOAT_ROWS;
    const size_t row_bytes = (size_t)(row_of(pass, 1) - row_of(pass, 0));
    const size_t fitting = BLOCK_BYTES / (row_bytes ? row_bytes : 1);
    return fitting < 4 ? 4 : fitting > BLOCK_ROWS ? BLOCK_ROWS : fitting;
}

void halp_pass_run(halp_pass *pass, size_t start, size_t stop)
{
    const size_t most = rows_of_a_block(pass);
    for (size_t row = start; row < stop;) {
        const size_t rows = stop - row < most ? stop - row : most;
        if (is_integer(pass))
            margins_of_integers(pass, row, rows);
        else if (pass->data == HALP_DATA_F32)
            margins_of_f32(pass, row, rows);
        else
            margins_of_f64(pass, row, rows);
        differentiate(pass, row, rows);
        accumulate(pass, row, rows);
        row += rows;
    }
}
