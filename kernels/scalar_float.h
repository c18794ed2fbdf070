/* Template of backend_scalar.c: axpy and gemv_repro of one floating-point format. REAL is the type,
 * PARTIALS how many of them are 128 bytes, FORMAT(op) adds the format to a name. */
static void HALP_NAME(FORMAT(halp_axpy))(size_t n, REAL *w, const REAL *x, REAL c, const REAL *h,
                                         REAL k, const void *next)
{
    (void)next;
    for (size_t j = 0; j < n; j++) w[j] -= c * x[j] + (h ? k * h[j] : 0);
}

/* 128 bytes' worth of partial sums, folded in halves: an order that every vector width can keep. */
static void HALP_NAME(HALP_EXPAND(FORMAT(halp_gemv), repro))(size_t n, const REAL *x, const REAL *w,
                                                             size_t ld, size_t count, REAL *out)
{
    for (size_t r = 0; r < count; r++) {
        REAL partial[PARTIALS] = {0};
        for (size_t j = 0; j < n; j++) partial[j % PARTIALS] += x[j] * w[r * ld + j];
        for (size_t half = PARTIALS / 2; half > 0; half /= 2)
            for (size_t j = 0; j < half; j++) partial[j] += partial[j + half];
        out[r] = partial[0];
    }
}

#undef FORMAT
#undef REAL
#undef PARTIALS
