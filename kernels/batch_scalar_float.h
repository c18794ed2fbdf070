/* Template of batch_scalar.h: floating-point formats. REAL is the type, NAME(op) a function's name. */

void NAME(halp_margins)(const halp_margins *m)
{
    for (size_t b = 0; b < m->rows; b++)
        for (size_t r = 0; r < m->count; r++) {
            const REAL *x_b = m->x[b], *w_r = (const REAL *)m->w + r * m->ldw;
            double total = 0.0;
            for (size_t start = 0; start < m->n; start += HALP_CHUNK) {
                const size_t end = m->n - start < HALP_CHUNK ? m->n : start + HALP_CHUNK;
                REAL sum = 0;
                for (size_t j = start; j < end; j++) sum += x_b[j] * w_r[j];
                total += sum;
            }
            m->sums[b * m->count + r] = total;
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
