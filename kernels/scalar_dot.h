/* Template of backend_scalar.c: dot, gemv and peak of one format. DATA, MODEL and SUM are the types,
 * PEAK_SUM the type of the sum of peak; FORMAT(op) adds the format to a name. */
static SUM HALP_NAME(FORMAT(halp_dot))(size_t n, const DATA *x, const MODEL *y)
{
    SUM total = 0;
    for (size_t j = 0; j < n; j++) total += (SUM)x[j] * y[j];
    return total;
}

static void HALP_NAME(FORMAT(halp_gemv))(size_t n, const DATA *x, const MODEL *w, size_t ld,
                                         size_t count, SUM *out)
{
    for (size_t r = 0; r < count; r++) out[r] = HALP_NAME(FORMAT(halp_dot))(n, x, w + r * ld);
}

/* Several sums, lest each addition wait for the one before; y is read again for each product, lest one
 * product serve all. */
static PEAK_SUM HALP_NAME(FORMAT(halp_peak))(size_t n, DATA x, MODEL y)
{
    enum { WAYS = 8 };
    const volatile PEAK_SUM y_each = (PEAK_SUM)y;
    PEAK_SUM total[WAYS] = {0};
    for (size_t steps = n / WAYS; steps > 0; steps--)
        for (int k = 0; k < WAYS; k++) total[k] += (PEAK_SUM)x * y_each;
    for (size_t j = 0; j < n % WAYS; j++) total[0] += (PEAK_SUM)x * y_each;
    for (int k = 1; k < WAYS; k++) total[0] += total[k];
    return total[0];
}

#undef FORMAT
#undef DATA
#undef MODEL
#undef SUM
#undef PEAK_SUM
