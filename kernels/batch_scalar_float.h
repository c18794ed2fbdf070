/* Template of batch_scalar.h: floating-point formats. REAL is the type, NAME(op) a function's name. */

void NAME(halp_margins)(size_t n, size_t rows, const void *const *x, const void *w, size_t ldw,
                        size_t count, double *sums)
{
    for (size_t b = 0; b < rows; b++)
        for (size_t r = 0; r < count; r++) {
            const REAL *x_b = x[b], *w_r = (const REAL *)w + r * ldw;
            double total = 0.0;
            for (size_t start = 0; start < n; start += HALP_CHUNK) {
                const size_t end = n - start < HALP_CHUNK ? n : start + HALP_CHUNK;
                REAL sum = 0;
                for (size_t j = start; j < end; j++) sum += x_b[j] * w_r[j];
                total += sum;
            }
            sums[b * count + r] = total;
        }
}

static void NAME(halp_update)(const halp_update *u)
{
    const REAL factor = (REAL)u->h.factor;
    for (size_t r = 0; r < u->count; r++) {
        REAL *w = (REAL *)u->w + r * u->ldw;
        const REAL *h = u->h.values ? (const REAL *)u->h.values + r * u->h.ld : NULL;
        for (size_t j = 0; j < u->n; j++) {
            REAL w_j = w[j];
            for (size_t b = 0; b < u->rows; b++)
                w_j -= (REAL)u->c[b * u->count + r] * ((const REAL *)u->x[b])[j];
            w[j] = h ? w_j - factor * h[j] : w_j;
        }
    }
}

#undef REAL
#undef NAME
