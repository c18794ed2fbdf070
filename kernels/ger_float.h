/* Template of ger.h: one floating-point format. REAL is the type, FORMAT(op) adds the format to a name. */
static void HALP_NAME(FORMAT(halp_ger))(size_t n, REAL *w, size_t ld, size_t count, const REAL *x,
                                        const double *c, const REAL *h, size_t ldh, REAL k,
                                        const void *next)
{
    for (size_t r = 0; r < count; r++) {
        const REAL *h_r = h ? h + r * ldh : NULL;
        const void *ahead = r == 0 ? next : NULL;
        HALP_NAME(FORMAT(halp_axpy))(n, w + r * ld, x, (REAL)c[r], h_r, k, ahead);
    }
}

#undef FORMAT
#undef REAL
