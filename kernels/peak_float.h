/* Template of peak.h: one floating-point format. REAL is the type, LANES how many a vector VEC has, V(op)
 * an operation of the vocabulary, FORMAT(op) adds the format to a name. */
static REAL HALP_NAME(FORMAT(halp_peak))(size_t n, REAL x, REAL y)
{
    enum { WAYS = 12 };
    const VEC x_all = V(set1)(x);
    VEC y_all = V(set1)(y), acc[WAYS];
    for (int k = 0; k < WAYS; k++) acc[k] = V(zero)();
    const size_t stride = WAYS * LANES;
    /* Counting down spares gcc copies of all accumulators. */
    for (size_t steps = n / stride; steps > 0; steps--)
        for (int k = 0; k < WAYS; k++) {
            y_all = V(opaque)(y_all);
            acc[k] = V(fma)(x_all, y_all, acc[k]);
        }
    for (int k = 1; k < WAYS; k++) acc[0] = V(add)(acc[0], acc[k]);
    REAL partial[LANES], total = (REAL)(n % stride) * x * y;
    V(store)(partial, acc[0]);
    for (int l = 0; l < LANES; l++) total += partial[l];
    return total;
}

#undef FORMAT
#undef REAL
#undef LANES
#undef VEC
#undef V
